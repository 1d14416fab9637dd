"""A journal, a publisher and a feed over it, and a handler that fails on demand."""

import asyncio
from collections.abc import Callable

from router.journal.memory import MemoryJournal, MemoryStorage
from router.journal.records import Record
from router.model.states import WorkspaceId
from router.runtime.event_feed import EventFeed, SubscriptionState
from router.runtime.publisher import PublishedRecord, Publisher
from tests.support.journal_records import a_record


class Log:
    """A journal with a publisher and a feed over it: what a process has of the event log."""

    def __init__(self, storage: MemoryStorage | None = None, *, retained: int = 2) -> None:
        self.storage = MemoryStorage() if storage is None else storage
        self.storage.owner = None
        self.journal = MemoryJournal(self.storage)
        self.publisher = Publisher(workspace_records_max=retained)
        self.feed = EventFeed(self.publisher, self.journal, retry_min_s=0.0, retry_max_s=0.0)

    async def open(self, *names: WorkspaceId) -> "Log":
        for history in await self.journal.open():
            self.publisher.add_workspace(history.workspace, history.history_id, last_seq=history.last_position.seq)
        for name in names:
            if name not in self.publisher.workspaces:
                history = await self.journal.create_workspace(name)
                self.publisher.add_workspace(name, history.history_id, last_seq=0)
        return self

    async def append(self, name: WorkspaceId = "main", *, events: int = 1) -> Record:
        record = a_record(self.publisher.last_seq(name) + 1, events=events)
        await self.journal.append([(name, record)])
        self.publisher.publish(name, record)
        return record

    async def restarted(self) -> "Log":
        await self.feed.close()
        await self.journal.close()
        return await Log(self.storage).open()


class Handler:
    """Remembers what it has handled, and fails as often as the test says."""

    def __init__(self) -> None:
        self.handled: list[tuple[WorkspaceId, int]] = []
        self.failures_left = 0
        self.fails_at: tuple[WorkspaceId, int] | None = None

    def __call__(self, published: PublishedRecord) -> None:
        place = (published.workspace, published.record.first_seq)
        if self.failures_left or place == self.fails_at:
            self.failures_left = max(0, self.failures_left - 1)
            raise ValueError("the subscriber is broken")
        self.handled.append(place)

    async def coroutine(self, published: PublishedRecord) -> None:
        await asyncio.sleep(0)
        self(published)

    def seqs(self, workspace: WorkspaceId = "main") -> list[int]:
        return [seq for name, seq in self.handled if name == workspace]


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def caught_up(log: Log) -> None:
    """Wait until every subscription has handled everything."""
    await until(lambda: all(one.lag_events == 0 and one.state is SubscriptionState.LIVE for one in log.feed.statuses()))
