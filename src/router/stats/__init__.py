"""The meters: folds over events, one definition in one place each. Pure; the same code live, in replay and in simulation.

``meters.py`` is the door. What a figure means stands in the module that defines it: ``service_level.py``, ``waiting.py``,
``handling.py`` (AHT, transfers), ``offers.py`` (RONA), ``occupancy.py``, ``flow.py`` (conservation). No clock: time is an argument.
"""
