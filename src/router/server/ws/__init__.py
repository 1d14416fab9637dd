"""TODO package router.server.ws."""
