"""Accuracy of expected waits, compared with the last wait and the mean wait of the last hour."""

import pytest

from router.engine.engine import Engine
from router.simulator.results.forecast_accuracy import EstimatorSums, ForecastReport, ForecastStats, ForecastSums, forecast_reports
from router.simulator.simulation import Simulation
from tests.support.simulated_days import a_contact, a_day


def reports_of_a_small_day() -> dict[str, ForecastReport]:
    """Run a day in which one agent answers c1 at once and c2, c3 and c4 after 50, 100 and 110 s; c5 abandons."""
    day = a_day(
        a_contact("c1", 0, handle_s=60),
        a_contact("c2", 10, handle_s=60),
        a_contact("c3", 20, handle_s=60),
        a_contact("c4", 70, handle_s=60),
        a_contact("c5", 75, patience_ms=5_000),
    )
    engine = Engine()
    stats = ForecastStats(day, engine)
    Simulation(day, listeners=(stats,), engine=engine).run()
    return forecast_reports(stats.sums)


def test_contacts_that_waited_are_compared_and_abandoned_ones_are_not() -> None:
    reports = reports_of_a_small_day()
    assert set(reports) == {"*", "calls"}
    assert (reports["calls"].answered, reports["calls"].lost) == (3, 1)


def test_the_last_wait_estimator_uses_the_latest_answer_before_the_arrival() -> None:
    # The estimates are 0, 0 and 50 s; the waits 50, 100 and 110 s.
    last_wait = reports_of_a_small_day()["calls"].last_wait
    assert (last_wait.mean_error_s, last_wait.bias_s) == (70.0, 70.0)


def test_the_last_hour_estimator_uses_the_mean_of_recent_answers() -> None:
    # The estimates are 0, 0 and 25 s.
    assert reports_of_a_small_day()["calls"].last_hour.mean_error_s == pytest.approx(78.333)


def test_intervals_are_reported_for_expected_waits_only() -> None:
    report = reports_of_a_small_day()["calls"]
    assert report.expected.within_90 is not None and report.uncalibrated.within_50 is not None
    assert report.last_wait.within_50 is None and report.last_hour.within_90 is None


def test_a_wait_within_the_quantiles_counts() -> None:
    sums = EstimatorSums()
    bounds_ms = [5_000, 20_000, 30_000, 40_000, 60_000, 70_000]
    for wait_ms in (4_000, 25_000, 70_000):
        sums.add_bounds(bounds_ms, wait_ms)
    assert (sums.within_50, sums.within_90) == (1, 2)
    # 50 %: three times the width of 20 s, and 4 times 16 s and 30 s outside; 90 %: three times 65 s, and 20 times 1 s.
    assert (sums.score_50_ms, sums.score_90_ms) == (3 * 20_000 + 4 * 46_000, 3 * 65_000 + 20 * 1_000)
    assert (sums.error_ms, sums.bias_ms) == (26_000 + 5_000 + 40_000, -26_000 - 5_000 + 40_000)


def test_totals_are_the_sum_of_queues_and_queues_without_answers_are_omitted() -> None:
    found = forecast_reports(
        {
            "a": ForecastSums(answered=1, lost=2, expected=EstimatorSums(error_ms=3_000)),
            "b": ForecastSums(answered=2, expected=EstimatorSums(error_ms=9_000)),
            "c": ForecastSums(lost=1),
        }
    )
    assert set(found) == {"*", "a", "b"}
    assert (found["*"].answered, found["*"].lost) == (3, 3)
    assert found["*"].expected.mean_error_s == 4.0
