"""Migration of a journal file from format 1 to the current format, once and with the router stopped.

Theory of operation. The records are converted into a new file; the old file is never changed. Conversion and swap are separate
steps, with a marker file between them, so that a crash at any moment leaves either the old journal in use or a swap that the next
run completes:

1. Take the lock of the journal, so that no router starts. Copy the database and its write-ahead log into the working directory
   ``journal.db.migrating``, and verify the copy from the first record on: commit index, high-water mark, hash chain.
2. Write every record to a new journal in the working directory, in order and with the same history ids, numbers, times and epochs;
   positions that clients hold stay valid. For each record the conversion is undone and compared with the original body: nothing
   may be lost. Snapshots are not converted; the next start replays all records.
3. Read the new journal back and compare every body with what was written. Let the caller verify it, which replays all decisions
   and checks the invariants of the resulting state.
4. Sync the new files and write the marker. Until here a failure removes the working directory and changes nothing.
5. Swap: link the old mark to ``.v1.hwm``, rename the old log and database to ``.v1-wal`` and ``.v1``, rename the new database and
   then the new mark into place. In between, a router refuses to start, because database and mark do not belong together; it can
   never start with an empty journal, because a mark is present throughout.

The old journal remains as ``journal.db.v1`` with its files, complete, for the earlier version. The working directory needs about
twice the space of the journal.
"""

import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from router.journal.files import DIRECTORY_MODE, JournalPaths, check_regular_file, fsync_directory, sync_file
from router.journal.format_1 import to_format_1
from router.journal.highwater import HighWaterFile, HighWaterMark
from router.journal.records import (
    FORMAT,
    ChainVerifier,
    DamagedRecord,
    Envelope,
    Record,
    WorkspaceTail,
    corrupt_record,
    decode_record,
    encode_body,
)
from router.journal.sqlite.connection import TABLES, check_schema, file_format, open_connection, require_journal, translate_errors
from router.journal.sqlite.journal import SqliteJournal
from router.journal.sqlite.recovery import recover_journal, rows_from
from router.model.errors import JournalCorrupt, JournalTooNew, JournalUnavailable
from router.model.states import WorkspaceId

_OLD_FORMAT: Final = 1
_OLD_TABLES: Final = tuple(sql.replace("history_id", "gen").replace("engine_bytes", "core_bytes") for sql in TABLES)
_COLUMNS: Final = (("workspace", "gen", "history_id"), ("snapshot", "core_bytes", "engine_bytes"))
_OLD_SUFFIX: Final = ".v1"
_BATCH_RECORDS: Final = 256

ReportT = TypeVar("ReportT")

Verify = Callable[[Path], Awaitable[Sequence[str]]]
"""Verify the journal at a path and return the problems found."""


class WorkspaceMigration(Struct, frozen=True, kw_only=True):
    """The converted history of one workspace."""

    workspace: WorkspaceId
    history_id: str
    records: int
    events: int
    last_seq: int


class MigrationReport(Struct, frozen=True, kw_only=True):
    """A finished migration."""

    path: str
    backup: str
    """The old journal, which can be deleted once the new one is in a backup."""
    from_format: int
    to_format: int
    workspaces: list[WorkspaceMigration]


async def migrate_journal(path: Path, *, verify: Verify) -> MigrationReport | None:
    """Convert a journal to the current format; None where it already has it.

    Raises JournalLocked where a router has opened the journal, JournalTooNew, JournalCorrupt where the journal is damaged or the
    converted one does not verify, and JournalUnavailable where the journal does not exist or the disk is full.
    """
    work = JournalSwap(path)
    paths = work.paths
    if not work.is_ready() and not check_regular_file(paths.database):
        raise JournalUnavailable(f"{paths.database}: the journal does not exist")
    if not work.is_ready():
        require_journal(paths)
    with lock_stopped(paths) as mark:
        if work.is_ready():
            with translate_errors():
                work.sync_found()
            report = work.read_report(MigrationReport)
        elif not _needs_migration(paths):
            work.remove()
            return None
        else:
            report = await _convert(paths, work, mark, verify)
        with translate_errors():
            work.swap()
    return report


