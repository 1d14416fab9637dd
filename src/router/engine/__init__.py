"""The pure routing core: a state, a command and a time in; events or a refusal out.

``engine.py`` holds ``Engine``, the only entry point; ``transitions.py`` holds the tables of every legal change of state.
No module of this package reads a clock, draws random numbers, performs I/O or logs.
"""
