"""Cards over HTTP and sockets: the right agent with the customer's context, and what happens when something changes or fails."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.client import RouterRefused
from router.context.cards import Card, CardStatus
from router.model import events as e
from router.protocol import frames as f
from tests.acceptance.sockets.test_isolation import everything_received
from tests.support.builders import an_agent
from tests.support.card_centre import (
    CANARY,
    PATIENCE_S,
    PHONE,
    USER,
    api,
    context_at,
    facts_policy,
    first_card,
    first_watched,
    until,
)
from tests.support.in_process_router import running_router


async def test_from_an_app_to_the_right_agent_with_the_context(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        router.desktop("a0") as ordinary,
        router.desktop("a1") as expert,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(facts_policy())
        await router.do(an_agent("a1", skills={"gold": 5}))
        await ordinary.ready()
        await expert.ready()
        customer = await app.ok("POST", "/v1/customers/resolve", {"identities": [USER, PHONE]})
        await app.ok("PATCH", f"/v1/customers/{customer['customer_id']}", {"name": "Ann Miller", "tier": "gold", "locale": "de-DE"})
        steps = [
            {"identity": USER, "type": "page", "name": "loan/rates"},
            {"identity": USER, "type": "payment", "result": "failed"},
        ]
        await app.ok("POST", "/v1/journey", {"steps": steps})
        body = {
            "channel": "voice",
            "customer": {"identities": [USER]},
            "context": {"screen": "loan/rates", "intent": "refinance", "summary": CANARY, "data": {"rate": 390}},
        }
        receipt = await app.ok("POST", "/v1/contacts", body)
        contact_id = receipt["contact_id"]
        view = await app.ok("GET", f"/v1/contacts/{contact_id}")
        assert (view["queue_id"], view["rule"]) == ("vip", "gold")
        assert view["customer_facts"] == {"tier": "gold", "failed": 1, "open": 0}
        frames = expert.__aiter__()
        offer = await anext(frames)
        while not isinstance(getattr(offer, "event", None), e.OfferMade):
            offer = await anext(frames)
        at_offer = offer.card  # type: ignore[union-attr]
        assert at_offer is not None and at_offer.now is not None and at_offer.now.summary == CANARY
        card = await first_card(expert, contact_id)
        assert card.status is CardStatus.COMPLETE and card.customer is not None and card.now is not None
        assert (card.customer.name, card.customer.tier, card.customer.locale) == ("Ann Miller", "gold", "de-DE")
        assert (card.now.screen, card.now.intent, card.now.summary, card.now.data) == (
            "loan/rates",
            "refinance",
            CANARY,
            {"rate": 390},
        )
        assert [(step.type, step.name, step.result) for step in card.steps] == [
            ("page", "loan/rates", None),
            ("payment", None, "failed"),
        ]
        assert {one.value for one in card.customer.identities} == {"ca…", "+49…78"}
        assert str(card.assurance) == "verified"
        assert len(msgspec.json.encode(card)) <= 16 * 1024
        # Neither another agent, nor the gateway, nor a supervisor gets any of it.
        assert not ordinary.cards


async def test_no_other_socket_event_or_log_carries_a_card(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        api(router, "supervisor", "eve") as supervisor_api,
        router.gateway("web") as gateway,
        router.gateway("other") as other_gateway,
        router.supervisor() as supervisor,
        router.desktop("a0") as ada,
        router.desktop("a1") as bob,
        asyncio.timeout(PATIENCE_S),
    ):
        await ada.ready()
        body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [USER]}, "context": {"summary": CANARY}}
        contact_id = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        await app.ok("POST", f"/v1/contacts/{contact_id}/notes", {"text": CANARY})
        card = await first_card(ada, contact_id)
        assert card.now is not None and card.now.summary == CANARY
        await until(lambda: ada.cards[contact_id].notes)
        for client in (gateway, other_gateway, supervisor, bob):
            assert b"canary" not in await everything_received(client)
        events = await supervisor_api.ok("GET", "/v1/events?limit=1000")
        assert b"canary" not in msgspec.json.encode(events)
        assert "canary" not in caplog.text
        async with api(router, "agent", "a1") as foreign, api(router, "gateway", "other") as foreign_gateway:
            for other in (foreign, foreign_gateway):
                got = await other.call("GET", f"/v1/contacts/{contact_id}/card")
                assert (got.status, got.code) == (404, "unknown_contact")
                assert (await other.call("POST", f"/v1/contacts/{contact_id}/notes", {"text": "x"})).status == 404
        async with api(router, "agent", "a0") as own:
            assert (await own.card(contact_id))["now"]["summary"] == CANARY
        assert (await app.card(contact_id))["now"]["summary"] == CANARY
    journal = b"".join(path.read_bytes() for path in (tmp_path / "context").iterdir())
    assert CANARY.encode() not in journal


async def test_a_supervisor_watches_a_card_and_no_other_client_gets_it(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        api(router, "supervisor", "sue") as sue_api,
        api(router, "admin", "root") as admin,
        router.supervisor("sue") as sue,
        router.supervisor("tom") as tom,
        router.desktop("a1") as bob,
        router.gateway("other") as other,
        asyncio.timeout(PATIENCE_S),
    ):
        body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [USER]}, "context": {"summary": CANARY}}
        receipt = await app.ok("POST", "/v1/contacts", body)
        contact_id, customer_id = receipt["contact_id"], None
        await sue.watch_card(contact_id)  # No agent is ready: the contact waits.
        card = await first_watched(sue, contact_id)
        assert card.now is not None and card.now.summary == CANARY
        await app.ok("POST", "/v1/journey", {"steps": [{"identity": USER, "type": "payment", "result": "failed"}]})
        await until(lambda: [one.type for one in sue.cards[contact_id].steps] == ["payment"])
        assert (await sue_api.card(contact_id))["now"]["summary"] == CANARY
        await app.ok("POST", f"/v1/contacts/{contact_id}/notes", {"text": "seen-by-sue"})
        await until(lambda: [one.text for one in sue.cards[contact_id].notes] == ["seen-by-sue"])
        for client in (tom, bob, other):
            received = await everything_received(client)
            assert b"canary" not in received and b"seen-by-sue" not in received
        # Every look is recorded with the one who saw it.
        customer_id = (await app.ok("GET", f"/v1/contacts/{contact_id}"))["customer_id"]
        for _ in range(1_000):
            found = await admin.ok("POST", f"/v1/customers/{customer_id}/export", {})
            reads = [one["actor"] for one in found["reads"] if one["purpose"] == "card"]
            if reads.count("supervisor:sue") >= 3:
                break
            await asyncio.sleep(0.05)
        assert reads.count("supervisor:sue") >= 3 and set(reads) == {"supervisor:sue"}
        # After the end of the watch nothing comes any more.
        await sue.unwatch_card(contact_id)
        await app.ok("POST", f"/v1/contacts/{contact_id}/notes", {"text": "not-for-sue"})
        await asyncio.sleep(1)
        assert b"not-for-sue" not in await everything_received(sue)
        assert contact_id not in sue.cards


async def test_who_may_watch_a_card_and_which(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        router.supervisor("sue") as sue,
        router.desktop("a1") as bob,
        asyncio.timeout(PATIENCE_S),
    ):

        async def refused(contact_id: str) -> f.ErrorFrame:
            with pytest.raises(RouterRefused) as error:
                await sue.watch_card(contact_id)
            return error.value.error

        assert (await refused("nothing")).code == "unknown_contact"
        plain = {"channel": "chat", "queue_id": "support"}
        unknown = (await app.ok("POST", "/v1/contacts", plain))["contact_id"]
        await sue.watch_card(unknown)
        assert sue.cards[unknown].status is CardStatus.NONE
        body = {**plain, "context": {"summary": CANARY}}
        ids = [(await app.ok("POST", "/v1/contacts", body))["contact_id"] for _ in range(21)]
        for contact_id in ids[:20]:
            await sue.watch_card(contact_id)
            await first_watched(sue, contact_id)
        error = await refused(ids[20])
        assert (error.code, error.field) == ("invalid_value", "contact_id")
        assert error.detail == "at most 20 contacts are watched at a time: end one with watch: false"
        await sue.watch_card(ids[0])
        # A contact that is over leaves its place to another one.
        await app.ok("POST", f"/v1/contacts/{ids[1]}/cancel", {})
        await until(lambda: ids[1] not in sue.cards)
        assert (await refused(ids[1])).code == "invalid_contact_state"
        await sue.watch_card(ids[20])
        with pytest.raises(RouterRefused) as malformed:
            await bob._send_command(f.WatchCardFrame(id=bob._next_id(), contact_id=ids[0]))
        assert malformed.value.error.code == "malformed"


async def test_steps_notes_and_a_merge_change_the_card_of_the_agent(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await ada.ready()
        body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [PHONE]}}
        contact_id = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        await first_card(ada, contact_id)
        offer_id = next(iter(ada.state.offers))
        await ada.accept(offer_id)
        await app.ok("POST", "/v1/journey", {"steps": [{"identity": PHONE, "type": "page", "name": "one"}]})
        await until(lambda: [step.name for step in ada.cards[contact_id].steps] == ["one"])
        note = await app.ok("POST", f"/v1/contacts/{contact_id}/notes", {"text": "call back on Monday"})
        assert note["author"] == "gateway:web"
        await until(lambda: [one.text for one in ada.cards[contact_id].notes] == ["call back on Monday"])
        known = (await app.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        await app.ok("POST", "/v1/journey", {"steps": [{"identity": USER, "type": "page", "name": "two"}]})
        view = await app.ok("GET", f"/v1/contacts/{contact_id}")
        merge = await app.ok("POST", f"/v1/customers/{known}/merge", {"from": view["customer_id"], "reason": "agent_confirmed"})
        await until(lambda: {step.name for step in ada.cards[contact_id].steps} == {"one", "two"})
        # Edge 17: the contact follows its identity when the merge is undone; the agent keeps it.
        async with api(router, "supervisor", "eve") as supervisor:
            await supervisor.ok("POST", f"/v1/merges/{merge['merge_id']}/undo", {})
        await until(lambda: [step.name for step in ada.cards[contact_id].steps] == ["one"])
        assert len(ada.state.assignments) == 1


async def test_an_erasure_while_the_offer_rings_replaces_the_card(tmp_path: Path) -> None:
    """Edge 11."""
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        api(router, "admin", "root") as admin,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await ada.ready()
        body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [USER]}, "context": {"summary": CANARY}}
        contact_id = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        assert (await first_card(ada, contact_id)).status is CardStatus.COMPLETE
        customer_id = (await app.ok("GET", f"/v1/contacts/{contact_id}"))["customer_id"]
        assert (await admin.ok("DELETE", f"/v1/customers/{customer_id}"))["state"] == "erased"
        await until(lambda: ada.cards[contact_id] == Card(status=CardStatus.ERASED))
        assert len(ada.state.offers) == 1
        await ada.accept(next(iter(ada.state.offers)))
        assert (await app.card(contact_id)) == {"status": "erased"}


async def test_a_login_while_the_contact_waits_links_it_and_refreshes_its_facts(tmp_path: Path) -> None:
    """Edge 3: the place is kept."""
    device = {"type": "device", "value": "tablet-1"}
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(facts_policy())
        body = {"channel": "voice", "customer": {"identities": [device]}}
        contact_id = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        before = await app.ok("GET", f"/v1/contacts/{contact_id}")
        assert before["customer_facts"] == {"failed": 0, "open": 0}
        failed = [{"identity": USER, "type": "payment", "result": "failed"} for _ in range(3)]
        await app.ok("POST", "/v1/journey", {"steps": failed})
        await app.ok("POST", "/v1/customers/resolve", {"identities": [USER, device]})
        facts: dict[str, Any] = {}
        for _ in range(1_000):
            after = await app.ok("GET", f"/v1/contacts/{contact_id}")
            facts = after["customer_facts"]
            if facts.get("failed") == 3:
                break
            await asyncio.sleep(0.02)
        assert facts["failed"] == 3
        assert (after["queued_at_ms"], after["queue_id"]) == (before["queued_at_ms"], before["queue_id"])
        await ada.ready()
        card = await first_card(ada, contact_id)
        assert len(card.steps) == 3


async def test_a_withheld_number_has_no_card_and_a_caller_id_hides_what_is_sensitive(tmp_path: Path) -> None:
    """Edges 5 and 6."""
    settings = context_at(tmp_path, sensitive_fields=["name"], sensitive_step_types=["payment"])
    async with (
        running_router(tmp_path, context=settings) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        router.desktop("a1") as bob,
        asyncio.timeout(PATIENCE_S),
    ):
        known = (await app.ok("POST", "/v1/customers/resolve", {"identities": [USER, PHONE]}))["customer_id"]
        await app.ok("PATCH", f"/v1/customers/{known}", {"name": "Ann Miller", "tier": "gold"})
        steps = [{"identity": USER, "type": "payment"}, {"identity": USER, "type": "page", "name": "rates"}]
        await app.ok("POST", "/v1/journey", {"steps": steps})
        await ada.ready()
        withheld = {
            "channel": "voice",
            "queue_id": "support",
            "customer": {"identities": [{"type": "phone", "value": "anonymous"}]},
        }
        first = (await app.ok("POST", "/v1/contacts", withheld))["contact_id"]
        assert (await first_card(ada, first)).status is CardStatus.NONE
        await bob.ready()
        spoofed = {"channel": "voice", "queue_id": "support", "customer": {"identities": [PHONE]}}
        second = (await app.ok("POST", "/v1/contacts", spoofed))["contact_id"]
        card = await first_card(bob, second)
        assert card.customer is not None and str(card.assurance) == "asserted"
        assert (card.customer.name, card.customer.tier) == (None, "gold")
        assert [step.type for step in card.steps] == ["page"]
        assert card.hidden == ("name", "payment")


async def test_a_desktop_that_connects_again_gets_the_cards_of_its_contacts(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await ada.ready()
        body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [USER]}, "context": {"summary": CANARY}}
        contact_id = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        await first_card(ada, contact_id)
        await ada.accept(next(iter(ada.state.offers)))
        async with router.desktop("a0") as again:
            card = await first_card(again, contact_id)
            assert card.now is not None and card.now.summary == CANARY


async def test_a_consulted_agent_gets_the_card_and_a_next_contact_shows_the_last_one(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        router.desktop("a1") as bob,
        asyncio.timeout(PATIENCE_S),
    ):
        await ada.ready()
        body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [USER]}}
        contact_id = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        await first_card(ada, contact_id)
        await ada.accept(next(iter(ada.state.offers)))
        await bob.ready()
        await ada.consult_agent(contact_id, "a1")
        assert (await first_card(bob, contact_id)).status is CardStatus.COMPLETE
        await bob.accept(next(iter(bob.state.offers)))
        await bob.leave(contact_id)
        [assignment_id] = list(ada.state.assignments)
        await ada.end(contact_id)
        await ada.complete(assignment_id, "resolved")
        second = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        await until(lambda: second in ada.cards or second in bob.cards)
        has = ada if second in ada.cards else bob
        await until(lambda: [one.disposition for one in has.cards[second].contacts] == ["resolved"])
        [last] = has.cards[second].contacts
        assert (last.contact_id, last.state, last.agent_id) == (contact_id, "ended", "a0")
        assert has.cards[second].agents == ("a0",)


async def test_a_context_that_is_too_long_is_refused_by_its_field(tmp_path: Path) -> None:
    async with running_router(tmp_path, context=context_at(tmp_path)) as router, api(router) as app, asyncio.timeout(PATIENCE_S):
        body = {"channel": "voice", "queue_id": "support"}
        for context, field in (
            ({"data": {str(number): "x" * 200 for number in range(30)}}, "context"),
            ({"screen": "x" * 129}, "context.screen"),
            ({"colour": 1}, "context.colour"),
        ):
            got = await app.call("POST", "/v1/contacts", body | {"context": context})
            assert got.status == 422 and field in got.json["field"].removeprefix("$."), got.json


async def test_a_request_of_an_app_brings_its_context_to_the_agent(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await ada.ready()
        body = {
            "channel": "voice",
            "queue_id": "support",
            "choose": "first",
            "customer": {"identities": [USER]},
            "context": {"screen": "loan/rates", "intent": "refinance"},
        }
        contact_id = (await app.ok("POST", "/v1/requests", body))["request_id"]
        card = await first_card(ada, contact_id)
        assert card.now is not None and (card.now.screen, card.now.intent) == ("loan/rates", "refinance")
        assert card.customer is not None and str(card.assurance) == "verified"
