"""Records of the journal: their encoding, the hash chain over them, and the commit index.

A record's **body** is the MessagePack encoding of ``Record``. It is stored in an **envelope**, big-endian:

    length u32 · format u16 · count u32 · seq u64 · at_ms i64 · previous chain 16 · body · crc32c u32

``length`` is the size of the whole envelope in bytes, ``count`` the number of events, ``seq`` the number of the first event.
The CRC-32C covers everything before it and detects a damaged record. The **chain** value after a record is
BLAKE2b-128(previous chain ‖ body); it links each record to all earlier ones and detects a missing, duplicated or swapped record.

``ChainVerifier`` checks the chain: a backend passes the stored rows of one workspace in order, and the verifier returns their
records or raises ``JournalCorrupt`` naming workspace and seq.

Bodies of older formats are converted by ``UPCASTERS``, one format at a time, before they are decoded. Reading never rewrites a
body: the chain covers exactly the bytes that were acknowledged. A file of an older format is converted as a whole, once, by
``router journal migrate`` (``sqlite/migration.py``).

**The commit index** has one row per commit that authenticates the end of every workspace. The body of the row is the
exclusive-or of the digests of all workspace tails after the commit. A commit therefore costs one row regardless of the number
of workspaces, and at start-up one comparison shows whether any workspace ends at another record than it did.

``CommitBuilder`` prepares a commit: the envelopes and chain values of its records, and its row of the commit index. This runs on
the event loop, immediately before the commit is passed to the journal thread. On the journal thread the encoding
would compete with the event loop for the interpreter lock at every record, so only the disk I/O runs there. Commits are
executed in the order in which they were prepared, so the workspace tails held here are ahead of the disk by the commits in
progress, and by no more.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
from crc32c import crc32c
from msgspec import Struct

from router.journal.format_1 import to_format_2
from router.journal.highwater import HighWaterMark
from router.model.errors import JournalCorrupt
from router.model.events import Event
from router.model.states import WorkspaceId

FORMAT: Final = 2
"""Format version written by this release: of bodies, envelopes and the file as a whole."""

CHAIN_BYTES: Final = 16

_HEADER: Final = struct.Struct(">IHIQq16s")

_CRC: Final = struct.Struct(">I")

_ENVELOPE_BYTES_MIN: Final = _HEADER.size + _CRC.size

# Converters from format n to n + 1, on plain MessagePack data.
UPCASTERS: Final[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {1: to_format_2}

_encoder = msgspec.msgpack.Encoder()


class Record(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The events of one command in one workspace, durable together or not at all."""

    epoch: int
    first_seq: int
    at_ms: int
    actor: str
    """Issuer of the command: ``agent:ada``, ``gateway:web``, ``supervisor:eve``, ``admin:…``, or ``router`` for timers."""
    cause: str
    """Tag of the command."""
    events: tuple[Event, ...]

    @property
    def last_seq(self) -> int:
        """Return the sequence number of the last event."""
        return self.first_seq + len(self.events) - 1


_decoder = msgspec.msgpack.Decoder(Record)


class DamagedRecord(ValueError):
    """Stored bytes that do not decode to a record; the caller adds the workspace to the error."""


class Envelope(Struct, frozen=True, gc=False):
    """A decoded envelope whose checksum has been verified."""

    format_version: int
    count: int
    seq: int
    at_ms: int
    previous_chain: bytes
    body: bytes

    @property
    def last_seq(self) -> int:
        """Return the sequence number of the last event."""
        return self.seq + self.count - 1

    @property
    def chain(self) -> bytes:
        """Return the chain value after this record."""
        return next_chain(self.previous_chain, self.body)


def next_chain(previous: bytes, body: bytes) -> bytes:
    """Return the chain value after ``body``, given the one before it."""
    return blake2b(previous + body, digest_size=CHAIN_BYTES).digest()


