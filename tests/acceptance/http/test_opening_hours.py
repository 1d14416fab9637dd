"""Opening hours from outside: refused with the time of the opening, opened and closed by a supervisor, also across a restart."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def the_policy() -> str:
    """A shop that is open on one day of the week only, and that is neither today nor tomorrow."""
    day = DAYS[(datetime.now(UTC) + timedelta(days=3)).weekday()]
    return f"""\
channels: {{voice: {{}}}}
skills: [english]
calendars:
  shop: {{zone: UTC, week: {{{day}: ["09:00-17:00"]}}}}
queues:
  shop: {{hours: shop}}
  letters: {{hours: shop, when_closed: wait}}
  hotline: {{when_no_agents_ready: refuse, requires: {{english: 3}}}}
"""


async def test_a_closed_queue_returns_the_opening_time(make_router: MakeRouter) -> None:
    router = make_router(policy=the_policy()).start()
    async with Api(router, "gateway", "web") as web:
        got = await web.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "shop"})
        assert (got.status, got.code) == (409, "queue_closed")
        opens = datetime.fromtimestamp(got.json["opens_at_ms"] / 1000, UTC)
        assert (opens.hour, opens.minute) == (9, 0)
        assert timedelta(days=1) < opens - datetime.now(UTC) < timedelta(days=4)

        there = await web.call("GET", "/v1/queues/shop/availability?channel=voice")
        assert there.headers["Cache-Control"] == "private, max-age=1"
        answer = there.json
        assert answer["is_open"] is False and answer["refusal"] == "queue_closed"
        assert answer["changes_at_ms"] == got.json["opens_at_ms"]

        receipt = await web.submit(queue_id="letters")
        view = await web.ok("GET", f"/v1/contacts/{receipt['contact_id']}")
        assert (view["state"], view["waiting_for_opening"]) == ("queued", True)
    async with Api(router, "supervisor", "eve") as eve:
        why = await eve.ok("GET", f"/v1/contacts/{receipt['contact_id']}/why")
        assert (why["reason"], why["next_change"]) == ("queue_closed", "opening")
        status = await eve.ok("GET", "/v1/queues/letters")
        assert (status["queue"]["is_open"], status["queue"]["closed_reason"]) == (False, "hours")
        assert status["longest_wait_ms"] == 0, "the clock stands still, also after the newest event"
        listed = await eve.ok("GET", "/v1/queues")
        (letters,) = (one for one in listed["queues"] if one["queue"]["queue_id"] == "letters")
        assert letters["longest_wait_ms"] == 0


async def test_no_agents_ready_until_one_is(make_router: MakeRouter) -> None:
    router = make_router(policy=the_policy()).start()
    async with Api(router, "supervisor", "eve") as eve:
        await eve.ok("PUT", "/v1/agents/ada", {"skills": {"english": 5}})
        path = "/v1/queues/hotline/availability?channel=voice&skills=english:4"
        got = await eve.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "hotline"})
        assert (got.status, got.code) == (409, "no_agents_ready")
        before = await eve.ok("GET", path)
        assert (before["agents_ready"], before["refusal"]) == (0, "no_agents_ready")
        await eve.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        after = await eve.ok("GET", path)
        assert (after["agents_ready"], after["agents_free"], after["accepts_contacts"]) == (1, 1, True)
        assert "ada" not in str(after)
        await eve.submit(queue_id="hotline")


async def test_a_manual_opening_survives_a_restart(make_router: MakeRouter) -> None:
    router = make_router(policy=the_policy()).start()
    async with Api(router, "supervisor", "eve") as eve:
        receipt = await eve.ok("POST", "/v1/queues/shop/open", {"duration_s": 3600})
        assert (receipt["queue_id"], receipt["state"]) == ("shop", "open")
        again = await eve.call("POST", "/v1/queues/letters/close")
        assert again.status == 200
        repeated = await eve.call("POST", "/v1/queues/letters/close")
        assert repeated.headers["Idempotency-Replayed"] == "true"
        await eve.submit(queue_id="shop")
    router.kill()
    router.start()
    async with Api(router, "supervisor", "eve") as eve:
        await eve.submit(queue_id="shop")
        assert (await eve.ok("GET", "/v1/queues/shop"))["queue"]["is_open"]
        letters = (await eve.ok("GET", "/v1/queues/letters"))["queue"]
        assert letters["closed_reason"] == "supervisor" and "changes_at_ms" not in letters
        receipt = await eve.ok("POST", "/v1/queues/shop/follow-hours")
        assert receipt["state"] == "closed"
        got = await eve.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "shop"})
        assert got.code == "queue_closed"


async def test_an_opening_that_ended_during_downtime_is_closed_at_the_start(make_router: MakeRouter) -> None:
    router = make_router(policy=the_policy()).start()
    async with Api(router, "supervisor", "eve") as eve:
        await eve.ok("POST", "/v1/queues/shop/open", {"duration_s": 1})
    router.kill()
    router.start()
    async with Api(router, "supervisor", "eve") as eve, asyncio.timeout(30):
        while (await eve.ok("GET", "/v1/queues/shop"))["queue"]["is_open"]:
            pass
        told = [one for one in await eve.events() if one["type"].startswith("queue.") and one["queue_id"] == "shop"]
    assert [(one["type"], one.get("reason", "hours")) for one in told] == [
        ("queue.closed", "hours"),
        ("queue.opened", "supervisor"),
        ("queue.closed", "hours"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/queues/nowhere/open", {}, 404, "unknown_queue"),
        ("/v1/queues/shop/open", {"duration_s": 0}, 422, "invalid_value"),
        ("/v1/queues/shop/open", {"until": 5}, 422, "invalid_value"),
        ("/v1/queues/shop/follow-hours", {"duration_s": 60}, 422, "invalid_value"),
    ],
)
async def test_refusals_name_the_field(make_router: MakeRouter, path: str, body: dict[str, int], status: int, code: str) -> None:
    router = make_router(policy=the_policy()).start()
    async with Api(router, "supervisor", "eve") as eve:
        got = await eve.call("POST", path, body)
        assert (got.status, got.code) == (status, code)
        assert got.json["applied"] == "no"


async def test_gateways_may_read_but_not_open_queues(make_router: MakeRouter) -> None:
    router = make_router(policy=the_policy()).start()
    async with Api(router, "gateway", "web") as web:
        for action in ("open", "close", "follow-hours"):
            got = await web.call("POST", f"/v1/queues/shop/{action}")
            assert (got.status, got.code) == (403, "forbidden")
        for query, code in (
            ("channel=smoke", "unknown_channel"),
            ("skills=magic:3", "unknown_skill"),
            ("skills=english:99", "invalid_value"),
            ("skills=english;5", "invalid_value"),
            ("skills=english:5,english", "invalid_value"),
            ("agent=ada", "invalid_value"),
        ):
            got = await web.call("GET", f"/v1/queues/shop/availability?{query}")
            assert got.code == code, query
    async with Api(router, "agent", "ada") as ada:
        got = await ada.call("GET", "/v1/queues/shop/availability")
        assert got.code == "forbidden"


async def test_every_way_into_a_queue_without_ready_agents_leads_to_the_next_one(make_router: MakeRouter) -> None:
    policy = """\
