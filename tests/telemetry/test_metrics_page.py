"""The metrics page: workspaces and the process together, forecasts if the engine answers."""

from router.engine.engine import Engine
from router.journal.memory import MemoryJournal
from router.model.commands import Command
from router.model.forecasts import ForecastCounts, QueueWaits
from router.statistics.workspace import WorkspaceStats
from router.telemetry.metrics_page import MetricsPage
from router.telemetry.process_metrics import ProcessMetrics
from tests.support.builders import START_MS, a_contact, published
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import running_writer


def stats_of(*contact_ids: str) -> WorkspaceStats:
    engine, stats = Engine(), WorkspaceStats()
    commands: list[Command] = [published(), *(a_contact(contact_id) for contact_id in contact_ids)]
    for command in commands:
        outcome = engine.handle(command, START_MS)
        for seq, event in enumerate(outcome.events, start=outcome.first_seq):
            stats.apply(event, seq, outcome.at_ms)
    return stats


async def test_the_page_contains_every_workspace_and_the_process() -> None:
    process = ProcessMetrics()
    process.count_request("submit", 201)
    page = MetricsPage(process, {"a": stats_of("c1", "c2"), "b": stats_of()}, label_sets_max=10)
    text = (await page.render()).decode()
    assert 'router_contacts_submitted_total{workspace="a"} 2.0' in text
    assert 'router_contacts_submitted_total{workspace="b"} 0.0' in text
    assert 'router_http_requests_total{operation="submit",status="201"} 1.0' in text


async def test_waits_are_queried_for_each_workspace() -> None:
    async def waits(workspace: str) -> dict[str, QueueWaits] | None:
        if workspace == "b":
            return None  # The engine cannot answer now.
        return {"support": QueueWaits(ForecastCounts(made=3, answered=1, bias_ms=500), 90_000, 12_500)}

    page = MetricsPage(ProcessMetrics(), {"a": stats_of("c1"), "b": stats_of("c1")}, label_sets_max=10, waits=waits)
    text = (await page.render()).decode()
    assert 'router_expected_wait_seconds{queue="support",workspace="a"} 90.0' in text
    assert 'router_forecasts_total{end="made",queue="support",workspace="a"} 3.0' in text
    assert 'router_forecast_bias_seconds{queue="support",workspace="a"} 0.5' in text
    assert 'router_queue_oldest_wait_seconds{queue="support",workspace="a"} 12.5' in text
    assert 'router_expected_wait_seconds{queue="support",workspace="b"}' not in text
    assert 'router_queue_oldest_wait_seconds{queue="support",workspace="b"}' not in text


async def test_only_the_leader_shows_a_workspace() -> None:
    led = {"a"}
    stats = {"a": stats_of("c1"), "b": stats_of("c1")}
    pages = [
        MetricsPage(ProcessMetrics(), stats, label_sets_max=10, is_led=lambda name: name in led),
        MetricsPage(ProcessMetrics(), stats, label_sets_max=10, is_led=lambda name: name not in led),
    ]

    async def sums() -> list[int]:
        text = "".join([(await page.render()).decode() for page in pages])
        return [text.count(f'router_contacts_submitted_total{{workspace="{name}"}} 1.0') for name in stats]

    assert await sums() == [1, 1]
    led.add("b")
    assert await sums() == [1, 1]


async def test_a_workspace_that_is_left_while_the_page_is_rendered_is_not_shown() -> None:
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        for name in ("a", "b"):
            await writer.add_workspace(name)

        async def leave_the_other(workspace: str) -> None:
            writer._workspaces.pop("b", None)

        stats = {"a": stats_of("c1"), "b": stats_of("c1")}
        page = MetricsPage(ProcessMetrics(), stats, label_sets_max=10, waits=leave_the_other, is_led=writer.is_led)
        text = (await page.render()).decode()
    assert 'router_contacts_submitted_total{workspace="a"} 1.0' in text and 'workspace="b"' not in text


async def test_a_later_page_shows_later_events() -> None:
    stats = {"a": stats_of()}
    page = MetricsPage(ProcessMetrics(), stats, label_sets_max=10)
    await page.render()
    stats["a"] = stats_of("c1")
    assert 'router_contacts_submitted_total{workspace="a"} 1.0' in (await page.render()).decode()
