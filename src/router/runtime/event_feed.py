"""The event feed: reads from any position of the event log, and subscriptions to it.

The journal is the source of truth: it holds every durable record of every workspace. The ``Publisher`` holds the newest records in
memory and announces each record once it is durable. The feed combines both. A read after a position is answered from memory where
the publisher still retains the records, otherwise from the journal; it never returns a record before it has been published.
``wait`` returns when there are events after a position. ``subscribe`` and ``subscribe_inline`` deliver all records to a handler, at
least once and in order, and isolate its failures. ``statuses`` reports the health of all subscriptions.

Theory of operation of a subscription. It delivers all records to one handler, in order within each workspace, at least once. It
keeps one cursor per workspace, which advances only after the handler has returned. An *inline* handler is a plain function that
is called within the commit, before the replies are sent, as long as its cursor is at the end of the log (``LIVE``); otherwise a
task delivers the missing records and then switches back to inline delivery. A coroutine handler always runs in a task. With a
``CursorStore`` the cursors survive a restart of the process.

Failures are isolated. An exception of a handler never reaches the writer, other subscriptions, or other workspaces of the same
subscription. The failed record is delivered again after a delay that doubles up to ``retry_max_s`` (``RETRYING``), and delivery
continues from the cursor, so nothing is lost. A handler that can never handle a record would retry permanently; with
``attempts_max`` the record is skipped and counted instead, and ``on_skipped`` is called, with which the subscriber makes good what
its own clients have missed. A read that fails, in whatever way, is repeated in the same manner. Nothing is queued in memory for a
slow or failing subscriber: its records wait in the journal.

A cursor must never advance before its record is handled, and inline delivery must never start while records are missing: these
are the two mistakes that lose events silently.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from router.journal.port import EventsArchived, Journal
from router.journal.records import Record
from router.model.errors import RouterError
from router.model.states import WorkspaceId
from router.runtime.cursors import Cursors, CursorsDamaged, CursorStore, FeedPosition, FileCursorStore, MemoryCursorStore
from router.runtime.publisher import PublishedRecord, Publisher

# Records of one read, and records delivered before other tasks can run.
_READ_RECORDS: Final = 256

_SLICE_RECORDS: Final = 32

# Cursors are saved this long after the first record that is not saved yet.
SAVE_INTERVAL_S: Final = 1.0

InlineHandler: TypeAlias = Callable[[PublishedRecord], Awaitable[None] | None]

CoroutineHandler: TypeAlias = Callable[[PublishedRecord], Awaitable[None]]


class SubscriptionState(StrEnum):
    """How a subscription is doing; of several workspaces the worst state counts."""

    LIVE = "live"
    """Everything published has been handled, and new records are delivered as they are published."""
    CATCHING_UP = "catching_up"
    """Records from before are being delivered."""
    RETRYING = "retrying"
    """The handler has failed; the record is delivered again after a delay."""
    CLOSED = "closed"


_WORST_FIRST: Final = (SubscriptionState.RETRYING, SubscriptionState.CATCHING_UP)


class SubscriptionStatus(Struct, frozen=True, kw_only=True):
    """The health of one subscription."""

    name: str
    state: SubscriptionState
    lag_events: int
    """Events published but not yet handled, over all workspaces."""
    failures: int
    """Exceptions of the handler, of reads for it, and of its cursor store, since the start."""
    recoveries: int
    """Deliveries that succeeded after at least one failure, since the start."""
    skipped_records: int
    """Records given up after ``attempts_max`` attempts, since the start."""
    last_error: str | None
    """Type of the newest exception; None where there was none."""


class SubscriptionObserver(Protocol):
    """Receives the failures of subscriptions, for logs. Called on the event loop; must be quick and must not raise."""

    def on_subscriber_failure(self, subscription: str, workspace: WorkspaceId | None, error: Exception, retry_s: float) -> None:
        """Handle a failure that is retried after ``retry_s``; ``workspace`` is None for the cursor store."""
        ...

    def on_subscriber_recovery(self, subscription: str, workspace: WorkspaceId) -> None:
        """Handle the first success after a failure."""
        ...

    def on_record_skipped(self, subscription: str, workspace: WorkspaceId, record: Record) -> None:
        """Handle a record that was given up."""
        ...


class RecordSource(Protocol):
    """What a subscription needs of the event feed."""

    @property
    def publisher(self) -> Publisher:
        """Return the publisher, which knows the newest event of each workspace."""
        ...

    @property
    def observer(self) -> SubscriptionObserver | None:
        """Return the receiver of failures, None where there is none."""
        ...

    def retry_delay_s(self, failures: int) -> float:
        """Return the delay before the next attempt, after this number of failures in a row."""
        ...

    async def read(self, workspace: WorkspaceId, after: FeedPosition, *, limit: int) -> list[PublishedRecord]:
        """Return at most ``limit`` records after a position, oldest first; at least one where there are any."""
        ...


class _Cursor:
    """The delivery state of one subscription in one workspace."""

    __slots__ = ("attempts", "failing", "seq", "state", "task", "workspace")

    def __init__(self, workspace: WorkspaceId, seq: int) -> None:
        self.workspace = workspace
        self.seq = seq
        """Every event up to this one has been handled or skipped."""
        self.state = SubscriptionState.LIVE
        self.task: asyncio.Task[None] | None = None
        self.attempts = 0
        """Failed deliveries of the next record."""
        self.failing = 0
        """Failures without a success in between, which determine the delay."""


class Subscription:
    """One handler with its cursors. Created by ``EventFeed``."""

    def __init__(
        self,
        feed: RecordSource,
        name: str,
        handler: InlineHandler | CoroutineHandler,
        *,
        is_inline: bool,
        store: CursorStore | None,
        attempts_max: int | None,
        on_skipped: InlineHandler | None,
        on_close: Callable[["Subscription"], None],
    ) -> None:
        self.name: Final = name
        self._feed = feed
        self._handler = handler
        self._inline_handler = handler if is_inline else None
        self.event_types: frozenset[type] | None = None
        """Types of events that the handler needs; a record without one counts as handled. None: every record."""
        self._store = store
        self._attempts_max = attempts_max
        self._on_skipped = on_skipped
        self._on_close = on_close
        self._cursors: dict[WorkspaceId, _Cursor] = {}
        self._saving: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._saved: Cursors = {}
        self._is_closed = self._is_from_start = False
        self._failures = self._recoveries = self._skipped_records = 0
        self._last_error: str | None = None

    def start(self, *, from_start: bool) -> None:
        """Place the cursors and begin to deliver; called once by the feed."""
        self._is_from_start = from_start
        stored = {} if self._store is None else self._store.load(self.name)
        self._saved = dict(stored)
        for workspace in self._feed.publisher.workspaces:
            self._place(workspace, stored.get(workspace))

    def _place(self, workspace: WorkspaceId, stored: FeedPosition | None) -> None:
        """Place the cursor of a workspace, and deliver what is missing."""
        newest_seq = self._feed.publisher.last_seq(workspace)
        if stored is not None:
            seq = min(stored.seq, newest_seq)
        else:
            seq = 0 if self._is_from_start else newest_seq
        cursor = self._cursors[workspace] = _Cursor(workspace, seq)
        if seq < newest_seq:
            self._run_task(cursor)

    def add_workspace(self, workspace: WorkspaceId) -> None:
        """Place the cursor of a workspace with events that was added after the start, where the store of cursors has it now."""
        if workspace not in self._cursors and not self._is_closed:
            self._place(workspace, None if self._store is None else self._store.load(self.name).get(workspace))

    def remove_workspace(self, workspace: WorkspaceId) -> None:
        """Deliver nothing of a workspace any more. Idempotent."""
        cursor = self._cursors.pop(workspace, None)
        if cursor is not None and cursor.task is not None:
            cursor.task.cancel()

    def position(self, workspace: WorkspaceId) -> FeedPosition:
        """Return the cursor of a workspace. Raises KeyError where nothing was delivered and nothing was published."""
        history_id = self._feed.publisher.history_id(workspace)
        return FeedPosition(history_id, self._cursors[workspace].seq)

    def status(self) -> SubscriptionStatus:
        """Return the health of the subscription. Safe to call from another thread."""
        cursors = list(self._cursors.values())
        states = {cursor.state for cursor in cursors}
        state = next((one for one in _WORST_FIRST if one in states), SubscriptionState.LIVE)
        last_seq = self._last_seq
        return SubscriptionStatus(
            name=self.name,
            state=SubscriptionState.CLOSED if self._is_closed else state,
            lag_events=sum(max(0, last_seq(one.workspace) - one.seq) for one in cursors),
            failures=self._failures,
            recoveries=self._recoveries,
            skipped_records=self._skipped_records,
            last_error=self._last_error,
        )

    def _last_seq(self, workspace: WorkspaceId) -> int:
        """Return the number of the newest event; 0 for a workspace that was removed meanwhile."""
        try:
            return self._feed.publisher.last_seq(workspace)
        except KeyError:
            return 0

    async def caught_up(self, workspace: WorkspaceId) -> None:
        """Return when every record of a workspace that has been published by now was handled or skipped."""
        while (cursor := self._cursors.get(workspace)) is not None and (task := cursor.task) is not None:
            await asyncio.wait([task])

    async def close(self) -> None:
        """Stop delivering and save the cursors. Idempotent."""
        self._is_closed = True
        self._on_close(self)
        tasks = [cursor.task for cursor in self._cursors.values() if cursor.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._closing.set()
        if self._saving is not None:
            await self._saving
        await self._save()

    # --- delivery ----------------------------------------------------------------------

    def on_record(self, published: PublishedRecord, last_seq: int) -> None:
        """Deliver a record inline, or leave it to the task of its workspace; ``last_seq`` is the number of its newest event."""
        cursor = self._cursors.get(published.workspace)
        if cursor is None:
            cursor = _Cursor(published.workspace, published.record.first_seq - 1)
            self._cursors[published.workspace] = cursor
        if cursor.task is not None or self._is_closed:
            return
        # Inline only where nothing is missing before this record.
        if self._inline_handler is not None and cursor.seq >= published.record.first_seq - 1:
            types = self.event_types
            if types is not None and types.isdisjoint(map(type, published.record.events)):
                if self._store is None:
                    cursor.seq, cursor.attempts = last_seq, 0
                else:
                    self._advance(cursor, published.record)
                return
            try:
                self._inline_handler(published)
            except Exception as error:
                self._delivery_failed(cursor, published.record, error)
            else:
                if not cursor.failing and not cursor.attempts and self._store is None:
                    # The usual case, within the commit of every record: nothing to recover, nothing to save.
                    cursor.seq = last_seq
                    return
                self._delivered(cursor, published.record)
        if cursor.seq < last_seq:
            self._run_task(cursor)

    def _run_task(self, cursor: _Cursor) -> None:
        name = f"subscription {self.name}: {cursor.workspace}"
        cursor.task = asyncio.get_running_loop().create_task(self._run(cursor), name=name)

    async def _run(self, cursor: _Cursor) -> None:
        """Deliver until nothing is missing, with a delay after each failure."""
        try:
            await self._catch_up(cursor)
            # No await since the last look at the log: nothing can have been published in between.
            cursor.state = SubscriptionState.LIVE
        finally:
            cursor.task = None

    async def _catch_up(self, cursor: _Cursor) -> None:
        feed, workspace = self._feed, cursor.workspace
        while cursor.seq < feed.publisher.last_seq(workspace) and not self._is_closed:
            if cursor.failing:
                await asyncio.sleep(feed.retry_delay_s(cursor.failing))
            else:
                cursor.state = SubscriptionState.CATCHING_UP
            try:
                records = await feed.read(workspace, self.position(workspace), limit=_READ_RECORDS)
            except EventsArchived as error:
                # A subscriber that is further behind than the journal reaches goes on with the first event that there is.
                self._failed(cursor, error)
                cursor.seq = error.first_seq - 1
                continue
            except Exception as error:
                # Whatever it is: the task goes on, and the state and the counters of the subscription show it.
                self._failed(cursor, error)
                continue
            await self._deliver(cursor, records)
            await asyncio.sleep(0)

    async def _deliver(self, cursor: _Cursor, records: list[PublishedRecord]) -> None:
        """Deliver records up to the first failure."""
        for count, published in enumerate(records, start=1):
            if self._passes_over(published.record):
                self._advance(cursor, published.record)
                continue
            try:
                waiting = self._handler(published)
                if waiting is not None:
                    await waiting
            except Exception as error:
                if not self._delivery_failed(cursor, published.record, error):
                    return
            else:
                self._delivered(cursor, published.record)
            if count % _SLICE_RECORDS == 0:
                await asyncio.sleep(0)

    def _passes_over(self, record: Record) -> bool:
        """Return whether a record has no event that the handler needs."""
        return self.event_types is not None and self.event_types.isdisjoint(map(type, record.events))

    def _delivered(self, cursor: _Cursor, record: Record) -> None:
        self._advance(cursor, record)
        if cursor.failing:
            cursor.failing = 0
            self._recoveries += 1
            if self._feed.observer is not None:
                self._feed.observer.on_subscriber_recovery(self.name, cursor.workspace)

    def _advance(self, cursor: _Cursor, record: Record) -> None:
        cursor.seq = record.last_seq
        cursor.attempts = 0
        if self._store is not None and self._saving is None:
            self._saving = asyncio.get_running_loop().create_task(self._save_later())

    # --- failures ----------------------------------------------------------------------

    def _delivery_failed(self, cursor: _Cursor, record: Record, error: Exception) -> bool:
        """Count a failed delivery; return whether the record is skipped."""
        self._failed(cursor, error)
        cursor.attempts += 1
        if self._attempts_max is None or cursor.attempts < self._attempts_max:
            return False
        self._skipped_records += 1
        cursor.failing = 0
        cursor.state = SubscriptionState.LIVE if cursor.task is None else SubscriptionState.CATCHING_UP
        self._advance(cursor, record)
        if self._feed.observer is not None:
            self._feed.observer.on_record_skipped(self.name, cursor.workspace, record)
        if self._on_skipped is not None:
            try:
                self._on_skipped(PublishedRecord(cursor.workspace, self._feed.publisher.history_id(cursor.workspace), record))
            except Exception as again:
                self._count_failure(again, cursor.workspace, 0.0)
        return True

    def _failed(self, cursor: _Cursor, error: Exception) -> None:
        cursor.failing += 1
        cursor.state = SubscriptionState.RETRYING
        self._count_failure(error, cursor.workspace, self._feed.retry_delay_s(cursor.failing))

    def _count_failure(self, error: Exception, workspace: WorkspaceId | None, retry_s: float) -> None:
        self._failures += 1
        self._last_error = type(error).__name__
        if self._feed.observer is not None:
            self._feed.observer.on_subscriber_failure(self.name, workspace, error, retry_s)

    # --- cursors -----------------------------------------------------------------------

    async def _save_later(self) -> None:
        """Save the cursors at intervals until everything handled is saved."""
        while not self._is_closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_INTERVAL_S):
                    await self._closing.wait()
            await self._save()
            if self._saved == self._positions():
                break
        self._saving = None

    async def _save(self) -> None:
        positions = self._positions()
        if self._store is None or positions == self._saved:
            return
        try:
            await asyncio.to_thread(self._store.save, self.name, positions)
        except Exception as error:
            # A store of another kind may raise anything; the positions are saved again later.
            self._count_failure(error, None, SAVE_INTERVAL_S)
        else:
            self._saved = positions

    def _positions(self) -> Cursors:
        return self._saved | {workspace: self.position(workspace) for workspace in self._cursors}


__all__ = [
    "CursorStore",
    "CursorsDamaged",
    "EventFeed",
    "FeedPosition",
    "FileCursorStore",
    "MemoryCursorStore",
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

    def first_seq(self, workspace: WorkspaceId) -> int:
        """Return the first event that can be read; more than 1 where events have been archived."""
        return self._journal.first_seq(workspace)

    async def read(self, workspace: WorkspaceId, after: FeedPosition, *, limit: int) -> list[PublishedRecord]:
        """Return at most ``limit`` published records with events after a position, oldest first.

        At least one record is returned if the position is not the newest. The first record may also hold events up to the
        position. Raises UnknownPosition, KeyError for an unknown workspace, EventsArchived where the events are no longer in the
        journal, and another JournalError where it has to be read and fails.
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
        on_skipped: InlineHandler | None = None,
    ) -> Subscription:
        """Deliver records to a function that is called within the commit, so it must be quick.

        What it returns is waited for while records from before are read, so that a handler that is behind is not overrun.
        ``on_skipped`` is called with each record that is given up. Other arguments as for ``subscribe``.
        """
        return self._add(name, handler, True, cursors, from_start, attempts_max, on_skipped)

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
        return self._add(name, handler, False, cursors, from_start, attempts_max, None)

    def _add(
        self,
        name: str,
        handler: InlineHandler | CoroutineHandler,
        is_inline: bool,
        store: CursorStore | None,
        from_start: bool,
        attempts_max: int | None,
        on_skipped: InlineHandler | None,
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
            on_skipped=on_skipped,
            on_close=self._forget,
        )
        self._subscriptions += (subscription,)
        subscription.start(from_start=from_start)
        return subscription

    def add_workspace(self, workspace: WorkspaceId) -> None:
        """Let all subscriptions have a workspace with events that was added while they run."""
        for subscription in self._subscriptions:
            subscription.add_workspace(workspace)

    def remove_workspace(self, workspace: WorkspaceId) -> None:
        """Let no subscription have a workspace any more, of which nothing is published."""
        for subscription in self._subscriptions:
            subscription.remove_workspace(workspace)

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
        if self._waiting:
            waiting = self._waiting.pop(published.workspace, None)
            if waiting is not None:
                waiting.set()
        last_seq = published.record.last_seq
        for subscription in self._subscriptions:
            subscription.on_record(published, last_seq)
