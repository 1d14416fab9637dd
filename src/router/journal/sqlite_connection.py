"""The one connection: opened, locked, set, and its faults translated.

Everything here runs on the journal's thread. Nothing else in the process may open and close the database file while the
connection lives: closing any descriptor of a file drops the locks that SQLite holds on it (POSIX).
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
    """No room. Unlike after an I/O error the connection is sound: it may be closed in order."""


def refuse_newer(path: Path) -> None:
    """Look at the file's header before SQLite does, which would change files. Raises JournalTooNew."""
    with path.open("rb") as file:
        header = file.read(_SQLITE_HEADER_BYTES)
    if len(header) < _SQLITE_HEADER_BYTES:
        return
    (application,) = struct.unpack_from(">I", header, _APPLICATION_ID_OFFSET)
    (version,) = struct.unpack_from(">i", header, _USER_VERSION_OFFSET)
    if application == APPLICATION_ID and version > FORMAT:
        raise JournalTooNew(f"{path}: format {version}; this version knows formats 1 to {FORMAT}")


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the exclusive lock and every setting in force."""
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
            raise JournalUnavailable(f"SQLite does not keep the setting {name}")


def is_blank(connection: sqlite3.Connection) -> bool:
    """True where the file has no table yet."""
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def lay_out(connection: sqlite3.Connection) -> None:
    """Make the tables. The caller has begun a transaction."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    for table in TABLES:
        connection.execute(table)


def check_layout(connection: sqlite3.Connection) -> None:
    """The file is a journal of this format, with exactly our tables. Raises JournalTooNew or JournalCorrupt."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalCorrupt("the file is no journal: its application id is another")
    if version > FORMAT:
        raise JournalTooNew(f"format {version}; this version knows formats 1 to {FORMAT}")
    if version != FORMAT:
        raise JournalCorrupt(f"format {version} was never written")
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if sorted(sql for (sql,) in found) != sorted(TABLES):
        raise JournalCorrupt("the tables are not those of this format")


@contextmanager
def faults_translated(*, opening: bool = False) -> Iterator[None]:
    """SQLite's and the operating system's faults become ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, opening=opening) from error
    except UnicodeDecodeError as error:
        # SQLite quotes the damaged table in its message, and the module cannot read that.
        raise JournalCorrupt("SQLite cannot read the journal: its tables are damaged") from error
    except OSError as error:
        raise JournalUnavailable(f"the journal's disk failed: {error.strerror}") from error


def _translated(error: sqlite3.Error, *, opening: bool) -> JournalError:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in _LOCKED:
        return JournalLocked("another process has this journal")
    if primary in _CORRUPT:
        return JournalCorrupt(f"SQLite cannot read the journal: {error}")
    if primary == sqlite3.SQLITE_FULL:
        return DiskFull("the disk of the journal is full: nothing more is acknowledged")
    # Opening reads only what a sound journal has: a plain error there (a missing table, text that is none) is damage.
    if opening and primary in {None, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA}:
        return JournalCorrupt(f"SQLite cannot read the journal: {error}")
    return JournalUnavailable(f"the journal's disk failed: {error}")


def abandon(connection: sqlite3.Connection) -> None:
    """Leave a connection alone for ever, its locks held until the process ends.

    After a failed fsync the kernel may have dropped the pages and forgotten the error. Closing would checkpoint, and a
    second fsync could claim success for what never reached the disk. So the connection is never closed, not even by the
    garbage collector at the interpreter's end: one reference too many keeps it alive.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
