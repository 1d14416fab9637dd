"""A contact's life over real sockets, in both codecs, as every party hears it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.client import CachedAgent, RouterRefused
from router.client.websocket_client import WebSocketClient
from router.model import events as e
from router.model.states import AgentState, AssignmentState, ContactState
from router.protocol import frames as f
from tests.support.in_process_router import running_router

TIMEOUT_S = 10


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_contact_from_submit_to_the_end_of_wrap_up(tmp_path: Path, codec: str) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway(codec=codec) as gateway,
        router.desktop("a0", codec=codec) as desktop,
        router.supervisor(codec=codec) as supervisor,
        asyncio.timeout(TIMEOUT_S),
    ):
        assert desktop.state.state is AgentState.OFFLINE
        assert (await desktop.ready()).state == "ready"
        submitted = await gateway.submit("voice", queue_id="support", reference="call-1", attributes={"tier": "gold"})
        offer = await anext(event async for event in desktop.events() if isinstance(event, e.OfferMade))
        assert offer.contact_id == submitted.subject
        assert (offer.reference, offer.attributes) == ("call-1", {"tier": "gold"})
        assert (await desktop.accept(offer.offer_id)).state == "accepted"
        assert (await desktop.hold(offer.offer_id)).state == "on_hold"
        assert desktop.state.assignments[offer.offer_id].state is AssignmentState.ON_HOLD
        assert (await desktop.unhold(offer.offer_id)).state == "active"
        assert gateway.contacts.by_id[offer.contact_id].agent_id == "a0"
        await desktop.end(offer.contact_id)
        assert desktop.state.assignments[offer.offer_id].state is AssignmentState.WRAP_UP
        assert (await desktop.extend_wrap_up(offer.offer_id, 30)).state == "wrap_up"
        assert (await desktop.complete(offer.offer_id, "done")).state == "completed"
        assert desktop.state.assignments == {}
        assert gateway.contacts.by_id == {}

        seen = [frame async for frame in _until(gateway, e.ContactEnded)]
        assert [type(frame.event) for frame in seen] == [e.ContactQueued, e.OfferMade, e.OfferAccepted, e.ContactEnded]
        everything = [frame async for frame in _until(supervisor, e.AssignmentCompleted)]
        numbers = [frame.seq for frame in everything]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def _until(client: WebSocketClient, last: type) -> AsyncIterator[f.EventFrame]:
    async for frame in client:
        if isinstance(frame, f.EventFrame):
            yield frame
            if isinstance(frame.event, last):
                return


async def test_a_refusal_names_the_state_and_what_it_allows(tmp_path: Path) -> None:
    """Lesson A14."""
    async with (
        running_router(tmp_path) as router,
        router.gateway() as gateway,
        router.desktop("a0") as desktop,
        asyncio.timeout(TIMEOUT_S),
    ):
        await desktop.ready()
        contact_id = (await gateway.submit("voice", queue_id="support")).subject
        offer = await _an_offer(desktop)
        await desktop.accept(offer.offer_id)
        with pytest.raises(RouterRefused) as refused:
            await gateway.cancel(contact_id)
        assert refused.value.code == "invalid_contact_state"
        assert refused.value.error.state == "assigned"
        assert refused.value.error.applied == "no"
        with pytest.raises(RouterRefused) as refused:
            await gateway.submit("voice", queue_id="nowhere")
        assert refused.value.code == "unknown_queue"


async def test_a_repeated_accept_returns_the_first_result(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway() as gateway,
        router.desktop("a0") as desktop,
        asyncio.timeout(TIMEOUT_S),
    ):
        await desktop.ready()
        await gateway.submit("voice", queue_id="support")
        offer = await _an_offer(desktop)
        first = await desktop.accept(offer.offer_id)
        again = await desktop.accept(offer.offer_id)
        assert (first.replayed, again.replayed) == (False, True)
        assert again.seq == first.seq


async def test_a_submit_with_the_same_key_is_one_contact(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.gateway() as gateway, asyncio.timeout(TIMEOUT_S):
        answers = await asyncio.gather(*(gateway.submit("voice", queue_id="support", idempotency_key="k") for _ in range(50)))
        assert len({answer.subject for answer in answers}) == 1
        assert sum(not answer.replayed for answer in answers) == 1
        with pytest.raises(RouterRefused) as refused:
            await gateway.submit("chat", queue_id="support", idempotency_key="k")
        assert refused.value.code == "idempotency_key_reused"


async def test_pipelined_commands_are_executed_in_order(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.gateway() as gateway, asyncio.timeout(TIMEOUT_S):
        answers = await asyncio.gather(*(gateway.submit("voice", queue_id="support") for _ in range(300)))
        numbers = [answer.seq for answer in answers]
        assert numbers == sorted(numbers)
        assert len(set(numbers)) == 300
        assert len(gateway.contacts.by_id) == 300
        await asyncio.gather(*(gateway.cancel(answer.subject) for answer in answers))
        assert gateway.contacts.by_id == {}


async def test_a_transfer_updates_both_desktops(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway() as gateway,
        router.desktop("a0") as ada,
        router.desktop("a1") as bob,
        asyncio.timeout(TIMEOUT_S),
    ):
        await ada.ready()
        await gateway.submit("voice", queue_id="support")
        offer = await _an_offer(ada)
        await ada.accept(offer.offer_id)
        await bob.ready()
        await ada.transfer_to_agent(offer.contact_id, "a1")
        second = await _an_offer(bob)
        assert second.from_agent_id == "a0"
        assert offer.offer_id in ada.state.assignments
        await bob.accept(second.offer_id)
        await ada.ping()
        assert ada.state.assignments[offer.offer_id].state is AssignmentState.WRAP_UP
        assert bob.state.assignments[second.offer_id].state is AssignmentState.ACTIVE
        await gateway.ping()
        contact = gateway.contacts.by_id[offer.contact_id]
        assert (contact.state, contact.agent_id) == (ContactState.ASSIGNED, "a1")


async def test_a_supervisor_requeues_and_assigns_contacts(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway() as gateway,
        router.desktop("a0") as desktop,
        router.supervisor() as supervisor,
        asyncio.timeout(TIMEOUT_S),
    ):
        contact_id = (await gateway.submit("voice", queue_id="support")).subject
        await supervisor.update(contact_id, priority_s=60)
        await supervisor.requeue(contact_id, "sales")
        await supervisor.set_agent_state("a0", AgentState.NOT_READY, "meeting")
        await supervisor.assign(contact_id, "a0")
        await desktop.ping()
        (work,) = desktop.state.assignments.values()
        assert work.contact_id == contact_id
        await supervisor.end(contact_id)
        await desktop.ping()
        (work,) = desktop.state.assignments.values()
        assert work.state is AssignmentState.WRAP_UP


async def test_the_mirrors_equal_a_fresh_welcome(tmp_path: Path) -> None:
    """Lessons C4 and C7."""
    async with (
        running_router(tmp_path, agents=3) as router,
        router.gateway() as gateway,
        router.supervisor() as supervisor,
        router.desktop("a0") as ada,
        router.desktop("a1") as bob,
        asyncio.timeout(TIMEOUT_S),
    ):
        await asyncio.gather(ada.ready(), bob.ready())
        for _ in range(6):
            await gateway.submit("chat", queue_id="support", attributes={"tier": "gold"})
        for client in (ada, bob):
            await client.ping()
            offers = sorted(client.state.offers)
            await client.decline(offers[0])
            await client.accept(offers[1])
            await client.hold(offers[1])
        await ada.not_ready("lunch", after_work=True)
        await gateway.submit("voice", queue_id="sales", priority_s=5)
        await asyncio.gather(*(client.ping() for client in (ada, bob, gateway, supervisor)))

        async with router.supervisor("fresh") as fresh:
            assert supervisor.workspace.agents == fresh.workspace.agents
        async with router.gateway() as fresh_gateway:
            assert gateway.contacts == fresh_gateway.contacts
        view = (await router.writer.query("default", lambda engine: engine.agent("a0"))).value
        assert view is not None
        assert ada.state == CachedAgent.from_view(view)


async def _an_offer(client: WebSocketClient) -> e.OfferMade:
    async for event in client.events():
        if isinstance(event, e.OfferMade):
            return event
    raise AssertionError("the stream ended")


async def test_stats_follow_the_queues(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, sockets={"stats_interval_ms": 50}) as router,
        router.supervisor() as supervisor,
        router.gateway() as gateway,
        asyncio.timeout(TIMEOUT_S),
    ):
        for _ in range(3):
            await gateway.submit("voice", queue_id="support")
        async for frame in supervisor:
            if isinstance(frame, f.StatsFrame) and supervisor.workspace.queues["support"].waiting == 3:
                break
        assert supervisor.workspace.queues["sales"].waiting == 0
