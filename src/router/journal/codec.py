"""Encoding of records to bytes and back, and the hash chain over them.

A record's **body** is the MessagePack encoding of ``Record``. It is stored in an **envelope**, big-endian:

    length u32 · format u16 · count u32 · seq u64 · at_ms i64 · previous chain 16 · body · crc32c u32

``length`` is the size of the whole envelope in bytes, ``count`` the number of events, ``seq`` the number of the first event.
The CRC-32C covers everything before it and detects a damaged record. The **chain** value after a record is
BLAKE2b-128(previous chain ‖ body); it links each record to all earlier ones and detects a missing, duplicated or swapped record.

Bodies of older formats are converted by ``UPCASTERS``, one format at a time, before they are decoded. Reading never rewrites
a body: the chain covers exactly the bytes that were acknowledged.
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
"""Format version written by this release: of bodies, envelopes and the file as a whole."""

CHAIN_BYTES: Final = 16

_HEAD: Final = struct.Struct(">IHIQq16s")
_CRC: Final = struct.Struct(">I")
_ENVELOPE_BYTES_MIN: Final = _HEAD.size + _CRC.size

# Converters from format n to n + 1, on plain MessagePack data. Format 1 is the first one.
UPCASTERS: Final[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


class Damaged(ValueError):
    """Stored bytes that do not decode to a record; the caller adds the workspace to the error."""


class Envelope(Struct, frozen=True, gc=False):
    """A decoded envelope whose checksum has been verified."""

    version: int
    count: int
    seq: int
    at_ms: int
    previous: bytes
    body: bytes

    @property
    def last_seq(self) -> int:
        """Return the sequence number of the last event."""
        return self.seq + self.count - 1

    @property
    def chain(self) -> bytes:
        """Return the chain value after this record."""
        return chain_of(self.previous, self.body)


def chain_of(previous: bytes, body: bytes) -> bytes:
    """Return the chain value after ``body``, given the one before it."""
    return blake2b(previous + body, digest_size=CHAIN_BYTES).digest()


def genesis(workspace: str) -> bytes:
    """Return the chain value before the first record of a workspace.

    It is derived from the name, so records of one workspace fail verification in another.
    """
    return blake2b(b"workspace:" + workspace.encode(), digest_size=CHAIN_BYTES).digest()


def seal(*, seq: int, at_ms: int, count: int, previous: bytes, body: bytes) -> bytes:
    """Return the envelope around ``body`` in the current format."""
    length = _ENVELOPE_BYTES_MIN + len(body)
    data = _HEAD.pack(length, FORMAT, count, seq, at_ms, previous) + body
    return data + _CRC.pack(crc32c(data))


def unseal(data: object) -> Envelope:
    """Return the envelope stored in ``data``. Raises DamagedRecord for anything else."""
    if not isinstance(data, bytes) or len(data) < _ENVELOPE_BYTES_MIN:
        raise Damaged("the record is cut short")
    (checksum,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if crc32c(memoryview(data)[: -_CRC.size]) != checksum:
        raise Damaged("the checksum does not match")
    length, version, count, seq, at_ms, previous = _HEAD.unpack_from(data)
    if length != len(data):
        raise Damaged("the length does not match")
    return Envelope(version, count, seq, at_ms, previous, data[_HEAD.size : -_CRC.size])


def encode_body(record: Record) -> bytes:
    """Return the body of a record in the current format."""
    return _encoder.encode(record)


def decode_record(
    envelope: Envelope,
    *,
    upcasters: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = UPCASTERS,
    current: int = FORMAT,
) -> Record:
    """Return the record of an envelope, converted to the current format.

    Raises DamagedRecord where the body does not decode strictly or contradicts its envelope.
    """
    record = _decode(envelope, upcasters, current)
    if record.first_seq != envelope.seq or len(record.events) != envelope.count:
        raise Damaged("envelope and body disagree on the sequence numbers")
    if record.at_ms != envelope.at_ms:
        raise Damaged("envelope and body disagree on the time")
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
    # Foreign bytes may nest deeply or hold invalid text, for which msgspec raises no error of its own.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
        raise Damaged("the body is not a record") from error
