"""Snapshots in the SQLite file: written in parts, counted only once whole, the two newest kept.

The parts come first, each in a commit of its own so that records are appended in between; the header with the SHA-256 over
everything comes last. What has no header, or another sum, is no snapshot: the one before it and a longer tail of records
take its place.
"""

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from msgspec import Struct

from router.journal import schema
from router.journal.port import Snapshot

# Long enough to be quick, short enough that a commit of records never waits long for it.
PART_BYTES: Final = 1 << 20
SNAPSHOTS_KEPT: Final = 2


class StoredSnapshot(Struct, frozen=True):
    """A whole snapshot, with the chain of the record it was taken after."""

    snapshot: Snapshot
    chain: bytes


def parts_of(snapshot: Snapshot) -> Iterator[bytes]:
    """The bytes in pieces."""
    for data in (snapshot.core, snapshot.meters):
        for offset in range(0, len(data), PART_BYTES):
            yield data[offset : offset + PART_BYTES]


def exists(connection: sqlite3.Connection, workspace: int, seq: int) -> bool:
    """True where a header for that seq stands: the same state is not written twice."""
    rows = connection.execute(schema.SELECT_SNAPSHOTS, (workspace,)).fetchall()
    return any(row[0] == seq for row in rows)


def put_part(
    connection: sqlite3.Connection, workspace: int, seq: int, part: int, data: bytes
) -> None:
    """Write one part; the first one clears away what an interrupted attempt has left."""
    if part == 0:
        connection.execute(schema.DELETE_PARTS, (workspace, seq))
    connection.execute(schema.INSERT_PART, (workspace, seq, part, data))


def finish(
    connection: sqlite3.Connection, workspace: int, snapshot: Snapshot, chain: bytes
) -> None:
    """Write the header, and delete all but the newest two, in one commit."""
    digest = _sum(workspace, snapshot, chain)
    header = (workspace, snapshot.seq, snapshot.at_ms, len(snapshot.core), chain, digest)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(schema.INSERT_SNAPSHOT, header)
    rows = connection.execute(schema.SELECT_SNAPSHOTS, (workspace,)).fetchall()
    for row in rows[SNAPSHOTS_KEPT:]:
        _delete(connection, workspace, row[0])
    connection.execute("COMMIT")


def load_all(connection: sqlite3.Connection, workspace: int) -> Iterator[StoredSnapshot | int]:
    """The snapshots of a workspace, newest first; for one that is not whole, its bare seq."""
    for seq, at_ms, core_bytes, chain, digest in connection.execute(
        schema.SELECT_SNAPSHOTS, (workspace,)
    ).fetchall():
        parts = connection.execute(schema.SELECT_PARTS, (workspace, seq)).fetchall()
        data = b"".join(part for (part,) in parts if isinstance(part, bytes))
        if not isinstance(core_bytes, int) or not isinstance(chain, bytes):
            yield seq
            continue
        snapshot = Snapshot(seq=seq, at_ms=at_ms, core=data[:core_bytes], meters=data[core_bytes:])
        whole = 0 <= core_bytes <= len(data) and _sum(workspace, snapshot, chain) == digest
        yield StoredSnapshot(snapshot, chain) if whole else seq


def clear_away(connection: sqlite3.Connection, broken: list[tuple[int, int]]) -> None:
    """Delete broken snapshots and parts without a header. The caller has begun a transaction."""
    for workspace, seq in broken:
        _delete(connection, workspace, seq)
    connection.execute(schema.DELETE_ORPHANED_PARTS)


def _delete(connection: sqlite3.Connection, workspace: int, seq: int) -> None:
    connection.execute(schema.DELETE_SNAPSHOT, (workspace, seq))
    connection.execute(schema.DELETE_PARTS, (workspace, seq))


def _sum(workspace: int, snapshot: Snapshot, chain: bytes) -> bytes:
    digest = sha256(f"{workspace} {snapshot.seq} {snapshot.at_ms} {len(snapshot.core)} ".encode())
    digest.update(chain)
    digest.update(snapshot.core)
    digest.update(snapshot.meters)
    return digest.digest()