channels: {voice: {}}
queues:
  first: {}
  sender: {wait_max_s: 1, overflow_to: mid}
  mid: {when_no_agents_ready: overflow, overflow_to: last, callback: {}}
  last: {}
"""
    router = make_router(policy=policy).start()
    async with Api(router, "supervisor", "eve") as eve:
        for agent, queues in (("ada", ["first"]), ("bob", ["last"])):
            await eve.ok("PUT", f"/v1/agents/{agent}", {"queues": queues, "units": 1000, "channel_max": {"voice": 10}})
            await eve.ok("POST", f"/v1/agents/{agent}/state", {"state": "ready"})
        moved = (await eve.submit(queue_id="first"))["contact_id"]
        async with Api(router, "agent", "ada") as ada:
            await ada.ok("POST", f"/v1/offers/{moved}.1/accept")
            await ada.ok("POST", f"/v1/contacts/{moved}/transfer", {"to_queue_id": "mid"})
        placed = (await eve.submit(queue_id="first"))["contact_id"]
        await eve.ok("POST", f"/v1/contacts/{placed}/requeue", {"queue_id": "mid"})
        waited = (await eve.submit(queue_id="sender"))["contact_id"]
        async with asyncio.timeout(30):
            while (await eve.ok("GET", f"/v1/contacts/{waited}"))["queue_id"] != "last":  # noqa: ASYNC110  (a second later)
                await asyncio.sleep(0.05)
        for contact_id in (moved, placed, waited):
            view = await eve.ok("GET", f"/v1/contacts/{contact_id}")
            assert (view["queue_id"], [offer["agent_id"] for offer in view["offers"]]) == ("last", ["bob"])
