"""The jobs of the journal thread on the SQLite file: open, commit, read, checkpoint, snapshots, close.

All methods block and run in order on one thread, so no state is shared between threads. ``SqliteJournal`` submits them.

Any error in a job that writes makes the journal unusable (``failure``) until the process has restarted. Retrying is not safe:
after an I/O error SQLite may continue and report success although the kernel has already dropped the dirty pages.
"""

import secrets
import sqlite3
from collections.abc import Callable
from copy import copy
from typing import Final, TypeVar

from router.journal.chain import ChainWalk
from router.journal.codec import CHAIN_BYTES
from router.journal.crash_points import crash_point
from router.journal.files import (
    JournalPaths,
    create_private,
    drop_ballast,
    file_size,
    fsync_directory,
    hold_ballast,
    make_private,
    prepare_directory,
    refuse_odd_file,
)
from router.journal.highwater import HighWaterFile, Mark
from router.journal.ledger import Lane, Ledger
from router.journal.port import Record, Snapshot, WorkspaceHistory
from router.journal.schema import (
    DELETE_LEDGER_BELOW,
    INSERT_WORKSPACE,
    ROWS_PER_INSERT,
    SELECT_FROM,
    SELECT_HOLDING,
    insert_records,
)
from router.journal.sealing import Commit, Sealer
from router.journal.sqlite_connection import (
    DiskFull,
    abandon,
    check_layout,
    connect,
    faults_translated,
    is_blank,
    lay_out,
    refuse_newer,
)
from router.journal.sqlite_recovery import HistoryLoss, chain_at, examine, salvage
from router.journal.sqlite_snapshots import exists, finish, put_part
from router.model.errors import JournalCorrupt, JournalError, JournalUnavailable
from router.model.ids import WorkspaceId

T = TypeVar("T")

# The commit index retains the rows since the last synced mark. Without maintenance running, a commit syncs after this many.
_UNSYNCED_COMMITS_MAX: Final = 4096
_VALUES_PER_INSERT: Final = 3 * ROWS_PER_INSERT

_before_commit = crash_point("before_commit")
_inside_commit = crash_point("inside_commit")
_after_commit = crash_point("after_commit")


def new_generation() -> str:
    """Return a new random history id: 128 bits as hexadecimal digits."""
    return secrets.token_hex(16)


