"""What-if analyses: the same days under several policies, and inputs that are refused."""

from pathlib import Path

import pytest

from router.model.errors import PolicyInvalid
from router.simulator.day import WorkloadInvalid
from router.simulator.run import SimulationSpec, simulate
from router.simulator.what_if import POLICIES_MAX, what_if

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "scenarios" / "what_if"
DAY = SHIPPED / "day.yaml"
LONGEST_IDLE, SPARE_THE_FEW = SHIPPED / "longest_idle.yaml", SHIPPED / "spare_the_few.yaml"
SPEC = SimulationSpec(workload=str(DAY), audit=False)
BOTH = (str(LONGEST_IDLE), str(SPARE_THE_FEW))


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


def test_a_run_in_a_comparison_equals_the_run_alone() -> None:
    alone = simulate(SimulationSpec(workload=str(DAY), policy=BOTH[1], audit=False))
    assert what_if(SPEC, BOTH).policies[1].report.to_json() == alone.to_json()


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
def test_a_policy_that_lacks_names_of_the_day_is_reported_with_them(tmp_path: Path, old: str, new: str, lacking: str) -> None:
    other = changed(tmp_path, old, new)
    with pytest.raises(WorkloadInvalid, match=f"^policy other lacks names that the day uses: {lacking}$"):
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


def test_progress_rises_over_all_runs() -> None:
    live: list[float] = []
    what_if(SPEC, BOTH, progress=live.append)
    assert live == sorted(live)
    assert live[-1] == 1.0
