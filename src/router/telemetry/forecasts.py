"""Metrics of expected waits and their accuracy, by queue. Shares over a time window are rates of these counters."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from router.model.forecasts import ForecastCounts


def forecast_families(
    samples: Iterable[tuple[tuple[str, str], ForecastCounts, int | None]],
) -> Iterator[Metric]:
    """Yield the families of forecasts.

    Each item is workspace and queue, the forecast counts, and the median expected wait of a new contact in milliseconds.
    """
    by_queue = ("workspace", "queue")
    ends = CounterMetricFamily(
        "router_forecasts", "Forecasts by the outcome of the wait.", labels=(*by_queue, "end")
    )
    within = CounterMetricFamily(
        "router_forecasts_within",
        "Forecasts of answered contacts whose wait was inside the interval.",
        labels=(*by_queue, "interval"),
    )
    error = CounterMetricFamily(
        "router_forecast_error_seconds",
        "Sum of the absolute differences between wait and median forecast.",
        labels=by_queue,
    )
    bias = GaugeMetricFamily(
        "router_forecast_bias_seconds",
        "Mean of wait minus median forecast, over the whole history.",
        labels=by_queue,
    )
    expected = GaugeMetricFamily(
        "router_expected_wait_seconds",
        "Median expected wait of a new contact of the queue's most common requirement.",
        labels=by_queue,
    )
    for labels, counts, expected_ms in samples:
        if counts.made:
            for end in ("made", "answered", "abandoned", "withdrawn"):
                ends.add_metric((*labels, end), getattr(counts, end))
            within.add_metric((*labels, "50"), counts.within_50)
            within.add_metric((*labels, "90"), counts.within_90)
            error.add_metric(labels, counts.error_ms / 1000)
        if counts.answered:
            bias.add_metric(labels, counts.bias_ms / counts.answered / 1000)
        if expected_ms is not None:
            expected.add_metric(labels, expected_ms / 1000)
    yield from (ends, within, error, bias, expected)
