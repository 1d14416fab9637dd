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

# Never by itself: tests that are about snapshots say when.
NO_SNAPSHOTS = SnapshotSchedule(events=10**9, events_when_idle=10**9, idle_ms=10**7)


@asynccontextmanager
async def a_writer(
    journal: Journal,
    *,
    clock: HandClock,
    limits: WriterLimits | None = None,
    snapshots: SnapshotSchedule = NO_SNAPSHOTS,
) -> AsyncIterator[Writer]:
    """A writer that runs; stopped in order at the end."""
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
    """A command that must be carried out."""
    reply = await writer.execute(workspace, command, actor="admin:test")
    assert isinstance(reply.outcome.answer, Done), reply.outcome.answer
    return reply


class Heard:
    """What the publisher has told, and a way to wait for it."""

    def __init__(self, writer: Writer) -> None:
        self.records: list[tuple[WorkspaceId, Record]] = []
        self._more = asyncio.Event()
        self.stop: Callable[[], None] = writer.publisher.subscribe(self._hear)

    def _hear(self, published: Published) -> None:
        self.records.append((published.workspace, published.record))
        self._more.set()

    async def until(self, count: int) -> None:
        """Until so many records were told."""
        async with asyncio.timeout(10):
            while len(self.records) < count:
                self._more.clear()
                await self._more.wait()
