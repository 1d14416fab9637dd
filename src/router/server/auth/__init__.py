"""TODO package router.server.auth."""
