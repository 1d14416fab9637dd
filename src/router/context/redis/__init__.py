"""The customer context in Redis or Valkey, shared by all nodes of a store."""
