"""The journal on a Redis or Valkey server: the same records and chains as on disk, fenced by scripts."""
