"""Cards and the store of customers: what is in memory, and what happens while the store does not answer, or fails."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from router.context import service
from router.context.cards import CardStatus
from router.context.customers import ContextUnavailable
from router.context.port import ContextStore
from router.server.customers import active_facts
from tests.support.builders import an_agent
from tests.support.card_centre import CANARY, PATIENCE_S, PHONE, USER, api, context_at, facts_policy, until
from tests.support.in_process_router import running_router


async def test_a_stalled_store_holds_up_no_submit_and_the_card_comes_when_it_answers(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path, submit_wait_ms_max=500)) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        customer_id = (await app.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        await app.ok("PATCH", f"/v1/customers/{customer_id}", {"name": "Ann Miller"})
        first = {"channel": "voice", "queue_id": "support", "customer": {"customer_id": customer_id}}
        waiting = (await app.ok("POST", "/v1/contacts", first))["contact_id"]
        assert router.services.context is not None and router.services.customers is not None
        # As after a restart: nothing is in memory.
        router.services.customers.cards.ended("default", waiting)
        router.services.customers.store_reopened()
        gate, is_stalled = threading.Event(), threading.Event()

        def stall(store: ContextStore) -> None:
            is_stalled.set()
            gate.wait(60)

        stalled = asyncio.ensure_future(router.services.context.run(stall))
        assert await asyncio.to_thread(is_stalled.wait, 20)
        await ada.ready()
        await until(lambda: waiting in ada.cards)
        assert ada.cards[waiting].status is CardStatus.LATE
        began = asyncio.get_running_loop().time()
        second = (await app.ok("POST", "/v1/contacts", first | {"context": {"summary": CANARY}}))["contact_id"]
        assert asyncio.get_running_loop().time() - began < 30, "not until the store goes on"
        view = await app.ok("GET", f"/v1/contacts/{second}")
        assert view.get("customer_id") is None and view["queue_id"] == "support"
        gate.set()
        await stalled
        await until(lambda: ada.cards[waiting].status is CardStatus.COMPLETE)
        known = ada.cards[waiting].customer
        assert known is not None and known.name == "Ann Miller"


async def test_a_customer_in_memory_is_routed_by_their_facts_without_the_store(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        api(router, "admin", "root") as admin,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(facts_policy())
        await router.do(an_agent("a0", skills={"gold": 1}))
        assert router.services.context is not None and router.services.customers is not None
        customer_id = (await app.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        await app.ok("PATCH", f"/v1/customers/{customer_id}", {"name": "Ann Miller"})
        submit = {"channel": "voice", "customer": {"customer_id": customer_id}}
        await app.ok("POST", "/v1/contacts", submit | {"skills": {"gold": 5}})
        failed = {"customer_id": customer_id, "type": "payment", "result": "failed"}
        await app.ok("POST", "/v1/journey", {"steps": [failed, failed]})
        gate, is_stalled = threading.Event(), threading.Event()

        def stall(store: ContextStore) -> None:
            is_stalled.set()
            gate.wait(10)

        stalled = asyncio.ensure_future(router.services.context.run(stall))
        assert await asyncio.to_thread(is_stalled.wait, 5)
        answer = asyncio.ensure_future(app.ok("POST", "/v1/contacts", submit | {"context": {"summary": CANARY}}))
        contacts = router.services.customers.live_contacts("default")
        await until(lambda: len(contacts) == 2)
        assert not answer.done(), "the answer waits until the context of the contact is stored"
        gate.set()
        await stalled
        contact_id = (await answer)["contact_id"]
        view = await app.ok("GET", f"/v1/contacts/{contact_id}")
        # Two payments have failed, of which the second contact knows; the first one is an open contact besides.
        assert (view["customer_id"], view["queue_id"]) == (customer_id, "vip")
        assert (view["customer_facts"]["failed"], view["customer_facts"]["open"]) == (2, 1)
        await ada.ready()
        await until(lambda: contact_id in ada.cards and ada.cards[contact_id].status is CardStatus.COMPLETE)
        card = ada.cards[contact_id]
        assert card.customer is not None and card.customer.name == "Ann Miller"
        assert card.now is not None and card.now.summary == CANARY and str(card.assurance) == "asserted"
        # One who was erased is known no more when the erasure is answered, and the contact is routed without them.
        await admin.ok("DELETE", f"/v1/customers/{customer_id}")
        erased = (await app.ok("POST", "/v1/contacts", submit | {"queue_id": "support"}))["contact_id"]
        assert (await app.ok("GET", f"/v1/contacts/{erased}")).get("customer_id") is None


async def test_while_the_store_is_late_no_conversation_goes_on_that_is_not_the_only_one(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path, submit_wait_ms_max=1_000)) as router,
        api(router) as app,
        api(router, "admin", "root") as admin,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(facts_policy())
        assert router.services.context is not None and router.services.customers is not None
        names, chats, facts = [], [], router.services.customers.facts
        for identity in (USER, PHONE):
            names.append((await app.ok("POST", "/v1/customers/resolve", {"identities": [identity]}))["customer_id"])
            chats.append((await app.submit(channel="chat", customer={"customer_id": names[-1]}))["contact_id"])
            await app.ok("POST", f"/v1/contacts/{chats[-1]}/suspend", {})
        merged = {"from": names[1], "reason": "agent_confirmed"}
        await admin.ok("POST", f"/v1/customers/{names[0]}/merge", merged)
        while (state := facts.get("default", names[1])) is None or len(state.member_ids) < 2:
            await app.submit(channel="voice", customer={"customer_id": names[1]})
        gate, is_stalled = threading.Event(), threading.Event()

        def stall(store: ContextStore) -> None:
            is_stalled.set()
            gate.wait(20)

        stalled = asyncio.ensure_future(router.services.context.run(stall))
        assert await asyncio.to_thread(is_stalled.wait, 5)
        call = await app.submit(channel="voice", customer={"customer_id": names[1]}, resume="auto")
        gate.set()
        await stalled
        assert call["contact_id"] not in chats
        assert (await app.ok("GET", f"/v1/contacts/{call['contact_id']}"))["customer_id"] == names[1]
        assert [(await app.ok("GET", f"/v1/contacts/{chat}"))["state"] for chat in chats] == ["suspended"] * 2


async def test_a_customer_who_was_erased_is_not_in_memory_when_the_erasure_is_answered(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        api(router, "admin", "root") as admin,
        asyncio.timeout(PATIENCE_S),
    ):
        customer_id = (await app.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        await app.ok("POST", "/v1/journey", {"steps": [{"customer_id": customer_id, "type": "page"}]})
        assert router.services.customers is not None
        assert router.services.customers.has_in_memory("default", customer_id), "a step makes them known"
        await admin.ok("DELETE", f"/v1/customers/{customer_id}")
        body = {"channel": "voice", "queue_id": "support", "customer": {"customer_id": customer_id}}
        contact_id = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        assert (await app.ok("GET", f"/v1/contacts/{contact_id}")).get("customer_id") is None


async def test_what_is_in_memory_of_customers_is_dropped_when_the_store_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REOPEN_S", 0.05)
    async with running_router(tmp_path, context=context_at(tmp_path)) as router, api(router) as app, asyncio.timeout(PATIENCE_S):
        await router.do(facts_policy())
        customers, context = router.services.customers, router.services.context
        assert customers is not None and context is not None
        customer_id = (await app.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"]
        submit = {"channel": "voice", "customer": {"customer_id": customer_id}}
        while not customers.has_in_memory("default", customer_id):  # Another change may come with the read: how a contact went.
            await app.ok("POST", "/v1/contacts", submit)
        with monkeypatch.context() as patched:
            patched.setattr(active_facts, "READ_AGAIN_S", 0.0)
            assert not customers.has_in_memory("default", customer_id), "facts that are old are read again"

        def fail_at_commit(store: ContextStore) -> None:
            def commit() -> None:
                raise ContextUnavailable("the disk has failed")

            monkeypatch.setattr(store, "commit", commit)

        with pytest.raises(ContextUnavailable):
            await context.run(fail_at_commit)
        await until(lambda: context.is_available)
        await until(lambda: not customers.has_in_memory("default", customer_id))
        assert not len(customers.facts)
        again = (await app.ok("POST", "/v1/contacts", submit))["contact_id"]
        assert (await app.ok("GET", f"/v1/contacts/{again}"))["customer_id"] == customer_id


async def test_a_step_that_a_submit_has_read_before_the_commit_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "COMMIT_GAP_S", 0.3)
    async with (
        running_router(tmp_path, context=context_at(tmp_path, submit_wait_ms_max=5_000)) as router,
        api(router) as app,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(facts_policy())
        body = {"channel": "voice", "customer": {"identities": [USER]}}
        first = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        customer_id = (await app.ok("GET", f"/v1/contacts/{first}"))["customer_id"]
        await asyncio.sleep(1)
        # The first commit makes the next one wait; the submit comes in this time, after the step was written.
        await app.ok("POST", "/v1/journey", {"steps": [{"identity": USER | {"value": "user-8"}, "type": "page"}]})
        failed = {"steps": [{"identity": USER, "type": "payment", "result": "failed"}]}
        stored = asyncio.ensure_future(app.ok("POST", "/v1/journey", failed))
        await asyncio.sleep(0.1)
        second = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        await stored
        assert (await app.ok("GET", f"/v1/contacts/{second}"))["customer_facts"]["failed"] == 1, "it was read before the commit"
        customers = router.services.customers
        assert customers is not None
        assert (state := customers.facts.get("default", customer_id)) and customers.facts.values("default", state)["failed"] == 1


async def test_without_the_store_contacts_are_routed_and_cards_unavailable(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(facts_policy())
        assert router.services.context is not None
        await router.services.context.stop()
        body = {"channel": "voice", "customer": {"identities": [USER]}, "context": {"summary": CANARY}}
        contact_id = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        assert (await app.ok("GET", f"/v1/contacts/{contact_id}"))["queue_id"] == "support"
        await ada.ready()
        await until(lambda: contact_id in ada.cards)
        card = ada.cards[contact_id]
        assert card.status is CardStatus.UNAVAILABLE and card.now is not None and card.now.summary == CANARY
        await ada.accept(next(iter(ada.state.offers)))
        got = await app.ok("GET", f"/v1/contacts/{contact_id}/card")
        assert (got["status"], got["now"]["summary"]) == ("unavailable", CANARY)
        assert (await app.call("POST", f"/v1/contacts/{contact_id}/notes", {"text": "x"})).status == 503


async def test_a_step_and_an_erasure_during_a_read_are_not_lost(tmp_path: Path) -> None:
    """The facts of a waiting contact are read again if the customer changes between the read and its use."""
    async with (
        running_router(tmp_path, context=context_at(tmp_path)) as router,
        api(router) as app,
        api(router, "admin", "root") as admin,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(facts_policy())
        customers, context = router.services.customers, router.services.context
        assert customers is not None and context is not None
        body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [USER]}}
        contact_id = (await app.ok("POST", "/v1/contacts", body))["contact_id"]
        customer_id = (await app.ok("GET", f"/v1/contacts/{contact_id}"))["customer_id"]
        real, gate, reads = context.run, asyncio.Event(), 0

        async def run(operation: Any, *, timeout_s: float | None = None) -> Any:
            """As the service, but the answer to a read of facts comes late."""
            nonlocal reads
            found = await real(operation, timeout_s=timeout_s)
            if "_read" in operation.__qualname__ and "ActiveFacts" in operation.__qualname__:
                reads += 1
                if reads == 1:
                    await gate.wait()
            return found

        context.run = run  # type: ignore[method-assign]
        customers.facts.drop("default", customer_id)
        customers.facts.refresh("default", customer_id)
        await until(lambda: reads == 1)
        await app.ok("POST", "/v1/journey", {"steps": [{"identity": USER, "type": "payment", "result": "failed"}]})
        gate.set()
        await until(lambda: reads >= 2)
        for _ in range(1_000):
            if (await app.ok("GET", f"/v1/contacts/{contact_id}"))["customer_facts"].get("failed") == 1:
                break
            await asyncio.sleep(0.02)
        assert (await app.ok("GET", f"/v1/contacts/{contact_id}"))["customer_facts"]["failed"] == 1
        # The same with an erasure: the customer does not come back into memory.
        reads = 0
        gate.clear()
        customers.facts.drop("default", customer_id)
        customers.facts.refresh("default", customer_id)
        await until(lambda: reads == 1)
        await admin.ok("DELETE", f"/v1/customers/{customer_id}")
        gate.set()
        await asyncio.sleep(0.5)
        assert customers.facts.get("default", customer_id) is None
