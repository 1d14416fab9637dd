"""Encoding and decoding of records: exact, or rejected."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.journal.records import (
    FORMAT,
    UPCASTERS,
    DamagedRecord,
    Record,
    decode_envelope,
    decode_record,
    encode_body,
    encode_envelope,
    initial_chain,
    next_chain,
)
from router.model.events import Event
from tests.support.journal_records import a_policy_published, a_record


def sealed(record: Record, *, previous: bytes = b"p" * 16, body: bytes | None = None) -> bytes:
    return encode_envelope(
        seq=record.first_seq,
        at_ms=record.at_ms,
        count=len(record.events),
        previous=previous,
        body=encode_body(record) if body is None else body,
    )


def test_a_record_round_trips() -> None:
    plain = a_record(7, events=3)
    record = msgspec.structs.replace(plain, events=(*plain.events, a_policy_published()))
    assert decode_record(decode_envelope(sealed(record))) == record


def test_encoding_is_deterministic() -> None:
    data = sealed(a_record(7, events=3))
    assert sealed(decode_record(decode_envelope(data))) == data


def test_every_event_type_has_a_unique_tag() -> None:
    kinds = Event.__args__
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(set(tags)) == len(tags)
    assert all(isinstance(tag, str) and "." in tag for tag in tags)


def test_the_envelope_is_readable_without_decoding_its_body() -> None:
    envelope = decode_envelope(sealed(a_record(41, events=3)))
    assert (envelope.format_version, envelope.seq, envelope.count, envelope.last_seq) == (FORMAT, 41, 3, 43)
    assert envelope.chain == next_chain(b"p" * 16, envelope.body)


def test_every_single_bit_flip_is_detected() -> None:
    data = sealed(a_record(1))
    for offset in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[offset] ^= 1 << bit
            with pytest.raises(DamagedRecord):
                decode_envelope(bytes(changed))


@pytest.mark.parametrize("data", [None, "text", 7, b"", b"\0" * 20, bytes(64)])
def test_bytes_without_an_envelope_are_rejected(data: object) -> None:
    with pytest.raises(DamagedRecord):
        decode_envelope(data)


@given(st.binary(max_size=300))
def test_arbitrary_body_bytes_are_rejected(body: bytes) -> None:
    with pytest.raises(DamagedRecord):
        decode_record(decode_envelope(encode_envelope(seq=1, at_ms=1, count=1, previous=b"p" * 16, body=body)))


def test_a_too_deeply_nested_body_is_rejected() -> None:
    body = b"\x81\xa6events" + b"\x91" * 100_000
    with pytest.raises(DamagedRecord):
        decode_record(decode_envelope(encode_envelope(seq=1, at_ms=1, count=1, previous=b"p" * 16, body=body)))


def test_an_envelope_that_contradicts_its_body_is_rejected() -> None:
    body = encode_body(a_record(1))
    for seq, at_ms, count in ((2, a_record(1).at_ms, 1), (1, 5, 1), (1, a_record(1).at_ms, 2)):
        data = encode_envelope(seq=seq, at_ms=at_ms, count=count, previous=b"p" * 16, body=body)
        with pytest.raises(DamagedRecord):
            decode_record(decode_envelope(data))


def test_workspaces_start_with_different_chains() -> None:
    assert initial_chain("a") != initial_chain("b")


class TestOlderFormats:
    """Conversion from older formats, with an invented later format that renames a field."""

    def test_an_older_body_is_converted_step_by_step(self) -> None:
        record = a_record(1)
        plain = msgspec.msgpack.decode(encode_body(record))
        plain["who"] = plain.pop("actor")
        data = sealed(record, body=msgspec.msgpack.encode(plain))

        def renamed(old: dict[str, object]) -> dict[str, object]:
            return {**old, "actor": old["who"]}

        steps = {FORMAT: renamed, FORMAT + 1: lambda old: old}
        decoded = decode_record(decode_envelope(data), upcasters=steps, current=FORMAT + 2)
        assert decoded == record

    def test_a_format_without_a_converter_is_rejected(self) -> None:
        with pytest.raises(DamagedRecord):
            decode_record(decode_envelope(sealed(a_record(1))), upcasters={}, current=FORMAT + 1)

    def test_a_newer_body_is_rejected(self) -> None:
        with pytest.raises(DamagedRecord, match=f"format {FORMAT}"):
            decode_record(decode_envelope(sealed(a_record(1))), current=FORMAT - 1)

    def test_every_older_format_has_a_converter(self) -> None:
        assert sorted(UPCASTERS) == list(range(1, FORMAT))


def names(kind: Any, path: str) -> Iterator[str]:
    """Return the names that a type has in the journal: tags, fields, and values of enumerations, each with its place."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        yield from (f"{path}={member.value}" for member in kind)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        place = kind.__struct_config__.tag or path
        hints = get_type_hints(kind)
        for field in msgspec.structs.fields(kind):
            yield f"{place}/{field.encode_name}"
            yield from names(hints[field.name], f"{place}/{field.encode_name}")
    else:
        for inner in get_args(kind):
            yield from names(inner, path)


def test_the_names_of_the_current_format_do_not_change() -> None:
    """A field, tag or value may be added; a rename or a removal needs a new format and a converter."""
    path = Path(__file__).parent / "golden" / f"format_{FORMAT}_names.txt"
    assert set(path.read_text().splitlines()) - set(names(Record, "record")) == set()
