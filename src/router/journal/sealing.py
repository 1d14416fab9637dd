"""Preparation of a commit: the envelopes and chain values of its records, and its row of the commit index.

This runs on the event loop, immediately before the commit is passed to the journal thread. On the journal thread the encoding
would compete with the event loop for the interpreter lock at every record, so only the disk I/O runs there. Commits are
executed in the order in which they were prepared, so the workspace tails held here are ahead of the disk by the commits in
progress, and by no more.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from router.journal.codec import chain_of, encode_body, seal
from router.journal.highwater import Mark
from router.journal.ledger import Lane, Ledger
from router.journal.port import Record
from router.model.ids import WorkspaceId

# Write-ahead log bytes of one commit besides its records: the last pages of two B-trees and the pages that rebalancing touches.
# Measured: 4 pages for one record, 29 for a hundred.
_COMMIT_WAL_BYTES: Final = 4 * 4120
_RECORD_WAL_SHARE: Final = 1.5


class End(Struct, frozen=True, gc=False):
    """The end of one workspace after a commit."""

    workspace: WorkspaceId
    last_seq: int
    chain: bytes


class Commit(Struct, frozen=True):
    """Everything that one transaction writes."""

    values: list[int | bytes]
    """Flat row values: workspace, key, envelope; workspace, key, envelope; …; the row of the commit index last."""
    mark: Mark
    """High-water mark to write once the commit is durable."""
    ends: list[End]
    wal_bytes: int
    """Estimated growth of the write-ahead log in bytes."""


class Sealer:
    """Build commits, tracking the tails of all workspaces and the commit index as of the newest prepared commit."""

    def __init__(self, ledger: Ledger, lanes: dict[WorkspaceId, Lane]) -> None:
        self._ledger = ledger
        self._lanes = lanes

    def seal_batch(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> Commit:
        """Return one commit of all these records, whose sequence numbers must continue without a gap."""
        values: list[int | bytes] = []
        moved: dict[int, Lane] = {}
        size = 0
        for workspace, record in batch:
            lane = self._lanes[workspace]
            first_seq, count, previous = record.first_seq, len(record.events), lane.chain
            assert first_seq == lane.last_seq + 1 and count, "the sequence numbers have a gap"
            body = encode_body(record)
            size += len(body)
            envelope = seal(
                seq=first_seq, at_ms=record.at_ms, count=count, previous=previous, body=body
            )
            values += (lane.number, first_seq, envelope)
            lane.last_seq = first_seq + count - 1
            lane.chain = chain_of(previous, body)
            moved[lane.number] = lane
        for lane in moved.values():
            # Exchange the old digest for the new one: workspaces without new records need no work.
            self._ledger.tokens ^= lane.token
            lane.token = lane.fresh_token()
            self._ledger.tokens ^= lane.token
        values += self._ledger.advance(at_ms=batch[-1][1].at_ms, count=len(batch))
        return Commit(
            values,
            self._ledger.mark,
            [End(lane.workspace, lane.last_seq, lane.chain) for lane in moved.values()],
            _COMMIT_WAL_BYTES + int(size * _RECORD_WAL_SHARE),
        )

    def begin_lane(self, workspace: WorkspaceId, gen: str) -> tuple[Lane, Commit]:
        """Add a workspace and return its tail and the commit that records it."""
        assert workspace not in self._lanes
        number = max((lane.number for lane in self._lanes.values()), default=0) + 1
        lane = self._lanes[workspace] = Lane.empty(number, workspace, gen)
        self._ledger.tokens ^= lane.token
        values: list[int | bytes] = [*self._ledger.advance(at_ms=0, count=0)]
        return lane, Commit(values, self._ledger.mark, [], _COMMIT_WAL_BYTES)
