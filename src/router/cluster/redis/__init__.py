"""The shared state on a Redis or Valkey server."""
