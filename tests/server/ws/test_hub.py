"""What clients hear and see: an offer that rings while its contact changes, and pages that are loaded again."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.client import DesktopClient, RouterRefused
from router.model import commands as c
from router.model.events import ContactEnded, ContactUpdated, OfferRescinded, ParticipantLeft
from router.model.states import AgentState, EndedBy
from router.protocol.frames import EventFrame
from router.server.ws import hub as hub_module
from tests.support.builders import a_contact
from tests.support.in_process_router import InProcessRouter, running_router

Condition = Callable[[], Any]


async def until(condition: Condition) -> None:
    """Wait until something holds that the network may delay."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  Nothing announces that the network has delivered.
            await asyncio.sleep(0.005)


async def two_desktops(router: InProcessRouter, stack: AsyncExitStack) -> tuple[DesktopClient, DesktopClient]:
    """Return the desktops of a0, who has the contact c1, and of a1, who is ready."""
    first = await stack.enter_async_context(router.desktop("a0"))
    await first.ready()
    await router.do(a_contact("c1", gateway_id="web", attributes={"tier": "gold"}))
    await first.accept("c1.1")
    second = await stack.enter_async_context(router.desktop("a1"))
    await second.ready()
    return first, second


async def test_a_ringing_agent_hears_that_the_contact_changes(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.desktop("a0") as desktop:
        await desktop.ready()
        await router.do(a_contact("c1", gateway_id="web", attributes={"tier": "gold"}))
        await until(lambda: desktop.state.offers)
        await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "silver"}))
        await until(lambda: desktop.state.offers["c1.1"].attributes == {"tier": "silver"})
        heard = [one.event async for one in _until_update(desktop)]
        assert isinstance(heard[-1], ContactUpdated)
        assert heard[-1].offered_to == ("a0",)


async def _until_update(desktop: DesktopClient) -> Any:
    async for frame in desktop:
        if isinstance(frame, EventFrame):
            yield frame
            if isinstance(frame.event, ContactUpdated):
                return


async def test_the_agent_who_is_consulted_hears_that_the_contact_changes(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, AsyncExitStack() as stack:
        first, second = await two_desktops(router, stack)
        await first.consult_agent("c1", "a1")
        await until(lambda: second.state.offers)
        await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "silver"}))
        await until(lambda: second.state.offers["c1.2"].attributes == {"tier": "silver"})
        assert first.state.assignments["c1.1"].attributes == {"tier": "silver"}


@pytest.mark.parametrize("kind", ["consult", "transfer"])
async def test_a_page_that_is_loaded_again_shows_what_is_pending(tmp_path: Path, kind: str) -> None:
    async with running_router(tmp_path) as router, AsyncExitStack() as stack:
        first, second = await two_desktops(router, stack)
        await (first.consult_agent if kind == "consult" else first.transfer_to_agent)("c1", "a1")
        await until(lambda: second.state.offers)
        before = first.state.assignments["c1.1"].pending_offer
        assert before is not None
        assert (before.kind, before.agent_id, before.offer_id) == (kind, "a1", "c1.2")
        async with router.desktop("a0") as reloaded:
            assert reloaded.state.assignments["c1.1"].pending_offer == before
            assert f'"kind":"{kind}"' in msgspec.json.encode(reloaded.welcome).decode()
            await second.decline("c1.2")
            await until(lambda: reloaded.state.assignments["c1.1"].pending_offer is None)


async def test_a_wrap_up_keeps_what_the_agent_saw(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, AsyncExitStack() as stack:
        first, second = await two_desktops(router, stack)
        await first.transfer_to_queue("c1", "support")
        await until(lambda: second.state.offers)
        await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "silver"}))
        await until(lambda: next(iter(second.state.offers.values())).attributes == {"tier": "silver"})
        assert first.state.assignments["c1.1"].attributes == {"tier": "gold"}
        async with router.desktop("a0") as reloaded:
            assert reloaded.state.assignments == first.state.assignments
            assert reloaded.state.state is AgentState.READY


