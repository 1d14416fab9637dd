"""A store that several nodes use at once: reading the log of a workspace that another node leads, taking it over, handing it over.

A follower verifies every record that it reads, as a start does, and shows it only when it is as durable as the leader's
acknowledgements are. A take-over first changes the epoch, so nothing can be appended any more by the former leader; the log
then ends where its head says, and the follower leads when it has read that far.
"""

from router.journal.records import ChainVerifier, Position, Record
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.layout import META_FIELDS, Meta
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.reading import LogView, StoredRow, verify_row
from router.journal.redis.scripts import ACQUIRE, RESIGN, evalsha
from router.journal.redis.streams import Entry
from router.model.errors import JournalCorrupt
from router.model.states import WorkspaceId


class FollowedLog:
    """The log of a workspace that another node leads, as far as this node has read it."""

    def __init__(self, view: LogView, verifier: ChainVerifier, *, position: Position, history_id: str, chain: bytes) -> None:
        self.view = view
        self.history_id = history_id
        self.position = position
        self.chain = chain
        self._verifier = verifier

    @classmethod
    def after(cls, log: WorkspaceLog, view: LogView) -> "FollowedLog":
        """Return the log that this node has led until now."""
        seq, chain = log.confirmed.seq, log.confirmed_chain
        epoch = view.epochs.epoch_of(seq) if seq else 0
        verifier = ChainVerifier(log.workspace, next_seq=seq + 1, chain=chain)
        return cls(view, verifier, position=Position(epoch, seq), history_id=log.history_id, chain=chain)

    @property
    def workspace(self) -> WorkspaceId:
        """Return the workspace."""
        return self.view.workspace

    @property
    def entry_id(self) -> str:
        """Return the id of the last entry that was read."""
        return f"{self.position.epoch}-{self.position.seq}"

    def read(self, entries: list[Entry]) -> list[Record]:
        """Verify the next entries and return their records. Raises JournalCorrupt."""
        records = []
        for entry_id, fields in entries:
            epoch, _, seq = entry_id.partition("-")
            row = StoredRow(int(epoch), int(seq), fields[1])
            if row.last_seq <= self.position.seq:
                # From before this node led the workspace for a while.
                continue
            record = verify_row(self.view, self._verifier, row)
            if row.epoch > self.position.epoch:
                self.view.epochs.add(row.epoch, record.first_seq)
            self.position = Position(row.epoch, row.last_seq)
            records.append(record)
        assert self._verifier.chain is not None
        self.chain = self._verifier.chain
        return records


class Held:
    """The answer where another node holds the lease of a workspace."""

    def __init__(self, owner: str, left_s: float) -> None:
        self.node_id = owner.partition(".")[0]
        self.left_s = left_s


def acquire(
    client: StoreClient, log: FollowedLog, *, owner: str, lease_s: int, known_epoch: int, ended: str
) -> WorkspaceLog | Held:
    """Take the lease and the next epoch of a workspace; from then on no other node can append to it.

    Raises StoreError, and JournalCorrupt where the store has lost its log.
    """
    keys = log.view.keys
    command = evalsha(ACQUIRE, [keys.meta, keys.lease, keys.epochs], owner, lease_s * 1_000, known_epoch, ended)
    reply = client.call(keys.meta, *command)
    match reply[0]:
        case b"OK":
            meta = Meta.from_reply(client.call(keys.meta, "HMGET", keys.meta, *META_FIELDS))
        case b"HELD":
            return Held(reply[1].decode(), max(0, reply[2]) / 1_000)
        case _:
            meta = None
    if meta is None:
        raise JournalCorrupt(f"workspace {log.workspace}: the store has lost its log (docs/how-to/redis.md)")
    epoch = int(reply[1])
    log.view.epochs.add(epoch, meta.seq + 1)
    return WorkspaceLog(log.workspace, keys, meta, epoch=epoch, owner=owner, epochs=log.view.epochs)


def resign(client: StoreClient, log: WorkspaceLog, note: Request) -> None:
    """Give the lease back; nothing that this node still sent would be accepted. Raises StoreError.

    ``note`` says how far this node has read, which nothing has said while it led. Whether the store takes it decides nothing.
    """
    client.run([note])
    client.call(log.keys.meta, *evalsha(RESIGN, [log.keys.meta, log.keys.lease], log.epoch, log.owner))


def check_caught_up(log: FollowedLog, led: WorkspaceLog) -> bool:
    """Return whether everything of a log that was taken over has been read. Raises JournalCorrupt where it is another history."""
    if led.history_id != log.history_id or led.confirmed.seq < log.position.seq:
        raise JournalCorrupt(
            f"workspace {log.workspace}: the store ends at event {led.confirmed.seq}, but this node has read event "
            f"{log.position.seq} of its history (docs/how-to/redis.md)"
        )
    if led.confirmed.seq > log.position.seq:
        return False
    if led.confirmed_chain != log.chain:
        raise JournalCorrupt(f"workspace {log.workspace}: event {log.position.seq} is not the one that this node has read")
    return True
