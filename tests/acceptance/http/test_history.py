"""The event history: without gaps, equal for all readers and consistent with the receipts."""

import asyncio
from itertools import pairwise

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess


async def test_events_are_numbered_without_gaps(router: RouterProcess) -> None:
    """I25."""
    async with Api(router, "gateway", "web") as gateway, Api(router) as admin:
        receipts = await asyncio.gather(*(gateway.submit() for _ in range(20)))
        events = await admin.events(page=7)
        gen = (await admin.ok("GET", "/v1/state"))["history_id"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["history_id"] for event in events} == {gen}
    assert all(a["ts"] <= b["ts"] for a, b in pairwise(events))
    by_seq = {event["seq"]: event for event in events}
    for receipt in receipts:
        event = by_seq[receipt["seq"]]
        assert event["type"] == "contact.queued"
        assert event["contact_id"] == receipt["contact_id"]
        assert event["actor"] == "gateway:web"


async def test_pages_continue_where_the_previous_one_ends(router: RouterProcess) -> None:
    async with Api(router) as admin:
        await admin.submit()
        whole = await admin.events()
        first = await admin.ok("GET", "/v1/events?limit=1")
        assert len(first["events"]) == 1 and first["more"]
        second = await admin.ok("GET", f"/v1/events?limit=1&after={first['next']}")
        assert second["events"] == whole[1:2]
        last = f"{whole[-1]['history_id']}:{whole[-1]['seq']}"
        end = await admin.ok("GET", f"/v1/events?after={last}")
        assert end == {"history_id": whole[0]["history_id"], "next": last, "more": False, "events": []}


async def test_an_unknown_position_is_refused(router: RouterProcess) -> None:
    """I28, F69."""
    async with Api(router) as admin:
        gen = (await admin.ok("GET", "/v1/state"))["history_id"]
        for after in ("abc:1", f"{gen}:999999", f"{gen}:9999999999999999"):
            got = await admin.call("GET", f"/v1/events?after={after}")
            assert (got.status, got.code) == (410, "history_reset")
        for after in ("1", f"{gen}:-1", f"{gen}:x", f"{gen}:99999999999999999999", ":1"):
            assert (await admin.call("GET", f"/v1/events?after={after}")).status == 422


async def test_a_read_includes_acknowledged_commands(router: RouterProcess) -> None:
    """I27."""
    async with Api(router) as admin:
        for _ in range(5):
            receipt = await admin.submit()
            answer = await admin.ok("GET", f"/v1/state?min_seq={receipt['seq']}")
            assert answer["state"]["as_of_seq"] >= receipt["seq"]
        future = await admin.call("GET", "/v1/state?min_seq=123456789")
        assert (future.status, future.code) == (503, "event_not_reached")


async def test_every_contact_is_counted_in_exactly_one_place(router: RouterProcess) -> None:
    """I41."""
    async with Api(router) as admin:
        for number in range(6):
            contact = (await admin.submit())["contact_id"]
            if number % 2:
                await admin.ok("POST", f"/v1/contacts/{contact}/abandon")
        counts = (await admin.ok("GET", "/v1/state"))["state"]["counts"]
    submitted = counts.pop("submitted")
    assert submitted == sum(counts.values()) and counts["abandoned"] >= 3


async def test_the_digest_is_the_same_after_a_kill_and_a_restart(make_router: MakeRouter) -> None:
    """I30: replay of the journal, in another process with other hash seeds."""
    router = make_router().start(PYTHONHASHSEED="1")
    async with Api(router) as admin:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {"english": 7}})
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        for _ in range(5):
            await admin.submit()
        before = await admin.ok("GET", "/v1/digest")
        events = await admin.events()
    router.kill()
    router.start(PYTHONHASHSEED="2")
    async with Api(router) as admin:
        after = await admin.ok("GET", "/v1/digest")
        assert (after["seq"], after["digest"]) == (before["seq"], before["digest"])
        assert after["epoch"] == before["epoch"] + 1 and after["history_id"] == before["history_id"]
        assert await admin.events() == events


async def test_events_are_filtered_and_a_page_says_where_it_stopped(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        for agent_id in ("ada", "ada@example.org", "auth0%7C5f7c"):
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {})
        contacts = [(await (web if number % 2 else admin).submit(queue_id="sales"))["contact_id"] for number in range(6)]
        for contact_id in contacts:
            await admin.ok("POST", f"/v1/contacts/{contact_id}/abandon")
        whole = await admin.events()
        middle = whole[len(whole) // 2]["ts"]
        for query, wanted in (
            (f"contact={contacts[1]}", [one for one in whole if one.get("contact_id") == contacts[1]]),
            ("type=contact.abandoned", [one for one in whole if one["type"] == "contact.abandoned"]),
            ("type=contact.queued&actor=gateway:web", [one for one in whole if one["actor"] == "gateway:web"]),
            ("agent=ada", [one for one in whole if one.get("agent_id") == "ada"]),
            ("agent=ada@example.org", [one for one in whole if one.get("agent_id") == "ada@example.org"]),
            ("agent=auth0%7C5f7c", [one for one in whole if one.get("agent_id") == "auth0|5f7c"]),
            (f"from_ms={middle}", [one for one in whole if one["ts"] >= middle]),
            (f"to_ms={middle}", [one for one in whole if one["ts"] < middle]),
            (f"from_ms={middle}&to_ms={middle + 1}", [one for one in whole if one["ts"] == middle]),
            ("type=agent.removed", []),
        ):
            found, after = [], ""
            while True:
                page = await admin.ok("GET", f"/v1/events?{query}&limit=2{after}")
                assert len(page["events"]) <= 2
                found += page["events"]
                after = f"&after={page['next']}"
                if not page["more"]:
                    break
            assert found == wanted and (wanted or "agent=" not in query), query
        for query, field in (("type=ended", "type"), ("contact=%20", "contact"), ("from_ms=-1", "from_ms")):
            got = await admin.call("GET", f"/v1/events?{query}")
            assert (got.status, got.json["field"]) == (422, field)
