"""Contacts submitted with a customer, over HTTP and by a gateway: found or created, kept in the journal, and never held up."""

from typing import Any

from router.client import GatewayClient
from router.context.identities import Assurance, Identity
from router.protocol.frames import ContactCustomer
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.metrics import metric_value

USER = {"type": "app_user", "value": "canary-user-7", "assurance": "verified"}
PHONE = {"type": "phone", "value": "+49 1511 2345678"}


async def submit(web: Api, *identities: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Submit a contact of a customer and return the contact."""
    customer = members.pop("customer", {"identities": list(identities)})
    contact_id = (await web.submit(customer=customer, **members))["contact_id"]
    return dict(await web.ok("GET", f"/v1/contacts/{contact_id}"))


async def test_a_contact_has_its_customer_also_after_a_kill(make_router: MakeRouter) -> None:
    router = make_router(context__submit_wait_ms_max=5_000).start()
    async with Api(router, "gateway", "web") as web, Api(router) as admin:
        first = await submit(web, USER, PHONE)
        customer_id = first["customer_id"]
        assert customer_id.startswith("c_")
        by_phone = await submit(web, PHONE)
        by_id = await submit(web, customer={"customer_id": customer_id})
        assert by_phone["customer_id"] == by_id["customer_id"] == customer_id
        without = await web.ok("GET", f"/v1/contacts/{(await web.submit())['contact_id']}")
        assert without.get("customer_id") is None
        events = (await admin.ok("GET", "/v1/events?limit=500"))["events"]
        queued = [event.get("customer_id") for event in events if event["type"] == "contact.queued"]
        assert queued == [customer_id] * 3 + [None]
        async with GatewayClient(router.url.replace("http", "ws"), router.token("gateway", "web")) as gateway:
            customer = ContactCustomer(identities=(Identity(type="app_user", value="canary-user-7", assurance=Assurance.VERIFIED),))
            contact_id = (await gateway.submit("voice", queue_id="support", customer=customer)).subject
            assert gateway.contacts.by_id[contact_id].customer_id == customer_id
        assert await metric_value(router, "router_context_submits_total", result="created") == 1
        assert await metric_value(router, "router_context_submits_total", result="found") == 3
    router.kill()
    router.start()
    async with Api(router, "gateway", "web") as web:
        again = await web.ok("GET", f"/v1/contacts/{first['contact_id']}")
        assert again["customer_id"] == customer_id
        assert (await submit(web, USER))["customer_id"] == customer_id
    router.kill()
    for path in (router.directory / "var").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"canary-user-7" not in content and b"15112345678" not in content, path.name


async def test_an_undone_merge_gives_a_contact_back_with_its_identity(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "gateway", "web") as web, Api(router, "supervisor", "eve") as eve:
        user_id = (await submit(web, USER))["customer_id"]
        phone_id = (await submit(web, PHONE))["customer_id"]
        assert user_id != phone_id
        merged = await eve.ok("POST", f"/v1/customers/{user_id}/merge", {"from": phone_id, "reason": "same_person"})
        by_phone, by_user = await submit(web, PHONE), await submit(web, USER)
        shown = await web.ok("GET", f"/v1/customers/{by_phone['customer_id']}")
        assert shown["merged_into"] == by_user["customer_id"] == user_id
        await eve.ok("POST", f"/v1/merges/{merged['merge_id']}/undo", {})
        shown = await web.ok("GET", f"/v1/customers/{by_phone['customer_id']}")
        assert shown["customer_id"] == phone_id and shown.get("merged_into") is None


async def test_a_customer_who_is_not_known_is_no_reason_to_refuse(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "gateway", "web") as web:
        for identities in (
            [{"type": "phone", "value": "anonymous"}],
            [{"type": "app_user", "value": "null", "assurance": "verified"}],
            [{**USER, "assurance": "claimed"}],
        ):
            assert (await submit(web, *identities)).get("customer_id") is None
        assert (await submit(web, customer={"customer_id": "c_" + "0" * 32})).get("customer_id") is None
        # A placeholder does not take the other identities with it.
        both = await submit(web, {"type": "app_user", "value": "null"}, {"type": "device", "value": "tablet-1"})
        assert both["customer_id"].startswith("c_")
        for customer in ({}, {"customer_id": "c_" + "0" * 32, "identities": [USER]}):
            answer = await web.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support", "customer": customer})
            assert (answer.status, answer.json["field"]) == (422, "customer"), answer.json


async def test_a_repeated_submit_returns_the_first_contact(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "gateway", "web") as web:
        body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [USER]}}
        key = {"Idempotency-Key": "once"}
        answers = [await web.call("POST", "/v1/contacts", body, headers=key) for _ in range(2)]
        assert [one.status for one in answers] == [201, 201]
        assert answers[0].json == answers[1].json and answers[1].headers["Idempotency-Replayed"] == "true"
        for other in (
            {"channel": "voice", "queue_id": "support"},
            {"channel": "voice", "queue_id": "support", "customer": {"identities": [PHONE]}},
        ):
            reused = await web.call("POST", "/v1/contacts", other, headers=key)
            assert reused.code == "idempotency_key_reused"


async def test_contacts_are_routed_without_the_context(make_router: MakeRouter) -> None:
    router = make_router().start()
    router.stop()
    (router.directory / "var" / "context-master.json").unlink()
    router.start()
    async with Api(router, "gateway", "web") as web:
        assert (await submit(web, USER)).get("customer_id") is None
        assert await metric_value(router, "router_context_submits_total", result="unavailable") == 1
        assert (await metric_value(router, "router_context_available")) == 0
    router.stop()
    off = make_router(context__enabled=False).start()
    async with Api(off, "gateway", "web") as web:
        assert (await submit(web, USER)).get("customer_id") is None
