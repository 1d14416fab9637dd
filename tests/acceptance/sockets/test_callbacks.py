"""A callback over real sockets: the gateway is told when to call, and its mirror stays true to a fresh welcome."""

import asyncio
from pathlib import Path

import pytest

from router.client import RouterRefused
from router.model import events as e
from router.model.commands import CallbackFields, PublishPolicy
from router.model.policy import CallbackMode, CallbackPolicy
from router.model.states import CallbackOutcome, ContactState
from tests.support.builders import a_policy, a_queue, published
from tests.support.in_process_router import plain, running_router, the_policy

PATIENCE_S = 10


def with_callbacks() -> PublishPolicy:
    channels = the_policy().policy.channels
    queue = a_queue(cool_down_s=0, callback=CallbackPolicy(channel="chat", retry_after_s=(600,)))
    return published(a_policy(channels=channels, queues={"support": queue, "sales": a_queue()}))


async def test_the_gateway_gets_a_dial_request_and_reports_the_result(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway() as gateway,
        router.desktop("a0") as desktop,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(with_callbacks())
        contact_id = (await gateway.submit("voice", queue_id="support", reference="r-1")).subject
        await gateway.callback(contact_id)
        assert gateway.contacts.by_id[contact_id].channel == "chat"
        await desktop.ready()
        offer = await anext(event async for event in desktop.events() if isinstance(event, e.OfferMade))
        await desktop.accept(offer.offer_id)
        due = await anext(event async for event in gateway.events() if isinstance(event, e.CallbackDialRequested))
        assert (due.agent_id, due.reference, due.channel) == ("a0", "r-1", "chat")
        heard = await anext(event async for event in desktop.events() if isinstance(event, e.CallbackDialRequested))
        assert heard.contact_id == contact_id
        answer = await gateway.callback_result(contact_id, CallbackOutcome.BUSY, due.attempt)
        assert answer.state == "callback_scheduled"
        assert gateway.contacts.by_id[contact_id].state is ContactState.CALLBACK_SCHEDULED
        assert gateway.contacts.by_id[contact_id].agent_id is None
        again = await gateway.callback_result(contact_id, CallbackOutcome.BUSY, due.attempt)
        assert again.replayed and again.seq == answer.seq
        with pytest.raises(RouterRefused) as refused:
            await gateway.callback_result(contact_id, CallbackOutcome.CONNECTED)
        assert refused.value.code == "invalid_contact_state"
        assert desktop.state.assignments == {}
        async with router.gateway() as fresh:
            assert plain(fresh.contacts) == plain(gateway.contacts)


async def test_customer_first_requeues_the_contact_when_the_customer_answers(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway() as gateway,
        router.supervisor() as supervisor,
        router.desktop("a0") as desktop,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(with_callbacks())
        wish = CallbackFields(mode=CallbackMode.CUSTOMER_FIRST)
        contact_id = (await gateway.submit("voice", queue_id="support", callback=wish)).subject
        await desktop.ready()
        due = await anext(event async for event in gateway.events() if isinstance(event, e.CallbackDialRequested))
        assert (due.agent_id, due.for_agent_id) == (None, "a0")
        assert gateway.contacts.by_id[contact_id].state is ContactState.CALLBACK_SCHEDULED
        await supervisor.callback_result(contact_id, CallbackOutcome.CONNECTED)
        offer = await anext(event async for event in desktop.events() if isinstance(event, e.OfferMade))
        assert offer.contact_id == contact_id
        async with router.gateway() as fresh:
            assert plain(fresh.contacts) == plain(gateway.contacts)


async def test_a_queue_without_callbacks_refuses_them(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.gateway() as gateway, asyncio.timeout(PATIENCE_S):
        contact_id = (await gateway.submit("voice", queue_id="support")).subject
        with pytest.raises(RouterRefused) as refused:
            await gateway.callback(contact_id)
        assert refused.value.code == "callback_not_offered"
