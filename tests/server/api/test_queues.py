"""Operations on queues: live counts, availability, expected waits, and opening by a supervisor."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.in_process_api import OperatedRouter, operated_router


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[OperatedRouter]:
    async with operated_router(tmp_path) as operated:
        yield operated


async def test_a_queue_shows_who_waits_and_for_how_long(api: OperatedRouter) -> None:
    for _ in range(2):
        await api.done("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"}, as_="gateway:web")
    got = await api.call("GET", "/v1/queues/support")
    assert (got.json["queue"]["queue_id"], got.json["queue"]["waiting"]) == ("support", 2)
    assert got.json["longest_wait_ms"] >= 0
    assert got.headers["ETag"].startswith('"')
    listed = await api.get("/v1/queues")
    assert [(one["queue"]["queue_id"], one["queue"]["waiting"]) for one in listed["queues"]] == [("sales", 0), ("support", 2)]
    assert listed["queues"][0]["longest_wait_ms"] is None
    assert listed["as_of_seq"] == 6
    assert (await api.call("GET", "/v1/queues/fax")).code == "unknown_queue"


async def test_a_supervisor_opens_and_closes_a_queue(api: OperatedRouter) -> None:
    receipt = await api.done("POST", "/v1/queues/support/close", {"duration_s": 600}, as_="supervisor")
    assert (receipt["queue_id"], receipt["state"]) == ("support", "closed")
    assert [event["type"] for event in await api.told()][-1] == "queue.closed"
    found = await api.get("/v1/queues/support/availability?channel=voice")
    assert (found["is_open"], found["accepts_contacts"], found["refusal"]) == (False, False, "queue_closed")
    assert (await api.done("POST", "/v1/queues/support/open", {}, as_="supervisor"))["state"] == "open"
    assert (await api.get("/v1/queues/support"))["queue"]["is_open"]
    receipt = await api.done("POST", "/v1/queues/support/follow-hours", as_="supervisor")
    assert (receipt["queue_id"], receipt["state"]) == ("support", "open")
    assert (await api.call("POST", "/v1/queues/fax/open", {})).code == "unknown_queue"


async def test_availability_counts_agents_with_the_skills(api: OperatedRouter) -> None:
    await api.done("PUT", "/v1/agents/a0", {"skills": {"german": 2, "english": 1}})
    for agent_id in ("a0", "a1"):
        await api.done("POST", f"/v1/agents/{agent_id}/state", {"state": "ready"}, as_=f"agent:{agent_id}")
    got = await api.call("GET", "/v1/queues/support/availability?channel=voice")
    assert (got.json["agents_ready"], got.json["agents_free"], got.json["accepts_contacts"]) == (2, 2, True)
    assert got.headers["Cache-Control"] == "private, max-age=1"
    for skills, agents in (("german", 1), ("german:2", 1), ("german:3", 0), ("german:2,english", 1)):
        found = await api.get(f"/v1/queues/support/availability?channel=voice&skills={skills}")
        assert (found["agents_ready"], found["agents_free"]) == (agents, agents), skills
    for query, code in (("skills=german,german:2", "invalid_value"), ("skills=swiss", "unknown_skill")):
        assert (await api.call("GET", f"/v1/queues/support/availability?channel=voice&{query}")).code == code
    assert (await api.call("GET", "/v1/queues/fax/availability?channel=voice")).code == "unknown_queue"


async def test_an_expected_wait_depends_on_priority_and_skills(api: OperatedRouter) -> None:
    path = "/v1/queues/support/expected-wait?channel=voice"
    got = await api.get(path)
    assert (got["queue_id"], got["expected_wait"], got["as_of_seq"]) == ("support", {"reason": "no_agent_ready"}, 4)
    await api.done("POST", "/v1/agents/a0/state", {"state": "ready"}, as_="agent:a0")
    assert (await api.get(path))["expected_wait"]["p50_ms"] == 0
    for _ in range(5):
        await api.done("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"}, as_="gateway:web")
    last, first = [(await api.get(f"{path}&{more}"))["expected_wait"] for more in ("priority_s=0", "priority_class=1")]
    assert last["ahead"] > first["ahead"] == 0.0
    assert last["p50_ms"] > first["p50_ms"] > 0
    early = (await api.get(f"{path}&priority_s=3600"))["expected_wait"]
    assert early["ahead"] == 0.0
    assert (await api.call("GET", "/v1/queues/fax/expected-wait?channel=voice")).code == "unknown_queue"
