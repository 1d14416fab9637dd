"""Expected waiting times and the accuracy of past forecasts, as returned by the APIs.

Durations are milliseconds. An expected wait is the time until an agent answers, ringing included.
"""

from typing import NamedTuple

from msgspec import Struct


class _ForecastView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class WaitInterval(Struct, frozen=True, kw_only=True):
    """Interval of a waiting time."""

    low_ms: int
    """Lower bound in milliseconds."""
    high_ms: int
    """Upper bound in milliseconds."""


class ExpectedWait(_ForecastView, frozen=True, kw_only=True):
    """Expected remaining wait of one contact, as of now.

    Also called estimated wait time (EWT). All values are 0 if an agent could take the contact now. They are null, with a
    ``reason``, if no forecast is possible.
    """

    p50_ms: int | None = None
    """Median in milliseconds; null: no forecast is possible."""
    p90_ms: int | None = None
    """90th percentile in milliseconds; null: no forecast is possible."""
    interval_50: WaitInterval | None = None
    """Quartiles: half of the waits should end within it."""
    interval_90: WaitInterval | None = None
    """5 % to 95 %: nine of ten waits should end within it."""
    reason: str | None = None
    """Why no forecast is possible: ``no_agent_qualified`` (no agent has the skills, queue and channel), ``no_agent_ready`` (no
    qualified agent is ``ready``), ``queue_closed`` (the queue is closed, or the contact waits for its opening) or
    ``not_waiting`` (the contact is offered, assigned or terminal, or a callback that is not in its queue now). Null: there is
    a forecast."""
    ahead: float = 0.0
    """Contacts that rank before it, each weighted by the share of its agents who also qualify for this contact."""
    agents: int = 0
    """Qualified ``ready`` agents, busy or free."""
    forecasts: int = 0
    """Number of answered forecasts in the calibration for this kind of contact."""


class ForecastAccuracy(_ForecastView, frozen=True, kw_only=True, omit_defaults=False):
    """Accuracy of a queue's forecasts since its statistics began.

    A forecast is made when a contact is submitted and has to wait, and is compared with the actual wait when an agent
    answers. Contacts that left before are only counted: their waiting time is unknown, so no share or mean includes them.
    """

    made: int
    """Number of forecasts made; at most 5 per second in a workspace."""
    answered: int
    """Number of forecasts compared with an answer: the base of the shares and means below."""
    abandoned: int
    """Number of forecasts whose customer left before an answer."""
    withdrawn: int
    """Number of forecasts whose contact was cancelled, expired, moved, made a callback or kept for the next opening."""
    within_50: float | None
    """Share of the answers within ``interval_50``; 0.5 is ideal. Null: no answers yet."""
    within_90: float | None
    """Share of the answers within ``interval_90``; 0.9 is ideal. Null: no answers yet."""
    mean_error_ms: int | None
    """Mean absolute difference between the wait and ``p50_ms``; null: no answers yet."""
    bias_ms: int | None
    """Mean of wait − ``p50_ms``; positive: customers wait longer than forecast. Null: no answers yet."""
    uncalibrated_within_50: float | None
    """As ``within_50``, without calibration."""
    uncalibrated_within_90: float | None
    """As ``within_90``, without calibration."""
    uncalibrated_mean_error_ms: int | None
    """As ``mean_error_ms``, without calibration."""
    uncalibrated_bias_ms: int | None
    """As ``bias_ms``, without calibration."""
    counts: "ForecastCounts"
    """Counters and sums behind the shares and means."""


class ForecastCounts(Struct, gc=False):
    """Counters and sums behind the shares and means. They only increase."""

    made: int = 0
    """Forecasts made."""
    answered: int = 0
    """Forecasts compared with an answer."""
    abandoned: int = 0
    """Forecasts whose customer left before an answer."""
    withdrawn: int = 0
    """Forecasts without a result."""
    within_50: int = 0
    """Answers within ``interval_50``."""
    within_90: int = 0
    """Answers within ``interval_90``."""
    error_ms: int = 0
    """Sum of the absolute differences."""
    bias_ms: int = 0
    """Sum of the differences."""
    raw_within_50: int = 0
    """As ``within_50``, without calibration."""
    raw_within_90: int = 0
    """As ``within_90``, without calibration."""
    raw_error_ms: int = 0
    """As ``error_ms``, without calibration."""
    raw_bias_ms: int = 0
    """As ``bias_ms``, without calibration."""


class QueueWaits(NamedTuple):
    """What the metrics page shows of the waits of a queue."""

    forecasts: ForecastCounts
    """Outcomes of its forecasts."""
    expected_ms: int | None
    """Median expected wait of a new contact in milliseconds; None: no forecast is possible."""
    oldest_ms: int
    """Longest wait, in milliseconds, of the contacts that are first in one of the queue's lines; 0: none waits."""


def forecast_accuracy(counts: ForecastCounts) -> ForecastAccuracy:
    """Return the shares and means of the counters; none where nothing has been compared."""
    n = counts.answered
    return ForecastAccuracy(
        made=counts.made,
        answered=n,
        abandoned=counts.abandoned,
        withdrawn=counts.withdrawn,
        within_50=_share(counts.within_50, n),
        within_90=_share(counts.within_90, n),
        mean_error_ms=_mean(counts.error_ms, n),
        bias_ms=_mean(counts.bias_ms, n),
        uncalibrated_within_50=_share(counts.raw_within_50, n),
        uncalibrated_within_90=_share(counts.raw_within_90, n),
        uncalibrated_mean_error_ms=_mean(counts.raw_error_ms, n),
        uncalibrated_bias_ms=_mean(counts.raw_bias_ms, n),
        counts=counts,
    )


def _share(count: int, n: int) -> float | None:
    return round(count / n, 4) if n else None


def _mean(total: int, n: int) -> int | None:
    return round(total / n) if n else None