def initial_chain(workspace: str) -> bytes:
    """Return the chain value before the first record of a workspace.

    It is derived from the name, so records of one workspace fail verification in another.
    """
    return blake2b(b"workspace:" + workspace.encode(), digest_size=CHAIN_BYTES).digest()


def encode_envelope(*, seq: int, at_ms: int, count: int, previous: bytes, body: bytes) -> bytes:
    """Return the envelope around ``body`` in the current format."""
    length = _ENVELOPE_BYTES_MIN + len(body)
    data = _HEADER.pack(length, FORMAT, count, seq, at_ms, previous) + body
    return data + _CRC.pack(crc32c(data))


def decode_envelope(data: object) -> Envelope:
    """Return the envelope stored in ``data``. Raises DamagedRecord for anything else."""
    if not isinstance(data, bytes) or len(data) < _ENVELOPE_BYTES_MIN:
        raise DamagedRecord("the record is cut short")
    (checksum,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if crc32c(memoryview(data)[: -_CRC.size]) != checksum:
        raise DamagedRecord("the checksum does not match")
    length, version, count, seq, at_ms, previous = _HEADER.unpack_from(data)
    if length != len(data):
        raise DamagedRecord("the length does not match")
    return Envelope(version, count, seq, at_ms, previous, data[_HEADER.size : -_CRC.size])


def encode_body(record: Record) -> bytes:
    """Return the body of a record in the current format."""
    return _encoder.encode(record)


def decode_record(
    envelope: Envelope, *, upcasters: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = UPCASTERS, current: int = FORMAT
) -> Record:
    """Return the record of an envelope, converted to the current format.

    Raises DamagedRecord where the body does not decode strictly or contradicts its envelope.
    """
    record = _decode_body(envelope, upcasters, current)
    if record.first_seq != envelope.seq or len(record.events) != envelope.count:
        raise DamagedRecord("envelope and body disagree on the sequence numbers")
    if record.at_ms != envelope.at_ms:
        raise DamagedRecord("envelope and body disagree on the time")
    return record


def _decode_body(envelope: Envelope, upcasters: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]], current: int) -> Record:
    if not 1 <= envelope.format_version <= current:
        raise DamagedRecord(f"format {envelope.format_version} is unknown")
    try:
        if envelope.format_version == current:
            return _decoder.decode(envelope.body)
        plain = msgspec.msgpack.decode(envelope.body)
        for version in range(envelope.format_version, current):
            plain = upcasters[version](plain)
        return msgspec.convert(plain, Record)
    # Foreign bytes may nest deeply or hold invalid text, for which msgspec raises no error of its own.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DamagedRecord("the body is not a record") from error


class ChainVerifier:
    """Verify consecutive rows of one workspace: sequence numbers without a gap, and an unbroken hash chain."""

    def __init__(self, workspace: WorkspaceId, *, next_seq: int, chain: bytes | None) -> None:
        """Start before the event ``next_seq``, after the chain value ``chain``.

        Without ``chain`` the first record's own previous value is trusted, so the caller must verify the end with ``check_end``.
        """
        self._workspace = workspace
        self.next_seq = next_seq
        self.chain = chain

    @classmethod
    def from_start(cls, workspace: WorkspaceId) -> "ChainVerifier":
        """Return a verifier for a workspace from its first record on."""
        return cls(workspace, next_seq=1, chain=initial_chain(workspace))

    def verify(self, key: object, data: object) -> Envelope:
        """Check the next row, given its storage key and its bytes, and return its envelope. Raises JournalCorrupt."""
        try:
            envelope = decode_envelope(data)
        except DamagedRecord as error:
            raise self.corruption(str(error)) from error
        if envelope.seq != self.next_seq or key != envelope.seq:
            raise self.corruption("a record is missing or out of order")
        if envelope.count < 1:
            raise self.corruption("a record without events")
        if self.chain is not None and envelope.previous_chain != self.chain:
            raise self.corruption("the chain is broken")
        self.next_seq = envelope.last_seq + 1
        self.chain = envelope.chain
        return envelope

    def verify_and_decode(self, key: object, data: object) -> Record:
        """Check the next row like ``verify`` and return the decoded record."""
        seq = self.next_seq
        try:
            return decode_record(self.verify(key, data))
        except DamagedRecord as error:
            raise corrupt_record(self._workspace, seq, str(error)) from error

    def check_end(self, *, last_seq: int, chain: bytes) -> None:
        """Check that the verified rows end at this sequence number and chain value. Raises JournalCorrupt."""
        if self.next_seq != last_seq + 1:
            raise self.corruption("the newest records are missing")
        if self.chain is not None and self.chain != chain:
            raise self.corruption("the chain is broken")

    def corruption(self, reason: str) -> JournalCorrupt:
        """Return the error to raise for the record expected next."""
        return corrupt_record(self._workspace, self.next_seq, reason)


