"""What is written of contacts: that of contacts with a customer, and all of it before the store counts as current."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from router.context.cards import WorkChange
from router.context.customers import ContextError, ContextUnavailable
from router.context.keys import SealBroken
from router.context.service import ContextService
from router.journal.port import EventsArchived
from router.journal.records import Record
from router.model import events as e
from router.runtime.event_feed import EventFeed, FeedPosition
from router.runtime.publisher import PublishedRecord
from router.server.customers import work_log
from router.server.customers.work_log import WorkLog
from tests.support.event_log import Log, until

Written = tuple[list[WorkChange], int]


class Store:
    """It stands for the context and its store, and keeps what was written."""

    def __init__(self) -> None:
        self.contacts = self
        self.written: list[Written] = []
        self.is_available = True

    async def run(self, operation: Callable[[Any], None]) -> None:
        operation(self)

    def record_work(self, _workspace: str, changes: list[WorkChange], *, history_id: str, seq: int, is_complete: bool) -> None:
        assert history_id == "h" and is_complete
        self.written.append((changes, seq))


class World:
    def __init__(self) -> None:
        self.store = Store()
        self.log = WorkLog(cast(ContextService, self.store), cast(EventFeed, None))
        self.seq = 0

    async def happens(self, *events: Any) -> None:
        """Publish events as one record."""
        record = Record(epoch=1, first_seq=self.seq + 1, at_ms=self.seq, actor="test", cause="test", events=tuple(events))
        self.seq += len(events)
        self.log._on_record(PublishedRecord(workspace="main", history_id="h", record=record))


def queued(contact_id: str, customer_id: str | None = None) -> e.ContactQueued:
    return e.ContactQueued(
        contact_id=contact_id, channel="chat", queue_id="support", requirement="", policy_version=1, customer_id=customer_id
    )


def requeued(contact_id: str) -> e.ContactOverflowed:
    return e.ContactOverflowed(contact_id=contact_id, from_queue_id="support", queue_id="sales", requirement="")


async def test_only_contacts_with_a_customer_are_written() -> None:
    world = World()
    await world.happens(queued("c1"), requeued("c1"))
    assert await world.log.flush() and world.store.written == []
    await world.happens(queued("c2", "k2"), requeued("c2"))
    await world.happens(requeued("c1"))
    await world.log.flush()
    [(changes, seq)] = world.store.written
    assert [one.contact_id for one in changes] == ["c2", "c2"] and seq == 5
    # From before the start: nothing is known of it, so it is written.
    await world.happens(requeued("c0"))
    await world.log.flush()
    assert [one.contact_id for one in world.store.written[1][0]] == ["c0"]


class SlowStore:
    """The store of a context that answers when ``gate`` is open, with an error for each operation that ``fail`` accepts."""

    def __init__(self, history_id: str) -> None:
        self.contacts = self
        self.history_id = history_id
        self.is_available = True
        self.gate = asyncio.Event()
        self.errors: list[Exception] = []
        self.written: list[str] = []
        self.seq = 0
        self.others: list[tuple[str, str, int]] = []
        """What was written of other workspaces than ``main``: name and position."""
        self.most = 0
        """Changes of the largest batch."""

    async def run(self, operation: Callable[[Any], Any]) -> Any:
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        return operation(self)

    def cursor(self, _workspace: str) -> tuple[str, int]:
        return self.history_id, self.seq

    def record_work(self, workspace: str, changes: list[WorkChange], *, history_id: str, seq: int, is_complete: bool) -> None:
        if workspace != "main":
            self.others.append((workspace, history_id, seq))
            return
        self.most = max(self.most, len(changes))
        self.written += [one.contact_id for one in changes]
        if is_complete:
            self.seq = seq


@asynccontextmanager
async def a_start_behind(monkeypatch: pytest.MonkeyPatch, records: int) -> AsyncIterator[tuple[WorkLog, SlowStore, list[str]]]:
    """A start at which the store has none of some records, each of a new contact."""
    for name, value in (("CHANGES_MAX", 60), ("BATCH_MAX", 20), ("FLUSH_S", 0.0), ("RETRY_S", 0.0)):
        monkeypatch.setattr(work_log, name, value)
    log, ids = await Log().open("main"), [f"c{number}" for number in range(records)]
    for seq, contact_id in enumerate(ids, start=1):
        record = Record(epoch=1, first_seq=seq, at_ms=seq, actor="test", cause="test", events=(queued(contact_id, "k1"),))
        await log.journal.append([("main", record)])
        log.publisher.publish("main", record)
    store = SlowStore(log.publisher.history_id("main"))
    work = WorkLog(cast(ContextService, store), log.feed)
    loading = asyncio.create_task(work.load(["main"]))
    store.gate.set()
    assert await loading
    store.gate.clear()
    work.begin()
    try:
        yield work, store, ids
    finally:
        store.gate.set()
        await work.stop()
        await log.feed.close()


async def test_a_start_far_behind_drops_nothing_before_cards_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_start_behind(monkeypatch, 500) as (work, store, ids):
        store.errors = [ContextUnavailable("the disk is busy")] * 7
        current = asyncio.create_task(work.wait_until_current("main"))
        for _ in range(1_000):  # The feed has all the time that it wants, and the store does not answer.
            await asyncio.sleep(0)
        assert not current.done() and not store.written
        store.gate.set()
        assert await current
        assert (store.written, store.seq) == (ids, 500) and store.most <= 40


@pytest.mark.parametrize("error", [ContextError("a batch was refused"), SealBroken("a key was altered"), ValueError("not JSON")])
async def test_a_store_that_lost_changes_from_before_the_start_is_not_current(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with a_start_behind(monkeypatch, 100) as (work, store, ids):
        store.errors = [error]
        store.gate.set()
        assert not await work.wait_until_current("main")
        assert len(store.written) < len(ids) and store.seq == 0
        # Where nothing can be read at all, nothing old can be shown.
        store.is_available = False
        assert await work.wait_until_current("main")


async def test_a_stop_while_the_feed_waits_for_the_store_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_start_behind(monkeypatch, 100) as (work, store, ids):
        await until(lambda: work._draining is not None)
        stopping = asyncio.create_task(work.stop())
        await asyncio.sleep(0)
        store.gate.set()
        await stopping
        # What the record had that the feed was at is written again after the next start.
        assert store.seq and store.written[: store.seq] == ids[: store.seq]


async def test_the_position_of_a_new_workspace_is_written_before_its_first_contact(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_start_behind(monkeypatch, 1) as (work, store, _):
        store.gate.set()
        assert await work.wait_until_current("main")
        work._feed.publisher.add_workspace("branch", "h2", last_seq=2)
        work.workspace_created("branch")
        await until(lambda: bool(store.others))
        assert store.others == [("branch", "h2", 2)]


async def happen(work: WorkLog, numbers: range) -> list[str]:
    """Publish records, each of a new contact, in the course of the day; return their contacts."""
    ids = [f"c{number}" for number in numbers]
    for seq, contact_id in enumerate(ids, start=work._feed.publisher.last_seq("main") + 1):
        record = Record(epoch=1, first_seq=seq, at_ms=seq, actor="test", cause="test", events=(queued(contact_id, "k1"),))
        await work._feed._journal.append([("main", record)])
        work._feed.publisher.publish("main", record)
    return ids


@pytest.mark.parametrize("fails", [False, True])
async def test_changes_beyond_the_limit_are_read_again_from_the_log(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """The store is slow, or cannot be used, for longer than the changes may wait in memory."""
    async with a_start_behind(monkeypatch, 1) as (work, store, ids):
        store.gate.set()
        assert await work.wait_until_current("main")
        await until(lambda: store.seq == 1)
        if fails:
            store.errors = [ContextUnavailable("the disk has failed")] * 300
        else:
            store.gate.clear()
        ids += await happen(work, range(1, 500))
        for _ in range(200):
            await asyncio.sleep(0)
        assert store.written == ["c0"] and work._waiting <= 60 and store.seq == 1
        store.errors = []
        store.gate.set()
        await until(lambda: store.seq == 500)
        await until(lambda: not work._missed)
        assert store.written == ids and store.most <= 300 and not work._gaps, "in order, none missing, in batches"
        # From here on changes are taken as they come.
        ids += await happen(work, range(500, 503))
        await until(lambda: store.seq == 503)
        assert store.written == ids


async def test_a_stop_while_changes_are_read_again_writes_no_position_beyond_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_start_behind(monkeypatch, 1) as (work, store, ids):
        store.gate.set()
        assert await work.wait_until_current("main")
        await until(lambda: store.seq == 1)
        store.gate.clear()
        ids += await happen(work, range(1, 500))
        await until(lambda: bool(work._missed))
        stopping = asyncio.create_task(work.stop())
        await asyncio.sleep(0)
        store.gate.set()
        await stopping
        assert 1 < store.seq < 500 and store.written == ids[: store.seq]


async def test_changes_that_are_no_longer_in_the_log_leave_the_position_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_start_behind(monkeypatch, 1) as (work, store, ids):
        store.gate.set()
        assert await work.wait_until_current("main")
        await until(lambda: store.seq == 1)
        store.gate.clear()
        ids += await happen(work, range(1, 500))
        await until(lambda: bool(work._missed))
        read, archived = work._feed.read, [EventsArchived("main", first_seq=301)]

        async def without_the_oldest(*args: Any, **options: Any) -> Any:
            if archived:
                raise archived.pop()
            return await read(*args, **options)

        monkeypatch.setattr(work._feed, "read", without_the_oldest)
        store.gate.set()
        await until(lambda: store.written[-1:] == ["c499"] and not work._missed)
        assert set(store.written) >= set(ids[300:]) and store.seq < 300 and work._gaps == {"main"}


async def test_changes_that_could_not_be_written_beside_newer_ones_are_read_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than may wait comes while a batch is being written, and that fails."""
    async with a_start_behind(monkeypatch, 1) as (work, store, ids):
        store.gate.set()
        assert await work.wait_until_current("main")
        await until(lambda: store.seq == 1)
        store.gate.clear()
        ids += await happen(work, range(1, 41))
        await until(lambda: work._waiting == 0)  # The batch is on its way.
        ids += await happen(work, range(41, 81))
        assert work._waiting == 40 and not work._missed
        store.errors = [ContextUnavailable("the disk has failed")]
        store.gate.set()
        await until(lambda: store.seq == 81)
        assert store.written == ids and not work._gaps


