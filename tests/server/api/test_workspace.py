"""Operations on a workspace: the history page by page, its state and digest, tickets and probes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.in_process_api import OperatedRouter, operated_router


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[OperatedRouter]:
    async with operated_router(tmp_path, agents=250) as operated:
        yield operated


async def events(api: OperatedRouter, *, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return all events, and the number of pages."""
    found: list[dict[str, Any]] = []
    pages, after = 0, ""
    while True:
        page = await api.get(f"/v1/events?limit={limit}{after}")
        assert 0 < len(page["events"]) <= limit
        found += page["events"]
        pages, after = pages + 1, f"&after={page['next']}"
        if not page["more"]:
            return found, pages


async def test_pages_of_any_size_give_the_same_history(api: OperatedRouter) -> None:
    whole, pages = await events(api, limit=1_000)
    assert ([event["seq"] for event in whole], pages) == (list(range(1, 252)), 1)
    assert (whole[0]["type"], whole[0]["actor"], whole[0]["epoch"]) == ("policy.published", "admin:test", 1)
    assert await events(api, limit=100) == (whole, 3)
    assert await events(api, limit=1) == (whole, 251)


async def test_a_position_of_another_history_or_of_the_future_is_refused(api: OperatedRouter) -> None:
    page = await api.get("/v1/events?limit=5")
    history_id = page["history_id"]
    assert page["next"] == f"{history_id}:5"
    end = await api.get(f"/v1/events?after={history_id}:251")
    assert (end["events"], end["more"], end["next"]) == ([], False, f"{history_id}:251")
    assert len((await api.get(f"/v1/events?after={history_id}:250"))["events"]) == 1
    for after in (f"{history_id}:252", "0123456789abcdef0123456789abcdef:5"):
        got = await api.call("GET", f"/v1/events?after={after}")
        assert (got.status, got.code, got.json["seq"]) == (410, "history_reset", 251)
    assert api.router.writer.positions_ahead == 1, "only the later position of this history is a sign of lost events"


async def test_the_state_is_as_new_as_asked_for(api: OperatedRouter) -> None:
    state = await api.get("/v1/state?min_seq=251")
    assert state["state"]["as_of_seq"] == 251
    got = await api.call("GET", "/v1/state?min_seq=252")
    assert (got.code, got.json["seq"]) == ("event_not_reached", 251)


async def test_the_digest_names_the_position_that_it_is_of(api: OperatedRouter) -> None:
    before = await api.get("/v1/digest")
    assert (before["seq"], before["epoch"]) == (251, 1)
    assert await api.get("/v1/digest") == before
    await api.done("POST", "/v1/agents/a0/state", {"state": "ready"}, as_="agent:a0")
    after = await api.get("/v1/digest")
    assert (after["seq"], after["digest"] != before["digest"]) == (252, True)


async def test_a_ticket_is_for_one_use_and_only_so_many_wait(api: OperatedRouter) -> None:
    got = await api.call("POST", "/v1/ws-ticket", as_="agent:a0")
    assert (got.status, got.json["expires_in_s"], got.headers["Cache-Control"]) == (201, 30, "no-store")
    for name in ("Idempotency-Key", "If-Match"):
        refused = await api.call("POST", "/v1/ws-ticket", as_="agent:a0", headers={name: '"k"'})
        assert (refused.code, refused.json["field"]) == ("invalid_value", name)
    codes = []
    for number in range(100):
        answer = await api.call("POST", "/v1/ws-ticket", as_=f"agent:a{number}")
        codes.append("issued" if answer.status == 201 else answer.code)
    assert codes == ["issued"] * 99 + ["busy"]


async def test_the_probes_follow_the_readiness(api: OperatedRouter) -> None:
    readiness = api.router.services.readiness
    assert (await api.get("/healthz"))["status"] == "ok"
    assert (await api.call("GET", "/readyz")).status == 200
    readiness.ready = False
    assert (await api.call("GET", "/readyz")).code == "not_ready"
    readiness.ready, readiness.stopping = True, True
    got = await api.call("GET", "/readyz")
    assert (got.code, got.headers["Retry-After"]) == ("stopping", "5")
    assert (await api.call("GET", "/healthz")).status == 200


async def test_the_doctor_finds_what_cannot_be_routed(api: OperatedRouter) -> None:
    found = await api.get("/v1/doctor")
    assert (found["as_of_seq"], found["policy_version"], found["errors"]) == (251, 1, 0)
    assert "skill_without_agents" in {finding["code"] for finding in found["findings"]}