def corrupt_record(workspace: WorkspaceId, seq: int, reason: str) -> JournalCorrupt:
    """Return a JournalCorrupt that names the workspace and the sequence number."""
    return JournalCorrupt(f"workspace {workspace}, seq {seq}: {reason}")


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
    first_seq: int = 1
    """First event that the journal has; events before it are in an archive."""
    base_chain: bytes | None = None
    """Chain value before the first event, where events before it have been archived."""

    def verifier(self) -> ChainVerifier:
        """Return a verifier from the first event that the journal has."""
        chain = initial_chain(self.workspace) if self.base_chain is None else self.base_chain
        return ChainVerifier(self.workspace, next_seq=self.first_seq, chain=chain)

    def begin_at(self, first_seq: int, chain: bytes) -> None:
        """Note that events before ``first_seq`` are not in the journal; ``chain`` is the chain value before it."""
        self.first_seq, self.base_chain = first_seq, chain

    @classmethod
    def empty(cls, number: int, workspace: WorkspaceId, history_id: str) -> "WorkspaceTail":
        """Return the tail of a workspace without records."""
        tail = cls(number=number, workspace=workspace, history_id=history_id, chain=initial_chain(workspace))
        tail.digest = tail.compute_digest()
        return tail

    def compute_digest(self) -> int:
        """Return a digest over everything that the commit index authenticates about this workspace."""
        text = f"{self.number} {self.workspace} {self.history_id} {self.last_seq} ".encode()
        return int.from_bytes(blake2b(text + self.chain, digest_size=_DIGEST_BYTES).digest())


def base_row(number: int, first_seq: int, chain: bytes, epoch: int = 0) -> tuple[int, int, bytes]:
    """Return the row that says where the records of a workspace begin: negative workspace number, key, envelope.

    It exists only where records have been archived. Its envelope has no body; its previous chain value is the one before the first
    record, so that the records after it are authenticated as before. Its time field holds the epoch of the record before, which
    counts where no record remains.
    """
    return -number, first_seq, encode_envelope(seq=first_seq, at_ms=epoch, count=0, previous=chain, body=b"")


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
        data = encode_envelope(seq=self.number, at_ms=at_ms, count=count, previous=self.chain, body=body)
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
            envelope = encode_envelope(seq=first_seq, at_ms=record.at_ms, count=count, previous=previous, body=body)
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

    def add_workspace(self, workspace: WorkspaceId, history_id: str) -> tuple[WorkspaceTail, PreparedCommit]:
        """Add a workspace and return its tail and the commit that records it."""
        assert workspace not in self._tails
        number = max((tail.number for tail in self._tails.values()), default=0) + 1
        tail = self._tails[workspace] = WorkspaceTail.empty(number, workspace, history_id)
        self._commit_index.digests ^= tail.digest
        values: list[int | bytes] = [*self._commit_index.append_row(at_ms=0, count=0)]
        return tail, PreparedCommit(values, self._commit_index.mark, [], _COMMIT_WAL_BYTES)


class Position(Struct, frozen=True, order=True, gc=False):
    """A position in the history of a workspace: ``epoch`` grows with every start of the process, ``seq`` has no gaps."""

    epoch: int
    seq: int
