"""Time in the runtime: the clock of the writer, and the wake-up times of the workspaces.

The clock reads epoch milliseconds that never go back and never jump.

Deadlines must not depend on adjustments of the wall clock by NTP or an administrator, while the times in the journal must be
readable as wall-clock times. The clock therefore starts at the wall clock, advances with the boot-time clock of the machine
(which includes the time that the machine was suspended, because customers waited during it), and is slewed towards the wall
clock by at most ``SLEW_PER_S`` when the two differ.

``WakeupSchedule`` knows when the next timer of each workspace is due. It is a heap of (deadline, workspace) with lazy deletion: an
entry is valid only while it equals the current deadline of the workspace. Workspaces that are not due cost nothing. Stale entries
are removed when they outnumber the valid ones.
"""

import heapq
import time
from collections.abc import Callable
from typing import Final, Protocol

from router.model.states import WorkspaceId

# Half a per cent: a 15 s offer is off by at most 75 ms, and a wall-clock change of one minute is absorbed in 3.3 hours.
SLEW_PER_S: Final = 0.005
# Differences below this are rounding; correcting them would make the clock oscillate.
_TOLERANCE_MS: Final = 2.0
DRIFT_WARNED_MS: Final = 2_000
"""Difference to the wall clock that is reported: opening hours and reports would show it."""
# Stale entries tolerated beyond the number of valid ones before the heap is rebuilt.
_STALE_ENTRIES_MAX: Final = 64


class Clock(Protocol):
    """The clock used by the writer."""

    def now_ms(self) -> int:
        """Return epoch milliseconds, never less than before."""
        ...

    def set_minimum(self, at_ms: int) -> None:
        """Make the clock read at least ``at_ms`` and advance from there."""
        ...

    def delay_s(self, at_ms: int) -> float:
        """Return the seconds until the clock reads ``at_ms``, 0 where it already does."""
        ...

    def drift_ms(self) -> int:
        """Return how far the clock is ahead of the wall clock, negative where it is behind."""
        ...


class SystemClock:
    """The clock of the machine."""

    def __init__(self, *, wall_s: Callable[[], float] = time.time, steady_s: Callable[[], float] | None = None) -> None:
        """``wall_s`` can jump in both directions, ``steady_s`` only advances. Both are replaced in tests."""
        self._wall_s = wall_s
        self._steady_s = steady_s if steady_s is not None else _steady_s
        self._seen_s = self._steady_s()
        self._exact_ms = self._wall_s() * 1000
        self._now_ms = int(self._exact_ms)

    def now_ms(self) -> int:
        """Return epoch milliseconds, never less than before."""
        steady_s = self._steady_s()
        passed_s = steady_s - self._seen_s
        if passed_s > 0:
            self._seen_s = steady_s
            self._exact_ms += passed_s * 1000
            behind_ms = self._wall_s() * 1000 - self._exact_ms
            if abs(behind_ms) > _TOLERANCE_MS:
                slew_ms = passed_s * 1000 * SLEW_PER_S
                self._exact_ms += max(-slew_ms, min(slew_ms, behind_ms))
            self._now_ms = max(self._now_ms, int(self._exact_ms))
        return self._now_ms

    def set_minimum(self, at_ms: int) -> None:
        """Make the clock read at least ``at_ms`` and advance from there, rather than wait for the wall clock."""
        if self.now_ms() < at_ms:
            self._exact_ms = float(at_ms)
            self._now_ms = at_ms

    def delay_s(self, at_ms: int) -> float:
        """Return the seconds until the clock reads ``at_ms``, 0 where it already does."""
        return max(0.0, (at_ms - self.now_ms()) / 1000)

    def drift_ms(self) -> int:
        """Return how far the clock is ahead of the wall clock, negative where it is behind."""
        return self.now_ms() - round(self._wall_s() * 1000)


def _steady_s() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class WakeupSchedule:
    """The next deadline of each workspace, in epoch milliseconds."""

    def __init__(self) -> None:
        self._current: dict[WorkspaceId, int] = {}
        self._heap: list[tuple[int, WorkspaceId]] = []

    def set(self, workspace: WorkspaceId, deadline_ms: int | None) -> None:
        """Set the deadline of a workspace, or clear it with None. O(log n)."""
        if deadline_ms is None:
            self._current.pop(workspace, None)
        elif self._current.get(workspace) != deadline_ms:
            self._current[workspace] = deadline_ms
            heapq.heappush(self._heap, (deadline_ms, workspace))
            if len(self._heap) > 2 * len(self._current) + _STALE_ENTRIES_MAX:
                self._heap = [(at_ms, name) for name, at_ms in self._current.items()]
                heapq.heapify(self._heap)

    def next_ms(self) -> int | None:
        """Return the earliest deadline of all workspaces, None where there is none."""
        while self._heap:
            at_ms, workspace = self._heap[0]
            if self._current.get(workspace) == at_ms:
                return at_ms
            heapq.heappop(self._heap)
        return None

    def pop_due(self, at_ms: int, count_max: int) -> list[WorkspaceId]:
        """Return at most ``count_max`` due workspaces, the longest overdue first, and clear their deadlines."""
        due: list[WorkspaceId] = []
        while len(due) < count_max:
            next_ms = self.next_ms()
            if next_ms is None or next_ms > at_ms:
                break
            _, workspace = heapq.heappop(self._heap)
            del self._current[workspace]
            due.append(workspace)
        return due
