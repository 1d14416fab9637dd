"""The language at the door, sans-I/O: frames, their encoding, the session machine, close codes."""
