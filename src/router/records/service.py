"""Records of ended contacts for the event loop: a subscription of the event feed, one thread that writes and one that reads.

Theory of operation. The subscription only collects what is published. Every ``PAUSE_S``, or when ``BATCH_MAX`` records wait, the
writing thread builds records from it. They are written when ``FINISHED_MAX`` are finished or a reader asks, because one large
transaction costs much less than many small ones, and a contact whose wrap-up is over meanwhile is written once. Every
``CHECKPOINT_S``, and at the stop, the contacts that are not over are written as well, with the position in the event log. A start
loads them and reads the feed from there, so that nothing is missing after a crash and what is written again replaces itself.
Without a file the records are built from the first event that the journal has.

A reader first waits until what was published before is written, with the records of contacts that an agent still wraps up. A store
that fails is closed, and opened again after ``REOPEN_S``, then at longer intervals; contacts are routed meanwhile, and nothing is
lost, as the journal has it.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from router.model.errors import RouterError
from router.model.events import PolicyPublished
from router.record_settings import RecordSettings
from router.records.builder import RecordBuilder
from router.records.handlers import CONTACT_EVENTS, Targets
from router.records.reading import RecordPage, RecordReader, RecordSearch, RecordsUnavailable, StoredRecord
from router.records.sqlite import RecordCheckpoint, SqliteRecordStore
from router.runtime.cursors import Cursors, FeedPosition
from router.runtime.event_feed import EventFeed, Subscription
from router.runtime.publisher import PublishedRecord, RecordCollector

SUBSCRIPTION: Final = "contact-records"
PAUSE_S: Final = 2.0
CHECKPOINT_S: Final = 30.0
REOPEN_S: Final = 5.0
REOPEN_S_MAX: Final = 300.0
TRIM_S: Final = 60.0
BATCH_MAX: Final = 500
"""Journal records that one turn of the writing thread takes; while it is behind, the feed waits for it."""
FINISHED_MAX: Final = 2_000
"""Finished records of one workspace with which they are written."""
WAITING_MAX: Final = 20_000
"""Journal records that wait in memory; beyond it they are read again from the journal."""
_TRIM_SLICE: Final = 200
CHECK_S: Final = 1.0
_CHECK_SLICE: Final = 100
"""Records whose customers are looked up in the context each ``CHECK_S``; a pass begins ``TRIM_S`` after the last one."""
_DAY_MS: Final = 86_400_000
_EVENT_TYPES: Final = frozenset({*CONTACT_EVENTS, PolicyPublished})

_FAILED: Final = "the file of the records cannot be used at present; the log says why"

T = TypeVar("T")
KnownCustomers: TypeAlias = Callable[[str, Sequence[str]], Awaitable[Collection[str]]]
"""Returns which customers of a workspace have not been erased."""


class _LoadedCursors:
    """The positions that the file had when it was opened, or a workspace was loaded; new ones are written with the records."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    def place(self, workspace: str, position: FeedPosition) -> None:
        self._cursors[workspace] = position

    def load(self, subscription: str) -> Cursors:
        return dict(self._cursors)

    def save(self, subscription: str, cursors: Cursors) -> None:
        return None


class _Written:
    """The records of one workspace on the writing thread, since its last checkpoint."""

    def __init__(self, builder: RecordBuilder, history_id: str, seq: int, complete_from: int) -> None:
        self.builder = builder
        self.history_id = history_id
        self.seq = seq
        self.complete_from = complete_from
        self.is_saved = True


