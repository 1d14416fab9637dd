"""What-if comparisons: the same day under several policies, and their day profiles."""

import json
from io import StringIO
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from router.model.errors import PolicyInvalid
from router.simulator.day import PlannedAgent, Shift, WorkloadInvalid
from router.simulator.results.comparison import (
    STAT_ROWS,
    PolicyRun,
    StatRow,
    compare_runs,
    format_difference,
    render,
    stats_of,
)
from router.simulator.results.day_profile import INTERVALS_MAX, DayProfileRecorder
from router.simulator.results.estimates import gini
from router.simulator.run import SimulationSpec, simulate
from router.simulator.what_if import POLICIES_MAX, what_if
from router.simulator.world import World
from tests.support.simulated_days import a_contact, a_day, an_agent

SHIPPED = Path(__file__).parents[3] / "benchmarks" / "scenarios" / "what_if"
DAY = SHIPPED / "day.yaml"
LONGEST_IDLE, SPARE_THE_FEW = SHIPPED / "longest_idle.yaml", SHIPPED / "spare_the_few.yaml"
SPEC = SimulationSpec(workload=str(DAY), audit=False)
BOTH = (str(LONGEST_IDLE), str(SPARE_THE_FEW))


def a_figure(name: str) -> StatRow:
    (found,) = [figure for figure in STAT_ROWS if figure.name == name]
    return found


def changed(tmp_path: Path, old: str, new: str, *, name: str = "other") -> str:
    """Write a copy of the first policy with one text replaced and return its path."""
    text = LONGEST_IDLE.read_text()
    assert old in text
    path = tmp_path / f"{name}.yaml"
    path.write_text(text.replace(old, new))
    return str(path)


# --- the same customers ---------------------------------------------------------------------------------------------
def test_every_policy_receives_the_same_customers() -> None:
    first, other = what_if(SPEC, BOTH).policies
    assert (first.name, other.name) == ("longest_idle", "spare_the_few")
    assert first.report.digest != other.report.digest
    assert first.report.contacts == other.report.contacts > 1_000
    assert first.profile.contacts == other.profile.contacts


def test_a_policy_compared_with_itself_has_no_differences(tmp_path: Path) -> None:
    same = changed(tmp_path, "channels", "channels", name="same")
    comparison = what_if(SimulationSpec(workload=str(DAY), replications=2), (BOTH[0], same))
    first, other = comparison.policies
    assert first.report.digest == other.report.digest
    assert set(other.differences.values()) == {0.0}
    assert {(i.low, i.high) for i in other.difference_intervals.values()} == {(0.0, 0.0)}
    assert comparison.violations == ()


def test_a_run_in_a_comparison_equals_the_run_alone() -> None:
    alone = simulate(SimulationSpec(workload=str(DAY), policy=BOTH[1], audit=False))
    assert what_if(SPEC, BOTH).policies[1].report.to_json() == alone.to_json()


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
    assert format_difference(a_figure("p90_wait_s"), other.differences["p90_wait_s"]) == "–"


def test_replications_give_every_difference_a_confidence_interval() -> None:
    first, other = what_if(
        SimulationSpec(workload=str(DAY), replications=4, audit=False), BOTH
    ).policies
    assert first.difference_intervals == {}
    for name in ("service_level", "queues.german.mean_wait_answered_s", "p95_wait_s", "load_gini"):
        found, difference = other.difference_intervals[name], other.differences[name]
        assert found.samples == 4
        assert difference is not None
        assert found.low < difference < found.high


def test_paired_intervals_are_narrower_than_those_of_each_policy() -> None:
    _, other = what_if(
        SimulationSpec(workload=str(DAY), replications=6, audit=False), BOTH
    ).policies
    pair, alone = (
        other.difference_intervals["service_level"],
        other.report.intervals["service_level"],
    )
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
def test_a_difference_is_formatted_with_sign_and_unit(
    name: str, value: float | None, shown: str
) -> None:
    assert format_difference(a_figure(name), value) == shown


