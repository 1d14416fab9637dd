"""The two SQLite files of the context store: opening, schema, lock, and the checkpoint that an erasure needs.

``context.db`` holds the data of customers, sealed; ``context-keys.db`` their wrapped data keys. They are apart so that backups of
the keys can be kept for a shorter time than backups of the data. Both belong together and hold the same random ``pair_id``.

A transaction over both files cannot be atomic, so the order of the two commits is what protects the data. A key is committed
*before* the first value that is sealed with it, and deleted *before* the data. After a power failure there may thus be a key
without a customer, or a customer without a key; the store removes both when it is opened.

The key file also records the row of the newest customer that the data held durably before the last group of operations. Data that
ends before that row is an older copy, put back by mistake: a start would delete the keys of everyone created since, after which the
newer copy cannot be opened either. It is refused unless ``accept-older-data`` stands beside the files, for that one start.

After a ``DELETE`` the old bytes stay in the database file until the write-ahead log is copied into it, even with ``secure_delete``.
An erasure is therefore complete only after ``truncate_log`` of the key file, which is checked by its result: a checkpoint that a
reader blocks reports *busy* and leaves the key where it was. SQLite empties the log without a sync, so that a power failure could
bring it back with the key in it; its new length is synced before anything is acknowledged.

One connection writes, on one thread; a second one only reads, on another thread, for milliseconds at a time.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from router.context.customers import ContextCorrupt, ContextUnavailable
from router.journal.files import FILE_MODE, create_private_file, prepare_directory, rewrite_file, sync_directory_path, sync_file

DATA_FILE: Final = "context.db"
KEY_FILE: Final = "context-keys.db"
LOCK_FILE: Final = "context.lock"
ACCEPT_FILE: Final = "accept-older-data"

DATA_APPLICATION_ID: Final = 0x43526331  # "CRc1"
KEY_APPLICATION_ID: Final = 0x43526B31  # "CRk1"
FORMAT: Final = 2
FORMATS_READ: Final = (1, 2)
"""1 is the form of earlier versions: its rows are read, and get the short forms of 2 when they are written again."""

_CONTACT_TABLES: Final = (
    "CREATE TABLE contact (number INTEGER PRIMARY KEY AUTOINCREMENT, workspace INTEGER NOT NULL, contact_id TEXT NOT NULL,"
    " row INTEGER NOT NULL, is_owned INTEGER NOT NULL, assurance TEXT, content BLOB, at_ms INTEGER NOT NULL,"
    " UNIQUE (workspace, contact_id)) STRICT",
    "CREATE INDEX contact_row ON contact (row)",
    "CREATE INDEX contact_at ON contact (at_ms)",
    "CREATE TABLE note (number INTEGER PRIMARY KEY AUTOINCREMENT, workspace INTEGER NOT NULL, contact_id TEXT NOT NULL,"
    " row INTEGER NOT NULL, author TEXT NOT NULL, at_ms INTEGER NOT NULL, text BLOB NOT NULL) STRICT",
    "CREATE INDEX note_row ON note (row)",
    "CREATE INDEX note_contact ON note (workspace, contact_id)",
    "CREATE TABLE work (number INTEGER PRIMARY KEY AUTOINCREMENT, workspace INTEGER NOT NULL, contact_id TEXT NOT NULL,"
    " row INTEGER NOT NULL, state TEXT NOT NULL, channel TEXT NOT NULL, queue TEXT NOT NULL, agent TEXT, disposition TEXT,"
    " queued_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, UNIQUE (workspace, contact_id)) STRICT",
    "CREATE INDEX work_row ON work (row, queued_ms)",
    # A day: the reference belongs to a known customer and is kept so long; without one its row is that of a day.
    "CREATE TABLE reference (workspace INTEGER NOT NULL, contact_id TEXT NOT NULL, row INTEGER NOT NULL, sealed BLOB NOT NULL,"
    " day INTEGER, PRIMARY KEY (workspace, contact_id)) STRICT, WITHOUT ROWID",
    "CREATE INDEX reference_row ON reference (row)",
    "CREATE INDEX reference_kept ON reference (day) WHERE day IS NOT NULL",
    "CREATE TABLE reference_day (workspace INTEGER NOT NULL, day INTEGER NOT NULL, row INTEGER NOT NULL,"
    " PRIMARY KEY (workspace, day)) STRICT, WITHOUT ROWID",
    "CREATE TABLE feed_cursor (workspace INTEGER PRIMARY KEY, history_id TEXT NOT NULL, seq INTEGER NOT NULL) STRICT",
)
_VERIFICATION_TABLES: Final = (
    "CREATE TABLE verification (number INTEGER PRIMARY KEY AUTOINCREMENT, workspace INTEGER NOT NULL, contact_id TEXT NOT NULL,"
    " row INTEGER NOT NULL, type TEXT NOT NULL, method TEXT NOT NULL, actor TEXT NOT NULL, at_ms INTEGER NOT NULL,"
    " UNIQUE (workspace, contact_id, type)) STRICT",
    "CREATE INDEX verification_row ON verification (row)",
    "CREATE INDEX verification_at ON verification (at_ms)",
    "CREATE TABLE proposal (number INTEGER PRIMARY KEY AUTOINCREMENT, proposal_id BLOB NOT NULL UNIQUE, workspace INTEGER NOT NULL,"
    " one INTEGER NOT NULL, other INTEGER NOT NULL, contact_id TEXT NOT NULL, reason TEXT NOT NULL, actor TEXT NOT NULL,"
    " at_ms INTEGER NOT NULL, state TEXT NOT NULL, decided_by TEXT, decided_ms INTEGER) STRICT",
    "CREATE INDEX proposal_state ON proposal (workspace, state, number)",
    "CREATE INDEX proposal_one ON proposal (one)",
    "CREATE INDEX proposal_other ON proposal (other)",
)
DATA_TABLES: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
    "CREATE TABLE workspace (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE customer (row INTEGER PRIMARY KEY AUTOINCREMENT, workspace INTEGER NOT NULL, customer_id BLOB NOT NULL UNIQUE,"
    " merged_into INTEGER, profile BLOB, created_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL, version INTEGER NOT NULL,"
    " changed INTEGER NOT NULL) STRICT",
    "CREATE INDEX customer_changed ON customer (workspace, changed)",
    "CREATE INDEX customer_merged ON customer (merged_into) WHERE merged_into IS NOT NULL",
    "CREATE INDEX customer_seen ON customer (workspace, seen_ms)",
    "CREATE TABLE identity (number INTEGER PRIMARY KEY AUTOINCREMENT, workspace INTEGER NOT NULL, hash BLOB NOT NULL,"
    " row INTEGER NOT NULL, first_row INTEGER NOT NULL, type TEXT NOT NULL, strength INTEGER NOT NULL, assurance TEXT NOT NULL,"
    " value BLOB NOT NULL, seen_ms INTEGER NOT NULL, UNIQUE (workspace, hash)) STRICT",
    "CREATE INDEX identity_row ON identity (row)",
    "CREATE TABLE candidate (row INTEGER NOT NULL, hash BLOB NOT NULL, type TEXT NOT NULL, PRIMARY KEY (row, hash)) STRICT,"
    " WITHOUT ROWID",
    "CREATE TABLE name_token (workspace INTEGER NOT NULL, hash BLOB NOT NULL, row INTEGER NOT NULL,"
    " PRIMARY KEY (workspace, hash, row)) STRICT, WITHOUT ROWID",
    "CREATE INDEX name_token_row ON name_token (row)",
    "CREATE TABLE tail (number INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL, step BLOB NOT NULL) STRICT",
    "CREATE TABLE journey (row INTEGER PRIMARY KEY, steps BLOB NOT NULL) STRICT",
    "CREATE TABLE merge (number INTEGER PRIMARY KEY AUTOINCREMENT, merge_id BLOB NOT NULL UNIQUE, workspace INTEGER NOT NULL,"
    " loser INTEGER NOT NULL, winner INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL,"
    " undone_ms INTEGER, undone_by TEXT) STRICT",
    "CREATE INDEX merge_loser ON merge (loser)",
    "CREATE INDEX merge_winner ON merge (winner)",
    "CREATE TABLE erased (customer_id BLOB PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE suppressed (workspace INTEGER NOT NULL, hash BLOB NOT NULL, until_ms INTEGER NOT NULL,"
    " PRIMARY KEY (workspace, hash)) STRICT, WITHOUT ROWID",
    "CREATE TABLE read_audit (number INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, actor TEXT NOT NULL,"
    " customer_id BLOB NOT NULL, purpose TEXT NOT NULL, fields TEXT NOT NULL) STRICT",
    "CREATE INDEX read_audit_customer ON read_audit (customer_id)",
    *_CONTACT_TABLES,
    *_VERIFICATION_TABLES,
)
ADDED_DATA_TABLES: Final = (
    # Who was erased, in the order of changes; in files of earlier versions it is created when they are opened.
    "CREATE TABLE erased_change (changed INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, customer_id BLOB NOT NULL,"
    " at_ms INTEGER NOT NULL) STRICT",
    "CREATE INDEX erased_change_workspace ON erased_change (workspace, changed)",
    # Rows whose keys seal references without a customer, a bounded number each: while one is filled, with the day in ``open_day``.
    "CREATE TABLE reference_block (row INTEGER PRIMARY KEY, workspace INTEGER NOT NULL, day INTEGER NOT NULL,"
    " used INTEGER NOT NULL, open_day INTEGER, retired INTEGER) STRICT",
    "CREATE INDEX reference_block_day ON reference_block (workspace, day)",
    "CREATE INDEX reference_block_open ON reference_block (workspace, open_day) WHERE open_day IS NOT NULL",
    "CREATE INDEX reference_block_retired ON reference_block (workspace, retired) WHERE retired IS NOT NULL",
    # Without it, each card would read all candidates.
    "CREATE INDEX candidate_hash ON candidate (hash)",
)
KEY_TABLES: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
    "CREATE TABLE customer_key (row INTEGER PRIMARY KEY, wrapped BLOB NOT NULL, version INTEGER NOT NULL) STRICT",
    "CREATE INDEX customer_key_version ON customer_key (version)",
    "CREATE TABLE deleted_key (row INTEGER PRIMARY KEY) STRICT",
    "CREATE TABLE workspace_key (number INTEGER PRIMARY KEY, wrapped BLOB NOT NULL, version INTEGER NOT NULL) STRICT",
)

_PRAGMAS: Final = (
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("wal_autocheckpoint", "0"),  # only the writer checkpoints, between commits
    ("secure_delete", "ON"),
    ("mmap_size", "0"),
    ("trusted_schema", "OFF"),
    ("cell_size_check", "ON"),
    ("temp_store", "MEMORY"),
    ("foreign_keys", "OFF"),
)
_CACHE_KIB: Final = 32_768


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate errors of SQLite and of the operating system to ContextUnavailable or ContextCorrupt."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(code, int) and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise ContextCorrupt("SQLite cannot read the customer context: its tables are damaged") from error
        raise ContextUnavailable(f"the disk of the customer context failed ({error})") from error
    except OSError as error:
        raise ContextUnavailable(f"the disk of the customer context failed ({error.strerror})") from error


class ContextDatabase(Protocol):
    """Where the tables of the context are: the connections that run the statements, and groups of them."""

    @property
    def data(self) -> sqlite3.Connection:
        """Return the connection to the data of customers."""
        ...

    @property
    def keys(self) -> sqlite3.Connection:
        """Return the connection to the wrapped keys."""
        ...

    def begin(self) -> None:
        """Begin a group of statements."""
        ...

    def begin_keys(self) -> None:
        """Let what is written to the keys from now on be part of the group, if there is one."""
        ...

    def commit(self) -> None:
        """Make the group durable."""
        ...

    def rollback(self) -> None:
        """Discard the group, if there is one."""
        ...

    def begin_recording(self) -> None:
        """Note that data and keys agree."""
        ...

    def truncate_log(self, connection: sqlite3.Connection) -> bool:
        """Remove what was deleted from the log; return False where that has to be tried again."""
        ...

    def log_bytes(self) -> int:
        """Return the size of the larger log."""
        ...

    def close(self, *, has_failed: bool = False) -> None:
        """Close. Idempotent."""
        ...


class ContextFiles:
    """Both files of the store, opened for writing and locked against other processes."""

    def __init__(self, directory: Path) -> None:
        """Open the files, creating them where both are missing. Raises ContextUnavailable or ContextCorrupt."""
        self.directory: Final = directory
        self._is_closed = self._is_recording = False
        self._newest_row = 0
        """Row of the newest customer that was ever in the data, as far as it is durable."""
        prepare_directory(directory)
        with translate_errors():
            self._lock = _lock(directory / LOCK_FILE)
        try:
            with translate_errors():
                self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> None:
        paths = [self.directory / DATA_FILE, self.directory / KEY_FILE]
        existing = [path for path in paths if path.exists() and path.stat().st_size > 0]
        if len(existing) == 1 and not _is_unused(existing[0]):
            missing = next(path for path in paths if path not in existing)
            raise ContextCorrupt(f"{missing}: is missing; restore it from the backup that belongs to {existing[0].name}")
        self.is_new = len(existing) < 2
        for path in paths:
            if not path.exists():
                create_private_file(path)
        self._store_again(paths)
        self.data = _connect(paths[0])
        self.keys = _connect(paths[1])
        _prepare(self.data, DATA_APPLICATION_ID, DATA_TABLES, paths[0], added=ADDED_DATA_TABLES)
        _prepare(self.keys, KEY_APPLICATION_ID, KEY_TABLES, paths[1])
        self._check_pair(paths[1])
        self._newest_row = _newest_row(self.data)
        self._check_age()

    def _check_age(self) -> None:
        """Refuse data that are older than the keys, unless that was accepted; rows are not used again then."""
        recorded = _recorded_row(self.keys)
        if recorded <= self._newest_row:
            return
        [(lost,)] = self.keys.execute("SELECT count(*) FROM customer_key WHERE row > ?", (self._newest_row,)).fetchall()
        if lost and not (self.directory / ACCEPT_FILE).exists():
            raise ContextCorrupt(
                f"{DATA_FILE} is older than {KEY_FILE}: it lacks {lost:,} customers, whose keys a start would delete for good."
                f" Restore the newest {DATA_FILE}, or both files from one backup; to do without those customers, create the empty"
                f" file {self.directory / ACCEPT_FILE} and start again"
            )
        self.data.execute("BEGIN IMMEDIATE")
        self.data.execute("DELETE FROM sqlite_sequence WHERE name = 'customer'")
        self.data.execute("INSERT INTO sqlite_sequence VALUES ('customer', ?)", (recorded,))
        self.data.execute("COMMIT")
        self._newest_row = recorded

    def begin_recording(self) -> None:
        """Record which customers the data hold, now that both files agree, and with each group from now on."""
        self._record_row(self._newest_row)
        self._is_recording = True
        (self.directory / ACCEPT_FILE).unlink(missing_ok=True)

    def _record_row(self, row: int) -> None:
        self.keys.execute("INSERT OR REPLACE INTO meta VALUES ('newest_row', ?)", (row.to_bytes(8, "big"),))

    def _store_again(self, paths: Sequence[Path]) -> None:
        """Write the logs over themselves: after a sync that failed, an earlier process may have left what no later sync stores."""
        for path in paths:
            rewrite_file(_log_path(path))
        sync_directory_path(self.directory)

    def _check_pair(self, key_path: Path) -> None:
        """Check that both files belong together; write the pair id where there is none yet, into the key file first."""
        found = [_pair_id(connection) for connection in (self.keys, self.data)]
        if found[0] is None and found[1] is None:
            found = [secrets.token_bytes(16)] * 2
            for connection in (self.keys, self.data):
                connection.execute("INSERT INTO meta VALUES ('pair_id', ?)", (found[0],))
        elif found[1] is None:
            # The process ended between the two first commits: nothing was stored yet.
            self.data.execute("INSERT INTO meta VALUES ('pair_id', ?)", (found[0],))
        elif found[0] != found[1]:
            raise ContextCorrupt(f"{key_path}: does not belong to {DATA_FILE} beside it; restore both from one backup")

    def open_reader(self) -> sqlite3.Connection:
        """Return a read-only connection to the data for another thread. Raises ContextUnavailable."""
        with translate_errors():
            return _connect_reader(self.directory / DATA_FILE)

    def open_key_reader(self) -> sqlite3.Connection:
        """Return a read-only connection to the wrapped keys for another thread. Raises ContextUnavailable."""
        with translate_errors():
            return _connect_reader(self.directory / KEY_FILE)

    def begin(self) -> None:
        """Begin a transaction in the data; that of the keys begins with their first write, which most groups lack."""
        self.data.execute("BEGIN IMMEDIATE")

    def begin_keys(self) -> None:
        """Begin a transaction in the keys, if there is one in the data. Call before they are written."""
        if self.data.in_transaction and not self.keys.in_transaction:
            self.keys.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make a transaction durable: the keys before the data that they protect."""
        if self.keys.in_transaction:
            # There is no new customer without a key.
            newest = _newest_row(self.data)
            if newest != self._newest_row:
                # Not those of this group: the process may end between the two commits.
                self._record_row(self._newest_row)
            self.keys.execute("COMMIT")
            self._newest_row = newest
        self.data.execute("COMMIT")

    def rollback(self) -> None:
        """Discard the open transactions, if any."""
        for connection in (self.keys, self.data):
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def truncate_log(self, connection: sqlite3.Connection) -> bool:
        """Copy the write-ahead log into the file and empty it on the disk; return False where a reader prevents it."""
        [(is_busy, _, _)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if is_busy:
            return False
        self._sync_log(connection)
        return True

    def _sync_log(self, connection: sqlite3.Connection) -> None:
        """Force the length of a log to disk. SQLite holds no lock on a log, so that it may be opened and closed here."""
        sync_file(_log_path(self.directory / (KEY_FILE if connection is self.keys else DATA_FILE)))

    def log_bytes(self) -> int:
        """Return the size of the larger write-ahead log."""
        logs = (_log_path(self.directory / name) for name in (DATA_FILE, KEY_FILE))
        return max(log.stat().st_size if log.exists() else 0 for log in logs)

    def close(self, *, has_failed: bool = False) -> None:
        """Discard an open transaction, checkpoint, close and release the lock. Idempotent.

        After a failure nothing is written: what a failed sync covers may be in memory only, and a checkpoint that is interrupted
        then finds no log that repairs the file. The next start stores the log again first.
        """
        if self._is_closed:
            return
        self._is_closed = True
        readers: list[sqlite3.Connection] = []
        try:
            with suppress(sqlite3.Error):
                self.rollback()
            if has_failed:
                # The last connection to close makes a checkpoint, unless it only reads.
                with suppress(sqlite3.Error):
                    readers += [_attached_reader(self.directory / name) for name in (KEY_FILE, DATA_FILE)]
            elif self._is_recording:
                # Only more exact than the last group left it: a disk that has failed is no reason to fail here.
                with suppress(sqlite3.Error):
                    self._record_row(self._newest_row)
            for connection in (self.keys, self.data, *readers):
                with suppress(sqlite3.Error):
                    connection.close()
        finally:
            os.close(self._lock)


def _log_path(path: Path) -> Path:
    """Return the path of the write-ahead log of a file."""
    return path.with_name(f"{path.name}-wal")


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ContextUnavailable(f"{path}: another process uses this customer context") from None
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0.2, check_same_thread=False
    )
    for name, value in _PRAGMAS:
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def _connect_reader(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=0.2, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def _attached_reader(path: Path) -> sqlite3.Connection:
    """Return a read-only connection that has read, so that it is one of those that use the log."""
    connection = _connect_reader(path)
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    return connection


def _prepare(
    connection: sqlite3.Connection, application_id: int, tables: tuple[str, ...], path: Path, *, added: tuple[str, ...] = ()
) -> None:
    """Create the tables in an empty file, or check those of an existing one and create those that were ``added`` since."""
    if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        for table in (*tables, *added):
            connection.execute(table)
        connection.execute("COMMIT")
        return
    [(found_id,)] = connection.execute("PRAGMA application_id").fetchall()
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
    if found_id != application_id:
        raise ContextCorrupt(f"{path}: is not a file of the customer context")
    if version not in FORMATS_READ:
        raise ContextCorrupt(f"{path}: has format {version}, this version reads formats {FORMATS_READ[0]} to {FORMAT}")
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'").fetchall()
    missing = [table for table in added if (table,) not in found]
    if sorted(sql for (sql,) in found if sql not in added) != sorted(tables):
        raise ContextCorrupt(f"{path}: the tables differ from those of format {FORMAT}")
    if missing:
        connection.execute("BEGIN IMMEDIATE")
        for table in missing:
            connection.execute(table)
        connection.execute("COMMIT")
    if version != FORMAT:
        # Before anything of the new format is written, so that an earlier version refuses the file instead of misreading it.
        connection.execute(f"PRAGMA user_version = {FORMAT}")


def _is_unused(path: Path) -> bool:
    """Return whether a file of the store holds no customer yet, as after an end of the process during the first start."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0.2)
    try:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        counted = names & {"customer", "customer_key", "workspace_key"}
        return all(connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() is None for name in counted)
    finally:
        connection.close()


def _pair_id(connection: sqlite3.Connection) -> bytes | None:
    found = connection.execute("SELECT value FROM meta WHERE name = 'pair_id'").fetchone()
    return None if found is None else bytes(found[0])


def _newest_row(data: sqlite3.Connection) -> int:
    """Return the row of the newest customer that was ever stored, also if it was erased; 0: there was none."""
    found = data.execute("SELECT seq FROM sqlite_sequence WHERE name = 'customer'").fetchone()
    return 0 if found is None else int(found[0])


def _recorded_row(keys: sqlite3.Connection) -> int:
    """Return the row that the key file has recorded; 0: none, as in the files of earlier versions."""
    found = keys.execute("SELECT value FROM meta WHERE name = 'newest_row'").fetchone()
    return 0 if found is None else int.from_bytes(found[0], "big")
