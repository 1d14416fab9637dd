"""Recorded days with the production engine: close to a reference simulation, and without audit violations."""

from pathlib import Path

import pytest

from router.simulator.patience import PatienceSource
from router.simulator.run import SimulationReport, SimulationSpec, parse_log, simulate
from router.simulator.what_if import what_if
from tests.validation.bank_selections import replayed_selections
from tests.validation.print_tables import EXPLANATION, recorded_row
from tests.validation.recorded_days import BANK, REFERENCE, VANAD, RecordedDay, needs_data

pytestmark = needs_data


@pytest.mark.parametrize("reference", REFERENCE, ids=lambda r: f"{r.day}-{r.wrap_up_s}s")
@pytest.mark.slow
def test_a_vanad_day_is_close_to_the_reference(reference: RecordedDay) -> None:
    log = f"vanad:{VANAD / reference.day}.csv"
    report = simulate(SimulationSpec(logs=(log,), wrap_up_s=reference.wrap_up_s))
    assert report.audit.violations == ()
    assert report.unfinished == 0
    assert report.contacts == report.answered + report.abandoned
    # The longest wrap-up overloads the centre on both days, which amplifies small differences.
    tolerance = 0.15 if reference.wrap_up_s == 30 else 0.08
    assert report.mean_wait_answered_s == pytest.approx(reference.mean_wait_s, rel=tolerance)
    assert report.abandoned == pytest.approx(reference.abandoned, rel=0.05)
    page = (EXPLANATION / "validation.md").read_text()
    assert recorded_row(reference, report) in page, "print the table of docs/explanation/validation.md again"


def test_a_vanad_day_is_read_completely() -> None:
    log = parse_log(f"vanad:{VANAD / '2014-03-10.csv'}")
    abandoned = [c for c in log.contacts if c.patience_ms is not None]
    served = [c for c in log.contacts if c.patience_ms is None]
    assert (len(log.contacts), len(abandoned), len(log.agents)) == (7_091, 268, 106)
    assert len(log.queue_skills) == 11
    assert sum(c.handle_ms for c in served) / len(served) / 1000 == pytest.approx(254.6, abs=0.05)


def test_the_priority_seconds_of_the_bank_explains_its_selections() -> None:
    with_priority, fifo = (replayed_selections(BANK, priority_s=90), replayed_selections(BANK, priority_s=0))
    assert with_priority.total == fifo.total > 6_000
    assert with_priority.share >= 0.87
    assert fifo.share == pytest.approx(0.76, abs=0.01)


def test_no_other_priority_explains_the_selections_of_the_bank_better() -> None:
    shares = {priority_s: replayed_selections(BANK, priority_s=priority_s).share for priority_s in (60, 90, 120)}
    assert max(shares, key=lambda priority_s: shares[priority_s]) == 90


def overloaded(*names: str, patience: PatienceSource | None = None) -> list[SimulationReport]:
    """Compare policies on the overloaded day with 10 s of wrap-up."""
    folder = Path(__file__).parents[2] / "benchmarks" / "scenarios" / "what_if" / "overloaded"
    log = f"vanad:{VANAD / '2014-06-25.csv'}"
    spec = SimulationSpec(logs=(log,), wrap_up_s=10, patience=patience)
    comparison = what_if(spec, [str(folder / f"{name}.yaml") for name in names])
    assert comparison.violations == ()
    return [one.report for one in comparison.policies]


@pytest.mark.slow
def test_the_early_first_policy_beats_first_come_first_served_on_the_overloaded_day() -> None:
    """Check the results in docs/how-to/what-if.md: more answered in time, shorter waits, with the same agents and customers."""
    reports = overloaded("fifo", "early_first")
    levels = [report.service_level.value for report in reports]
    assert levels == pytest.approx([0.303, 0.510], abs=0.0005)
    assert [report.abandoned for report in reports] == [576, 569]
    waits = [report.mean_wait_answered_s for report in reports]
    assert waits == pytest.approx([77.2, 75.4], abs=0.05)


@pytest.mark.slow
def test_the_newest_first_loses_as_many_customers_once_the_served_have_a_patience() -> None:
    """Check the table of docs/how-to/what-if.md on the patience of the served."""
    recorded = overloaded("fifo", "lifo", patience=PatienceSource.RECORDED)
    estimated = overloaded("fifo", "lifo")
    assert [report.abandoned for report in recorded] == [553, 245]
    assert [report.abandoned for report in estimated] == [576, 563]


@pytest.mark.slow
def test_a_month_of_the_bank_can_be_simulated() -> None:
    report = simulate(SimulationSpec(logs=(f"bank:{BANK}",)))
    assert report.audit.violations == ()
    assert report.contacts > 30_000
