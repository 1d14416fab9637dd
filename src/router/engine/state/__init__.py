"""Records of a workspace and what belongs to one of them: waiting lines, agent groups, capacity, timers."""
