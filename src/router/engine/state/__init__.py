"""TODO package router.engine.state."""
