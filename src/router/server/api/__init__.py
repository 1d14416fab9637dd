"""TODO package router.server.api."""
