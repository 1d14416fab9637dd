"""What-if comparisons: the same day under several policies, and their day profiles."""

import json
from io import StringIO
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from router.simulator.results.comparison import STAT_ROWS, PolicyRun, StatRow, compare_runs, format_difference, render, stats_of
from router.simulator.results.day_profile import DayProfileRecorder
from router.simulator.run import SimulationSpec, simulate
from router.simulator.what_if import what_if

SHIPPED = Path(__file__).parents[3] / "benchmarks" / "scenarios" / "what_if"
DAY = SHIPPED / "day.yaml"
LONGEST_IDLE, SPARE_THE_FEW = SHIPPED / "longest_idle.yaml", SHIPPED / "spare_the_few.yaml"
SPEC = SimulationSpec(workload=str(DAY), audit=False)
BOTH = (str(LONGEST_IDLE), str(SPARE_THE_FEW))


def a_row(name: str) -> StatRow:
    (found,) = [row for row in STAT_ROWS if row.name == name]
    return found


def changed(tmp_path: Path, old: str, new: str, *, name: str = "other") -> str:
    """Write a copy of the first policy with one text replaced and return its path."""
    text = LONGEST_IDLE.read_text()
    assert old in text
    path = tmp_path / f"{name}.yaml"
    path.write_text(text.replace(old, new))
    return str(path)


def test_a_policy_compared_with_itself_has_no_differences(tmp_path: Path) -> None:
    same = changed(tmp_path, "channels", "channels", name="same")
    comparison = what_if(SimulationSpec(workload=str(DAY), replications=2), (BOTH[0], same))
    first, other = comparison.policies
    assert first.report.digest == other.report.digest
    assert set(other.differences.values()) == {0.0}
    assert {(i.low, i.high) for i in other.difference_intervals.values()} == {(0.0, 0.0)}
    assert comparison.violations == ()


def test_the_shipped_policies_show_the_effect_that_their_page_describes() -> None:
    _, other = what_if(SPEC, BOTH).policies
    assert (other.differences["queues.german.abandoned"] or 0) < 0
    assert (other.differences["agent_groups.bilingual.occupancy"] or 0) < 0


# --- values and differences -----------------------------------------------------------------------------------------
def test_a_difference_is_the_value_minus_that_of_the_first_policy() -> None:
    first, other = what_if(SPEC, BOTH).policies
    assert set(first.differences.values()) == {0.0}
    for name in ("abandoned", "mean_wait_answered_s", "queues.german.service_level", "load_gini"):
        mine, base, difference = other.stats[name], first.stats[name], other.differences[name]
        assert mine is not None
        assert base is not None
        assert difference == pytest.approx(mine - base, abs=1e-8)


def test_a_value_that_one_policy_lacks_has_no_difference() -> None:
    watch = DayProfileRecorder()
    report = simulate(SimulationSpec(workload=str(DAY), audit=False), make_listener=watch)
    trial = PolicyRun(name="a", report=report, profile=watch.profile())
    without_p90 = structs.replace(report, p90_wait_s=None)
    silent = PolicyRun(name="b", report=without_p90, profile=trial.profile)
    _, other = compare_runs([trial, silent]).policies
    assert other.differences["p90_wait_s"] is None
    assert other.differences["answered"] == 0
    assert format_difference(a_row("p90_wait_s"), other.differences["p90_wait_s"]) == "–"


def test_replications_give_every_difference_a_confidence_interval() -> None:
    first, other = what_if(SimulationSpec(workload=str(DAY), replications=4, audit=False), BOTH).policies
    assert first.difference_intervals == {}
    for name in ("service_level", "queues.german.mean_wait_answered_s", "p95_wait_s", "load_gini"):
        found, difference = other.difference_intervals[name], other.differences[name]
        assert found.samples == 4
        assert difference is not None
        assert found.low < difference < found.high


def test_paired_intervals_are_narrower_than_those_of_each_policy() -> None:
    _, other = what_if(SimulationSpec(workload=str(DAY), replications=6, audit=False), BOTH).policies
    pair, alone = (other.difference_intervals["service_level"], other.report.intervals["service_level"])
    assert pair.high - pair.low < alone.high - alone.low


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("answered", 1_234, "+1,234"),
        ("answered", -3, "−3"),
        ("answered", 0, "0"),
        ("service_level", 0.0123, "+1.2 pp"),
        ("p90_wait_s", -12.34, "−12.3 s"),
        ("p90_wait_s", 0.01, "≈ 0"),
        ("load_gini", -0.25, "−0.250"),
        ("p90_wait_s", None, "–"),
    ],
)
def test_a_difference_is_formatted_with_sign_and_unit(name: str, value: float | None, shown: str) -> None:
    assert format_difference(a_row(name), value) == shown


# --- output ---------------------------------------------------------------------------------------------------------
def test_the_same_input_gives_the_same_bytes() -> None:
    comparison = what_if(SPEC, BOTH)
    assert comparison.to_json() == what_if(SPEC, BOTH).to_json()
    found = json.loads(comparison.to_json())
    assert [one["name"] for one in found["policies"]] == ["longest_idle", "spare_the_few"]
    assert all(one["report"]["speed"] is None for one in found["policies"])
    assert set(found["policies"][1]["differences"]) == set(found["policies"][0]["stats"])
    timed = json.loads(comparison.to_json(with_speed=True))
    assert all(one["report"]["speed"] for one in timed["policies"])


def test_the_table_has_every_policy_queue_and_difference() -> None:
    comparison = what_if(SPEC, BOTH)
    console = Console(width=200, record=True, file=StringIO())
    console.print(render(comparison))
    shown = console.export_text()
    for words in (*(one.name for one in comparison.policies), "german", "bilingual", "Gini", "RONA"):
        assert words in shown
    assert "blocked" in shown
    assert "expired" not in shown  # Rows that are zero for all policies are omitted.
    difference = format_difference(a_row("abandoned"), comparison.policies[1].differences["abandoned"])
    assert difference in shown


def test_every_row_of_the_table_is_in_the_json() -> None:
    watch = DayProfileRecorder()
    report = simulate(SPEC, make_listener=watch)
    found = stats_of(PolicyRun(name="a", report=report, profile=watch.profile()))
    assert {row.name for row in STAT_ROWS} <= set(found)
    assert "queues.german.p95_wait_s" in found
    assert "agent_groups.english.occupancy" in found


def test_the_table_has_an_interval_for_each_difference_of_replications() -> None:
    comparison = what_if(structs.replace(SPEC, replications=2), BOTH)
    out = StringIO()
    Console(file=out, width=200).print(render(comparison))
    cells = [line.split("│")[-2].strip() for line in out.getvalue().splitlines() if line.startswith("│")]
    with_interval = [cell for cell in cells if cell]
    assert len(with_interval) > 10
    assert len(with_interval) < len(cells), "counts have none"
