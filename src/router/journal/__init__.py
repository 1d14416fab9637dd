"""The event log: records of events, made durable before any of their effects leaves the process."""
