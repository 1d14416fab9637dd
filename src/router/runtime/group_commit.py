"""Group commit: the least time between the starts of two commits.

A commit has a fixed cost regardless of its size: one disk flush and two thread switches. A single command on an idle router
is committed at once. On a busy router commands arrive faster than commits complete, and one commit per command would leave no
processor time for routing. The next commit therefore starts at the earliest ``gap_ms`` after the start of the previous one
and contains all commands that have arrived until then. When ``FULL_BATCH_COUNT`` commands are queued the fixed cost is shared
well enough, and the commit starts without delay.
"""

import time
from collections.abc import Callable
from typing import Final

# With this many queued commands the fixed cost of a commit is shared well enough.
FULL_BATCH_COUNT: Final = 32


class CommitPacer:
    """Compute the delay before the next commit."""

    def __init__(self, gap_ms: int, *, now_s: Callable[[], float] = time.perf_counter) -> None:
        """``gap_ms`` 0 disables the gap. ``now_s`` is replaced in tests."""
        self._gap_s = gap_ms / 1000
        self._now_s = now_s
        self._started_s = float("-inf")

    def delay_s(self, waiting: int) -> float:
        """Return the seconds to wait for more commands, given the number already queued; 0 or less: commit now."""
        if waiting >= FULL_BATCH_COUNT:
            return 0.0
        return self._started_s + self._gap_s - self._now_s()

    def commit_started(self) -> None:
        """Record that a commit starts now."""
        self._started_s = self._now_s()