async def test_a_pending_transfer_is_withdrawn(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, AsyncExitStack() as stack:
        first, second = await two_desktops(router, stack)
        assert "transfer" in first.state.assignments["c1.1"].allowed
        await first.transfer_to_agent("c1", "a1")
        await until(lambda: second.state.offers)
        assert {"transfer_cancel", "transfer_to_queue"} <= set(first.state.assignments["c1.1"].allowed)
        with pytest.raises(RouterRefused) as refused:
            await first.transfer_to_agent("c1", "a2")
        assert refused.value.error.allowed == first.state.assignments["c1.1"].allowed
        await first.cancel_transfer("c1")
        await until(lambda: not second.state.offers)
        assert first.state.assignments["c1.1"].pending_offer is None
        heard = [frame.event for frame in second._connection._events if isinstance(frame, EventFrame)]
        assert [one.reason for one in heard if isinstance(one, OfferRescinded)] == ["transfer_cancelled"]
        with pytest.raises(RouterRefused) as again:
            await first.cancel_transfer("c1")
        assert (again.value.code, "transfer" in again.value.error.allowed) == ("invalid_contact_state", True)
        with pytest.raises(RouterRefused) as foreign:
            await second.cancel_transfer("c1")
        assert foreign.value.code == "unknown_contact"


async def test_everyone_hears_who_ended_the_contact(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, AsyncExitStack() as stack:
        first, second = await two_desktops(router, stack)
        gateway = await stack.enter_async_context(router.gateway("web"))
        await first.consult_agent("c1", "a1")
        await until(lambda: second.state.offers)
        await second.accept("c1.2")
        await gateway.end("c1", "customer_left")
        await until(lambda: "c1" not in gateway.contacts.by_id)
        for client, kind in ((first, ContactEnded), (gateway, ContactEnded), (second, ParticipantLeft)):
            events = [frame.event for frame in client._connection._events if isinstance(frame, EventFrame)]
            assert [one.ended_by for one in events if isinstance(one, kind)] == [EndedBy.CUSTOMER]


# --- failures of delivery -----------------------------------------------------------------------------------------------
async def test_clients_load_their_state_again_after_a_record_that_the_hub_gave_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub fails on every attempt at one record: no client misses it, none gets it twice, and the next one is live again."""

    def failing(group: Any, event: Any) -> Any:
        if isinstance(event, ContactUpdated) and event.attributes == {"tier": "lost"}:
            raise ValueError("no recipients")
        return recipients(group, event)

    recipients = hub_module._recipients
    monkeypatch.setattr(hub_module, "_recipients", failing)
    async with running_router(tmp_path) as router, AsyncExitStack() as stack:
        first, second = await two_desktops(router, stack)
        gateway = await stack.enter_async_context(router.gateway("web"))
        supervisor = await stack.enter_async_context(router.supervisor())
        await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "lost"}))
        clients: tuple[Any, ...] = (first, second, gateway, supervisor)
        await until(lambda: all(one.connection_count == 2 and one.is_connected for one in clients))
        assert first.state.assignments["c1.1"].attributes == {"tier": "lost"}
        assert gateway.contacts.by_id["c1"].attributes == {"tier": "lost"}
        assert supervisor.workspace.agents["a0"].assignments["c1.1"].attributes == {"tier": "lost"}
        (status,) = [one for one in router.writer.feed.statuses() if one.name == "sockets"]
        assert (status.skipped_records, status.lag_events) == (1, 0)
        await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "found"}))
        await until(lambda: gateway.contacts.by_id["c1"].attributes == {"tier": "found"})
        assert [one.connection_count for one in clients] == [2, 2, 2, 2]


async def test_a_client_whose_frame_cannot_be_written_is_closed_alone(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, AsyncExitStack() as stack:
        first, second = await two_desktops(router, stack)
        gateway = await stack.enter_async_context(router.gateway("web"))
        (broken,) = [one for one in router.hub.subscribers() if one.subject == "a0"]
        broken.deliver = _failing_delivery  # type: ignore[method-assign]
        await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "silver"}))
        await until(lambda: first.connection_count == 2 and first.is_connected)
        assert first.state.assignments["c1.1"].attributes == {"tier": "silver"}
        assert gateway.contacts.by_id["c1"].attributes == {"tier": "silver"}
        assert (second.connection_count, gateway.connection_count) == (1, 1)
        (status,) = [one for one in router.writer.feed.statuses() if one.name == "sockets"]
        assert (status.failures, status.skipped_records) == (0, 0)


def _failing_delivery(frame: bytes) -> None:
    raise ValueError("the transport is broken")


async def test_a_client_that_connects_while_the_hub_is_behind_gets_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub fails once and delivers again later; meanwhile its clients must not believe that they have everything."""
    failures = [ValueError("not now")]

    def failing(group: Any, event: Any) -> Any:
        if isinstance(event, ContactUpdated) and failures:
            raise failures.pop()
        return recipients(group, event)

    recipients = hub_module._recipients
    monkeypatch.setattr(hub_module, "_recipients", failing)
    async with running_router(tmp_path) as router, AsyncExitStack() as stack:
        first, _ = await two_desktops(router, stack)
        early = await stack.enter_async_context(router.gateway("web"))
        before = early.seq
        done = await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "silver"}))
        late = await stack.enter_async_context(router.gateway("web"))
        assert late.contacts.by_id["c1"].attributes == {"tier": "silver"}
        pong = await early.ping()
        assert before <= pong.seq < done.seq, "the pong claims an event that was not sent"
        await until(lambda: early.contacts.by_id["c1"].attributes == {"tier": "silver"})
        await until(lambda: first.state.assignments["c1.1"].attributes == {"tier": "silver"})
        await router.do(c.UpdateContact(contact_id="c1", attributes={"tier": "gold"}))
        await until(lambda: late.contacts.by_id["c1"].attributes == {"tier": "gold"})
        heard = [frame.seq for frame in late._connection._events if isinstance(frame, EventFrame)]
        assert heard == sorted(set(heard))
        assert heard[0] > done.seq
        assert [early.connection_count, late.connection_count] == [1, 1]
