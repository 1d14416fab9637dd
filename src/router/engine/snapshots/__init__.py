"""TODO package router.engine.snapshots."""
