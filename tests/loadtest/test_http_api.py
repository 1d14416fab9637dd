"""HTTP client of a load test."""

from collections.abc import Iterator

import msgspec
import pytest

from router.loadtest.execution import LoadTestFailed
from router.loadtest.http_api import RouterHttpApi
from router.simulator.day import PlannedAgent
from tests.loadtest.histories import POLICY
from tests.support.canned_http import CannedHandler, canned_server

Canned = tuple[type[CannedHandler], str]


@pytest.fixture
def canned() -> Iterator[Canned]:
    """Run a server that answers every request with the response that the test sets."""
    with canned_server() as server:
        yield server


async def test_the_active_policy_is_returned_or_none_if_there_is_none(canned: Canned) -> None:
    handler, url = canned
    handler.body = msgspec.json.encode(POLICY)
    async with RouterHttpApi(url, lambda: "token") as api:
        assert await api.policy() == POLICY
        handler.status = 404
        assert await api.policy() is None


async def test_a_token_is_fetched_for_each_request(canned: Canned) -> None:
    handler, url = canned
    handler.body = b'{"digest": "00"}'
    tokens = iter(["first", "second"])
    async with RouterHttpApi(url, lambda: next(tokens)) as api:
        assert await api.digest() == await api.digest() == "00"
    assert [authorization for _, _, authorization in handler.requests] == ["Bearer first", "Bearer second"]


async def test_an_agent_is_sent_with_the_fields_of_its_plan_only(canned: Canned) -> None:
    handler, url = canned
    async with RouterHttpApi(url, lambda: "token") as api:
        await api.put_agent(PlannedAgent(agent_id="ada", skills={"english": 5}))
        await api.put_agent(PlannedAgent(agent_id="bob", queues=("calls",), units=50))
    assert [path for _, path, _ in handler.requests] == ["/v1/agents/ada", "/v1/agents/bob"]
    assert [msgspec.json.decode(document) for document in handler.documents] == [
        {"skills": {"english": 5}, "channel_max": {}},
        {"skills": {}, "channel_max": {}, "queues": ["calls"], "units": 50},
    ]


async def test_the_history_is_read_from_the_given_position(canned: Canned) -> None:
    handler, url = canned
    event = {"type": "agent.removed", "agent_id": "ada", "seq": 8, "ts": 1_000}
    handler.body = msgspec.json.encode({"events": [event], "next": "g:8", "more": False})
    async with RouterHttpApi(url, lambda: "token") as api:
        (found,) = [one async for one in api.history(history_id="g", after_seq=7)]
    assert (found.seq, found.at_ms, type(found.event).__name__) == (8, 1_000, "AgentRemoved")
    assert handler.requests[0][1] == "/v1/events?after=g:7&limit=1000"


async def test_live_contacts_are_those_in_any_state_that_is_not_terminal(canned: Canned) -> None:
    handler, url = canned
    counts = {"queued": 1, "offered": 2, "assigned": 3, "callback_scheduled": 4, "suspended": 5, "ended": 50}
    handler.body = msgspec.json.encode({"state": {"counts": counts}})
    async with RouterHttpApi(url, lambda: "token") as api:
        assert await api.live_contact_count() == 15


async def test_a_refused_request_ends_the_load_test_with_its_reason(canned: Canned) -> None:
    handler, url = canned
    handler.status, handler.body = 422, b'{"code": "invalid_policy", "title": "Invalid policy"}'
    async with RouterHttpApi(url, lambda: "token") as api:
        with pytest.raises(LoadTestFailed, match="PUT /v1/policy: status 422 invalid_policy: Invalid policy"):
            await api.publish(POLICY)


async def test_an_unreachable_router_ends_the_load_test() -> None:
    async with RouterHttpApi("http://127.0.0.1:1", lambda: "token") as api:
        with pytest.raises(LoadTestFailed, match="no router answers"):
            await api.policy()
