"""Common base of the clients: iteration over events, heartbeats, and aborted connections."""

import asyncio

from router.client import DesktopClient
from router.model.events import AssignmentHeld
from tests.support.scripted_server import FAST_OPTIONS, WELCOME, ServerSide, held_event, scripted_server, stay_connected


def a_desktop(url: str) -> DesktopClient:
    return DesktopClient(url, "token", codec="json", options=FAST_OPTIONS)


async def test_events_are_yielded_without_their_frames() -> None:
    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.send(WELCOME)
        for seq in (11, 12):
            await server.send(held_event(seq))
        await server.ws.wait_closed()

    async with scripted_server(script) as url, a_desktop(url) as desktop, asyncio.timeout(10):
        events = desktop.events()
        assert type(await anext(events)) is AssignmentHeld
        assert type(await anext(events)) is AssignmentHeld
        assert desktop.seq == 12


async def test_a_heartbeat_returns_the_position_and_the_clock_of_the_router() -> None:
    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.send(WELCOME)
        ping = await server.receive()
        await server.send({"type": "pong", "id": ping["id"], "at_ms": 5_000, "seq": 17})
        await server.ws.wait_closed()

    async with scripted_server(script) as url, a_desktop(url) as desktop, asyncio.timeout(10):
        pong = await desktop.ping()
        assert (pong.at_ms, pong.seq) == (5_000, 17)


async def test_an_aborted_connection_is_replaced_by_a_new_one() -> None:
    async with scripted_server(stay_connected) as url, a_desktop(url) as desktop, asyncio.timeout(10):
        assert (desktop.connection_count, desktop.is_connected) == (1, True)
        await desktop.drop_connection()
        while desktop.connection_count < 2 or not desktop.is_connected:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_welcome_is_the_last_full_state() -> None:
    async with scripted_server(stay_connected) as url, a_desktop(url) as desktop:
        assert (desktop.welcome.seq, desktop.welcome.history_id) == (10, "g")
