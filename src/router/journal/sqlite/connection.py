"""The SQLite connection and the schema of the file: pragmas, tables, SQL statements, and translation of errors.

Everything here runs on the journal thread. While the connection is open, no other code of the process may open and close the
database file: under POSIX, closing any descriptor of a file releases the locks that SQLite holds on it.

One table holds the records of all workspaces, keyed by (workspace number, seq of the first event). Workspace number 0 is the
**commit index**: one row per commit, keyed by the number of the commit. The body of its newest row, the exclusive-or of the
digests of all workspaces (``WorkspaceTail.digest``), authenticates the end of every workspace; its own chain, compared with the
high-water mark, authenticates the end of the commit index. Rows older than the mark are pruned.

A commit is therefore one ``INSERT`` of all rows. That matters: the ``sqlite3`` module releases the interpreter lock at every
statement and has to acquire it again, which takes up to 5 ms while the event loop is busy. Measured beside a busy loop, 100
single inserts took 425 ms, one insert of 100 rows 6 ms.
"""

import ctypes
import errno
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from router.journal.files import JournalPaths
from router.journal.port import JournalOutdated
from router.journal.records import COMMIT_INDEX_WORKSPACE, FORMAT
from router.model.errors import JournalCorrupt, JournalError, JournalLocked, JournalTooNew, JournalUnavailable, NotAJournal

APPLICATION_ID: Final = 0x43526A31  # "CRj1"
ARCHIVE_APPLICATION_ID: Final = 0x43526131  # "CRa1": an archive of a journal, on which no router starts

TABLES: Final = (
    "CREATE TABLE workspace (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, history_id TEXT NOT NULL) STRICT",
    "CREATE TABLE record (workspace INTEGER NOT NULL, first_seq INTEGER NOT NULL, envelope BLOB NOT NULL,"
    " PRIMARY KEY (workspace, first_seq)) STRICT, WITHOUT ROWID",
    "CREATE TABLE snapshot (workspace INTEGER NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    " engine_bytes INTEGER NOT NULL, chain BLOB NOT NULL, sha256 BLOB NOT NULL,"
    " PRIMARY KEY (workspace, seq)) STRICT, WITHOUT ROWID",
    "CREATE TABLE snapshot_part (workspace INTEGER NOT NULL, seq INTEGER NOT NULL, part INTEGER NOT NULL,"
    " data BLOB NOT NULL, PRIMARY KEY (workspace, seq, part)) STRICT",
)

# Set on every connection in this order and read back. The first two come before anything is read: with the exclusive lock
# SQLite keeps the index of the write-ahead log in process memory, writes no -shm file, and excludes every other connection.
PRAGMAS: Final[tuple[tuple[str, str, str | int], ...]] = (
    ("locking_mode", "EXCLUSIVE", "exclusive"),
    ("journal_mode", "WAL", "wal"),
    # One fdatasync per commit. NORMAL makes none and loses acknowledged commits in a power failure.
    ("synchronous", "FULL", 2),
    # Checkpoints are run by SqliteJournal, between commits and when idle.
    ("wal_autocheckpoint", "0", 0),
    # Deleted rows are overwritten with zeros.
    ("secure_delete", "ON", 1),
    # With a memory map an I/O error is a signal that kills the process without a message.
    ("mmap_size", "0", 0),
    ("trusted_schema", "OFF", 0),
    ("cell_size_check", "ON", 1),
    ("temp_store", "MEMORY", 2),
)

# Rows in one INSERT. SQLite allows 32,766 parameters; each number of rows is a separate prepared statement.
ROWS_PER_INSERT: Final = 512

SELECT_WORKSPACES: Final = "SELECT number, name, history_id FROM workspace ORDER BY number"
SELECT_NEWEST: Final = "SELECT first_seq, envelope FROM record WHERE workspace = ? ORDER BY first_seq DESC LIMIT 1"

# The record that contains an event is the last one that starts at or before it.
SELECT_CONTAINING: Final = (
    "SELECT first_seq, envelope FROM record WHERE workspace = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1"
)

