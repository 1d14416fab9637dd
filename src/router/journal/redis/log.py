"""The log of one workspace as its leader knows it: where it ends, and the newest records, also those that are on their way.

The newest records are kept after they were confirmed, because a server that fails over to a replica can lose the last of them. The
leader then finds that the log ends earlier, at a position and with a chain value that it knows, and writes the rest again: the same
bytes under the same ids, so nothing is lost and no other history arises.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from router.journal.records import Position, Record, encode_body, encode_envelope, next_chain
from router.journal.redis.layout import EpochIndex, Meta, WorkspaceKeys
from router.journal.redis.scripts import APPEND, TOUCH, evalsha
from router.model.errors import JournalCorrupt, JournalLocked
from router.model.states import WorkspaceId

KEPT_RECORDS_MAX: Final = 10_000
# Of all workspaces together; each has an equal share within these bounds.
KEPT_BYTES_TOTAL: Final = 128 << 20
_KEPT_BYTES_MIN: Final = 64 << 10
_KEPT_BYTES_MAX: Final = 16 << 20

# A script blocks the server: 256 records of the usual size take about a millisecond.
_SCRIPT_RECORDS_MAX: Final = 256
_SCRIPT_BYTES_MAX: Final = 1 << 20

Command = tuple[str | bytes | int, ...]

__all__ = ["WorkspaceLog", "KeptRecord", "Chunk", "APPEND", "TOUCH", "KEPT_RECORDS_MAX", "KEPT_BYTES_TOTAL"]


class KeptRecord(Struct, frozen=True, gc=False):
    """A record in the form in which it is stored."""

    last_seq: int
    chain: bytes
    """Chain value after it."""
    envelope: bytes
    inbound: str
    """Position of the inbound stream up to which the commands have had their effect with this record."""


class Chunk(Struct, frozen=True):
    """The records of one script, and where the log ends after it."""

    command: Command
    seq: int
    chain: bytes
    inbound: str


def stream_position(entry_id: str) -> tuple[int, int]:
    """Return the id of an entry of a stream in a form that can be compared."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number)


