"""The commit index: one row per commit that authenticates the end of every workspace.

The body of the row is the exclusive-or of the digests of all workspace tails after the commit. A commit therefore costs one
row regardless of the number of workspaces, and at start-up one comparison shows whether any workspace ends at another record
than it did.

``CommitBuilder`` prepares a commit: the envelopes and chain values of its records, and its row of the commit index. This runs on
the event loop, immediately before the commit is passed to the journal thread. On the journal thread the encoding
would compete with the event loop for the interpreter lock at every record, so only the disk I/O runs there. Commits are
executed in the order in which they were prepared, so the workspace tails held here are ahead of the disk by the commits in
progress, and by no more.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from router.journal.highwater import HighWaterMark
from router.journal.port import Record
from router.journal.record_codec import (
    CHAIN_BYTES,
    encode_body,
    encode_envelope,
    initial_chain,
    next_chain,
)
from router.model.ids import WorkspaceId

COMMIT_INDEX_WORKSPACE: Final = 0

_DIGEST_BYTES: Final = CHAIN_BYTES

# Write-ahead log bytes of one commit besides its records: the last pages of two B-trees and the pages that rebalancing touches.
# Measured: 4 pages for one record, 29 for a hundred.
_COMMIT_WAL_BYTES: Final = 4 * 4120

_RECORD_WAL_SHARE: Final = 1.5


class WorkspaceTail(Struct, kw_only=True):
    """The end of the records of one workspace."""

    number: int
    workspace: WorkspaceId
    history_id: str
    chain: bytes
    last_seq: int = 0
    epoch: int = 0
    digest: int = 0

    @classmethod
    def empty(cls, number: int, workspace: WorkspaceId, history_id: str) -> "WorkspaceTail":
        """Return the tail of a workspace without records."""
        tail = cls(
            number=number,
            workspace=workspace,
            history_id=history_id,
            chain=initial_chain(workspace),
        )
        tail.digest = tail.compute_digest()
        return tail

    def compute_digest(self) -> int:
        """Return a digest over everything that the commit index authenticates about this workspace."""
        text = f"{self.number} {self.workspace} {self.history_id} {self.last_seq} ".encode()
        return int.from_bytes(blake2b(text + self.chain, digest_size=_DIGEST_BYTES).digest())


class CommitIndex(Struct, kw_only=True):
    """The newest row of the commit index."""

    number: int
    chain: bytes
    digests: int

    @property
    def mark(self) -> HighWaterMark:
        """Return the high-water mark that names this commit."""
        return HighWaterMark(self.number, self.chain)

    def append_row(self, *, at_ms: int, count: int) -> tuple[int, int, bytes]:
        """Advance to the next commit and return its row: workspace number, key, envelope."""
        self.number += 1
        body = self.digests.to_bytes(_DIGEST_BYTES)
        data = encode_envelope(
            seq=self.number, at_ms=at_ms, count=count, previous=self.chain, body=body
        )
        self.chain = next_chain(self.chain, body)
        return COMMIT_INDEX_WORKSPACE, self.number, data

    @classmethod
    def create(cls, root: bytes) -> tuple["CommitIndex", tuple[int, int, bytes]]:
        """Return the commit index of a new journal and its row 0; the random ``root`` makes the chain unique to the journal."""
        index = cls(number=-1, chain=root, digests=0)
        return index, index.append_row(at_ms=0, count=0)


class TailUpdate(Struct, frozen=True, gc=False):
    """The last committed position of a workspace."""

    workspace: WorkspaceId
    last_seq: int
    chain: bytes


class PreparedCommit(Struct, frozen=True):
    """Everything that one transaction writes."""

    values: list[int | bytes]
    """Flat row values: workspace, key, envelope; workspace, key, envelope; …; the row of the commit index last."""
    mark: HighWaterMark
    """High-water mark to write once the commit is durable."""
    tail_updates: list[TailUpdate]
    wal_bytes: int
    """Estimated growth of the write-ahead log in bytes."""


class CommitBuilder:
    """Build commits, tracking the tails of all workspaces and the commit index as of the newest prepared commit."""

    def __init__(self, commit_index: CommitIndex, tails: dict[WorkspaceId, WorkspaceTail]) -> None:
        self._commit_index = commit_index
        self._tails = tails

    def build_commit(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> PreparedCommit:
        """Return one commit of all these records, whose sequence numbers must continue without a gap."""
        values: list[int | bytes] = []
        moved: dict[int, WorkspaceTail] = {}
        size = 0
        for workspace, record in batch:
            tail = self._tails[workspace]
            first_seq, count, previous = record.first_seq, len(record.events), tail.chain
            assert first_seq == tail.last_seq + 1 and count, "the sequence numbers have a gap"
            body = encode_body(record)
            size += len(body)
            envelope = encode_envelope(
                seq=first_seq, at_ms=record.at_ms, count=count, previous=previous, body=body
            )
            values += (tail.number, first_seq, envelope)
            tail.last_seq = first_seq + count - 1
            tail.chain = next_chain(previous, body)
            moved[tail.number] = tail
        for tail in moved.values():
            # Exchange the old digest for the new one: workspaces without new records need no work.
            self._commit_index.digests ^= tail.digest
            tail.digest = tail.compute_digest()
            self._commit_index.digests ^= tail.digest
        values += self._commit_index.append_row(at_ms=batch[-1][1].at_ms, count=len(batch))
        return PreparedCommit(
            values,
            self._commit_index.mark,
            [TailUpdate(tail.workspace, tail.last_seq, tail.chain) for tail in moved.values()],
            _COMMIT_WAL_BYTES + int(size * _RECORD_WAL_SHARE),
        )

    def add_workspace(
        self, workspace: WorkspaceId, history_id: str
    ) -> tuple[WorkspaceTail, PreparedCommit]:
        """Add a workspace and return its tail and the commit that records it."""
        assert workspace not in self._tails
        number = max((tail.number for tail in self._tails.values()), default=0) + 1
        tail = self._tails[workspace] = WorkspaceTail.empty(number, workspace, history_id)
        self._commit_index.digests ^= tail.digest
        values: list[int | bytes] = [*self._commit_index.append_row(at_ms=0, count=0)]
        return tail, PreparedCommit(values, self._commit_index.mark, [], _COMMIT_WAL_BYTES)
