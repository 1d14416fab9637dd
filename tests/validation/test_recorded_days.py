"""Recorded days with the production engine: close to a reference simulation, and without audit violations."""

from typing import Final

import pytest

from router.simulator.patience import PatienceSource
from router.simulator.run import SimulationSpec, parse_log, simulate
from tests.validation.bank_selections import replayed_selections
from tests.validation.print_tables import (
    EXPLANATION,
    WRAP_UPS,
    compared,
    one_day_rows,
    patience_rows,
    recorded_row,
    without_return,
    wrap_up_row,
)
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


WHAT_IF: Final = (EXPLANATION.parent / "how-to" / "what-if.md").read_text()
AGAIN: Final = "print the tables of docs/how-to/what-if.md again: python -m tests.validation.print_tables what-if"


@pytest.mark.slow
def test_the_early_first_policy_beats_first_come_first_served_on_the_overloaded_day() -> None:
    """More answered in time, shorter waits, with the same agents and customers; and the page says by how much."""
    reports = [one.report for one in compared("2014-06-25", 10, "fifo", "early_first", patience=PatienceSource.ESTIMATED).policies]
    levels = [report.service_level.value for report in reports]
    assert levels[0] is not None and levels[1] is not None and levels[1] - levels[0] > 0.15
    waits = [report.mean_wait_answered_s for report in reports]
    assert waits[0] is not None and waits[1] is not None and waits[1] < waits[0]
    for row in one_day_rows():
        assert row in WHAT_IF, AGAIN


@pytest.mark.parametrize(("day", "wrap_up_s"), WRAP_UPS)
@pytest.mark.slow
def test_the_page_has_the_results_of_each_day_and_wrap_up(day: str, wrap_up_s: int) -> None:
    assert wrap_up_row(day, wrap_up_s) in WHAT_IF, AGAIN


@pytest.mark.slow
def test_late_calls_that_stay_last_wait_for_very_long() -> None:
    assert without_return() in " ".join(WHAT_IF.split()), AGAIN


@pytest.mark.slow
def test_the_newest_first_loses_as_many_customers_once_the_served_have_a_patience() -> None:
    for row in patience_rows():
        assert row in WHAT_IF, AGAIN


@pytest.mark.slow
def test_a_month_of_the_bank_can_be_simulated() -> None:
    report = simulate(SimulationSpec(logs=(f"bank:{BANK}",)))
    assert report.audit.violations == ()
    assert report.contacts > 30_000
