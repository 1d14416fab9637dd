"""Metrics and log lines of shadow policies: verdicts, kinds of differences, and the rate limit of lines."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from router.model.shadow import Difference, DifferenceKind, ShadowReport
from router.telemetry.logs import configure_logs
from router.telemetry.shadow_metrics import LINES_PER_S, ShadowLog, ShadowMetrics


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logs("info", stream=stream)
    yield stream
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def a_difference(seq: int = 7) -> Difference:
    return Difference(
        kind=DifferenceKind.OTHER_AGENT,
        seq=seq,
        at_ms=0,
        contact_id="c1",
        queue_id="support",
        agent_id="ada",
        shadow_agent_id="bob",
    )


def test_offers_are_counted_by_verdict_and_differences_by_kind() -> None:
    registry = CollectorRegistry()
    report = ShadowReport(offers=10, same=6, overdue=1, not_judged=1, differences={"sooner": 4}, events_missed=5)
    ShadowMetrics(registry, lambda: {"sales": report})
    text = generate_latest(registry).decode()
    for verdict, count in {"same": 6, "differs": 2, "overdue": 1, "not_judged": 1}.items():
        line = f'router_shadow_offers_total{{verdict="{verdict}",workspace="sales"}} {count}.0'
        assert line in text
    assert 'router_shadow_differences_total{kind="sooner",workspace="sales"} 4.0' in text
    assert 'router_shadow_differences_total{kind="queue",workspace="sales"} 0.0' in text
    assert 'router_shadow_events_missed_total{workspace="sales"} 5.0' in text
    assert 'router_shadow_active{workspace="sales"} 1.0' in text


def test_a_stopped_shadow_is_not_active() -> None:
    registry = CollectorRegistry()
    ShadowMetrics(registry, lambda: {"sales": ShadowReport(state="stopped")})
    assert 'router_shadow_active{workspace="sales"} 0.0' in generate_latest(registry).decode()


def test_a_difference_is_logged_with_ids_only(out: io.StringIO) -> None:
    ShadowLog().on_difference("sales", a_difference())
    (line,) = lines(out)
    assert line["action"] == "shadow_difference"
    assert (line["workspace"], line["kind"], line["seq"]) == ("sales", "other_agent", 7)
    assert (line["agent_id"], line["shadow_agent_id"]) == ("ada", "bob")
    assert line["lines_omitted"] == 0


def test_lines_beyond_the_limit_are_omitted_and_counted_by_the_next_line(out: io.StringIO) -> None:
    now_s = 100.0
    log = ShadowLog(clock=lambda: now_s)
    for seq in range(LINES_PER_S + 3):
        log.on_difference("sales", a_difference(seq))
    assert len(lines(out)) == LINES_PER_S
    now_s = 101.0
    log.on_difference("sales", a_difference(99))
    log.on_difference("sales", a_difference(100))
    assert [line["lines_omitted"] for line in lines(out)[LINES_PER_S:]] == [3, 0]


def test_failures_and_skipped_events_are_logged(out: io.StringIO) -> None:
    log = ShadowLog()
    log.on_failure("sales", ValueError("some text"))
    log.on_events_skipped("sales", 12)
    failed, skipped = lines(out)
    assert (failed["action"], failed["level"]) == ("shadow_failed", "error")
    assert (skipped["action"], skipped["events_missed"]) == ("shadow_lagged", 12)
