"""Snapshots in the SQLite file: written in parts, valid only when complete, the two newest retained.

The parts are written first, each in its own commit so that records can be appended in between; the header with the SHA-256 over
all parts is written last. A snapshot without a header, or with a different checksum, is ignored: recovery then uses the previous
snapshot and replays more records.
"""

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from msgspec import Struct

from router.journal.port import Snapshot
from router.journal.sqlite.connection import (
    DELETE_ORPHANED_PARTS,
    DELETE_PARTS,
    DELETE_SNAPSHOT,
    INSERT_PART,
    INSERT_SNAPSHOT,
    SELECT_PARTS,
    SELECT_SNAPSHOTS,
)

# A compromise between write throughput and the time that a commit of records waits for one part.
PART_BYTES: Final = 1 << 20
SNAPSHOTS_KEPT: Final = 2


class StoredSnapshot(Struct, frozen=True):
    """An intact snapshot, with the chain value of the record it was taken after."""

    snapshot: Snapshot
    chain: bytes


def split_snapshot(snapshot: Snapshot) -> Iterator[bytes]:
    """Split the bytes of a snapshot into parts of at most ``PART_BYTES``."""
    for data in (snapshot.engine_state, snapshot.stats_state):
        for offset in range(0, len(data), PART_BYTES):
            yield data[offset : offset + PART_BYTES]


def snapshot_exists(connection: sqlite3.Connection, workspace: int, seq: int) -> bool:
    """Return whether a complete snapshot for this sequence number exists."""
    rows = connection.execute(SELECT_SNAPSHOTS, (workspace,)).fetchall()
    return any(row[0] == seq for row in rows)


def insert_snapshot_part(connection: sqlite3.Connection, workspace: int, seq: int, part: int, data: bytes) -> None:
    """Write one part; the first one deletes the leftovers of an interrupted attempt."""
    if part == 0:
        connection.execute(DELETE_PARTS, (workspace, seq))
    connection.execute(INSERT_PART, (workspace, seq, part, data))


def insert_snapshot_header(connection: sqlite3.Connection, workspace: int, snapshot: Snapshot, chain: bytes) -> None:
    """Write the header and delete all but the two newest snapshots, in one commit."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(INSERT_SNAPSHOT, (workspace, *snapshot_header(workspace, snapshot, chain)))
    rows = connection.execute(SELECT_SNAPSHOTS, (workspace,)).fetchall()
    for row in rows[SNAPSHOTS_KEPT:]:
        _delete_snapshot(connection, workspace, row[0])
    connection.execute("COMMIT")


def snapshot_header(workspace: int, snapshot: Snapshot, chain: bytes) -> tuple[int, int, int, bytes, bytes]:
    """Return the columns of a header after the number of its workspace."""
    digest = _snapshot_digest(workspace, snapshot, chain)
    return snapshot.seq, snapshot.at_ms, len(snapshot.engine_state), chain, digest


def replace_snapshots(connection: sqlite3.Connection, workspace: int, snapshot: Snapshot, chain: bytes) -> None:
    """Replace all snapshots of a workspace by one, within a transaction of the caller."""
    for row in connection.execute(SELECT_SNAPSHOTS, (workspace,)).fetchall():
        _delete_snapshot(connection, workspace, row[0])
    for part, data in enumerate(split_snapshot(snapshot)):
        connection.execute(INSERT_PART, (workspace, snapshot.seq, part, data))
    connection.execute(INSERT_SNAPSHOT, (workspace, *snapshot_header(workspace, snapshot, chain)))


def load_snapshots(connection: sqlite3.Connection, workspace: int) -> Iterator[StoredSnapshot | int]:
    """Iterate over the snapshots of a workspace, newest first; a damaged one is represented by its sequence number."""
    for seq, at_ms, engine_bytes, chain, digest in connection.execute(SELECT_SNAPSHOTS, (workspace,)).fetchall():
        parts = connection.execute(SELECT_PARTS, (workspace, seq)).fetchall()
        data = b"".join(part for (part,) in parts if isinstance(part, bytes))
        if not isinstance(engine_bytes, int) or not isinstance(chain, bytes):
            yield seq
            continue
        snapshot = Snapshot(seq=seq, at_ms=at_ms, engine_state=data[:engine_bytes], stats_state=data[engine_bytes:])
        is_intact = 0 <= engine_bytes <= len(data) and _snapshot_digest(workspace, snapshot, chain) == digest
        yield StoredSnapshot(snapshot, chain) if is_intact else seq


def delete_broken_snapshots(connection: sqlite3.Connection, broken: list[tuple[int, int]]) -> None:
    """Delete damaged snapshots and parts without a header, within a transaction of the caller."""
    for workspace, seq in broken:
        _delete_snapshot(connection, workspace, seq)
    connection.execute(DELETE_ORPHANED_PARTS)


def _delete_snapshot(connection: sqlite3.Connection, workspace: int, seq: int) -> None:
    connection.execute(DELETE_SNAPSHOT, (workspace, seq))
    connection.execute(DELETE_PARTS, (workspace, seq))


def _snapshot_digest(workspace: int, snapshot: Snapshot, chain: bytes) -> bytes:
    digest = sha256(f"{workspace} {snapshot.seq} {snapshot.at_ms} {len(snapshot.engine_state)} ".encode())
    digest.update(chain)
    digest.update(snapshot.engine_state)
    digest.update(snapshot.stats_state)
    return digest.digest()
