"""WebSocket front: upgrade, connections, delivery of events and reconnection."""