# --- balance of load -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        ([5, 5, 5, 5], 0.0),
        ([0, 0, 0, 8], 0.75),
        ([1, 3], 0.25),
        ([4, 1, 3, 2], 0.25),
        ([0, 0], None),
        ([], None),
    ],
)
def test_gini_is_none_without_load_and_grows_with_inequality(
    loads: list[int], expected: float | None
) -> None:
    assert gini(loads) == expected


def test_gini_is_half_the_mean_absolute_difference_over_the_mean() -> None:
    loads = [3, 1, 4, 1, 5, 9, 2, 6]
    n, whole = len(loads), sum(loads)
    pairs = sum(abs(x - y) for x in loads for y in loads)
    assert gini(loads) == pytest.approx(pairs / (2 * n * whole))


# --- day profile ----------------------------------------------------------------------------------------------------
def test_intervals_show_service_level_and_occupancy() -> None:
    # ada talks from 0:00 to 0:30; the contact that arrives at 0:10 waits until then. bob, in the same group, starts at 0:30.
    shift = Shift(from_ms=1_800_000)
    day = a_day(
        a_contact("c1", 0, handle_s=1_800),
        a_contact("c2", 600, handle_s=900),
        a_contact("c3", 2_000, handle_s=900),
        agents=(an_agent("ada"), PlannedAgent(agent_id="bob", shifts=(shift,))),
        window_to_ms=3_600_000,
    )
    watch = DayProfileRecorder()
    World(day, listeners=(watch(day),)).run()
    course = watch.profile()
    assert (course.from_s, course.interval_s) == (0, 1800)
    assert course.contacts == (2, 1)
    assert course.service_level == (0.5, 1.0)
    assert course.occupancy == (1.0, 0.5)
    assert course.wait_quantiles_s[0] == 0
    assert course.wait_quantiles_s[-1] == 1_200
    assert course.load_gini == pytest.approx((2_700 - 900) / (2 * 3_600))


def test_intervals_begin_at_the_half_hour_and_exclude_the_warm_up() -> None:
    watch = DayProfileRecorder()
    late = a_day(a_contact("c", 2_000), start_ms=1_900_000, window_from_ms=1_900_000)
    World(late, listeners=(watch(late),)).run()
    assert watch.profile().from_s == 1_800
    watch = DayProfileRecorder()
    warm = a_day(a_contact("c1", 10), a_contact("c2", 700), window_from_ms=600_000)
    World(warm, listeners=(watch(warm),)).run()
    assert watch.profile().from_s == 600
    assert sum(watch.profile().contacts) == 1


def test_arrivals_and_work_after_the_window_count_in_no_interval() -> None:
    # The window ends at 0:45. ada talks until 0:30 and again from 0:50 on, which is not counted.
    day = a_day(
        a_contact("c1", 0, handle_s=1_800),
        a_contact("c2", 3_000, handle_s=60),
        window_to_ms=2_700_000,
    )
    watch = DayProfileRecorder()
    World(day, listeners=(watch(day),)).run()
    assert watch.profile().contacts == (1, 0)
    assert watch.profile().occupancy == (1.0, 0.0)
    busy = a_day(a_contact("c1", 0, handle_s=10_000), window_to_ms=2_700_000)
    watch = DayProfileRecorder()
    World(busy, listeners=(watch(busy),)).run()
    assert watch.profile().occupancy == (1.0, 1.0)
    half = a_day(a_contact("c1", 0, handle_s=2_250), window_to_ms=2_700_000)
    watch = DayProfileRecorder()
    World(half, listeners=(watch(half),)).run()
    assert watch.profile().occupancy == (1.0, 0.5)


def test_a_long_run_has_longer_intervals_but_not_more() -> None:
    watch = DayProfileRecorder()
    week = a_day(a_contact("c", 10), window_to_ms=7 * 86_400_000)
    World(week, listeners=(watch(week),)).run()
    course = watch.profile()
    assert len(course.contacts) <= INTERVALS_MAX
    assert course.interval_s == 4 * 1_800


# --- invalid comparisons --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [0, 1, POLICIES_MAX + 1])
def test_one_policy_or_too_many_are_refused(count: int) -> None:
    with pytest.raises(WorkloadInvalid, match="two to"):
        what_if(SPEC, BOTH[:1] * count)


