"""The client against a scripted server: reconnecting, resuming, and reactions to protocol violations."""

import asyncio
from http import HTTPStatus
from typing import Any

import pytest
from msgspec import structs
from websockets.datastructures import Headers
from websockets.http11 import Response

from router.client import DesktopClient, NotConnected, OutcomeUnknown, PermanentlyClosed, RouterRefused
from router.client.connection import ConnectionOptions
from tests.support.scripted_server import FAST_OPTIONS, WELCOME, ServerSide, held_event, scripted_server, stay_connected


def a_client(url: str, options: ConnectionOptions = FAST_OPTIONS) -> DesktopClient:
    return DesktopClient(url, "token", codec="json", options=options)


async def test_a_reconnect_resumes_after_the_last_received_event() -> None:
    hellos: list[dict[str, Any]] = []

    async def first(server: ServerSide) -> None:
        hellos.append(await server.receive())
        await server.send(WELCOME)
        for seq in (12, 15):
            await server.send(held_event(seq))
        await server.ws.close(1012)

    async def second(server: ServerSide) -> None:
        hellos.append(await server.receive())
        resumed = {key: WELCOME[key] for key in ("role", "workspace", "history_id", "epoch")}
        await server.send({"type": "resumed", "seq": 15, "until_seq": 16, "heartbeat_s": 20, "session_id": "t", **resumed})
        # Repeated events are ignored.
        for seq in (12, 15, 16):
            await server.send(held_event(seq))
        await server.ws.wait_closed()

    async with scripted_server(first, second) as url, a_client(url) as client, asyncio.timeout(10):
        numbers = []
        async for frame in client:
            numbers.append(frame.seq)
            if frame.seq == 16:
                break
        assert numbers == [12, 15, 16]
        assert [hello.get("resume") for hello in hellos] == [None, "g:15"]


async def test_a_welcome_after_a_reconnect_is_delivered_to_the_reader() -> None:
    async def first(server: ServerSide) -> None:
        await server.receive()
        await server.send(WELCOME)
        await server.ws.close(4410)

    async def second(server: ServerSide) -> None:
        await server.receive()
        await server.send(WELCOME | {"history_id": "h", "seq": 3})
        await server.send(held_event(4))
        await server.ws.wait_closed()

    async with scripted_server(first, second) as url, a_client(url) as client, asyncio.timeout(10):
        frames = client.__aiter__()
        assert type(await anext(frames)).__name__ == "WelcomeFrame"
        assert (await anext(frames)).seq == 4
        assert client.history_id == "h"


@pytest.mark.parametrize("code", [4500, 4501, 4503, 4509, 1003, 1009])
async def test_the_client_does_not_reconnect_after_a_permanent_close_code(code: int) -> None:
    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.ws.close(code, "no")

    async with scripted_server(script) as url, asyncio.timeout(10):
        with pytest.raises(PermanentlyClosed) as closed:
            async with a_client(url):
                pass
        assert closed.value.code == code


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 4408, 4410, 4429])
async def test_the_client_reconnects_after_a_temporary_close_code(code: int) -> None:
    async def first(server: ServerSide) -> None:
        await server.receive()
        await server.ws.close(code)

    async with scripted_server(first, stay_connected) as url, a_client(url) as client:
        assert client.connection_count == 2


async def test_an_expired_token_that_cannot_be_renewed_ends_the_client() -> None:
    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.ws.close(4401)

    async with scripted_server(script) as url, asyncio.timeout(10):
        with pytest.raises(PermanentlyClosed):
            async with a_client(url):
                pass


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 426])
async def test_the_client_does_not_repeat_a_handshake_that_would_fail_again(status: int) -> None:
    refusals = [Response(HTTPStatus(status).value, "no", Headers())]
    async with scripted_server(stay_connected, refusals=refusals) as url, asyncio.timeout(10):
        with pytest.raises(PermanentlyClosed) as closed:
            async with a_client(url):
                pass
        assert closed.value.code == status


async def test_a_token_of_a_provider_is_fetched_once_more_after_a_refusal() -> None:
    fetched: list[str] = []

    def token() -> str:
        fetched.append(f"token-{len(fetched)}")
        return fetched[-1]

    refusals = [Response(401, "expired", Headers())]
    async with scripted_server(stay_connected, refusals=refusals) as url, asyncio.timeout(10):
        async with DesktopClient(url, token, codec="json", options=FAST_OPTIONS):
            assert fetched == ["token-0", "token-1"]
        refusals += [Response(401, "expired", Headers()) for _ in range(2)]
        with pytest.raises(PermanentlyClosed):
            async with DesktopClient(url, token, codec="json", options=FAST_OPTIONS):
                pass


