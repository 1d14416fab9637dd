"""The jobs of the journal thread on the SQLite file: open, commit, read, checkpoint, snapshots, close.

All methods block and run in order on one thread, so no state is shared between threads. ``SqliteJournal`` submits them.

Any error in a job that writes makes the journal unusable (``failure``) until the process has restarted. Retrying is not safe:
after an I/O error SQLite may continue and report success although the kernel has already dropped the dirty pages.
"""

import secrets
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from typing import Final, TypeVar

from router.journal.crash_points import crash_point
from router.journal.files import (
    FileWatch,
    JournalPaths,
    check_regular_file,
    prepare_directory,
    release_disk_space,
    remove_abandoned_scratch,
    reserve_disk_space,
    restrict_to_owner,
    rewrite_file,
    sync_directory_path,
    sync_file,
)
from router.journal.highwater import HighWaterFile, HighWaterMark
from router.journal.port import EventsArchived, HistoryLoss, JournalOutdated, Snapshot, WorkspaceHistory
from router.journal.records import (
    CHAIN_BYTES,
    ChainVerifier,
    CommitBuilder,
    CommitIndex,
    PreparedCommit,
    Record,
    WorkspaceTail,
    base_row,
)
from router.journal.sqlite.connection import (
    DELETE_ARCHIVED,
    DELETE_COMMIT_INDEX_BELOW,
    DELETE_FROM,
    INSERT_WORKSPACE,
    REPLACE_RECORD,
    ROWS_PER_INSERT,
    SELECT_CONTAINING,
    SELECT_FROM,
    SELECT_PART,
    SELECT_RANGE,
    UPDATE_HISTORY_ID,
    DiskFull,
    check_format,
    check_schema,
    insert_records_sql,
    keep_connection_open,
    open_connection,
    translate_errors,
)
from router.journal.sqlite.creation import (
    NO_COMMIT,
    check_is_first_start,
    create_database,
    first_mark,
    is_unfinished,
    read_mark,
    remove_database,
)
from router.journal.sqlite.export import ArchivePlan, ExportPlan, Row, plan_archive, plan_backup
from router.journal.sqlite.recovery import chain_at, recover_journal, salvage
from router.journal.sqlite.second_mark import SecondMark
from router.journal.sqlite.snapshots import (
    StoredSnapshot,
    insert_snapshot_header,
    insert_snapshot_part,
    load_snapshots,
    replace_snapshots,
    snapshot_exists,
)
from router.model.errors import JournalCorrupt, JournalError, JournalUnavailable
from router.model.states import WorkspaceId

T = TypeVar("T")

# The commit index retains the rows since the last synced mark. Without maintenance running, a commit syncs after this many.
_UNSYNCED_COMMITS_MAX: Final = 4096
# Deleted records are a quarter of a page to a page each.
_DELETED_WAL_BYTES: Final = 2_048
_VALUES_PER_INSERT: Final = 3 * ROWS_PER_INSERT

_before_commit = crash_point("before_commit")
_inside_commit = crash_point("inside_commit")
_after_commit = crash_point("after_commit")


def new_history_id() -> str:
    """Return a new random history id: 128 bits as hexadecimal digits."""
    return secrets.token_hex(16)


