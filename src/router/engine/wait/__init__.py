"""TODO package router.engine.wait."""
