"""Accuracy of the expected waits of a run, compared with two simple estimators based on past waits.

A run listener: it stores the engine's forecast when a contact is queued and compares it with the wait when an agent answers. The
simple estimates are made at the same time for the same contacts: **LES**, the wait of the last contact answered in the queue
(last to enter service; R. Ibrahim and W. Whitt, "Real-Time Delay Estimation Based on Delay History", M&SOM 11(3), 2009), and the
mean wait of the contacts answered there in the **last hour**.
"""

from collections import deque
from typing import Final

from msgspec import Struct, field

from router.engine.engine import Engine
from router.engine.state.wait_statistics import UNCALIBRATED
from router.model.commands import Command
from router.model.events import (
    CallbackRequested,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    OfferAccepted,
    QueueClosed,
)
from router.model.results import Outcome
from router.simulator.day import Day, PlannedContact

_HOUR_MS: Final = 3_600_000


class EstimatorSums(Struct):
    """Error sums of one estimator."""

    within_50: int = 0
    within_90: int = 0
    error_ms: int = 0
    bias_ms: int = 0
    score_50_ms: int = 0
    """Sum of the interval scores of the 50 % intervals: each width, and 4 times what a wait outside misses it by."""
    score_90_ms: int = 0
    """The same of the 90 % intervals, with 20 times what a wait outside misses them by."""

    def add(self, estimate_ms: int, wait_ms: int) -> None:
        """Add an estimate and the true wait."""
        self.error_ms += abs(wait_ms - estimate_ms)
        self.bias_ms += wait_ms - estimate_ms

    def add_bounds(self, bounds_ms: list[int], wait_ms: int) -> None:
        """Add estimated quantiles (5, 25, 50, 75, 90, 95 %) and the true wait."""
        low, low_50, middle, high_50, _, high = bounds_ms
        self.add(middle, wait_ms)
        self.within_50 += low_50 <= wait_ms <= high_50
        self.within_90 += low <= wait_ms <= high
        # T. Gneiting, A. E. Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 102, 2007: 2 / (1 - level).
        self.score_50_ms += high_50 - low_50 + 4 * max(0, low_50 - wait_ms, wait_ms - high_50)
        self.score_90_ms += high - low + 20 * max(0, low - wait_ms, wait_ms - high)


ESTIMATORS: Final = ("expected", "uncalibrated", "last_wait", "last_hour")


class ForecastSums(Struct):
    """Sums of one queue, over one or more runs."""

    answered: int = 0
    lost: int = 0
    expected: EstimatorSums = field(default_factory=EstimatorSums)
    uncalibrated: EstimatorSums = field(default_factory=EstimatorSums)
    last_wait: EstimatorSums = field(default_factory=EstimatorSums)
    last_hour: EstimatorSums = field(default_factory=EstimatorSums)

    def add(self, other: "ForecastSums") -> None:
        """Add the sums of other runs."""
        self.answered += other.answered
        self.lost += other.lost
        for estimator in ESTIMATORS:
            total, part = getattr(self, estimator), getattr(other, estimator)
            for name in EstimatorSums.__struct_fields__:
                setattr(total, name, getattr(total, name) + getattr(part, name))


class EstimatorReport(Struct, frozen=True, kw_only=True):
    """Accuracy of one estimator, in seconds. A positive bias means that waits are longer than estimated."""

    mean_error_s: float
    bias_s: float
    within_50: float | None = None
    within_90: float | None = None
    interval_score_50_s: float | None = None
    """Mean interval score of the 50 % intervals; smaller is better: it rewards narrow intervals that hold the wait."""
    interval_score_90_s: float | None = None


class ForecastReport(Struct, frozen=True, kw_only=True):
    """Accuracy over the contacts that had to wait and had a forecast."""

    answered: int
    """Contacts whose wait was compared."""
    lost: int
    """Contacts that left, were cancelled or moved before an answer; not compared."""
    expected: EstimatorReport
    uncalibrated: EstimatorReport
    """Expected wait without the calibration by earlier answers."""
    last_wait: EstimatorReport
    last_hour: EstimatorReport


def forecast_reports(sums: dict[str, ForecastSums]) -> dict[str, ForecastReport]:
    """Return the accuracy by queue, and of all queues as ``*``; queues without a compared forecast are omitted."""
    total = ForecastSums()
    for one in sums.values():
        total.add(one)
    found = {"*": total, **dict(sorted(sums.items()))}
    return {name: _report(one) for name, one in found.items() if one.answered}


def _report(sums: ForecastSums) -> ForecastReport:
    def estimator_report(estimator: str, *, has_intervals: bool = False) -> EstimatorReport:
        one, n = getattr(sums, estimator), sums.answered
        return EstimatorReport(
            mean_error_s=round(one.error_ms / n / 1000, 3),
            bias_s=round(one.bias_ms / n / 1000, 3),
            within_50=round(one.within_50 / n, 4) if has_intervals else None,
            within_90=round(one.within_90 / n, 4) if has_intervals else None,
            interval_score_50_s=round(one.score_50_ms / n / 1000, 3) if has_intervals else None,
            interval_score_90_s=round(one.score_90_ms / n / 1000, 3) if has_intervals else None,
        )

    return ForecastReport(
        answered=sums.answered,
        lost=sums.lost,
        expected=estimator_report("expected", has_intervals=True),
        uncalibrated=estimator_report("uncalibrated", has_intervals=True),
        last_wait=estimator_report("last_wait"),
        last_hour=estimator_report("last_hour"),
    )


