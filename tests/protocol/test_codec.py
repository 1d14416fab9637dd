"""Encoding and decoding of frames; errors never repeat what was sent."""

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model.events import OfferMade
from router.protocol import frames as f
from router.protocol.codec import JSON, MSGPACK, SUBPROTOCOLS, FrameDecoder, MalformedFrame, frame_encoder
from router.protocol.session import Endpoint

CANARY = "zq-canary-17"
PACK = {JSON: msgspec.json.encode, MSGPACK: msgspec.msgpack.encode}


def an_offer_frame() -> f.EventFrame:
    offer = OfferMade(
        offer_id="c1.1",
        contact_id="c1",
        agent_id="ada",
        channel="voice",
        queue_id="support",
        units=100,
        deadline_ms=15_000,
        requirement="voice|support",
        effective_priority_s=0,
        policy_version=1,
        reason="longest_idle",
        attributes={"vip": True, "tier": "gold", "balance": -5},
    )
    return f.EventFrame(seq=7, at_ms=1_000, event=offer)


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
def test_a_frame_survives_both_encodings(subprotocol: str) -> None:
    frame = an_offer_frame()
    assert FrameDecoder(f.ServerFrame, subprotocol).decode(frame_encoder(subprotocol).encode(frame)) == frame


def test_json_and_messagepack_carry_the_same_content() -> None:
    frame = an_offer_frame()
    as_json = msgspec.json.decode(frame_encoder(JSON).encode(frame))
    as_msgpack = msgpack.unpackb(frame_encoder(MSGPACK).encode(frame))
    assert as_json == as_msgpack
    assert as_json["type"] == "event"
    assert as_json["event"]["type"] == "offer.made"


def test_messagepack_of_another_implementation_is_decoded() -> None:
    data = msgpack.packb({"type": "accept", "id": "1", "offer_id": "c1.1"})
    assert FrameDecoder(Endpoint.DESKTOP.client_frames, MSGPACK).decode(data) == f.AcceptFrame(id="1", offer_id="c1.1")


BAD: list[dict[str, Any]] = [
    {"type": CANARY},
    {"type": "set_state", "id": "1", "state": CANARY},
    {"type": "accept", "id": "1", "offer_id": CANARY + " "},
    {"type": "ping", "id": "1", CANARY + "@example.org": 1},
    {"type": "ping", "id": "1", f"x` - at `{CANARY}": 1},
    {"type": f"x' - at `{CANARY}`"},
    {"type": "ping", "id": {CANARY: CANARY}},
    {"type": "submit", "id": "1", "contact": {}},
    {CANARY: CANARY},
]


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("bad", BAD)
def test_an_error_never_repeats_what_was_sent(subprotocol: str, endpoint: Endpoint, bad: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrame) as error:
        FrameDecoder(endpoint.client_frames, subprotocol).decode(PACK[subprotocol](bad))
    assert CANARY not in str(error.value)
    assert str(error.value)


def test_an_error_does_not_repeat_the_key_of_an_attribute() -> None:
    frame = {"type": "submit", "id": "1", "contact": {"channel": "voice", "attributes": {"Zq " + CANARY: 1}}}
    with pytest.raises(MalformedFrame) as error:
        FrameDecoder(Endpoint.GATEWAY.client_frames, JSON).decode(msgspec.json.encode(frame))
    assert CANARY not in str(error.value)
    assert error.value.field == "contact.attributes[...]"


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize(
    ("frame", "field", "detail"),
    [
        ({"type": "ping", "id": "1", "idd": 2}, "idd", "unknown field `idd`; known are: id"),
        ({"type": "pong", "id": "1"}, "type", "must be one of hello, refresh, ping, set_state,"),
        ({"id": "1"}, "type", "is missing; it must be one of hello, "),
        ({"type": "extend_wrap_up", "id": "1", "assignment_id": "a", "extend_s": 0}, "extend_s", "must be an integer from 1 to"),
        ({"type": "extend_wrap_up", "id": "1", "extend_s": 1}, "assignment_id", "is missing"),
        ({"type": "set_state", "id": "1", "state": "away"}, "state", "must be one of offline, not_ready, ready"),
        ({"type": "accept", "id": "1", "offer_id": "a b"}, "offer_id", "must be an id: 1 to 128 of A-Z, a-z, 0-9, and . _ :"),
    ],
)
def test_an_error_names_the_field_and_what_would_be_valid(subprotocol: str, frame: dict[str, Any], field: str, detail: str) -> None:
    with pytest.raises(MalformedFrame) as error:
        FrameDecoder(Endpoint.DESKTOP.client_frames, subprotocol).decode(PACK[subprotocol](frame))
    assert error.value.field == field
    assert str(error.value).startswith(detail)


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
def test_a_number_without_a_fraction_is_an_integer(subprotocol: str) -> None:
    decode = FrameDecoder(Endpoint.GATEWAY.client_frames, subprotocol).decode
    contact = {"channel": "voice", "priority_s": 10.0, "skills": {"english": 3.0}, "attributes": {"n": 7.0, "ok": True}}
    frame = decode(PACK[subprotocol]({"type": "submit", "id": "1", "contact": contact}))
    assert (frame.contact.priority_s, frame.contact.skills) == (10, {"english": 3})
    assert (frame.contact.attributes, type(frame.contact.attributes["n"])) == ({"n": 7, "ok": True}, int)
    with pytest.raises(MalformedFrame):
        decode(PACK[subprotocol]({"type": "submit", "id": "1", "contact": contact | {"priority_s": 10.5}}))


