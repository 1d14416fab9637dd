"""Parked contacts and paused channels over real sockets, as every party hears of them."""

import asyncio
from pathlib import Path

import pytest

from router.client import CachedAgent, RouterRefused
from router.model import events as e
from router.model.states import AgentState, AssignmentState
from tests.support.in_process_router import running_router

PATIENCE_S = 10


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_chat_is_parked_and_resumed_by_agent_and_gateway(tmp_path: Path, codec: str) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway(codec=codec) as gateway,
        router.desktop("a0", codec=codec) as desktop,
        router.supervisor(codec=codec) as supervisor,
        asyncio.timeout(PATIENCE_S),
    ):
        await desktop.ready()
        contact_id = (await gateway.submit("chat", queue_id="support")).subject
        offer = await anext(event async for event in desktop.events() if isinstance(event, e.OfferMade))
        await desktop.accept(offer.offer_id)
        assert (await desktop.park(offer.offer_id)).state == "parked"
        assert desktop.state.assignments[offer.offer_id].state is AssignmentState.PARKED
        await anext(event async for event in gateway.events() if isinstance(event, e.AssignmentParked))
        assert gateway.contacts.by_id[contact_id].parked
        assert (await gateway.unpark(contact_id)).state == "assigned"
        assert (await gateway.unpark(contact_id)).replayed
        assert not gateway.contacts.by_id[contact_id].parked
        await anext(event async for event in desktop.events() if isinstance(event, e.AssignmentUnparked))
        assert desktop.state.assignments[offer.offer_id].state is AssignmentState.ACTIVE
        await supervisor.park(contact_id)
        await anext(event async for event in desktop.events() if isinstance(event, e.AssignmentParked))
        assert (await desktop.unpark(offer.offer_id)).state == "active"
        await gateway.park(contact_id)
        await desktop.end(contact_id)
        view = await router.writer.query("default", lambda engine: engine.agent("a0"))
        assert view.value is not None
        assert desktop.state == CachedAgent.from_view(view.value)


async def test_channels_are_paused_by_the_agent_and_by_a_supervisor(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway() as gateway,
        router.desktop("a0") as desktop,
        router.supervisor() as supervisor,
        asyncio.timeout(PATIENCE_S),
    ):
        await desktop.ready()
        assert (await desktop.pause_channels("voice", "chat")).state == AgentState.READY
        assert desktop.state.paused == ("chat", "voice")
        await gateway.submit("voice", queue_id="support")
        with pytest.raises(RouterRefused) as refused:
            await desktop.pause_channels("fax")
        assert (refused.value.code, refused.value.error.field) == ("unknown_channel", "paused[0]")
        await supervisor.pause_channels("a0", "chat")
        offer = await anext(event async for event in desktop.events() if isinstance(event, e.OfferMade))
        assert offer.channel == "voice"
        # A change by a supervisor reaches the mirror of the agent like any other event.
        mirror: CachedAgent = desktop.state
        assert mirror.paused == ("chat",)
        view = await router.writer.query("default", lambda engine: engine.agent("a0"))
        assert view.value is not None
        assert supervisor.workspace.agents["a0"].paused == view.value.paused == ("chat",)
