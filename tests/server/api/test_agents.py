"""Operations on agents, offers and assignments: each one reaches the engine with what was sent, and answers with a receipt."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.in_process_api import OperatedRouter, operated_router

RECORD = {"skills": {"german": 2}, "queues": ["support"], "units": 200, "channel_max": {"chat": 2}, "queue_ranks": {"support": 1}}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[OperatedRouter]:
    async with operated_router(tmp_path) as operated:
        yield operated


async def offered(api: OperatedRouter) -> str:
    """Return an offer to ``a0``."""
    await api.done("POST", "/v1/agents/a0/state", {"state": "ready"}, as_="agent:a0")
    contact = await api.done("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"}, as_="gateway:web")
    await api.told()
    return f"{contact['contact_id']}.1"


async def test_an_agent_is_created_read_listed_and_removed(api: OperatedRouter) -> None:
    receipt = await api.done("PUT", "/v1/agents/zoe", RECORD)
    assert (receipt["agent_id"], receipt["state"]) == ("zoe", "offline")
    [updated] = await api.told()
    assert {name: updated[name] for name in RECORD} == RECORD
    got = await api.call("GET", "/v1/agents/zoe", as_="agent:zoe")
    assert got.json["units"] == 200
    tag = got.headers["ETag"]
    assert (await api.call("PUT", "/v1/agents/zoe", RECORD, headers={"If-Match": '"other"'})).code == "precondition_failed"
    assert (await api.call("PUT", "/v1/agents/zoe", RECORD | {"units": 100}, headers={"If-Match": tag})).status == 200
    first = await api.get("/v1/agents?limit=3")
    assert ([one["agent_id"] for one in first["agents"]], first["next_cursor"]) == (["a0", "a1", "a2"], "a2")
    rest = await api.get("/v1/agents?limit=3&cursor=a2")
    assert ([one["agent_id"] for one in rest["agents"]], rest["next_cursor"]) == (["zoe"], None)
    assert (await api.get("/v1/agents?limit=4"))["next_cursor"] is None
    assert await api.tells("DELETE", "/v1/agents/zoe") == ["agent.updated", "agent.removed"]
    assert (await api.call("GET", "/v1/agents/zoe")).code == "unknown_agent"


async def test_an_agent_sees_and_changes_only_the_own_record(api: OperatedRouter) -> None:
    for method, path, body in (
        ("GET", "/v1/agents/a1", None),
        ("POST", "/v1/agents/a1/state", {"state": "ready"}),
        ("PUT", "/v1/agents/a1/channels", {"paused": ["chat"]}),
    ):
        assert (await api.call(method, path, body, as_="agent:a0")).code == "unknown_agent"
    assert await api.told() == []


async def test_a_state_carries_its_reason_and_may_wait_for_the_end_of_work(api: OperatedRouter) -> None:
    offer = await offered(api)
    await api.done("POST", f"/v1/offers/{offer}/accept", as_="agent:a0")
    await api.told()
    body = {"state": "not_ready", "reason": "lunch", "after_work": True}
    assert (await api.done("POST", "/v1/agents/a0/state", body, as_="agent:a0"))["agent_id"] == "a0"
    [planned] = await api.told()
    assert (planned["type"], planned["state"], planned["reason"]) == ("agent.next_state_set", "not_ready", "lunch")
    await api.done("POST", "/v1/agents/a1/state", {"state": "not_ready", "reason": "training"}, as_="supervisor")
    assert (await api.told())[0]["reason"] == "training"
    await api.done("PUT", "/v1/agents/a0/channels", {"paused": ["chat"]}, as_="agent:a0")
    [paused] = await api.told()
    assert (paused["type"], paused["paused"]) == ("agent.channels_set", ["chat"])


async def test_an_offer_is_declined_or_accepted_by_its_agent(api: OperatedRouter) -> None:
    offer = await offered(api)
    for action, body in (("accept", None), ("decline", {})):
        assert (await api.call("POST", f"/v1/offers/{offer}/{action}", body, as_="agent:a1")).code == "unknown_offer"
    receipt = await api.done("POST", f"/v1/offers/{offer}/decline", {"reason": "busy"}, as_="agent:a0")
    assert (receipt["offer_id"], receipt["state"]) == (offer, "declined")
    told = await api.told()
    assert (told[0]["reason"], told[-1]["type"]) == ("busy", "offer.made")
    second = told[-1]["offer_id"]
    await api.done("POST", f"/v1/offers/{second}/decline", {}, as_="agent:a0")
    told = await api.told()
    assert told[0]["reason"] == "declined"
    third = told[-1]["offer_id"]
    first, again = [await api.done("POST", f"/v1/offers/{third}/accept", as_="agent:a0") for _ in range(2)]
    assert (first["offer_id"], first["state"]) == (third, "accepted") == (again["offer_id"], again["state"])
    assert [event["type"] for event in await api.told()] == ["offer.accepted"]


async def test_an_assignment_is_held_parked_extended_and_completed(api: OperatedRouter) -> None:
    work = await offered(api)
    await api.done("POST", f"/v1/offers/{work}/accept", as_="agent:a0")
    await api.told()
    path, me = f"/v1/assignments/{work}", "agent:a0"
    assert (await api.call("POST", f"{path}/hold", as_="agent:a1")).code == "unknown_assignment"
    receipt = await api.done("POST", f"{path}/hold", as_=me)
    assert (receipt["assignment_id"], receipt["state"]) == (work, "on_hold")
    assert [event["type"] for event in await api.told()] == ["assignment.held"]
    assert await api.tells("POST", f"{path}/unhold", as_=me) == ["assignment.resumed"]
    assert await api.tells("POST", f"{path}/park", as_=me) == ["assignment.parked"]
    assert await api.tells("POST", f"{path}/unpark", as_=me) == ["assignment.unparked"]
    await api.done("POST", f"/v1/contacts/{work.partition('.')[0]}/end", {}, as_=me)
    started = (await api.told())[-1]
    await api.done("POST", f"{path}/extend", {"extend_s": 5}, as_=me)
    [extended] = await api.told()
    assert extended["deadline_ms"] == started["deadline_ms"] + 5_000
    await api.done("POST", f"{path}/complete", {"disposition": "solved"}, as_="supervisor")
    completed = (await api.told())[0]
    assert (completed["type"], completed["disposition"]) == ("assignment.completed", "solved")
