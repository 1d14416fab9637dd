"""What clients hear and see: an offer that rings while its contact changes, and pages that are loaded again."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.client import DesktopClient
from router.model import commands as c
from router.model.events import ContactUpdated
from router.model.states import AgentState
from router.protocol.frames import EventFrame
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
