"""Process metrics: requests, values read on demand, the delay of the event loop, and commit times."""

import asyncio
import re
import time

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from router import __version__
from router.journal.memory import MemoryJournal
from router.journal.port import Journal
from router.telemetry.process_metrics import ProcessMetrics, TimedJournal, measure_loop_lag
from tests.contracts.journal_contract import JournalContract
from tests.contracts.test_memory_journal import MemoryJournalStorage
from tests.support.journal_records import a_record


def page(metrics: ProcessMetrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_requests_are_counted_and_timed_by_operation() -> None:
    metrics = ProcessMetrics()
    metrics.count_request("submit", 201)
    metrics.count_request("submit", 201)
    metrics.count_request("submit", 409)
    metrics.observe_request("submit", 0.003)
    text = page(metrics)
    assert 'router_http_requests_total{operation="submit",status="201"} 2.0' in text
    assert 'router_http_requests_total{operation="submit",status="409"} 1.0' in text
    assert 'router_http_request_seconds_bucket{le="0.0025",operation="submit"} 0.0' in text
    assert 'router_http_request_seconds_bucket{le="0.005",operation="submit"} 1.0' in text


def test_the_buckets_of_the_histograms_are_those_that_dashboards_show() -> None:
    metrics = ProcessMetrics()
    metrics.observe_request("submit", 0.003)
    bounds: dict[str, str] = {}
    for line in page(metrics).splitlines():
        if (found := re.match(r'(\w+)_bucket{le="([^"]+)"', line)) is not None:
            bounds[found[1]] = f"{bounds.get(found[1], '')} {found[2]}".lstrip()
    assert bounds == {
        "router_http_request_seconds": "0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0 +Inf",
        "router_commit_seconds": "0.0002 0.0005 0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.5 2.0 +Inf",
        "router_loop_lag_seconds": "0.001 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 +Inf",
    }


def test_added_values_are_read_when_the_page_is_rendered() -> None:
    metrics = ProcessMetrics()
    present = {"depth": 1.0, "refused": 0.0}
    metrics.add_gauge("router_depth", "Depth.", lambda: present["depth"])
    metrics.add_counter("router_refused", "Refused.", lambda: present["refused"])
    present |= {"depth": 7.0, "refused": 3.0}
    text = page(metrics)
    assert "router_depth 7.0" in text
    assert "router_refused_total 3.0" in text


def test_the_version_is_a_label() -> None:
    assert f'router_build_info{{version="{__version__}"}} 1.0' in page(ProcessMetrics())


def test_two_processes_do_not_share_counters() -> None:
    first, second = ProcessMetrics(), ProcessMetrics()
    first.count_request("submit", 201)
    assert 'operation="submit"' not in page(second)


async def test_the_delay_of_a_blocked_loop_is_observed() -> None:
    metrics = ProcessMetrics()
    task = asyncio.get_running_loop().create_task(measure_loop_lag(metrics, interval_ms=1))
    await asyncio.sleep(0)
    time.sleep(0.03)  # noqa: ASYNC251 - blocks the loop on purpose
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    value = metrics.registry.get_sample_value
    observed = value("router_loop_lag_seconds_count") or 0
    assert observed - (value("router_loop_lag_seconds_bucket", {"le": "0.01"}) or 0) >= 1


# --- the timed journal ---------------------------------------------------------------------------------------------
def a_histogram(registry: CollectorRegistry) -> Histogram:
    return Histogram("commit_seconds", "Commits.", registry=registry)


class TimedStorage(MemoryJournalStorage):
    """The storage of an in-memory journal, opened through a timed journal."""

    def journal(self) -> Journal:  # type: ignore[override]
        return TimedJournal(super().journal(), a_histogram(CollectorRegistry()))


class TestTimedJournal(JournalContract):
    @pytest.fixture
    def storage(self) -> TimedStorage:
        return TimedStorage()


async def test_each_commit_is_observed_once() -> None:
    registry = CollectorRegistry()
    journal = TimedJournal(MemoryJournal(), a_histogram(registry))
    await journal.open()
    await journal.create_workspace("main")
    await journal.append([("main", a_record(1))])
    await journal.append([("main", a_record(2)), ("main", a_record(3))])
    assert registry.get_sample_value("commit_seconds_count") == 2
    await journal.close()
