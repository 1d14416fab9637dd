"""Contact Router: an asynchronous, real-time routing engine for contact centres."""

__version__ = "0.1.0"
