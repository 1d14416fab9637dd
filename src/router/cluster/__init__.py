"""Several router processes on one store: one leader per workspace, every node takes connections."""
