"""Order of contacts and choice of agents, from the policy document to ``why``, as clients see them; also after a restart."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

POLICY = """
channels: {voice: {}}
skills: [english]
zone: Europe/Berlin
cross_queue_order: service_level_risk
seed: 7
queues:
  mails: {service_level: {threshold_s: 3600}}
  calls: {service_level: {threshold_s: 20}}
  ideas: {order: lifo}
  fair: {selection: fewest_today}
  senior: {selection: by_attributes, order_by: [{fact: grade, direction: desc}]}
  lot: {selection: weighted_random, weight_fact: share}
facts:
  grade: {type: enum, applies_to: agent, values: [junior, senior]}
  share: {type: int, applies_to: agent}
"""


async def a_ready_agent(admin: Api, agent_id: str, **record: Any) -> None:
    await admin.ok("PUT", f"/v1/agents/{agent_id}", record)
    await admin.ok("POST", f"/v1/agents/{agent_id}/state", {"state": "ready"})


async def chosen(admin: Api, contact_id: str) -> dict[str, Any]:
    """Return the agent that has or was offered the contact, and the reason of the choice."""
    why = await admin.ok("GET", f"/v1/contacts/{contact_id}/why")
    (one,) = why["chosen"]
    assert isinstance(one, dict)
    return one


async def serve(admin: Api, contact_id: str) -> None:
    """Let the agent with the offer accept, end and complete the contact."""
    contact = await admin.ok("GET", f"/v1/contacts/{contact_id}")
    agent_id = contact["offers"][0]["agent_id"]
    await admin.ok("POST", f"/v1/contacts/{contact_id}/assign", {"agent_id": agent_id})
    assignment = (await admin.ok("GET", f"/v1/contacts/{contact_id}"))["assignment_id"]
    await admin.ok("POST", f"/v1/assignments/{assignment}/complete")


async def test_due_dates_and_newest_first_decide_the_order_of_offers(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        mail = (await admin.submit(queue_id="mails"))["contact_id"]
        old, new = [(await admin.submit(queue_id="ideas"))["contact_id"] for _ in range(2)]
        call = (await admin.submit(queue_id="calls"))["contact_id"]
        assert (await admin.ok("GET", f"/v1/contacts/{new}"))["position"] == 1
        assert (await admin.ok("GET", f"/v1/contacts/{old}"))["position"] == 2
        served = []
        await a_ready_agent(admin, "ada")
        for _ in range(4):
            offer = (await admin.ok("GET", "/v1/agents/ada"))["offers"][0]
            assert offer["match_trigger"] == "agent"
            served.append(offer["contact_id"])
            await admin.ok("POST", f"/v1/contacts/{offer['contact_id']}/abandon")
        assert served == [call, mail, new, old]


async def test_queue_ranks_are_part_of_the_agent_record(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        mail = (await admin.submit(queue_id="mails"))["contact_id"]
        call = (await admin.submit(queue_id="calls"))["contact_id"]
        await a_ready_agent(admin, "ada", queue_ranks={"mails": 1, "calls": 9})
        assert (await admin.ok("GET", "/v1/agents/ada"))["queue_ranks"] == {"mails": 1, "calls": 9}
        why = await chosen(admin, mail)
        assert (why["agent_id"], why["match_trigger"], why["selection_inputs"]) == ("ada", "agent", {"queue_rank": 1})
        assert (await admin.ok("GET", f"/v1/contacts/{call}"))["state"] == "queued"
        for ranks, code in (
            ({"nowhere": 1}, "unknown_queue"),
            ({"mails": 10}, "invalid_value"),
            ({"mails": 0}, "invalid_value"),
            ({"mails": "first"}, "invalid_value"),
        ):
            got = await admin.call("PUT", "/v1/agents/bob", {"queue_ranks": ranks})
            assert got.code == code and "queue_ranks" in got.json["field"], got
            assert "first" not in got.body.decode()


async def test_daily_counts_survive_a_restart(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        days = [e for e in await admin.events() if e["type"] == "workspace.day_started"]
        today = datetime.now(ZoneInfo("Europe/Berlin")).date().isoformat()
        assert len(days) == 1 and days[0]["day"] <= today
        await a_ready_agent(admin, "ada")
        await serve(admin, (await admin.submit(queue_id="fair"))["contact_id"])
        assert (await admin.ok("GET", "/v1/agents/ada"))["contacts_today"] == 1
        await a_ready_agent(admin, "bob")
    router.kill()
    router.start()
    async with Api(router) as admin:
        assert (await admin.ok("GET", "/v1/agents/ada"))["contacts_today"] == 1
        contact = (await admin.submit(queue_id="fair"))["contact_id"]
        why = await chosen(admin, contact)
        assert (why["agent_id"], why["reason"], why["match_trigger"]) == ("bob", "fewest_today", "contact")
        assert (why["other_candidates"], why.get("selection_inputs")) == (1, {"contacts_today": 0})


async def test_attribute_ranking_and_random_choice_are_explained(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        await a_ready_agent(admin, "ada", attributes={"grade": "junior", "share": 5})
        await a_ready_agent(admin, "bob", attributes={"grade": "senior", "share": 1_000_000})
        contact = (await admin.submit(queue_id="senior"))["contact_id"]
        why = await chosen(admin, contact)
        assert (why["agent_id"], why["selection_inputs"]) == ("bob", {"grade": "senior"})
        await admin.ok("POST", f"/v1/contacts/{contact}/cancel")
        weights = {}
        for _ in range(3):
            contact = (await admin.submit(queue_id="lot"))["contact_id"]
            why = await chosen(admin, contact)
            weights[why["agent_id"]] = why["selection_inputs"]["weight"]
            await admin.ok("POST", f"/v1/contacts/{contact}/cancel")
        assert weights.items() <= {"ada": 5, "bob": 1_000}.items()


async def test_an_invalid_selection_policy_is_refused_with_its_path(make_router: MakeRouter) -> None:
    router = make_router().start()
    bad = POLICY.replace("Europe/Berlin", "Europe/Atlantis").replace("fact: grade", "fact: rank")
    async with Api(router) as admin:
        got = await admin.call("POST", "/v1/policy/check", data=bad.encode(), headers={"Content-Type": "application/yaml"})
        assert got.code == "invalid_policy"
        paths = {problem["path"] for problem in got.json["errors"]}
        assert paths == {"zone", "queues.senior.order_by[0].fact"}
        assert "Atlantis" not in got.body.decode()


async def test_round_robin_goes_round_the_agents_of_each_queue(make_router: MakeRouter) -> None:
    policy = """\
channels: {chat: {units: 1, per_agent_max: 50}}
queues:
  support: {selection: round_robin}
  sales: {selection: round_robin}
"""
    router = make_router(policy=policy).start()
    async with Api(router) as admin:
        for name in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{name}", {})
            await admin.ok("POST", f"/v1/agents/{name}/state", {"state": "ready"})
        found: dict[str, list[str]] = {"support": [], "sales": []}
        for _ in range(4):
            for queue_id, agents in found.items():
                contact = await admin.submit(channel="chat", queue_id=queue_id)
                why = await chosen(admin, contact["contact_id"])
                agents.append(why["agent_id"])
        assert found == {"support": ["ada", "bob"] * 2, "sales": ["ada", "bob"] * 2}
