"""Plans over HTTP: steps widen the selection in time, survive a kill, and `why` shows the next step."""

import asyncio

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

POLICY = """\
channels: {voice: {}}
skills: [german, loans]
plans:
  loans:
    - {duration_s: 600, prefer: [last, named]}
    - {duration_s: 1}
    - {duration_s: 600, lower_levels: {loans: 3}, add_priority_s: 30}
    - {remove_skills: [loans]}
queues: {support: {requires: {loans: 8}, plan: loans, cool_down_s: 0}}
default_queue: support
"""


async def test_a_plan_step_widens_the_selection_in_time_and_survives_a_kill(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        await admin.ok("PUT", "/v1/agents/eva", {"skills": {"loans": 3}})
        contact_id = (await admin.submit())["contact_id"]
        contact = await admin.ok("GET", f"/v1/contacts/{contact_id}")
        assert (contact["plan"], contact["step"]) == ("loans", 1), "no preferred agent"
        why = await admin.ok("GET", f"/v1/contacts/{contact_id}/why")
        assert why["step"]["step"] == 1 and why["step"]["qualified"] == 0
        assert why["step"]["requirement"] == "voice/support:loans>=8"
        assert why["next_step"]["requirement"] == "voice/support:loans>=3"
        assert why["next_step"]["qualified"] == 1 and why["next_step"]["priority_s"] == 30
        assert why["next_change"] == "step"
        assert why["next_change_at_ms"] == contact["step_until_ms"]
    router.kill()
    router.start()
    async with Api(router) as admin:
        await admin.ok("POST", "/v1/agents/eva/state", {"state": "ready"})
        async with asyncio.timeout(30):
            while not contact.get("offers"):
                contact = await admin.ok("GET", f"/v1/contacts/{contact_id}")
        assert contact["offers"][0]["agent_id"] == "eva"
        entered = [e for e in await admin.events() if e["type"] == "contact.step_entered"]
        assert [(e["step"], e["reason"]) for e in entered] == [(2, "time")]


async def test_a_returning_customer_gets_the_previous_agent(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        for name in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{name}", {"skills": {"loans": 9}, "units": 200})
            await admin.ok("POST", f"/v1/agents/{name}/state", {"state": "ready"})
        first = await admin.submit(preferred_agents=["bob"])
        assert await _offered_to(admin, first) == "bob"
        offer_id = f"{first['contact_id']}.1"
        async with Api(router, "agent", "bob") as bob:
            await bob.ok("POST", f"/v1/offers/{offer_id}/accept")
            await bob.ok("POST", f"/v1/contacts/{first['contact_id']}/end")
        second = await admin.submit(continues_contact_id=first["contact_id"])
        assert await _offered_to(admin, second) == "bob"
        third = await admin.submit(preferred_agents=["unknown-agent"])
        assert await _offered_to(admin, third) == "ada", "who is not there is not waited for"


async def test_invalid_plans_and_preferences_are_refused_with_their_path(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        document = {
            "channels": {"voice": {}},
            "queues": {"support": {"plan": "loans"}},
            "plans": {"loans": [{"remove_skills": ["loans"]}, {"duration_s": 5, "prefer": ["last"]}]},
        }
        checked = (await admin.call("POST", "/v1/policy/check", document)).json
        places = {one["path"] for one in checked["errors"]}
        assert places >= {
            "plans.loans[0].duration_s",
            "plans.loans[0].remove_skills[0]",
            "plans.loans[1].duration_s",
            "plans.loans[1].prefer",
        }, checked
        for bad in (["a b"], "bob", [1], ["x"] * 33):
            body = {"channel": "voice", "preferred_agents": bad}
            got = await admin.call("POST", "/v1/contacts", body)
            assert got.code == "invalid_value"
            assert got.json["field"].startswith("preferred_agents")


async def _offered_to(api: Api, receipt: dict[str, str]) -> str:
    contact = await api.ok("GET", f"/v1/contacts/{receipt['contact_id']}")
    return str(contact["offers"][0]["agent_id"])
