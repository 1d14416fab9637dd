"""Expected waits over a gateway's and a supervisor's socket."""

import asyncio
from pathlib import Path

import pytest

from router.client import RouterRefused
from router.model import events as e
from tests.support.in_process_router import running_router

PATIENCE_S = 20


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_gateway_queries_hypothetical_and_waiting_contacts(tmp_path: Path, codec: str) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway(codec=codec) as gateway,
        router.desktop("a0", codec=codec) as desktop,
        router.supervisor(codec=codec) as supervisor,
        asyncio.timeout(PATIENCE_S),
    ):
        forecast = await gateway.expected_wait(queue_id="support", channel="voice")
        assert forecast.reason == "no_agent_ready"
        await desktop.ready()
        await gateway.submit("voice", queue_id="support")
        offer = await anext(one async for one in desktop.events() if isinstance(one, e.OfferMade))
        await desktop.accept(offer.offer_id)
        asked = await gateway.expected_wait(queue_id="support", channel="voice")
        waiting = (await gateway.submit("voice", queue_id="support")).subject
        found = await gateway.expected_wait(contact_id=waiting)
        assert asked.p50_ms and found.p50_ms == asked.p50_ms
        assert await supervisor.expected_wait(contact_id=waiting) == found
        answered = await gateway.expected_wait(contact_id=offer.contact_id)
        assert answered.reason == "not_waiting"


async def test_an_invalid_query_gets_an_error_code(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway() as gateway,
        router.gateway("other-gateway") as other,
        asyncio.timeout(PATIENCE_S),
    ):
        mine = (await gateway.submit("voice", queue_id="support")).subject
        for asks, code in (
            ({"contact_id": mine}, "unknown_contact"),
            ({"contact_id": "nothing"}, "unknown_contact"),
            ({"queue_id": "nothing"}, "unknown_queue"),
            ({"queue_id": "support", "channel": "pigeon"}, "unknown_channel"),
            ({"queue_id": "support", "skills": {"klingon": 3}}, "unknown_skill"),
        ):
            with pytest.raises(RouterRefused) as refused:
                await other.expected_wait(**asks)
            assert refused.value.code == code, asks
        for contact_id, queue_id in ((None, None), (mine, "support")):
            with pytest.raises(RouterRefused) as refused:
                await gateway.expected_wait(contact_id=contact_id, queue_id=queue_id)
            assert refused.value.code == "malformed"
