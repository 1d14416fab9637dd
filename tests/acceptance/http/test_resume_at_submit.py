"""A customer with suspended conversations comes back with a new contact: one of them goes on, by itself or by choice."""

import asyncio
from typing import Any

import pytest

from router.client import RequestApi
from router.model import events as e
from router.model.states import RequestPhase
from router.protocol.frames import ContactCustomer
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_continuity import POLICY, the_gateway
from tests.acceptance.http.test_edge_cases_customers import apis, resolve, submit, take, user
from tests.acceptance.http.test_requests import FAST, of_customer
from tests.acceptance.sockets.test_customers import a_client, until
from tests.support.http_api import Api

PHONE = {"type": "phone", "value": "+49 1511 2345678", "assurance": "verified"}
WAITS: dict[str, Any] = {"policy": POLICY, "context__submit_wait_ms_max": 5_000, **FAST}
BY_PHONE: dict[str, Any] = {"customer": {"identities": [PHONE]}, "channel": "voice", "queue_id": "support"}


async def suspended(web: Api, *identities: dict[str, Any], count: int = 1) -> list[str]:
    """Return suspended chats of a customer, the oldest first."""
    found = []
    for number in range(count):
        contact_id = (await submit(web, *(identities or (PHONE,)), channel="chat", reference=f"chat-{number}"))["contact_id"]
        await web.ok("POST", f"/v1/contacts/{contact_id}/suspend", {})
        found.append(contact_id)
    return found


async def states(api: Api, *names: str) -> list[str]:
    return [(await api.ok("GET", f"/v1/contacts/{name}"))["state"] for name in names]


async def test_the_only_suspended_conversation_goes_on_also_after_a_kill(make_router: MakeRouter) -> None:
    router = make_router(**WAITS).start()
    key = {"Idempotency-Key": "call-9"}
    call = {**BY_PHONE, "resume": "auto", "reference": "call-9", "context": {"intent": "loan"}}
    async with apis(router) as (web, admin):
        [chat] = await suspended(web)
        assert (await submit(web, user(7), resume="auto"))["contact_id"] != chat  # Another customer.
        assert (await web.submit(**BY_PHONE))["contact_id"] != chat  # A submit that does not ask for it.
        answer = await web.call("POST", "/v1/contacts", call, headers=key)
        assert (answer.status, answer.json["contact_id"], answer.json["state"]) == (201, chat, "queued")
        assert answer.headers["Location"] == f"/v1/contacts/{chat}"
        view = await admin.ok("GET", f"/v1/contacts/{chat}")
        assert (view["channel"], view["reference"], view["state"]) == ("voice", "call-9", "queued")
    router.kill()
    router.start()
    async with apis(router) as (web, admin), Api(router, "agent", "ada") as ada:
        again = await web.call("POST", "/v1/contacts", call, headers=key)
        assert (again.status, again.json["contact_id"]) == (201, chat) and again.headers["Idempotency-Replayed"] == "true"
        changed = await web.call("POST", "/v1/contacts", {**call, "resume": "never"}, headers=key)
        assert changed.code == "idempotency_key_reused"
        assert (await web.submit(**BY_PHONE, resume="auto"))["contact_id"] != chat  # Nothing is suspended any more.
        assert (await admin.ok("GET", f"/v1/contacts/{chat}"))["reference"] == "call-9"
        for other in (await admin.ok("GET", "/v1/contacts?state=queued"))["contacts"]:
            if other["contact_id"] != chat:
                await admin.ok("POST", f"/v1/contacts/{other['contact_id']}/cancel")
        await admin.ok("PUT", "/v1/agents/ada", {})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        await ada.ok("POST", f"/v1/offers/{chat}.1/accept")
        card = await ada.card(chat)
        assert card["now"]["intent"] == "loan"


async def test_what_is_known_of_the_caller_replaces_what_was_known_of_the_writer(make_router: MakeRouter) -> None:
    """A chat of a customer who had logged in is no proof for a call whose number may be forged."""
    router = make_router(**WAITS, context__sensitive_fields=["name"]).start()
    asserted = {**PHONE, "assurance": "asserted"}
    async with apis(router) as (web, admin), Api(router, "agent", "ada") as ada:
        customer_id = (await resolve(web, user(1), PHONE))["customer_id"]
        await admin.ok("PATCH", f"/v1/customers/{customer_id}", {"name": "Ann"})
        [chat] = await suspended(web, user(1))
        resumed = await web.submit(channel="voice", queue_id="support", customer={"identities": [asserted]}, resume="auto")
        assert resumed["contact_id"] == chat
        await admin.ok("PUT", "/v1/agents/ada", {})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        await ada.ok("POST", f"/v1/offers/{chat}.1/accept")

        async def card() -> dict[str, Any]:
            return dict(await ada.card(chat))

        while (await card())["assurance"] != "asserted":  # noqa: ASYNC110  (from the feed)
            await asyncio.sleep(0.05)
        assert "name" not in (await card())["customer"]