class SqliteJournalFile:
    """One journal file, confined to the journal thread."""

    def __init__(
        self, paths: JournalPaths, *, high_water_sync: bool, reserved_bytes: int, second_mark: SecondMark | None = None
    ) -> None:
        self._paths = paths
        self._second_mark = second_mark
        self.is_archive = False
        """Whether the file is opened to be read only, so that it needs no snapshot; set before ``open``."""
        self._watch: FileWatch | None = None
        self._high_water_sync = high_water_sync
        self._reserved_bytes = reserved_bytes
        self._connection: sqlite3.Connection | None = None
        self._high_water: HighWaterFile | None = None
        self._tails: dict[WorkspaceId, WorkspaceTail] = {}
        """Tails as of the newest durable commit; the commit builder has its own, which may be ahead."""
        self._commit_index = CommitIndex(number=-1, chain=b"", digests=0)
        self.failure: JournalError | None = None
        self.wal_bytes = 0
        """Estimated bytes in the write-ahead log that are not yet in the main file.

        The file of the log is not truncated: overwriting it is a third cheaper than extending it.
        """

    @property
    def is_mark_unsynced(self) -> bool:
        """Return whether the high-water mark has been written but not yet forced to disk."""
        return self._high_water is not None and self._high_water.synced < self._high_water.written

    # --- opening and closing ---------------------------------------------------------

    def open(self) -> list[WorkspaceHistory]:
        """Lock and verify the journal and return all histories. Leaves nothing open when it raises."""
        with translate_errors(opening=True):
            try:
                return self._open()
            except BaseException:
                self._release()
                raise

    def _open(self) -> list[WorkspaceHistory]:
        mark = self._lock()
        if self._second_mark is not None:
            self._second_mark.open()
        if not self._paths.database.exists():
            if self._second_mark is not None:
                self._second_mark.check_is_first_start()
            create_database(self._paths.creation, self._paths.database)
            mark = NO_COMMIT
        connection = self._connect()
        check_schema(connection)
        if mark == NO_COMMIT:
            mark = first_mark(self._paths, connection)
        found = recover_journal(connection, mark, is_archive=self.is_archive)
        if self._second_mark is not None:
            self._second_mark.check(connection, found.commit_index)
        reserve_disk_space(self._paths.reserved, self._reserved_bytes)
        self._commit_index = found.commit_index
        self._tails = found.tails
        # The mark must not name what could still be lost.
        self._sync_found(connection)
        assert self._high_water is not None
        # After a crash of the machine the mark may be older than the journal.
        self._high_water.write_both(found.commit_index.mark)
        if self._second_mark is not None:
            self._second_mark.write(found.commit_index.mark)
        self.wal_bytes = 0
        self._watch = FileWatch((self._paths.database, self._paths.wal, self._paths.high_water))
        return found.histories

    def new_commit_builder(self) -> CommitBuilder:
        """Return the commit builder of this file, starting at its end; call once, after ``open``."""
        return CommitBuilder(self._commit_index, {name: copy(tail) for name, tail in self._tails.items()})

    def _lock(self) -> HighWaterMark:
        """Take the lock and return the mark, which tells whether the database must exist. Changes nothing that was acknowledged."""
        prepare_directory(self._paths.database.parent)
        exists = check_regular_file(self._paths.database)
        has_mark = check_regular_file(self._paths.high_water)
        self._check_migration()
        if not has_mark:
            check_is_first_start(self._paths, exists=exists)
            HighWaterFile.create(self._paths.high_water, NO_COMMIT)
        self._high_water = HighWaterFile.open_locked(self._paths.high_water)
        mark = read_mark(self._high_water, self._paths)
        if mark.number == 0 and exists and is_unfinished(self._paths.database):
            # No workspace was ever added, so nothing was acknowledged: the creation was interrupted.
            remove_database(self._paths)
            exists = False
        if exists:
            check_format(self._paths.database, is_archive=self.is_archive)
        elif mark.number > 0:
            raise JournalCorrupt(f"{self._paths.database}: the database is missing, but its high-water mark exists")
        elif self._paths.wal.exists():
            raise JournalCorrupt(f"{self._paths.database}: the database is missing, but its write-ahead log exists")
        remove_abandoned_scratch(self._paths.high_water)
        return mark

    def _check_migration(self) -> None:
        if self._paths.migration_marker.exists():
            raise JournalOutdated(
                f"a migration was interrupted; run `router journal migrate {self._paths.database}` again, or"
                " `router journal redact` where that was interrupted"
            )

    def _connect(self) -> sqlite3.Connection:
        for path in (self._paths.database, self._paths.high_water):
            restrict_to_owner(path)
        # Before SQLite opens the database, because a descriptor that is closed later would release its locks.
        sync_file(self._paths.database)
        self._connection = open_connection(self._paths.database)
        return self._connection

    def _sync_found(self, connection: sqlite3.Connection) -> None:
        """Force to disk everything that this start has found.

        An earlier process may have ended between a write and its sync. The operating system still has the bytes, so they are
        read, and a repeated command is answered from them; a power failure would remove them. After a failed sync the system
        may even have dropped the intention to write them. So the log is written again before the checkpoint: a power failure
        while the checkpoint overwrites pages of the main file is repaired from the log, which must be on the disk then. The
        checkpoint writes every page into the main file and syncs it; the log is then empty, and stays so because its new length
        is synced as well.
        """
        rewrite_file(self._paths.wal)
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise JournalUnavailable("the write-ahead log cannot be checkpointed at the start")
        sync_file(self._paths.wal)
        sync_directory_path(self._paths.database.parent)

    def accept_history_loss(self) -> list[HistoryLoss]:
        """Repair a journal that does not open, keeping its intact records, and close it."""
        with translate_errors(opening=True):
            try:
                return self._accept_history_loss()
            finally:
                self._release()

    def _accept_history_loss(self) -> list[HistoryLoss]:
        exists = check_regular_file(self._paths.database) and self._paths.database.stat().st_size > 0
        self._check_migration()
        if exists:
            check_format(self._paths.database)
        if not check_regular_file(self._paths.high_water):
            HighWaterFile.create(self._paths.high_water, NO_COMMIT)
        self._high_water = HighWaterFile.open_locked(self._paths.high_water)
        try:
            mark: HighWaterMark | None = self._high_water.read()
        except JournalCorrupt:
            mark = None
        if not exists:
            remove_database(self._paths)
            create_database(self._paths.creation, self._paths.database)
        connection = self._connect()
        check_schema(connection)
        if self._second_mark is not None:
            # No number that was ever acknowledged is used again.
            mark = self._second_mark.newest(mark)
        mark, losses = salvage(connection, mark, new_history_id=new_history_id)
        self._sync_found(connection)
        self._high_water.write_both(mark)
        if self._second_mark is not None:
            self._second_mark.write(mark)
        return losses

    def close(self) -> None:
        """Checkpoint, sync the mark and release the lock; after an I/O error leave the files unchanged."""
        if isinstance(self.failure, DiskFull):
            self._close_on_full_disk()
        elif self.failure is not None:
            self._abandon_connection()
        elif self._connection is not None:
            self._watch = None
            self.run_guarded(self.checkpoint)
            if self._second_mark is not None and self.mark is not None:
                with suppress(OSError):
                    self._second_mark.write(self.mark)
            if self.failure is None:
                self._release()

    def _close_on_full_disk(self) -> None:
        """Close after freeing the reserved disk space, which closing needs for its writes."""
        release_disk_space(self._paths.reserved)
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._release()

    def _abandon_connection(self) -> None:
        if self._connection is not None:
            keep_connection_open(self._connection)
            self._connection = None

    def check_files(self, *, quick: bool = False) -> None:
        """Raise JournalCorrupt, and make the journal unusable, where a file was removed, replaced or shortened.

        Call on the event loop after a commit, before anything is acknowledged: on the journal thread each system call would have to
        acquire the interpreter lock again. ``quick`` looks at the files only where their directory has changed.
        """
        change = None if self._watch is None else self._watch.find_change(quick=quick)
        if change is None or self.failure is not None:
            return
        self.failure = JournalCorrupt(
            f"{change}; nothing more is acknowledged. Put all files of the journal back before the next start"
        )
        # The next start must not take the directory for an empty one.
        with suppress(OSError, JournalError):
            prepare_directory(self._paths.database.parent)
            if self._high_water is not None and not self._paths.high_water.exists():
                HighWaterFile.create(self._paths.high_water, self._high_water.mark)
        raise self.failure

    @property
    def mark(self) -> HighWaterMark | None:
        """Return the mark of the newest durable commit, None where the journal is not open."""
        return None if self._high_water is None else self._high_water.mark

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._high_water is not None:
            if self._high_water.synced < self._high_water.written:
                self._high_water.sync()
            self._high_water.close()
            self._high_water = None
        if self._second_mark is not None:
            self._second_mark.close()

    # --- jobs -------------------------------------------------------------------------

    def run_guarded(self, job: Callable[[], T]) -> T:
        """Run a job that writes. Any error is stored in ``failure`` and makes the journal unusable."""
        self.check_usable()
        try:
            with translate_errors():
                return job()
        except JournalError as error:
            self.failure = error
            raise
        except BaseException:
            self.failure = JournalUnavailable("a commit was interrupted")
            raise

    def check_usable(self) -> None:
        """Raise JournalUnavailable before ``open``, after ``close`` and permanently after an error."""
        if self.failure is not None:
            raise JournalUnavailable(f"the journal has failed before: {self.failure}")
        if self._connection is None:
            raise JournalUnavailable("the journal is not open")

    def commit(self, commit: PreparedCommit) -> None:
        """Make a commit durable: on return it is on disk and the high-water mark names it.

        SQLite makes one ``fdatasync`` of the write-ahead log per transaction (``synchronous=FULL``).
        """
        connection = self._open_connection
        values = commit.values
        if _before_commit is not None:
            _before_commit()
        if len(values) <= _VALUES_PER_INSERT and _inside_commit is None:
            # A single statement is its own transaction, durable on return.
            connection.execute(insert_records_sql(len(values) // 3), values)
        else:
            connection.execute("BEGIN IMMEDIATE")
            for start in range(0, len(values), _VALUES_PER_INSERT):
                chunk = values[start : start + _VALUES_PER_INSERT]
                connection.execute(insert_records_sql(len(chunk) // 3), chunk)
            if _inside_commit is not None:
                _inside_commit()
            connection.execute("COMMIT")
        if _after_commit is not None:
            _after_commit()
        self._advance_mark(commit.mark)
        for end in commit.tail_updates:
            tail = self._tails[end.workspace]
            tail.last_seq, tail.chain = end.last_seq, end.chain
        self.wal_bytes += commit.wal_bytes

    def _advance_mark(self, mark: HighWaterMark) -> None:
        assert self._high_water is not None
        self._high_water.write(mark)
        unsynced = self._high_water.written - self._high_water.synced
        if self._high_water_sync or unsynced >= _UNSYNCED_COMMITS_MAX:
            self._high_water.sync()

    def add_workspace(self, tail: WorkspaceTail, commit: PreparedCommit) -> None:
        """Add a workspace durably."""
        connection = self._open_connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT_WORKSPACE, (tail.number, tail.workspace, tail.history_id))
        connection.execute(insert_records_sql(1), commit.values)
        connection.execute("COMMIT")
        self._tails[tail.workspace] = tail
        self._advance_mark(commit.mark)
        self.sync_mark()
        self.wal_bytes += commit.wal_bytes

    def read(self, workspace: WorkspaceId, after_seq: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records with events after ``after_seq``, with the chain between them verified."""
        self.check_usable()
        tail = self._tails[workspace]
        if after_seq >= tail.last_seq or limit < 1:
            return []
        if after_seq + 1 < tail.first_seq:
            raise EventsArchived(workspace, tail.first_seq)
        with translate_errors(opening=True):
            holding = self._open_connection.execute(SELECT_CONTAINING, (tail.number, after_seq + 1)).fetchone()
            first = holding[0] if holding is not None and isinstance(holding[0], int) else tail.first_seq
            rows = self._open_connection.execute(SELECT_FROM, (tail.number, first, limit)).fetchall()
        verifier = tail.verifier()
        if first != tail.first_seq:
            verifier = ChainVerifier(workspace, next_seq=first, chain=None)
        records = [verifier.verify_and_decode(key, data) for key, data in rows]
        if not records or records[0].last_seq <= after_seq:
            raise verifier.corruption("a record is missing")
        if len(records) < limit:
            verifier.check_end(last_seq=tail.last_seq, chain=tail.chain)
        return records

    def first_seq(self, workspace: WorkspaceId) -> int:
        """Return the first event that the journal has."""
        return self._tails[workspace].first_seq

    def sync_mark(self) -> None:
        """Force the high-water mark to disk."""
        if self._high_water is not None and self.is_mark_unsynced:
            self._high_water.sync()

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the main file and prune the commit index up to the synced mark."""
        assert self._high_water is not None
        self.sync_mark()
        connection = self._open_connection
        # Keep one commit more than the mark names: a torn slot leaves the other one, which names the commit before.
        connection.execute(DELETE_COMMIT_INDEX_BELOW, (self._high_water.synced - 1,))
        # A passive checkpoint is complete: there is no other connection that it would skip pages for.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self.wal_bytes = 0

    # --- export and archive ------------------------------------------------------------

    def plan_backup(self) -> ExportPlan:
        """Return the plan of a complete copy as of the newest durable commit."""
        self.check_usable()
        return plan_backup(self._open_connection, self._tails.values())

    def plan_archive(self, before_ms: int) -> ArchivePlan | None:
        """Return the plan of a copy of what a start does not need and that is older than ``before_ms``; None: nothing is."""
        self.check_usable()
        with translate_errors(opening=True):
            return plan_archive(self._open_connection, self._tails.values(), before_ms)

    def read_rows(self, number: int, first_key: int, last_seq: int, count: int) -> list[Row]:
        """Return records as they are stored."""
        self.check_usable()
        return self._open_connection.execute(SELECT_RANGE, (number, first_key, last_seq, count)).fetchall()

    def read_part(self, number: int, seq: int, part: int) -> bytes | None:
        """Return a part of a snapshot, None where there is none."""
        self.check_usable()
        row = self._open_connection.execute(SELECT_PART, (number, seq, part)).fetchone()
        return None if row is None else row[0]

    def begin_at(self, number: int, first_seq: int, chain: bytes) -> None:
        """Let the records of a workspace begin later; those before are in an archive that is on disk."""
        [tail] = [one for one in self._tails.values() if one.number == number]
        connection = self._open_connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(DELETE_FROM, (-number, 0))
        if first_seq > 1:
            connection.execute(insert_records_sql(1), base_row(number, first_seq, chain))
        connection.execute("COMMIT")
        tail.begin_at(first_seq, chain)

    def delete_archived(self, number: int, first_seq: int, count: int) -> int:
        """Delete at most about ``count`` records before an event, durably; return how many."""
        deleted = self._open_connection.execute(DELETE_ARCHIVED, (number, number, first_seq, count)).rowcount
        # Every deleted record dirties its page once; pages are shared by several records.
        self.wal_bytes += deleted * _DELETED_WAL_BYTES
        return deleted

    def rebase(self, snapshots: Mapping[WorkspaceId, Snapshot]) -> None:
        """Let workspaces begin again with a snapshot of the end of their history, under new history ids; in one commit.

        Their records are deleted: the snapshot is not what they lead to. Only on a journal that nothing is appended to.
        """
        connection, index = self._open_connection, self._commit_index
        connection.execute("BEGIN IMMEDIATE")
        for workspace, snapshot in snapshots.items():
            tail = self._tails[workspace]
            assert snapshot.seq == tail.last_seq
            # Unlike after an archive the chain does not continue: what was before cannot be put back in front.
            chain = secrets.token_bytes(CHAIN_BYTES)
            for number in (tail.number, -tail.number):
                connection.execute(DELETE_FROM, (number, 0))
            connection.execute(insert_records_sql(1), base_row(tail.number, tail.last_seq + 1, chain, tail.epoch))
            replace_snapshots(connection, tail.number, snapshot, chain)
            index.digests ^= tail.digest
            tail.begin_at(tail.last_seq + 1, chain)
            tail.chain, tail.history_id = chain, new_history_id()
            tail.digest = tail.compute_digest()
            index.digests ^= tail.digest
            connection.execute(UPDATE_HISTORY_ID, (tail.history_id, tail.number))
        connection.execute(insert_records_sql(1), index.append_row(at_ms=0, count=0))
        connection.execute("COMMIT")
        self._advance_mark(index.mark)
        self.checkpoint()

    def load_snapshots(self, workspace: WorkspaceId) -> list[tuple[Snapshot, bytes]]:
        """Return the intact snapshots with the chain value after each, newest first."""
        self.check_usable()
        found = load_snapshots(self._open_connection, self._tails[workspace].number)
        return [(stored.snapshot, stored.chain) for stored in found if isinstance(stored, StoredSnapshot)]

    @property
    def workspaces(self) -> list[WorkspaceId]:
        """Return the names of all workspaces."""
        return list(self._tails)

    def tail(self, workspace: WorkspaceId) -> WorkspaceTail | None:
        """Return a copy of the durable tail of a workspace, None where there is no such workspace."""
        found = self._tails.get(workspace)
        return None if found is None else copy(found)

    def put_back(self, workspace: WorkspaceId, rows: list[Row]) -> None:
        """Write archived records back; ``begin_at`` makes them part of the history."""
        number = self._tails[workspace].number
        self._open_connection.execute("BEGIN IMMEDIATE")
        self._open_connection.executemany(REPLACE_RECORD, [(number, key, data) for _, key, data in rows])
        self._open_connection.execute("COMMIT")

    # --- snapshots -----------------------------------------------------------------------

    def has_snapshot(self, workspace: WorkspaceId, seq: int) -> bool:
        """Return whether a snapshot after this event is already stored."""
        return snapshot_exists(self._open_connection, self._tails[workspace].number, seq)

    def write_snapshot_part(self, workspace: WorkspaceId, seq: int, part: int, data: bytes) -> None:
        """Write one part of a snapshot; see ``snapshots``."""
        number = self._tails[workspace].number
        insert_snapshot_part(self._open_connection, number, seq, part, data)
        self.wal_bytes += len(data)

    def write_snapshot_header(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Write the header, which makes the snapshot valid."""
        tail = self._tails[workspace]
        chain = chain_at(self._open_connection, tail, snapshot.seq)
        insert_snapshot_header(self._open_connection, tail.number, snapshot, chain)

    @property
    def _open_connection(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection
