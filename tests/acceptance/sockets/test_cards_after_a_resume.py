"""The card of a conversation that a submit resumes: what was proved before the customer was away is not shown to anyone."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.client import DesktopClient
from router.context import service
from router.context.cards import Card, CardStatus
from router.context.customers import ContextConflict, ContextUnavailable
from router.context.port import ContextStore
from router.context.sqlite.contacts import SqliteContacts
from router.journal.memory import MemoryStorage
from router.model.events import ContactResumed
from router.protocol.frames import ServerFrame
from router.server.api import contact_cards
from router.server.customers import cards, live_customers, work_log
from router.server.customers.work_log import WorkLog
from tests.support.card_centre import PATIENCE_S, PHONE, USER, api, context_at, facts_policy, until
from tests.support.http_api import Api
from tests.support.in_process_router import InProcessRouter, running_router

NAME = "canary-ann-miller"


@asynccontextmanager
async def a_suspended_chat(
    path: Path, *, storage: MemoryStorage | None = None, is_ready: bool = True, **settings: Any
) -> AsyncIterator[tuple[InProcessRouter, Api, DesktopClient, str, str]]:
    """A chat of a customer who was verified, which is suspended; their name is sensitive."""
    async with (
        running_router(path, context=context_at(path, sensitive_fields=["name"], **settings), storage=storage) as router,
        api(router) as app,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(facts_policy())
        proved = [USER, PHONE | {"assurance": "verified"}]
        customer_id = (await app.ok("POST", "/v1/customers/resolve", {"identities": proved}))["customer_id"]
        await app.ok("PATCH", f"/v1/customers/{customer_id}", {"name": NAME})
        chat = await app.submit(channel="chat", queue_id="support", customer={"identities": [USER]})
        contact_id = chat["contact_id"]
        shown = await app.card(contact_id)
        assert (shown["assurance"], shown["customer"]["name"]) == ("verified", NAME)
        await app.ok("POST", f"/v1/contacts/{contact_id}/suspend", {})
        if is_ready:
            await ada.ready()
        yield router, app, ada, contact_id, customer_id


def watch_frames(router: InProcessRouter, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return everything that the router sends to desktops from now on."""
    sent: list[str] = []
    encode = router.hub.encode

    def watched(frame: ServerFrame, subprotocol: Any) -> bytes:
        sent.append(repr(frame))
        return encode(frame, subprotocol)

    monkeypatch.setattr(router.hub, "encode", watched)
    return sent


async def until_asserted(ada: DesktopClient, contact_id: str) -> Card:
    """The card of the contact, once it says how the caller is known."""
    await until(lambda: contact_id in ada.cards and ada.cards[contact_id].assurance is not None)
    card = ada.cards[contact_id]
    assert str(card.assurance) == "asserted" and card.hidden == ("name",)
    return card


@pytest.mark.parametrize("is_in_memory", [True, False])
async def test_no_card_shows_a_caller_what_the_writer_had_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_in_memory: bool
) -> None:
    async with a_suspended_chat(tmp_path) as (router, app, ada, chat, _):
        assert router.services.customers is not None
        if not is_in_memory:
            router.services.customers.cards.ended("default", chat)
        sent = watch_frames(router, monkeypatch)
        call: dict[str, Any] = {
            "channel": "voice",
            "queue_id": "support",
            "customer": {"identities": [PHONE]},
            "context": {"intent": "loan"},
        }
        assert (await app.submit(**call, resume="auto"))["contact_id"] == chat
        card = await until_asserted(ada, chat)
        assert card.now is not None and card.now.intent == "loan"
        assert any("OfferMade" in frame for frame in sent) and not [frame for frame in sent if NAME in frame]
        shown = await app.card(chat)
        assert shown["assurance"] == "asserted" and "name" not in shown["customer"]
        assert not router.services.customers.cards.unproven


async def test_a_caller_who_is_verified_is_shown_as_verified(tmp_path: Path) -> None:
    async with a_suspended_chat(tmp_path) as (_, app, ada, chat, _):
        call: dict[str, Any] = {"channel": "voice", "queue_id": "support", "customer": {"identities": [USER]}}
        assert (await app.submit(**call, resume="auto"))["contact_id"] == chat
        await until(lambda: chat in ada.cards and ada.cards[chat].status is CardStatus.COMPLETE)
        customer = ada.cards[chat].customer
        assert customer is not None and customer.name == NAME


async def test_a_resume_that_was_lost_in_a_crash_is_stored_from_the_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_suspended_chat(tmp_path) as (router, app, _, chat, customer_id):
        context = router.services.context
        assert context is not None
        # As if the router had been killed between the commit of the journal and that of the store.
        monkeypatch.setattr(live_customers.LiveCustomers, "_resume", lambda *_: None)
        call: dict[str, Any] = {"channel": "voice", "queue_id": "support", "customer": {"identities": [PHONE]}}
        assert (await app.submit(**call, resume="auto"))["contact_id"] == chat
        while True:
            stored = await context.run(lambda store: store.contacts.content("default", chat, customer_id=customer_id))
            if str(stored.assurance) == "asserted":
                break
            await asyncio.sleep(0.02)


async def test_a_card_is_late_until_the_store_has_the_records_from_before_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = MemoryStorage()
    with monkeypatch.context() as killed:
        async with a_suspended_chat(tmp_path, storage=storage, is_ready=False) as (_, app, _, chat, _):
            # As if the router had been killed between the commit of the journal and that of the store.
            killed.setattr(live_customers.LiveCustomers, "_resume", lambda *_: None)
            killed.setattr(WorkLog, "flush", _write_nothing)
            call: dict[str, Any] = {"channel": "voice", "queue_id": "support", "customer": {"identities": [PHONE]}}
            assert (await app.submit(**call, resume="auto"))["contact_id"] == chat

    gate = asyncio.Event()
    catch_up = WorkLog._write_all

    async def held(work: WorkLog) -> None:
        await gate.wait()
        await catch_up(work)

    monkeypatch.setattr(WorkLog, "_write_all", held)
    monkeypatch.setattr(WorkLog, "_begin_flush", lambda work: None)
    monkeypatch.setattr(contact_cards, "_READ_TIMEOUT_S", 0.05)
    async with (
        running_router(tmp_path, context=context_at(tmp_path, sensitive_fields=["name"]), storage=storage) as router,
        api(router) as app,
        asyncio.timeout(PATIENCE_S),
    ):
        sent = watch_frames(router, monkeypatch)
        async with router.desktop("a0") as ada:
            await ada.ready()
            await until(lambda: chat in ada.cards)
            assert ada.cards[chat].status is CardStatus.LATE
            assert (await app.ok("GET", f"/v1/contacts/{chat}/card"))["status"] == "late"
            gate.set()
            await until_asserted(ada, chat)
            shown = await app.card(chat)
            assert (shown["assurance"], "name" in shown["customer"]) == ("asserted", False)
        assert not [frame for frame in sent if NAME in frame]


