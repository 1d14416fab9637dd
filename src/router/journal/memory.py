"""The in-memory journal backend: the same records, envelopes and chains as on disk, without durability.

For tests and evaluation. The data lives in a ``MemoryStorage`` that plays the part of the file: pass the same one to the next
``MemoryJournal`` to simulate a restart. Nothing survives the end of the process.
"""

import asyncio
import bisect
import secrets
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from router.journal.port import JournalOutdated, JournalStatus, Snapshot, WorkspaceHistory
from router.journal.records import (
    FORMAT,
    ChainVerifier,
    DamagedRecord,
    Position,
    Record,
    corrupt_record,
    decode_envelope,
    decode_record,
    encode_body,
    encode_envelope,
    initial_chain,
    next_chain,
)
from router.model.errors import JournalCorrupt, JournalLocked, JournalTooNew, JournalUnavailable
from router.model.states import WorkspaceId

_SNAPSHOTS_KEPT = 2

# Records that are written or read before other tasks run.
_RECORDS_PER_TURN: Final = 32


class MemoryWorkspace(Struct, kw_only=True):
    """The stored rows and snapshots of one workspace."""

    history_id: str
    rows: list[tuple[int, bytes]] = []
    snapshots: list[tuple[Snapshot, bytes]] = []
    """Snapshots, oldest first, each with its checksum."""
    last_seq: int = 0
    chain: bytes = b""


class MemoryStorage(Struct, kw_only=True):
    """The stored data, which outlives the journal object."""

    format: int = FORMAT
    workspaces: dict[WorkspaceId, MemoryWorkspace] = {}
    owner: object | None = None
    """The journal that has opened it, which holds the lock."""


class MemoryJournal:
    """A ``Journal`` in the memory of the process."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self._storage = storage if storage is not None else MemoryStorage()
        self._closed = asyncio.Event()

    @property
    def storage(self) -> MemoryStorage:
        """Return the storage, which a later journal can open."""
        return self._storage

    async def open(self) -> Sequence[WorkspaceHistory]:
        """Take the lock, verify every record, and return all histories."""
        if self._storage.format > FORMAT:
            raise JournalTooNew(f"format {self._storage.format}; this version reads format {FORMAT}")
        if self._storage.format < FORMAT:
            raise JournalOutdated(f"format {self._storage.format}; this version reads format {FORMAT}")
        if self._storage.owner is not None:
            raise JournalLocked("another journal object has opened this storage")
        histories = [_verify_workspace(name, stored) for name, stored in self._storage.workspaces.items()]
        self._storage.owner = self
        return histories

    async def create_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Start the history of a new workspace under a new random history id."""
        self._check_open()
        assert workspace not in self._storage.workspaces
        stored = MemoryWorkspace(history_id=secrets.token_hex(16), chain=initial_chain(workspace))
        self._storage.workspaces[workspace] = stored
        return WorkspaceHistory(workspace=workspace, history_id=stored.history_id, last_position=Position(0, 0), snapshot=None)

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Iterate over the records after ``after_seq`` in order; for use before the writer runs."""
        self._check_open()
        yield from _iterate_records(workspace, self._storage.workspaces[workspace], after_seq, None)

    async def read(self, workspace: WorkspaceId, *, after_seq: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records whose last event is after ``after_seq``, while the writer runs."""
        self._check_open()
        found: list[Record] = []
        for record in _iterate_records(workspace, self._storage.workspaces[workspace], after_seq, max(limit, 0)):
            found.append(record)
            if len(found) % _RECORDS_PER_TURN == 0:
                await asyncio.sleep(0)
        return found

    def status(self) -> JournalStatus:
        """Return that nothing is durable."""
        return JournalStatus(durability="none")

    def first_seq(self, workspace: WorkspaceId) -> int:
        """Return 1: nothing is archived."""
        return 1

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Append the whole batch."""
        self._check_open()
        for place, (workspace, record) in enumerate(batch, start=1):
            stored = self._storage.workspaces[workspace]
            assert record.first_seq == stored.last_seq + 1 and record.events, "the sequence numbers have a gap"
            body = encode_body(record)
            data = encode_envelope(
                seq=record.first_seq, at_ms=record.at_ms, count=len(record.events), previous=stored.chain, body=body
            )
            stored.rows.append((record.first_seq, data))
            stored.last_seq = record.last_seq
            stored.chain = next_chain(stored.chain, body)
            if place % _RECORDS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Store a snapshot; the previous one is retained as a fallback."""
        self._check_open()
        kept = self._storage.workspaces[workspace].snapshots
        if all(snapshot.seq != old.seq for old, _ in kept):
            checksum = await asyncio.to_thread(_snapshot_checksum, snapshot)
            kept.append((snapshot, checksum))
            del kept[:-_SNAPSHOTS_KEPT]

    async def run_maintenance(self) -> None:
        """Wait until the journal is closed: memory needs no maintenance."""
        await self._closed.wait()

    async def close(self) -> None:
        """Release the lock. Idempotent."""
        self._closed.set()
        if self._storage.owner is self:
            self._storage.owner = None

    def _check_open(self) -> None:
        if self._storage.owner is not self:
            raise JournalUnavailable("the journal is not open")


def _verify_workspace(workspace: WorkspaceId, stored: MemoryWorkspace) -> WorkspaceHistory:
    whole = [snapshot for snapshot, digest in stored.snapshots if _snapshot_checksum(snapshot) == digest]
    snapshot = whole[-1] if whole else None
    verifier = ChainVerifier.from_start(workspace)
    for key, data in stored.rows:
        verifier.verify(key, data)
    verifier.check_end(last_seq=stored.last_seq, chain=stored.chain)
    return WorkspaceHistory(
        workspace=workspace, history_id=stored.history_id, last_position=_last_position(workspace, stored), snapshot=snapshot
    )


def _last_position(workspace: WorkspaceId, stored: MemoryWorkspace) -> Position:
    if not stored.rows:
        return Position(0, 0)
    try:
        return Position(decode_record(decode_envelope(stored.rows[-1][1])).epoch, stored.last_seq)
    except DamagedRecord as error:
        raise corrupt_record(workspace, stored.rows[-1][0], str(error)) from error


def _iterate_records(workspace: WorkspaceId, stored: MemoryWorkspace, after_seq: int, limit: int | None) -> Iterator[Record]:
    if after_seq >= stored.last_seq or limit == 0:
        return
    # The record that contains an event is the last one that starts at or before it.
    first = max(bisect.bisect_right(stored.rows, after_seq + 1, key=lambda row: row[0]) - 1, 0)
    if not stored.rows:
        raise JournalCorrupt(f"workspace {workspace}: the records are missing")
    verifier = ChainVerifier.from_start(workspace)
    if first > 0:
        verifier = ChainVerifier(workspace, next_seq=stored.rows[first][0], chain=None)
    last = None if limit is None else first + limit
    # Records may be appended between two of these.
    is_to_end, last_seq, chain = last is None or last >= len(stored.rows), stored.last_seq, stored.chain
    for key, data in stored.rows[first:last]:
        yield verifier.verify_and_decode(key, data)
    if is_to_end:
        verifier.check_end(last_seq=last_seq, chain=chain)


def _snapshot_checksum(snapshot: Snapshot) -> bytes:
    return next_chain(b"", msgspec.msgpack.encode(snapshot))
