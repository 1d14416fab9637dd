"""Edge cases of conversations that go on later or elsewhere, from outside. Numbered as in the design of the customer context."""

import asyncio
import time
from typing import Any

import pytest

from router.client import DesktopClient
from router.model import events as e
from router.model.states import AgentState
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_continuity import POLICY, TWO_DAYS_S, chat_with_ada, the_desktop, the_gateway
from tests.acceptance.http.test_edge_cases_customers import apis, resolve, submit, take, until, user
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

WAITS: dict[str, Any] = {"policy": POLICY, "context__submit_wait_ms_max": 5_000}
"""A slow disk of the test's machine takes no customer away."""
PHONE = {"type": "phone", "value": "+49 1511 2345678", "assurance": "verified"}


async def test_edge_case_17_a_merge_undone_during_a_contact(make_router: MakeRouter) -> None:
    """The contact follows the identity with which it came; the card is replaced, and the agent keeps the contact."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin), Api(router, "agent", "ada") as ada:
        known, caller = [(await resolve(web, one))["customer_id"] for one in (user(1), PHONE)]
        for customer_id, name in ((known, "Ann"), (caller, "Bob")):
            await admin.ok("PATCH", f"/v1/customers/{customer_id}", {"name": name})
        merged = await admin.ok("POST", f"/v1/customers/{known}/merge", {"from": caller, "reason": "agent_confirmed"})
        contact_id = await take(admin, ada, PHONE)
        path = f"/v1/contacts/{contact_id}"

        def is_shown(desktop: DesktopClient, customer_id: str, name: str) -> bool:
            card = desktop.cards.get(contact_id)
            shown = None if card is None else card.customer
            return shown is not None and (shown.customer_id, shown.name) == (customer_id, name)

        async with the_desktop(router, "ada") as desktop:
            await until(lambda: is_shown(desktop, merged["customer_id"], "Ann"))
            await admin.ok("POST", f"/v1/merges/{merged['merge_id']}/undo", {})
            await until(lambda: is_shown(desktop, caller, "Bob"))
        card = await ada.card(contact_id)
        assert (card["customer"]["customer_id"], card["customer"]["name"]) == (caller, "Bob")
        view = await admin.ok("GET", path)
        assert (view["state"], view["agent_id"], view["customer_id"]) == ("assigned", "ada", caller)
        again = await submit(web, user(1))
        assert again["customer_id"] == known


async def test_edge_case_18_two_suspended_conversations_and_a_call(make_router: MakeRouter) -> None:
    """The card of the call lists both; the gateway resumes the one that the customer names, or goes on with something new."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin), Api(router, "agent", "ada") as ada:
        older, newer = [(await submit(web, PHONE, channel="chat"))["contact_id"] for _ in range(2)]
        for contact_id in (older, newer):
            await web.ok("POST", f"/v1/contacts/{contact_id}/suspend", {})
        call = await take(admin, ada, PHONE)

        async def listed() -> list[tuple[str, str]]:
            card = await ada.card(call)
            return [(one["contact_id"], one["state"]) for one in card.get("open_work", ())]

        async with asyncio.timeout(20):
            while await listed() != [(newer, "suspended"), (older, "suspended")]:  # noqa: ASYNC110  (written from the feed)
                await asyncio.sleep(0.05)
        # Something new: neither is touched. The older one: the other stays suspended.
        states = [(await admin.ok("GET", f"/v1/contacts/{name}"))["state"] for name in (older, newer)]
        assert states == ["suspended", "suspended"]
        resumed = await web.ok("POST", f"/v1/contacts/{older}/resume", {"channel": "voice", "reference": "call-9"})
        assert resumed["contact_id"] == older and resumed["state"] == "queued"
        view = await admin.ok("GET", f"/v1/contacts/{newer}")
        assert view["state"] == "suspended"


