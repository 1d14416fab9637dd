"""Queries: read-only answers of the engine. None of them changes the state."""
