"""A running writer over a journal, for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from router.journal.port import Journal
from router.journal.records import Record
from router.model.commands import AcceptOffer, Command, EndContact
from router.model.events import OfferMade
from router.model.results import Done
from router.model.states import WorkspaceId
from router.runtime.publisher import PublishedRecord
from router.runtime.snapshots import SnapshotSchedule
from router.runtime.writer import Reply, Writer, WriterLimits
from tests.support.builders import a_contact, a_policy, an_agent, not_ready, published, ready
from tests.support.manual_clock import CountingStats, ManualClock

# No automatic snapshots; tests of snapshots pass their own schedule.
NO_SNAPSHOTS = SnapshotSchedule(events=10**9, events_when_idle=10**9, idle_ms=10**7)


@asynccontextmanager
async def running_writer(
    journal: Journal, *, clock: ManualClock, limits: WriterLimits | None = None, snapshots: SnapshotSchedule = NO_SNAPSHOTS
) -> AsyncIterator[Writer]:
    """Run a writer over the journal and stop it in an orderly way at the end."""
    writer = Writer(journal, clock=clock, limits=limits, snapshots=snapshots, new_stats=CountingStats)
    clock.on_advance = writer.wake
    await writer.recover()
    running = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        await writer.stop()
        await running


async def execute_done(writer: Writer, command: Command, *, workspace: WorkspaceId = "main") -> Reply:
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


async def run_workload(writer: Writer, clock: ManualClock, *, contacts: int = 30) -> str:
    """Execute contacts, agents, accepts, expiries, wrap-ups and refusals; return the digest at the end."""
    await writer.add_workspace("main")
    await execute_done(writer, published(a_policy()))
    for number in range(4):
        await execute_done(writer, an_agent(f"a{number}", skills={"english": number + 1}))
        await execute_done(writer, ready(f"a{number}"))
    for number in range(contacts):
        clock.advance(1_700)
        reply = await execute_done(writer, a_contact(f"c{number}", priority_s=number % 5))
        for event in reply.outcome.events:
            if isinstance(event, OfferMade) and number % 3:
                accept = AcceptOffer(offer_id=event.offer_id, agent_id=event.agent_id)
                await execute_done(writer, accept)
        if number % 4 == 3:
            await writer.execute("main", EndContact(contact_id=f"c{number - 2}"), actor="a")
            await writer.execute("main", not_ready("a1"), actor="a")
            await execute_done(writer, ready("a1"))
    return await digest_of(writer)


async def digest_of(writer: Writer) -> str:
    return (await writer.query("main", lambda engine: engine.digest())).value
