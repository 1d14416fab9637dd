"""Frames and bytes: two codecs, one meaning, and never a word of the sender in an error."""

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model.events import OfferMade
from router.wire import frames as f
from router.wire.codec import JSON, MSGPACK, SUBPROTOCOLS, BadFrame, Decoder, encoder
from router.wire.session import Door

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
        req="voice|support",
        prio=0,
        cfg=1,
        reason="longest_idle",
        attributes={"vip": True, "tier": "gold", "balance": -5},
    )
    return f.EventFrame(seq=7, at_ms=1_000, event=offer)


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
def test_a_frame_comes_back_as_it_went(subprotocol: str) -> None:
    frame = an_offer_frame()
    assert Decoder(f.Tell, subprotocol).decode(encoder(subprotocol).encode(frame)) == frame


def test_both_codecs_say_the_same() -> None:
    frame = an_offer_frame()
    as_json = msgspec.json.decode(encoder(JSON).encode(frame))
    as_msgpack = msgpack.unpackb(encoder(MSGPACK).encode(frame))
    assert as_json == as_msgpack
    assert as_json["type"] == "event"
    assert as_json["event"]["type"] == "offer.made"


def test_another_implementation_s_msgpack_is_understood() -> None:
    data = msgpack.packb({"type": "accept", "id": "1", "offer_id": "c1.1"})
    assert Decoder(Door.DESKTOP.asks, MSGPACK).decode(data) == f.Accept(id="1", offer_id="c1.1")


BAD: list[dict[str, Any]] = [
    {"type": CANARY},
    {"type": "set_state", "id": "1", "state": CANARY},
    {"type": "accept", "id": "1", "offer_id": CANARY + " "},
    {"type": "ping", "id": "1", CANARY: 1},
    {"type": "ping", "id": "1", f"x` - at `$.{CANARY}": 1},
    {"type": f"x' - at `$.{CANARY}`"},
    {"type": "ping", "id": {CANARY: CANARY}},
    {"type": "submit", "id": "1", "contact": {}},
    {CANARY: CANARY},
]


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize("door", Door)
@pytest.mark.parametrize("bad", BAD)
def test_an_error_never_repeats_what_was_sent(
    subprotocol: str, door: Door, bad: dict[str, Any]
) -> None:
    with pytest.raises(BadFrame) as error:
        Decoder(door.asks, subprotocol).decode(PACK[subprotocol](bad))
    assert CANARY not in str(error.value)
    assert str(error.value)


def test_an_attribute_s_key_is_not_repeated_either() -> None:
    frame = {
        "type": "submit",
        "id": "1",
        "contact": {"channel": "voice", "attributes": {"Zq " + CANARY: 1}},
    }
    with pytest.raises(BadFrame) as error:
        Decoder(Door.GATEWAY.asks, JSON).decode(msgspec.json.encode(frame))
    assert CANARY not in str(error.value)
    assert "$.contact.attributes" in str(error.value)


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
def test_hostile_json_is_a_bad_frame(data: bytes) -> None:
    decoder = Decoder(Door.DESKTOP.asks, JSON)
    with pytest.raises(BadFrame):
        decoder.decode(data)
    assert decoder.id_of(data) is None


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", b"\xc7"]
)
def test_hostile_msgpack_is_a_bad_frame(data: bytes) -> None:
    decoder = Decoder(Door.DESKTOP.asks, MSGPACK)
    with pytest.raises(BadFrame):
        decoder.decode(data)
    assert decoder.id_of(data) is None


@given(st.binary(max_size=200), st.sampled_from(SUBPROTOCOLS), st.sampled_from(list(Door)))
def test_any_bytes_are_a_frame_or_a_bad_frame(data: bytes, subprotocol: str, door: Door) -> None:
    decoder = Decoder(door.asks, subprotocol)
    try:
        decoder.decode(data)
    except BadFrame:
        decoder.id_of(data)


def test_the_id_of_a_bad_frame_is_found_where_it_has_one() -> None:
    decoder = Decoder(Door.DESKTOP.asks, JSON)
    assert decoder.id_of(b'{"type":"nonsense","id":"17"}') == "17"
    assert decoder.id_of(b'{"type":"accept"}') is None
    assert decoder.id_of(b'{"type":"accept","id":' + b'"' + b"x" * 65 + b'"}') is None


@pytest.mark.parametrize("door", Door)
def test_a_door_does_not_understand_what_is_said_at_another(door: Door) -> None:
    asks = {
        Door.DESKTOP: b'{"type":"accept","id":"1","offer_id":"o"}',
        Door.GATEWAY: b'{"type":"abandon","id":"1","contact_id":"c"}',
        Door.SUPERVISOR: b'{"type":"assign","id":"1","contact_id":"c","agent_id":"a"}',
    }
    for kind, data in asks.items():
        decoder = Decoder(door.asks, JSON)
        if kind is door:
            decoder.decode(data)
        else:
            with pytest.raises(BadFrame):
                decoder.decode(data)
