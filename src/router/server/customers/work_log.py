"""How contacts went, written from the event feed into the customer context.

The changes of the records are collected and written together, with the position of the last one in the same transaction. After a
restart the feed is read from that position, so that nothing is missing and repeated changes are harmless. Records from before the
start are read no faster than they are written. At most ``CHANGES_MAX`` changes wait, while the store is slow or cannot be used.
From then on those of the workspace are not kept here but its position is, from which they are read again from the log, no faster
than they are written, until the newest record is reached (``_reread``).

The store has nothing of contacts that were submitted without a customer, so their changes are not written.

A process that was killed may have left a resumed contact with the proof of its customer from before they were away: the journal
has the resume, and the store does not yet. So nothing is shown of what the store has of contacts until the records from before the
start are in it (``wait_until_current``). If any of them could not be written, nothing of that workspace is shown until the next
start.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

from router.context.cards import WorkChange
from router.context.customers import ContextError, ContextUnavailable
from router.context.port import ContextStore
from router.context.service import ContextService
from router.journal.port import EventsArchived
from router.model.errors import RouterError
from router.model.events import (
    AssignmentCompleted,
    ContactAssigned,
    ContactChannelSwitched,
    ContactHandedOver,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    ContactResumed,
    ContactSuspended,
    DispositionRecorded,
    Event,
    OfferAccepted,
)
from router.model.states import AssignmentRole
from router.runtime.cursors import Cursors, FeedPosition
from router.runtime.event_feed import EventFeed, Subscription
from router.runtime.publisher import PublishedRecord, Publisher
from router.server.customers.live_contacts import ENDING_EVENTS

SUBSCRIPTION: Final = "customer-work"
FLUSH_S: Final = 0.2
RETRY_S: Final = 1.0
"""Time after which changes are written again, while the store cannot be used."""
POSITION_S: Final = 10.0
"""Interval at which the position is written while no contact of a customer changes, so that a start has little to read."""
CHANGES_MAX: Final = 20_000
BATCH_MAX: Final = 4_000
"""Changes that wait before a reader of earlier records waits until they are written."""
_READ_RECORDS: Final = 256
_WITHOUT_MAX: Final = 20_000
"""Contacts without a customer that are remembered; changes of older ones are written, and have no effect."""
EVENT_TYPES: Final = frozenset(
    {
        ContactQueued,
        ContactRequeued,
        ContactSuspended,
        ContactResumed,
        ContactOverflowed,
        ContactAssigned,
        ContactChannelSwitched,
        ContactHandedOver,
        OfferAccepted,
        AssignmentCompleted,
        DispositionRecorded,
        *ENDING_EVENTS,
    }
)


def work_change(event: Event, at_ms: int) -> WorkChange | None:
    """Return what an event says about how a contact went; None: nothing."""
    match event:
        case ContactQueued():
            if event.customer_id is None:
                return None
            return WorkChange(
                contact_id=event.contact_id,
                at_ms=at_ms,
                state="open",
                channel=event.channel,
                queue_id=event.queue_id,
                customer_id=event.customer_id,
            )
        case ContactSuspended():
            return WorkChange(contact_id=event.contact_id, at_ms=at_ms, state="suspended", queue_id=event.queue_id)
        case ContactResumed():
            return WorkChange(
                contact_id=event.contact_id,
                at_ms=at_ms,
                state="open",
                channel=event.channel,
                queue_id=event.queue_id,
                submitted_as=event.submitted_as,
            )
        case ContactRequeued() | ContactOverflowed():
            return WorkChange(contact_id=event.contact_id, at_ms=at_ms, queue_id=event.queue_id)
        case ContactChannelSwitched():
            return WorkChange(contact_id=event.contact_id, at_ms=at_ms, channel=event.channel)
        case ContactAssigned() | ContactHandedOver():
            return WorkChange(contact_id=event.contact_id, at_ms=at_ms, agent_id=event.agent_id)
        case OfferAccepted():
            if event.role is not AssignmentRole.OWNER:
                return None
            return WorkChange(contact_id=event.contact_id, at_ms=at_ms, agent_id=event.agent_id)
        case AssignmentCompleted() | DispositionRecorded():
            if event.disposition is None:
                return None
            return WorkChange(contact_id=event.contact_id, at_ms=at_ms, disposition=event.disposition)
    state = ENDING_EVENTS.get(type(event))
    contact_id = getattr(event, "contact_id", None)
    return None if state is None or contact_id is None else WorkChange(contact_id=contact_id, at_ms=at_ms, state=state)


class _StoredCursors:
    """The cursors that the store had at the start; new ones are written with the changes themselves."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    def load(self, subscription: str) -> Cursors:
        return dict(self._cursors)

    def save(self, subscription: str, cursors: Cursors) -> None:
        return None


