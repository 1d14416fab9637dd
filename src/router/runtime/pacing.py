"""How close together commits begin.

A commit has a price of its own, whatever is in it: a flush of the disk, two changes of thread. A lone command pays it at
once. In a busy centre commands come faster than that, and a commit for each would leave the processor no time for anything
else; so the next commit begins a moment after the one before began, with all who have come by then.
"""

import time
from collections.abc import Callable
from typing import Final

# With so many waiting the price is shared well enough.
ENOUGH: Final = 32


class Pacing:
    """The gap between the beginnings of two commits."""

    def __init__(self, gap_ms: int, *, now_s: Callable[[], float] = time.perf_counter) -> None:
        """``gap_ms`` 0: none. ``now_s``: for tests."""
        self._gap_s = gap_ms / 1000
        self._now_s = now_s
        self._began_s = float("-inf")

    def delay_s(self, waiting: int) -> float:
        """How long to wait for company, with so many here already; 0 or less: not at all."""
        if waiting >= ENOUGH:
            return 0.0
        return self._began_s + self._gap_s - self._now_s()

    def begin(self) -> None:
        """A commit begins."""
        self._began_s = self._now_s()
