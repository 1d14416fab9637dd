"""Sockets of supervisors with a scope: what is out of it is never sent, and what leaves it disappears."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from router.client import SupervisorClient
from router.client.connection import ConnectionOptions
from router.client.errors import RouterRefused
from router.model.states import AgentState, MonitorMode
from router.server.auth.credentials import ScopeClaim, mint_token
from router.statistics.history_queries import Dimension
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
channels: {voice: {wrap_up_s: 0}}
queues: {sales: {}, canary-queue: {}}
facts: {topic: {type: enum, values: [plain, canary]}}
"""
SCOPE = ScopeClaim(queues=("sales",), teams=("blue",))
SOCKETS = {"sockets": {"stats_interval_ms": 50}}
OPTIONS = ConnectionOptions(connect_timeout_s=20.0, command_timeout_s=20.0)


def token_of(router: RouterProcess, scope: ScopeClaim | None = SCOPE, subject: str = "lead") -> str:
    return mint_token(router.settings, subject=subject, role="supervisor", scope=scope)


def a_lead(router: RouterProcess, scope: ScopeClaim = SCOPE) -> SupervisorClient:
    return SupervisorClient(router.url.replace("http", "ws", 1), token_of(router, scope), options=OPTIONS)


@asynccontextmanager
async def raw_frames(router: RouterProcess) -> AsyncIterator[list[str]]:
    """Collect every frame that a supervisor with a scope is sent, as text."""
    frames: list[str] = []
    url = router.url.replace("http", "ws", 1) + "/v1/supervisor"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token_of(router)}"}) as session,
        session.ws_connect(url, protocols=["router.v1+json"]) as socket,
    ):
        await socket.send_json({"type": "hello"})

        async def read() -> None:
            while True:
                frames.append(await socket.receive_str())

        reading = asyncio.create_task(read())
        await until(lambda: bool(frames))
        for name in ("queue", "queue_channel", "agent", "team"):
            await socket.send_json({"type": "watch_statistics", "id": name, "by": name})
        yield frames
        reading.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def a_centre(router: RouterProcess) -> Api:
    """Make agents of two teams; ada of the blue one has a contact of either queue."""
    admin = await Api(router).__aenter__()
    for name, team in (("ada", "blue"), ("tom", "red"), ("canary-rex", "canary-team")):
        await admin.ok("PUT", f"/v1/agents/{name}", {"team": team, "units": 100_000, "channel_max": {"voice": 1_000}})
        await admin.ok("POST", f"/v1/agents/{name}/state", {"state": "not_ready"})
    for queue_id in ("sales", "canary-queue"):
        contact_id = (await admin.submit(queue_id=queue_id))["contact_id"]
        await admin.ok("POST", f"/v1/contacts/{contact_id}/assign", {"agent_id": "ada"})
    return admin


async def something_of_everything(admin: Api) -> None:
    """Do what makes events about hidden queues, agents and contacts, and about a contact that changes sides."""
    for queue_id in ("canary-queue", "sales", "canary-queue"):
        await admin.submit(queue_id=queue_id, attributes={"topic": "canary" if queue_id != "sales" else "plain"})
    moved = (await admin.submit(queue_id="sales"))["contact_id"]
    await admin.ok("POST", f"/v1/contacts/{moved}/assign", {"agent_id": "ada"})
    await admin.ok("POST", f"/v1/contacts/{moved}/requeue", {"queue_id": "canary-queue"})
    await admin.ok("POST", f"/v1/contacts/{moved}/assign", {"agent_id": "canary-rex"})
    await admin.ok("POST", f"/v1/contacts/{moved}/monitor", {"mode": "listen"})
    await admin.ok("POST", "/v1/agents/canary-rex/state", {"state": "ready"})
    await admin.ok("POST", "/v1/queues/canary-queue/close", {})
    await admin.ok("POST", "/v1/queues/canary-queue/open", {})
    got = await admin.call("GET", "/v1/policy")
    await admin.ok("PUT", "/v1/policy", got.json | {"overflow_count_max": 9}, **{"If-Match": got.headers["ETag"]})


