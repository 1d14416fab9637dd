"""Verification of the hash chain over the records of one workspace.

A backend passes the stored rows in order; the verifier returns records, or raises ``JournalCorrupt`` naming workspace and seq.
"""

from router.journal.codec import Damaged, Envelope, decode_record, genesis, unseal
from router.journal.port import Record
from router.model.errors import JournalCorrupt
from router.model.ids import WorkspaceId


class ChainWalk:
    """Verify consecutive rows of one workspace: sequence numbers without a gap, and an unbroken hash chain."""

    def __init__(self, workspace: WorkspaceId, *, next_seq: int, chain: bytes | None) -> None:
        """Start before the event ``next_seq``, after the chain value ``chain``.

        Without ``chain`` the first record's own previous value is trusted, so the caller must verify the end with ``check_end``.
        """
        self._workspace = workspace
        self.next_seq = next_seq
        self.chain = chain

    @classmethod
    def from_start(cls, workspace: WorkspaceId) -> "ChainWalk":
        """Return a verifier for a workspace from its first record on."""
        return cls(workspace, next_seq=1, chain=genesis(workspace))

    def step(self, key: object, data: object) -> Envelope:
        """Check the next row, given its storage key and its bytes, and return its envelope. Raises JournalCorrupt."""
        try:
            envelope = unseal(data)
        except Damaged as error:
            raise self.corrupt(str(error)) from error
        if envelope.seq != self.next_seq or key != envelope.seq:
            raise self.corrupt("a record is missing or out of order")
        if envelope.count < 1:
            raise self.corrupt("a record without events")
        if self.chain is not None and envelope.previous != self.chain:
            raise self.corrupt("the chain is broken")
        self.next_seq = envelope.last_seq + 1
        self.chain = envelope.chain
        return envelope

    def read(self, key: object, data: object) -> Record:
        """Check the next row like ``verify`` and return the decoded record."""
        seq = self.next_seq
        try:
            return decode_record(self.step(key, data))
        except Damaged as error:
            raise corrupt_at(self._workspace, seq, str(error)) from error

    def end(self, *, last_seq: int, chain: bytes) -> None:
        """Check that the verified rows end at this sequence number and chain value. Raises JournalCorrupt."""
        if self.next_seq != last_seq + 1:
            raise self.corrupt("the newest records are missing")
        if self.chain is not None and self.chain != chain:
            raise self.corrupt("the chain is broken")

    def corrupt(self, reason: str) -> JournalCorrupt:
        """Return the error to raise for the record expected next."""
        return corrupt_at(self._workspace, self.next_seq, reason)


def corrupt_at(workspace: WorkspaceId, seq: int, reason: str) -> JournalCorrupt:
    """Return a JournalCorrupt that names the workspace and the sequence number."""
    return JournalCorrupt(f"workspace {workspace}, seq {seq}: {reason}")