def _needs_migration(paths: JournalPaths) -> bool:
    version = file_format(paths.database)
    if version is None:
        raise JournalCorrupt(f"{paths.database}: the file is not a journal")
    if version > FORMAT:
        raise JournalTooNew(f"{paths.database}: format {version}; this version reads {FORMAT}")
    return version < FORMAT


@contextmanager
def lock_stopped(paths: JournalPaths) -> Iterator[HighWaterMark]:
    """Hold the lock of the journal and return its mark."""
    if not check_regular_file(paths.high_water):
        raise JournalCorrupt(f"{paths.high_water}: the high-water mark is missing")
    with closing(HighWaterFile.open_locked(paths.high_water)) as high_water:
        yield high_water.read()


async def _convert(paths: JournalPaths, work: "JournalSwap", mark: HighWaterMark, verify: Verify) -> MigrationReport:
    """Write and verify the new journal; the old one is unchanged, and nothing is left where this raises."""
    try:
        with translate_errors(opening=True):
            work.begin()
            workspaces, digests = await _copy_records(work.source, mark, work.new)
        await check_copy(work.new, digests)
        problems = await verify(work.new.database)
        if problems:
            raise JournalCorrupt(f"the converted journal does not verify: {problems[0]}")
        report = MigrationReport(
            path=str(paths.database),
            backup=str(work.old.database),
            from_format=_OLD_FORMAT,
            to_format=FORMAT,
            workspaces=workspaces,
        )
        with translate_errors():
            work.finish(report)
    except BaseException:
        work.remove()
        raise
    return report


async def _copy_records(
    source: JournalPaths, mark: HighWaterMark, new: JournalPaths
) -> tuple[list[WorkspaceMigration], dict[WorkspaceId, bytes]]:
    """Convert all records into a new journal; return what was written, and a digest of the bodies of each workspace."""
    migrated, digests = [], {}
    target = SqliteJournal(new.database, reserved_bytes=0)
    with closing(open_connection(source.database)) as connection:
        check_schema(connection, version=_OLD_FORMAT, tables=_OLD_TABLES)
        for table, old, name in _COLUMNS:
            connection.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {name}")
        found = recover_journal(connection, mark)
        await target.open()
        try:
            for tail in found.tails.values():
                await target.create_workspace(tail.workspace, history_id=tail.history_id)
                digest = blake2b()
                records = events = 0
                batch: list[tuple[WorkspaceId, Record]] = []
                for record in _converted(rows_from(connection, tail.number, 0), tail):
                    digest.update(encode_body(record))
                    records += 1
                    events += len(record.events)
                    batch.append((tail.workspace, record))
                    if len(batch) == _BATCH_RECORDS:
                        await target.append(batch)
                        batch = []
                await target.append(batch)
                digests[tail.workspace] = digest.digest()
                migrated.append(
                    WorkspaceMigration(
                        workspace=tail.workspace, history_id=tail.history_id, records=records, events=events, last_seq=tail.last_seq
                    )
                )
        finally:
            await target.close()
    return migrated, digests


def _converted(rows: Iterator[tuple[object, object]], tail: WorkspaceTail) -> Iterator[Record]:
    """Verify and convert the rows of a workspace from the first one on. Raises JournalCorrupt."""
    verifier = ChainVerifier.from_start(tail.workspace)
    for key, data in rows:
        envelope = verifier.verify(key, data)
        try:
            record = decode_record(envelope)
            _check_lossless(envelope, record)
        except DamagedRecord as error:
            raise corrupt_record(tail.workspace, envelope.seq, str(error)) from error
        yield record
    verifier.check_end(last_seq=tail.last_seq, chain=tail.chain)


def _check_lossless(envelope: Envelope, record: Record) -> None:
    """Convert the record back and compare it with the original body. Raises DamagedRecord."""
    if envelope.format_version != _OLD_FORMAT:
        raise DamagedRecord(f"a record of format {envelope.format_version} in a journal of format 1")
    restored = to_format_1(msgspec.msgpack.decode(encode_body(record)))
    if restored != msgspec.msgpack.decode(envelope.body):
        raise DamagedRecord("the conversion would change the record")


