"""Client of a gateway: submits with idempotency keys, and the commands on its contacts."""

import asyncio
from typing import Any, Unpack

import pytest
from msgspec import structs

from router.client import GatewayClient, NotConnected, OutcomeUnknown, RouterRefused
from router.client.websocket_client import Guard
from router.protocol.frames import OkFrame
from tests.support.scripted_server import FAST_OPTIONS, WELCOME, ServerSide, answering_script, scripted_server

GATEWAY_WELCOME = {key: value for key, value in WELCOME.items() if key != "agent"} | {"role": "gateway"}


def a_gateway(url: str) -> GatewayClient:
    return GatewayClient(url, "token", codec="json", options=FAST_OPTIONS)


class BoundedGateway(GatewayClient):
    """A gateway whose commands fail in another way after some, so that a loop without a pause ends."""

    sent = 0

    async def _send_command(self, frame: Any, **guard: Unpack[Guard]) -> OkFrame:
        self.sent += 1
        assert self.sent < 50, "repeated for ever"
        return await super()._send_command(frame, **guard)


async def lose_the_submit(server: ServerSide, submits: list[dict[str, Any]]) -> None:
    await server.receive()
    await server.send(GATEWAY_WELCOME)
    submits.append(await server.receive())
    await server.ws.close(1012)


async def test_a_submit_is_repeated_with_its_key_until_it_is_acknowledged() -> None:
    lost: list[dict[str, Any]] = []
    answered: list[dict[str, Any]] = []

    async def first(server: ServerSide) -> None:
        await lose_the_submit(server, lost)

    async with (
        scripted_server(first, answering_script(answered, GATEWAY_WELCOME)) as url,
        a_gateway(url) as gateway,
        asyncio.timeout(10),
    ):
        ok = await gateway.submit("voice", retry_until_acknowledged=True)
    assert ok.subject == "c1"
    assert len(lost) == len(answered) == 1
    assert lost[0]["idempotency_key"] == answered[0]["idempotency_key"]


@pytest.mark.parametrize(("last", "is_temporary"), [("invalid_value", False), ("queue_full", True)])
async def test_a_submit_is_repeated_while_the_router_is_unavailable_only(last: str, is_temporary: bool) -> None:
    """A router that another one has replaced cannot say what became of a submit; the next one can."""
    submits: list[dict[str, Any]] = []
    refusals = [("journal_unavailable", True), ("journal_unavailable", True), (last, is_temporary)]

    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.send(GATEWAY_WELCOME)
        for code, temporary in refusals:
            submits.append(frame := await server.receive())
            error = {"type": "error", "id": frame["id"], "code": code, "title": "A refusal", "temporary": temporary}
            await server.send(error | ({"retry_after_ms": 10} if temporary else {}))
        await server.ws.wait_closed()

    async with scripted_server(script) as url, a_gateway(url) as gateway, asyncio.timeout(30):
        with pytest.raises(RouterRefused, match="journal_unavailable"):
            await gateway.submit("voice")
        with pytest.raises(RouterRefused, match=last):
            await gateway.submit("voice", retry_until_acknowledged=True)
    keys = [frame["idempotency_key"] for frame in submits]
    assert len(keys) == 3 and keys[0] != keys[1] == keys[2]


async def test_a_lost_submit_raises_its_key_otherwise() -> None:
    lost: list[dict[str, Any]] = []

    async def script(server: ServerSide) -> None:
        await lose_the_submit(server, lost)

    async with scripted_server(script) as url, a_gateway(url) as gateway, asyncio.timeout(10):
        with pytest.raises(OutcomeUnknown) as unknown:
            await gateway.submit("voice")
    assert unknown.value.idempotency_key == lost[0]["idempotency_key"]


