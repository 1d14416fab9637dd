"""The SQLite journal backend: one database file, one connection, one thread."""
