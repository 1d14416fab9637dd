"""SQLite backend of the context store: data in one file, wrapped keys in another."""