SELECT_FROM: Final = "SELECT first_seq, envelope FROM record WHERE workspace = ? AND first_seq >= ? ORDER BY first_seq LIMIT ?"
SELECT_RANGE: Final = "SELECT * FROM record WHERE workspace = ? AND first_seq BETWEEN ? AND ? ORDER BY first_seq LIMIT ?"
REPLACE_RECORD: Final = "INSERT OR REPLACE INTO record VALUES (?, ?, ?)"
DELETE_ARCHIVED: Final = (
    "DELETE FROM record WHERE workspace = ? AND first_seq IN"
    " (SELECT first_seq FROM record WHERE workspace = ? AND first_seq < ? ORDER BY first_seq LIMIT ?)"
)
DELETE_FROM: Final = "DELETE FROM record WHERE workspace = ? AND first_seq >= ?"
DELETE_COMMIT_INDEX_BELOW: Final = f"DELETE FROM record WHERE workspace = {COMMIT_INDEX_WORKSPACE} AND first_seq < ?"
INSERT_WORKSPACE: Final = "INSERT INTO workspace VALUES (?, ?, ?)"
UPDATE_HISTORY_ID: Final = "UPDATE workspace SET history_id = ? WHERE number = ?"

SELECT_SNAPSHOTS: Final = "SELECT seq, at_ms, engine_bytes, chain, sha256 FROM snapshot WHERE workspace = ? ORDER BY seq DESC"
SELECT_PARTS: Final = "SELECT data FROM snapshot_part WHERE workspace = ? AND seq = ? ORDER BY part"
SELECT_PART: Final = "SELECT data FROM snapshot_part WHERE workspace = ? AND seq = ? AND part = ?"
INSERT_SNAPSHOT: Final = "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?)"
INSERT_PART: Final = "INSERT INTO snapshot_part VALUES (?, ?, ?, ?)"
DELETE_SNAPSHOT: Final = "DELETE FROM snapshot WHERE workspace = ? AND seq = ?"
DELETE_PARTS: Final = "DELETE FROM snapshot_part WHERE workspace = ? AND seq = ?"
DELETE_ORPHANED_PARTS: Final = (
    "DELETE FROM snapshot_part WHERE NOT EXISTS (SELECT 1 FROM snapshot s"
    " WHERE s.workspace = snapshot_part.workspace AND s.seq = snapshot_part.seq)"
)

_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_SQLITE_HEADER_BYTES: Final = 100
_USER_VERSION_OFFSET: Final = 60
_APPLICATION_ID_OFFSET: Final = 68

_LOCKED_CODES: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CORRUPT_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DiskFull(JournalUnavailable):
    """The disk is full. Unlike after an I/O error the connection remains usable and can be closed cleanly."""


def insert_records_sql(rows: int) -> str:
    """Return the SQL statement that inserts this number of records."""
    return "INSERT INTO record VALUES " + ",".join(("(?,?,?)",) * rows)


def check_format(path: Path, *, is_archive: bool = False) -> None:
    """Check the format in the file header before SQLite opens, and thereby modifies, the file.

    Raises JournalCorrupt for a file that is not a journal, JournalTooNew or JournalOutdated.
    """
    version = file_format(path)
    if application_id(path) == ARCHIVE_APPLICATION_ID and not is_archive:
        raise JournalCorrupt(f"{path}: the file is an archive of a journal; put it back into one with `router journal unarchive`")
    if version is None:
        raise JournalCorrupt(f"{path}: the file is not a journal of the router; it was not changed")
    _check_version(path, version)


def file_format(path: Path) -> int | None:
    """Return the format in the header of a journal file; None where the file is not a journal or not complete."""
    if application_id(path) not in {APPLICATION_ID, ARCHIVE_APPLICATION_ID}:
        return None
    (version,) = struct.unpack_from(">i", _read_header(path), _USER_VERSION_OFFSET)
    return int(version)


def application_id(path: Path) -> int | None:
    """Return the application id in the header of an SQLite file; None for any other file."""
    header = _read_header(path)
    if len(header) < _SQLITE_HEADER_BYTES or not header.startswith(_SQLITE_MAGIC):
        return None
    (application,) = struct.unpack_from(">I", header, _APPLICATION_ID_OFFSET)
    return int(application)


def require_journal(paths: JournalPaths) -> None:
    """Check that a file is a journal or an archive before it is copied, locked or compared.

    Raises NotAJournal, which says what the file is. A damaged journal is not meant: with a high-water mark beside it, a file is
    taken for one, whatever it contains.
    """
    path = paths.database
    if paths.high_water.exists() or application_id(path) in {APPLICATION_ID, ARCHIVE_APPLICATION_ID}:
        return
    header = _read_header(path)
    if not header:
        kind = "an empty file"
    elif header.startswith(_SQLITE_MAGIC):
        kind = "an SQLite database of another program"
    else:
        kind = "neither an SQLite database nor anything else that the router writes as a journal"
    raise NotAJournal(f"{path}: it is {kind}; name the file journal.db in a data directory of the router, or a backup of it")


def _read_header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_SQLITE_HEADER_BYTES)