class WorkspaceLog:
    """The log of one workspace.

    The event loop adds records (``prepare``); everything else is used by the thread that writes.
    """

    def __init__(
        self, workspace: WorkspaceId, keys: WorkspaceKeys, meta: Meta, *, epoch: int, owner: str, epochs: EpochIndex
    ) -> None:
        self.workspace: Final = workspace
        self.keys: Final = keys
        self.epoch: Final = epoch
        self.owner: Final = owner
        self.history_id = meta.history_id
        self.epochs: Final = epochs
        self.first_seq = meta.first_seq
        self.base_chain = meta.base_chain
        self.prepared_seq = meta.seq
        """Last event of the newest record, written or not."""
        self._prepared_chain = meta.chain
        self.stored_seq = meta.seq
        """Last event that the server is known to have."""
        self._stored_chain = meta.chain
        self.confirmed = Position(epoch, meta.seq)
        """The newest position that was confirmed with the durability asked for."""
        self.confirmed_chain = meta.chain
        self.inbound = meta.inbound
        self._next_inbound = meta.inbound
        self._kept: deque[KeptRecord] = deque()
        self._kept_bytes = 0
        self._kept_bytes_max = _KEPT_BYTES_MAX
        self._begin = (meta.seq, meta.chain)
        """Position and chain value before the oldest kept record."""

    # --- on the event loop ---------------------------------------------------------------

    def prepare(self, record: Record) -> None:
        """Add a record, whose sequence numbers must continue without a gap."""
        count, previous = len(record.events), self._prepared_chain
        assert record.first_seq == self.prepared_seq + 1 and count, "the sequence numbers have a gap"
        body = encode_body(record)
        envelope = encode_envelope(seq=record.first_seq, at_ms=record.at_ms, count=count, previous=previous, body=body)
        self.prepared_seq = record.first_seq + count - 1
        self._prepared_chain = next_chain(previous, body)
        self._kept.append(KeptRecord(self.prepared_seq, self._prepared_chain, envelope, self._next_inbound))
        self._kept_bytes += len(envelope)

    def adopt(self, last_seq: int, chain: bytes, envelope: bytes) -> None:
        """Add a record of another journal as it is stored there; ``chain`` is the chain value after it."""
        self.prepared_seq, self._prepared_chain = last_seq, chain
        self._kept.append(KeptRecord(last_seq, chain, envelope, self._next_inbound))
        self._kept_bytes += len(envelope)

    def consume(self, inbound: str) -> None:
        """Note that the commands up to this position of the inbound stream have their effect in the next record, or have none.

        The position is stored with that record, in one step.
        """
        self._next_inbound = inbound

    # --- on the thread -------------------------------------------------------------------

    @property
    def is_behind(self) -> bool:
        """Whether the server lacks records, or their durability has not been confirmed."""
        return self.confirmed.seq != self.prepared_seq or self.stored_seq != self.prepared_seq or self.inbound != self._next_inbound

    def next_chunks(self) -> list[Chunk]:
        """Return the scripts that write what the server lacks; at least one, which writes nothing new where it lacks nothing."""
        chunks: list[Chunk] = []
        seq, chain, inbound = self.stored_seq, self._stored_chain, self.inbound
        for records in self._slices():
            is_last = records[-1].last_seq == self.prepared_seq
            # Records that come after a server lost its end carry positions that it may have reached already.
            after = self._next_inbound if is_last else max(inbound, records[-1].inbound, key=stream_position)
            arguments: list[str | bytes | int] = [self.epoch, self.owner, seq, chain]
            arguments += [records[-1].last_seq, records[-1].chain, inbound, after]
            for record in records:
                arguments += (record.last_seq, record.envelope)
            seq, chain, inbound = records[-1].last_seq, records[-1].chain, after
            chunks.append(Chunk(evalsha(APPEND, [self.keys.meta, self.keys.log], *arguments), seq, chain, inbound))
        if not chunks and inbound != self._next_inbound:
            same: list[str | bytes | int] = [self.epoch, self.owner, seq, chain, seq, chain, inbound, self._next_inbound]
            chunks.append(Chunk(evalsha(APPEND, [self.keys.meta, self.keys.log], *same), seq, chain, self._next_inbound))
        if not chunks:
            chunks.append(Chunk(evalsha(TOUCH, [self.keys.meta], self.epoch, self.owner, seq, chain), seq, chain, inbound))
        return chunks

    def share_memory(self, workspaces: int) -> None:
        """Keep no more than the share of one of so many workspaces."""
        self._kept_bytes_max = min(_KEPT_BYTES_MAX, max(_KEPT_BYTES_MIN, KEPT_BYTES_TOTAL // workspaces))

    def note_stored(self, chunk: Chunk) -> None:
        """Note that the server has executed a script."""
        self.stored_seq, self._stored_chain, self.inbound = chunk.seq, chunk.chain, chunk.inbound

    def confirm(self) -> None:
        """Note that everything stored is as durable as asked for, and drop the oldest kept records beyond the limits."""
        if self.confirmed.seq != self.stored_seq:
            self.confirmed = Position(self.epoch, self.stored_seq)
            self.confirmed_chain = self._stored_chain
        kept = self._kept
        while (
            kept
            and (len(kept) > KEPT_RECORDS_MAX or self._kept_bytes > self._kept_bytes_max)
            and kept[0].last_seq <= self.stored_seq
        ):
            oldest = kept.popleft()
            self._kept_bytes -= len(oldest.envelope)
            self._begin = (oldest.last_seq, oldest.chain)

    def read_back(self, meta: Meta | None) -> int:
        """Take over where the server's log ends and return how many confirmed events it lost, which are then written again.

        Raises JournalLocked where another node has taken over, and JournalCorrupt where the server has another history.
        """
        if meta is None:
            raise self.lost("the store has no log of this workspace any more")
        if (meta.epoch, meta.owner) != (self.epoch, self.owner):
            raise self.fenced(meta.epoch, meta.owner)
        ends = ((record.last_seq, record.chain) for record in self._kept)
        if (meta.seq, meta.chain) != self._begin and (meta.seq, meta.chain) not in ends:
            if meta.seq < self._begin[0]:
                raise self.lost(
                    f"the store lost the events after {meta.seq}; this process has only those after {self._begin[0]} to write again"
                )
            raise self.lost(f"the store has another history at event {meta.seq}")
        self.stored_seq, self._stored_chain, self.inbound = meta.seq, meta.chain, meta.inbound
        return max(0, self.confirmed.seq - meta.seq)

    def fenced(self, epoch: object, owner: object) -> JournalLocked:
        """Return the error for another owner."""
        node = str(owner).partition(".")[0]
        return JournalLocked(f"workspace {self.workspace}: node {node} has taken over with epoch {epoch}; this process has to stop")

    def lost(self, reason: str) -> JournalCorrupt:
        """Return the error for a history that the server does not have any more."""
        return JournalCorrupt(f"workspace {self.workspace}: {reason} (docs/how-to/redis.md)")

    def _slices(self) -> Iterator[list[KeptRecord]]:
        found: list[KeptRecord] = []
        size = 0
        for record in self._missing():
            if found and (len(found) == _SCRIPT_RECORDS_MAX or size + len(record.envelope) > _SCRIPT_BYTES_MAX):
                yield found
                found, size = [], 0
            found.append(record)
            size += len(record.envelope)
        if found:
            yield found

    def _missing(self) -> list[KeptRecord]:
        """Return the kept records that the server lacks; usually the few newest ones, so it looks from the end."""
        missing: list[KeptRecord] = []
        for record in reversed(self._kept):
            if record.last_seq <= self.stored_seq:
                break
            missing.append(record)
        missing.reverse()
        return missing