def test_two_policies_of_the_same_name_are_refused(tmp_path: Path) -> None:
    twin = changed(tmp_path, "channels", "channels", name="longest_idle")
    with pytest.raises(WorkloadInvalid, match="two policies are named longest_idle"):
        what_if(SPEC, (BOTH[0], twin))


@pytest.mark.parametrize(
    ("old", "new", "lacking"),
    [
        ("  german:", "  french:", "queue german"),
        ("[english, german]", "[english]", "skill german"),
        ("voice:", "chat:", "channel voice"),
    ],
)
def test_a_policy_that_lacks_names_of_the_day_is_reported_with_them(
    tmp_path: Path, old: str, new: str, lacking: str
) -> None:
    other = changed(tmp_path, old, new)
    with pytest.raises(
        WorkloadInvalid, match=f"^policy other lacks names that the day uses: {lacking}$"
    ):
        what_if(SPEC, (BOTH[0], other))
    with pytest.raises(WorkloadInvalid, match=r"^policy other lacks"):
        what_if(SPEC, (other, BOTH[0]))


def test_a_policy_that_does_not_fit_a_later_day_is_reported(tmp_path: Path) -> None:
    # There are so few arrivals that no contact of the first day requires French.
    rare = "  french: {arrivals: {per_hour: 0.05}, handle: {dist: exponential, mean_s: 60}}\nagent_groups:"
    day = tmp_path / "day.yaml"
    day.write_text(DAY.read_text().replace("agent_groups:", rare))
    with pytest.raises(WorkloadInvalid, match=r"^policy longest_idle: .*unknown_queue"):
        what_if(SimulationSpec(workload=str(day), replications=40, audit=False), BOTH)


def test_an_invalid_policy_is_reported_with_its_name(tmp_path: Path) -> None:
    other = changed(tmp_path, "longest_idle}\n  german", "longest_idle, overflow_to: no}\n  german")
    with pytest.raises(PolicyInvalid, match=r"policy other: queues\.english\.overflow_to"):
        what_if(SPEC, (BOTH[0], other))


def test_different_thresholds_give_a_note(tmp_path: Path) -> None:
    level = "german: {service_level: {threshold_s: 60}, "
    other = changed(tmp_path, "german: {", level)
    comparison = what_if(SPEC, (BOTH[0], other))
    (note,) = comparison.notes
    assert "other" in note
    assert "german" in note
    assert what_if(SPEC, BOTH).notes == ()


# --- output ---------------------------------------------------------------------------------------------------------
def test_the_same_input_gives_the_same_bytes() -> None:
    comparison = what_if(SPEC, BOTH)
    assert comparison.to_json() == what_if(SPEC, BOTH).to_json()
    found = json.loads(comparison.to_json())
    assert [one["name"] for one in found["policies"]] == ["longest_idle", "spare_the_few"]
    assert all(one["report"]["speed"] is None for one in found["policies"])
    assert set(found["policies"][1]["differences"]) == set(found["policies"][0]["stats"])
    spoken = json.loads(comparison.to_json(with_speed=True))
    assert all(one["report"]["speed"] for one in spoken["policies"])


def test_progress_rises_over_all_runs() -> None:
    heard: list[float] = []
    what_if(SPEC, BOTH, progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_the_table_has_every_policy_queue_and_difference() -> None:
    comparison = what_if(SPEC, BOTH)
    console = Console(width=200, record=True, file=StringIO())
    console.print(render(comparison))
    shown = console.export_text()
    for words in (
        *(one.name for one in comparison.policies),
        "german",
        "bilingual",
        "Gini",
        "RONA",
    ):
        assert words in shown
    assert "blocked" in shown
    assert "expired" not in shown  # Rows that are zero for all policies are omitted.
    difference = format_difference(
        a_figure("abandoned"), comparison.policies[1].differences["abandoned"]
    )
    assert difference in shown


def test_every_row_of_the_table_is_in_the_json() -> None:
    watch = DayProfileRecorder()
    report = simulate(SPEC, make_listener=watch)
    found = stats_of(PolicyRun(name="a", report=report, profile=watch.profile()))
    assert {figure.name for figure in STAT_ROWS} <= set(found)
    assert "queues.german.p95_wait_s" in found
    assert "agent_groups.english.occupancy" in found