class WorkLog:
    """Writes how contacts of customers went. Confined to the event loop."""

    def __init__(self, context: ContextService, feed: EventFeed) -> None:
        self._context = context
        self._feed = feed
        self._cursors: Cursors = {}
        self._pending: dict[str, tuple[list[WorkChange], str, int]] = {}
        """By workspace: changes that are not written yet, and the position of the last one."""
        self._waiting = 0
        self._without: dict[tuple[str, str], None] = {}
        """Workspace and id of contacts that were submitted without a customer."""
        self._gaps: set[str] = set()
        """Workspaces of which changes were dropped: their positions are not written any more, so that the next start reads them."""
        self._stale: set[str] = set()
        """Workspaces of which the store will not have all records from before the start until the next one."""
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[bool] | None = None
        self._draining: asyncio.Task[None] | None = None
        """Writes while readers of earlier records wait."""
        self._subscription: Subscription | None = None
        self._is_stopping = False
        self._behind: dict[str, asyncio.Event] = {}
        """Workspaces with records from before the start that the store does not have yet; set when it has."""
        self._catching_up: asyncio.Task[None] | None = None
        self._written: Cursors = {}
        """Position up to which the store has the changes of each workspace."""
        self._missed: Cursors = {}
        """Workspaces whose changes could not be kept, and the position after which they are read again."""
        self._rereading: dict[str, asyncio.Task[None]] = {}
        self.on_resumed: Callable[[str, WorkChange], None] = lambda workspace, change: None
        """Called with each change of a resumed contact that the store has."""
        self._late: set[asyncio.Task[None]] = set()
        """The same of workspaces that were followed after the start."""
        self._position_timer: asyncio.TimerHandle | None = None

    async def load(self, workspaces: Sequence[str]) -> bool:
        """Read where the store is; return whether it has any contacts of customers, or cannot say."""
        for workspace in workspaces:
            try:
                found = await self._context.run(lambda store, name=workspace: store.contacts.cursor(name))  # type: ignore[misc]
            except ContextError:
                self._gaps.add(workspace)
                self._stale.add(workspace)
                continue
            if found is not None:
                self._cursors[workspace] = self._written[workspace] = FeedPosition(*found)
        return bool(self._cursors or self._gaps)

    def begin(self) -> None:
        """Read on from where the store is, or from now on where it has nothing yet."""
        publisher = self._feed.publisher
        for workspace in publisher.workspaces:
            if workspace not in self._cursors:
                # Written at once, so that a crash before the first contact of a customer loses none.
                self._pending[workspace] = ([], publisher.history_id(workspace), publisher.last_seq(workspace))
        self._subscription = self._feed.subscribe_inline(SUBSCRIPTION, self._on_record, cursors=_StoredCursors(self._cursors))
        self._subscription.event_types = EVENT_TYPES
        behind = [
            name
            for name, position in self._cursors.items()
            if name in publisher.workspaces and _is_behind(publisher, name, position)
        ]
        if behind:
            self._behind = {name: asyncio.Event() for name in behind}
            self._catching_up = asyncio.get_running_loop().create_task(
                self._catch_up(self._subscription, behind), name="customer work"
            )
        self._begin_flush()
        self._position_timer = asyncio.get_running_loop().call_later(POSITION_S, self._write_positions)

    def workspace_created(self, workspace: str) -> None:
        """Write the position of a new workspace at once, so that a crash before its first contact of a customer loses none."""
        if self._subscription is None:  # ``begin`` writes that of every workspace.
            return
        publisher = self._feed.publisher
        self._pending.setdefault(workspace, ([], publisher.history_id(workspace), publisher.last_seq(workspace)))
        self._flushing()

    def followed(self, workspace: str) -> None:
        """Read on a workspace that is followed from now on and was loaded, from where the store is."""
        subscription, publisher = self._subscription, self._feed.publisher
        if subscription is None:
            return
        position = self._cursors.get(workspace)
        if position is None:
            self.workspace_created(workspace)
        elif _is_behind(publisher, workspace, position):
            self._behind[workspace] = asyncio.Event()
            task = asyncio.get_running_loop().create_task(self._catch_up(subscription, [workspace]), name="customer work")
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    def is_behind(self, workspace: str) -> bool:
        """Return whether the store lacks records of a workspace that are being read."""
        return workspace in self._behind

    def left(self, workspace: str) -> None:
        """Forget a workspace that is not followed any more; what waits is still written."""
        self._cursors.pop(workspace, None)
        self._gaps.discard(workspace)
        self._stale.discard(workspace)
        self._written.pop(workspace, None)
        self._missed.pop(workspace, None)

    def _write_positions(self) -> None:
        """Write how far the feed has been read, again and again."""
        self._note_positions()
        if self._pending and self._timer is None:
            self._begin_flush()
        self._position_timer = asyncio.get_running_loop().call_later(POSITION_S, self._write_positions)

    def _note_positions(self) -> None:
        """Let the next flush write how far the feed has been read; what was read before waits already or is written."""
        if self._subscription is None:
            return
        for workspace in self._feed.publisher.workspaces:
            try:
                position = self._subscription.position(workspace)
            except KeyError:  # A new workspace without events.
                continue
            if self._cursors.get(workspace) != position and workspace not in self._missed:
                changes = self._pending.get(workspace, ([],))[0]
                self._pending[workspace] = (changes, position.history_id, position.seq)
                self._cursors[workspace] = position

    async def _catch_up(self, subscription: Subscription, workspaces: Iterable[str]) -> None:
        """Read and write what is missing in the store; then what it has of contacts may be shown."""
        try:
            for workspace in workspaces:
                await subscription.caught_up(workspace)
                if (rereading := self._rereading.get(workspace)) is not None:
                    await asyncio.wait([rereading])
            await self._write_all()
        finally:
            for workspace in workspaces:
                if workspace in self._gaps:
                    self._stale.add(workspace)
                if (event := self._behind.pop(workspace, None)) is not None:
                    event.set()

    async def _write_all(self) -> None:
        """Write what waits at this moment, and wait for the store where it cannot be used."""
        while True:
            if self._task is not None:
                await asyncio.wait([self._task])
            # A reader that is cancelled must not end the write, which has taken the changes already.
            if await asyncio.shield(self._flushing()):
                return
            await asyncio.sleep(FLUSH_S if self._context.is_available else RETRY_S)

    async def wait_until_current(self, workspace: str, *, timeout_s: float | None = None) -> bool:
        """Wait until the store has all records from before the start; return whether it has, or cannot be used.

        False at once where some of them could not be written.

        ``timeout_s``: longest time to wait; None: as long as it takes.
        """
        while (event := self._behind.get(workspace)) is not None and self._context.is_available:
            try:
                async with asyncio.timeout(RETRY_S if timeout_s is None else timeout_s):
                    await event.wait()
            except TimeoutError:
                if timeout_s is not None:
                    return False
        return workspace not in self._stale or not self._context.is_available

    def _on_record(self, published: PublishedRecord) -> Awaitable[None] | None:
        """Collect the changes of a record; return what a reader of earlier records waits for, if a batch waits."""
        if published.workspace in self._missed:
            return None
        changes = list(self._changes(published))
        if not changes and published.workspace not in self._pending:
            return None
        if self._waiting + len(changes) > CHANGES_MAX:
            self._read_again(published.workspace, FeedPosition(published.history_id, published.record.first_seq - 1))
            return None
        self._take(published, changes)
        if self._waiting < BATCH_MAX or published.workspace not in self._behind:
            return None
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain(), name="customer work")
        return asyncio.shield(self._draining)

    def _take(self, published: PublishedRecord, changes: list[WorkChange]) -> None:
        """Let the changes of a record wait until they are written."""
        before = self._pending.get(published.workspace)
        self._waiting += len(changes)
        waiting = changes if before is None else before[0] + changes
        self._pending[published.workspace] = (waiting, published.history_id, published.record.last_seq)
        if self._timer is None and self._task is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._begin_flush)

    def _read_again(self, workspace: str, position: FeedPosition) -> None:
        """Keep no more changes of a workspace, but read them again after this position when fewer wait."""
        self._missed[workspace] = position
        if workspace not in self._rereading and not self._is_stopping:
            task = asyncio.get_running_loop().create_task(self._reread(workspace), name="customer work")
            self._rereading[workspace] = task
            task.add_done_callback(lambda done: self._rereading.pop(workspace, None))

    async def _reread(self, workspace: str) -> None:
        """Read records whose changes could not be kept, no faster than they are written, until the newest one is reached."""
        while (position := self._missed.get(workspace)) is not None and workspace in self._feed.publisher.workspaces:
            if self._waiting >= BATCH_MAX:
                await self._write_some()
                continue
            newest = self._feed.position(workspace)
            if position.history_id != newest.history_id or position.seq > newest.seq:
                # The store knew another history than this log, such as that before a backup was restored: all of this one is read.
                position = self._missed[workspace] = FeedPosition(newest.history_id, 0)
            if position.seq == newest.seq:
                # No await since the last look at the log: what is published from now on is taken as it comes.
                del self._missed[workspace]
                return
            try:
                records = await self._feed.read(workspace, position, limit=_READ_RECORDS)
            except EventsArchived as error:
                self._gaps.add(workspace)
                self._missed[workspace] = FeedPosition(position.history_id, error.first_seq - 1)
                continue
            except RouterError:
                await asyncio.sleep(RETRY_S)
                continue
            for published in records if self._missed.get(workspace) == position else ():
                self._take(published, list(self._changes(published)))
                self._missed[workspace] = FeedPosition(published.history_id, published.record.last_seq)

    async def _drain(self) -> None:
        """Write until less than a batch waits."""
        try:
            while self._waiting >= BATCH_MAX:
                await self._write_some()
        finally:
            self._draining = None

    async def _write_some(self) -> None:
        if not await asyncio.shield(self._flushing()):
            await asyncio.sleep(FLUSH_S if self._context.is_available else RETRY_S)

    def _changes(self, published: PublishedRecord) -> Iterator[WorkChange]:
        for event in published.record.events:
            if type(event) not in EVENT_TYPES:
                continue
            change = work_change(event, published.record.at_ms)
            if type(event) is ContactQueued:
                self._note_customer(published.workspace, event)
            if change is not None and (published.workspace, change.contact_id) not in self._without:
                yield change

    def _note_customer(self, workspace: str, event: ContactQueued) -> None:
        key = workspace, event.contact_id
        if event.customer_id is not None:
            self._without.pop(key, None)
            return
        self._without[key] = None
        if len(self._without) > _WITHOUT_MAX:
            del self._without[next(iter(self._without))]

    def _begin_flush(self) -> None:
        self._timer = None
        self._flushing()

    def _flushing(self) -> asyncio.Task[bool]:
        """Return the task that writes what waits; there is only one at a time, so that changes keep their order."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.flush(), name="customer work")
            self._task.add_done_callback(self._flushed)
        return self._task

    def _flushed(self, task: asyncio.Task[bool]) -> None:
        self._task = None
        if self._pending and self._timer is None and not task.cancelled() and not self._is_stopping:
            delay_s = FLUSH_S if self._context.is_available else RETRY_S
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin_flush)

    async def flush(self) -> bool:
        """Write what waits; return whether the store has it. What it could not take waits again."""
        is_written = True
        taken, self._pending, self._waiting = self._pending, {}, 0
        for workspace, (changes, history_id, seq) in taken.items():

            def operation(
                store: ContextStore, name: str = workspace, work: list[WorkChange] = changes, id: str = history_id, at: int = seq
            ) -> None:
                store.contacts.record_work(name, work, history_id=id, seq=at, is_complete=name not in self._gaps)

            try:
                await self._context.run(operation)
                self._written[workspace] = FeedPosition(history_id, seq)
                for change in changes:
                    if change.submitted_as is not None:
                        self.on_resumed(workspace, change)
            except ContextUnavailable:
                self._wait_again(workspace, changes, history_id, seq)
                is_written = False
            except (RouterError, ValueError):  # The operation was undone: its changes are lost until the next start.
                self._gaps.add(workspace)
        return is_written

    def _wait_again(self, workspace: str, changes: list[WorkChange], history_id: str, seq: int) -> None:
        """Keep changes that could not be written before those that have come since; if too many wait, read all of them again."""
        newer, history_id, seq = self._pending.get(workspace, ([], history_id, seq))
        if self._waiting + len(changes) > CHANGES_MAX:
            self._pending.pop(workspace, None)
            self._waiting -= len(newer)
            if (written := self._written.get(workspace)) is None:
                self._gaps.add(workspace)
            else:
                self._read_again(workspace, written)
            return
        self._waiting += len(changes)
        self._pending[workspace] = (changes + newer, history_id, seq)

    async def stop(self) -> None:
        """Stop reading and write what waits."""
        self._is_stopping = True
        catching_up = [*self._late, *self._rereading.values(), *([] if self._catching_up is None else [self._catching_up])]
        for task in catching_up:
            task.cancel()
        if catching_up:
            await asyncio.wait(catching_up)
        if self._position_timer is not None:
            self._position_timer.cancel()
        if self._subscription is not None:
            await self._subscription.close()
            self._note_positions()
        if self._draining is not None:
            self._draining.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            await self._task
        await self.flush()


def _is_behind(publisher: Publisher, workspace: str, position: FeedPosition) -> bool:
    return position != FeedPosition(publisher.history_id(workspace), publisher.last_seq(workspace))
