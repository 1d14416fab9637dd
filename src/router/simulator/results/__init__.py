"""TODO package router.simulator.results."""
