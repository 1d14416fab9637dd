"""A customer whose app is gone leaves after the time of grace of the channel; one who returns, or polls, keeps the place."""

import asyncio
import time
from typing import Any

from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_requests import FAST, WITH_REQUESTS, a_busy_agent, ask, of_customer
from tests.acceptance.sockets.test_customers import a_client
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

GRACE_S = 10
WITH_GRACE = WITH_REQUESTS.replace("voice: {", f"voice: {{leave_grace_s: {GRACE_S}, ")


async def poll(router: RouterProcess, asked: dict[str, Any]) -> None:
    """Follow a request as a plain app does."""
    async with of_customer(router, asked["token"]) as customer:
        while True:
            await customer.call("GET", f"/v1/requests/{asked['request_id']}?wait_s=2")
            await asyncio.sleep(0.5)


async def until_left(web: Api, asked: dict[str, Any], since_s: float) -> float:
    """Wait until the customer has left; return after which time."""
    async with asyncio.timeout(3 * GRACE_S):
        while True:
            contact = await web.ok("GET", f"/v1/contacts/{asked['request_id']}")
            if contact["state"] == "abandoned":
                assert (contact["ended_by"], contact["reason"]) == ("customer", "customer_away")
                return time.monotonic() - since_s
            await asyncio.sleep(0.2)


async def place(web: Api, asked: dict[str, Any]) -> Any:
    contact = await web.ok("GET", f"/v1/contacts/{asked['request_id']}")
    return contact.get("position")


async def test_a_customer_whose_app_is_gone_leaves_after_the_time_of_grace(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_GRACE, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        gone, returns, polls, never_seen = [await ask(web, choose="first") for _ in range(4)]
        async with a_client(router, gone), a_client(router, returns):
            polling = asyncio.create_task(poll(router, polls))
            assert [await place(web, one) for one in (gone, returns, polls, never_seen)] == [1, 2, 3, 4]
        began_s = time.monotonic()
        await asyncio.sleep(GRACE_S / 2)
        async with a_client(router, returns):
            left_after_s = await until_left(web, gone, began_s)
            assert GRACE_S - 1 < left_after_s < 2.5 * GRACE_S
            await asyncio.sleep(GRACE_S / 2)
            assert [await place(web, one) for one in (returns, polls, never_seen)] == [1, 2, 3]
            events = [one for one in await admin.events() if one["type"] == "request.presence_changed"]
            mine = [(one["contact_id"], one["is_here"]) for one in events]
            assert mine.count((gone["request_id"], False)) == 1
            assert (returns["request_id"], False) not in mine and (never_seen["request_id"], True) not in mine
            polling.cancel()
            router.kill()
    # What was connected at the end is away, and has the whole time from the start on.
    router.start()
    began_s = time.monotonic()
    async with Api(router, "gateway", "web") as web:
        polling = asyncio.create_task(poll(router, polls))
        assert GRACE_S - 1 < await until_left(web, returns, began_s) < 2.5 * GRACE_S
        assert [await place(web, one) for one in (polls, never_seen)] == [1, 2]
        polling.cancel()


async def test_the_time_of_grace_is_at_least_ten_seconds(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin:
        policy = {"channels": {"voice": {"leave_grace_s": 9}}, "queues": {"support": {}}}
        refused = await admin.call("POST", "/v1/policy/check", policy)
        assert "leave_grace_s" in refused.body.decode() and "10" in refused.body.decode()


async def test_a_customer_who_is_away_when_the_contact_is_requeued_has_the_whole_time(make_router: MakeRouter) -> None:
    """The agent passes the conversation back while the app is closed; the deadline also survives a kill."""
    router = make_router(policy=WITH_GRACE, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        asked = await ask(web, choose="first")
        async with a_client(router, asked):
            await ada.ok("POST", f"/v1/offers/{asked['request_id']}.1/accept")
            await ada.ok("POST", "/v1/agents/ada/state", {"state": "not_ready"})

        async def presences() -> list[tuple[bool, bool]]:
            events = [one for one in await admin.events() if one["type"] == "request.presence_changed"]
            return [(one["is_here"], one.get("leave_at_ms") is not None) for one in events]

        async with asyncio.timeout(60):
            while (False, False) not in await presences():  # noqa: ASYNC110  (ten seconds after the socket)
                await asyncio.sleep(0.2)
        # In the conversation nothing ends because the app is closed.
        await admin.ok("POST", f"/v1/contacts/{asked['request_id']}/requeue")
        began_s = time.monotonic()
        assert (await presences())[-1] == (False, True)
        assert GRACE_S - 1 < await until_left(web, asked, began_s) < 2.5 * GRACE_S
