"""The SQLite journal backend: one database file, one connection, one thread.

The event loop submits jobs to the journal thread and never blocks on the disk. The guarantees and the reason for each pragma
are described in ``docs/reference/journal.md``. The parts of the backend: ``connection`` (schema, pragmas, error translation),
``journal.records`` and ``highwater`` (detection of a missing end), ``recovery`` (opening and verification), ``snapshots``, and
``journal_file`` (everything that runs on the thread, with the ``fdatasync`` of each commit).

``JournalThread`` runs blocking jobs in order and returns their results to the event loop. ``concurrent.futures`` offers the same
at three times the cost: it creates two futures and two condition variables per job, which is measurable at a thousand commits
per second. The journal on a server (``journal.redis``) uses it too; in a module of its own it would lengthen the path of a submit.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

from router.journal.files import JournalPaths
from router.journal.port import HistoryLoss, JournalStatus, Snapshot, WorkspaceHistory
from router.journal.records import CommitBuilder, Position, Record, WorkspaceTail
from router.journal.sqlite.export import ExportReport, ExportSource, export_journal
from router.journal.sqlite.journal_file import SqliteJournalFile, new_history_id
from router.journal.sqlite.second_mark import SecondMark
from router.journal.sqlite.snapshots import split_snapshot
from router.model.errors import JournalUnavailable
from router.model.states import WorkspaceId

T = TypeVar("T")

__all__ = ["SqliteJournal", "HistoryLoss", "JournalThread", "notify_loop"]


class JournalThread:
    """A running worker thread. Every submitted job is executed, even when its caller has been cancelled."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon thread: an interpreter that exits without ``stop`` must not wait for further jobs.
        threading.Thread(target=self._run_jobs, name="journal", daemon=True).start()

    def run(self, job: Callable[[], T]) -> "asyncio.Future[T]":
        """Run a job and return a future of the running loop for its result or exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = job()
            except BaseException as error:
                notify_loop(loop, _set_exception, future, error)
            else:
                notify_loop(loop, _set_result, future, result)

        self._jobs.put(work)
        return future

    def run_detached(self, job: Callable[[], object]) -> None:
        """Run a job without waiting for it; the job records its own errors."""

        def work() -> None:
            with suppress(Exception):
                job()

        self._jobs.put(work)

    def run_blocking(self, job: Callable[[], T]) -> T:
        """Run a job, block until it is done and return its result. Raises what the job raises."""
        done = threading.Event()
        results: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(job())
            except BaseException as error:
                errors.append(error)
            done.set()

        self._jobs.put(work)
        done.wait()
        if errors:
            raise errors[0]
        return results[0]

    def stop(self) -> None:
        """Stop the thread after the jobs already submitted."""
        self._jobs.put(None)

    def _run_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def notify_loop(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    """Call a function on the event loop, if it still runs."""
    # A closed event loop raises RuntimeError; no caller is waiting on it any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)


def _set_result(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: "asyncio.Future[T]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


async def check_archive(path: Path) -> None:
    """Read an archive back and verify every record in it. Raises JournalError."""
    archive = SqliteJournal(path, reserved_bytes=0)
    try:
        await archive.open(is_archive=True)
    finally:
        await archive.close()


_REPLAY_CHUNK_RECORDS: Final = 512

# Each slice of a deletion is a commit; others wait for at most one.
_DELETED_RECORDS: Final = 128
_DELETE_PAUSE_S: Final = 0.02

# Reads share the thread with the commits, so a long read is split into chunks.
_READ_CHUNK_RECORDS: Final = 256


class SqliteJournal:
    """A ``Journal`` in one SQLite file, with its ``-wal``, ``.hwm`` and ``.reserved`` files beside it."""

    def __init__(
        self,
        path: Path,
        *,
        high_water_interval_ms: int = 100,
        high_water_sync: bool = False,
        checkpoint_bytes_max: int = 16 << 20,
        checkpoint_idle_ms: int = 1_000,
        reserved_bytes: int = 64 << 20,
        second_mark_path: Path | None = None,
    ) -> None:
        """Configure the journal without opening it.

        ``high_water_sync`` forces the high-water mark to disk at every commit instead of every ``high_water_interval_ms``.
        A checkpoint runs when the write-ahead log exceeds ``checkpoint_bytes_max`` bytes, or after ``checkpoint_idle_ms``
        without a commit. ``reserved_bytes`` of disk space are kept for a clean shutdown on a full disk; 0 disables this.
        ``second_mark_path`` is a file elsewhere that also names the newest commit; see ``SecondMark``.
        """
        self._paths = JournalPaths(path.absolute())
        self._high_water_interval_ms = high_water_interval_ms
        self._checkpoint_bytes_max = checkpoint_bytes_max
        self._checkpoint_idle_ms = checkpoint_idle_ms
        self._second_mark = None if second_mark_path is None else SecondMark(second_mark_path.absolute())
        self._file = SqliteJournalFile(
            self._paths, high_water_sync=high_water_sync, reserved_bytes=reserved_bytes, second_mark=self._second_mark
        )
        self._thread: JournalThread | None = None
        self._commit_builder: CommitBuilder | None = None
        self._commits = 0
        self._exporting = asyncio.Lock()
        self._closed = asyncio.Event()

    @property
    def path(self) -> Path:
        """Return the path of the database file."""
        return self._paths.database

    @property
    def synchronous(self) -> str:
        """Return the durability mode of commits, as verified by ``open``, for the metrics."""
        return "full"

    async def open(self, *, is_archive: bool = False) -> Sequence[WorkspaceHistory]:
        """Take the lock, verify every record since the newest intact snapshot, and return all histories.

        ``is_archive``: the file is opened to be read or repaired, so it needs no snapshot for events that are not in it.
        """
        self._file.is_archive = is_archive
        histories = await self._start_thread(self._file.open)
        self._commit_builder = self._file.new_commit_builder()
        return histories

    async def accept_history_loss(self) -> list[HistoryLoss]:
        """Repair a damaged journal at the operator's request: keep the intact records of each workspace under a new history id.

        Call this instead of ``open``; it closes the journal. Raises JournalCorrupt where the tables themselves cannot be
        read: then only a backup helps.
        """
        try:
            return await self._start_thread(self._file.accept_history_loss)
        finally:
            self._stop_thread()

    async def create_workspace(self, workspace: WorkspaceId, *, history_id: str | None = None) -> WorkspaceHistory:
        """Start the history of a new workspace under a new random history id.

        ``history_id`` continues the history of another journal; for migration only.
        """
        tail, commit = self._open_commit_builder.add_workspace(workspace, new_history_id() if history_id is None else history_id)
        # The tail of the commit builder runs ahead of the disk, so the file gets its own copy.
        await self._run_guarded(partial(self._file.add_workspace, copy(tail), commit))
        return WorkspaceHistory(workspace=workspace, history_id=tail.history_id, last_position=Position(0, 0), snapshot=None)

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Iterate over the records after ``after_seq`` in order.

        Blocks on the disk: only for use before the writer runs.
        """
        while True:
            chunk = self._running_thread.run_blocking(partial(self._file.read, workspace, after_seq, _REPLAY_CHUNK_RECORDS))
            yield from chunk
            if len(chunk) < _REPLAY_CHUNK_RECORDS:
                return
            after_seq = chunk[-1].last_seq

    async def read(self, workspace: WorkspaceId, *, after_seq: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records whose last event is after ``after_seq``, while the writer runs."""
        records: list[Record] = []
        while len(records) < limit:
            chunk_limit = min(_READ_CHUNK_RECORDS, limit - len(records))
            chunk = await self._running_thread.run(partial(self._file.read, workspace, after_seq, chunk_limit))
            records += chunk
            if len(chunk) < chunk_limit:
                break
            after_seq = chunk[-1].last_seq
        return records

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Make the whole batch durable in one commit."""
        if not batch:
            return
        thread = self._running_thread
        self._file.check_usable()
        commit = self._open_commit_builder.build_commit(batch)
        await thread.run(partial(self._file.run_guarded, partial(self._file.commit, commit)))
        self._file.check_files(quick=True)
        self._commits += 1
        self._checkpoint_if_due()

    def _checkpoint_if_due(self) -> None:
        if self._file.wal_bytes >= self._checkpoint_bytes_max:
            # Not awaited: the batch is durable, so its replies can be sent. The next batch queues behind the checkpoint, and
            # raises if the checkpoint failed.
            self._running_thread.run_detached(partial(self._file.run_guarded, self._file.checkpoint))

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Store a snapshot; the previous one is retained. Records can be appended meanwhile."""
        file = self._file
        if await self._run_guarded(lambda: file.has_snapshot(workspace, snapshot.seq)):
            return
        for part, data in enumerate(split_snapshot(snapshot)):
            await self._run_guarded(partial(file.write_snapshot_part, workspace, snapshot.seq, part, data))
            self._checkpoint_if_due()
        await self._run_guarded(lambda: file.write_snapshot_header(workspace, snapshot))

    def status(self) -> JournalStatus:
        """Return that every commit is on the disk."""
        return JournalStatus(durability="fsync")

    def first_seq(self, workspace: WorkspaceId) -> int:
        """Return the first event that the journal has; more than 1 where events have been archived."""
        return self._file.first_seq(workspace)

    async def back_up(self, directory: Path, *, companions: Sequence[Path] = ()) -> ExportReport:
        """Write a complete copy, as of now, into a new directory, while records are appended.

        ``companions`` are further files to be copied with it where they exist.

        Raises JournalUnavailable where the directory exists or cannot be written.
        """
        async with self._exporting:
            plan = await self._running_thread.run(self._file.plan_backup)
            return await export_journal(
                plan, self._export_source(), directory, name=self._paths.database.name, companions=companions
            )

    async def archive(self, directory: Path, *, before_ms: int) -> ExportReport | None:
        """Move records older than ``before_ms`` that a start does not need into a new journal in a new directory.

        The archive is read back and verified before anything is removed. Returns None where there is nothing to archive. Raises
        JournalError where the directory exists, cannot be written, or does not verify; then nothing is removed.
        """
        async with self._exporting:
            thread, file = self._running_thread, self._file
            plan = await thread.run(partial(file.plan_archive, before_ms))
            if plan is None:
                return None
            report = await export_journal(plan.export, self._export_source(), directory, name="archive.db")
            await check_archive(Path(report.path))
            for number, first_seq, chain in plan.begins:
                await self._run_guarded(partial(file.begin_at, number, first_seq, chain))
                while await self._run_guarded(partial(file.delete_archived, number, first_seq, _DELETED_RECORDS)):
                    self._checkpoint_if_due()
                    await asyncio.sleep(_DELETE_PAUSE_S)
            return report

    async def put_back(self, archive: "SqliteJournal") -> dict[WorkspaceId, int]:
        """Put an opened archive back in front of the records; return the new first event by workspace.

        Raises JournalUnavailable where it does not end where the records begin.
        """
        begins: dict[WorkspaceId, int] = {}
        for workspace in archive._file.workspaces:
            old, tail = archive._file.tail(workspace), self._file.tail(workspace)
            assert old is not None
            if tail is None or (tail.first_seq, tail.base_chain) != (old.last_seq + 1, old.chain):
                raise JournalUnavailable(
                    f"workspace {workspace}: the archive ends at event {old.last_seq}, but the journal does not begin after it; "
                    "put archives back from the newest to the oldest"
                )
            next_seq = old.first_seq
            while rows := await archive._running_thread.run(
                partial(archive._file.read_rows, old.number, next_seq, old.last_seq, _REPLAY_CHUNK_RECORDS)
            ):
                await self._run_guarded(partial(self._file.put_back, workspace, rows))
                next_seq = rows[-1][1] + 1
            chain = old.verifier().chain or b""
            await self._run_guarded(partial(self._file.begin_at, tail.number, old.first_seq, chain))
            begins[workspace] = old.first_seq
        return begins

    async def rebase(self, snapshots: Mapping[WorkspaceId, Snapshot]) -> None:
        """Let workspaces begin again with a snapshot of their end; see ``SqliteJournalFile.rebase``. Close it then."""
        await self._run_guarded(partial(self._file.rebase, snapshots))

    def tails(self) -> list[WorkspaceTail]:
        """Return the ends of the workspaces as they were found at the opening, in the order of their creation."""
        found = (self._file.tail(workspace) for workspace in self._file.workspaces)
        return sorted((tail for tail in found if tail is not None), key=lambda tail: tail.number)

    def stored_rows(self, tail: WorkspaceTail, *, after_seq: int) -> Iterator[bytes]:
        """Iterate over the records after the one that ends with ``after_seq``, as they are stored.

        Blocks on the disk: only for use before the writer runs.
        """
        next_seq = after_seq + 1
        read = self._file.read_rows
        while rows := self._running_thread.run_blocking(partial(read, tail.number, next_seq, tail.last_seq, _REPLAY_CHUNK_RECORDS)):
            yield from (row[2] for row in rows)
            next_seq = rows[-1][1] + 1

    async def load_snapshots(self, workspace: WorkspaceId) -> list[Snapshot]:
        """Return the intact snapshots, newest first."""
        return [snapshot for snapshot, _ in await self.load_stored_snapshots(workspace)]

    async def load_stored_snapshots(self, workspace: WorkspaceId) -> list[tuple[Snapshot, bytes]]:
        """Return the intact snapshots with the chain value after each, newest first."""
        return await self._running_thread.run(partial(self._file.load_snapshots, workspace))

    def _export_source(self) -> ExportSource:
        run, file = self._running_thread.run, self._file
        return ExportSource(
            read_rows=lambda *arguments: run(partial(file.read_rows, *arguments)),
            read_part=lambda *arguments: run(partial(file.read_part, *arguments)),
        )

    async def run_maintenance(self) -> None:
        """Sync the high-water mark and checkpoint when idle, until the journal is closed.

        Raises JournalUnavailable once a job on the journal thread has failed.
        """
        idle_ms = 0
        seen = self._commits
        while not self._closed.is_set():
            if self._file.failure is not None:
                raise self._file.failure
            self._file.check_files()
            await self._write_second_mark()
            idle_ms = 0 if self._commits != seen else idle_ms + self._high_water_interval_ms
            seen = self._commits
            if idle_ms >= self._checkpoint_idle_ms and self._file.wal_bytes:
                await self._run_guarded(self._file.checkpoint)
            elif self._file.is_mark_unsynced:
                await self._run_guarded(self._file.sync_mark)
            try:
                async with asyncio.timeout(self._high_water_interval_ms / 1000):
                    await self._closed.wait()
            except TimeoutError:
                continue

    async def _write_second_mark(self) -> None:
        """Write the second mark once a second where it has changed, outside the journal thread: it may be on a slow disk."""
        second, mark = self._second_mark, self._file.mark
        if second is not None and mark is not None and second.is_due(mark, now_s=time.monotonic()):
            await asyncio.to_thread(second.try_write, mark)

    @property
    def second_mark_error(self) -> str | None:
        """Return why the second mark could not be written the last time, None where it could or where there is none."""
        return None if self._second_mark is None else self._second_mark.error

    async def close(self) -> None:
        """Flush everything to disk and release the lock. Idempotent."""
        self._closed.set()
        if self._thread is None:
            return
        try:
            await self._thread.run(self._file.close)
        finally:
            self._stop_thread()

    async def _start_thread(self, job: Callable[[], T]) -> T:
        assert self._thread is None, "a journal object can be opened only once"
        self._thread = JournalThread()
        return await self._thread.run(job)

    async def _run_guarded(self, job: Callable[[], T]) -> T:
        return await self._running_thread.run(partial(self._file.run_guarded, job))

    def _stop_thread(self) -> None:
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    @property
    def _running_thread(self) -> JournalThread:
        if self._thread is None:
            raise JournalUnavailable("the journal is not open")
        return self._thread

    @property
    def _open_commit_builder(self) -> CommitBuilder:
        if self._commit_builder is None:
            raise JournalUnavailable("the journal is not open")
        return self._commit_builder
