"""The wake-up times of the workspaces: when the next timer of each workspace is due.

A heap of (deadline, workspace) with lazy deletion: an entry is valid only while it equals the current deadline of the workspace.
Workspaces that are not due cost nothing. Stale entries are removed when they outnumber the valid ones.
"""

import heapq
from typing import Final

from router.model.ids import WorkspaceId

# Stale entries tolerated beyond the number of valid ones before the heap is rebuilt.
_STALE_ENTRIES_MAX: Final = 64


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
