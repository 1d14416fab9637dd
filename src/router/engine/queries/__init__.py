"""TODO package router.engine.queries."""
