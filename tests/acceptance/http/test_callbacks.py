"""Callbacks from outside: asked for, called, reported, explained, counted – and a kill in the middle of it all."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY: Final = """\
channels:
  voice: {wrap_up_s: 60, offer_timeout_s: 600}
  outbound: {offer_timeout_s: 600}
queues:
  support:
    cool_down_s: 0
    callback: {channel: outbound, attempts_max: 2, retry_after_s: [600], ring_timeout_s: 600, schedule_max_s: 86400}
  sales:
    callback: {mode: customer_first, ring_timeout_s: 600, retry_after_s: [1]}
  bare: {}
"""
HOUR_MS: Final = 3_600_000


class Centre:
    """The three who talk to the router, and short words for what they say."""

    def __init__(self, admin: Api, gateway: Api, ada: Api) -> None:
        self.admin = admin
        self.gateway = gateway
        self.ada = ada

    async def view(self, contact_id: str) -> Any:
        return await self.gateway.ok("GET", f"/v1/contacts/{contact_id}")

    async def ready(self) -> None:
        await self.ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})

    async def accept(self) -> str:
        """The first offer that Ada has."""
        (offer, *_) = (await self.ada.ok("GET", "/v1/agents/ada"))["offers"]
        await self.ada.ok("POST", f"/v1/offers/{offer['offer_id']}/accept")
        return str(offer["contact_id"])

    async def report(self, contact_id: str, outcome: str, **more: Any) -> Any:
        path = f"/v1/contacts/{contact_id}/callback/result"
        return await self.gateway.ok("POST", path, {"outcome": outcome, **more})

    async def told(self, contact_id: str) -> list[dict[str, Any]]:
        events = await self.admin.events()
        return [event for event in events if event.get("contact_id") == contact_id]


@asynccontextmanager
async def a_centre(router: RouterProcess) -> AsyncIterator[Centre]:
    async with Api(router) as admin, Api(router, "gateway", "web") as gateway, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {})
        yield Centre(admin, gateway, ada)


async def test_agent_first_from_request_to_conversation(make_router: MakeRouter) -> None:
    async with a_centre(make_router(policy=POLICY).start()) as centre:
        gateway = centre.gateway
        first = (await gateway.submit(reference="call-17"))["contact_id"]
        second = (await gateway.submit())["contact_id"]
        receipt = await gateway.ok("POST", f"/v1/contacts/{first}/callback")
        assert receipt["state"] == "queued"
        again = await gateway.ok("POST", f"/v1/contacts/{first}/callback", {})
        assert again["contact_id"] == first
        view = await centre.view(first)
        assert (view["position"], view["channel"]) == (1, "outbound")
        assert view["callback"]["phase"] == "waiting"
        assert (await centre.view(second))["position"] == 2

        hung_up = await gateway.call("POST", f"/v1/contacts/{first}/abandon")
        assert (hung_up.status, hung_up.code) == (409, "invalid_contact_state")

        await centre.ready()
        assert await centre.accept() == first
        (due,) = [one for one in await centre.told(first) if one["type"] == "callback.dial_requested"]
        assert due["reference"] == "call-17"
        assert due["attempt"] == 1
        await centre.report(first, "connected", attempt=1)
        assert (await centre.view(first))["callback"]["outcome"] == "connected"
        await centre.ada.ok("POST", f"/v1/contacts/{first}/end")
        assert (await centre.view(first))["state"] == "ended"


async def test_invalid_requests_name_the_field_but_not_the_value(make_router: MakeRouter) -> None:
    async with a_centre(make_router(policy=POLICY).start()) as centre:
        gateway = centre.gateway
        contact = (await gateway.submit())["contact_id"]
        bare = (await gateway.submit(queue_id="bare"))["contact_id"]
        path = f"/v1/contacts/{contact}/callback"
        later_ms = time.time_ns() // 1_000_000 + HOUR_MS
        for url, body, status, code, field in (
            (f"/v1/contacts/{bare}/callback", {}, 409, "callback_not_offered", "contact_id"),
            (path, {"at_ms": later_ms + 30 * 24 * HOUR_MS}, 422, "invalid_callback_time", "at_ms"),
            (path, {"at_ms": 1}, 422, "invalid_callback_time", "at_ms"),
            (path, {"channel": "smoke"}, 422, "unknown_channel", "channel"),
            (path, {"mode": "smoke"}, 422, "invalid_value", "mode"),
            (path, {"number": "smoke"}, 422, "invalid_value", "number"),
            (f"{path}/result", {"outcome": "busy"}, 409, "invalid_contact_state", None),
            (f"{path}/result", {"outcome": "smoke"}, 422, "invalid_value", "outcome"),
            (f"{path}/result", {}, 422, "invalid_value", "outcome"),
        ):
            got = await gateway.call("POST", url, body)
            assert (got.status, got.code, got.json.get("field")) == (status, code, field), url
            assert b"smoke" not in got.body
        await gateway.ok("POST", path, {"at_ms": later_ms})
        other = await gateway.call("POST", path, {"at_ms": later_ms + 1})
        assert (other.status, other.code) == (409, "callback_exists")
        assert (other.json["state"], "cancel" in other.json["allowed"]) == ("callback_scheduled", True)
        refused = await gateway.call(
            "POST", "/v1/contacts", {"channel": "voice", "queue_id": "bare", "callback": {"mode": "agent_first"}}
        )
        assert (refused.code, refused.json["field"]) == ("callback_not_offered", "callback")


async def test_a_callback_is_hidden_from_another_gateway(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with a_centre(router) as centre, Api(router, "gateway", "other") as stranger:
        contact = (await centre.gateway.submit())["contact_id"]
        for path, body in (("callback", {}), ("callback/result", {"outcome": "busy"})):
            got = await stranger.call("POST", f"/v1/contacts/{contact}/{path}", body)
            assert got.code == "unknown_contact"


async def test_customer_first_is_explained_and_counted(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with a_centre(router) as centre:
        ids = []
        for _ in range(2):
            body = {"channel": "voice", "queue_id": "sales", "callback": {}}
            ids.append((await centre.gateway.ok("POST", "/v1/contacts", body))["contact_id"])
        await centre.ready()
        assert (await centre.view(ids[0]))["state"] == "callback_scheduled"
        why = await centre.admin.ok("GET", f"/v1/contacts/{ids[0]}/why")
        assert (why["reason"], why["next_change"]) == ("callback_dialling", "callback")
        why = await centre.admin.ok("GET", f"/v1/contacts/{ids[1]}/why/ada")
        assert [lack["code"] for lack in why["unmet_conditions"]] == ["dialling"]

        await centre.report(ids[0], "connected")
        assert await centre.accept() == ids[0]
        assert (await centre.view(ids[1]))["state"] in ("queued", "callback_scheduled")
        figures = (await centre.admin.ok("GET", "/v1/queues/sales"))["stats"]["contacts"]
        assert figures["callbacks"]["requested"] == 2
        assert figures["callbacks"]["connected"] == 1
        assert (figures["service"]["answered"], figures["service"]["abandoned"]) == (1, 0)
        counts = (await centre.admin.ok("GET", "/v1/state"))["state"]["counts"]
        assert counts["submitted"] == sum(counts.values()) - counts["submitted"]
    async with aiohttp.ClientSession() as session, session.get(router.metrics_url) as page:
        text = await page.text()
    place = 'queue="sales",workspace="default"'
    assert f'router_callbacks_total{{outcome="connected",{place}}} 1.0' in text


@pytest.mark.slow
async def test_a_kill_during_a_call_keeps_queue_places_and_times(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    due_ms = time.time_ns() // 1_000_000 + HOUR_MS
    async with a_centre(router) as centre:
        await centre.ready()
        called = (await centre.gateway.submit())["contact_id"]
        await centre.gateway.ok("POST", f"/v1/contacts/{called}/callback")
        assert await centre.accept() == called
        waits = (await centre.gateway.submit())["contact_id"]
        await centre.gateway.ok("POST", f"/v1/contacts/{waits}/callback")
        later = (await centre.gateway.submit())["contact_id"]
        await centre.gateway.ok("POST", f"/v1/contacts/{later}/callback", {"at_ms": due_ms})
        before = [await centre.view(one) for one in (called, waits, later)]
        digest = await centre.admin.ok("GET", "/v1/digest")
    router.kill()
    router.start()
    async with a_centre(router) as centre:
        assert (await centre.admin.ok("GET", "/v1/digest"))["digest"] == digest["digest"]
        assert [await centre.view(one) for one in (called, waits, later)] == before
        assert before[2]["callback"]["due_at_ms"] == due_ms
        await centre.report(called, "no_answer", attempt=1)
        view = await centre.view(called)
        assert (view["state"], view["callback"]["phase"]) == ("callback_scheduled", "retry")
        assert await centre.accept() == waits


async def test_a_callback_is_moved_and_the_receipt_tells_the_agreed_time(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    now_ms = time.time_ns() // 1_000_000
    async with a_centre(router) as centre:
        contact = (await centre.gateway.submit())["contact_id"]
        path = f"/v1/contacts/{contact}/callback"
        agreed = await centre.gateway.ok("POST", path, {"at_ms": now_ms + HOUR_MS})
        assert agreed["due_at_ms"] == now_ms + HOUR_MS
        moved = await centre.gateway.ok("POST", f"{path}/move", {"at_ms": now_ms + 2 * HOUR_MS, "until_ms": now_ms + 3 * HOUR_MS})
        assert moved["due_at_ms"] == now_ms + 2 * HOUR_MS
    router.kill()
    router.start()
    async with a_centre(router) as centre:
        callback = (await centre.view(contact))["callback"]
        assert (callback["due_at_ms"], callback["expires_at_ms"]) == (now_ms + 2 * HOUR_MS, now_ms + 3 * HOUR_MS)
        late = await centre.gateway.call("POST", f"{path}/move", {"at_ms": now_ms + 30 * 24 * HOUR_MS})
        assert (late.status, late.code, late.json["field"]) == (422, "invalid_callback_time", "at_ms")
        assert (await centre.gateway.ok("POST", f"{path}/move"))["state"] == "queued"
        async with Api(router, "gateway", "other") as stranger:
            foreign = await stranger.call("POST", f"{path}/move", {"at_ms": now_ms + HOUR_MS})
            assert (foreign.status, foreign.code) == (404, "unknown_contact")


async def test_of_two_processes_of_a_gateway_one_claims_the_call_also_over_a_restart(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with a_centre(router) as centre:
        await centre.ready()
        contact = (await centre.gateway.submit(queue_id="sales", callback={}))["contact_id"]
        path = f"/v1/contacts/{contact}/callback/claim"
        await centre.gateway.ok("POST", path, {"claimant": "pod-1", "attempt": 1})
    for kills in (True, False):
        async with a_centre(router) as centre:
            other = await centre.gateway.call("POST", path, {"claimant": "pod-2", "attempt": 1})
            assert (other.status, other.code, other.json["state"]) == (409, "callback_claimed", "claimed")
            assert "callback_result" in other.json["allowed"]
        if kills:
            router.kill()
            router.start()
    async with a_centre(router) as centre:
        assert (await centre.view(contact))["callback"]["claimed_by"] == "pod-1"
        await centre.report(contact, "busy", attempt=1)
        assert (await centre.view(contact))["callback"]["claimed_by"] is None


async def test_a_time_in_closed_hours_is_told_or_refused(make_router: MakeRouter) -> None:
    """The queue of this test is open for one minute a week, which is never now."""
    now = time.gmtime()
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(now.tm_wday + 3) % 7]
    policy = f"""
channels: {{voice: {{}}}}
calendars:
  rare: {{zone: UTC, week: {{{day}: ["12:00-12:01"]}}}}
queues:
  kind: {{hours: rare, when_closed: wait, callback: {{}}}}
  strict: {{hours: rare, when_closed: wait, callback: {{in_closed_hours: refuse}}}}
"""
    async with a_centre(make_router(policy=policy).start()) as centre:
        at_ms = time.time_ns() // 1_000_000 + HOUR_MS
        kind = (await centre.gateway.submit(queue_id="kind"))["contact_id"]
        agreed = await centre.gateway.ok("POST", f"/v1/contacts/{kind}/callback", {"at_ms": at_ms})
        assert agreed["due_at_ms"] > at_ms
        assert (await centre.view(kind))["callback"]["due_at_ms"] == agreed["due_at_ms"]
        strict = (await centre.gateway.submit(queue_id="strict"))["contact_id"]
        refused = await centre.gateway.call("POST", f"/v1/contacts/{strict}/callback", {"at_ms": at_ms})
        assert (refused.status, refused.code) == (422, "invalid_callback_time")
        assert refused.json["opens_at_ms"] == agreed["due_at_ms"]


async def test_who_ended_a_contact_is_told(make_router: MakeRouter) -> None:
    async with a_centre(make_router(policy=POLICY).start()) as centre:
        await centre.ready()
        for who, path, by in (
            (centre.gateway, "abandon", "customer"),
            (centre.gateway, "end", "gateway"),
            (centre.ada, "end", "agent"),
            (centre.admin, "end", "supervisor"),
        ):
            contact = (await centre.gateway.submit())["contact_id"]
            await centre.accept()
            await who.ok("POST", f"/v1/contacts/{contact}/{path}")
            assert (await centre.view(contact))["ended_by"] == by
            assert [event["ended_by"] for event in await centre.told(contact) if event["type"] == "contact.ended"] == [by]
            await centre.ada.ok("POST", f"/v1/assignments/{contact}.1/complete")
        waiting = (await centre.gateway.submit(queue_id="bare"))["contact_id"]
        await centre.gateway.ok("POST", f"/v1/contacts/{waiting}/cancel", {"reason": "customer_left"})
        assert (await centre.view(waiting))["ended_by"] == "customer"
