"""TODO package router.simulator.audit."""
