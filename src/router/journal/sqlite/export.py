"""Copy a journal, or its beginning, into a new journal while the router runs: backups and archives.

Theory of operation. Records are never changed, so a copy is consistent if it ends where the journal ended at one moment. That
moment is one job on the journal thread (``plan_backup``), between two commits: it notes the end of every workspace and the row of
the commit index that authenticates these ends. The rows up to there are then read in slices, each a short job between commits, and
written to the target on another thread. Commits of records go on meanwhile and wait for at most one slice.

The target is a complete journal: it has the newest row of the commit index, a high-water mark of its own, and the snapshots, so a
router can start on it and ``router verify`` can check it. It is built in a directory with another name, synced, and renamed, so
that a target that exists is complete.

An **archive** is the same, but ends before the records that the journal keeps, and has another application id, so that no router
starts on it. Afterwards the journal begins later: its **base row** (``records.base_row``) holds the number and the chain value at
which it begins.
"""

import asyncio
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from router.journal.files import DIRECTORY_MODE, create_private_file, fsync_directory, sync_directory_path, sync_file
from router.journal.highwater import HighWaterFile, HighWaterMark
from router.journal.records import (
    CHAIN_BYTES,
    COMMIT_INDEX_WORKSPACE,
    CommitIndex,
    Envelope,
    WorkspaceTail,
    base_row,
    decode_envelope,
)
from router.journal.sqlite.connection import (
    INSERT_PART,
    INSERT_SNAPSHOT,
    INSERT_WORKSPACE,
    SELECT_CONTAINING,
    SELECT_NEWEST,
    SELECT_SNAPSHOTS,
    create_tables,
    insert_records_sql,
    translate_errors,
)
from router.journal.sqlite.recovery import chain_at, newest_commit_number
from router.model.errors import JournalUnavailable

T = TypeVar("T")
Row = tuple[int, int, bytes]
SnapshotHeader = tuple[int, int, int, bytes, bytes]

_ROWS_PER_SLICE: Final = 128
# The copy takes at most about a fifth of the time of the journal thread.
_PAUSE_FACTOR: Final = 4
_PAUSE_MIN_S: Final = 0.001


class ExportedWorkspace(Struct, kw_only=True):
    """The part of one workspace that is exported."""

    tail: WorkspaceTail
    first_seq: int
    base: Row | None
    """Base row, where the exported part does not begin with the first event."""
    snapshots: list[SnapshotHeader] = []


class ExportPlan(Struct, kw_only=True):
    """What an export contains, as of one moment."""

    mark: HighWaterMark
    commit_row: Row
    workspaces: list[ExportedWorkspace]
    is_archive: bool = False


class ArchivePlan(Struct, kw_only=True):
    """The export of an archive, and where the journal begins afterwards: workspace number, first event, chain value before it."""

    export: ExportPlan
    begins: list[tuple[int, int, bytes]]


def plan_backup(connection: sqlite3.Connection, tails: Iterable[WorkspaceTail]) -> ExportPlan:
    """Return the plan of a complete copy; one job on the journal thread."""
    [row] = connection.execute(SELECT_NEWEST, (COMMIT_INDEX_WORKSPACE,)).fetchall()
    workspaces = []
    for tail in tails:
        snapshots = connection.execute(SELECT_SNAPSHOTS, (tail.number,)).fetchall()
        workspaces.append(ExportedWorkspace(tail=copy(tail), first_seq=tail.first_seq, base=_base_of(tail), snapshots=snapshots))
    commit_row = (COMMIT_INDEX_WORKSPACE, *row)
    return ExportPlan(mark=HighWaterMark(row[0], decode_envelope(row[1]).chain), commit_row=commit_row, workspaces=workspaces)


