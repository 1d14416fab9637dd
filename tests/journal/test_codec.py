"""Records to bytes and back: exactly, or not at all."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.journal import codec
from router.journal.codec import (
    Damaged,
    chain_of,
    decode_record,
    encode_body,
    genesis,
    seal,
    unseal,
)
from router.journal.port import Record
from router.model.events import Event
from tests.journal.records import a_policy_published, a_record


def sealed(record: Record, *, previous: bytes = b"p" * 16, body: bytes | None = None) -> bytes:
    return seal(
        seq=record.first_seq,
        at_ms=record.at_ms,
        count=len(record.events),
        previous=previous,
        body=encode_body(record) if body is None else body,
    )


def test_a_record_comes_back_as_it_was() -> None:
    plain = a_record(7, events=3)
    record = msgspec.structs.replace(plain, events=(*plain.events, a_policy_published()))
    assert decode_record(unseal(sealed(record))) == record


def test_the_same_record_gives_the_same_bytes_again() -> None:
    data = sealed(a_record(7, events=3))
    assert sealed(decode_record(unseal(data))) == data


def test_every_kind_of_event_has_a_tag_of_its_own_in_the_journal() -> None:
    kinds = Event.__args__
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(set(tags)) == len(tags)
    assert all(isinstance(tag, str) and "." in tag for tag in tags)


def test_the_envelope_says_where_it_belongs_without_its_body_being_decoded() -> None:
    envelope = unseal(sealed(a_record(41, events=3)))
    assert (envelope.version, envelope.seq, envelope.count, envelope.last_seq) == (1, 41, 3, 43)
    assert envelope.chain == chain_of(b"p" * 16, envelope.body)


def test_every_single_flipped_bit_is_found() -> None:
    data = sealed(a_record(1))
    for offset in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[offset] ^= 1 << bit
            with pytest.raises(Damaged):
                unseal(bytes(changed))


@pytest.mark.parametrize("data", [None, "text", 7, b"", b"\0" * 20, bytes(64)])
def test_what_was_never_sealed_is_refused(data: object) -> None:
    with pytest.raises(Damaged):
        unseal(data)


@given(st.binary(max_size=300))
def test_any_bytes_in_a_sealed_body_are_decoded_strictly_or_refused(body: bytes) -> None:
    with pytest.raises(Damaged):
        decode_record(unseal(seal(seq=1, at_ms=1, count=1, previous=b"p" * 16, body=body)))


def test_a_body_nested_too_deeply_is_refused() -> None:
    body = b"\x81\xa6events" + b"\x91" * 100_000
    with pytest.raises(Damaged):
        decode_record(unseal(seal(seq=1, at_ms=1, count=1, previous=b"p" * 16, body=body)))


def test_an_envelope_that_lies_about_its_body_is_refused() -> None:
    body = encode_body(a_record(1))
    for seq, at_ms, count in ((2, a_record(1).at_ms, 1), (1, 5, 1), (1, a_record(1).at_ms, 2)):
        data = seal(seq=seq, at_ms=at_ms, count=count, previous=b"p" * 16, body=body)
        with pytest.raises(Damaged):
            decode_record(unseal(data))


def test_workspaces_begin_with_chains_of_their_own() -> None:
    assert genesis("a") != genesis("b")


class TestOlderFormats:
    """Format 1 is the first; a later one is imagined here, with a field that has been renamed."""

    def test_an_older_body_is_lifted_step_by_step(self) -> None:
        record = a_record(1)
        plain = msgspec.msgpack.decode(encode_body(record))
        plain["who"] = plain.pop("actor")
        data = sealed(record, body=msgspec.msgpack.encode(plain))

        def renamed(old: dict[str, object]) -> dict[str, object]:
            return {**old, "actor": old["who"]}

        steps = {1: renamed, 2: lambda old: old}
        assert decode_record(unseal(data), upcasters=steps, current=3) == record

    def test_a_format_without_a_way_up_is_refused(self) -> None:
        with pytest.raises(Damaged):
            decode_record(unseal(sealed(a_record(1))), upcasters={}, current=2)

    def test_a_newer_body_is_refused(self) -> None:
        with pytest.raises(Damaged, match="format 1"):
            decode_record(unseal(sealed(a_record(1))), current=0)

    def test_there_is_a_way_up_from_every_format_there_ever_was(self) -> None:
        assert sorted(codec.UPCASTERS) == list(range(1, codec.FORMAT))