@pytest.mark.parametrize("seq", [0, 900])
async def test_a_position_of_another_history_lets_all_of_this_one_be_read(monkeypatch: pytest.MonkeyPatch, seq: int) -> None:
    """The store has a position from before a backup was restored, and more comes than may wait."""
    async with a_start_behind(monkeypatch, 1) as (work, store, ids):
        store.gate.set()
        assert await work.wait_until_current("main")
        await until(lambda: store.seq == 1)
        store.gate.clear()
        work._written["main"] = FeedPosition("another", seq)
        ids += await happen(work, range(1, 41))
        await until(lambda: work._waiting == 0)  # The batch is on its way.
        ids += await happen(work, range(41, 81))
        store.errors = [ContextUnavailable("the disk has failed")]
        store.gate.set()
        await until(lambda: store.seq == 81 and not work._missed)
        assert store.written == ["c0", *ids] and not work._gaps
        # From here on changes are taken as they come.
        ids += await happen(work, range(81, 83))
        await until(lambda: store.seq == 83)


async def test_who_was_passed_a_contact_and_its_channel_are_written() -> None:
    world = World()
    await world.happens(queued("c1", "k1"))
    passed: dict[str, Any] = {"contact_id": "c1", "from_assignment_id": "c1.1", "from_agent_id": "ada", "assignment_id": "c1.2"}
    await world.happens(
        e.ContactHandedOver(**passed, agent_id="bob", reason="channel"),
        e.ContactChannelSwitched(
            contact_id="c1", queue_id="support", from_channel="chat", channel="voice", requirement="", units=100
        ),
    )
    assert await world.log.flush()
    [(changes, _)] = world.store.written
    assert [(one.agent_id, one.channel) for one in changes] == [(None, "chat"), ("bob", None), (None, "voice")]