def _check_version(path: Path | None, version: int) -> None:
    place = "" if path is None else f"{path}: "
    if version > FORMAT:
        raise JournalTooNew(f"{place}format {version}; this version reads format {FORMAT}")
    if 1 <= version < FORMAT:
        raise JournalOutdated(
            f"{place}format {version}, this version reads format {FORMAT}; "
            f"stop the router and run `router journal migrate {path or 'FILE'}` once"
        )


def open_connection(path: Path) -> sqlite3.Connection:
    """Open a connection with the exclusive lock and all pragmas verified."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0.0, cached_statements=ROWS_PER_INSERT + 32
    )
    try:
        for name, value, _ in PRAGMAS:
            connection.execute(f"PRAGMA {name} = {value}").fetchall()
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        _check_pragmas(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_pragmas(connection: sqlite3.Connection) -> None:
    for name, _, expected in PRAGMAS:
        row = connection.execute(f"PRAGMA {name}").fetchone()
        in_force = row[0] if row is not None else 0
        if in_force != expected:
            raise JournalUnavailable(f"SQLite did not apply the pragma {name}")


def create_tables(connection: sqlite3.Connection, *, is_archive: bool = False) -> None:
    """Create the tables, within a transaction of the caller."""
    connection.execute(f"PRAGMA application_id = {ARCHIVE_APPLICATION_ID if is_archive else APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    for table in TABLES:
        connection.execute(table)


def check_schema(connection: sqlite3.Connection, *, version: int = FORMAT, tables: Sequence[str] = TABLES) -> None:
    """Check that the file is a journal of this format with exactly the expected tables.

    Raises JournalTooNew, JournalOutdated or JournalCorrupt.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (found_version,) = connection.execute("PRAGMA user_version").fetchone()
    if application not in {APPLICATION_ID, ARCHIVE_APPLICATION_ID}:
        raise JournalCorrupt("the file is not a journal: the application id differs")
    if found_version != version:
        _check_version(None, found_version)
        raise JournalCorrupt(f"format {found_version} does not exist")
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if sorted(sql for (sql,) in found) != sorted(tables):
        raise JournalCorrupt("the tables differ from those of this format")


@contextmanager
def translate_errors(*, opening: bool = False) -> Iterator[None]:
    """Translate errors of SQLite and of the operating system to JournalError and its subclasses.

    While ``opening``, errors that an intact journal cannot cause are reported as JournalCorrupt.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _translate_error(error, opening=opening) from error
    except UnicodeDecodeError as error:
        # SQLite quotes the damaged table in its message, which the sqlite3 module cannot decode.
        raise JournalCorrupt("SQLite cannot read the journal: its tables are damaged") from error
    except OSError as error:
        raise translate_os_error(error) from error


def translate_os_error(error: OSError) -> JournalUnavailable:
    """Return the JournalUnavailable that says what an error of the operating system means for the journal."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull("the disk of the journal is full; the router stops acknowledging commands")
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return JournalUnavailable("the process has no file descriptor left for the journal; raise the limit (ulimit -n)")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return JournalUnavailable(f"this user cannot write to the journal ({error.strerror})")
    return JournalUnavailable(f"the journal's disk failed: {error.strerror}")


def _translate_error(error: sqlite3.Error, *, opening: bool) -> JournalError:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in _LOCKED_CODES:
        return JournalLocked("another process has opened this journal")
    if primary in _CORRUPT_CODES:
        return JournalCorrupt(f"SQLite cannot read the journal: {error}")
    if primary == sqlite3.SQLITE_FULL:
        return DiskFull("the disk of the journal is full; the router stops acknowledging commands")
    if primary == sqlite3.SQLITE_CANTOPEN:
        return JournalUnavailable("SQLite cannot open the files of the journal: check the permissions and the limit of open files")
    if primary in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return JournalUnavailable(f"this user cannot write to the journal ({error})")
    # Opening reads only what an intact journal has, so a generic error there (a missing table, invalid text) means damage.
    if opening and primary in {None, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA}:
        return JournalCorrupt(f"SQLite cannot read the journal: {error}")
    return JournalUnavailable(f"the journal's disk failed: {error}")


def keep_connection_open(connection: sqlite3.Connection) -> None:
    """Keep a connection open, with its locks, until the process ends.

    After a failed fsync the kernel may have dropped the dirty pages and cleared the error. Closing would checkpoint, and a
    second fsync could report success for data that never reached the disk. An extra reference therefore keeps the connection
    from ever being closed, even by the garbage collector at interpreter exit.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
