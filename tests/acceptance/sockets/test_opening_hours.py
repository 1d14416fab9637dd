"""Opening hours on the sockets: a gateway's refusal says when the queue opens, a supervisor hears of it."""

import asyncio
from pathlib import Path

import pytest

from router.client import RouterRefused
from router.model.commands import SetQueueOpen
from router.model.events import QueueClosed
from router.protocol.frames import EventFrame
from tests.support.in_process_router import running_router

PATIENCE_S = 20


async def test_a_closed_queue_refuses_submits_with_the_opening_time(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.gateway("web") as gateway,
        router.supervisor() as supervisor,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(SetQueueOpen(queue_id="support", is_open=False, duration_s=3600))
        with pytest.raises(RouterRefused) as refused:
            await gateway.submit("voice", queue_id="support")
        error = refused.value.error
        assert (error.code, error.temporary) == ("queue_closed", False)
        assert error.opens_at_ms is not None
        async for frame in supervisor:
            if isinstance(frame, EventFrame) and isinstance(frame.event, QueueClosed):
                assert frame.event.until_ms == error.opens_at_ms
                break
        await router.do(SetQueueOpen(queue_id="support"))
        assert (await gateway.submit("voice", queue_id="support")).state == "queued"
