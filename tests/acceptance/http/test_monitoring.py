"""Listen, whisper and barge through real processes: gateway, desktop and supervisors, hidden from agents, kept over a kill."""

import asyncio
from typing import Any

from router.client import DesktopClient, GatewayClient, SupervisorClient
from router.client.connection import ConnectionOptions
from router.client.supervision import SupervisorApi
from router.model import events as e
from router.model.states import MonitorMode, MonitorOutcome
from router.server.auth.credentials import ScopeClaim, mint_token
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
channels: {voice: {offer_timeout_s: 60, wrap_up_s: 0}}
queues:
  support: {}
  secret: {monitoring: {agent_sees: false}}
"""
OPTIONS = ConnectionOptions(connect_timeout_s=20.0, command_timeout_s=20.0)
LISTEN, BARGE, JOINED = MonitorMode.LISTEN, MonitorMode.BARGE, MonitorOutcome.JOINED


def connect(kind: Any, router: RouterProcess, role: str, subject: str) -> Any:
    return kind(router.url.replace("http", "ws", 1), router.token(role, subject), options=OPTIONS)


async def a_call(router: RouterProcess, queue_id: str = "support", agent_id: str = "ada") -> str:
    """Let a gateway submit a call, and assign it to an agent; return its id."""
    async with Api(router) as admin, Api(router, "gateway", "pbx") as pbx:
        await admin.ok("PUT", f"/v1/agents/{agent_id}", {"units": 1_000, "channel_max": {"voice": 10}, "team": "red"})
        await admin.ok("POST", f"/v1/agents/{agent_id}/state", {"state": "not_ready"})
        contact_id = (await pbx.submit(queue_id=queue_id))["contact_id"]
        await admin.ok("POST", f"/v1/contacts/{contact_id}/assign", {"agent_id": agent_id})
    return str(contact_id)


async def monitors(router: RouterProcess, contact_id: str, role: str = "admin", subject: str = "x") -> list[dict[str, Any]]:
    async with Api(router, role, subject) as api:
        found: list[dict[str, Any]] = (await api.ok("GET", f"/v1/contacts/{contact_id}")).get("monitors", [])
    return found


async def test_a_supervisor_listens_and_barges_while_gateway_and_agent_are_told_also_after_a_kill(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    contact_id = await a_call(router)
    async with (
        connect(GatewayClient, router, "gateway", "pbx") as gateway,
        connect(SupervisorClient, router, "supervisor", "sue") as sue,
        connect(DesktopClient, router, "agent", "ada") as ada,
        asyncio.timeout(60),
    ):
        work = next(iter(ada.state.assignments))
        await sue.monitor(contact_id, LISTEN)
        asked = await anext(one async for one in gateway.events() if isinstance(one, e.ContactMonitorRequested))
        assert (asked.supervisor_id, asked.mode, asked.present_mode) == ("sue", LISTEN, None)
        assert ada.state.assignments[work].monitors == {}
        await gateway.monitor_result(contact_id, "sue", LISTEN, JOINED)
        await anext(one async for one in ada.events() if isinstance(one, e.ContactMonitorJoined))
        assert ada.state.assignments[work].monitors == {"sue": LISTEN}
        await sue.monitor(contact_id, BARGE)
        await anext(one async for one in gateway.events() if isinstance(one, e.ContactMonitorRequested))
        assert gateway.contacts.by_id[contact_id].monitors["sue"].wanted is BARGE
    before = await monitors(router, contact_id)
    router.kill()
    router.start()
    assert await monitors(router, contact_id) == before and before[0]["mode"] == "listen" and before[0]["wanted"] == "barge"
    async with (
        connect(GatewayClient, router, "gateway", "pbx") as gateway,
        connect(DesktopClient, router, "agent", "ada") as ada,
        asyncio.timeout(60),
    ):
        assert gateway.contacts.by_id[contact_id].monitors["sue"].wanted is BARGE, "a welcome says what is left to do"
        assert ada.state.assignments[work].monitors == {"sue": LISTEN}
        await gateway.monitor_result(contact_id, "sue", BARGE, JOINED)
        await ada.end(contact_id)
        left = await anext(one async for one in gateway.events() if isinstance(one, e.ContactMonitorLeft))
        assert (left.reason, left.mode, left.owner_agent_id) == ("contact_ended", BARGE, "ada")
    async with Api(router) as admin:
        page = (await admin.ok("GET", "/v1/events?limit=500"))["events"]
        [record] = (await admin.ok("GET", "/v1/records?monitor=sue"))["records"]
        assert (await admin.ok("GET", "/v1/records?monitor=tom"))["records"] == []
    assert [(one["supervisor_id"], one["agent_id"], one["mode"], one["reason"]) for one in record["monitors"]] == [
        ("sue", "ada", "listen", "mode_changed"),
        ("sue", "ada", "barge", "contact_ended"),
    ]
    listen, barge = record["monitors"]
    assert listen["joined_at_ms"] < listen["left_at_ms"] == barge["joined_at_ms"] < barge["left_at_ms"] == record["ended_at_ms"]
    events = [one.get("event", one) for one in page]
    audit = [(one["type"], one.get("mode")) for one in events if one["type"].startswith("contact.monitor")]
    assert audit == [
        *(("contact.monitor_requested", "listen"), ("contact.monitor_joined", "listen")),
        *(("contact.monitor_requested", "barge"), ("contact.monitor_joined", "barge"), ("contact.monitor_left", "barge")),
    ]


async def test_an_agent_learns_nothing_of_a_hidden_supervisor(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    contact_id = await a_call(router, "secret")
    async with (
        Api(router, "gateway", "pbx") as pbx,
        Api(router, "agent", "ada") as agent,
        connect(DesktopClient, router, "agent", "ada") as ada,
        asyncio.timeout(60),
    ):
        supervisor = SupervisorApi(router.url, router.token("supervisor", "canary"))
        await supervisor.monitor(contact_id, LISTEN)
        body = {"supervisor_id": "canary", "mode": "listen", "outcome": "joined"}
        await pbx.ok("POST", f"/v1/contacts/{contact_id}/monitor/result", body)
        assert [one["mode"] for one in await monitors(router, contact_id)] == ["listen"]
        own = [await agent.call("GET", path) for path in (f"/v1/contacts/{contact_id}", "/v1/agents/ada")]
        own.append(await agent.call("POST", f"/v1/contacts/{contact_id}/monitor/leave", {}))
        assert [one.status for one in own] == [200, 200, 403] and not any(b"canary" in one.body for one in own)
        await supervisor.stop_monitoring(contact_id)
        assert await monitors(router, contact_id) == []
        await ada.end(contact_id)
        heard = []
        async for one in ada.events():
            heard.append(one)
            if isinstance(one, e.ContactEnded):
                break
        assert not any("canary" in str(one) for one in heard)


async def test_a_scope_of_queue_or_team_decides_and_a_key_is_honoured(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    contact_id = await a_call(router)

    def lead(**scope: Any) -> Api:
        return Api(router, token=mint_token(router.settings, subject="lead", role="supervisor", scope=ScopeClaim(**scope)))

    path = f"/v1/contacts/{contact_id}/monitor"
    for scope in ({"queues": ("secret",)}, {"teams": ("blue",)}):
        async with lead(**scope) as outside:
            assert (await outside.call("POST", path, {"mode": "listen"})).code == "unknown_contact"
    async with lead(queues=("support",), teams=("red",)) as inside, Api(router) as admin:
        first = await inside.ok("POST", path, {"mode": "listen"}, **{"Idempotency-Key": "once"})
        again = await inside.call("POST", path, {"mode": "listen"}, headers={"Idempotency-Key": "once"})
        assert again.json["seq"] == first["seq"] and len(await monitors(router, contact_id)) == 1
        await admin.ok("PATCH", "/v1/agents/ada", {"team": "blue"})
        assert await monitors(router, contact_id) == []
        assert (await inside.call("POST", path, {"mode": "listen"})).code == "unknown_contact"


async def test_the_end_of_a_token_ends_the_monitoring(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    contact_id = await a_call(router)
    token = mint_token(router.settings, subject="sue", role="supervisor", lifetime_s=60)
    async with Api(router, token=token) as sue, Api(router) as admin:
        await sue.ok("POST", f"/v1/contacts/{contact_id}/monitor", {"mode": "listen"})
        (monitor,) = await monitors(router, contact_id)
        now_ms = (await admin.ok("GET", f"/v1/contacts/{contact_id}"))["changed_at_ms"]
        leeway_ms = 1000 * router.settings.auth.leeway_s
        assert now_ms < monitor["until_ms"] <= monitor["requested_at_ms"] + 60_000 + leeway_ms
