"""The network server: authentication, the HTTP API and the WebSocket endpoints on one port."""