class JournalFile:
    """One journal file, confined to the journal thread."""

    def __init__(self, paths: JournalPaths, *, high_water_sync: bool, ballast_bytes: int) -> None:
        self._paths = paths
        self._high_water_sync = high_water_sync
        self._ballast_bytes = ballast_bytes
        self._connection: sqlite3.Connection | None = None
        self._high_water: HighWaterFile | None = None
        self._lanes: dict[WorkspaceId, Lane] = {}
        """Tails as of the newest durable commit; the commit builder has its own, which may be ahead."""
        self._ledger = Ledger(number=-1, chain=b"", tokens=0)
        self.failed: JournalError | None = None
        self.wal_bytes = 0
        """Estimated bytes in the write-ahead log that are not yet in the main file.

        The file of the log is not truncated: overwriting it is a third cheaper than extending it.
        """

    @property
    def unsynced(self) -> bool:
        """Return whether the high-water mark has been written but not yet forced to disk."""
        return self._high_water is not None and self._high_water.synced < self._high_water.written

    # --- opening and closing ---------------------------------------------------------

    def open(self) -> list[WorkspaceHistory]:
        """Lock and verify the journal and return all histories. Leaves nothing open when it raises."""
        with faults_translated(opening=True):
            try:
                return self._open()
            except BaseException:
                self._let_go()
                raise

    def _open(self) -> list[WorkspaceHistory]:
        mark = self._lock()
        if not self._paths.database.exists():
            create_private(self._paths.database)
        connection = self._connect()
        if mark.number == 0 and is_blank(connection):
            mark = self._begin(connection)
        check_layout(connection)
        found = examine(connection, mark)
        hold_ballast(self._paths.ballast, self._ballast_bytes)
        self._ledger = found.ledger
        self._lanes = found.lanes
        assert self._high_water is not None
        # After a crash of the machine the mark may be older than the journal.
        self._high_water.write_both(found.ledger.mark)
        self.wal_bytes = file_size(self._paths.wal)
        return found.histories

    def new_sealer(self) -> Sealer:
        """Return the commit builder of this file, starting at its end; call once, after ``open``."""
        return Sealer(self._ledger, {name: copy(lane) for name, lane in self._lanes.items()})

    def _lock(self) -> Mark:
        """Take the lock and return the mark, which tells whether the database must exist."""
        prepare_directory(self._paths.database.parent)
        exists = refuse_odd_file(self._paths.database)
        has_mark = refuse_odd_file(self._paths.high_water)
        if exists:
            refuse_newer(self._paths.database)
        if not has_mark:
            if exists:
                raise JournalCorrupt(
                    f"{self._paths.high_water}: the high-water mark is missing; the journal may be shorter than it was"
                )
            HighWaterFile.create(self._paths.high_water, Mark(0, b"\0" * CHAIN_BYTES))
        self._high_water = HighWaterFile.open_locked(self._paths.high_water)
        mark = self._high_water.read()
        if mark.number > 0 and not exists:
            raise JournalCorrupt(
                f"{self._paths.database}: the database is missing, but its high-water mark exists"
            )
        return mark

    def _connect(self) -> sqlite3.Connection:
        for path in (self._paths.database, self._paths.high_water):
            make_private(path)
        self._connection = connect(self._paths.database)
        return self._connection

    def _begin(self, connection: sqlite3.Connection) -> Mark:
        """Create a new journal. Its mark names commit 0 until a workspace is added, so an interrupted creation can restart."""
        ledger, row = Ledger.first(secrets.token_bytes(CHAIN_BYTES))
        connection.execute("BEGIN IMMEDIATE")
        lay_out(connection)
        connection.execute(insert_records(1), row)
        connection.execute("COMMIT")
        # Checkpoint at once: the main file holds the format, which later versions read before they change anything.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        fsync_directory(self._paths.database.parent)
        assert self._high_water is not None
        self._high_water.write_both(ledger.mark)
        return ledger.mark

    def accept_history_loss(self) -> list[HistoryLoss]:
        """Repair a journal that does not open, keeping its intact records, and close it."""
        with faults_translated(opening=True):
            try:
                return self._accept_history_loss()
            finally:
                self._let_go()

    def _accept_history_loss(self) -> list[HistoryLoss]:
        exists = refuse_odd_file(self._paths.database)
        if exists:
            refuse_newer(self._paths.database)
        if not refuse_odd_file(self._paths.high_water):
            HighWaterFile.create(self._paths.high_water, Mark(0, b"\0" * CHAIN_BYTES))
        self._high_water = HighWaterFile.open_locked(self._paths.high_water)
        try:
            mark: Mark | None = self._high_water.read()
        except JournalCorrupt:
            mark = None
        if not exists:
            create_private(self._paths.database)
        connection = self._connect()
        if is_blank(connection):
            self._begin(connection)
            return []
        check_layout(connection)
        mark, losses = salvage(connection, mark, new_gen=new_generation)
        self._high_water.write_both(mark)
        return losses

    def close(self) -> None:
        """Checkpoint, sync the mark and release the lock; after an I/O error leave the files unchanged."""
        if isinstance(self.failed, DiskFull):
            self._stop_on_full_disk()
        elif self.failed is not None:
            self._leave_alone()
        elif self._connection is not None:
            self.guarded(self.checkpoint)
            if self.failed is None:
                self._let_go()

    def _stop_on_full_disk(self) -> None:
        """Close after freeing the reserved disk space, which closing needs for its writes."""
        drop_ballast(self._paths.ballast)
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._let_go()

    def _leave_alone(self) -> None:
        if self._connection is not None:
            abandon(self._connection)
            self._connection = None

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._high_water is not None:
            if self._high_water.synced < self._high_water.written:
                self._high_water.sync()
            self._high_water.close()
            self._high_water = None

    # --- jobs -------------------------------------------------------------------------

    def guarded(self, job: Callable[[], T]) -> T:
        """Run a job that writes. Any error is stored in ``failure`` and makes the journal unusable."""
        self.refuse_if_unusable()
        try:
            with faults_translated():
                return job()
        except JournalError as error:
            self.failed = error
            raise
        except BaseException:
            self.failed = JournalUnavailable("a commit was interrupted")
            raise

    def refuse_if_unusable(self) -> None:
        """Raise JournalUnavailable before ``open``, after ``close`` and permanently after an error."""
        if self.failed is not None:
            raise JournalUnavailable(f"the journal has failed before: {self.failed}")
        if self._connection is None:
            raise JournalUnavailable("the journal is not open")

    def commit(self, commit: Commit) -> None:
        """Make a commit durable: on return it is on disk and the high-water mark names it."""
        connection = self._open_connection
        values = commit.values
        if _before_commit is not None:
            _before_commit()
        if len(values) <= _VALUES_PER_INSERT and _inside_commit is None:
            # A single statement is its own transaction, durable on return.
            connection.execute(insert_records(len(values) // 3), values)
        else:
            connection.execute("BEGIN IMMEDIATE")
            for start in range(0, len(values), _VALUES_PER_INSERT):
                chunk = values[start : start + _VALUES_PER_INSERT]
                connection.execute(insert_records(len(chunk) // 3), chunk)
            if _inside_commit is not None:
                _inside_commit()
            connection.execute("COMMIT")
        if _after_commit is not None:
            _after_commit()
        self._raise_mark(commit.mark)
        for end in commit.ends:
            lane = self._lanes[end.workspace]
            lane.last_seq, lane.chain = end.last_seq, end.chain
        self.wal_bytes += commit.wal_bytes

    def _raise_mark(self, mark: Mark) -> None:
        assert self._high_water is not None
        self._high_water.write(mark)
        unsynced = self._high_water.written - self._high_water.synced
        if self._high_water_sync or unsynced >= _UNSYNCED_COMMITS_MAX:
            self._high_water.sync()

    def begin_lane(self, lane: Lane, commit: Commit) -> None:
        """Add a workspace durably."""
        connection = self._open_connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT_WORKSPACE, (lane.number, lane.workspace, lane.gen))
        connection.execute(insert_records(1), commit.values)
        connection.execute("COMMIT")
        self._lanes[lane.workspace] = lane
        self._raise_mark(commit.mark)
        self.sync_mark()
        self.wal_bytes += commit.wal_bytes

    def read(self, workspace: WorkspaceId, after_seq: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records with events after ``after_seq``, with the chain between them verified."""
        self.refuse_if_unusable()
        lane = self._lanes[workspace]
        if after_seq >= lane.last_seq or limit < 1:
            return []
        with faults_translated(opening=True):
            holding = self._open_connection.execute(
                SELECT_HOLDING, (lane.number, after_seq + 1)
            ).fetchone()
            first = holding[0] if holding is not None and isinstance(holding[0], int) else 1
            rows = self._open_connection.execute(
                SELECT_FROM, (lane.number, first, limit)
            ).fetchall()
        verifier = ChainWalk.from_start(workspace)
        if first != 1:
            verifier = ChainWalk(workspace, next_seq=first, chain=None)
        records = [verifier.read(key, data) for key, data in rows]
        if not records or records[0].last_seq <= after_seq:
            raise verifier.corrupt("a record is missing")
        if len(records) < limit:
            verifier.end(last_seq=lane.last_seq, chain=lane.chain)
        return records

    def sync_mark(self) -> None:
        """Force the high-water mark to disk."""
        if self._high_water is not None and self.unsynced:
            self._high_water.sync()

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the main file and prune the commit index up to the synced mark."""
        assert self._high_water is not None
        self.sync_mark()
        connection = self._open_connection
        # Keep one commit more than the mark names: a torn slot leaves the other one, which names the commit before.
        connection.execute(DELETE_LEDGER_BELOW, (self._high_water.synced - 1,))
        # A passive checkpoint is complete: there is no other connection that it would skip pages for.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self.wal_bytes = 0

    # --- snapshots -----------------------------------------------------------------------

    def has_snapshot(self, workspace: WorkspaceId, seq: int) -> bool:
        """Return whether a snapshot after this event is already stored."""
        return exists(self._open_connection, self._lanes[workspace].number, seq)

    def put_snapshot_part(self, workspace: WorkspaceId, seq: int, part: int, data: bytes) -> None:
        """Write one part of a snapshot; see ``snapshots``."""
        number = self._lanes[workspace].number
        put_part(self._open_connection, number, seq, part, data)
        self.wal_bytes += len(data)

    def finish_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Write the header, which makes the snapshot valid."""
        lane = self._lanes[workspace]
        chain = chain_at(self._open_connection, lane, snapshot.seq)
        finish(self._open_connection, lane.number, snapshot, chain)

    @property
    def _open_connection(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection
