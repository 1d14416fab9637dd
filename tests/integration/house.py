"""A running writer over a journal, for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from router.journal.port import Journal, Record
from router.model.commands import Command
from router.model.ids import WorkspaceId
from router.model.outcome import Done
from router.runtime.publisher import Published
from router.runtime.snapshots import SnapshotSchedule
from router.runtime.writer import Reply, Writer, WriterLimits
from tests.integration.hand_clock import CountingMeters, HandClock

# No automatic snapshots; tests of snapshots pass their own schedule.
NO_SNAPSHOTS = SnapshotSchedule(events=10**9, events_when_idle=10**9, idle_ms=10**7)


@asynccontextmanager
async def a_writer(
    journal: Journal,
    *,
    clock: HandClock,
    limits: WriterLimits | None = None,
    snapshots: SnapshotSchedule = NO_SNAPSHOTS,
) -> AsyncIterator[Writer]:
    """Run a writer over the journal and stop it in an orderly way at the end."""
    writer = Writer(
        journal, clock=clock, limits=limits, snapshots=snapshots, new_meters=CountingMeters
    )
    clock.on_advance = writer.wake
    await writer.recover()
    running = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        await writer.stop()
        await running


async def do(writer: Writer, command: Command, *, workspace: WorkspaceId = "main") -> Reply:
    """Execute a command that must succeed."""
    reply = await writer.execute(workspace, command, actor="admin:test")
    assert isinstance(reply.outcome.answer, Done), reply.outcome.answer
    return reply


class Heard:
    """The records received from the publisher, with a way to wait for them."""

    def __init__(self, writer: Writer) -> None:
        self.records: list[tuple[WorkspaceId, Record]] = []
        self._more = asyncio.Event()
        self.stop: Callable[[], None] = writer.publisher.subscribe(self._hear)

    def _hear(self, published: Published) -> None:
        self.records.append((published.workspace, published.record))
        self._more.set()

    async def until(self, count: int) -> None:
        """Wait until this number of records was received."""
        async with asyncio.timeout(10):
            while len(self.records) < count:
                self._more.clear()
                await self._more.wait()