async def test_of_several_conversations_none_goes_on_without_a_choice(make_router: MakeRouter) -> None:
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin):
        older, newer = await suspended(web, count=2)
        new = (await web.submit(**BY_PHONE, resume="auto"))["contact_id"]
        assert new not in (older, newer) and await states(admin, older, newer, new) == ["suspended", "suspended", "queued"]
        refused = await web.call("POST", "/v1/contacts", {**BY_PHONE, "resume": "ask", "callback": {}})
        assert (refused.status, refused.code, refused.json["field"]) == (422, "invalid_value", "resume")
        refused = await web.call("POST", "/v1/contacts", {**BY_PHONE, "resume": "maybe"})
        assert (refused.code, refused.json["field"]) == ("invalid_value", "resume")


async def test_a_gateway_asks_the_caller_which_conversation_goes_on(make_router: MakeRouter) -> None:
    """Edge case 18: both are listed, and "something new". What is chosen goes on with the reference of the call."""
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin), the_gateway(router) as gateway:
        older, newer = await suspended(web, count=2)
        call = await web.submit(**BY_PHONE, resume="ask", reference="call-9")
        path = f"/v1/requests/{call['contact_id']}"
        assert call["state"] == "choosing"
        shown = (await web.ok("GET", path))["options"]
        assert [(one["id"], one.get("resumes"), one.get("suspended_on")) for one in shown] == [
            ("resume-1", newer, "chat"),
            ("resume-2", older, "chat"),
            ("now", None, None),
        ]
        for _ in range(2):
            chosen = await web.ok("POST", f"{path}/choose", {"option": "resume-2"})
            assert (chosen["request_id"], chosen["state"], chosen["channel"]) == (older, "waiting", "voice")
        ended = await web.ok("GET", path)
        assert (ended["state"], ended["outcome"], ended["resumed_id"]) == ("ended", "resumed", older)
        assert await states(admin, older, newer, call["contact_id"]) == ["queued", "suspended", "cancelled"]
        assert (await admin.ok("GET", f"/v1/contacts/{older}"))["reference"] == "call-9"
        resumed = await anext(event async for event in gateway.events() if isinstance(event, e.ContactResumed))
        assert (resumed.contact_id, resumed.submitted_as, resumed.reference) == (older, call["contact_id"], "call-9")
        late = await web.call("POST", f"{path}/choose", {"option": "now"})
        assert (late.status, late.code) == (409, "invalid_contact_state")
        other = await web.submit(**BY_PHONE, resume="ask")
        new = await web.ok("POST", f"/v1/requests/{other['contact_id']}/choose", {"option": "now"})
        assert (new["request_id"], new["state"]) == (other["contact_id"], "waiting")
        assert await states(admin, newer) == ["suspended"]


async def test_a_customer_chooses_in_the_app_and_its_token_is_good_for_the_conversation(make_router: MakeRouter) -> None:
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin):
        older, newer = await suspended(web, user(1), count=2)
        customer = {"identities": [user(1)]}
        asked = await web.ok("POST", "/v1/requests", {**BY_PHONE, "customer": customer, "resume": "ask"})
        path = f"/v1/requests/{asked['request_id']}"
        assert [one["id"] for one in asked["options"]][:3] == ["resume-1", "resume-2", "now"]
        async with of_customer(router, asked["token"]) as api, a_client(router, asked) as app:
            poll = asyncio.create_task(api.ok("GET", f"{path}?wait_s=20"))
            await asyncio.sleep(0.2)
            done = await app.choose("resume-2")
            assert done.subject == older
            view = await until(app, RequestPhase.WAITING)
            assert (view.request_id, view.channel) == (older, "voice")
            assert (await poll)["request_id"] == older
            for name in (asked["request_id"], older):
                assert (await api.ok("GET", f"/v1/requests/{name}"))["request_id"] == older
            assert (await api.call("GET", f"/v1/requests/{newer}")).status == 404
            await app.suspend()
            assert (await until(app, RequestPhase.SUSPENDED)).request_id == older
        assert await states(admin, older, newer, asked["request_id"]) == ["suspended", "suspended", "cancelled"]


async def test_without_a_choice_the_newest_goes_on_also_after_a_kill(make_router: MakeRouter) -> None:
    router = make_router(**{**WAITS, "policy": POLICY + "requests: {choose_s: 5}\n"}).start()
    async with apis(router) as (web, _):
        older, newer = await suspended(web, count=2)
        asked = await web.ok("POST", "/v1/requests", {**BY_PHONE, "resume": "auto"})  # Two: the customer is asked.
        assert asked["state"] == "choosing"
    router.kill()
    router.start()
    async with apis(router) as (_, admin), of_customer(router, asked["token"]) as customer:
        path = f"/v1/requests/{asked['request_id']}"
        while (view := await customer.ok("GET", f"{path}?wait_s=10"))["state"] == "choosing":
            pass
        assert (view["request_id"], view["state"]) == (newer, "waiting")
        assert await states(admin, older, newer) == ["suspended", "queued"]