async def test_a_node_that_takes_over_shows_no_proof_from_before_a_resume_of_another_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has followed the record of the resume, and neither node has written it to the store yet."""
    async with a_suspended_chat(tmp_path, is_ready=False) as (router, app, ada, chat, _):
        sent = watch_frames(router, monkeypatch)
        decided, customers = router.writer.on_decided, router.services.customers
        assert decided is not None and customers is not None

        def of_another_node(workspace: str, record: Any, engine: Any) -> None:
            others = tuple(event for event in record.events if not isinstance(event, ContactResumed))
            decided(workspace, msgspec.structs.replace(record, events=others), engine)

        monkeypatch.setattr(router.writer, "on_decided", of_another_node)
        flush, gate = WorkLog.flush, asyncio.Event()

        async def held(work: WorkLog) -> bool:
            await gate.wait()
            return await flush(work)

        monkeypatch.setattr(WorkLog, "flush", held)
        call: dict[str, Any] = {"channel": "voice", "queue_id": "support", "customer": {"identities": [PHONE]}}
        assert (await app.submit(**call, resume="auto"))["contact_id"] == chat
        monkeypatch.setattr(router.writer, "on_decided", decided)  # From here on this node leads.
        await ada.ready()
        await until_asserted(ada, chat)
        shown = await app.card(chat)
        assert (shown["assurance"], "name" in shown["customer"]) == ("asserted", False)
        gate.set()
        await until(lambda: not customers.cards.unproven)
        await until_asserted(ada, chat)
        assert not [frame for frame in sent if NAME in frame]


async def test_no_card_is_shown_where_records_from_before_a_kill_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    with monkeypatch.context() as killed:
        async with a_suspended_chat(tmp_path, storage=storage, is_ready=False) as (_, app, _, chat, _):
            killed.setattr(live_customers.LiveCustomers, "_resume", lambda *_: None)
            killed.setattr(WorkLog, "flush", _write_nothing)
            call: dict[str, Any] = {"channel": "voice", "queue_id": "support", "customer": {"identities": [PHONE]}}
            assert (await app.submit(**call, resume="auto"))["contact_id"] == chat

    def refuse(*_: Any, **__: Any) -> None:
        raise ContextConflict("the store refuses what it is given")

    monkeypatch.setattr(SqliteContacts, "record_work", refuse)
    async with (
        running_router(tmp_path, context=context_at(tmp_path, sensitive_fields=["name"]), storage=storage) as router,
        api(router) as app,
        asyncio.timeout(PATIENCE_S),
    ):
        sent = watch_frames(router, monkeypatch)
        async with router.desktop("a0") as ada:
            await ada.ready()
            await until(lambda: chat in ada.cards and ada.cards[chat].status is CardStatus.UNAVAILABLE)
            assert (await app.ok("GET", f"/v1/contacts/{chat}/card"))["status"] == "late"
        assert not [frame for frame in sent if NAME in frame]


async def test_after_an_orderly_stop_no_card_has_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, behind = MemoryStorage(), []
    async with a_suspended_chat(tmp_path, storage=storage) as (_, app, ada, chat, _):
        await ada.not_ready("lunch")  # Later events concern no contact.
    catch_up = WorkLog._catch_up

    async def noted(work: WorkLog, subscription: Any, workspaces: list[str]) -> None:
        behind.extend(workspaces)
        await catch_up(work, subscription, workspaces)

    monkeypatch.setattr(WorkLog, "_catch_up", noted)
    context = context_at(tmp_path, sensitive_fields=["name"])
    async with running_router(tmp_path, context=context, storage=storage) as router, api(router) as app:
        shown = await app.card(chat)
        assert (shown["assurance"], shown["customer"]["name"], behind) == ("verified", NAME, [])


async def test_how_a_contact_went_while_the_store_had_failed_is_stored_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REOPEN_S", 1.0)
    monkeypatch.setattr(work_log, "RETRY_S", 0.05)
    async with a_suspended_chat(tmp_path) as (router, app, _, chat, customer_id):
        context = router.services.context
        assert context is not None

        def fail(store: ContextStore) -> None:
            raise ContextUnavailable("the disk has failed")

        with pytest.raises(ContextUnavailable):
            await context.run(fail)
        await app.ok("POST", f"/v1/contacts/{chat}/cancel", {})
        state = ""
        while state != "cancelled":
            await asyncio.sleep(0.02)
            with suppress(ContextUnavailable):
                stored = await context.run(lambda store: store.contacts.content("default", chat, customer_id=customer_id))
                state = next((one.state for one in stored.work if one.contact_id == chat), "")


async def _write_nothing(work: WorkLog) -> bool:
    return True


async def test_what_was_proved_is_not_shown_either_if_the_store_fails_at_the_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((service, "REOPEN_S"), (cards, "RETRY_S")):
        monkeypatch.setattr(module, name, 0.02)
    monkeypatch.setattr(live_customers, "RESUME_RETRY_S", 0.5)
    async with a_suspended_chat(tmp_path, submit_wait_ms_max=1_000) as (router, app, ada, chat, customer_id):
        context, customers = router.services.context, router.services.customers
        assert context is not None and customers is not None
        await until(lambda: customers.facts.get("default", customer_id) is not None)
        gate, is_stalled = threading.Event(), threading.Event()

        def fail_at_commit(store: ContextStore) -> None:
            def commit() -> None:
                raise ContextUnavailable("the disk has failed")

            monkeypatch.setattr(store, "commit", commit)
            is_stalled.set()
            gate.wait(20)

        reopened = asyncio.Event()
        context.on_reopened.append(reopened.set)
        failed = asyncio.ensure_future(context.run(fail_at_commit))
        assert await asyncio.to_thread(is_stalled.wait, 20)
        sent = watch_frames(router, monkeypatch)
        call: dict[str, Any] = {"channel": "voice", "queue_id": "support", "customer": {"customer_id": customer_id}}
        answer = asyncio.create_task(app.submit(**call, resume="auto"))
        await until(lambda: chat in ada.cards)
        gate.set()
        with pytest.raises(ContextUnavailable):
            await failed
        assert (await answer)["contact_id"] == chat
        await until_asserted(ada, chat)
        # The store was opened again without what the resume has changed, which is stored again a moment later.
        await reopened.wait()
        shown = await app.card(chat)
        assert shown["assurance"] == "asserted" and "name" not in shown["customer"]
        await until(lambda: not customers.cards.unproven)
        stored = await context.run(lambda store: store.contacts.content("default", chat, customer_id=customer_id))
        assert str(stored.assurance) == "asserted"
        assert any("OfferMade" in frame for frame in sent) and not [frame for frame in sent if NAME in frame]
