"""A walk along a workspace's records that holds each one to the one before.

Keepers feed it what they find, in order; it gives back records or raises ``JournalCorrupt`` with workspace and seq.
"""

from router.journal.codec import Damaged, Envelope, decode_record, genesis, unseal
from router.journal.port import Record
from router.model.errors import JournalCorrupt
from router.model.ids import WorkspaceId


class ChainWalk:
    """The state of one walk: the number that must come next, and the chain so far."""

    def __init__(self, workspace: WorkspaceId, *, next_seq: int, chain: bytes | None) -> None:
        """Without ``chain`` the first record's own word is taken for what came before it: the walk's end must be checked."""
        self._workspace = workspace
        self.next_seq = next_seq
        self.chain = chain

    @classmethod
    def from_start(cls, workspace: WorkspaceId) -> "ChainWalk":
        """A walk from a workspace's first record on."""
        return cls(workspace, next_seq=1, chain=genesis(workspace))

    def step(self, key: object, data: object) -> Envelope:
        """The next row: its key in the keeper and its bytes."""
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
        """Like ``step``, with the record decoded."""
        seq = self.next_seq
        try:
            return decode_record(self.step(key, data))
        except Damaged as error:
            raise corrupt_at(self._workspace, seq, str(error)) from error

    def end(self, *, last_seq: int, chain: bytes) -> None:
        """The walk must have come out here."""
        if self.next_seq != last_seq + 1:
            raise self.corrupt("the newest records are missing")
        if self.chain is not None and self.chain != chain:
            raise self.corrupt("the chain is broken")

    def corrupt(self, reason: str) -> JournalCorrupt:
        """The fault to raise for the record that should be here."""
        return corrupt_at(self._workspace, self.next_seq, reason)


def corrupt_at(workspace: WorkspaceId, seq: int, reason: str) -> JournalCorrupt:
    """A JournalCorrupt that names the place."""
    return JournalCorrupt(f"workspace {workspace}, seq {seq}: {reason}")
