"""When statistics are computed: after a snapshot that is due, and a few at a time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.server.api import statistics
from router.server.statistics_turns import RUNNING_MAX, WAITING_MAX
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


async def test_a_few_answers_are_computed_at_a_time_and_too_many_that_wait_are_refused(api: OperatedRouter) -> None:
    stats = stats_of(api)
    stats.history.expect_snapshot()  # None of them ends.
    turns = api.router.services.statistics_turns
    reading = [asyncio.create_task(api.get(PATH)) for _ in range(RUNNING_MAX + WAITING_MAX)]
    while "default" not in turns._turns or turns._turns["default"].count < len(reading):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert turns._turns["default"].running.locked()
    refused = await api.call("GET", PATH)
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "busy", "1")
    stats.incremental_snapshot().cancel()
    for answer in await asyncio.gather(*reading):
        assert answer["rows"][0]["submitted"] == 1
    assert not turns._turns
    assert (await api.get(PATH))["rows"]


async def test_too_many_rows_are_refused_with_the_limit(api: OperatedRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.done("POST", "/v1/contacts", {"channel": "voice", "queue_id": "sales"}, as_="gateway:web")
    monkeypatch.setattr(statistics, "ROWS_MAX", 1)
    refused = await api.call("GET", PATH)
    assert (refused.status, refused.code, refused.json["field"]) == (422, "invalid_value", "from_ms")
    assert "more than 1 rows" in refused.json["detail"]
    assert len((await api.get(f"{PATH}&queue_id=sales"))["rows"]) == 1
