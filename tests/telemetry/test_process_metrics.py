"""Process metrics: requests, values read on demand, and the delay of the event loop."""

import asyncio
import time

import pytest
from prometheus_client.exposition import generate_latest

from router import __version__
from router.telemetry.process_metrics import ProcessMetrics, measure_loop_lag


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
