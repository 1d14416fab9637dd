"""What is expected of a wait, and how good such expectations have been: answers to questions, as the world sees them.

Durations are milliseconds. An expected wait is one until the answer: the ringing is in it.
"""

from msgspec import Struct


class _View(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class WaitInterval(Struct, frozen=True, kw_only=True):
    """From the shorter wait to the longer one."""

    low_ms: int
    high_ms: int


class ExpectedWait(_View, frozen=True, kw_only=True):
    """How much longer one contact waits, as of now.

    Half of the waits should end within ``interval_50`` (the quartiles), nine of ten within ``interval_90`` (5 % to 95 %). All
    are zero where somebody could take it now, and none, with a ``reason``, where nothing honest can be said:
    ``nobody_qualified`` (no agent has the skills, queue and channel), ``nobody_ready`` (of those who have, none is READY),
    ``queue_closed`` (the queue is closed, or the contact waits for its opening), ``not_waiting`` (the contact is with an agent,
    or over, or a callback that is in no line now).
    """

    p50_ms: int | None = None
    """As likely to be longer as to be shorter."""
    p90_ms: int | None = None
    """Nine of ten wait at most this long."""
    interval_50: WaitInterval | None = None
    interval_90: WaitInterval | None = None
    reason: str | None = None
    ahead: float = 0.0
    """Contacts that rank before it, each counted by the share of its agents who may take this one, too."""
    agents: int = 0
    """READY agents, busy or not, who may take it."""
    forecasts: int = 0
    """Answered forecasts from which the calibration of this kind of contact has learnt."""


class ForecastAccuracy(_View, frozen=True, kw_only=True, omit_defaults=False):
    """What became of a queue's forecasts since its figures began.

    A forecast is made when a contact is submitted and has to wait, and is compared when an agent has answered. Of those who
    left before only the number is known: how long they would have waited nobody knows, so they are in no share and no mean.
    """

    made: int
    """Forecasts made; beyond 5 a second in a workspace further ones are not."""
    answered: int
    """Compared: what the shares and means below are of."""
    abandoned: int
    """The customer left first."""
    withdrawn: int
    """Cancelled, expired, moved to another queue, made a callback or held back by a closing first."""
    within_50: float | None
    """Share of the answers inside ``interval_50``: 0.5 is right."""
    within_90: float | None
    mean_error_ms: int | None
    """Mean absolute difference of the wait and ``p50_ms``."""
    bias_ms: int | None
    """Mean of wait − ``p50_ms``: above 0, people wait longer than they are told."""
    uncalibrated_within_50: float | None
    """The same four as they would have been without what was learnt from earlier forecasts."""
    uncalibrated_within_90: float | None
    uncalibrated_mean_error_ms: int | None
    uncalibrated_bias_ms: int | None
    counts: "ForecastCounts"


class ForecastCounts(Struct, gc=False):
    """The sums that the shares and means are made of; they only grow."""

    made: int = 0
    answered: int = 0
    abandoned: int = 0
    withdrawn: int = 0
    within_50: int = 0
    within_90: int = 0
    error_ms: int = 0
    bias_ms: int = 0
    raw_within_50: int = 0
    raw_within_90: int = 0
    raw_error_ms: int = 0
    raw_bias_ms: int = 0


def accuracy_of(counts: ForecastCounts) -> ForecastAccuracy:
    """Shares and means; none where nothing has been compared."""
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
