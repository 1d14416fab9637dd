"""Simulation runs: specifications, reports, and reproducible output."""

import subprocess
import sys
from pathlib import Path

import pytest

from router.model.errors import PolicyInvalid
from router.simulator.day import WorkloadInvalid
from router.simulator.run import SimulationSpec, resolved_options, simulate
from router.simulator.workload import SMALL_CENTRE

POLICY = """\
channels: {voice: {auto_accept: true, wrap_up_s: 5}, chat: {auto_accept: true, units: 50, per_agent_max: 2}}
skills: [english, german, sales, support, billing, vip]
queues: {sales: {wrap_up_s: {voice: 40}}, support: {}, billing: {}, vip: {}}
"""


def small(**changes: object) -> SimulationSpec:
    fields: dict[str, object] = {"workload": str(SMALL_CENTRE)}
    return SimulationSpec(**(fields | changes))  # type: ignore[arg-type]


def test_the_same_input_gives_the_same_bytes_in_another_process_with_another_hash_seed() -> None:
    script = (
        "import sys; from router.simulator.run import *;"
        f"sys.stdout.buffer.write(simulate(SimulationSpec(workload={str(SMALL_CENTRE)!r}, seed=3)).to_json())"
    )
    outputs = [
        subprocess.run([sys.executable, "-c", script], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, check=True).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] == simulate(small(seed=3)).to_json()
    assert simulate(small(seed=4)).to_json() != outputs[0]


def test_the_audit_changes_only_its_own_part_of_the_report() -> None:
    with_audit, without = simulate(small()), simulate(small(audit=False))
    assert with_audit.digest == without.digest
    assert with_audit.state_digest == without.state_digest
    assert without.audit.checks == 0


ALERTS = """\
alerts:
  waiting: {measure: waiting, above: 2, clear: 0, for_s: 5}
  level: {measure: service_level, by: workspace, below: 0.9, samples_min: 20, period: today}
  never: {measure: agents_ready, by: workspace, above: 1000}
"""


def test_the_alerts_of_a_policy_are_tried_on_the_day(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY + ALERTS)
    report = simulate(small(policy=str(policy)))
    waiting, level, never = (report.alerts[name] for name in ("waiting", "level", "never"))
    assert waiting.raised == len(waiting.listed) == sum(waiting.subjects.values()) > 0 == never.raised
    assert level.listed[0].value < 0.9 and level.subjects == {"": level.raised}
    for raised in waiting.listed:
        assert raised.value > 2 and raised.raised_at_ms % 1000 == 0
        assert raised.cleared_at_ms is None or raised.cleared_at_ms > raised.raised_at_ms
    assert report.audit.violations == ()
    assert report.to_json() == simulate(small(policy=str(policy))).to_json()
    policy.write_text(POLICY)
    without = simulate(small(policy=str(policy)))
    assert (without.answered, without.abandoned, without.alerts) == (report.answered, report.abandoned, {})


def test_replications_give_intervals_and_are_independent() -> None:
    report = simulate(small(replications=4, audit=False))
    assert report.intervals["answered"].samples == 4
    assert report.intervals["answered"].mean == report.answered / 4
    assert report.intervals["answered"].low < report.intervals["answered"].high
    found = report.intervals["occupancy"]
    assert report.occupancy is not None
    assert found.low < report.occupancy < found.high


def test_the_wrap_up_option_applies_to_every_channel_and_queue(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    short = simulate(small(policy=str(policy), wrap_up_s=0))
    long = simulate(small(policy=str(policy), wrap_up_s=60))
    assert short.occupancy is not None
    assert long.occupancy is not None
    assert short.occupancy + 0.05 < long.occupancy
    assert long.options["wrap_up_s"] == 60
    assert long.options["policy"] == "policy.yaml"


def test_the_seed_and_all_drawn_options_are_returned() -> None:
    scenarios = Path(__file__).parents[2] / "benchmarks" / "scenarios"
    found = resolved_options(SimulationSpec(workload=str(scenarios / "simple_msk.yaml"), seed=9, replications=1))
    assert found["seed"] == 9
    assert isinstance(found["day_factor"], float)


def test_progress_increases_from_zero_to_one() -> None:
    live: list[float] = []
    simulate(small(replications=2, audit=False), progress=live.append)
    assert live == sorted(live)
    assert live[-1] == 1.0


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (SimulationSpec(), WorkloadInvalid),
        (SimulationSpec(logs=("vanad:x",), workload="y"), WorkloadInvalid),
        (SimulationSpec(logs=("vanad:/nowhere",)), WorkloadInvalid),
        (SimulationSpec(logs=("vanad:/nowhere",), replications=2), WorkloadInvalid),
        (SimulationSpec(workload="/nowhere"), WorkloadInvalid),
        (small(policy="/nowhere"), WorkloadInvalid),
    ],
)
def test_an_invalid_specification_is_refused(spec: SimulationSpec, error: type[Exception]) -> None:
    with pytest.raises(error):
        simulate(spec)


def test_an_invalid_policy_is_refused_with_its_path(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("billing: {}", "billing: {overflow_to: nowhere}"))
    with pytest.raises(PolicyInvalid, match="overflow_to"):
        simulate(small(policy=str(policy)))
    text = SMALL_CENTRE.read_text().replace("overflow_to: support", "overflow_to: nowhere")
    broken = tmp_path / "centre.yaml"
    broken.write_text(text)
    with pytest.raises(PolicyInvalid, match="overflow_to"):
        simulate(SimulationSpec(workload=str(broken)))


def test_a_policy_without_the_queues_of_the_day_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("vip: {}", "gold: {}"))
    with pytest.raises(WorkloadInvalid, match="unknown_queue"):
        simulate(small(policy=str(policy)))
