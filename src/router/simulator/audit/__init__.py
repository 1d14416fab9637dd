"""Independent audit of simulated and recorded runs, by a second implementation of the routing rules."""
