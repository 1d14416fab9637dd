"""Telemetry: structured logs, and metrics computed from published events. Nothing depends on it to make a decision."""
