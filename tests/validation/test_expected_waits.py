"""Calibration of the expected waits: the intervals hold the nominal shares over generated and recorded overloaded days."""

import pytest

from router.simulator.run import SimulationSpec, simulate
from tests.validation.changing_days import Change, accuracy_of
from tests.validation.print_tables import EXPLANATION, accuracy_row
from tests.validation.recorded_days import VANAD, needs_data

# Interval scores of the release that learned from present bounds and in full steps, on the same days (smaller is better).
EARLIER_SCORES = {Change.LOAD: (169.0, 370.7), Change.HANDLING_TIME: (164.3, 277.4), Change.STAFF: (149.5, 274.4)}


@pytest.mark.parametrize("change", Change)
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_intervals_hold_their_shares_over_days_that_change_at_noon(change: Change) -> None:
    found = accuracy_of(change)
    assert found.answered > 50_000
    assert found.within_50 == pytest.approx(0.50, abs=0.03)
    assert found.within_90 == pytest.approx(0.90, abs=0.02)
    assert found.interval_score_50_s <= EARLIER_SCORES[change][0]
    assert found.interval_score_90_s <= EARLIER_SCORES[change][1]


@pytest.mark.parametrize("wrap_up_s", [0, 10, 20, 30])
@pytest.mark.parametrize("day", ["2014-03-10", "2014-06-25"])
@needs_data
@pytest.mark.slow
def test_the_intervals_hold_their_shares_on_a_recorded_day(day: str, wrap_up_s: int) -> None:
    report = simulate(SimulationSpec(logs=(f"vanad:{VANAD / day}.csv",), wrap_up_s=wrap_up_s, audit=False))
    expected = report.forecasts["*"].expected
    assert expected.within_50 == pytest.approx(0.50, abs=0.08)
    assert expected.within_90 == pytest.approx(0.90, abs=0.06)
    if wrap_up_s == 20:
        title = "recorded: " + ("a multi-skill centre, normal Monday" if day == "2014-03-10" else "the same, overloaded Wednesday")
        page = (EXPLANATION / "expected-wait.md").read_text()
        assert accuracy_row(title, report.forecasts["*"]) in page.replace("**", ""), "print the table again"
