"""The asyncio shell around the engine: writer, command queue, recovery, snapshots, event feed and shadows."""
