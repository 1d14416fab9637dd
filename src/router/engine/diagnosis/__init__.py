"""TODO package router.engine.diagnosis."""
