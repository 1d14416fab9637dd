"""Records to bytes and back.

A record's **body** is MessagePack of ``Record``. Around it lies an **envelope**, big-endian:

    length u32 · format u16 · count u32 · seq u64 · at_ms i64 · previous chain 16 · body · crc32c u32

``length`` counts the whole envelope, ``count`` the events of the record, ``seq`` is the number of the first. The CRC-32C
covers everything before it and finds a damaged record; the **chain**, BLAKE2b-128(previous chain ‖ body), ties each record
to all before it and finds a missing, doubled or exchanged one.

Bodies of older formats are lifted, one format at a time, by ``UPCASTERS`` before they are decoded. A body is never
rewritten: the chain stays that of the bytes that were acknowledged.
"""

import struct
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec
from crc32c import crc32c
from msgspec import Struct

from router.journal.port import Record

FORMAT: Final = 1
"""The format that this version writes, of bodies, envelopes and the file as a whole."""

CHAIN_BYTES: Final = 16

_HEAD: Final = struct.Struct(">IHIQq16s")
_CRC: Final = struct.Struct(">I")
_ENVELOPE_BYTES_MIN: Final = _HEAD.size + _CRC.size

# From format n to n + 1, on plain MessagePack data. Format 1 is the first one.
UPCASTERS: Final[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


class Damaged(ValueError):
    """Bytes that are not what was written; the keeper says in which workspace."""


class Envelope(Struct, frozen=True, gc=False):
    """An unsealed envelope: its CRC fits."""

    version: int
    count: int
    seq: int
    at_ms: int
    previous: bytes
    body: bytes

    @property
    def last_seq(self) -> int:
        """The number of its last event."""
        return self.seq + self.count - 1

    @property
    def chain(self) -> bytes:
        """The chain after this record."""
        return chain_of(self.previous, self.body)


def chain_of(previous: bytes, body: bytes) -> bytes:
    """The chain value that ``body`` leads to."""
    return blake2b(previous + body, digest_size=CHAIN_BYTES).digest()


def genesis(workspace: str) -> bytes:
    """The chain before a workspace's first record: records of one workspace do not pass for those of another."""
    return blake2b(b"workspace:" + workspace.encode(), digest_size=CHAIN_BYTES).digest()


def seal(*, seq: int, at_ms: int, count: int, previous: bytes, body: bytes) -> bytes:
    """An envelope of this version's format."""
    length = _ENVELOPE_BYTES_MIN + len(body)
    data = _HEAD.pack(length, FORMAT, count, seq, at_ms, previous) + body
    return data + _CRC.pack(crc32c(data))


def unseal(data: object) -> Envelope:
    """The envelope in these bytes. Raises Damaged for anything that was not sealed like that."""
    if not isinstance(data, bytes) or len(data) < _ENVELOPE_BYTES_MIN:
        raise Damaged("cut short")
    (checksum,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if crc32c(memoryview(data)[: -_CRC.size]) != checksum:
        raise Damaged("the checksum does not fit")
    length, version, count, seq, at_ms, previous = _HEAD.unpack_from(data)
    if length != len(data):
        raise Damaged("the length does not fit")
    return Envelope(version, count, seq, at_ms, previous, data[_HEAD.size : -_CRC.size])


def encode_body(record: Record) -> bytes:
    """The body of a record, in this version's format."""
    return _encoder.encode(record)


def decode_record(
    envelope: Envelope,
    *,
    upcasters: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = UPCASTERS,
    current: int = FORMAT,
) -> Record:
    """The record in an envelope, lifted to the present format. Raises Damaged where it does not decode strictly."""
    record = _decode(envelope, upcasters, current)
    if record.first_seq != envelope.seq or len(record.events) != envelope.count:
        raise Damaged("envelope and body number the events differently")
    if record.at_ms != envelope.at_ms:
        raise Damaged("envelope and body name different times")
    return record


def _decode(
    envelope: Envelope,
    upcasters: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]],
    current: int,
) -> Record:
    if not 1 <= envelope.version <= current:
        raise Damaged(f"format {envelope.version} is unknown")
    try:
        if envelope.version == current:
            return _decoder.decode(envelope.body)
        plain = msgspec.msgpack.decode(envelope.body)
        for version in range(envelope.version, current):
            plain = upcasters[version](plain)
        return msgspec.convert(plain, Record)
    # Anything else than our own records may nest deeply or hold bad text; msgspec has own errors for neither.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
        raise Damaged("the body is not a record") from error
