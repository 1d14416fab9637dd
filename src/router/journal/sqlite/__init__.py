"""TODO package router.journal.sqlite.journal."""
