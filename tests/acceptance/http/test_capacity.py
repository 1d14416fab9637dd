"""Capacity over HTTP: interruptions, parked contacts, paused channels, fairness caps, and who has changed an agent."""

from typing import Any

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

POLICY = """\
channels:
  voice: {interrupts: [chat], offer_timeout_s: 60}
  chat: {units: 50, per_agent_max: 2, offer_timeout_s: 60, park_max_s: 3600}
  mail: {units: 0, per_agent_max: 9, offer_timeout_s: 60, rate_cap: {contacts_max: 1, window_s: 3600}}
queues:
  support: {cool_down_s: 0}
"""


async def _take(api: Api, agent_id: str) -> str:
    """Accept the agent's one pending offer; the assignment's id."""
    (offer,) = (await api.ok("GET", f"/v1/agents/{agent_id}"))["offers"]
    await api.ok("POST", f"/v1/offers/{offer['offer_id']}/accept")
    return str(offer["offer_id"])


async def _agent(api: Api, agent_id: str = "ada") -> dict[str, Any]:
    view: dict[str, Any] = await api.ok("GET", f"/v1/agents/{agent_id}")
    return view


async def _lacks(admin: Api, contact_id: str) -> list[dict[str, Any]]:
    why = await admin.ok("GET", f"/v1/contacts/{contact_id}/why/ada")
    lacks: list[dict[str, Any]] = why["unmet_conditions"]
    return lacks


async def test_a_call_interrupts_chats_which_resume_afterwards(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as gateway, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        for _ in range(2):
            await gateway.submit(channel="chat")
            await _take(ada, "ada")
        assert (await _agent(ada))["units_used"] == 100
        call = await gateway.submit(channel="voice")
        await _take(ada, "ada")
        view = await _agent(ada)
        assert view["units_used"] == 100
        assert {(work["channel"], work["units"], work.get("interrupted", False)) for work in view["assignments"]} == {
            ("chat", 0, True),
            ("voice", 100, False),
        }
        chat = await gateway.submit(channel="chat")
        assert "interrupted" in [one["code"] for one in await _lacks(admin, chat["contact_id"])]
        await ada.ok("POST", f"/v1/contacts/{call['contact_id']}/end")
        view = await _agent(ada)
        assert view["units_used"] == 100
        assert not any(work.get("interrupted") for work in view["assignments"])


async def test_a_parked_contact_uses_no_capacity_until_unparked(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with (
        Api(router) as admin,
        Api(router, "gateway", "web") as gateway,
        Api(router, "gateway", "sms") as stranger,
        Api(router, "agent", "ada") as ada,
    ):
        await admin.ok("PUT", "/v1/agents/ada", {"units": 50})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        first = (await gateway.submit(channel="chat"))["contact_id"]
        refused = await gateway.call("POST", f"/v1/contacts/{first}/park")
        assert (refused.status, refused.code) == (409, "invalid_contact_state")
        work = await _take(ada, "ada")
        parked = await gateway.ok("POST", f"/v1/contacts/{first}/park")
        assert parked["state"] == "assigned"
        assert (await gateway.ok("GET", f"/v1/contacts/{first}"))["parked"] is True
        (item,) = (await _agent(ada))["assignments"]
        assert (item["state"], item["units"]) == ("parked", 0)
        assert item["parked_until_ms"] >= item["started_at_ms"] + 3_600_000
        second = (await gateway.submit(channel="chat"))["contact_id"]
        await _take(ada, "ada")
        unknown = await stranger.call("POST", f"/v1/contacts/{first}/unpark")
        assert (unknown.status, unknown.code) == (404, "unknown_contact")
        for _ in range(2):
            await gateway.ok("POST", f"/v1/contacts/{first}/unpark")
        assert (await _agent(ada))["units_used"] == 100
        assert (await ada.ok("POST", f"/v1/assignments/{work}/park"))["state"] == "parked"
        assert (await ada.ok("POST", f"/v1/assignments/{work}/unpark"))["state"] == "active"
        refused = await ada.call("POST", f"/v1/assignments/{work}/extend", {"extend_s": 5})
        assert refused.code == "invalid_assignment_state"
        assert "park" in refused.json["allowed"]
        await ada.ok("POST", f"/v1/contacts/{second}/end")


async def test_paused_channels_survive_a_restart_and_a_change_of_state(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        waiting = (await admin.submit(channel="voice"))["contact_id"]
        await ada.ok("PUT", "/v1/agents/ada/channels", {"paused": ["voice"]})
        assert (await _agent(ada)).get("offers", []) == []
        unknown = await ada.call("PUT", "/v1/agents/ada/channels", {"paused": ["fax"]})
        assert (unknown.status, unknown.code) == (422, "unknown_channel")
        assert unknown.json["field"] == "paused[0]" and "fax" not in unknown.body.decode()
        other = await ada.call("PUT", "/v1/agents/bob/channels", {"paused": []})
        assert (other.status, other.code) == (404, "unknown_agent")
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "not_ready"})
    router.kill()
    router.start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada, Api(router, "supervisor", "eve") as eve:
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        view = await _agent(ada)
        assert view["paused"] == ["voice"] and view["available_channels"] == ["chat", "mail"]
        assert {"code": "paused", "channel": "voice"} in await _lacks(admin, waiting)
        await eve.ok("PUT", "/v1/agents/ada/channels", {"paused": []})
        (offer,) = (await _agent(ada))["offers"]
        assert offer["contact_id"] == waiting


async def test_a_reached_cap_returns_its_end_also_after_a_restart(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as gateway, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        await gateway.submit(channel="mail")
        work = await _take(ada, "ada")
        (item,) = (await _agent(ada))["assignments"]
        waiting = (await gateway.submit(channel="mail"))["contact_id"]
        await ada.ok("POST", f"/v1/contacts/{work.rpartition('.')[0]}/end")
        lack = {"code": "rate_cap", "channel": "mail", "has": 1, "until_ms": item["started_at_ms"] + 3_600_000}
        assert await _lacks(admin, waiting) == [lack]
        digest = await admin.ok("GET", "/v1/digest")
    router.kill()
    router.start()
    async with Api(router) as admin:
        assert (await admin.ok("GET", "/v1/digest"))["digest"] == digest["digest"]
        assert await _lacks(admin, waiting) == [lack]
        assert "mail" not in (await _agent(admin))["available_channels"]


async def test_changes_by_a_supervisor_are_attributed_in_the_history(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router, "supervisor", "eve") as eve:
        await eve.ok("PUT", "/v1/agents/ada", {"units": 70, "channel_max": {"chat": 1}})
        await eve.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        await eve.ok("PUT", "/v1/agents/ada/channels", {"paused": ["mail"]})
        events = [one for one in await eve.events() if one.get("agent_id") == "ada"]
        assert [one["type"] for one in events] == ["agent.updated", "agent.state_changed", "agent.channels_set"]
        assert {one["actor"] for one in events} == {"supervisor:eve"}
