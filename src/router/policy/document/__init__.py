"""Policy documents: ``parsing`` is the entry point, ``nodes`` reads the syntax, ``conversion`` reads types and ranges."""
