"""The SQLite connection: opening, locking, pragmas, schema checks, and translation of errors.

Everything here runs on the journal thread. While the connection is open, no other code of the process may open and close the
database file: under POSIX, closing any descriptor of a file releases the locks that SQLite holds on it.
"""

import ctypes
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from router.journal.codec import FORMAT
from router.journal.schema import APPLICATION_ID, PRAGMAS, ROWS_PER_INSERT, TABLES
from router.model.errors import (
    JournalCorrupt,
    JournalError,
    JournalLocked,
    JournalTooNew,
    JournalUnavailable,
)

_SQLITE_HEADER_BYTES: Final = 100
_USER_VERSION_OFFSET: Final = 60
_APPLICATION_ID_OFFSET: Final = 68

_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DiskFull(JournalUnavailable):
    """The disk is full. Unlike after an I/O error the connection remains usable and can be closed cleanly."""


def refuse_newer(path: Path) -> None:
    """Check the format in the file header before SQLite opens, and thereby modifies, the file. Raises JournalTooNew."""
    with path.open("rb") as file:
        header = file.read(_SQLITE_HEADER_BYTES)
    if len(header) < _SQLITE_HEADER_BYTES:
        return
    (application,) = struct.unpack_from(">I", header, _APPLICATION_ID_OFFSET)
    (version,) = struct.unpack_from(">i", header, _USER_VERSION_OFFSET)
    if application == APPLICATION_ID and version > FORMAT:
        raise JournalTooNew(f"{path}: format {version}; this version reads formats 1 to {FORMAT}")


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection with the exclusive lock and all pragmas verified."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=0.0,
        cached_statements=ROWS_PER_INSERT + 32,
    )
    try:
        for name, value, _ in PRAGMAS:
            connection.execute(f"PRAGMA {name} = {value}").fetchall()
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        _assert_settings(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _assert_settings(connection: sqlite3.Connection) -> None:
    for name, _, expected in PRAGMAS:
        row = connection.execute(f"PRAGMA {name}").fetchone()
        in_force = row[0] if row is not None else 0
        if in_force != expected:
            raise JournalUnavailable(f"SQLite did not apply the pragma {name}")


def is_blank(connection: sqlite3.Connection) -> bool:
    """Return whether the file has no tables yet."""
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def lay_out(connection: sqlite3.Connection) -> None:
    """Create the tables, within a transaction of the caller."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    for table in TABLES:
        connection.execute(table)


def check_layout(connection: sqlite3.Connection) -> None:
    """Check that the file is a journal of this format with exactly the expected tables.

    Raises JournalTooNew or JournalCorrupt.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalCorrupt("the file is not a journal: the application id differs")
    if version > FORMAT:
        raise JournalTooNew(f"format {version}; this version reads formats 1 to {FORMAT}")
    if version != FORMAT:
        raise JournalCorrupt(f"format {version} does not exist")
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if sorted(sql for (sql,) in found) != sorted(TABLES):
        raise JournalCorrupt("the tables differ from those of this format")


@contextmanager
def faults_translated(*, opening: bool = False) -> Iterator[None]:
    """Translate errors of SQLite and of the operating system to JournalError and its subclasses.

    While ``opening``, errors that an intact journal cannot cause are reported as JournalCorrupt.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, opening=opening) from error
    except UnicodeDecodeError as error:
        # SQLite quotes the damaged table in its message, which the sqlite3 module cannot decode.
        raise JournalCorrupt("SQLite cannot read the journal: its tables are damaged") from error
    except OSError as error:
        raise JournalUnavailable(f"the journal's disk failed: {error.strerror}") from error


def _translated(error: sqlite3.Error, *, opening: bool) -> JournalError:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in _LOCKED:
        return JournalLocked("another process has opened this journal")
    if primary in _CORRUPT:
        return JournalCorrupt(f"SQLite cannot read the journal: {error}")
    if primary == sqlite3.SQLITE_FULL:
        return DiskFull("the disk of the journal is full; the router stops acknowledging commands")
    # Opening reads only what an intact journal has, so a generic error there (a missing table, invalid text) means damage.
    if opening and primary in {None, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA}:
        return JournalCorrupt(f"SQLite cannot read the journal: {error}")
    return JournalUnavailable(f"the journal's disk failed: {error}")


def abandon(connection: sqlite3.Connection) -> None:
    """Keep a connection open, with its locks, until the process ends.

    After a failed fsync the kernel may have dropped the dirty pages and cleared the error. Closing would checkpoint, and a
    second fsync could report success for data that never reached the disk. An extra reference therefore keeps the connection
    from ever being closed, even by the garbage collector at interpreter exit.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
