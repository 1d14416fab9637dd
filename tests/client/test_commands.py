"""Frames sent by the commands that gateways and supervisors have in common."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from router.client import SupervisorClient
from router.model.states import CallbackOutcome
from tests.support.scripted_server import FAST_OPTIONS, WELCOME, ServerSide, answering_script, scripted_server

SUPERVISOR_WELCOME = {key: value for key, value in WELCOME.items() if key != "agent"} | {"role": "supervisor"}
Send = Callable[[SupervisorClient], Awaitable[Any]]


def a_supervisor(url: str) -> SupervisorClient:
    return SupervisorClient(url, "token", codec="json", options=FAST_OPTIONS)


@pytest.mark.parametrize(
    ("send", "frame"),
    [
        (lambda c: c.park("c1"), {"type": "park_contact", "contact_id": "c1"}),
        (lambda c: c.unpark("c1"), {"type": "unpark_contact", "contact_id": "c1"}),
        (lambda c: c.suspend("c1", resume_by_ms=9), {"type": "suspend", "contact_id": "c1", "resume_by_ms": 9}),
        (
            lambda c: c.resume("c1", channel="voice", reference="call-9"),
            {"type": "resume_contact", "contact_id": "c1", "channel": "voice", "reference": "call-9"},
        ),
        (lambda c: c.callback("c1", at_ms=5_000), {"type": "callback", "contact_id": "c1", "at_ms": 5_000}),
        (
            lambda c: c.callback_result("c1", CallbackOutcome.BUSY, 2),
            {"type": "callback_result", "contact_id": "c1", "outcome": "busy", "attempt": 2},
        ),
        (lambda c: c.cancel("c1"), {"type": "cancel", "contact_id": "c1", "reason": "cancelled"}),
    ],
)
async def test_a_command_sends_its_frame(send: Send, frame: dict[str, Any]) -> None:
    frames: list[dict[str, Any]] = []
    async with scripted_server(answering_script(frames, SUPERVISOR_WELCOME)) as url, a_supervisor(url) as client:
        await send(client)
    (sent,) = frames
    assert {name: value for name, value in sent.items() if value is not None} == frame


async def test_an_update_sends_only_the_fields_that_are_given() -> None:
    frames: list[dict[str, Any]] = []
    async with scripted_server(answering_script(frames, SUPERVISOR_WELCOME)) as url, a_supervisor(url) as client:
        await client.update("c1", priority_s=60)
    assert frames == [{"type": "update", "contact_id": "c1", "priority_s": 60}]


async def test_the_expected_wait_of_the_answer_is_returned() -> None:
    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.send(SUPERVISOR_WELCOME)
        command = await server.receive()
        wait = {"p50_ms": 20_000}
        await server.send({"type": "ok", "id": command["id"], "expected_wait": wait})
        await server.ws.wait_closed()

    async with scripted_server(script) as url, a_supervisor(url) as client, asyncio.timeout(10):
        assert (await client.expected_wait(contact_id="c1")).p50_ms == 20_000
