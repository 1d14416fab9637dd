"""Snapshots in the store: parts first, then the header with the SHA-256 over all, then one script that makes the snapshot valid.

The two newest are retained. A snapshot whose header or parts are missing or damaged is ignored; the older one and a longer replay
are used instead.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from router.journal.port import Snapshot
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import StoreRefusal
from router.journal.redis.layout import WorkspaceKeys
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.scripts import BEGIN_SNAPSHOT, COMMIT_SNAPSHOT, evalsha
from router.model.errors import JournalUnavailable

PART_BYTES: Final = 1 << 20


class SnapshotHeader(Struct, frozen=True, kw_only=True):
    """What is needed to read and verify a snapshot."""

    seq: int
    at_ms: int
    history_id: str
    chain: bytes
    """Chain value after the event ``seq``."""
    engine_bytes: int
    parts: int
    digest: bytes


class IntactSnapshot(Struct, frozen=True):
    """An intact snapshot, with the chain value of the record it was taken after."""

    snapshot: Snapshot
    chain: bytes


def split_snapshot(snapshot: Snapshot) -> list[bytes]:
    """Return the bytes of a snapshot in parts of at most ``PART_BYTES``; at least one."""
    pieces = [
        data[offset : offset + PART_BYTES]
        for data in (snapshot.engine_state, snapshot.stats_state)
        for offset in range(0, len(data), PART_BYTES)
    ]
    return pieces or [b""]


def begin_snapshot(client: StoreClient, log: WorkspaceLog, seq: int, parts: int) -> bool:
    """Note a new snapshot and delete what an interrupted one has left. Return False where there is this one already.

    Raises StoreError or JournalError.
    """
    keys = log.keys
    reply = client.call(keys.meta, *evalsha(BEGIN_SNAPSHOT, [keys.meta], log.epoch, log.owner, seq, parts))
    match reply[0]:
        case b"OK":
            left = reply[1].split()
            if left and left[0] not in {reply[2], reply[3], b"%d" % seq}:
                _delete_parts(client, keys, int(left[0]), int(left[1]))
            return True
        case b"DUP":
            return False
        case b"FENCED":
            raise log.fenced(reply[1].decode(), reply[2].decode())
        case _:
            raise log.lost("the store has no log of this workspace any more")


def write_part(client: StoreClient, keys: WorkspaceKeys, seq: int, part: int, data: bytes) -> None:
    """Write one part. Raises StoreError."""
    client.call(keys.meta, "SET", keys.snapshot_part(seq, part), data)


def commit_snapshot(client: StoreClient, log: WorkspaceLog, snapshot: Snapshot, chain: bytes, parts: int) -> None:
    """Write the header, make the snapshot valid and delete the one before the previous one. Raises StoreError or JournalError."""
    keys = log.keys
    header = SnapshotHeader(
        seq=snapshot.seq,
        at_ms=snapshot.at_ms,
        history_id=log.history_id,
        chain=chain,
        engine_bytes=len(snapshot.engine_state),
        parts=parts,
        digest=_digest(snapshot, chain, log.history_id),
    )
    client.call(keys.meta, "SET", keys.snapshot_header(snapshot.seq), msgspec.msgpack.encode(header))
    before = int(client.call(keys.meta, "HGET", keys.meta, "snap_prev") or 0)
    names = [keys.snapshot_header(snapshot.seq), *(keys.snapshot_part(snapshot.seq, part) for part in range(parts))]
    reply = client.call(
        keys.meta, *evalsha(COMMIT_SNAPSHOT, [keys.meta, *names], log.epoch, log.owner, log.history_id, snapshot.seq)
    )
    match reply[0]:
        case b"OK":
            if before and before != snapshot.seq:
                delete_snapshot(client, keys, before)
        case b"DUP":
            return
        case b"FENCED":
            raise log.fenced(reply[1].decode(), reply[2].decode())
        case b"LOST":
            raise log.lost("the store has no log of this workspace any more")
        case _:
            raise JournalUnavailable(f"workspace {log.workspace}: the store refused a snapshot ({reply[0].decode()})")


def delete_snapshot(client: StoreClient, keys: WorkspaceKeys, seq: int) -> None:
    """Delete a snapshot, header first. Raises StoreError."""
    header = _read_header(client, keys, seq)
    client.call(keys.meta, "DEL", keys.snapshot_header(seq))
    _delete_parts(client, keys, seq, header.parts if header else 0)


def _delete_parts(client: StoreClient, keys: WorkspaceKeys, seq: int, parts: int) -> None:
    for part in range(parts):
        client.call(keys.meta, "DEL", keys.snapshot_part(seq, part))


def load_snapshots(client: StoreClient, keys: WorkspaceKeys, history_ids: set[str], seqs: list[int]) -> Iterator[IntactSnapshot]:
    """Iterate over the intact snapshots among these, in that order. Raises StoreError."""
    for seq in seqs:
        header = _read_header(client, keys, seq) if seq else None
        if header is None or header.history_id not in history_ids:
            continue
        data = bytearray()
        for part in range(header.parts):
            data += client.call(keys.meta, "GET", keys.snapshot_part(seq, part)) or b""
        snapshot = Snapshot(
            seq=header.seq,
            at_ms=header.at_ms,
            engine_state=bytes(data[: header.engine_bytes]),
            stats_state=bytes(data[header.engine_bytes :]),
        )
        if header.seq == seq and _digest(snapshot, header.chain, header.history_id) == header.digest:
            yield IntactSnapshot(snapshot, header.chain)


def _read_header(client: StoreClient, keys: WorkspaceKeys, seq: int) -> SnapshotHeader | None:
    [reply] = client.run([Request(keys.meta, ("GET", keys.snapshot_header(seq)))])
    if isinstance(reply, StoreRefusal):
        raise reply
    try:
        return msgspec.msgpack.decode(reply, type=SnapshotHeader) if reply else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _digest(snapshot: Snapshot, chain: bytes, history_id: str) -> bytes:
    digest = sha256(f"{history_id} {snapshot.seq} {snapshot.at_ms} {len(snapshot.engine_state)} ".encode())
    digest.update(chain)
    digest.update(snapshot.engine_state)
    digest.update(snapshot.stats_state)
    return digest.digest()
