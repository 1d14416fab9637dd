"""TODO package router.engine.matching."""
