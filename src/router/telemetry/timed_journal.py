"""A journal that measures how long each batch takes to become durable and delegates everything to another journal."""

import time
from collections.abc import Iterator, Sequence

from prometheus_client import Histogram

from router.journal.port import Journal, Record, Snapshot, WorkspaceHistory
from router.model.ids import WorkspaceId


class TimedJournal:
    """A ``Journal`` that wraps another one and observes its commit times."""

    def __init__(self, journal: Journal, seconds: Histogram) -> None:
        self._journal = journal
        self._seconds = seconds

    async def open(self) -> Sequence[WorkspaceHistory]:
        """Delegate."""
        return await self._journal.open()

    async def create_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Delegate."""
        return await self._journal.create_workspace(workspace)

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Delegate."""
        return self._journal.replay(workspace, after_seq=after_seq)

    async def read(self, workspace: WorkspaceId, *, after_seq: int, limit: int) -> list[Record]:
        """Delegate."""
        return await self._journal.read(workspace, after_seq=after_seq, limit=limit)

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Delegate, and observe the duration."""
        began_s = time.perf_counter()
        await self._journal.append(batch)
        self._seconds.observe(time.perf_counter() - began_s)

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Delegate."""
        await self._journal.save_snapshot(workspace, snapshot)

    async def run_maintenance(self) -> None:
        """Delegate."""
        await self._journal.run_maintenance()

    async def close(self) -> None:
        """Delegate."""
        await self._journal.close()