async def test_a_full_buffer_is_filled_again_when_half_of_it_has_been_read() -> None:
    hellos: list[dict[str, Any]] = []
    was_full, resumes = asyncio.Event(), asyncio.Event()

    async def script(server: ServerSide) -> None:
        hello = await server.receive()
        hellos.append(hello)
        if hello["resume"] is None:
            last = 10
            await server.send(WELCOME)
        else:
            last = int(hello["resume"].partition(":")[2])
            resumed = {key: WELCOME[key] for key in ("role", "workspace", "history_id", "epoch")}
            await server.send({"type": "resumed", "seq": last, "until_seq": 18, "heartbeat_s": 20, "session_id": "t", **resumed})
            resumes.set()
        for seq in range(last + 1, 19):
            await server.send(held_event(seq))
        await server.ws.wait_closed()
        was_full.set()

    options = structs.replace(FAST_OPTIONS, event_buffer_max=4)
    async with scripted_server(script) as url, a_client(url, options) as client, asyncio.timeout(10):
        await was_full.wait()
        frames = client.__aiter__()
        numbers = [(await anext(frames)).seq]
        await asyncio.sleep(0.1)
        assert len(hellos) == 1
        numbers.append((await anext(frames)).seq)
        await resumes.wait()
        assert hellos[1]["resume"] == "g:14"
        while numbers[-1] < 18:
            numbers.append((await anext(frames)).seq)
        assert numbers == list(range(11, 19))


async def test_the_client_retries_after_an_overloaded_server() -> None:
    refusals = [Response(HTTPStatus.SERVICE_UNAVAILABLE, "busy", headers) for headers in _two_refusals()]
    async with scripted_server(stay_connected, refusals=refusals) as url, a_client(url) as client:
        assert client.connection_count == 1


async def test_a_request_to_reconnect_ends_an_earlier_request_to_wait() -> None:
    async def first(server: ServerSide) -> None:
        await server.receive()
        await server.send(WELCOME)
        await server.send({"type": "error", "code": "rate_limited", "title": "Too many frames", "retry_after_ms": 60_000})
        await server.send({"type": "reconnect", "after_ms": 0})
        await server.ws.close(1012)

    async with scripted_server(first, stay_connected) as url, a_client(url) as client, asyncio.timeout(10):
        while client.connection_count < 2:  # noqa: ASYNC110  Nothing announces a connection.
            await asyncio.sleep(0.01)


def _two_refusals() -> list[Any]:
    return [Headers({"Retry-After": "0"}), Headers({"Retry-After": "soon"})]


async def test_unknown_frames_fields_and_events_are_ignored() -> None:
    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.send({"type": "fanfare", "loud": True})
        await server.send(WELCOME | {"colour": "green"})
        await server.send({"type": "event", "seq": 11, "at_ms": 0, "event": {"type": "moon.rose", "full": True}})
        await server.send(held_event(12))
        await server.ws.wait_closed()

    async with scripted_server(script) as url, a_client(url) as client, asyncio.timeout(10):
        assert (await anext(client.__aiter__())).seq == 12


async def test_a_missing_answer_leaves_the_outcome_unknown() -> None:
    async with scripted_server(stay_connected) as url, a_client(url) as client, asyncio.timeout(10):
        with pytest.raises(OutcomeUnknown):
            await client.ready()
        assert client.connection_count == 1


async def test_a_refusal_is_raised_with_all_its_fields() -> None:
    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.send(WELCOME)
        command = await server.receive()
        await server.send(
            {
                "type": "error",
                "id": command["id"],
                "code": "agent_state",
                "title": "No",
                "state": "offline",
                "allowed": ["ready"],
                "seq": 7,
            }
        )
        await server.ws.wait_closed()

    async with scripted_server(script) as url, a_client(url) as client, asyncio.timeout(10):
        with pytest.raises(RouterRefused) as refused:
            await client.ready()
        error = refused.value.error
        assert (refused.value.code, error.state, error.allowed, error.seq) == ("agent_state", "offline", ("ready",), 7)
        assert not refused.value.temporary


async def test_a_server_that_does_not_answer_heartbeats_is_reconnected() -> None:
    async def silent(server: ServerSide) -> None:
        await server.receive()
        await server.send(WELCOME | {"heartbeat_s": 0})
        await server.ws.wait_closed()

    async with scripted_server(silent, stay_connected) as url, a_client(url) as client, asyncio.timeout(10):
        while client.connection_count < 2 or not client.is_connected:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_an_unreachable_server_is_reported_within_the_timeout() -> None:
    async with scripted_server(stay_connected) as url:
        pass
    options = ConnectionOptions(connect_timeout_s=0.2, backoff_base_s=0.01, backoff_max_s=0.02)
    with pytest.raises(NotConnected):
        async with a_client(url, options):
            pass


async def test_commands_of_a_closed_client_fail_at_once() -> None:
    async with scripted_server(stay_connected) as url:
        async with a_client(url) as client:
            pass
        with pytest.raises(PermanentlyClosed):
            await client.ready()
        assert [frame async for frame in client] == []