async def test_nothing_from_outside_the_scope_is_ever_sent(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, **SOCKETS).start()
    admin = await a_centre(router)
    async with raw_frames(router) as frames:

        def last(agent_id: str) -> list[str]:
            return [frame for frame in frames if f'"agent_id":"{agent_id}"' in frame or f'"removed_agents":["{agent_id}"' in frame]

        await something_of_everything(admin)
        await admin.ok("PATCH", "/v1/agents/tom", {"team": "blue"})
        await until(lambda: bool(last("tom")))
        await admin.ok("PATCH", "/v1/agents/tom", {"team": "red"})
        await until(lambda: '"removed_agents":["tom"]' in last("tom")[-1])
        await until(lambda: sum('"type":"statistics"' in frame for frame in frames) >= 4)
        shown = [json.loads(frame) for frame in frames]
    await admin.__aexit__(None, None, None)
    kinds = {one["type"] for one in shown}
    assert kinds == {"welcome", "scope", "statistics", "ok"}, "no event, and no figures of the workspace"
    assert not any("canary" in frame for frame in frames)
    (welcome,) = [one for one in shown if one["type"] == "welcome"]
    assert [one["agent_id"] for one in welcome["agents"]] == ["ada"] and len(welcome["agents"][0]["assignments"]) == 1
    assert [one["queue_id"] for one in welcome["stats"]["queues"]] == ["sales"]
    assert (welcome["stats"]["agents"], welcome["stats"]["assignments_open"], welcome["stats"]["counts"]["assigned"]) == (1, 1, 1)


async def test_the_state_of_a_client_is_that_of_a_fresh_welcome(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, **SOCKETS).start()
    admin = await a_centre(router)
    async with a_lead(router) as lead, asyncio.timeout(60):
        await something_of_everything(admin)
        await admin.ok("PATCH", "/v1/agents/tom", {"team": "blue"})
        await admin.ok("DELETE", "/v1/agents/tom")
        await admin.ok("PUT", "/v1/agents/new", {"team": "blue"})
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        await until(lambda: set(lead.workspace.agents) == {"ada", "new"} and lead.workspace.agents["ada"].state is AgentState.READY)
        async with a_lead(router) as fresh:
            await until(lambda: lead.workspace.agents == fresh.workspace.agents)
            assert lead.workspace.queues["sales"].assigned == fresh.workspace.queues["sales"].assigned
    await admin.__aexit__(None, None, None)


async def test_commands_keep_to_the_scope_and_others_are_refused(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, **SOCKETS).start()
    admin = await a_centre(router)
    hidden = (await admin.submit(queue_id="canary-queue"))["contact_id"]
    own = (await admin.submit(queue_id="sales"))["contact_id"]

    async def refusal(work: Any) -> tuple[str, str]:
        with pytest.raises(RouterRefused) as refused:
            await work
        return refused.value.code, refused.value.error.detail

    async with a_lead(router) as lead, asyncio.timeout(60):
        for contact_id in (hidden, "absent"):
            assert (await refusal(lead.requeue(contact_id)))[0] == "unknown_contact"
            assert (await refusal(lead.monitor(contact_id, MonitorMode.LISTEN)))[0] == "unknown_contact"
        for agent_id in ("tom", "absent"):
            assert (await refusal(lead.assign(own, agent_id)))[0] == "unknown_agent"
            assert (await refusal(lead.set_agent_state(agent_id, AgentState.READY)))[0] == "unknown_agent"
        assert (await refusal(lead.requeue(own, "canary-queue"))) == await refusal(lead.requeue(own, "absent"))
        await lead.assign(own, "ada")
        await until(lambda: len(lead.workspace.agents["ada"].assignments) == 2)
        for refused in (
            lead.watch_card(own),
            lead.add_participant(own, "ada"),
            lead.watch_statistics(Dimension.WORKSPACE),
            lead.watch_statistics(Dimension.DISPOSITION),
        ):
            code, detail = await refusal(refused)
            assert code == "forbidden" and "supervises" in detail
    async with a_lead(router, ScopeClaim(queues=("sales",))) as of_queues:
        assert (await refusal(of_queues.watch_statistics(Dimension.AGENT)))[0] == "forbidden"
    await admin.__aexit__(None, None, None)


async def test_a_socket_keeps_its_scope(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, **SOCKETS).start()
    url = router.url.replace("http", "ws", 1) + "/v1/supervisor"
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        async with Api(router, token=token_of(router)) as lead:
            ticket = (await lead.ok("POST", "/v1/ws-ticket"))["ticket"]
        async with session.ws_connect(url, protocols=["router.v1+json"]) as socket:
            await socket.send_json({"type": "hello", "ticket": ticket})
            welcome = await socket.receive_json()
            assert [one["queue_id"] for one in welcome["stats"]["queues"]] == ["sales"], "a ticket has the scope of its token"
        for scope, accepted in ((SCOPE, True), (None, False), (ScopeClaim(queues=("sales", "canary-queue")), False)):
            async with session.ws_connect(url, protocols=["router.v1+json"]) as socket:
                await socket.send_json({"type": "hello", "token": token_of(router)})
                assert (await socket.receive_json())["type"] == "welcome"
                await socket.send_json({"type": "refresh", "id": "r", "token": token_of(router, scope)})
                answer = await socket.receive_json()
                while answer.get("id") != "r":
                    answer = await socket.receive_json()
                assert (answer["type"], answer.get("code")) == (("ok", None) if accepted else ("error", "forbidden"))
