"""WebSocket protocol, sans-I/O: frames, their encoding, the session state machine and close codes."""