@pytest.mark.parametrize("number", ["1e400", "9" * 300, "-" + "9" * 5_000])
def test_a_number_of_any_length_is_refused_by_its_field(number: str) -> None:
    decode = FrameDecoder(Endpoint.GATEWAY.client_frames, JSON).decode
    contact = '{"channel":"voice","priority_s":%s}' % number  # noqa: UP031
    with pytest.raises(MalformedFrame) as error:
        decode(f'{{"type":"submit","id":"1","contact":{contact}}}')
    assert (error.value.field, str(error.value)) == ("contact.priority_s", "must be an integer from -86,400 to 86,400")


def test_what_is_nested_too_deeply_is_said_to_be() -> None:
    decode = FrameDecoder(Endpoint.GATEWAY.client_frames, JSON).decode
    deep = "[" * 100_000 + "]" * 100_000  # Beyond the recursion limit of every version of Python.
    with pytest.raises(MalformedFrame, match="nested too deeply"):
        decode(f'{{"type":"submit","id":"1","contact":{{"channel":"voice","priority_s":{deep}}}}}')


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"type":"ping","id":"\xff"}',
        b'{"type":"ping","id":"\\ud800"}',
        b"null",
        b"NaN",
        b"1e400",
    ],
)
def test_hostile_json_is_malformed(data: bytes) -> None:
    decoder = FrameDecoder(Endpoint.DESKTOP.client_frames, JSON)
    with pytest.raises(MalformedFrame):
        decoder.decode(data)
    assert decoder.frame_id(data) is None


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", b"\xc7"])
def test_hostile_messagepack_is_malformed(data: bytes) -> None:
    decoder = FrameDecoder(Endpoint.DESKTOP.client_frames, MSGPACK)
    with pytest.raises(MalformedFrame):
        decoder.decode(data)
    assert decoder.frame_id(data) is None


@given(st.binary(max_size=200), st.sampled_from(SUBPROTOCOLS), st.sampled_from(list(Endpoint)))
def test_any_bytes_are_a_frame_or_malformed(data: bytes, subprotocol: str, endpoint: Endpoint) -> None:
    decoder = FrameDecoder(endpoint.client_frames, subprotocol)
    try:
        decoder.decode(data)
    except MalformedFrame:
        decoder.frame_id(data)


def test_the_id_of_a_malformed_frame_is_read_if_possible() -> None:
    decoder = FrameDecoder(Endpoint.DESKTOP.client_frames, JSON)
    assert decoder.frame_id(b'{"type":"nonsense","id":"17"}') == "17"
    assert decoder.frame_id(b'{"type":"accept"}') is None
    assert decoder.frame_id(b'{"type":"accept","id":' + b'"' + b"x" * 65 + b'"}') is None


@pytest.mark.parametrize("endpoint", Endpoint)
def test_an_endpoint_refuses_frames_of_others(endpoint: Endpoint) -> None:
    asks = {
        Endpoint.DESKTOP: b'{"type":"accept","id":"1","offer_id":"o"}',
        Endpoint.GATEWAY: b'{"type":"abandon","id":"1","contact_id":"c"}',
        Endpoint.CUSTOMER: b'{"type":"choose","id":"1","option":"now"}',
        Endpoint.SUPERVISOR: b'{"type":"assign","id":"1","contact_id":"c","agent_id":"a"}',
    }
    for kind, data in asks.items():
        decoder = FrameDecoder(endpoint.client_frames, JSON)
        if kind is endpoint:
            decoder.decode(data)
        else:
            with pytest.raises(MalformedFrame):
                decoder.decode(data)
