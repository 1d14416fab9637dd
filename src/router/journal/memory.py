"""The in-memory journal backend: the same records, envelopes and chains as on disk, without durability.

For tests and evaluation. The data lives in a ``MemoryStorage`` that plays the part of the file: pass the same one to the next
``MemoryJournal`` to simulate a restart. Nothing survives the end of the process.
"""

import asyncio
import bisect
import secrets
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from router.journal.chain import ChainWalk, corrupt_at
from router.journal.codec import (
    FORMAT,
    Damaged,
    chain_of,
    decode_record,
    encode_body,
    genesis,
    seal,
    unseal,
)
from router.journal.port import Position, Record, Snapshot, WorkspaceHistory
from router.model.errors import JournalCorrupt, JournalLocked, JournalTooNew, JournalUnavailable
from router.model.ids import WorkspaceId

_SNAPSHOTS_KEPT = 2


class MemoryLane(Struct, kw_only=True):
    """The stored rows and snapshots of one workspace."""

    gen: str
    rows: list[tuple[int, bytes]] = []
    snapshots: list[tuple[Snapshot, bytes]] = []
    """Snapshots, oldest first, each with its checksum."""
    last_seq: int = 0
    chain: bytes = b""


class MemoryMedium(Struct, kw_only=True):
    """The stored data, which outlives the journal object."""

    format: int = FORMAT
    lanes: dict[WorkspaceId, MemoryLane] = {}
    owner: object | None = None
    """The journal that has opened it, which holds the lock."""


class MemoryJournal:
    """A ``Journal`` in the memory of the process."""

    def __init__(self, medium: MemoryMedium | None = None) -> None:
        self._medium = medium if medium is not None else MemoryMedium()
        self._closed = asyncio.Event()

    @property
    def medium(self) -> MemoryMedium:
        """Return the storage, which a later journal can open."""
        return self._medium

    async def open(self) -> Sequence[WorkspaceHistory]:
        """Take the lock, verify every record, and return all histories."""
        if self._medium.format > FORMAT:
            raise JournalTooNew(
                f"format {self._medium.format}; this version reads formats 1 to {FORMAT}"
            )
        if self._medium.owner is not None:
            raise JournalLocked("another journal object has opened this storage")
        histories = [_examined(name, lane) for name, lane in self._medium.lanes.items()]
        self._medium.owner = self
        return histories

    async def create_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Start the history of a new workspace under a new random history id."""
        self._refuse_if_unusable()
        assert workspace not in self._medium.lanes
        lane = MemoryLane(gen=secrets.token_hex(16), chain=genesis(workspace))
        self._medium.lanes[workspace] = lane
        return WorkspaceHistory(
            workspace=workspace, gen=lane.gen, last=Position(0, 0), snapshot=None
        )

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Iterate over the records after ``after_seq`` in order; for use before the writer runs."""
        self._refuse_if_unusable()
        yield from _records(workspace, self._medium.lanes[workspace], after_seq, None)

    async def read(self, workspace: WorkspaceId, *, after_seq: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records whose last event is after ``after_seq``, while the writer runs."""
        self._refuse_if_unusable()
        return list(_records(workspace, self._medium.lanes[workspace], after_seq, max(limit, 0)))

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Append the whole batch."""
        self._refuse_if_unusable()
        for workspace, record in batch:
            lane = self._medium.lanes[workspace]
            assert record.first_seq == lane.last_seq + 1 and record.events, (
                "the sequence numbers have a gap"
            )
            body = encode_body(record)
            data = seal(
                seq=record.first_seq,
                at_ms=record.at_ms,
                count=len(record.events),
                previous=lane.chain,
                body=body,
            )
            lane.rows.append((record.first_seq, data))
            lane.last_seq = record.last_seq
            lane.chain = chain_of(lane.chain, body)

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Store a snapshot; the previous one is retained as a fallback."""
        self._refuse_if_unusable()
        kept = self._medium.lanes[workspace].snapshots
        if all(snapshot.seq != old.seq for old, _ in kept):
            kept.append((snapshot, _sum(snapshot)))
            del kept[:-_SNAPSHOTS_KEPT]

    async def tend(self) -> None:
        """Wait until the journal is closed: memory needs no maintenance."""
        await self._closed.wait()

    async def close(self) -> None:
        """Release the lock. Idempotent."""
        self._closed.set()
        if self._medium.owner is self:
            self._medium.owner = None

    def _refuse_if_unusable(self) -> None:
        if self._medium.owner is not self:
            raise JournalUnavailable("the journal is not open")


def _examined(workspace: WorkspaceId, lane: MemoryLane) -> WorkspaceHistory:
    whole = [snapshot for snapshot, digest in lane.snapshots if _sum(snapshot) == digest]
    snapshot = whole[-1] if whole else None
    walk = ChainWalk.from_start(workspace)
    for key, data in lane.rows:
        walk.step(key, data)
    walk.end(last_seq=lane.last_seq, chain=lane.chain)
    return WorkspaceHistory(
        workspace=workspace, gen=lane.gen, last=_last(workspace, lane), snapshot=snapshot
    )


def _last(workspace: WorkspaceId, lane: MemoryLane) -> Position:
    if not lane.rows:
        return Position(0, 0)
    try:
        return Position(decode_record(unseal(lane.rows[-1][1])).epoch, lane.last_seq)
    except Damaged as error:
        raise corrupt_at(workspace, lane.rows[-1][0], str(error)) from error


def _records(
    workspace: WorkspaceId, lane: MemoryLane, after_seq: int, limit: int | None
) -> Iterator[Record]:
    if after_seq >= lane.last_seq or limit == 0:
        return
    # The record that contains an event is the last one that starts at or before it.
    first = max(bisect.bisect_right(lane.rows, after_seq + 1, key=lambda row: row[0]) - 1, 0)
    if not lane.rows:
        raise JournalCorrupt(f"workspace {workspace}: the records are missing")
    walk = ChainWalk.from_start(workspace)
    if first > 0:
        walk = ChainWalk(workspace, next_seq=lane.rows[first][0], chain=None)
    last = None if limit is None else first + limit
    for key, data in lane.rows[first:last]:
        yield walk.read(key, data)
    if last is None or last >= len(lane.rows):
        walk.end(last_seq=lane.last_seq, chain=lane.chain)


def _sum(snapshot: Snapshot) -> bytes:
    return genesis(msgspec.msgpack.encode(snapshot).hex())
