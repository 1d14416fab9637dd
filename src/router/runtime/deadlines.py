"""When which workspace has to be woken. A thousand workspaces cost nothing while none of them is due.

A heap of (deadline, workspace), with lazy deletion: an entry counts only while it is the workspace's present deadline.
"""

import heapq
from typing import Final

from router.model.ids import WorkspaceId

# Below that many entries old ones are not worth sweeping out.
_SWEEP_MIN: Final = 64


class Deadlines:
    """The next deadline of each workspace."""

    def __init__(self) -> None:
        self._present: dict[WorkspaceId, int] = {}
        self._heap: list[tuple[int, WorkspaceId]] = []

    def set(self, workspace: WorkspaceId, deadline_ms: int | None) -> None:
        """The workspace's deadline is now this; none: it has none."""
        if deadline_ms is None:
            self._present.pop(workspace, None)
        elif self._present.get(workspace) != deadline_ms:
            self._present[workspace] = deadline_ms
            heapq.heappush(self._heap, (deadline_ms, workspace))
            if len(self._heap) > 2 * len(self._present) + _SWEEP_MIN:
                self._heap = [(at_ms, name) for name, at_ms in self._present.items()]
                heapq.heapify(self._heap)

    def next_ms(self) -> int | None:
        """The earliest deadline of all."""
        while self._heap:
            at_ms, workspace = self._heap[0]
            if self._present.get(workspace) == at_ms:
                return at_ms
            heapq.heappop(self._heap)
        return None

    def pop_due(self, at_ms: int, count_max: int) -> list[WorkspaceId]:
        """At most so many workspaces that are due, the longest overdue first. They are without a deadline until ``set``."""
        due: list[WorkspaceId] = []
        while len(due) < count_max:
            next_ms = self.next_ms()
            if next_ms is None or next_ms > at_ms:
                break
            _, workspace = heapq.heappop(self._heap)
            del self._present[workspace]
            due.append(workspace)
        return due
