"""What is written of contacts: that of contacts with a customer."""

from collections.abc import Callable
from typing import Any, cast

from router.context.cards import WorkChange
from router.context.service import ContextService
from router.journal.records import Record
from router.model import events as e
from router.runtime.event_feed import EventFeed
from router.runtime.publisher import PublishedRecord
from router.server.customers.work_log import WorkLog

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
