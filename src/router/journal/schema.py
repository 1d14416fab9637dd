"""The schema of the SQLite file: tables, pragmas, file identification, and the SQL statements.

One table holds the records of all workspaces, keyed by (workspace number, seq of the first event). Workspace number 0 is the
**commit index**: one row per commit, keyed by the number of the commit. The body of its newest row, the exclusive-or of the
digests of all workspaces (``WorkspaceTail.digest``), authenticates the end of every workspace; its own chain, compared with the
high-water mark, authenticates the end of the commit index. Rows older than the mark are pruned.

A commit is therefore one ``INSERT`` of all rows. That matters: the ``sqlite3`` module releases the interpreter lock at every
statement and has to acquire it again, which takes up to 5 ms while the event loop is busy. Measured beside a busy loop, 100
single inserts took 425 ms, one insert of 100 rows 6 ms.
"""

from typing import Final

APPLICATION_ID: Final = 0x43526A31  # "CRj1"
LEDGER: Final = 0

TABLES: Final = (
    "CREATE TABLE workspace (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, gen TEXT NOT NULL) STRICT",
    "CREATE TABLE record (workspace INTEGER NOT NULL, first_seq INTEGER NOT NULL, envelope BLOB NOT NULL,"
    " PRIMARY KEY (workspace, first_seq)) STRICT, WITHOUT ROWID",
    "CREATE TABLE snapshot (workspace INTEGER NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    " core_bytes INTEGER NOT NULL, chain BLOB NOT NULL, sha256 BLOB NOT NULL,"
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


def insert_records(rows: int) -> str:
    """Return the SQL statement that inserts this number of records."""
    return "INSERT INTO record VALUES " + ",".join(("(?,?,?)",) * rows)


SELECT_WORKSPACES: Final = "SELECT number, name, gen FROM workspace ORDER BY number"
SELECT_NEWEST: Final = (
    "SELECT first_seq, envelope FROM record WHERE workspace = ? ORDER BY first_seq DESC LIMIT 1"
)
# The record that contains an event is the last one that starts at or before it.
SELECT_HOLDING: Final = (
    "SELECT first_seq, envelope FROM record WHERE workspace = ? AND first_seq <= ?"
    " ORDER BY first_seq DESC LIMIT 1"
)
SELECT_FROM: Final = (
    "SELECT first_seq, envelope FROM record WHERE workspace = ? AND first_seq >= ?"
    " ORDER BY first_seq LIMIT ?"
)
DELETE_FROM: Final = "DELETE FROM record WHERE workspace = ? AND first_seq >= ?"
DELETE_LEDGER_BELOW: Final = f"DELETE FROM record WHERE workspace = {LEDGER} AND first_seq < ?"
INSERT_WORKSPACE: Final = "INSERT INTO workspace VALUES (?, ?, ?)"
UPDATE_GENERATION: Final = "UPDATE workspace SET gen = ? WHERE number = ?"

SELECT_SNAPSHOTS: Final = "SELECT seq, at_ms, core_bytes, chain, sha256 FROM snapshot WHERE workspace = ? ORDER BY seq DESC"
SELECT_PARTS: Final = "SELECT data FROM snapshot_part WHERE workspace = ? AND seq = ? ORDER BY part"
INSERT_SNAPSHOT: Final = "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?)"
INSERT_PART: Final = "INSERT INTO snapshot_part VALUES (?, ?, ?, ?)"
DELETE_SNAPSHOT: Final = "DELETE FROM snapshot WHERE workspace = ? AND seq = ?"
DELETE_PARTS: Final = "DELETE FROM snapshot_part WHERE workspace = ? AND seq = ?"
DELETE_ORPHANED_PARTS: Final = (
    "DELETE FROM snapshot_part WHERE NOT EXISTS (SELECT 1 FROM snapshot s"
    " WHERE s.workspace = snapshot_part.workspace AND s.seq = snapshot_part.seq)"
)
