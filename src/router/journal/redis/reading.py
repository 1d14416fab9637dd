"""Reading the log of a workspace, with every record verified."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from router.journal.port import EventsArchived
from router.journal.records import ChainVerifier, DamagedRecord, Envelope, Record, corrupt_record, decode_envelope, decode_record
from router.journal.redis.client import StoreClient
from router.journal.redis.layout import EpochIndex, WorkspaceKeys, parse_entry
from router.model.errors import JournalCorrupt
from router.model.states import WorkspaceId

PAGE_RECORDS: Final = 512


class StoredRow(Struct, frozen=True, gc=False):
    """An entry of the log: epoch and last event from its id, and the bytes of its envelope."""

    epoch: int
    last_seq: int
    data: bytes

    @property
    def entry_id(self) -> str:
        """Return the id of the entry."""
        return f"{self.epoch}-{self.last_seq}"


class LogView(Struct, frozen=True):
    """What has to be known of a log to read it."""

    workspace: WorkspaceId
    keys: WorkspaceKeys
    epochs: EpochIndex
    first_seq: int
    base_chain: bytes

    def verifier(self) -> ChainVerifier:
        """Return a verifier from the first record on."""
        return ChainVerifier(self.workspace, next_seq=self.first_seq, chain=self.base_chain)


def read_rows(client: StoreClient, view: LogView, *, from_seq: int, limit: int) -> list[StoredRow]:
    """Return at most ``limit`` entries from the one with the event ``from_seq`` on, not verified yet.

    Raises StoreError, and JournalCorrupt for an entry of another form.
    """
    if limit <= 0:
        return []
    start = view.epochs.entry_id(from_seq)
    entries = client.call(view.keys.log, "XRANGE", view.keys.log, start, "+", "COUNT", limit)
    try:
        return [StoredRow(*parse_entry(entry)) for entry in entries]
    except ValueError as error:
        raise corrupt_record(view.workspace, from_seq, str(error)) from error


def read_records(client: StoreClient, view: LogView, *, after_seq: int, limit: int) -> list[Record]:
    """Return at most ``limit`` records whose last event is after ``after_seq``.

    Raises EventsArchived where events directly after it are no longer in the store, StoreError and JournalCorrupt.
    """
    if after_seq + 1 < view.first_seq:
        raise EventsArchived(view.workspace, view.first_seq)
    rows = read_rows(client, view, from_seq=after_seq + 1, limit=limit)
    if not rows:
        return []
    first = _envelope(view, rows[0], after_seq + 1)
    if first.seq > after_seq + 1:
        raise corrupt_record(view.workspace, after_seq + 1, "a record is missing")
    verifier = ChainVerifier(view.workspace, next_seq=first.seq, chain=view.base_chain if first.seq == view.first_seq else None)
    return [verify_row(view, verifier, row) for row in rows]


def verify_rows(client: StoreClient, view: LogView, verifier: ChainVerifier) -> Iterator[tuple[StoredRow, Record]]:
    """Iterate over all entries from where the verifier is, and check them. Raises JournalCorrupt and StoreError."""
    while True:
        rows = read_rows(client, view, from_seq=verifier.next_seq, limit=PAGE_RECORDS)
        for row in rows:
            yield row, verify_row(view, verifier, row)
        if len(rows) < PAGE_RECORDS:
            return


def chain_at(client: StoreClient, view: LogView, seq: int) -> bytes:
    """Return the chain value after the record that ends with an event. Raises JournalCorrupt where there is none."""
    if seq < view.first_seq:
        return view.base_chain
    rows = read_rows(client, view, from_seq=seq, limit=1)
    if not rows or rows[0].last_seq != seq:
        raise corrupt_record(view.workspace, seq, "no record ends with this event")
    return _envelope(view, rows[0], seq).chain


def newest_record(client: StoreClient, view: LogView) -> Record | None:
    """Return the newest record, None for an empty log. Raises JournalCorrupt and StoreError."""
    entries = client.call(view.keys.log, "XREVRANGE", view.keys.log, "+", "-", "COUNT", 1)
    try:
        rows = [StoredRow(*parse_entry(entry)) for entry in entries]
        return decode_record(decode_envelope(rows[0].data)) if rows else None
    except ValueError as error:
        raise JournalCorrupt(f"workspace {view.workspace}: the newest record: {error}") from error


def verify_row(view: LogView, verifier: ChainVerifier, row: StoredRow) -> Record:
    """Check the next entry of a log and return its record. Raises JournalCorrupt."""
    seq = verifier.next_seq
    envelope = _envelope(view, row, seq)
    verifier.verify(envelope.seq, row.data)
    if envelope.last_seq != row.last_seq:
        raise corrupt_record(view.workspace, seq, "the id of the entry is not that of its record")
    try:
        return decode_record(envelope)
    except DamagedRecord as error:
        raise corrupt_record(view.workspace, seq, str(error)) from error


def _envelope(view: LogView, row: StoredRow, seq: int) -> Envelope:
    try:
        return decode_envelope(row.data)
    except DamagedRecord as error:
        raise corrupt_record(view.workspace, seq, str(error)) from error


__all__ = [
    *("LogView", "StoredRow", "read_rows", "read_records", "verify_row", "verify_rows", "chain_at", "newest_record"),
    "PAGE_RECORDS",
]
