"""TODO package router.policy.document."""
