"""Stories of customers who come from an app: to the right agent with everything known, and called back instead of waiting.

The router is a process of its own with its journal and its customer context; everything is seen as an app, its backend, agents and
a telephone gateway see it, over HTTP and sockets.
"""

import re
import time
from contextlib import AsyncExitStack
from typing import Any

from tests.acceptance.conftest import MakeRouter
from tests.acceptance.stories.transcript import HttpParty, SocketParty, Transcript
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

POLICY = """\
channels:
  voice: {offer_timeout_s: 60, wrap_up_s: 60}
  chat: {units: 30, per_agent_max: 3, offer_timeout_s: 60}
skills: [payments]
facts:
  failed_payments: {applies_to: customer, type: int, derive: {count: {type: payment, result: failed}, within_s: 300}}
queues:
  support: {}
  payments: {requires: {payments: 3}, callback: {mode: agent_first}, cool_down_s: 0}
entry:
  - {name: payment_help, when: customer.failed_payments >= 2, queue: payments}
default_queue: support
requests:
  channels: [chat]
  callback: {length_s: 300, windows_max: 2, first_after_s: 0}
"""
USER = {"type": "app_user", "value": "user-7", "assurance": "verified"}
AGENTS = {"ada": {}, "bob": {"payments": 5}, "cy": {"payments": 1}}
CONTEXT = {"screen": "invoice/4711", "intent": "pay an invoice", "summary": "The card was refused twice."}


def a_router(make_router: MakeRouter) -> RouterProcess:
    # A slow disk of the test's machine takes no customer away.
    return make_router(policy=POLICY, context__submit_wait_ms_max=5_000).start()


async def agents_ready(router: RouterProcess, desktops: dict[str, SocketParty]) -> None:
    """Let all agents be ready; bob, who is to get the customer, is the one who has been idle for the shortest time."""
    async with Api(router) as admin:
        for agent_id, skills in AGENTS.items():
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {"skills": skills})
    for agent_id in ("cy", "ada", "bob"):
        await desktops[agent_id].send(type="set_state", id="ready", state="ready")
        await desktops[agent_id].until(lambda frame: frame.get("id") == "ready" and frame["type"] == "ok")


async def fail_in_the_app(backend: HttpParty) -> None:
    """The customer tries to pay, twice, and looks for help."""
    steps = [
        {"id": "s-1", "identity": USER, "type": "page", "name": "invoice/4711"},
        {"id": "s-2", "identity": USER, "type": "payment", "name": "invoice", "result": "failed"},
        {"id": "s-3", "identity": USER, "type": "payment", "name": "invoice", "result": "failed"},
    ]
    receipt = await backend.call("POST", "/v1/journey", {"steps": steps}, expected=202)
    assert receipt["accepted"] == 3


def assert_card(card: Any) -> None:
    """The agent sees who it is, what they want, and what they did before."""
    assert (card["status"], card["assurance"]) == ("complete", "verified")
    assert {name: card["now"][name] for name in CONTEXT} == CONTEXT
    assert [(one["type"], one.get("name"), one.get("result")) for one in card["steps"]] == [
        ("page", "invoice/4711", None),
        ("payment", "invoice", "failed"),
        ("payment", "invoice", "failed"),
    ]


def desktops_of(story: Transcript, router: RouterProcess) -> dict[str, SocketParty]:
    return {name: SocketParty(story, name, router, "/v1/desktop", router.token("agent", name)) for name in AGENTS}


