"""Garbage collector settings for a process that holds a workspace.

A full collection visits every agent and contact and blocks the event loop for longer than any command takes. The records of the
engine contain no reference cycles, so there is almost nothing to collect.
"""

import gc
from typing import Final

# Allocations before a collection of generation 0; such collections before one of generation 1; those before a full one. A
# collection costs up to 2 µs per live object, because the objects are not in the CPU caches: 50,000 objects of generation 0 took
# 25 ms, 10,000 of generation 1 still 20 ms. So the young generations are small, and a full collection is as rare as before.
_THRESHOLDS: Final = (1_000, 2, 50_000)


def stand_back() -> None:
    """Disable the collector until ``freeze_and_resume_garbage_collection``: nothing is garbage while a workspace is recovered."""
    gc.disable()


def settle_down() -> None:
    """Collect once, exempt everything that exists now from later collections, and resume with rare full collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