def plan_archive(connection: sqlite3.Connection, tails: Iterable[WorkspaceTail], before_ms: int) -> ArchivePlan | None:
    """Return the plan of the archive of records older than ``before_ms``, None where there are none; one job on the journal thread.

    A start needs the records from the older of the two snapshots on, and the one that this snapshot was taken after.
    """
    workspaces, begins, digests = [], [], 0
    for tail in tails:
        snapshots = connection.execute(SELECT_SNAPSHOTS, (tail.number,)).fetchall()
        if not snapshots:
            continue
        kept = _first_needed(connection, tail, needed_seq=min(row[0] for row in snapshots), before_ms=before_ms)
        if kept <= tail.first_seq:
            continue
        chain = chain_at(connection, tail, kept - 1)
        end = copy(tail)
        end.last_seq, end.chain = kept - 1, chain
        end.digest = end.compute_digest()
        digests ^= end.digest
        workspaces.append(ExportedWorkspace(tail=end, first_seq=tail.first_seq, base=_base_of(tail)))
        begins.append((tail.number, kept, chain))
    if not begins:
        return None
    index = CommitIndex(number=newest_commit_number(connection), chain=secrets.token_bytes(CHAIN_BYTES), digests=digests)
    row = index.append_row(at_ms=0, count=0)
    return ArchivePlan(export=ExportPlan(mark=index.mark, commit_row=row, workspaces=workspaces, is_archive=True), begins=begins)


def _base_of(tail: WorkspaceTail) -> Row | None:
    return None if tail.base_chain is None else base_row(tail.number, tail.first_seq, tail.base_chain)