async def test_edge_case_19_resumed_after_its_agent_was_deleted(make_router: MakeRouter) -> None:
    """The preference is skipped at once: the next agent by the normal rule gets it."""
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, the_gateway(router) as gateway, asyncio.timeout(60):
        for agent_id in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {})
        async with the_desktop(router, "ada") as ada:
            await ada.ready()
            contact_id = await chat_with_ada(router, ada, gateway)
            await ada.suspend(contact_id)
            await ada.set_state(AgentState.OFFLINE)
        await admin.ok("DELETE", "/v1/agents/ada")
        async with the_desktop(router, "bob") as bob:
            await bob.ready()
            await web.ok("POST", f"/v1/contacts/{contact_id}/resume", {"channel": "voice"})
            offer = await anext(event async for event in bob.events() if isinstance(event, e.OfferMade))
            assert (offer.contact_id, offer.channel, offer.reason) == (contact_id, "voice", "longest_idle")
            resumed = await anext(event async for event in gateway.events() if isinstance(event, e.ContactResumed))
            assert resumed.preferred_agent_id is None


async def test_edge_case_20_resumed_too_late(make_router: MakeRouter) -> None:
    """It is refused, also after a kill; a new contact continues it with the same agent, and its card shows the old one."""
    router = make_router(**WAITS).start()
    async with apis(router) as (_, admin), Api(router, "agent", "ada") as ada:
        contact_id = await take(admin, ada, PHONE)
        resume_by_ms = round(time.time() * 1000) + 86_400_000
        await ada.ok("POST", f"/v1/contacts/{contact_id}/suspend", {"resume_by_ms": resume_by_ms})
    router.kill()
    router.clock_ahead_s = TWO_DAYS_S
    router.start()
    async with apis(router) as (_, admin):
        for _ in range(2):
            late = await admin.call("POST", f"/v1/contacts/{contact_id}/resume", {"channel": "voice"})
            assert (late.status, late.code) == (410, "resume_expired")
        fields: dict[str, Any] = {"channel": "voice", "continues_contact_id": contact_id}
        again = (await admin.submit(customer={"identities": [PHONE]}, **fields))["contact_id"]
        view = await admin.ok("GET", f"/v1/contacts/{again}")
        assert view["last_agent_id"] == "ada" and again != contact_id

        async def shown() -> list[tuple[str, str]]:
            card = await admin.card(again)
            return [(one["contact_id"], one["state"]) for one in card.get("contacts", ())]

        async with asyncio.timeout(20):
            while await shown() != [(contact_id, "expired")]:  # noqa: ASYNC110  (written from the feed)
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("if_unable", "status", "switch"),
    [("refuse", 409, None), ("queue", 200, {"channel": "voice"}), ("consult", 200, {"channel": "voice", "if_unable": "consult"})],
)
async def test_edge_case_21_chat_to_voice_with_an_agent_in_a_call(
    make_router: MakeRouter, if_unable: str, status: int, switch: dict[str, str] | None
) -> None:
    """``if_unable`` decides; the chat goes on in each case."""
    policy = POLICY.replace("voice: {", "voice: {units: 70, ")
    router: RouterProcess = make_router(policy=policy).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, the_gateway(router) as gateway, asyncio.timeout(60):
        await admin.ok("PUT", "/v1/agents/ada", {})
        async with the_desktop(router, "ada") as ada:
            await ada.ready()
            contact_id = await chat_with_ada(router, ada, gateway)
            call = (await web.submit(channel="voice"))["contact_id"]
            await until(lambda: len(ada.state.offers) == 1)
            await ada.accept(f"{call}.1")
            path = f"/v1/contacts/{contact_id}"
            got = await web.call("POST", f"{path}/channel", {"channel": "voice", "if_unable": if_unable})
            assert got.status == status
            if status == 409:
                assert got.code == "channel_not_possible"
            view = await admin.ok("GET", path)
            assert (view["channel"], view["agent_id"], view["state"]) == ("chat", "ada", "assigned")
            assert (view.get("switch") or {}).get("channel") == (switch or {}).get("channel")
            if if_unable == "consult":
                assert view["switch"] == switch
            assert sorted(work.channel for work in ada.state.assignments.values()) == ["chat", "voice"]
            # When the call is over, the agent is free for it: a switch that waits goes on, a refused one does not.
            await web.ok("POST", f"/v1/contacts/{call}/end", {"reason": "customer_left"})
            after = (await admin.ok("GET", path)).get("switch") or {}
            assert ("deadline_ms" in after) is (switch is not None)
