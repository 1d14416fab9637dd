"""References of contacts from outside: shown to everyone who may see them, also after a kill, and in no file of the router."""

import asyncio
import secrets
import sqlite3
from pathlib import Path
from typing import Any

from router.client import DesktopClient, GatewayClient, SupervisorClient
from router.context.identities import Assurance, Identity
from router.model.events import OfferMade
from router.protocol.frames import ContactCustomer
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.metrics import metric_value
from tests.support.router_process import RouterProcess

PATIENCE_S = 20


def canary() -> str:
    return f"canary-{secrets.token_hex(8)}"


def files_with(directory: Path, text: str) -> list[str]:
    return [str(path) for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def ws(router: RouterProcess) -> str:
    return router.url.replace("http", "ws")


async def test_a_reference_is_shown_to_all_who_may_see_it_and_is_in_no_file(make_router: MakeRouter) -> None:
    router = make_router().start()
    reference, other = canary(), canary()
    async with Api(router) as admin:
        await admin.ok("PUT", "/v1/agents/plain", {"units": 100})
    async with (
        Api(router, "gateway", "web") as web,
        Api(router) as admin,
        DesktopClient(ws(router), router.token("agent", "plain")) as desktop,
        SupervisorClient(ws(router), router.token("supervisor", "eve")) as supervisor,
        GatewayClient(ws(router), router.token("gateway", "web")) as gateway,
        asyncio.timeout(PATIENCE_S),
    ):
        contact_id = (await web.submit(reference=reference))["contact_id"]
        by_socket = (await gateway.submit("voice", queue_id="support", reference=other)).subject
        await desktop.ready()
        offer = await anext(event async for event in desktop.events() if isinstance(event, OfferMade))
        assert (offer.contact_id, offer.reference) == (contact_id, reference)
        assert gateway.contacts.by_id[by_socket].reference == other
        made = await anext(event async for event in supervisor.events() if isinstance(event, OfferMade))
        assert made.reference == reference
        for path in (f"/v1/contacts/{contact_id}", "/v1/contacts", "/v1/agents/plain", "/v1/agents", "/v1/events"):
            got = await admin.call("GET", path)
            assert got.status == 200 and reference.encode() in got.body and b'"@"' not in got.body, path
        assert await metric_value(router, "router_context_references_total", result="stored") == 2
    router.kill()
    assert not files_with(router.directory, reference)
    router.start()
    async with (
        Api(router) as admin,
        Api(router, "agent", "plain") as agent,
        DesktopClient(ws(router), router.token("agent", "plain")) as desktop,
        GatewayClient(ws(router), router.token("gateway", "web")) as gateway,
        asyncio.timeout(PATIENCE_S),
    ):
        assert {contact.reference for contact in gateway.contacts.by_id.values()} == {reference, other}
        assert [one.reference for one in desktop.state.offers.values()] == [reference]
        [offer_id] = desktop.state.offers
        await desktop.accept(offer_id)
        await desktop.complete(offer_id)
        events = await admin.events()
        assert [event["reference"] for event in events if event["type"] == "contact.queued"] == [reference, other]
        assert (await agent.call("GET", f"/v1/contacts/{contact_id}")).status in (200, 404)
    assert router.stop() == 0
    for text in (reference, other):
        assert not files_with(router.directory, text), "neither journal, snapshot, context nor log"


async def test_a_contact_that_is_not_accepted_leaves_no_reference(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, "gateway", "web") as web:
        got = await web.call("POST", "/v1/contacts", {"channel": "voice", "queue_id": "nowhere", "reference": canary()})
        assert got.status == 404
        first = await web.submit(key="k-1", reference="call-1")
        again = await web.submit(key="k-1", reference="call-1")
        assert again["contact_id"] == first["contact_id"]
        assert (await web.ok("GET", f"/v1/contacts/{first['contact_id']}"))["reference"] == "call-1"
        got = await web.call(
            "POST",
            "/v1/contacts",
            {"channel": "voice", "queue_id": "support", "reference": "call-2"},
            headers={"Idempotency-Key": "k-1"},
        )
        assert (got.status, got.code) == (422, "idempotency_key_reused")
    router.stop()
    assert count_rows(router, "reference") == 1


def count_rows(router: RouterProcess, table: str) -> int:
    [path] = router.directory.rglob("context.db")
    connection = sqlite3.connect(path)
    try:
        [(count,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        return int(count)
    finally:
        connection.close()


async def test_an_erasure_takes_the_references_of_the_customer_with_it(make_router: MakeRouter) -> None:
    router = make_router().start()
    mine, other = canary(), canary()
    identity = Identity(type="app_user", value="u-7", assurance=Assurance.VERIFIED)
    async with (
        Api(router) as admin,
        Api(router, "gateway", "web") as web,
        GatewayClient(ws(router), router.token("gateway", "web")) as gateway,
    ):
        customer = ContactCustomer(identities=(identity,))
        contact_id = (await gateway.submit("voice", queue_id="support", customer=customer, reference=mine)).subject
        without = (await web.submit(reference=other))["contact_id"]
        customer_id = gateway.contacts.by_id[contact_id].customer_id
        export = await admin.ok("POST", f"/v1/customers/{customer_id}/export", {})
        assert [one["reference"] for one in export["references"]] == [mine]
        assert (await admin.ok("DELETE", f"/v1/customers/{customer_id}"))["state"] == "erased"
        shown = await admin.ok("GET", f"/v1/contacts/{contact_id}")
        assert shown.get("reference") is None and shown["state"] == "queued", "the contact goes on without it"
        assert (await admin.ok("GET", f"/v1/contacts/{without}"))["reference"] == other
        events = await admin.events()
        assert [event.get("reference") for event in events if event["type"] == "contact.queued"] == [None, other]
    digest = await digest_of(router)
    router.kill()
    router.start()
    async with Api(router) as admin:
        assert (await admin.ok("GET", f"/v1/contacts/{contact_id}")).get("reference") is None
        assert (await admin.ok("GET", f"/v1/contacts/{without}"))["reference"] == other
    assert await digest_of(router) == digest


async def digest_of(router: RouterProcess) -> str:
    async with Api(router) as admin:
        return str((await admin.ok("GET", "/v1/digest"))["digest"])


async def test_the_settings_decide_where_references_are(make_router: MakeRouter) -> None:
    for settings, is_in_journal in (
        ({"context__references": "journal"}, True),
        ({"context__references": "sealed"}, False),
        ({"context__enabled": "false"}, True),
    ):
        router = make_router(**settings).start()
        reference = canary()
        async with Api(router, "gateway", "web") as web:
            contact_id = (await web.submit(reference=reference))["contact_id"]
            assert (await web.ok("GET", f"/v1/contacts/{contact_id}"))["reference"] == reference
        router.kill()
        assert bool(files_with(router.directory, reference)) == is_in_journal, settings
        router.start()
        async with Api(router, "gateway", "web") as web:
            assert (await web.ok("GET", f"/v1/contacts/{contact_id}"))["reference"] == reference


async def test_a_failed_context_holds_up_no_contact(make_router: MakeRouter) -> None:
    for storage, after_restart in (("sealed", False), ("sealed_or_journal", True)):
        router = make_router(context__references=storage).start()
        router.stop()
        [data] = router.directory.rglob("context.db")
        kept = data.read_bytes()
        data.write_bytes(b"not a database " * 500)
        router.start()
        reference = canary()
        async with Api(router, "gateway", "web") as web:
            contact_id = (await web.submit(reference=reference))["contact_id"]
            assert (await web.ok("GET", f"/v1/contacts/{contact_id}"))["reference"] == reference, "from memory"
        router.kill()
        data.write_bytes(kept)
        router.start()
        async with Api(router, "gateway", "web") as web:
            shown: dict[str, Any] = await web.ok("GET", f"/v1/contacts/{contact_id}")
            assert shown["state"] == "queued"
            assert shown.get("reference") == (reference if after_restart else None)


async def test_who_reads_a_reference_is_in_the_audit_of_the_customer(make_router: MakeRouter) -> None:
    """A person by name, once for looks within a second; the gateway's own look is none."""
    router = make_router().start()
    user = {"type": "app_user", "value": "user-7", "assurance": "verified"}
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "supervisor", "eve") as eve:
        contact_id = (await web.submit(reference="call-1", customer={"identities": [user]}))["contact_id"]
        customer_id = (await web.ok("GET", f"/v1/contacts/{contact_id}"))["customer_id"]
        for path in (f"/v1/contacts/{contact_id}", f"/v1/contacts/{contact_id}", "/v1/contacts"):
            assert "call-1" in str(await eve.ok("GET", path))
        for _ in range(1_000):
            reads = (await admin.ok("POST", f"/v1/customers/{customer_id}/export", {}))["reads"]
            if found := [one for one in reads if one["fields"] == "reference"]:
                break
            await asyncio.sleep(0.05)
        assert [(one["actor"], one["purpose"]) for one in found] == [("supervisor:eve", "view")]


async def test_what_is_stored_of_a_contact_without_a_customer_is_erased_alone(make_router: MakeRouter) -> None:
    """Its reference and context are gone everywhere, also after a kill; the contact and the others of its day go on."""
    router = make_router().start()
    reference, other, owned, summary = canary(), canary(), canary(), canary()
    user = {"identities": [{"type": "app_user", "value": "u-7", "assurance": "verified"}]}
    async with Api(router, "gateway", "web") as web, Api(router) as admin, asyncio.timeout(60):
        contact_id = (await web.submit(reference=reference, context={"summary": summary}))["contact_id"]
        second = (await web.submit(reference=other))["contact_id"]
        third = (await web.submit(reference=owned, customer=user))["contact_id"]
        path = f"/v1/contacts/{contact_id}/personal-data"
        assert (await web.call("DELETE", path)).code == "forbidden"
        refused = await admin.call("DELETE", f"/v1/contacts/{third}/personal-data")
        assert (refused.status, refused.code) == (409, "not_erasable") and "customer" in refused.json["detail"]
        assert (await admin.call("DELETE", "/v1/contacts/0f0f/personal-data")).code == "unknown_contact"
        async with GatewayClient(ws(router), router.token("gateway", "web")) as gateway:
            assert gateway.contacts.by_id[contact_id].reference == reference
            assert await admin.ok("DELETE", path) == {"contact_id": contact_id, "state": "erased"}
            assert await admin.ok("DELETE", path) == {"contact_id": contact_id, "state": "erased"}
        for _ in range(2):
            async with Api(router) as admin, Api(router, "gateway", "web") as web:
                view = await admin.ok("GET", f"/v1/contacts/{contact_id}")
                assert (view["state"], view.get("reference")) == ("queued", None)
                assert (await admin.ok("GET", f"/v1/contacts/{second}"))["reference"] == other
                assert (await admin.ok("GET", f"/v1/contacts/{third}"))["reference"] == owned
                card = await admin.ok("GET", f"/v1/contacts/{contact_id}/card")
                assert summary not in str(card)
            router.kill()
            router.start()
