"""A running writer over a journal, for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from router.journal.port import Journal, Record
from router.model.commands import Command
from router.model.ids import WorkspaceId
from router.model.results import Done
from router.runtime.publisher import PublishedRecord
from router.runtime.snapshots import SnapshotSchedule
from router.runtime.writer import Reply, Writer, WriterLimits
from tests.support.manual_clock import CountingStats, ManualClock

# No automatic snapshots; tests of snapshots pass their own schedule.
NO_SNAPSHOTS = SnapshotSchedule(events=10**9, events_when_idle=10**9, idle_ms=10**7)


@asynccontextmanager
async def running_writer(
    journal: Journal,
    *,
    clock: ManualClock,
    limits: WriterLimits | None = None,
    snapshots: SnapshotSchedule = NO_SNAPSHOTS,
) -> AsyncIterator[Writer]:
    """Run a writer over the journal and stop it in an orderly way at the end."""
    writer = Writer(
        journal, clock=clock, limits=limits, snapshots=snapshots, new_stats=CountingStats
    )
    clock.on_advance = writer.wake
    await writer.recover()
    running = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        await writer.stop()
        await running


async def execute_done(
    writer: Writer, command: Command, *, workspace: WorkspaceId = "main"
) -> Reply:
    """Execute a command that must succeed."""
    reply = await writer.execute(workspace, command, actor="admin:test")
    assert isinstance(reply.outcome.result, Done), reply.outcome.result
    return reply


class RecordedEvents:
    """The records received from the publisher, with a way to wait for them."""

    def __init__(self, writer: Writer) -> None:
        self.records: list[tuple[WorkspaceId, Record]] = []
        self._more = asyncio.Event()
        self.stop: Callable[[], None] = writer.publisher.subscribe(self._on_record)

    def _on_record(self, published: PublishedRecord) -> None:
        self.records.append((published.workspace, published.record))
        self._more.set()

    async def until(self, count: int) -> None:
        """Wait until this number of records was received."""
        async with asyncio.timeout(10):
            while len(self.records) < count:
                self._more.clear()
                await self._more.wait()
