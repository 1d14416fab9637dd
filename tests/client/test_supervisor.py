"""Client of a supervisor: state over several pages, statistics, and the frames of its commands."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from router.client import SupervisorClient
from router.model.states import AgentState
from tests.support.scripted_server import FAST_OPTIONS, WELCOME, ServerSide, answering_script, scripted_server

Send = Callable[[SupervisorClient], Awaitable[Any]]
SUPERVISOR_WELCOME = {key: value for key, value in WELCOME.items() if key != "agent"} | {"role": "supervisor"}
ADA = WELCOME["agent"]
QUEUE = {"queue_id": "support", "is_open": True, "waiting": 3, "offered": 0, "assigned": 1}


def a_supervisor(url: str) -> SupervisorClient:
    return SupervisorClient(url, "token", codec="json", options=FAST_OPTIONS)


async def test_the_state_is_complete_after_the_last_page_and_follows_statistics() -> None:
    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.send(SUPERVISOR_WELCOME | {"agents": [ADA], "pages": 1})
        await asyncio.sleep(0)
        await server.send({"type": "state_page", "agents": [ADA | {"agent_id": "bob"}]})
        await server.send({"type": "stats", "seq": 11, "at_ms": 0, "queues": [QUEUE]})
        await server.ws.wait_closed()

    async with scripted_server(script) as url, a_supervisor(url) as supervisor, asyncio.timeout(10):
        assert sorted(supervisor.workspace.agents) == ["ada", "bob"]
        await anext(supervisor.__aiter__())
        assert supervisor.workspace.queues["support"].waiting == 3


async def test_after_a_resume_nothing_is_left_of_what_the_connection_before_watched() -> None:
    async def first(server: ServerSide) -> None:
        await server.receive()
        await server.send(SUPERVISOR_WELCOME | {"agents": [ADA]})
        rows = [{"queue_id": "support", "from_ms": 0, "to_ms": 1}]
        await server.send(
            {"type": "statistics", "by": "queue", "period": "today", "whole": True, "seq": 10, "at_ms": 0, "rows": rows}
        )
        await server.send({"type": "card", "contact_id": "c1", "card": {"version": 1, "status": "complete"}})
        await server.ws.wait_closed()

    async def second(server: ServerSide) -> None:
        assert (await server.receive())["resume"] == "g:10"
        resumed = {key: value for key, value in SUPERVISOR_WELCOME.items() if key != "type"}
        await server.send(resumed | {"type": "resumed", "until_seq": 10})
        await server.send({"type": "stats", "seq": 11, "at_ms": 0, "queues": [QUEUE]})
        await server.ws.wait_closed()

    async with scripted_server(first, second) as url, a_supervisor(url) as supervisor, asyncio.timeout(10):
        await anext(supervisor.statistics_updates())
        await anext(supervisor.card_updates())
        assert supervisor.statistics and supervisor.cards
        await supervisor.drop_connection()
        await anext(supervisor.__aiter__())
        assert supervisor.connection_count == 2
        assert not supervisor.statistics
        assert not supervisor.cards
        assert sorted(supervisor.workspace.agents) == ["ada"]


@pytest.mark.parametrize(
    ("send", "frame"),
    [
        (lambda s: s.requeue("c1", "sales"), {"type": "requeue", "contact_id": "c1", "queue_id": "sales"}),
        (lambda s: s.assign("c1", "ada"), {"type": "assign", "contact_id": "c1", "agent_id": "ada"}),
        (lambda s: s.add_participant("c1", "ada"), {"type": "add_participant", "contact_id": "c1", "agent_id": "ada"}),
        (lambda s: s.remove_participant("c1", "ada"), {"type": "remove_participant", "contact_id": "c1", "agent_id": "ada"}),
        (lambda s: s.end("c1"), {"type": "end", "contact_id": "c1", "reason": "supervisor"}),
        (
            lambda s: s.set_agent_state("ada", AgentState.OFFLINE, after_work=True),
            {"type": "set_agent_state", "agent_id": "ada", "state": "offline", "after_work": True},
        ),
        (lambda s: s.pause_channels("ada", "voice"), {"type": "set_agent_channels", "agent_id": "ada", "paused": ["voice"]}),
    ],
)
async def test_a_command_sends_its_frame(send: Send, frame: dict[str, Any]) -> None:
    frames: list[dict[str, Any]] = []
    async with scripted_server(answering_script(frames, SUPERVISOR_WELCOME)) as url, a_supervisor(url) as supervisor:
        await send(supervisor)
    (sent,) = frames
    assert {name: value for name, value in sent.items() if value is not None} == frame
