"""Records of contacts in an SQLite file: writing, search, retention.

A record is a row, by the id of the contact and the time of its submit, as an id can be used again when the engine has forgotten the
contact. What it can be found by are entries of one index, ``posting``, by term, end and number. How they are searched is
described in ``router.records.reading``.

The contacts that are not over and the position in the event log are written in one transaction with the records before it. After a
crash the events since that position are applied again, and every write replaces what it wrote before. The file is not synced with
each transaction: after a power failure it is older but whole, and goes on from its own position.

One connection writes, on one thread; another one reads, on another thread.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from router.journal.files import FILE_MODE, prepare_directory
from router.records.builder import ChangedRecord, LateDisposition, LateGoal, RecordChanges
from router.records.handlers import Targets
from router.records.reading import DAMAGED, RecordCodec, RecordReader, RecordsUnavailable, connect
from router.records.record import ContactRecord, indexed_values, term

APPLICATION_ID: Final = 0x43527231  # "CRr1"
FORMAT: Final = 4

_TABLES: Final = (
    "CREATE TABLE workspace (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, history_id TEXT, seq INTEGER,"
    " targets BLOB, complete_from INTEGER NOT NULL DEFAULT 1, record_count INTEGER NOT NULL DEFAULT 0) STRICT",
    "CREATE TABLE record (number INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, contact_id TEXT NOT NULL,"
    " submitted_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL, customer_id TEXT, content BLOB NOT NULL,"
    " UNIQUE (workspace, contact_id, submitted_ms)) STRICT",
    "CREATE TABLE posting (term INTEGER NOT NULL, ended_ms INTEGER NOT NULL, number INTEGER NOT NULL,"
    " PRIMARY KEY (term, ended_ms, number)) STRICT, WITHOUT ROWID",
    "CREATE TABLE opened (workspace INTEGER NOT NULL, contact_id TEXT NOT NULL, content BLOB NOT NULL,"
    " PRIMARY KEY (workspace, contact_id)) STRICT, WITHOUT ROWID",
    "CREATE TABLE erased (term INTEGER PRIMARY KEY) STRICT",
)

_encode: Final = msgspec.msgpack.Encoder().encode
_ROWS: Final = 200
"""Rows that one statement inserts."""
_SLICE: Final = 500
"""Values that one statement looks up."""


class RecordCheckpoint(Struct, frozen=True, kw_only=True):
    """A position in the event log, and what is needed to go on from it."""

    history_id: str
    seq: int
    targets: Targets
    complete_from: int = 1
    """First event from which records are complete; 1: all of them."""
    opened: dict[str, bytes | None] = field(default_factory=dict)
    """Contacts that are not over and have changed since the last one, encoded; None: over now."""


class LoadedState(Struct, frozen=True, kw_only=True):
    """Where the records of a workspace are."""

    history_id: str
    seq: int
    targets: Targets
    complete_from: int
    opened: dict[str, bytes]


class SqliteRecordStore:
    """The file of the records, opened for writing. Confined to one thread, but for ``RecordReader``s of it."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file; None: in memory. Raises sqlite3.Error, OSError or RouterError."""
        self.path: Final = path
        if path is not None:
            prepare_directory(path.parent)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE))
        self._database = connect(path)
        self._codec = RecordCodec()
        self._last_number = 0
        self._numbers: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._has_erased = False
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        database = self._database
        [(application_id,)] = database.execute("PRAGMA application_id").fetchall()
        [(version,)] = database.execute("PRAGMA user_version").fetchall()
        [(tables,)] = database.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        if (application_id, version) != (APPLICATION_ID, FORMAT) and tables:
            raise RecordsUnavailable(f"{self.path}: is no file of records of this version; move it away, and it is made again")
        if not tables:
            database.execute("BEGIN IMMEDIATE")
            for statement in _TABLES:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {FORMAT}")
            database.execute("COMMIT")
        [(self._last_number,)] = database.execute("SELECT coalesce(max(number), 0) FROM record").fetchall()
        self._has_erased = database.execute("SELECT 1 FROM erased LIMIT 1").fetchone() is not None
        # The number of records is kept: counting millions of them would make every start longer.
        for workspace, number, count in database.execute("SELECT name, number, record_count FROM workspace"):
            self._numbers[workspace], self._counts[workspace] = number, count

    def reader(self) -> "RecordReader":
        """Return a reader with a connection of its own; of a store in memory with the same one."""
        return RecordReader(self._database if self.path is None else connect(self.path))

    def load(self, workspace: str) -> LoadedState | None:
        """Return where the records of a workspace are; None: nothing was written yet. Raises RecordsUnavailable."""
        found = self._database.execute(
            "SELECT number, history_id, seq, targets, complete_from FROM workspace WHERE name = ? AND history_id IS NOT NULL",
            (workspace,),
        ).fetchone()
        if found is None:
            return None
        number, history_id, seq, targets, complete_from = found
        opened = dict(self._database.execute("SELECT contact_id, content FROM opened WHERE workspace = ?", (number,)))
        try:
            decoded = msgspec.msgpack.decode(targets, type=Targets)
        except msgspec.MsgspecError:
            raise RecordsUnavailable(DAMAGED) from None
        return LoadedState(history_id=history_id, seq=seq, targets=decoded, complete_from=complete_from, opened=opened)

    def restart(self, workspace: str) -> None:
        """Forget the open contacts and the position, where the history is another one or events are missing; records stay."""
        number = self._number(workspace)
        with self._transaction():
            self._database.execute("DELETE FROM opened WHERE workspace = ?", (number,))
            self._database.execute("UPDATE workspace SET history_id = NULL WHERE number = ?", (number,))

    def write(self, workspace: str, changes: RecordChanges, checkpoint: RecordCheckpoint | None = None) -> None:
        """Write records, each in place of an older one of the same contact, and with them the position, if one is given."""
        number = self._number(workspace)
        with self._transaction():
            self._leave_out_erased(workspace, changes.records)
            new = [changed for changed in changes.records if changed.is_new]
            if not self._insert(workspace, number, new):
                for changed in new:
                    self._put(workspace, number, changed)
            for changed in changes.records:
                if not changed.is_new:
                    self._put(workspace, number, changed)
            for late in changes.late:
                self._add_late(workspace, number, late)
            if checkpoint is not None:
                self._save_checkpoint(number, checkpoint)

    def _insert(self, workspace: str, number: int, new: list[ChangedRecord]) -> bool:
        """Insert records all at once; return False, and insert none, if one is stored already, as may be after a crash.

        The entries of the index are inserted in their order, which is several times as fast as in that of the records.
        """
        if not new:
            return True
        rows, postings, row = [], [], self._last_number
        pack = self._codec.pack
        for changed in new:
            row += 1
            record = changed.record
            ended_ms = record.ended_at_ms
            rows.append((row, number, record.contact_id, record.submitted_at_ms, ended_ms, changed.customer_id, pack(record)))
            postings += [(one, ended_ms, row) for one in _terms(workspace, record, changed.customer_id)]
        self._database.execute("SAVEPOINT new")
        if self._insert_rows("record", 7, rows) != len(rows):
            self._database.execute("ROLLBACK TO new")
            return False
        self._database.execute("RELEASE new")
        postings.sort()
        self._insert_rows("posting", 3, postings)
        self._last_number = row
        self._counts[workspace] = self.count(workspace) + len(rows)
        return True

    def _insert_rows(self, table: str, columns: int, rows: Sequence[tuple[object, ...]]) -> int:
        """Insert rows that are not there, many in one statement, as each gives up the interpreter's lock; return how many were."""
        count, first = 0, 0
        marks = f"({', '.join('?' * columns)})"
        for size in (_ROWS, 1):
            statement = f"INSERT OR IGNORE INTO {table} VALUES {', '.join([marks] * size)}"
            while len(rows) - first >= size:
                values = tuple(chain.from_iterable(rows[first : first + size]))
                count += self._database.execute(statement, values).rowcount
                first += size
        return count

    def _leave_out_erased(self, workspace: str, changed: list[ChangedRecord]) -> None:
        """Remove the customers of records to be written who were erased."""
        if not self._has_erased:
            return
        customers = {
            term("customer", workspace, one.customer_id): one.customer_id for one in changed if one.customer_id is not None
        }
        terms = list(customers)
        for part in (terms[first : first + _SLICE] for first in range(0, len(terms), _SLICE)):
            marks = ", ".join("?" * len(part))
            erased = {customers[one] for (one,) in self._database.execute(f"SELECT term FROM erased WHERE term IN ({marks})", part)}
            for one in changed:
                if one.customer_id in erased:
                    one.customer_id = None

    def _put(self, workspace: str, number: int, changed: ChangedRecord) -> None:
        record, customer_id = changed.record, changed.customer_id
        ended_ms, content = record.ended_at_ms, self._codec.pack(record)
        terms = _terms(workspace, record, customer_id)
        found = self._database.execute(
            "SELECT number, customer_id, content FROM record WHERE workspace = ? AND contact_id = ? AND submitted_ms = ?",
            (number, record.contact_id, record.submitted_at_ms),
        ).fetchone()
        if found is None:
            self._last_number = row = self._last_number + 1
            self._database.execute(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row, number, record.contact_id, record.submitted_at_ms, ended_ms, customer_id, content),
            )
            self._counts[workspace] = self.count(workspace) + 1
            self._add_postings(row, ended_ms, terms)
            return
        row, old_terms = found[0], _terms(workspace, self._codec.unpack(found[2]), found[1])
        self._database.execute("UPDATE record SET customer_id = ?, content = ? WHERE number = ?", (customer_id, content, row))
        self._delete_postings(row, ended_ms, old_terms - terms)
        self._add_postings(row, ended_ms, terms - old_terms)

    def _add_late(self, workspace: str, number: int, late: LateDisposition | LateGoal) -> None:
        """Change the record of the last contact that had the id before it."""
        found = self._database.execute(
            "SELECT number, ended_ms, content FROM record WHERE workspace = ? AND contact_id = ? AND submitted_ms <= ?"
            " ORDER BY submitted_ms DESC LIMIT 1",
            (number, late.contact_id, late.at_ms),
        ).fetchone()
        if found is None:
            return
        row, ended_ms, record = found[0], found[1], self._codec.unpack(found[2])
        old_terms = _terms(workspace, record, None)
        if late.apply(record):
            self._database.execute("UPDATE record SET content = ? WHERE number = ?", (self._codec.pack(record), row))
            terms = _terms(workspace, record, None)
            self._delete_postings(row, ended_ms, old_terms - terms)
            self._add_postings(row, ended_ms, terms - old_terms)

    def _add_postings(self, row: int, ended_ms: int, terms: set[int]) -> None:
        self._database.executemany("INSERT OR IGNORE INTO posting VALUES (?, ?, ?)", [(one, ended_ms, row) for one in terms])

    def _delete_postings(self, row: int, ended_ms: int, terms: set[int]) -> None:
        self._database.executemany(
            "DELETE FROM posting WHERE term = ? AND ended_ms = ? AND number = ?", [(one, ended_ms, row) for one in terms]
        )

    def _save_checkpoint(self, number: int, checkpoint: RecordCheckpoint) -> None:
        opened = [(number, contact_id, content) for contact_id, content in checkpoint.opened.items() if content is not None]
        over = [(number, contact_id) for contact_id, content in checkpoint.opened.items() if content is None]
        self._database.executemany("DELETE FROM opened WHERE workspace = ? AND contact_id = ?", over)
        self._database.executemany("INSERT OR REPLACE INTO opened VALUES (?, ?, ?)", opened)
        self._database.execute(
            "UPDATE workspace SET history_id = ?, seq = ?, targets = ?, complete_from = ? WHERE number = ?",
            (checkpoint.history_id, checkpoint.seq, _encode(checkpoint.targets), checkpoint.complete_from, number),
        )

    def forget_customers(self, workspace: str, customer_ids: Sequence[str]) -> None:
        """Remove the ids of erased customers from all records, and from those that are written later."""
        with self._transaction():
            for customer_id in customer_ids:
                one = term("customer", workspace, customer_id)
                self._database.execute("INSERT OR IGNORE INTO erased VALUES (?)", (one,))
                self._has_erased = True
                self._database.execute(
                    "UPDATE record SET customer_id = NULL WHERE number IN (SELECT number FROM posting WHERE term = ?)", (one,)
                )
                self._database.execute("DELETE FROM posting WHERE term = ?", (one,))

    def customers_after(self, number: int, *, slice_count: int) -> tuple[dict[str, set[str]], int]:
        """Return the customers of the next records by workspace, and the number of the last of them; 0: there are no more."""
        found = self._database.execute(
            "SELECT r.number, w.name, r.customer_id FROM record r CROSS JOIN workspace w ON w.number = r.workspace"
            " WHERE r.number > ? ORDER BY r.number LIMIT ?",
            (number, slice_count),
        ).fetchall()
        customers: dict[str, set[str]] = {}
        for _, workspace, customer_id in found:
            if customer_id is not None:
                customers.setdefault(workspace, set()).add(customer_id)
        return customers, found[-1][0] if len(found) == slice_count else 0

    def trim(self, workspace: str, *, ended_before_ms: int, count_max: int, slice_count: int) -> int:
        """Delete the oldest records beyond the limits, at most ``slice_count``; return how many were deleted."""
        all_of = term("workspace", workspace)
        excess = self.count(workspace) - count_max
        oldest = self._database.execute(
            "SELECT p.number, p.ended_ms, r.customer_id, r.content FROM posting p JOIN record r ON r.number = p.number"
            " WHERE p.term = ? ORDER BY p.ended_ms, p.number LIMIT ?",
            (all_of, slice_count),
        ).fetchall()
        deleted = 0
        with self._transaction():
            for row, ended_ms, customer_id, content in oldest:
                if ended_ms >= ended_before_ms and deleted >= excess:
                    break
                self._delete_postings(row, ended_ms, _terms(workspace, self._codec.unpack(content), customer_id))
                self._database.execute("DELETE FROM record WHERE number = ?", (row,))
                deleted += 1
            self._counts[workspace] = self.count(workspace) - deleted
        return deleted

    def count(self, workspace: str) -> int:
        """Return the number of records of a workspace."""
        return self._counts.get(workspace, 0)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._database.close()

    def _number(self, workspace: str) -> int:
        number = self._numbers.get(workspace)
        if number is None:
            with self._transaction():
                self._database.execute("INSERT INTO workspace (name) VALUES (?)", (workspace,))
            [(number,)] = self._database.execute("SELECT number FROM workspace WHERE name = ?", (workspace,)).fetchall()
            self._numbers[workspace] = number
        return number

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write all of it or nothing, with the numbers of records."""
        before = self._counts.copy()
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            changed = [(count, name) for name, count in self._counts.items() if count != before.get(name)]
            self._database.executemany("UPDATE workspace SET record_count = ? WHERE name = ?", changed)
        except BaseException:
            self._database.execute("ROLLBACK")
            self._counts = before
            raise
        self._database.execute("COMMIT")


@lru_cache(maxsize=8192)
def _cached_term(workspace: str, value: tuple[str, ...]) -> int:
    return term(value[0], workspace, *value[1:])


def _terms(workspace: str, record: ContactRecord, customer_id: str | None) -> set[int]:
    """Return the terms by which a record is found."""
    terms = {_cached_term(workspace, value) for value in indexed_values(record)}
    terms.add(_cached_term(workspace, ("workspace",)))
    if customer_id is not None:
        terms.add(term("customer", workspace, customer_id))
    return terms
