"""Reports: documented values, reproducible bytes, and tables."""

import json
from io import StringIO

from rich.console import Console

from router.simulator.results.report import render
from router.simulator.run import SimulationSpec, simulate
from router.simulator.workload import SMALL_CENTRE

KEYS = {
    "contacts", "answered", "abandoned", "blocked", "mean_wait_answered_s", "mean_wait_all_s", "p50_wait_s",
    "p90_wait_s", "p95_wait_s", "service_level", "occupancy", "queues", "agent_groups", "events", "digest",
    "contacts_per_second",
}  # fmt: skip


def small(**changes: object) -> SimulationSpec:
    fields: dict[str, object] = {"workload": str(SMALL_CENTRE)}
    return SimulationSpec(**(fields | changes))  # type: ignore[arg-type]


def test_the_report_has_every_documented_value() -> None:
    report = simulate(small())
    found = json.loads(report.to_json())
    assert set(found) >= KEYS
    assert set(found["service_level"]) >= {"value", "threshold_s", "formula"}
    assert set(found["queues"]) == {"sales", "support", "billing", "vip"}
    assert found["contacts"] == found["answered"] + found["abandoned"] + found["blocked"] > 1_000
    assert found["contacts_per_second"] is None
    assert json.loads(report.to_json(with_speed=True))["contacts_per_second"] > 0
    assert report.audit.violations == ()
    assert report.audit.checks > 10_000


def test_the_report_can_be_rendered() -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(render(simulate(small(replications=2, audit=False))))
    shown = console.export_text()
    for word in ("small-centre", "mean_wait_answered_s", "support-german", "all-round"):
        assert word in shown
