"""What a supervisor's client knows: figures between the welcome and the live stream, under overload, and agents that are new."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from router.client import SupervisorClient
from router.model import commands as c
from router.model.errors import CommandQueueFull
from router.model.states import AgentState, Presence
from tests.support.builders import a_contact, an_agent
from tests.support.in_process_router import InProcessRouter, running_router

INTERVAL_MS = 300


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something holds that the network and the interval may delay."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  Nothing announces that the network has delivered.
            await asyncio.sleep(0.005)


def shows(supervisor: SupervisorClient, count: int) -> bool:
    return waiting(supervisor) == count


def waiting(supervisor: SupervisorClient) -> int:
    return supervisor.workspace.queues["support"].waiting


async def figures(router: InProcessRouter) -> Any:
    """Return the figures of all queues, as a fresh welcome would have them."""
    return (await router.writer.query("default", lambda engine: engine.workspace().queues)).value


async def test_a_change_that_is_undone_between_the_welcome_and_the_next_update_is_told(tmp_path: Path) -> None:
    """Compared with the last update nothing has changed, but the new supervisor's welcome was made in between."""
    async with running_router(tmp_path, sockets={"stats_interval_ms": INTERVAL_MS}) as router, router.supervisor("eve") as first:
        await router.do(a_contact("c1"))
        await until(lambda: waiting(first) == 1)
        await router.do(a_contact("c2"))
        async with router.supervisor("sam") as second:
            assert waiting(second) == 2
            await router.do(c.CancelContact(contact_id="c2"))
            await until(lambda: waiting(second) == 1)
            await until(lambda: waiting(first) == 1)
            for client in (first, second):
                assert client.workspace.queues == {one.queue_id: one for one in await figures(router)}


async def test_a_change_after_the_welcome_and_before_the_live_stream_is_told(tmp_path: Path) -> None:
    async with running_router(tmp_path, sockets={"stats_interval_ms": 50}) as router:
        for number in range(10):
            connecting = asyncio.create_task(anext_supervisor(router))
            for step in range(number % 4):
                await asyncio.sleep(0.001 * step)
            await router.do(a_contact(f"c{number}"))
            supervisor = await connecting
            await until(partial(shows, supervisor, number + 1))
            await supervisor.__aexit__(None, None, None)


async def anext_supervisor(router: InProcessRouter) -> SupervisorClient:
    return await router.supervisor().__aenter__()


async def test_figures_arrive_after_the_command_queue_was_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_router(tmp_path, sockets={"stats_interval_ms": 50}) as router, router.supervisor() as supervisor:
        await until(lambda: waiting(supervisor) == 0)
        query, refused = router.writer.query_in_slices, 0

        async def overloaded(workspace: str, what: Any) -> Any:
            nonlocal refused
            if refused < 3:
                refused += 1
                raise CommandQueueFull("full")
            return await query(workspace, what)

        monkeypatch.setattr(router.writer, "query_in_slices", overloaded)
        await router.do(a_contact("c1"))
        await until(lambda: waiting(supervisor) == 1)
        assert refused == 3


async def test_a_supervisor_learns_of_a_new_agent_of_changes_and_of_the_removal(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.supervisor() as supervisor:
        await router.do(an_agent("zoe", attributes={}, channel_max={"voice": 1}))
        await until(lambda: "zoe" in supervisor.workspace.agents)
        async with router.supervisor("sam") as fresh:
            assert supervisor.workspace.agents["zoe"] == fresh.workspace.agents["zoe"]
        async with router.desktop("zoe") as desktop:
            await desktop.ready()
            await router.do(a_contact("c1"))
            await until(lambda: supervisor.workspace.agents["zoe"].offers)
            zoe = supervisor.workspace.agents["zoe"]
            assert (zoe.state, zoe.presence, zoe.channel_max) == (AgentState.READY, Presence.ATTACHED, {"voice": 1})
            await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "gold"}))
            await until(lambda: zoe.offers["c1.1"].attributes == {"tier": "gold"})
        await router.do(c.CancelContact(contact_id="c1"))
        await router.do(c.RemoveAgent(agent_id="zoe"))
        await until(lambda: "zoe" not in supervisor.workspace.agents)
