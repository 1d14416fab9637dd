"""Conversations that go on at another time or on another channel, through real processes, journals and sockets."""

import asyncio
import time
from typing import Any

import pytest

from router.client import DesktopClient, GatewayClient
from router.client.connection import ConnectionOptions
from router.model import events as e
from router.model.states import ContactState
from tests.acceptance.conftest import MakeRouter
from tests.support.card_centre import until
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
channels:
  voice: {offer_timeout_s: 60}
  chat: {units: 30, per_agent_max: 3, offer_timeout_s: 60}
queues:
  support: {cool_down_s: 0, suspension: {warn_before_s: 0}}
"""
TWO_DAYS_S = 2 * 86_400
OPTIONS = ConnectionOptions(connect_timeout_s=20.0, command_timeout_s=20.0)


def ws(router: RouterProcess) -> str:
    return router.url.replace("http", "ws", 1)


def the_gateway(router: RouterProcess, name: str = "web") -> GatewayClient:
    return GatewayClient(ws(router), router.token("gateway", name), options=OPTIONS)


def the_desktop(router: RouterProcess, agent_id: str) -> DesktopClient:
    return DesktopClient(ws(router), router.token("agent", agent_id), options=OPTIONS)


async def suspended_chat(router: RouterProcess) -> str:
    """Let ada, one of three qualified agents, suspend a chat; ada is then the one who has been idle for the shortest time."""
    async with (
        Api(router) as admin,
        the_gateway(router) as gateway,
        the_desktop(router, "ada") as ada,
        the_desktop(router, "bob") as bob,
        the_desktop(router, "cy") as cy,
        asyncio.timeout(60),
    ):
        await ada.ready()
        contact_id = (await gateway.submit("chat", queue_id="support", reference="chat-1")).subject
        offer = await anext(event async for event in ada.events() if isinstance(event, e.OfferMade))
        await ada.accept(offer.offer_id)
        for other in (bob, cy):
            await other.ready()
        assert (await ada.suspend(contact_id)).state == "suspended"
        heard = await anext(event async for event in gateway.events() if isinstance(event, e.ContactSuspended))
        assert heard.agent_id == "ada"
        assert gateway.contacts.by_id[contact_id].state is ContactState.SUSPENDED
        assert ada.state.assignments == {}
        view = await admin.ok("GET", f"/v1/contacts/{contact_id}")
        assert view["suspension"]["at_expiry"] == "end" and "agent_id" not in view
        return contact_id


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_chat_is_resumed_by_voice_two_days_later_by_the_same_agent_if_there(
    make_router: MakeRouter, is_there: bool
) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        for agent_id in ("ada", "bob", "cy"):
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {})
    contact_id = await suspended_chat(router)
    router.kill()
    router.clock_ahead_s = TWO_DAYS_S
    router.start()
    async with (
        Api(router) as admin,
        Api(router, "gateway", "web") as web,
        the_gateway(router) as gateway,
        the_desktop(router, "bob") as bob,
        the_desktop(router, "cy") as cy,
        the_desktop(router, "ada") as ada,
        asyncio.timeout(60),
    ):
        assert gateway.contacts.by_id[contact_id].state is ContactState.SUSPENDED
        before = await admin.ok("GET", f"/v1/contacts/{contact_id}")
        assert before["suspension"]["age_ms"] < 60_000
        for desktop in (bob, cy, ada):
            await desktop.ready()
        if not is_there:
            await ada.not_ready()
        receipt = await web.ok("POST", f"/v1/contacts/{contact_id}/resume", {"channel": "voice", "reference": "call-9"})
        assert receipt["state"] == "queued" and receipt["contact_id"] == contact_id
        chosen = ada if is_there else bob
        offer = await anext(event async for event in chosen.events() if isinstance(event, e.OfferMade))
        assert (offer.channel, offer.reference, offer.contact_id) == ("voice", "call-9", contact_id)
        assert offer.waited_ms < 60_000, "the two days do not count as waiting"
        resumed = await anext(event async for event in gateway.events() if isinstance(event, e.ContactResumed))
        assert resumed.preferred_agent_id == ("ada" if is_there else None)
        assert resumed.suspended_ms > TWO_DAYS_S * 1000 - 60_000
        stats = await admin.ok("GET", "/v1/state")
        assert stats["state"]["counts"]["suspended"] == 0
        async with the_gateway(router) as fresh:
            assert fresh.contacts.by_id == gateway.contacts.by_id


async def test_of_two_resumes_at_once_the_first_in_the_journal_wins(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router, "gateway", "web") as web, Api(router) as admin:
        contact_id = (await web.submit(channel="chat"))["contact_id"]
        await web.ok("POST", f"/v1/contacts/{contact_id}/suspend", {})
        path = f"/v1/contacts/{contact_id}/resume"
        both = await asyncio.gather(*(web.call("POST", path, {"channel": channel}) for channel in ("voice", "chat")))
        assert sorted(got.status for got in both) == [200, 409]
        won = "voice" if both[0].status == 200 else "chat"
        view = await admin.ok("GET", f"/v1/contacts/{contact_id}")
        assert (view["channel"], view["state"], view["position"]) == (won, "queued", 1)
        again = await web.call("POST", path, {"channel": won})
        assert again.status == 200 and again.json["seq"] == next(got.json["seq"] for got in both if got.status == 200)
        # A repeat with the same key is answered as the first time; the same holds after a kill.
        await web.ok("POST", f"/v1/contacts/{contact_id}/suspend", {}, **{"Idempotency-Key": "k-1"})
        first = await web.ok("POST", path, {}, **{"Idempotency-Key": "k-2"})
    router.kill()
    router.start()
    async with Api(router, "gateway", "web") as web:
        assert await web.ok("POST", path, {}, **{"Idempotency-Key": "k-2"}) | {"expected_wait": 0, "epoch": 0} == first | {
            "expected_wait": 0,
            "epoch": 0,
        }


async def test_a_contact_that_is_not_resumed_in_time_cannot_be_resumed_and_a_new_one_continues_it(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router, "gateway", "web") as web, Api(router) as admin:
        contact_id = (await web.submit(channel="chat"))["contact_id"]
        terms: dict[str, Any] = {"resume_by_ms": round(time.time() * 1000) + 86_400_000}
        await web.ok("POST", f"/v1/contacts/{contact_id}/suspend", terms)
        why = await admin.ok("GET", f"/v1/contacts/{contact_id}/why")
        assert (why["reason"], why["next_change"], why["next_change_at_ms"]) == ("suspended", "resume_by", terms["resume_by_ms"])
        queue = await admin.ok("GET", "/v1/queues/support")
        assert queue["queue"]["suspended"] == queue["stats"]["suspended"] == 1
    router.kill()
    router.clock_ahead_s = TWO_DAYS_S
    router.start()
    async with Api(router, "gateway", "web") as web:
        late = await web.call("POST", f"/v1/contacts/{contact_id}/resume", {})
        assert (late.status, late.code) == (410, "resume_expired")
        again = await web.submit(channel="voice", continues_contact_id=contact_id)
        assert again["state"] == "queued"


async def test_suspending_needs_an_unchanged_contact_and_refuses_free_text(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router, "gateway", "web") as web, Api(router, "gateway", "pbx") as other:
        contact_id = (await web.submit(channel="chat"))["contact_id"]
        path = f"/v1/contacts/{contact_id}/suspend"
        assert (await other.call("POST", path, {})).code == "unknown_contact"
        refused = await web.call("POST", path, {"note": "waits for papers"})
        assert (refused.status, refused.code, refused.json["field"]) == (422, "invalid_value", "note")
        past = await web.call("POST", path, {"resume_by_ms": 1})
        assert (past.code, past.json["field"]) == ("invalid_value", "resume_by_ms")
        etag = (await web.call("GET", f"/v1/contacts/{contact_id}")).headers["ETag"]
        assert (await web.call("POST", path, {}, headers={"If-Match": '"0"'})).code == "precondition_failed"
        done = await web.call("POST", path, {}, headers={"If-Match": etag})
        assert done.json["state"] == "suspended" and done.headers["ETag"] != etag


async def chat_with_ada(router: RouterProcess, ada: DesktopClient, gateway: GatewayClient, queue_id: str = "support") -> str:
    contact_id = (await gateway.submit("chat", queue_id=queue_id, reference="chat-1")).subject
    offer = await anext(event async for event in ada.events() if isinstance(event, e.OfferMade) and event.contact_id == contact_id)
    await ada.accept(offer.offer_id)
    return contact_id


async def test_a_chat_becomes_a_call_with_the_same_agent_when_the_gateway_has_connected_it(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        await admin.ok("PUT", "/v1/agents/ada", {})
        async with the_gateway(router) as gateway, the_desktop(router, "ada") as ada, asyncio.timeout(60):
            await ada.ready()
            contact_id = await chat_with_ada(router, ada, gateway)
            work = next(iter(ada.state.assignments))
            await ada.switch_channel(contact_id, "voice", reference="call-9")
            asked = await anext(event async for event in gateway.events() if isinstance(event, e.ContactChannelRequested))
            assert (asked.channel, asked.reference, asked.agent_id) == ("voice", "call-9", "ada")
            assert ada.state.assignments[work].channel == "chat" and ada.state.assignments[work].held_channel == "voice"
            async with the_desktop(router, "ada") as fresh:
                assert fresh.state.assignments[work].held_channel == "voice"
        # The process ends in between: the switch is still in progress afterwards, and the report completes it.
        router.kill()
        router.start()
    async with Api(router, "gateway", "web") as web, the_desktop(router, "ada") as ada, the_gateway(router) as gateway:
        done = await web.ok("POST", f"/v1/contacts/{contact_id}/channel/result", {"outcome": "connected"})
        assert done["state"] == "assigned"
        again = await web.ok("POST", f"/v1/contacts/{contact_id}/channel/result", {"outcome": "connected"})
        assert again["seq"] == done["seq"]
        async with asyncio.timeout(20):
            heard = await anext(event async for event in ada.events() if isinstance(event, e.ContactChannelSwitched))
        assert heard.assignment_id == work
        own = ada.state.assignments[work]
        assert (own.channel, own.reference, own.held_channel) == ("voice", "call-9", None)
        assert gateway.contacts.by_id[contact_id].channel == "voice"
    async with Api(router) as admin, the_desktop(router, "ada") as fresh:
        assert fresh.state.assignments[work].channel == "voice"
        view = await admin.ok("GET", f"/v1/contacts/{contact_id}")
        assert (view["channel"], view["agent_id"], "switch" in view) == ("voice", "ada", False)


async def test_an_agent_without_capacity_keeps_the_chat_until_another_one_takes_the_call(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, the_gateway(router) as gateway, asyncio.timeout(60):
        for agent_id in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {})
        async with the_desktop(router, "ada") as ada, the_desktop(router, "bob") as bob:
            await ada.ready()
            contact_id, _ = await chat_with_ada(router, ada, gateway), await chat_with_ada(router, ada, gateway)
            path = f"/v1/contacts/{contact_id}/channel"
            refused = await web.call("POST", path, {"channel": "voice"})
            assert (refused.status, refused.code, refused.json["field"]) == (409, "channel_not_possible", "channel")
            await web.ok("POST", path, {"channel": "voice", "reference": "call-9", "if_unable": "queue"})
            assert (await admin.ok("GET", f"/v1/contacts/{contact_id}"))["switch"] == {"channel": "voice", "if_unable": "queue"}
            await bob.ready()
            offer = await anext(event async for event in bob.events() if isinstance(event, e.OfferMade))
            assert (offer.channel, offer.reason) == ("voice", "channel")
            assert gateway.contacts.by_id[contact_id].agent_id == "ada"
            await bob.accept(offer.offer_id)
            # The chat goes on with ada until the gateway has connected the customer with bob; first it fails to.
            asked = await anext(
                event async for event in gateway.events() if isinstance(event, e.ContactChannelRequested) and event.deadline_ms
            )
            assert (asked.agent_id, asked.to_agent_id, asked.reference) == ("ada", "bob", "call-9")
            await until(lambda: [work.role for work in bob.state.assignments.values()] == ["consult"])
            view = await admin.ok("GET", f"/v1/contacts/{contact_id}")
            assert (view["agent_id"], view["channel"], view["switch"]["to_agent_id"]) == ("ada", "chat", "bob")
            await until(lambda: any(work.passes_to == "bob" for work in ada.state.assignments.values()))
            async with the_desktop(router, "ada") as fresh:
                assert fresh.state.assignments == ada.state.assignments
            assert (await web.ok("POST", f"{path}/result", {"outcome": "failed"}))["state"] == "assigned"
            await until(lambda: not bob.state.assignments)
            view = await admin.ok("GET", f"/v1/contacts/{contact_id}")
            assert (view["agent_id"], view["channel"], "switch" in view) == ("ada", "chat", False)
            await web.ok("POST", path, {"channel": "voice", "reference": "call-9", "if_unable": "queue"})
            offer = await anext(event async for event in bob.events() if isinstance(event, e.OfferMade))
            await bob.accept(offer.offer_id)
    # The process ends while the customer is being connected: the report still completes the switch.
    router.kill()
    router.start()
    async with (
        Api(router) as admin,
        Api(router, "gateway", "web") as web,
        the_gateway(router) as gateway,
        the_desktop(router, "ada"),
        the_desktop(router, "bob") as bob,
        asyncio.timeout(60),
    ):
        await web.ok("POST", f"{path}/result", {"outcome": "connected"})
        await anext(event async for event in gateway.events() if isinstance(event, e.ContactChannelSwitched))
        mirrored = gateway.contacts.by_id[contact_id]
        assert (mirrored.agent_id, mirrored.channel, mirrored.reference) == ("bob", "voice", "call-9")
        await until(lambda: [(w.channel, w.role) for w in bob.state.assignments.values()] == [("voice", "owner")])
        stats = (await admin.ok("GET", "/v1/queues/support"))["stats"]
        switches = stats["channels"]["voice"]["switches"]
        assert (switches["switched"], switches["failed"]) == (1, 1)
        assert stats["channels"]["chat"]["handling"]["transferred"] == 1
        assert "consults" not in stats["channels"]["voice"], "the agent was offered the contact, not a consult"


async def test_an_agent_in_other_work_consults_one_who_can_take_the_call_and_passes_the_chat_on(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with (
        Api(router) as admin,
        Api(router, "gateway", "web") as web,
        Api(router, "agent", "ada") as of_ada,
        the_gateway(router) as gateway,
        asyncio.timeout(60),
    ):
        for agent_id in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {})
        async with the_desktop(router, "ada") as ada, the_desktop(router, "bob") as bob:
            await ada.ready()
            contact_id, _ = await chat_with_ada(router, ada, gateway), await chat_with_ada(router, ada, gateway)
            path = f"/v1/contacts/{contact_id}"
            wish = {"channel": "voice", "reference": "call-9", "if_unable": "consult"}
            asked = await web.ok("POST", f"{path}/channel", wish)
            assert asked["state"] == "assigned"
            assert (await admin.ok("GET", path))["switch"] == {"channel": "voice", "if_unable": "consult"}
            await bob.ready()
            offer = await anext(event async for event in bob.events() if isinstance(event, e.OfferMade))
            assert (offer.channel, offer.role, offer.reason, offer.from_agent_id) == ("voice", "consult", "channel", "ada")
            await bob.accept(offer.offer_id)
            heard = await anext(
                event async for event in ada.events() if isinstance(event, e.OfferAccepted) and event.role != "owner"
            )
            assert heard.members == {"ada": "owner", "bob": "consult"}
            view = await admin.ok("GET", path)
            assert (view["channel"], view["agent_id"]) == ("chat", "ada"), "the chat goes on"
            assert [(work.channel, work.state) for work in ada.state.assignments.values()] == [("chat", "active")] * 2
    # The process ends while the consult runs; the desktops come back, and the owner completes it.
    router.kill()
    router.start()
    async with (
        Api(router) as admin,
        Api(router, "gateway", "web") as web,
        Api(router, "agent", "ada") as of_ada,
        the_gateway(router) as gateway,
        the_desktop(router, "ada") as ada,
        the_desktop(router, "bob") as bob,
        asyncio.timeout(60),
    ):
        await of_ada.ok("POST", f"{path}/consult/complete", {})
        assert (await admin.ok("GET", path))["agent_id"] == "ada"
        await web.ok("POST", f"{path}/channel/result", {"outcome": "connected"})
        switched = await anext(event async for event in gateway.events() if isinstance(event, e.ContactChannelSwitched))
        assert (switched.agent_id, switched.channel, switched.reference) == ("bob", "voice", "call-9")
        await anext(event async for event in bob.events() if isinstance(event, e.ContactChannelSwitched))
        assert [(work.channel, work.role, work.reference) for work in bob.state.assignments.values()] == [
            ("voice", "owner", "call-9")
        ]
        mirrored = gateway.contacts.by_id[contact_id]
        assert (mirrored.agent_id, mirrored.channel, mirrored.reference) == ("bob", "voice", "call-9")
        async with the_desktop(router, "bob") as fresh, the_gateway(router) as again:
            assert fresh.state.assignments == bob.state.assignments
            assert again.contacts.by_id == gateway.contacts.by_id
        stats = await admin.ok("GET", "/v1/queues/support")
        assert stats["stats"]["channels"]["voice"]["switches"]["switched"] == 1


@pytest.mark.parametrize("way", ["owner cancels", "agent leaves", "gateway gives up"])
async def test_a_consult_for_a_call_that_ends_otherwise_leaves_the_chat_as_it_was(make_router: MakeRouter, way: str) -> None:
    router = make_router(policy=POLICY).start()
    async with (
        Api(router) as admin,
        Api(router, "gateway", "web") as web,
        Api(router, "agent", "ada") as of_ada,
        Api(router, "agent", "bob") as of_bob,
        the_gateway(router) as gateway,
        asyncio.timeout(60),
    ):
        for agent_id in ("ada", "bob"):
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {})
        async with the_desktop(router, "ada") as ada, the_desktop(router, "bob") as bob:
            await ada.ready()
            contact_id, _ = await chat_with_ada(router, ada, gateway), await chat_with_ada(router, ada, gateway)
            path = f"/v1/contacts/{contact_id}"
            await web.ok("POST", f"{path}/channel", {"channel": "voice", "if_unable": "consult"})
            await bob.ready()
            offer = await anext(event async for event in bob.events() if isinstance(event, e.OfferMade))
            if way == "gateway gives up":
                await web.ok("POST", f"{path}/channel", {"channel": "chat"})
            else:
                await bob.accept(offer.offer_id)
                refused = await web.call("POST", f"{path}/channel", {"channel": "chat"})
                assert (refused.status, refused.code) == (409, "invalid_contact_state"), "the owner decides on a running consult"
                ends = {"owner cancels": (of_ada, "consult/cancel"), "agent leaves": (of_bob, "leave")}
                by, what = ends[way]
                await by.ok("POST", f"{path}/{what}", {})
            failed = await anext(event async for event in gateway.events() if isinstance(event, e.ContactChannelFailed))
            assert (failed.channel, failed.reason, failed.agent_id) == ("voice", "cancelled", "ada")
            view = await admin.ok("GET", path)
            assert (view["channel"], view["agent_id"], "switch" in view) == ("chat", "ada", False)
            assert (await admin.ok("GET", "/v1/agents/bob"))["units_used"] == 0


@pytest.mark.parametrize("outcome", ["connected", "failed", None])
async def test_a_contact_keeps_its_reference_until_the_switch_is_completed(make_router: MakeRouter, outcome: str | None) -> None:
    """Also across kills, and where the switch ends without a report of the gateway."""
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, the_gateway(router) as gateway, asyncio.timeout(90):
        await admin.ok("PUT", "/v1/agents/ada", {})
        async with the_desktop(router, "ada") as ada:
            await ada.ready()
            contact_id = await chat_with_ada(router, ada, gateway)
            path = f"/v1/contacts/{contact_id}"
            # A refused switch changes nothing, neither does one that is repeated.
            await web.call("POST", f"{path}/channel", {"channel": "smoke", "reference": "call-0"})
            for _ in range(2):
                await web.ok("POST", f"{path}/channel", {"channel": "voice", "reference": "call-9"})
            asked = await anext(event async for event in gateway.events() if isinstance(event, e.ContactChannelRequested))
            assert asked.reference == "call-9"
            assert (await admin.ok("GET", path))["reference"] == "chat-1"
            assert [work.reference for work in ada.state.assignments.values()] == ["chat-1"]
    router.kill()
    router.start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        assert (await admin.ok("GET", path))["reference"] == "chat-1"
        if outcome is None:
            await web.ok("POST", f"{path}/channel", {"channel": "chat", "reference": "chat-2"})
        else:
            await web.ok("POST", f"{path}/channel/result", {"outcome": outcome})
        expected = "call-9" if outcome == "connected" else "chat-1"
        assert (await admin.ok("GET", path))["reference"] == expected
    router.kill()
    router.start()
    async with Api(router) as admin:
        assert (await admin.ok("GET", path))["reference"] == expected
