"""Settings: how the process runs."""
