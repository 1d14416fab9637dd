"""TODO package router.engine.index."""
