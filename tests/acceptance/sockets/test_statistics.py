"""Statistics that a supervisor watches: all rows first, then what changes, until the watch or the connection ends."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from router.client import DesktopClient, RouterRefused, SupervisorClient
from router.client.statistics import Subject
from router.model.commands import PutAgent
from router.model.states import AgentState
from router.protocol import frames as f
from router.server.ws.statistics_views import VIEWS_MAX
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period
from router.statistics.rows import StatisticsRow
from tests.support.builders import START_MS
from tests.support.in_process_router import running_router
from tests.support.manual_clock import ManualClock

PATIENCE_S: Final = 60
TODAY: Final = Period.TODAY


async def until_row(
    client: SupervisorClient, by: Dimension, subject: Subject, holds: Callable[[StatisticsRow], bool]
) -> StatisticsRow:
    """Wait for a row with a property."""
    while True:
        row = client.statistics.get((by, TODAY), {}).get(subject)
        if row is not None and holds(row):
            return row
        await client._statistics.next_rows()


async def test_a_supervisor_gets_all_rows_and_then_what_changes(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, sockets={"stats_interval_ms": 50}) as router,
        router.supervisor("sue") as sue,
        router.supervisor("tom") as tom,
        router.gateway() as gateway,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        await gateway.submit("voice", queue_id="support")
        await sue.watch_statistics(Dimension.QUEUE)
        await sue.watch_statistics(Dimension.AGENT)
        support, agent = Subject(queue_id="support"), Subject(agent_id="a0")
        await until_row(sue, Dimension.QUEUE, support, lambda row: row.submitted == 1)
        await gateway.submit("voice", queue_id="support")
        row = await until_row(sue, Dimension.QUEUE, support, lambda row: row.submitted == 2)
        assert row.answered == 0
        await ada.set_state(AgentState.READY)
        await accept_one(ada)
        row = await until_row(sue, Dimension.QUEUE, support, lambda row: row.answered == 1)
        assert row.service_level is not None
        await until_row(sue, Dimension.AGENT, agent, lambda row: row.answered == 1 and row.offers_accepted == 1)
        assert not tom.statistics
        # One who comes later gets everything, and unwatched statistics no more.
        await tom.watch_statistics(Dimension.QUEUE)
        await until_row(tom, Dimension.QUEUE, support, lambda row: row.answered == 1)
        await sue.unwatch_statistics(Dimension.QUEUE)
        await gateway.submit("voice", queue_id="support")
        await until_row(tom, Dimension.QUEUE, support, lambda row: row.submitted == 3)
        await until_row(sue, Dimension.AGENT, agent, lambda row: row.answered == 1)
        assert (Dimension.QUEUE, TODAY) not in sue.statistics


async def accept_one(ada: DesktopClient) -> None:
    async for event in ada.events():
        if hasattr(event, "offer_id"):
            await ada.accept(event.offer_id)
            return


async def test_a_connection_watches_a_limited_number_and_only_supervisors_watch(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        router.supervisor("sue") as sue,
        router.desktop("a0") as ada,
        asyncio.timeout(PATIENCE_S),
    ):
        views = [(by, period) for by in Dimension for period in (Period.TODAY, Period.LAST_15M)]
        for by, period in views[:VIEWS_MAX]:
            await sue.watch_statistics(by, period)
        await sue.watch_statistics(*views[0])  # Again: no more than before.
        with pytest.raises(RouterRefused) as refused:
            await sue.watch_statistics(*views[VIEWS_MAX])
        assert (refused.value.code, refused.value.error.field) == ("invalid_value", "by")
        await sue.unwatch_statistics(*views[0])
        await sue.watch_statistics(*views[VIEWS_MAX])
        with pytest.raises(RouterRefused) as foreign:
            await ada._send_command(f.WatchStatisticsFrame(id=ada._next_id(), by=Dimension.AGENT))
        assert foreign.value.code in ("malformed", "forbidden")


@pytest.mark.parametrize("by", Dimension)
async def test_every_period_is_watched_and_followed(tmp_path: Path, by: Dimension) -> None:
    async with (
        running_router(tmp_path, clock=ManualClock(START_MS), sockets={"stats_interval_ms": 50}) as router,
        router.supervisor("sue") as sue,
        router.desktop("a0") as ada,
        router.gateway() as gateway,
        asyncio.timeout(PATIENCE_S),
    ):
        await router.do(PutAgent(agent_id="a0", team="north"))
        for period in Period:
            await sue.watch_statistics(by, period)
        await until_watched(sue, by, dict.fromkeys(Period, 0))
        count = 0
        if by not in (Dimension.DISPOSITION, Dimension.GOAL):
            # The rows of each subject follow what is counted, over every period that contains the present.
            await ada.set_state(AgentState.READY)
            await gateway.submit("voice", queue_id="support")
            await accept_one(ada)
            count = 1
        await until_watched(sue, by, {period: count if period is not Period.YESTERDAY else 0 for period in Period})


async def until_watched(client: SupervisorClient, by: Dimension, answered: dict[Period, int]) -> None:
    """Wait until every one of these periods has rows with so many answered contacts altogether."""
    while True:
        views = {period: rows for (view, period), rows in client.statistics.items() if view is by}
        found = {period: sum(row.answered for row in rows.values()) for period, rows in views.items()}
        if found == answered:
            return
        await client._statistics.next_rows()
