"""What becomes of a batch before the disk sees it: envelopes, chains, and the ledger's row.

This runs on the event loop's thread, when the commit is handed over. On the journal's thread it would fight the loop for
the interpreter, for every record anew; there only the disk's own work is left. Commits are carried out in the order in which
they were sealed, so the ends of the workspaces here are ahead of the disk by what is under way, and by no more.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from router.journal.codec import chain_of, encode_body, seal
from router.journal.highwater import Mark
from router.journal.ledger import Lane, Ledger
from router.journal.port import Record
from router.model.ids import WorkspaceId

# Of one commit, beside its records: the ends of two B-trees and what their balance touches. Measured: 4 pages for one record,
# 29 for a hundred.
_COMMIT_WAL_BYTES: Final = 4 * 4120
_RECORD_WAL_SHARE: Final = 1.5


class End(Struct, frozen=True, gc=False):
    """Where a workspace ends after a commit."""

    workspace: WorkspaceId
    last_seq: int
    chain: bytes


class Commit(Struct, frozen=True):
    """All that one transaction writes."""

    values: list[int | bytes]
    """Workspace, key, envelope; workspace, key, envelope; …; the ledger's row last."""
    mark: Mark
    """What the high-water file says once it is durable."""
    ends: list[End]
    wal_bytes: int
    """About what it adds to the write-ahead log."""


class Sealer:
    """The ends of all workspaces and of the ledger, as sealed."""

    def __init__(self, ledger: Ledger, lanes: dict[WorkspaceId, Lane]) -> None:
        self._ledger = ledger
        self._lanes = lanes

    def seal_batch(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> Commit:
        """One commit of all these records; the numbers must go on where they ended."""
        values: list[int | bytes] = []
        moved: dict[int, Lane] = {}
        size = 0
        for workspace, record in batch:
            lane = self._lanes[workspace]
            first_seq, count, previous = record.first_seq, len(record.events), lane.chain
            assert first_seq == lane.last_seq + 1 and count, "a gap in the numbers"
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
            # The old token out, the new one in: the ledger's sum costs nothing for workspaces that did not move.
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
        """A new workspace, and the commit that says so."""
        assert workspace not in self._lanes
        number = max((lane.number for lane in self._lanes.values()), default=0) + 1
        lane = self._lanes[workspace] = Lane.empty(number, workspace, gen)
        self._ledger.tokens ^= lane.token
        values: list[int | bytes] = [*self._ledger.advance(at_ms=0, count=0)]
        return lane, Commit(values, self._ledger.mark, [], _COMMIT_WAL_BYTES)
