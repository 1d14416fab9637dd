"""When statistics are computed: after a snapshot that is due, and a few at a time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.statistics.workspace import WorkspaceStats
from tests.support.in_process_api import OperatedRouter, operated_router

PATH = "/v1/statistics?by=queue"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[OperatedRouter]:
    async with operated_router(tmp_path) as operated:
        await operated.done("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"}, as_="gateway:web")
        yield operated


def stats_of(api: OperatedRouter) -> WorkspaceStats:
    return api.router.services.stats["default"]


async def test_statistics_wait_until_a_snapshot_that_is_due_has_begun(api: OperatedRouter) -> None:
    stats = stats_of(api)
    stats.history.expect_snapshot()
    reading = asyncio.create_task(api.get(PATH))
    await api.get("/v1/queues")  # Other requests do not wait.
    await asyncio.sleep(0.05)
    assert not reading.done()
    image = stats.incremental_snapshot()
    assert (await reading)["rows"][0]["submitted"] == 1
    image.cancel()
