"""TODO package router.server.http."""
