"""The room without windows: (state, command, at_ms) in; events or a refusal out. No clock, no chance, no I/O.

``engine.py`` is its door, ``transitions.py`` its law.
"""
