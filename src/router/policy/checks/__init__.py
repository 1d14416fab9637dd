"""TODO package router.policy.checks."""
