"""The event feed: reads from any position of the event log, and subscriptions to it.

The journal is the source of truth: it holds every durable record of every workspace. The ``Publisher`` holds the newest records in
memory and announces each record once it is durable. The feed combines both. A read after a position is answered from memory where
the publisher still retains the records, otherwise from the journal; it never returns a record before it has been published.
``wait`` returns when there are events after a position. ``subscribe`` and ``subscribe_inline`` deliver all records to a handler, at
least once and in order, and isolate its failures (``subscription.py``). ``statuses`` reports the health of all subscriptions.
"""

import asyncio
from typing import Final

from router.journal.port import Journal
from router.model.errors import RouterError
from router.model.ids import WorkspaceId
from router.runtime.cursors import CursorStore, FeedPosition
from router.runtime.publisher import PublishedRecord, Publisher
from router.runtime.subscription import (
    CoroutineHandler,
    InlineHandler,
    Subscription,
    SubscriptionObserver,
    SubscriptionState,
    SubscriptionStatus,
)

__all__ = [
    "EventFeed",
    "FeedPosition",
    "PublishedRecord",
    "Publisher",
    "Subscription",
    "SubscriptionObserver",
    "SubscriptionState",
    "SubscriptionStatus",
    "UnknownPosition",
]

RETRY_MIN_S: Final = 0.1
RETRY_MAX_S: Final = 30.0


class UnknownPosition(RouterError):
    """The position is not part of the event log: it belongs to another history or lies after the newest event."""


class EventFeed:
    """Reads and subscriptions over the publisher and the journal. Confined to the event loop, except for ``statuses``."""

    def __init__(
        self,
        publisher: Publisher,
        journal: Journal,
        *,
        observer: SubscriptionObserver | None = None,
        retry_min_s: float = RETRY_MIN_S,
        retry_max_s: float = RETRY_MAX_S,
    ) -> None:
        """Retry a failed record after ``retry_min_s`` at first, then after twice the delay each time."""
        self.publisher = publisher
        self.observer = observer
        self.retry_min_s: Final = retry_min_s
        self.retry_max_s: Final = retry_max_s
        self._journal = journal
        self._subscriptions: tuple[Subscription, ...] = ()
        self._waiting: dict[WorkspaceId, asyncio.Event] = {}
        publisher.subscribe(self._on_record)

    # --- reading -----------------------------------------------------------------------

    def position(self, workspace: WorkspaceId) -> FeedPosition:
        """Return the position after the newest published event. Raises KeyError for an unknown workspace."""
        publisher = self.publisher
        return FeedPosition(publisher.history_id(workspace), publisher.last_seq(workspace))

    async def read(
        self, workspace: WorkspaceId, after: FeedPosition, *, limit: int
    ) -> list[PublishedRecord]:
        """Return at most ``limit`` published records with events after a position, oldest first.

        At least one record is returned if the position is not the newest. The first record may also hold events up to the
        position. Raises UnknownPosition, KeyError for an unknown workspace, and JournalError where the journal has to be read
        and fails.
        """
        newest = self.position(workspace)
        if after.history_id != newest.history_id or not 0 <= after.seq <= newest.seq:
            raise UnknownPosition("the position is not part of this history")
        if after.seq == newest.seq or limit < 1:
            return []
        if self.publisher.covers(workspace, newest.history_id, after.seq):
            # A record has at least one event, so this many events are at most as many records.
            until_seq = min(newest.seq, after.seq + limit)
            records = self.publisher.records_between(workspace, after.seq, until_seq)
        else:
            found = await self._journal.read(workspace, after_seq=after.seq, limit=limit)
            # The journal may already hold records that are durable but not published yet.
            records = [record for record in found if record.last_seq <= newest.seq]
        return [PublishedRecord(workspace, newest.history_id, record) for record in records]

    async def wait(self, workspace: WorkspaceId, after_seq: int) -> None:
        """Wait until an event after ``after_seq`` has been published. Raises KeyError for an unknown workspace."""
        while self.publisher.last_seq(workspace) <= after_seq:
            await self._waiting.setdefault(workspace, asyncio.Event()).wait()

    # --- subscriptions -----------------------------------------------------------------

    def subscribe_inline(
        self,
        name: str,
        handler: InlineHandler,
        *,
        cursors: CursorStore | None = None,
        from_start: bool = False,
        attempts_max: int | None = None,
    ) -> Subscription:
        """Deliver records to a function that is called within the commit, so it must be quick.

        Arguments as for ``subscribe``.
        """
        return self._add(name, handler, True, cursors, from_start, attempts_max)

    def subscribe(
        self,
        name: str,
        handler: CoroutineHandler,
        *,
        cursors: CursorStore | None = None,
        from_start: bool = False,
        attempts_max: int | None = None,
    ) -> Subscription:
        """Deliver records to a coroutine function that runs in a task for each workspace.

        A workspace without a stored cursor starts at the newest event, or at the first one with ``from_start``. Where the
        history of a workspace was replaced after a loss, delivery continues at the stored number or at the end of the new
        history, whichever comes first. ``attempts_max`` is the number of attempts before a record is skipped; None retries
        permanently. Raises CursorsDamaged, and ValueError for a name that is in use.
        """
        return self._add(name, handler, False, cursors, from_start, attempts_max)

    def _add(
        self,
        name: str,
        handler: InlineHandler | CoroutineHandler,
        is_inline: bool,
        store: CursorStore | None,
        from_start: bool,
        attempts_max: int | None,
    ) -> Subscription:
        if any(one.name == name for one in self._subscriptions):
            raise ValueError(f"the subscription {name} exists already")
        subscription = Subscription(
            self,
            name,
            handler,
            is_inline=is_inline,
            store=store,
            attempts_max=attempts_max,
            on_close=self._forget,
        )
        self._subscriptions += (subscription,)
        subscription.start(from_start=from_start)
        return subscription

    def statuses(self) -> list[SubscriptionStatus]:
        """Return the health of all subscriptions. Safe to call from another thread."""
        return [subscription.status() for subscription in self._subscriptions]

    async def close(self) -> None:
        """End all subscriptions and save their cursors. Idempotent."""
        for subscription in self._subscriptions:
            await subscription.close()

    def retry_delay_s(self, failures: int) -> float:
        """Return the delay before the next attempt, after this number of failures in a row."""
        # The exponent is limited so that the power never overflows.
        return min(self.retry_min_s * 2.0 ** min(failures - 1, 32), self.retry_max_s)

    def _forget(self, subscription: Subscription) -> None:
        # A new tuple, because a handler may end subscriptions while a record is being delivered.
        self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)

    def _on_record(self, published: PublishedRecord) -> None:
        waiting = self._waiting.pop(published.workspace, None)
        if waiting is not None:
            waiting.set()
        for subscription in self._subscriptions:
            subscription.on_record(published)