class RecordService:
    """Writes and reads the records of contacts. Confined to the event loop."""

    def __init__(
        self,
        path: Path | None,
        settings: RecordSettings,
        feed: EventFeed,
        *,
        now_ms: Callable[[], int],
        targets: Callable[[str], Awaitable[Targets]],
        known_customers: KnownCustomers | None = None,
        unfollowed: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """``path``: None keeps them in memory. ``targets``: the thresholds of a workspace whose first events are archived.

        ``known_customers``: asked for the customers of all records, again and again; None: no customers are kept. ``unfollowed``:
        workspaces that this node does not follow at present; what is kept of them is trimmed and compared, too.
        """
        self._unfollowed = unfollowed
        self._cursors = _LoadedCursors({})
        self._path = path
        self._settings = settings
        self._feed = feed
        self._now_ms = now_ms
        self._first_targets = targets
        self._known_customers = known_customers
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="records")
        self._reading = self._writing if path is None else ThreadPoolExecutor(1, thread_name_prefix="records-reading")
        self._store: SqliteRecordStore | None = None
        self._reader: RecordReader | None = None
        self._written: dict[str, _Written] = {}
        """By workspace; used on the writing thread only."""
        self._collector = RecordCollector(self._flush_soon, pause_s=PAUSE_S, batch_max=BATCH_MAX, waiting_max=WAITING_MAX)
        self._taken = 0
        """Journal records that were collected and are built into records or dropped."""
        self._stored = 0
        """Those of them that are written or dropped."""
        self._subscription: Subscription | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: dict[str, asyncio.Task[None]] = {}
        """Workspaces that are not followed any more and of which something may have to be written."""
        self._saving: asyncio.TimerHandle | None = None
        self._saved_at_s = 0.0
        self._is_unsaved = False
        self._is_stopping = False
        self.written = 0
        """Records written since the start; one that changes counts again."""
        self.on_failed: Callable[[Exception], None] | None = None
        self.on_reopened: Callable[[], None] | None = None

    @property
    def is_available(self) -> bool:
        """Return whether the file can be used."""
        return self._store is not None

    @property
    def waiting(self) -> int:
        """Return the number of journal records that are published and not taken yet."""
        if self._subscription is None:
            return 0
        return len(self._collector.pending) + self._subscription.status().lag_events

    @property
    def oldest_ms(self) -> int:
        """Return the end of a contact before which its record is not kept."""
        return self._now_ms() - self._settings.days * _DAY_MS

    # --- start and stop ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the file and follow the feed; where that fails, it is tried again later."""
        try:
            await self._open()
        except Exception as error:  # Whatever is wrong with the file, the router serves.
            await self._fail(error, self._store)
        self._start(self._trim_regularly())
        if self._known_customers is not None:
            self._start(self._check_regularly(self._known_customers))

    async def stop(self) -> None:
        """Write what was published, and close. Call it after the last event was published. Idempotent."""
        if self._is_stopping:
            return
        self._is_stopping = True
        if self._saving is not None:
            self._saving.cancel()
        try:
            if self._store is not None:
                await self._save()
        except RecordsUnavailable:
            pass
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._close()
        self._writing.shutdown()
        self._reading.shutdown()

    async def _open(self) -> None:
        first_seqs = {name: self._feed.first_seq(name) for name in self._feed.publisher.workspaces}
        histories = {name: self._feed.publisher.history_id(name) for name in first_seqs}
        targets = {name: await self._first_targets(name) for name, first in first_seqs.items() if first > 1}
        loop = asyncio.get_running_loop()

        def open_store() -> tuple[SqliteRecordStore, RecordReader, dict[str, _Written]]:
            store = SqliteRecordStore(self._path)
            try:
                written = {}
                for name, first in first_seqs.items():
                    written[name] = _load(store, name, histories[name], first, targets.get(name, {}))
                return store, store.reader(), written
            except BaseException:
                store.close()
                raise

        self._store, self._reader, self._written = await loop.run_in_executor(self._writing, open_store)
        self._saved_at_s = time.monotonic()
        self._cursors = _LoadedCursors({name: FeedPosition(one.history_id, one.seq) for name, one in self._written.items()})
        self._subscription = self._feed.subscribe_inline(
            SUBSCRIPTION, self._collector.collect, cursors=self._cursors, from_start=True
        )
        self._subscription.event_types = _EVENT_TYPES

    async def load_workspace(self, workspace: str) -> None:
        """Go on where the file is with a workspace that is followed from now on. Call before it is in the event feed."""
        while (leaving := self._leaving.get(workspace)) is not None:
            await asyncio.wait((leaving,))  # What was collected of it has to be in the file.
        store = self._store
        if store is None:
            return  # It is loaded when the file is opened again.
        first_seq, history_id = self._feed.first_seq(workspace), self._feed.publisher.history_id(workspace)
        targets = await self._first_targets(workspace) if first_seq > 1 else {}

        def load() -> _Written:
            written = self._written[workspace] = _load(store, workspace, history_id, first_seq, targets)
            return written

        try:
            written = await asyncio.get_running_loop().run_in_executor(self._writing, load)
        except Exception as error:
            await self._fail(error, store)
            return
        self._cursors.place(workspace, FeedPosition(history_id, written.seq))

    def forget_workspace(self, workspace: str) -> None:
        """Write what is collected of a workspace that is not followed any more, and drop it from memory."""

        def left(task: asyncio.Task[None]) -> None:
            if self._leaving.get(workspace) is task:
                del self._leaving[workspace]

        task = self._leaving[workspace] = self._start(self._forget_workspace(workspace))
        task.add_done_callback(left)

    async def _forget_workspace(self, workspace: str) -> None:
        with suppress(RecordsUnavailable):
            await self._settle()
        store = self._store
        if store is None:
            return

        def drop() -> None:
            written = self._written.pop(workspace, None)
            if written is not None:
                self._write_workspace(store, workspace, written, True, True)

        try:
            await asyncio.get_running_loop().run_in_executor(self._writing, drop)
        except Exception as error:
            await self._fail(error, store)

    async def _close(self) -> None:
        subscription, store, reader = self._subscription, self._store, self._reader
        self._subscription = self._store = self._reader = None
        if subscription is not None:
            await subscription.close()
        self._collector.pending.clear()
        self._taken = self._stored = self._collector.collected
        loop = asyncio.get_running_loop()
        if reader is not None:
            with suppress(sqlite3.Error):
                await loop.run_in_executor(self._reading, reader.close)
        if store is not None:
            with suppress(sqlite3.Error):
                await loop.run_in_executor(self._writing, store.close)

    async def _fail(self, error: Exception, store: SqliteRecordStore | None) -> None:
        """Close the file and open it again later, unless that was done since ``store`` was in use."""
        if store is not self._store:
            return
        if self.on_failed is not None:
            self.on_failed(error)
        await self._close()
        if not self._is_stopping:
            self._start(self._reopen(error))

    async def _reopen(self, noted: Exception) -> None:
        delay_s = REOPEN_S
        while True:
            await asyncio.sleep(delay_s)
            try:
                await self._open()
            except Exception as error:
                await self._close()
                if self.on_failed is not None and str(error) != str(noted):
                    self.on_failed(error)
                noted = error
                delay_s = min(2 * delay_s, REOPEN_S_MAX)
            else:
                if self.on_reopened is not None:
                    self.on_reopened()
                return

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name="records")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- writing -----------------------------------------------------------------------------------

    def _flush_soon(self, *, write: bool = False, checkpoint: bool = False) -> "asyncio.Task[None]":
        """Return the task that takes what waits, which may be running already, and then without writing it."""
        if self._flushing is None:
            self._collector.is_due = True
            is_due = time.monotonic() - self._saved_at_s >= CHECKPOINT_S
            work = self._flush(write=write, checkpoint=checkpoint or is_due)
            self._flushing = asyncio.get_running_loop().create_task(work, name="records")
            self._flushing.add_done_callback(self._flushed)
        return self._flushing

    def _flushed(self, task: asyncio.Task[None]) -> None:
        self._flushing = None
        waiting = len(self._collector.pending)
        self._collector.is_due = waiting > 0 and not self._is_stopping
        if self._collector.is_due:
            asyncio.get_running_loop().call_later(0.0 if waiting >= BATCH_MAX else PAUSE_S, self._flush_soon)
        elif self._is_unsaved and self._saving is None and not self._is_stopping:
            self._saving = asyncio.get_running_loop().call_later(CHECKPOINT_S, self._save_soon)

    def _save_soon(self) -> None:
        """Write what no event that follows has caused to be written."""
        self._saving = None
        self._flush_soon()

    async def _flush(self, *, write: bool, checkpoint: bool) -> None:
        store, taken = self._store, self._collector.pending[:BATCH_MAX]
        if store is None:
            return
        del self._collector.pending[:BATCH_MAX]
        collected_until = self._taken + len(taken)
        try:
            loop = asyncio.get_running_loop()
            self.written += await loop.run_in_executor(self._writing, self._write, store, taken, write, checkpoint)
        except Exception as error:  # The batch is not lost: the file, opened again, goes on from its own position.
            await self._fail(error, store)
            return
        if store is not self._store:
            return  # The file has failed elsewhere meanwhile, and nothing waits for this batch any more.
        self._taken = collected_until
        self._is_unsaved = not checkpoint and (self._is_unsaved or bool(taken))
        if write:
            self._stored = collected_until
        if checkpoint:
            self._saved_at_s = time.monotonic()

    def _write(self, store: SqliteRecordStore, taken: list[PublishedRecord], write: bool, checkpoint: bool) -> int:
        """Build records, and write them where that is due; return how many were written. On the writing thread."""
        for published in taken:
            written = self._written.get(published.workspace)
            if written is None:
                # A workspace that was added while the process runs.
                written = _load(store, published.workspace, published.history_id, published.record.first_seq, {})
                self._written[published.workspace] = written
            if published.record.last_seq > written.seq:
                written.builder.apply(published.record)
                written.seq, written.is_saved = published.record.last_seq, False
        for written in self._written.values():
            written.builder.limit_decoded()
        return sum(
            self._write_workspace(store, workspace, written, write, checkpoint and not written.is_saved)
            for workspace, written in self._written.items()
        )

    def _write_workspace(self, store: SqliteRecordStore, workspace: str, written: _Written, write: bool, checkpoint: bool) -> int:
        builder = written.builder
        if not write and not checkpoint and builder.finished_count < FINISHED_MAX:
            return 0
        changes = builder.take_changes(unfinished=write)
        saved: RecordCheckpoint | None = None
        if checkpoint:
            opened = builder.take_opened()
            saved = RecordCheckpoint(
                history_id=written.history_id,
                seq=written.seq,
                targets=builder.targets,
                complete_from=written.complete_from,
                opened=opened,
            )
        if changes.records or changes.late or saved is not None:
            store.write(workspace, changes, saved)
        written.is_saved = written.is_saved or checkpoint
        return len(changes.records)

    async def _settle(self) -> None:
        """Wait until everything that was published before is written. Raises RecordsUnavailable."""
        collected = self._collector.collected
        while self._stored < collected and self._store is not None:
            await asyncio.shield(self._flush_soon(write=True))
        if self._store is None:
            raise RecordsUnavailable(_FAILED)

    async def _save(self) -> None:
        """Write everything that was published before, and the position."""
        await self._settle()
        while self._flushing is not None:
            await asyncio.shield(self._flushing)
        await self._flush_soon(write=True, checkpoint=True)

    # --- retention ---------------------------------------------------------------------------------

    async def _trim_regularly(self) -> None:
        while True:
            await self._trim()
            await asyncio.sleep(TRIM_S)

    async def _trim(self) -> None:
        loop = asyncio.get_running_loop()
        for workspace in self._workspaces():
            deleted = _TRIM_SLICE
            while deleted == _TRIM_SLICE and (store := self._store) is not None:
                oldest_ms = self.oldest_ms
                try:
                    deleted = await loop.run_in_executor(self._writing, self._trim_slice, store, workspace, oldest_ms)
                except Exception as error:  # The next turn finds the file opened again.
                    await self._fail(error, store)
                    return

    def _workspaces(self) -> set[str]:
        """Return the workspaces whose records may be in the file."""
        return {*self._feed.publisher.workspaces, *self._unfollowed()}

    def _trim_slice(self, store: SqliteRecordStore, workspace: str, oldest_ms: int) -> int:
        return store.trim(workspace, ended_before_ms=oldest_ms, count_max=self._settings.count_max, slice_count=_TRIM_SLICE)

    async def _check_regularly(self, known_customers: KnownCustomers) -> None:
        after = 0
        while True:
            store = self._store
            try:
                after = await self._check_slice(known_customers, after)
            except RouterError:  # The context has failed, which it says itself, or the file, which was noted already.
                after = 0
            except Exception as error:
                await self._fail(error, store)
                after = 0
            await asyncio.sleep(CHECK_S if after else TRIM_S)

    async def _check_slice(self, known_customers: KnownCustomers, after: int) -> int:
        """Forget those customers of some records who are not known any more; return where the next slice begins, 0: at the first.

        They were erased on another node, by the retention of customers, or while the file could not be used.
        """
        store = self._store
        if store is None:
            return 0

        def next_slice() -> tuple[dict[str, set[str]], int]:
            return store.customers_after(after, slice_count=_CHECK_SLICE)

        customers, last = await asyncio.get_running_loop().run_in_executor(self._writing, next_slice)
        for workspace in customers.keys() & self._workspaces():
            known = await known_customers(workspace, sorted(customers[workspace]))
            if unknown := customers[workspace].difference(known):
                await self.forget_customers(workspace, sorted(unknown))
        return last

    async def forget_customers(self, workspace: str, customer_ids: Sequence[str]) -> None:
        """Remove the ids of customers from their records, and from those that are written later. Raises RecordsUnavailable."""
        store = self._store
        if store is None:
            raise RecordsUnavailable(_FAILED)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._writing, store.forget_customers, workspace, tuple(customer_ids))
        except Exception as error:
            await self._fail(error, store)
            raise RecordsUnavailable("the file of the records has failed; the log says why") from error

    # --- reading -----------------------------------------------------------------------------------

    async def find(self, workspace: str, search: RecordSearch) -> tuple[RecordPage, int, int]:
        """Return one page of a search, and from which and up to which event records are complete. Raises RecordsUnavailable."""
        subscription = self._subscription
        if subscription is None:
            raise RecordsUnavailable(_FAILED)
        # Before the search: what is published meanwhile may not be in the page.
        try:
            as_of_seq = subscription.position(workspace).seq
        except KeyError:
            as_of_seq = 0  # A workspace that was created since, of which nothing was published yet.
        page = await self._read(lambda reader: reader.find(workspace, search))
        if self._subscription is not subscription:
            raise RecordsUnavailable(_FAILED)  # Opened again, the file may be behind that event.
        written = self._written.get(workspace)
        return page, 1 if written is None else written.complete_from, as_of_seq

    async def get(self, workspace: str, contact_id: str, *, gateway_id: str | None) -> StoredRecord | None:
        """Return the newest record with a contact's id, of a gateway if one is given. Raises RecordsUnavailable."""
        oldest_ms, is_behind = self.oldest_ms, self._is_behind(workspace)
        found = await self._read(lambda reader: reader.get(workspace, contact_id, from_ms=oldest_ms, gateway_id=gateway_id))
        if found is None and is_behind:
            raise RecordsUnavailable("records are being made from older events, after a start or a pause of this router; retry")
        return found

    def _is_behind(self, workspace: str) -> bool:
        """Return whether records of older events are being made."""
        try:
            return self._subscription is None or self._subscription.position(workspace).seq < self._feed.publisher.last_seq(
                workspace
            )
        except KeyError:
            return False

    async def _read(self, operation: Callable[[RecordReader], T]) -> T:
        await self._settle()
        reader = self._reader
        if reader is None:
            raise RecordsUnavailable(_FAILED)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, operation, reader)
        except (sqlite3.Error, OSError) as error:
            raise RecordsUnavailable(f"the file of the records cannot be read: {error}") from error


def _load(store: SqliteRecordStore, workspace: str, history_id: str, first_seq: int, targets: Targets) -> _Written:
    """Return where a workspace goes on: where the file is, or with the first event that there is."""
    found = store.load(workspace)
    if found is not None and found.history_id == history_id and found.seq >= first_seq - 1:
        return _Written(RecordBuilder(found.opened, found.targets), history_id, found.seq, found.complete_from)
    if found is not None:
        # Of contacts that are open in the file some events are missing, so no record is made of them.
        store.restart(workspace)
    return _Written(RecordBuilder({}, dict(targets)), history_id, first_seq - 1, first_seq)
