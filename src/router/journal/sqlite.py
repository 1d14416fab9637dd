"""The journal on disk: SQLite, one connection, one thread.

The event loop hands jobs to the thread and never waits for the disk itself. What each setting is for and what is promised:
``docs/journal.md``. The parts: ``schema`` (tables, settings), ``ledger`` and ``highwater`` (how a missing end is seen),
``sqlite_recovery`` (opening), ``sqlite_file`` (everything that the thread does).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from router.journal.files import JournalPaths
from router.journal.port import Position, Record, Snapshot, WorkspaceHistory
from router.journal.sealing import Sealer
from router.journal.sqlite_file import JournalFile, new_generation
from router.journal.sqlite_recovery import HistoryLoss
from router.journal.sqlite_snapshots import parts_of
from router.journal.thread import JournalThread
from router.model.errors import JournalUnavailable
from router.model.ids import WorkspaceId

__all__ = ["SqliteJournal", "HistoryLoss"]

T = TypeVar("T")

_REPLAY_PAGE_RECORDS: Final = 512
# A read shares the thread with the commits: long ones go in pieces.
_READ_PIECE_RECORDS: Final = 256


class SqliteJournal:
    """A ``Journal`` in one SQLite file (and its ``-wal``, ``.hwm`` and ``.ballast`` beside it)."""

    def __init__(
        self,
        path: Path,
        *,
        high_water_interval_ms: int = 100,
        high_water_sync: bool = False,
        checkpoint_bytes_max: int = 16 << 20,
        checkpoint_idle_ms: int = 1_000,
        ballast_bytes: int = 64 << 20,
    ) -> None:
        """``high_water_sync`` forces the mark to the disk with every commit instead of every ``high_water_interval_ms``.

        ``checkpoint_bytes_max``: the size of the write-ahead log at which it is moved into the main file; it also is after
        ``checkpoint_idle_ms`` without a commit. ``ballast_bytes``: disk space held back for an orderly stop; 0 for none.
        """
        self._paths = JournalPaths(path.absolute())
        self._high_water_interval_ms = high_water_interval_ms
        self._checkpoint_bytes_max = checkpoint_bytes_max
        self._checkpoint_idle_ms = checkpoint_idle_ms
        self._file = JournalFile(
            self._paths, high_water_sync=high_water_sync, ballast_bytes=ballast_bytes
        )
        self._thread: JournalThread | None = None
        self._sealer: Sealer | None = None
        self._commits = 0
        self._closed = asyncio.Event()

    @property
    def path(self) -> Path:
        """The database file."""
        return self._paths.database

    @property
    def synchronous(self) -> str:
        """How a commit is made durable; asserted at ``open``, for the metrics page."""
        return "full"

    async def open(self) -> Sequence[WorkspaceHistory]:
        """Take the lock, verify everything since each workspace's newest good snapshot, say what is there."""
        histories = await self._first_job(self._file.open)
        self._sealer = self._file.new_sealer()
        return histories

    async def accept_history_loss(self) -> list[HistoryLoss]:
        """Instead of ``open``, on an operator's word: keep what is sound, begin a new generation everywhere, and close.

        A journal of which not even the tables can be read stays ``JournalCorrupt``: that takes a backup.
        """
        try:
            return await self._first_job(self._file.accept_history_loss)
        finally:
            self._end_thread()

    async def create_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Begin the history of a new workspace with a new random generation."""
        lane, commit = self._open_sealer.begin_lane(workspace, new_generation())
        # The sealer's lane runs ahead of the disk; the file gets one of its own.
        await self._job(partial(self._file.begin_lane, copy(lane), commit))
        return WorkspaceHistory(
            workspace=workspace, gen=lane.gen, last=Position(0, 0), snapshot=None
        )

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """The records after ``after_seq``, in order; before the writer starts (blocking)."""
        while True:
            page = self._running.wait_for(
                partial(self._file.read, workspace, after_seq, _REPLAY_PAGE_RECORDS)
            )
            yield from page
            if len(page) < _REPLAY_PAGE_RECORDS:
                return
            after_seq = page[-1].last_seq

    async def read(self, workspace: WorkspaceId, *, after_seq: int, limit: int) -> list[Record]:
        """At most ``limit`` records whose last event is after ``after_seq``; while the writer runs."""
        records: list[Record] = []
        while len(records) < limit:
            piece = min(_READ_PIECE_RECORDS, limit - len(records))
            page = await self._running.call(partial(self._file.read, workspace, after_seq, piece))
            records += page
            if len(page) < piece:
                break
            after_seq = page[-1].last_seq
        return records

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Make the batch durable, all of it in one commit."""
        if not batch:
            return
        thread = self._running
        self._file.refuse_if_unusable()
        commit = self._open_sealer.seal_batch(batch)
        await thread.call(partial(self._file.guarded, partial(self._file.commit, commit)))
        self._commits += 1
        self._checkpoint_if_due()

    def _checkpoint_if_due(self) -> None:
        if self._file.wal_bytes >= self._checkpoint_bytes_max:
            # Not awaited: what was appended is durable and its answers may go. The next batch waits behind the checkpoint,
            # and finds the journal failed if that failed.
            self._running.post(partial(self._file.guarded, self._file.checkpoint))

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Keep a snapshot; the one before it is kept too. Records may be appended meanwhile."""
        file = self._file
        if await self._job(lambda: file.has_snapshot(workspace, snapshot.seq)):
            return
        for part, data in enumerate(parts_of(snapshot)):
            await self._job(partial(file.put_snapshot_part, workspace, snapshot.seq, part, data))
            self._checkpoint_if_due()
        await self._job(lambda: file.finish_snapshot(workspace, snapshot))

    async def tend(self) -> None:
        """Sync the high-water mark, checkpoint when idle, and raise when the journal has failed; until it is closed."""
        idle_ms = 0
        seen = self._commits
        while not self._closed.is_set():
            if self._file.failed is not None:
                raise JournalUnavailable(str(self._file.failed)) from self._file.failed
            idle_ms = 0 if self._commits != seen else idle_ms + self._high_water_interval_ms
            seen = self._commits
            if idle_ms >= self._checkpoint_idle_ms and self._file.wal_bytes:
                await self._job(self._file.checkpoint)
            elif self._file.unsynced:
                await self._job(self._file.sync_mark)
            try:
                async with asyncio.timeout(self._high_water_interval_ms / 1000):
                    await self._closed.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Orderly end: everything on disk, lock given back. Idempotent."""
        self._closed.set()
        if self._thread is None:
            return
        try:
            await self._thread.call(self._file.close)
        finally:
            self._end_thread()

    async def _first_job(self, job: Callable[[], T]) -> T:
        assert self._thread is None, "a journal is opened once"
        self._thread = JournalThread()
        return await self._thread.call(job)

    async def _job(self, job: Callable[[], T]) -> T:
        return await self._running.call(partial(self._file.guarded, job))

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._thread.end()
            self._thread = None

    @property
    def _running(self) -> JournalThread:
        if self._thread is None:
            raise JournalUnavailable("the journal is not open")
        return self._thread

    @property
    def _open_sealer(self) -> Sealer:
        if self._sealer is None:
            raise JournalUnavailable("the journal is not open")
        return self._sealer
