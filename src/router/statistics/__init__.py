"""Statistics: counters updated by events, and the definitions of service level, waits, handle time and occupancy.

``workspace`` is the entry point. Each definition is stated in the module of its counters. The package reads no clock, so that a
live router, a replay of the journal and a simulation count in the same way.
"""