async def test_an_app_resumes_the_only_conversation_at_once(make_router: MakeRouter) -> None:
    router = make_router(**WAITS).start()
    async with apis(router) as (web, admin):
        [chat] = await suspended(web, user(1))
        backend = RequestApi(router.url, router.token("gateway", "web"))
        asked = await backend.create(
            "voice", queue_id="support", customer=ContactCustomer(customer_id=await customer_of(web, chat)), resume="auto"
        )
        assert (asked.request_id, asked.state) == (chat, RequestPhase.WAITING)
        async with of_customer(router, asked.token) as customer:
            assert (await customer.ok("GET", f"/v1/requests/{chat}"))["state"] == "waiting"
        assert await states(admin, chat) == ["queued"]


async def customer_of(web: Api, contact_id: str) -> str:
    return str((await web.ok("GET", f"/v1/contacts/{contact_id}"))["customer_id"])


async def test_conversations_of_a_merged_customer_go_on_and_those_of_other_gateways_do_not(make_router: MakeRouter) -> None:
    policy = POLICY.replace("voice: {", "voice: {gateway: phones, ", 1)
    assert "gateway: phones" in policy
    router = make_router(**{**WAITS, "policy": policy}).start()
    async with apis(router) as (web, admin), Api(router, "gateway", "mail") as mail, Api(router, "gateway", "phones") as phones:
        [chat] = await suspended(web, user(1))
        phone_customer = (await resolve(web, PHONE))["customer_id"]
        merged = {"from": phone_customer, "reason": "agent_confirmed"}
        await admin.ok("POST", f"/v1/customers/{await customer_of(web, chat)}/merge", merged)
        other = await mail.submit(**{**BY_PHONE, "channel": "chat"}, resume="auto")
        assert other["contact_id"] != chat
        resumed = await phones.submit(**BY_PHONE, resume="auto", reference="call-1")
        assert resumed["contact_id"] == chat
        assert (await phones.ok("GET", f"/v1/contacts/{chat}"))["reference"] == "call-1"
        assert (await web.call("GET", f"/v1/contacts/{chat}")).status == 404  # It was passed to the gateway of the channel.


@pytest.mark.parametrize("resume", ["auto", "ask"])
async def test_a_conversation_whose_queue_is_full_stays_and_the_contact_is_new(make_router: MakeRouter, resume: str) -> None:
    policy = POLICY.replace("queues:\n", "queues:\n  tiny: {length_max: 1}\n")
    router = make_router(**{**WAITS, "policy": policy}).start()
    async with apis(router) as (web, admin):
        chat = (await submit(web, PHONE, channel="chat", queue_id="tiny"))["contact_id"]
        await web.ok("POST", f"/v1/contacts/{chat}/suspend", {})
        await web.submit(channel="chat", queue_id="tiny")
        new = await web.submit(**BY_PHONE, resume=resume)
        assert new["contact_id"] != chat and await states(admin, chat, new["contact_id"]) == ["suspended", "queued"]


async def test_a_gateway_resumes_by_the_frame_of_a_submit(make_router: MakeRouter) -> None:
    router = make_router(**WAITS).start()
    async with apis(router) as (web, _), the_gateway(router) as gateway:
        [chat] = await suspended(web)
        customer = ContactCustomer(customer_id=await customer_of(web, chat))
        done = await gateway.submit("voice", queue_id="support", customer=customer, resume="auto", reference="call-2")
        assert (done.subject, done.state) == (chat, "queued")
        resumed = await anext(event async for event in gateway.events() if isinstance(event, e.ContactResumed))
        assert (resumed.contact_id, resumed.reference) == (chat, "call-2")


async def test_the_last_agent_gets_the_conversation_that_a_submit_resumes(make_router: MakeRouter) -> None:
    router = make_router(**WAITS).start()
    async with apis(router) as (_, admin), Api(router, "agent", "ada") as ada:
        chat = await take(admin, ada, PHONE)
        await ada.ok("POST", f"/v1/contacts/{chat}/suspend", {})
        await ada.ok("POST", f"/v1/assignments/{chat}.1/complete")
        assert (await admin.submit(**BY_PHONE, resume="auto"))["contact_id"] == chat
        view = await admin.ok("GET", f"/v1/contacts/{chat}")
        assert [(offer["agent_id"], offer["channel"]) for offer in view["offers"]] == [("ada", "voice")]
