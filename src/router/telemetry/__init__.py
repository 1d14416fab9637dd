"""What operations see: logs with fields, and metrics that are folds over published events. Nobody calls it to decide anything."""
