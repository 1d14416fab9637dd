"""Decisions on facts of customers: replayed with the store present, gone and erased; and windows that end while a contact waits."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

POLICY = """\
channels:
  voice: {}
facts:
  tier: {type: enum, values: [gold, silver], applies_to: customer, derive: {profile: tier}}
  failed: {type: int, applies_to: customer, refresh_while_waiting: true,
           derive: {count: {type: payment, result: failed}, within_s: 2}}
queues:
  support: {}
  vip: {}
  payments: {}
entry:
  - {name: gold, when: {customer: {tier: gold}}, queue: vip}
  - {name: struggles, when: customer.failed >= 2, queue: payments}
default_queue: support
"""


def user(number: int) -> dict[str, Any]:
    return {"type": "app_user", "value": f"user-{number}", "assurance": "verified"}


async def submit_a_day(web: Api) -> list[str]:
    """Thirty contacts, two thirds of which go to a queue because of their customer; their queues."""
    for number in range(0, 30, 3):
        customer_id = (await web.ok("POST", "/v1/customers/resolve", {"identities": [user(number)]}))["customer_id"]
        await web.ok("PATCH", f"/v1/customers/{customer_id}", {"tier": "gold"})
    failed = [{"identity": user(number), "type": "payment", "result": "failed"} for number in range(1, 30, 3) for _ in range(2)]
    await web.ok("POST", "/v1/journey", {"steps": failed})
    queues = []
    for number in range(30):
        body = {"channel": "voice", "customer": {"identities": [user(number)]}}
        contact_id = (await web.ok("POST", "/v1/contacts", body))["contact_id"]
        queues.append((await web.ok("GET", f"/v1/contacts/{contact_id}"))["queue_id"])
    return queues


@pytest.mark.parametrize("fate", ["present", "gone", "erased"])
async def test_the_same_decisions_are_replayed_whatever_became_of_the_store(make_router: MakeRouter, fate: str) -> None:
    router = make_router(policy=POLICY, context__submit_wait_ms_max=5_000).start()
    async with Api(router, "gateway", "web") as web, Api(router, "admin") as admin:
        queues = await submit_a_day(web)
        assert queues == ["vip", "payments", "support"] * 10
        if fate == "erased":
            for number in range(30):
                found = await web.ok("POST", "/v1/customers/resolve", {"identities": [user(number)], "create": False})
                await admin.ok("DELETE", f"/v1/customers/{found['customer_id']}")
        for _ in range(100):  # The last window has ended and its refresh is in the journal.
            before = await admin.ok("GET", "/v1/digest")
            await asyncio.sleep(0.1)
            if (await admin.ok("GET", "/v1/digest"))["seq"] == before["seq"]:
                break
        listed = (await admin.ok("GET", "/v1/contacts?limit=100"))["contacts"]
        assert {one["queue_id"] for one in listed} == {"vip", "payments", "support"}
    router.kill()
    if fate == "gone":
        shutil.rmtree(Path(router.settings.journal.path).parent / "context")
    router.start()
    async with Api(router, "admin") as admin:
        after = await admin.ok("GET", "/v1/digest")
        assert after["seq"] >= before["seq"]
        if after["seq"] == before["seq"]:
            assert after["digest"] == before["digest"]
        again = (await admin.ok("GET", "/v1/contacts?limit=100"))["contacts"]
        assert [one["queue_id"] for one in again] == [one["queue_id"] for one in listed]
        assert [one.get("customer_facts", {}).get("tier") for one in again] == [
            one.get("customer_facts", {}).get("tier") for one in listed
        ]


async def test_a_window_that_ends_reaches_a_waiting_contact(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, context__submit_wait_ms_max=5_000).start()
    async with Api(router, "gateway", "web") as web:
        steps = [{"identity": user(1), "type": "payment", "result": "failed"} for _ in range(2)]
        await web.ok("POST", "/v1/journey", {"steps": steps})
        body = {"channel": "voice", "customer": {"identities": [user(1)]}}
        first = await web.ok("POST", "/v1/contacts", body, **{"Idempotency-Key": "k"})
        view = await web.ok("GET", f"/v1/contacts/{first['contact_id']}")
        assert (view["queue_id"], view["customer_facts"]) == ("payments", {"failed": 2})
        for _ in range(100):
            view = await web.ok("GET", f"/v1/contacts/{first['contact_id']}")
            if view["customer_facts"] == {"failed": 0}:
                break
            await asyncio.sleep(0.1)
        assert (view["queue_id"], view["customer_facts"]) == ("payments", {"failed": 0})
        # Other facts make no other request: the repeat gets the first contact.
        again = await web.ok("POST", "/v1/contacts", body, **{"Idempotency-Key": "k"})
        assert again["contact_id"] == first["contact_id"]


async def test_clients_cannot_set_facts_of_customers(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY, context__submit_wait_ms_max=5_000).start()
    async with Api(router, "gateway", "web") as web:
        got = await web.call("POST", "/v1/contacts", {"channel": "voice", "attributes": {"tier": "gold"}})
        assert (got.status, got.json["field"].removeprefix("$.")) == (422, "attributes.tier")
        got = await web.call("POST", "/v1/contacts", {"channel": "voice", "customer_facts": {"tier": "gold"}})
        assert got.status == 422
        contact_id = (await web.ok("POST", "/v1/contacts", {"channel": "voice"}))["contact_id"]
        got = await web.call("PATCH", f"/v1/contacts/{contact_id}", {"customer_facts": {"tier": "gold"}})
        assert got.status == 422