def _first_needed(connection: sqlite3.Connection, tail: WorkspaceTail, *, needed_seq: int, before_ms: int) -> int:
    """Return the first event to keep: of the record that holds ``needed_seq``, or of the first one that is young enough."""

    def record_with(seq: int) -> Envelope:
        _, data = connection.execute(SELECT_CONTAINING, (tail.number, seq)).fetchone()
        return decode_envelope(data)

    if needed_seq < tail.first_seq:
        return tail.first_seq
    low, high = tail.first_seq, record_with(needed_seq).seq
    # Times never decrease, so the first young record is found by bisection.
    while low < high:
        middle = record_with((low + high) // 2)
        if middle.at_ms < before_ms:
            low = middle.last_seq + 1
        else:
            high = middle.seq
    return low


class ExportReport(Struct, frozen=True, kw_only=True):
    """A finished export."""

    path: str
    """The database of the new journal."""
    commit: int
    """Newest commit that it contains."""
    records: int
    events: int
    bytes: int
    workspaces: dict[str, int]
    """Last event by workspace."""


class ExportSource(Struct, frozen=True, kw_only=True):
    """Access to the journal that is exported; every function runs as one job on its thread."""

    read_rows: Callable[[int, int, int, int], Awaitable[list[Row]]]
    """Workspace number, first key, last sequence number, number of rows."""
    read_part: Callable[[int, int, int], Awaitable[bytes | None]]
    """Workspace number, sequence number of the snapshot, part."""


async def export_journal(
    plan: ExportPlan,
    source: ExportSource,
    directory: Path,
    *,
    name: str,
    companions: Sequence[Path] = (),
    check: Callable[[], Awaitable[None]] | None = None,
) -> ExportReport:
    """Write a planned export into a new directory and return what it contains.

    ``companions`` are further files to be copied into it where they exist. ``check`` runs before the directory gets its name; an
    error that it raises leaves nothing.

    Raises JournalUnavailable where the directory exists, cannot be created, or its disk is full; nothing is left then.
    """
    with _new_directory(directory) as scratch:
        target = _Target(scratch / name)
        try:
            await asyncio.to_thread(target.open, plan)
            for workspace in plan.workspaces:
                await _copy_records(workspace, source, target)
                for header in workspace.snapshots:
                    await _copy_snapshot(workspace.tail.number, header, source, target)
        finally:
            await asyncio.to_thread(target.close)
        if check is not None:
            await check()
        size = await asyncio.to_thread(target.finish, plan.mark)
        for companion in companions:
            if companion.is_file():
                _copy_private(companion, scratch / companion.name)
    return ExportReport(
        path=str(directory / name),
        commit=plan.mark.number,
        records=target.records,
        events=sum(one.tail.last_seq - one.first_seq + 1 for one in plan.workspaces),
        bytes=size,
        workspaces={one.tail.workspace: one.tail.last_seq for one in plan.workspaces},
    )


async def _copy_records(workspace: ExportedWorkspace, source: ExportSource, target: "_Target") -> None:
    number, next_seq = workspace.tail.number, workspace.first_seq
    while next_seq <= workspace.tail.last_seq:
        rows = await _paced(source.read_rows(number, next_seq, workspace.tail.last_seq, _ROWS_PER_SLICE))
        if not rows:
            break
        await asyncio.to_thread(target.add_records, rows)
        next_seq = rows[-1][1] + 1


async def _copy_snapshot(number: int, header: SnapshotHeader, source: ExportSource, target: "_Target") -> None:
    """Copy a snapshot. One that the journal has replaced meanwhile is left out: its header is written last."""
    seq, part = header[0], 0
    while (data := await _paced(source.read_part(number, seq, part))) is not None:
        await asyncio.to_thread(target.add_part, number, seq, part, data)
        part += 1
    if part:
        await asyncio.to_thread(target.add_snapshot, number, header)


async def _paced(job: Awaitable[T]) -> T:
    began_s = time.perf_counter()
    result = await job
    await asyncio.sleep(max(_PAUSE_MIN_S, _PAUSE_FACTOR * (time.perf_counter() - began_s)))
    return result


class _Target:
    """The database of the new journal, written without syncs until ``finish``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self.records = 0

    def open(self, plan: ExportPlan) -> None:
        """Create the tables, and the rows that come from the plan."""
        create_private_file(self._path)
        # Jobs run one after the other, on whatever thread of the pool is free.
        connection = self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = OFF").fetchall()
        connection.execute("PRAGMA synchronous = OFF").fetchall()
        connection.execute("BEGIN")
        create_tables(connection, is_archive=plan.is_archive)
        connection.execute(insert_records_sql(1), plan.commit_row)
        for one in plan.workspaces:
            connection.execute(INSERT_WORKSPACE, (one.tail.number, one.tail.workspace, one.tail.history_id))
            if one.base is not None:
                connection.execute(insert_records_sql(1), one.base)

    def add_records(self, rows: list[Row]) -> None:
        """Write records."""
        self._open_connection.executemany(insert_records_sql(1), rows)
        self.records += len(rows)

    def add_part(self, number: int, seq: int, part: int, data: bytes) -> None:
        """Write a part of a snapshot."""
        self._open_connection.execute(INSERT_PART, (number, seq, part, data))

    def add_snapshot(self, number: int, header: SnapshotHeader) -> None:
        """Write the header of a snapshot, which makes it valid."""
        self._open_connection.execute(INSERT_SNAPSHOT, (number, *header))

    def close(self) -> None:
        """Commit and close. Idempotent."""
        if self._connection is not None:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._connection.close()
            self._connection = None

    def finish(self, mark: HighWaterMark) -> int:
        """Write the mark, force everything to disk and return the size in bytes."""
        sync_file(self._path)
        high_water = self._path.with_name(self._path.name + ".hwm")
        HighWaterFile.create(high_water, mark)
        return self._path.stat().st_size + high_water.stat().st_size

    @property
    def _open_connection(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection


def _copy_private(path: Path, target: Path) -> None:
    create_private_file(target)
    target.write_bytes(path.read_bytes())
    sync_file(target)


@contextmanager
def _new_directory(directory: Path) -> Iterator[Path]:
    """Provide a scratch directory that becomes ``directory`` at the end, and is removed where an error ends it."""
    scratch = directory.with_name(f".{directory.name}.{os.getpid()}.new")
    if directory.exists():
        raise JournalUnavailable(f"{directory}: already exists; give the name of a new directory")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=DIRECTORY_MODE, parents=True)
    except OSError as error:
        raise JournalUnavailable(f"{directory}: cannot be created ({error.strerror})") from error
    try:
        with translate_errors():
            yield scratch
            fsync_directory(scratch)
            scratch.rename(directory)
            # Also the parents, some of which may be new: the records of an archive are deleted after this.
            sync_directory_path(directory.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