async def check_copy(new: JournalPaths, digests: dict[WorkspaceId, bytes]) -> None:
    """Read the new journal back and compare it with what was written. Raises JournalError."""
    journal = SqliteJournal(new.database, reserved_bytes=0)
    try:
        for history in await journal.open():
            digest = blake2b()
            for record in journal.replay(history.workspace):
                digest.update(encode_body(record))
            if digests.pop(history.workspace) != digest.digest():
                raise JournalCorrupt(f"workspace {history.workspace}: the copy differs")
    finally:
        await journal.close()
    if digests:
        raise JournalCorrupt(f"workspace {min(digests)}: missing in the copy")


class JournalSwap:
    """The working directory of a conversion, and the swap of the files of a stopped router's journal."""

    def __init__(self, path: Path, suffix: str = _OLD_SUFFIX) -> None:
        """``suffix``: ending of the old files."""
        self.paths = paths = JournalPaths(path.absolute())
        self._directory = paths.migration
        self.source = JournalPaths(self._directory / "source" / paths.database.name)
        self.new = JournalPaths(self._directory / paths.database.name)
        self.old = JournalPaths(paths.database.with_name(paths.database.name + suffix))

    def is_ready(self) -> bool:
        """Return whether the new journal is complete, so that only the swap remains."""
        return self.paths.migration_marker.is_file()

    def read_report(self, kind: type[ReportT]) -> ReportT:
        """Return the report of an interrupted conversion. Raises JournalUnavailable where that was of another kind."""
        try:
            return msgspec.json.decode(self.paths.migration_marker.read_bytes(), type=kind)
        except msgspec.ValidationError:
            raise JournalUnavailable(
                f"{self.paths.migration}: another conversion was interrupted; finish it by `router journal migrate` or `redact`"
            ) from None

    def sync_found(self) -> None:
        """Force to disk what an interrupted migration left: it may have ended before the sync of a marker that is there."""
        for path in (self.new.database, self.new.high_water, self.paths.migration_marker):
            sync_file(path)
        fsync_directory(self._directory)
        fsync_directory(self._directory.parent)

    def begin(self) -> None:
        """Copy the old journal into a new working directory, replacing one that an interrupted migration left.

        Raises JournalUnavailable where an earlier migration left an old journal that would be overwritten.
        """
        if self.old.database.exists():
            raise JournalUnavailable(f"{self.old.database}: an old journal is already there; move it away first")
        self.remove()
        self._directory.mkdir(mode=DIRECTORY_MODE)
        self.source.database.parent.mkdir(mode=DIRECTORY_MODE)
        for path, copy in ((self.paths.database, self.source.database), (self.paths.wal, self.source.wal)):
            if path.exists():
                shutil.copyfile(path, copy)

    def finish(self, report: Struct) -> None:
        """Make the new journal durable, then write the marker."""
        shutil.rmtree(self.source.database.parent)
        assert not self.new.wal.exists(), "the new journal was not closed"
        for path in (self.new.database, self.new.high_water):
            sync_file(path)
        scratch = self._directory / "report.new"
        scratch.write_bytes(msgspec.json.encode(report))
        sync_file(scratch)
        fsync_directory(self._directory)
        scratch.rename(self.paths.migration_marker)
        fsync_directory(self._directory)
        fsync_directory(self._directory.parent)

    def swap(self) -> None:
        """Put the new journal into the place of the old one. Every step is skipped where it has been done before."""
        if self.new.database.exists():
            if self.paths.database.exists():
                if not self.old.high_water.exists():
                    os.link(self.paths.high_water, self.old.high_water)
                if self.paths.wal.exists():
                    _rename(self.paths.wal, self.old.wal)
                _rename(self.paths.database, self.old.database)
            _rename(self.new.database, self.paths.database)
        if self.new.high_water.exists():
            _rename(self.new.high_water, self.paths.high_water)
        # Format 1 kept its reserved disk space in a file of another name.
        old_name = self.paths.database.name + ".ballast"  # plain-words: a file name of format 1
        self.paths.database.with_name(old_name).unlink(missing_ok=True)
        self.remove()

    def remove(self) -> None:
        """Remove the working directory; the marker first, so that a rest of it is never taken for complete."""
        self.paths.migration_marker.unlink(missing_ok=True)
        shutil.rmtree(self._directory, ignore_errors=True)


def _rename(path: Path, target: Path) -> None:
    """Rename durably: the next step must not reach the disk before this one."""
    path.rename(target)
    fsync_directory(target.parent)
