"""Creation of a new database, and the checks that a directory really is one where nothing was acknowledged.

Theory of operation. A kill or a power failure at any moment of the first start must leave a directory that the next start accepts,
while a directory from which files were removed must be refused. The steps are therefore ordered:

1. The high-water mark is created atomically with the special mark ``NO_COMMIT``.
2. The database is built completely at another path, closed and synced, and then renamed into place. A database at its own path
   therefore always has the format number and the application id of a journal, and no write-ahead log of its creation.
3. Its first mark (commit 0) is written to both slots and synced. The first workspace is commit 1, and nothing can be acknowledged
   before a workspace exists.

A start that finds ``NO_COMMIT`` or commit 0 can therefore build the database again or continue with it; a start that finds files of
a journal without a mark, or a higher mark without a database, refuses. Earlier versions built the database in place, so an
unfinished one of theirs (empty, or one page without an application id) is also replaced.
"""

import secrets
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from router.journal.files import JournalPaths, create_private_file, file_size, fsync_directory, sync_file
from router.journal.highwater import HighWaterFile, HighWaterMark
from router.journal.records import CHAIN_BYTES, COMMIT_INDEX_WORKSPACE, CommitIndex, DamagedRecord, decode_envelope
from router.journal.sqlite.connection import (
    SELECT_FROM,
    SELECT_WORKSPACES,
    application_id,
    create_tables,
    file_format,
    insert_records_sql,
    open_connection,
)
from router.model.errors import JournalCorrupt

NO_COMMIT: Final = HighWaterMark(0, b"\0" * CHAIN_BYTES)
"""Mark of a journal whose creation has not ended."""

# SQLite writes the first page before the first transaction; it holds no table yet.
_EMPTY_DATABASE_BYTES_MAX: Final = 4096


def create_database(scratch: Path, path: Path) -> None:
    """Build an empty journal and rename it into place, durably."""
    for leftover in (scratch, *_companions(scratch)):
        leftover.unlink(missing_ok=True)
    create_private_file(scratch)
    connection = open_connection(scratch)
    try:
        _, row = CommitIndex.create(secrets.token_bytes(CHAIN_BYTES))
        connection.execute("BEGIN IMMEDIATE")
        create_tables(connection)
        connection.execute(insert_records_sql(1), row)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()
    sync_file(scratch)
    scratch.rename(path)
    fsync_directory(path.parent)


def first_mark(paths: JournalPaths, connection: Connection) -> HighWaterMark:
    """Return the mark of commit 0 of a journal that has no further commit. Raises JournalCorrupt for any other journal."""
    rows = connection.execute(SELECT_FROM, (COMMIT_INDEX_WORKSPACE, 0, 2)).fetchall()
    if len(rows) != 1 or rows[0][0] != 0 or connection.execute(SELECT_WORKSPACES).fetchone() is not None:
        raise JournalCorrupt(f"{paths.high_water}: the high-water mark is that of an empty journal, but the journal has records")
    try:
        return HighWaterMark(0, decode_envelope(rows[0][1]).chain)
    except DamagedRecord as error:
        raise JournalCorrupt(f"commit index, commit 0: {error}") from error


def is_unfinished(path: Path) -> bool:
    """Return whether the file is an interrupted creation: empty, or without a table and without an application id."""
    size = file_size(path)
    return size == 0 or (size <= _EMPTY_DATABASE_BYTES_MAX and application_id(path) == 0)


def remove_database(paths: JournalPaths) -> None:
    """Remove an unfinished database and its write-ahead log."""
    for path in (*_companions(paths.database), paths.database):
        path.unlink(missing_ok=True)


def read_mark(high_water: HighWaterFile, paths: JournalPaths) -> HighWaterMark:
    """Return the mark. Raises JournalCorrupt with the path of a damaged file."""
    try:
        return high_water.read()
    except JournalCorrupt as error:
        raise JournalCorrupt(
            f"{paths.high_water}: {error}; put back the file that belongs to the journal, or start once with --accept-history-loss"
        ) from None


def check_is_first_start(paths: JournalPaths, *, exists: bool) -> None:
    """Check that a directory without a high-water mark has no other file of a journal. Raises JournalCorrupt."""
    if exists and file_format(paths.database) is None:
        raise JournalCorrupt(f"{paths.database}: the file is not a journal of the router; it was not changed")
    if exists:
        raise JournalCorrupt(f"{paths.high_water}: the high-water mark is missing; the journal may be shorter than it was")
    for path in (paths.wal, paths.reserved):
        if path.exists():
            raise JournalCorrupt(
                f"{paths.database}: the journal and its high-water mark are missing, but {path.name} exists; put the files back, "
                f"or remove {path.name} as well to start with an empty journal"
            )


def _companions(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + ending) for ending in ("-wal", "-journal", "-shm"))