async def test_a_submit_waits_for_a_connection_only_if_it_is_to_be_repeated() -> None:
    async def down(server: ServerSide) -> None:
        await server.receive()
        await server.send(GATEWAY_WELCOME)
        await server.send({"type": "error", "code": "rate_limited", "title": "Too many frames", "retry_after_ms": 1_000})
        await server.ws.close(1012)
        closed.set()

    closed = asyncio.Event()
    answered: list[dict[str, Any]] = []
    options = structs.replace(FAST_OPTIONS, connect_timeout_s=0.3)
    async with (
        scripted_server(down, answering_script(answered, GATEWAY_WELCOME)) as url,
        GatewayClient(url, "token", codec="json", options=options) as gateway,
        asyncio.timeout(10),
    ):
        await closed.wait()
        await asyncio.sleep(0.1)
        with pytest.raises(NotConnected):
            await gateway.submit("voice")
        assert (await gateway.submit("voice", retry_until_acknowledged=True)).subject == "c1"
    assert len(answered) == 1


async def test_a_repeated_submit_ends_with_a_first_connection_that_has_failed_for_good() -> None:
    """Without an end it would be repeated at once, again and again, and block the event loop."""

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as plain:
        gateway = BoundedGateway(f"wss://127.0.0.1:{plain.sockets[0].getsockname()[1]}", "token", options=FAST_OPTIONS)
        entering = asyncio.create_task(gateway.__aenter__())
        with pytest.raises(NotConnected, match="right for this port"):
            await gateway.submit("voice", retry_until_acknowledged=True)
        with pytest.raises(NotConnected, match="right for this port"):
            await entering
        with pytest.raises(NotConnected, match="right for this port"):
            await gateway.submit("voice", retry_until_acknowledged=True)
    assert gateway.sent == 2


async def test_every_submit_has_a_key_of_its_own_unless_one_is_given() -> None:
    frames: list[dict[str, Any]] = []
    async with scripted_server(answering_script(frames, GATEWAY_WELCOME)) as url, a_gateway(url) as gateway:
        await gateway.submit("voice")
        await gateway.submit("voice")
        await gateway.submit("voice", idempotency_key="call-17")
    keys = [frame["idempotency_key"] for frame in frames]
    assert len(set(keys)) == 3
    assert keys[2] == "call-17"


async def test_contacts_of_a_welcome_and_of_events_are_kept() -> None:
    view = {
        "contact_id": "c1",
        "state": "queued",
        "channel": "voice",
        "queue_id": "support",
        "requirement": "",
        "queued_at_ms": 0,
        "changed_at_ms": 0,
        "queued_seq": 3,
        "priority_s": 0,
        "priority_class": 0,
    }
    event = {
        "type": "contact.queued",
        "contact_id": "c2",
        "channel": "voice",
        "queue_id": "support",
        "requirement": "",
        "policy_version": 1,
    }

    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.send(GATEWAY_WELCOME | {"contacts": [view]})
        await server.send({"type": "event", "seq": 11, "at_ms": 0, "event": event})
        await server.ws.wait_closed()

    async with scripted_server(script) as url, a_gateway(url) as gateway, asyncio.timeout(10):
        await anext(gateway.__aiter__())
        assert sorted(gateway.contacts.by_id) == ["c1", "c2"]


async def test_every_command_on_a_contact_returns_its_acknowledgement() -> None:
    frames: list[dict[str, Any]] = []
    async with scripted_server(answering_script(frames, GATEWAY_WELCOME)) as url, a_gateway(url) as gateway, asyncio.timeout(10):
        answers = [
            await gateway.abandon("c1"),
            await gateway.end("c1"),
            await gateway.cancel("c1"),
            await gateway.park("c1"),
            await gateway.unpark("c1"),
        ]
    assert [answer.subject for answer in answers] == ["c1"] * 5
    assert [frame["contact_id"] for frame in frames] == ["c1"] * 5
    assert [frame["type"] for frame in frames] == ["abandon", "end", "cancel", "park_contact", "unpark_contact"]
