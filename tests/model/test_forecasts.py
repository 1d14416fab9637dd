"""Accuracy of forecasts from its counters."""

from router.model.forecasts import ForecastCounts, forecast_accuracy


def test_shares_and_means_are_none_without_answers() -> None:
    accuracy = forecast_accuracy(ForecastCounts(made=2, abandoned=1, withdrawn=1))
    assert (accuracy.made, accuracy.answered) == (2, 0)
    assert accuracy.within_50 is accuracy.within_90 is None
    assert accuracy.mean_error_ms is accuracy.bias_ms is None


def test_shares_and_means_are_over_the_answered() -> None:
    counts = ForecastCounts(
        made=9,
        answered=4,
        abandoned=3,
        within_50=2,
        within_90=3,
        error_ms=1_000,
        bias_ms=-600,
        raw_within_50=1,
        raw_within_90=4,
        raw_error_ms=2_000,
        raw_bias_ms=400,
    )
    accuracy = forecast_accuracy(counts)
    assert (accuracy.within_50, accuracy.within_90) == (0.5, 0.75)
    assert (accuracy.mean_error_ms, accuracy.bias_ms) == (250, -150)
    assert (accuracy.uncalibrated_within_50, accuracy.uncalibrated_within_90) == (0.25, 1.0)
    assert (accuracy.uncalibrated_mean_error_ms, accuracy.uncalibrated_bias_ms) == (500, 100)
