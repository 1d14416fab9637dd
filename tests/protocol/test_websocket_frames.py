"""WebSocket framing compared with another implementation: partial reads, fragments and protocol violations."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from router.protocol.close_codes import CloseCode
from router.protocol.websocket_frames import (
    BINARY,
    PING,
    PONG,
    TEXT,
    FrameReader,
    encode_close_frame,
    encode_close_reply,
    encode_frame,
)

BYTES_MAX = 70_000


def sent(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame as a client sends it."""
    return Frame(Opcode(opcode), payload, fin=fin).serialize(mask=True)


def fed(data: bytes, *, cut: int = 0) -> tuple[list[tuple[int, bytes]], FrameReader]:
    reader = FrameReader(BYTES_MAX)
    return reader.feed(data[:cut]) + reader.feed(data[cut:]), reader


def broken_by(data: bytes) -> CloseCode:
    messages, reader = fed(data)
    assert not messages
    assert reader.violation is not None
    return reader.violation.code


@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 65_535, 65_536, BYTES_MAX])
def test_a_message_of_any_length_is_read_as_it_was_sent(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    messages, _ = fed(sent(BINARY, payload))
    assert messages == [(BINARY, payload)]


@pytest.mark.parametrize("size", [5, 200, 66_000])
def test_a_message_may_arrive_in_two_parts(size: int) -> None:
    data = sent(TEXT, b"x" * size) + sent(PING, b"y")
    for cut in {*range(min(len(data), 300)), len(data) - 8, len(data) - 1}:
        messages, _ = fed(data, cut=cut)
        assert messages == [(TEXT, b"x" * size), (PING, b"y")]


_MESSAGES = st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), st.lists(st.binary(max_size=300), min_size=1)), max_size=5)


@given(_MESSAGES, st.lists(st.integers(0, 4_000), max_size=8))
def test_fragments_and_partial_reads_do_not_change_messages(said: list[tuple[int, list[bytes]]], cuts: list[int]) -> None:
    data = b""
    for opcode, pieces in said:
        for number, piece in enumerate(pieces):
            is_last = number == len(pieces) - 1
            data += sent(opcode if number == 0 else 0, piece, fin=is_last)
            data += b"" if is_last else sent(PONG, b"in between")
    reader = FrameReader(BYTES_MAX)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    heard = [message for start, end in pairwise(bounds) for message in reader.feed(data[start:end])]
    assert reader.violation is None
    whole = [(opcode, payload) for opcode, payload in heard if opcode != PONG]
    assert whole == [(opcode, b"".join(pieces)) for opcode, pieces in said]


def test_messages_before_a_violation_are_delivered_and_none_after() -> None:
    reader = FrameReader(BYTES_MAX)
    assert reader.feed(sent(TEXT, b"a") + b"\x83\x80" + sent(TEXT, b"b")) == [(TEXT, b"a")]
    assert reader.violation is not None
    assert reader.feed(sent(TEXT, b"c")) == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x81\x01a", id="unmasked"),
        pytest.param(b"\xc1\x80\0\0\0\0", id="a reserved bit"),
        pytest.param(b"\x83\x80\0\0\0\0", id="an unknown opcode"),
        pytest.param(b"\x8b\x80\0\0\0\0", id="an unknown control opcode"),
        pytest.param(b"\x80\x80\0\0\0\0", id="a continuation of nothing"),
        pytest.param(b"\x09\x80\0\0\0\0", id="a ping in pieces"),
        pytest.param(b"\x89\xfe\x00\x7e", id="a long ping"),
    ],
)
def test_an_invalid_frame_is_a_protocol_error(data: bytes) -> None:
    assert broken_by(data) is CloseCode.PROTOCOL_ERROR


def test_a_new_message_within_a_fragmented_one_is_a_protocol_error() -> None:
    assert broken_by(sent(TEXT, b"a", fin=False) + sent(TEXT, b"b")) is CloseCode.PROTOCOL_ERROR


def test_a_message_too_big_is_refused_before_its_payload_arrives() -> None:
    head = sent(BINARY, b"x" * (BYTES_MAX + 1))[:14]
    assert broken_by(head) is CloseCode.TOO_BIG


def test_a_fragmented_message_too_big_is_refused() -> None:
    half = b"x" * (BYTES_MAX // 2 + 1)
    assert broken_by(sent(BINARY, half, fin=False) + sent(0, half)) is CloseCode.TOO_BIG


def test_the_number_of_fragments_is_limited() -> None:
    data = sent(TEXT, b"", fin=False) + sent(0, b"", fin=False) * 2_000
    assert broken_by(data) is CloseCode.TOO_BIG


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_frame_equals_that_of_another_implementation(opcode: int, size: int) -> None:
    payload = b"x" * size
    assert encode_frame(opcode, payload) == Frame(Opcode(opcode), payload).serialize(mask=False)


def test_a_close_frame_is_parsed_by_another_implementation() -> None:
    client = Protocol(CLIENT)
    client.receive_data(encode_close_frame(CloseCode.TOO_BIG, "é" * 100))
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == 1009


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (b"", None),
        (Close(1000, "").serialize(), 1000),
        (Close(4001, "bye").serialize(), 4001),
        (b"\x03", 1002),
        ((1005).to_bytes(2, "big"), 1002),
        ((2000).to_bytes(2, "big"), 1002),
        ((1000).to_bytes(2, "big") + b"\xff", 1007),
    ],
)
def test_a_close_is_answered_with_its_code_if_valid(said: bytes, answered: int | None) -> None:
    payload = encode_close_reply(said)[2:]
    assert (int.from_bytes(payload, "big") if payload else None) == answered
