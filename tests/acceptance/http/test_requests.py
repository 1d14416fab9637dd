"""Requests of customers over HTTP: options, the choice by the token, long polls, and what a token does not reach."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import POLICY, RouterProcess

OPTIONS = """\
requests:
  channels: [chat]
  callback: {length_s: 300, windows_max: 2, first_after_s: 0}
  choose_s: 120
"""
WITH_REQUESTS = POLICY.replace("support: {cool_down_s: 0}", "support: {cool_down_s: 0, callback: {}}") + OPTIONS
# Limits that are no part of a test.
FAST: dict[str, Any] = {"requests__token_per_s": 1_000, "requests__token_burst": 10_000}


def of_customer(router: RouterProcess, token: str) -> Api:
    """Return the API as a customer sees it."""
    return Api(router, None, token=token)


async def a_busy_agent(admin: Api, router: RouterProcess) -> str:
    """Let the only agent have a call; return its contact."""
    await admin.ok("PUT", "/v1/agents/ada", {})
    await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
    contact_id = (await admin.submit())["contact_id"]
    async with Api(router, "agent", "ada") as ada:
        await ada.ok("POST", f"/v1/offers/{contact_id}.1/accept")
    return str(contact_id)


async def ask(web: Api, **fields: Any) -> dict[str, Any]:
    return dict(await web.ok("POST", "/v1/requests", {"channel": "voice", "queue_id": "support", **fields}))


async def test_an_app_shows_options_and_its_customer_reaches_the_right_agent(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        busy = await a_busy_agent(admin, router)
        await admin.submit()  # Waits before the customer.
        before_ms = time.time() * 1000
        asked = await ask(web)
        after_ms = time.time() * 1000
        assert (asked["state"], asked["channel"]) == ("choosing", "voice")
        now, chat, callback = asked["options"]
        wait = await web.ok("GET", "/v1/queues/support/expected-wait?channel=voice")
        told = {name: -(-wait["expected_wait"][f"{name}_ms"] // 1000) for name in ("p50", "p90")}
        assert now == {"id": "now", "channel": "voice", "position": 2, "wait_s": told}
        assert (chat["id"], chat["channel"]) == ("chat", "chat")
        assert (callback["id"], len(callback["windows"])) == ("callback", 2)
        # The router's clock is read between the two, in whole milliseconds.
        assert before_ms - 1_000 < asked["expires_at_ms"] - 120_000 < after_ms + 1_000
        await admin.submit()  # Comes after the customer, who still chooses.
        async with of_customer(router, asked["token"]) as customer:
            path = f"/v1/requests/{asked['request_id']}"
            chosen = await customer.ok("POST", f"{path}/choose", {"option": "now"})
            assert (chosen["state"], chosen["position"]) == ("waiting", 2)
            assert (await customer.ok("GET", path))["position"] == 2
            for _ in range(2):  # The one before the customer, then the customer.
                await ada.ok("POST", f"/v1/contacts/{busy}/end")
                work = (await admin.ok("GET", "/v1/agents/ada"))["assignments"][0]["assignment_id"]
                await ada.ok("POST", f"/v1/assignments/{work}/complete")
                offer = (await admin.ok("GET", "/v1/agents/ada"))["offers"][0]
                await ada.ok("POST", f"/v1/offers/{offer['offer_id']}/accept")
                busy = offer["contact_id"]
            assert busy == asked["request_id"]
            shown = await customer.ok("GET", path)
            assert (shown["state"], shown["agent"]) == ("connected", {})
            assert "ada" not in str(shown) and "support" not in str(shown)


async def test_a_customer_chooses_a_callback_window_and_keeps_the_place(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        asked = await ask(web)
        window = asked["options"][2]["windows"][1]
        async with of_customer(router, asked["token"]) as customer:
            path = f"/v1/requests/{asked['request_id']}"
            other = {"start_at_ms": window["start_at_ms"] + 1, "end_at_ms": window["end_at_ms"]}
            refused = await customer.call("POST", f"{path}/choose", {"option": "callback", "window": other})
            assert (refused.status, refused.code, refused.json["field"]) == (409, "option_not_available", "window")
            chosen = await customer.ok("POST", f"{path}/choose", {"option": "callback", "window": window})
            assert (chosen["state"], chosen["callback_at_ms"]) == ("callback", window["start_at_ms"])
            assert chosen["callback_until_ms"] == window["end_at_ms"]
            await web.ok("POST", f"/v1/contacts/{asked['request_id']}/callback/move", {})
            waiting = await web.ok("GET", f"/v1/contacts/{asked['request_id']}")
            assert (waiting["state"], waiting["position"]) == ("queued", 1)


async def test_a_repeated_request_is_the_first_one_with_a_new_token(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await admin.ok("PUT", "/v1/agents/ada", {})
        body = {"channel": "voice", "queue_id": "support"}
        first, again = [await web.ok("POST", "/v1/requests", body, **{"Idempotency-Key": "once"}) for _ in range(2)]
        assert first["request_id"] == again["request_id"] and first["token"] != again["token"]
        assert {name: first[name] for name in ("seq", "options", "expires_at_ms")} == {
            name: again[name] for name in ("seq", "options", "expires_at_ms")
        }
        other = await web.call("POST", "/v1/requests", {**body, "choose": "first"}, headers={"Idempotency-Key": "once"})
        assert other.code == "idempotency_key_reused"
        path = f"/v1/requests/{first['request_id']}"
        async with of_customer(router, first["token"]) as old, of_customer(router, again["token"]) as new:
            assert (await old.call("GET", path)).code == "unauthenticated"
            await new.ok("GET", path)
            renewed = await web.ok("POST", f"{path}/token")
            assert (await new.call("GET", path)).status == 401
        async with of_customer(router, renewed["token"]) as newest:
            await newest.ok("GET", path)


async def test_a_token_reaches_its_own_request_only(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "gateway", "phone") as phone:
        await admin.ok("PUT", "/v1/agents/ada", {})
        mine, other = await ask(web), await ask(web, reference="canary-of-another")
        async with of_customer(router, mine["token"]) as customer:
            calls: list[tuple[str, str, Any]] = [
                ("GET", "", None),
                ("GET", "?wait_s=1", None),
                ("POST", "/choose", {"option": "now"}),
                ("POST", "/cancel", None),
            ]
            for method, action, body in calls:
                foreign = await customer.call(method, f"/v1/requests/{other['request_id']}{action}", body)
                unknown = await customer.call(method, f"/v1/requests/nothing{action}", body)
                assert (foreign.status, foreign.code) == (404, "unknown_contact")
                ids = ("request_id",)
                assert {k: v for k, v in foreign.json.items() if k not in ids} == {
                    k: v for k, v in unknown.json.items() if k not in ids
                }
                # Another gateway sees neither.
                got = await phone.call(method, f"/v1/requests/{other['request_id']}{action}", body)
                assert (got.status, got.code) == (404, "unknown_contact")
            for path in (f"/v1/contacts/{mine['request_id']}", "/v1/contacts", "/v1/queues", "/v1/events"):
                assert (await customer.call("GET", path)).code == "forbidden"
            assert (await customer.call("POST", "/v1/ws-ticket")).code == "forbidden"
            assert (await customer.call("POST", f"/v1/requests/{mine['request_id']}/token")).code == "forbidden"
        for token in ("rct_", "rct_" + "A" * 32, mine["token"][:-1], mine["token"] + "x"):
            async with of_customer(router, token) as stranger:
                assert (await stranger.call("GET", f"/v1/requests/{mine['request_id']}")).code == "unauthenticated"


async def test_a_token_of_an_issuer_never_makes_a_customer(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await admin.ok("PUT", "/v1/agents/ada", {})
        mine = await ask(web)
        async with Api(router, "customer", mine["request_id"]) as forged:
            assert (await forged.call("GET", f"/v1/requests/{mine['request_id']}")).code == "unauthenticated"


async def test_two_choices_at_once_have_one_winner(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        asked = await ask(web)
        path = f"/v1/requests/{asked['request_id']}/choose"
        async with of_customer(router, asked["token"]) as customer:
            got = await asyncio.gather(
                *(customer.call("POST", path, {"option": option}) for option in ("chat", "callback", "chat", "now"))
            )
        won = [one.json["channel"] for one in got if one.status == 200]
        lost = [one for one in got if one.status == 409]
        assert len(won) + len(lost) == 4 and won
        assert {one.code for one in lost} == {"invalid_contact_state"} and all("allowed" not in one.json for one in lost)
        events = [one for one in await admin.events() if one.get("contact_id") == asked["request_id"]]
        assert [one["type"] for one in events].count("contact.queued") == 1


async def test_a_choice_goes_on_after_a_kill(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS.replace("choose_s: 120", "choose_s: 20"), **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        chosen_later, never_chosen = await ask(web, reference="canary-of-the-app"), await ask(web)
    router.kill()
    for path in (router.directory / "var").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert chosen_later["token"].encode() not in content and b"canary-of-the-app" not in content, path.name
    router.start()
    async with Api(router, "gateway", "web") as web:
        assert (await web.ok("GET", f"/v1/contacts/{chosen_later['request_id']}"))["reference"] == "canary-of-the-app"
    async with of_customer(router, chosen_later["token"]) as one, of_customer(router, never_chosen["token"]) as other:
        first = f"/v1/requests/{chosen_later['request_id']}"
        assert (await one.ok("GET", first))["options"][0]["id"] == "now"
        assert (await one.ok("POST", f"{first}/choose", {"option": "now"}))["position"] == 1
        second = f"/v1/requests/{never_chosen['request_id']}"
        got = await other.ok("GET", f"{second}?wait_s=30")
        assert (got["state"], got["position"]) == ("waiting", 2)


async def test_a_long_poll_answers_at_a_change_and_holds_nothing_up(make_router: MakeRouter) -> None:
    limits = {"requests__credential_polls_max": 2, "requests__polls_max": 3, "server__in_flight_max": 2}
    router = make_router(policy=WITH_REQUESTS, **FAST, **limits).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await admin.ok("PUT", "/v1/agents/ada", {})
        await admin.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        asked, second = await ask(web), await ask(web)
        path = f"/v1/requests/{asked['request_id']}"
        tag = (await web.call("GET", path)).headers["ETag"]
        began = time.monotonic()
        unchanged = await web.call("GET", f"{path}?wait_s=1", headers={"If-None-Match": tag})
        assert (unchanged.status, unchanged.body) == (304, b"") and time.monotonic() - began >= 1
        async with of_customer(router, asked["token"]) as customer, of_customer(router, second["token"]) as another:

            async def poll(caller: Api) -> Any:
                """A poll that waits, also where another one takes its place for a moment."""
                while (answer := await caller.call("GET", f"{path}?wait_s=25")).status in {429, 503}:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                return answer

            polls = [asyncio.create_task(poll(web)) for _ in range(2)]
            async with asyncio.timeout(20):  # Until each of them waits.
                while (await web.call("GET", f"{path}?wait_s=1")).status != 429:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                polls.append(asyncio.create_task(poll(customer)))
                while (await another.call("GET", f"/v1/requests/{second['request_id']}?wait_s=1")).status != 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            # Three polls wait, more than may be in execution: everything else is answered.
            assert (await web.call("GET", "/readyz")).status == 200
            assert (await web.call("GET", f"{path}?wait_s=5")).code == "rate_limited"
            third = await another.call("GET", f"/v1/requests/{second['request_id']}?wait_s=5")
            assert third.code == "busy"
            began = time.monotonic()
            await customer.ok("POST", f"{path}/choose", {"option": "now"})
            answers = await asyncio.gather(*polls)
        assert time.monotonic() - began < 15, "not until the polls end after 25 s"
        assert {(one.status, one.json["state"]) for one in answers} == {(200, "waiting")}
        assert (await web.call("GET", f"{path}?wait_s=31")).code == "invalid_value"


@pytest.mark.parametrize("by", ["customer", "gateway"])
async def test_a_customer_leaves(make_router: MakeRouter, by: str) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        choosing, waiting = await ask(web), await ask(web, choose="first")
        assert (choosing["state"], waiting["state"], waiting["position"]) == ("choosing", "waiting", 1)
        for asked, final in ((choosing, "cancelled"), (waiting, "abandoned")):
            async with of_customer(router, asked["token"]) as customer:
                caller = customer if by == "customer" else web
                path = f"/v1/requests/{asked['request_id']}"
                left = await caller.ok("POST", f"{path}/cancel")
                assert (left["state"], left["outcome"]) == ("ended", "left")
                assert await caller.ok("POST", f"{path}/cancel") == left
                contact = await web.ok("GET", f"/v1/contacts/{asked['request_id']}")
                assert (contact["state"], contact["ended_by"]) == (final, "customer")


async def test_a_customer_goes_on_later(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS + "  later: true\n", **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        asked = await ask(web)
        path = f"/v1/requests/{asked['request_id']}"
        async with of_customer(router, asked["token"]) as customer:
            chosen = await customer.ok("POST", f"{path}/choose", {"option": "later"})
            assert chosen["state"] == "suspended"
        router.kill()
        router.start()
    async with Api(router, "gateway", "web") as web, of_customer(router, asked["token"]) as customer:
        assert (await customer.ok("GET", path))["state"] == "suspended"
        await web.ok("POST", f"/v1/contacts/{asked['request_id']}/resume", {"channel": "chat"})
        assert (await customer.ok("GET", path))["state"] == "waiting"
        # The customer does the same, with the token.
        assert (await customer.ok("POST", f"{path}/suspend"))["state"] == "suspended"
        assert (await customer.call("POST", f"{path}/resume", {"channel": "fax"})).code == "unknown_channel"
        resumed = await customer.ok("POST", f"{path}/resume", {"channel": "voice"})
        assert (resumed["state"], resumed["channel"]) == ("waiting", "voice")
        for action in ("suspend", "resume"):
            foreign = await customer.call("POST", f"/v1/requests/nothing/{action}", {})
            assert (foreign.status, foreign.code) == (404, "unknown_contact")


async def test_the_rates_of_customers_are_their_own(make_router: MakeRouter) -> None:
    limits = {"requests__token_per_s": 1, "requests__token_burst": 5, "requests__address_per_s": 1, "requests__address_burst": 8}
    router = make_router(policy=WITH_REQUESTS, **limits).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await admin.ok("PUT", "/v1/agents/ada", {})
        asked, second = await ask(web), await ask(web)
        async with of_customer(router, asked["token"]) as customer, of_customer(router, second["token"]) as another:
            got = [(await customer.call("GET", f"/v1/requests/{asked['request_id']}")).status for _ in range(7)]
            assert got[:5] == [200] * 5 and 429 in got[5:]
            got = [(await another.call("GET", f"/v1/requests/{second['request_id']}")).status for _ in range(5)]
            assert 200 in got and 429 in got, "the address has used up its own rate"
        await web.ok("GET", f"/v1/requests/{asked['request_id']}")


async def test_an_erasure_ends_the_tokens_of_the_customer_also_after_a_kill(make_router: MakeRouter) -> None:
    """Of live, suspended and ended requests, and of merged members; another customer's token goes on."""
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    users = [{"type": "app_user", "value": f"user-{number}", "assurance": "verified"} for number in range(3)]
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        ids = [(await web.ok("POST", "/v1/customers/resolve", {"identities": [user]}))["customer_id"] for user in users]
        live, suspended, ended, other = [
            await ask(web, customer={"customer_id": ids[number]}, choose="first") for number in (0, 1, 0, 2)
        ]
        await web.ok("POST", f"/v1/contacts/{suspended['request_id']}/suspend", {})
        await web.ok("POST", f"/v1/requests/{ended['request_id']}/cancel")
        await admin.ok("POST", f"/v1/customers/{ids[0]}/merge", {"from": ids[1], "reason": "agent_confirmed"})

        async def statuses() -> list[int]:
            found = []
            for asked in (live, suspended, ended, other):
                async with of_customer(router, asked["token"]) as customer:
                    found.append((await customer.call("GET", f"/v1/requests/{asked['request_id']}")).status)
            return found

        assert await statuses() == [200] * 4
        url = router.url + "/v1/customer"
        headers = {"Authorization": f"Bearer {live['token']}"}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, headers=headers, protocols=("router.v1+json",)) as ws,
        ):
            await ws.send_json({"type": "hello"})
            while (await ws.receive_json(timeout=10))["type"] != "state":
                pass
            assert (await admin.ok("DELETE", f"/v1/customers/{ids[1]}"))["state"] == "erased"
            async with asyncio.timeout(10):
                async for _ in ws:
                    pass
            assert ws.close_code == 4401
        assert await statuses() == [401, 401, 401, 200]
        assert (await web.ok("GET", f"/v1/contacts/{live['request_id']}"))["state"] == "queued"
    router.kill()
    router.start()
    assert await statuses() == [401, 401, 401, 200]
