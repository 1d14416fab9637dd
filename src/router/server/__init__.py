"""Network server: authentication, HTTP API and WebSocket endpoints on one port."""