class _WaitEstimates(Struct):
    """Estimates of one contact."""

    queue_id: str
    at_ms: int
    expected: list[int]
    uncalibrated: list[int]
    last_wait_ms: int
    last_hour_ms: int


class _WaitHistory:
    """Waits of answered contacts of a queue: the last one and those of the last hour."""

    def __init__(self) -> None:
        self.last_ms = 0
        self._hour: deque[tuple[int, int]] = deque()
        self._sum_ms = 0

    def add(self, at_ms: int, wait_ms: int) -> None:
        """Add the wait of an answered contact."""
        self.last_ms = wait_ms
        self._hour.append((at_ms, wait_ms))
        self._sum_ms += wait_ms

    def mean_ms(self, at_ms: int) -> int:
        """Return the mean wait of the last hour; 0 if no contact was answered in it."""
        hour = self._hour
        while hour and hour[0][0] < at_ms - _HOUR_MS:
            self._sum_ms -= hour.popleft()[1]
        return self._sum_ms // len(hour) if hour else 0


class ForecastStats:
    """Run listener; after the run, ``sums`` has the error sums by queue."""

    def __init__(self, day: Day, engine: Engine) -> None:
        self.sums: dict[str, ForecastSums] = {}
        self._engine = engine
        self._from_ms, self._to_ms = day.window_from_ms, day.window_to_ms
        self._estimates: dict[str, _WaitEstimates] = {}
        self._queued: dict[str, tuple[str, int]] = {}
        self._histories: dict[str, _WaitHistory] = {}

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival; a forecast exists only once the contact is queued."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Store new forecasts and compare those of answered contacts."""
        at_ms = outcome.at_ms
        for event in outcome.events:
            match event:
                case ContactQueued():
                    self._queued[event.contact_id] = (event.queue_id, at_ms)
                    self._estimate(event, at_ms)
                case OfferAccepted() | ContactAssigned():
                    self._answered(event.contact_id, at_ms)
                case ContactAbandoned() | ContactCancelled() | ContactExpired():
                    self._queued.pop(event.contact_id, None)
                    self._lost(event.contact_id)
                case ContactOverflowed() | ContactRequeued():
                    self._lost(event.contact_id)
                case CallbackRequested():
                    # The rest of the wait is without the customer, which no estimator covers.
                    self._queued.pop(event.contact_id, None)
                    self._lost(event.contact_id)
                case QueueClosed():
                    self._queue_closed(event.queue_id)

    def _queue_closed(self, queue_id: str) -> None:
        """Drop the contacts of a closed queue that no longer have a forecast."""
        for contact_id, estimates in list(self._estimates.items()):
            if estimates.queue_id == queue_id and self._engine.forecast(contact_id) is None:
                self._lost(contact_id)

    def _estimate(self, event: ContactQueued, at_ms: int) -> None:
        forecast = self._engine.forecast(event.contact_id)
        if forecast is None or not self._from_ms <= at_ms < self._to_ms:
            return
        ring_ms = forecast.ring_ms
        past = self._histories.setdefault(event.queue_id, _WaitHistory())
        plain = UNCALIBRATED.quantiles_ms(forecast.mean_ms, forecast.shape_millionths / 1_000_000)
        self._estimates[event.contact_id] = _WaitEstimates(
            queue_id=event.queue_id,
            at_ms=at_ms,
            expected=[bound + ring_ms for bound in forecast.quantiles_ms],
            uncalibrated=[bound + ring_ms for bound in plain],
            last_wait_ms=past.last_ms,
            last_hour_ms=past.mean_ms(at_ms),
        )

    def _answered(self, contact_id: str, at_ms: int) -> None:
        queued = self._queued.pop(contact_id, None)
        if queued is None:
            return  # A transfer between agents is not an answer.
        queue_id, queued_at_ms = queued
        self._histories.setdefault(queue_id, _WaitHistory()).add(at_ms, at_ms - queued_at_ms)
        estimates = self._estimates.pop(contact_id, None)
        if estimates is None:
            return
        wait_ms = at_ms - estimates.at_ms
        sums = self._sums(estimates.queue_id)
        sums.answered += 1
        sums.expected.add_bounds(estimates.expected, wait_ms)
        sums.uncalibrated.add_bounds(estimates.uncalibrated, wait_ms)
        sums.last_wait.add(estimates.last_wait_ms, wait_ms)
        sums.last_hour.add(estimates.last_hour_ms, wait_ms)

    def _lost(self, contact_id: str) -> None:
        estimates = self._estimates.pop(contact_id, None)
        if estimates is not None:
            self._sums(estimates.queue_id).lost += 1

    def _sums(self, queue_id: str) -> ForecastSums:
        sums = self.sums.get(queue_id)
        if sums is None:
            sums = self.sums[queue_id] = ForecastSums()
        return sums