async def test_from_the_app_to_the_right_agent_with_the_context(make_router: MakeRouter) -> None:
    router, story = a_router(make_router), Transcript()
    backend = HttpParty(story, "backend", router, router.token("gateway", "web"))
    async with Api(router) as admin, AsyncExitStack() as open_sockets:
        for name in AGENTS:
            await admin.ok("PUT", f"/v1/agents/{name}", {})
        desktops = desktops_of(story, router)
        for desktop in desktops.values():
            await open_sockets.enter_async_context(desktop)
        await agents_ready(router, desktops)
        await fail_in_the_app(backend)
        body = {"channel": "chat", "customer": {"identities": [USER]}, "context": CONTEXT}
        asked = await backend.call("POST", "/v1/requests", body, expected=201)
        story.name(asked["request_id"], "request")
        story.name(asked["token"], "token")
        assert asked["state"] == "choosing"
        assert [(one["id"], one["channel"]) for one in asked["options"]] == [("now", "chat"), ("callback", "chat")]
        assert asked["options"][0]["wait_s"] == {"p50": 0, "p90": 0} and len(asked["options"][1]["windows"]) == 2
        app = await open_sockets.enter_async_context(SocketParty(story, "app", router, "/v1/customer", asked["token"]))
        shown = await app.until_state("choosing")
        assert [one["id"] for one in shown["options"]] == ["now", "callback"]
        await app.send(type="choose", id="1", option="now")
        offer = await desktops["bob"].until_event("offer.made", contact_id=asked["request_id"])
        assert_card(await desktops["bob"].card(asked["request_id"]))
        story.name(offer["event"]["offer_id"], "offer")
        await desktops["bob"].send(type="accept", id="2", offer_id=offer["event"]["offer_id"])
        assert "bob" not in str(await app.until_state("connected"))
        await desktops["bob"].send(type="end", id="3", contact_id=asked["request_id"])
        assert (await app.until_state("ended"))["outcome"] == "completed"
        contact = await backend.call("GET", f"/v1/contacts/{asked['request_id']}")
        assert (contact["queue_id"], contact["rule"], contact["agent_id"]) == ("payments", "payment_help", "bob")
        assert contact["customer_facts"] == {"failed_payments": 2}
        # The other agents, one of them idle for longer and one with too little skill, have heard nothing of it.
        for name in ("ada", "cy"):
            assert not [one for one in story.of(name) if "<request>" in one or "invoice" in one]
        states = re.findall(r'"state":"(\w+)"', "\n".join(line for line in story.of("app") if '"type":"state"' in line))
        assert [one for number, one in enumerate(states) if one not in states[:number]] == [
            *("choosing", "waiting", "connected", "ended")
        ]
        # The app is shown nothing of the queue, the agents or the card.
        for text in ("payments", "bob", "refused twice", "invoice"):
            assert text not in "\n".join(line for line in story.of("app") if "←" in line), text


async def test_called_back_instead_of_waiting(make_router: MakeRouter) -> None:
    router, story = a_router(make_router), Transcript()
    backend = HttpParty(story, "backend", router, router.token("gateway", "web"))
    async with Api(router) as admin:
        for agent_id, skills in AGENTS.items():
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {"skills": skills})
        await fail_in_the_app(backend)
        body = {"channel": "voice", "customer": {"identities": [USER]}, "context": CONTEXT}
        # No agent is ready: to wait is no option.
        asked = await backend.call("POST", "/v1/requests", body, expected=201)
        (callback,) = asked["options"]
        window = callback["windows"][1]
        async with SocketParty(story, "app", router, "/v1/customer", asked["token"]) as app:
            await app.until_state("choosing")
            await app.send(type="choose", id="1", option="callback", window=window)
            view = await app.until_state("callback")
            assert (view["callback_at_ms"], view["callback_until_ms"]) == (window["start_at_ms"], window["end_at_ms"])
    # The app is closed, and the router is killed and started again in the window.
    contact = await _contact(router, asked["request_id"])
    assert (contact["state"], contact["callback"]["phase"]) == ("callback_scheduled", "scheduled")
    router.kill()
    router.clock_ahead_s = max(0, window["start_at_ms"] // 1000 - _now_s()) + 5
    router.start()
    later = Transcript()
    async with AsyncExitStack() as open_sockets:
        desktops = desktops_of(later, router)
        for desktop in desktops.values():
            await open_sockets.enter_async_context(desktop)
        pbx = await open_sockets.enter_async_context(
            SocketParty(later, "pbx", router, "/v1/gateway", router.token("gateway", "web"))
        )
        await agents_ready(router, desktops)
        offer = await desktops["bob"].until_event("offer.made", contact_id=asked["request_id"])
        assert_card(await desktops["bob"].card(asked["request_id"]))
        await desktops["bob"].send(type="accept", id="1", offer_id=offer["event"]["offer_id"])
        call = await pbx.until_event("callback.dial_requested", contact_id=asked["request_id"])
        assert window["start_at_ms"] <= call["at_ms"] < window["end_at_ms"], "the call is in the window"
        await pbx.send(type="callback_result", id="2", contact_id=asked["request_id"], outcome="connected", attempt=1)
        await desktops["bob"].until_event("callback.connected", contact_id=asked["request_id"])
        app = await open_sockets.enter_async_context(SocketParty(later, "app", router, "/v1/customer", asked["token"]))
        await app.until_state("connected")
        await desktops["bob"].send(type="end", id="3", contact_id=asked["request_id"])
        assert (await app.until_state("ended"))["outcome"] == "completed"
        assert not [line for name in ("ada", "cy") for line in later.of(name) if asked["request_id"] in line]


async def _contact(router: RouterProcess, contact_id: str) -> Any:
    async with Api(router, "gateway", "web") as web:
        return await web.ok("GET", f"/v1/contacts/{contact_id}")


def _now_s() -> int:
    return int(time.time())
