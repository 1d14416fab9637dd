"""Statistics for wait estimates: handling times, patience, and how accurate earlier forecasts were.

**Theory of operation.** The statistics are part of the workspace's state, because an entry rule may decide by an expected wait:
the same state must give the same estimate. Therefore only events change them (in ``engine.events``), a snapshot contains them, and
every figure is an integer. Means are exponentially weighted: a new sample counts for 1/128 once there are 128 samples, and for
more before.

**Calibration** is kept for each kind of contact (queue, channel, priority class, priority) and for queue and channel as a
whole. It consists of a factor on the expected wait and of five standard normal scores that bound the intervals. Every answer
moves each of them a step up or down, so that in the long run the intended share of the answers lies below each bound, whatever
the distribution of the waits. This is online quantile tracking, as in I. Gibbs and E. Candès, "Adaptive Conformal Inference
Under Distribution Shift", NeurIPS 2021, and A. Angelopoulos, E. Candès and R. Tibshirani, "Conformal PID Control for Time
Series Prediction", NeurIPS 2023.
"""

from collections.abc import Collection
from typing import Final, TypeAlias

from msgspec import Struct, field

from router.core.gamma import score, stretch
from router.model.forecasts import ForecastCounts
from router.model.ids import ContactId, QueueId

Kind: TypeAlias = tuple[QueueId, str, str]
"""Queue, channel, and the text of ``forecast_kind`` that further distinguishes contacts by priority class and priority."""

# Weight of the policy's ``expected_handle_s``, in samples.
_PRIOR_WEIGHT: Final = 4
_SHIFT: Final = 7
WEIGHT_MAX: Final = 1 << _SHIFT
_HALF: Final = WEIGHT_MAX >> 1
# A sample is limited to this multiple of the mean, so that one forgotten conversation does not spoil it.
_SAMPLE_MAX: Final = 10
# Each new wait discounts the sum of earlier ones by 1/256. Before any customer has left, a mean patience of one hour is assumed.
_WAITS_SHIFT: Final = 8
_PATIENCE_PRIOR_MS: Final = 3_600_000
_MILLION: Final = 1_000_000

LEVELS: Final = (50, 250, 750, 900, 950)
"""Probabilities of the tracked quantiles, in thousandths."""
SCORES: Final = (-1_644_854, -674_490, 674_490, 1_281_552, 1_644_854)
"""Standard normal scores of ``QUANTILE_LEVELS`` in millionths: the bounds of an uncalibrated interval."""
_SCORE_MAX: Final = 6 * _MILLION
# Step sizes in millionths: large at first, then small enough that one busy hour does not dominate. Consecutive waits are
# correlated, so larger steps follow them too closely and make the intervals too narrow (measured on recorded days).
_FACTOR_STEP, _FACTOR_STEP_MIN = 300_000, 3_000
_SCORE_STEP_MIN: Final = 20_000
_FACTOR_MIN, _FACTOR_MAX = _MILLION // 8, _MILLION * 8

FORECASTS_PER_SECOND_MAX: Final = 5
PENDING_MAX: Final = 10_000
KINDS_MAX: Final = 64
"""Maximum number of kinds of contacts that a queue calibrates separately; further ones use the calibration of their channel."""
_ENOUGH: Final = 30
"""Number of answers from which on a kind of contact uses its own calibration."""


def kind_of(queue_id: QueueId, channel: str, strict_class: int, priority_s: int) -> Kind:
    """Return the kind of contact by which forecasts are calibrated."""
    return queue_id, channel, f"{channel}/{strict_class}/{priority_s}"


class Pace(Struct, array_like=True, gc=False):
    """Handling and waiting statistics of a queue's contacts on one channel."""

    work_ms: int = 0
    """Mean time from the answer until the capacity is released: talk, hold and wrap-up."""
    worked: int = 0
    ring_ms: int = 0
    """Mean time from the offer to its acceptance."""
    rung: int = 0
    waited_ms: int = 0
    """Discounted sum of waiting time, answered and abandoned."""
    left_u: int = 0
    """Discounted number of customers who abandoned, in millionths."""

    def work(self, took_ms: int, guess_ms: int) -> None:
        """Record that an assignment took this long; ``guess_ms`` is the policy's expectation, used for the first sample."""
        mean, count = self.work_ms, self.worked
        if count < WEIGHT_MAX:
            if not count:
                mean = guess_ms
            limit_ms = _SAMPLE_MAX * max(mean, 1_000)
            self.work_ms = _toward(mean, min(took_ms, limit_ms), count + _PRIOR_WEIGHT)
            self.worked = count + 1
            return
        if took_ms > _SAMPLE_MAX * mean:
            took_ms = _SAMPLE_MAX * max(mean, 1_000)
        self.work_ms = mean + (took_ms - mean + _HALF >> _SHIFT)
        self.worked = count + 1

    def ring(self, took_ms: int) -> None:
        """Record that an offer was accepted after ringing this long."""
        mean, count = self.ring_ms, self.rung
        if count < WEIGHT_MAX:
            self.ring_ms = _toward(mean, took_ms, count)
            self.rung = count + 1
        else:
            self.ring_ms = mean + (took_ms - mean + _HALF >> _SHIFT)

    def answer(self, rang_ms: int, waited_ms: int) -> None:
        """Record ring time and wait of an answered customer.

        Same as ``record_ring`` and ``record_wait(abandoned=False)``, in one call because it is the most frequent case.
        """
        if self.rung < WEIGHT_MAX:
            self.ring(rang_ms)
            self.wait(waited_ms, left=False)
            return
        mean, waited = self.ring_ms, self.waited_ms
        if rang_ms != mean:
            self.ring_ms = mean + (rang_ms - mean + _HALF >> _SHIFT)
        self.waited_ms = waited + waited_ms - (waited >> _WAITS_SHIFT)
        if self.left_u:
            self.left_u -= self.left_u >> _WAITS_SHIFT

    def wait(self, took_ms: int, *, left: bool) -> None:
        """Record the end of a wait; ``abandoned`` if the customer abandoned."""
        self.waited_ms += took_ms - (self.waited_ms >> _WAITS_SHIFT)
        if left:
            self.left_u += _MILLION
        if self.left_u:
            self.left_u -= self.left_u >> _WAITS_SHIFT

    def leaving(self) -> float:
        """Return the abandon rate of a waiting customer, per millisecond."""
        return self.left_u / _MILLION / (self.waited_ms + _PATIENCE_PRIOR_MS)


def _toward(mean: int, value: int, count: int) -> int:
    weight = min(count + 1, WEIGHT_MAX)
    return mean + (2 * (value - mean) + weight) // (2 * weight)


class Calibration(Struct, array_like=True, gc=False):
    """Correction of the forecasts of one kind of contact, learned from the answers."""

    answers: int = 0
    factor_u: int = _MILLION
    """Factor on expected waits in millionths; tracks the median."""
    scores_u: list[int] = field(default_factory=lambda: list(SCORES))

    def learn(self, mean_ms: int, shape: float, took_ms: int) -> None:
        """Adjust factor and scores by one answer: ``mean_ms`` and ``shape`` were forecast, ``took_ms`` was the wait."""
        middle = self.factor_u * mean_ms * stretch(shape, 0.0)
        step = max(_FACTOR_STEP_MIN, _FACTOR_STEP // (self.answers + 8))
        move = self.factor_u * step // _MILLION
        actual = took_ms * _MILLION
        factor = self.factor_u + (move if actual > middle else -move)
        self.factor_u = min(max(factor, _FACTOR_MIN), _FACTOR_MAX)
        found = round(_MILLION * score(shape, actual / (self.factor_u * mean_ms)))
        step = max(_SCORE_STEP_MIN, _MILLION // (self.answers + 8))
        for i, level in enumerate(LEVELS):
            below = 1_000 if found <= self.scores_u[i] else 0
            moved = self.scores_u[i] + step * (level - below) // 1_000
            self.scores_u[i] = min(max(moved, -_SCORE_MAX), _SCORE_MAX)
        self.answers += 1

    def bounds_ms(self, mean_ms: int, shape: float) -> list[int]:
        """Return the 5 %, 25 %, 50 %, 75 %, 90 % and 95 % quantiles in milliseconds, in ascending order."""
        scores = [*self.scores_u[:2], 0, *self.scores_u[2:]]
        scale = self.factor_u * mean_ms / _MILLION
        return [round(scale * stretch(shape, s / _MILLION)) for s in sorted(scores)]


UNCALIBRATED: Final = Calibration()


class Forecast(Struct, array_like=True, gc=False):
    """The forecast recorded when a contact began to wait, kept until the wait is over."""

    at_ms: int
    kind: Kind
    mean_ms: int
    shape_u: int
    """Shape of the gamma distribution, in millionths."""
    ring_ms: int
    bounds_ms: list[int]
    """Calibrated quantiles, without the ring time."""


class Learned(Struct, array_like=True):
    """All wait statistics of one workspace."""

    paces: dict[QueueId, dict[str, Pace]] = field(default_factory=dict)
    counts: dict[QueueId, ForecastCounts] = field(default_factory=dict)
    calibrations: dict[QueueId, dict[str, Calibration]] = field(default_factory=dict)
    """By queue, then by kind of contact or by channel alone."""
    pending: dict[ContactId, Forecast] = field(default_factory=dict)
    second: int = 0
    """The second, since the epoch, in which ``forecasts_in_second`` forecasts have been recorded."""
    in_second: int = 0
    """Forecasts recorded in ``second``; limited by ``FORECASTS_PER_SECOND_MAX``."""

    def pace(self, queue_id: QueueId, channel: str) -> Pace:
        """Return the statistics of a queue and channel, creating them if needed."""
        try:
            return self.paces[queue_id][channel]
        except KeyError:
            return self.paces.setdefault(queue_id, {}).setdefault(channel, Pace())

    def known_pace(self, queue_id: QueueId, channel: str) -> Pace | None:
        """Return the statistics of a queue and channel, or none; never changes the state."""
        return self.paces.get(queue_id, {}).get(channel)

    def calibration(self, kind: Kind) -> Calibration:
        """Return the calibration of the kind of contact once it has enough answers, else that of its queue and channel."""
        known = self.calibrations.get(kind[0])
        if known is None:
            return UNCALIBRATED
        found = known.get(kind[2])
        if found is not None and found.answers >= _ENOUGH:
            return found
        return known.get(kind[1], UNCALIBRATED)

    def has_turn(self, at_ms: int) -> bool:
        """Return whether the limits allow one more forecast to be recorded now."""
        if self.in_second >= FORECASTS_PER_SECOND_MAX and at_ms // 1000 == self.second:
            return False
        return len(self.pending) < PENDING_MAX

    def remember(self, contact_id: ContactId, forecast: Forecast) -> None:
        """Record a forecast."""
        second = forecast.at_ms // 1000
        if second != self.second:
            self.second, self.in_second = second, 0
        self.in_second += 1
        self.pending[contact_id] = forecast
        self._counts(forecast).made += 1

    def answered(self, contact_id: ContactId, at_ms: int) -> None:
        """Compare the forecast of an answered contact with its wait, and adjust the calibration."""
        forecast = self.pending.pop(contact_id, None)
        if forecast is None:
            return
        counts = self._counts(forecast)
        counts.answered += 1
        took_ms = max(0, at_ms - forecast.at_ms - forecast.ring_ms)
        shape = forecast.shape_u / _MILLION
        low, low_50, middle, high_50, _, high = forecast.bounds_ms
        counts.within_50 += low_50 <= took_ms <= high_50
        counts.within_90 += low <= took_ms <= high
        counts.error_ms += abs(took_ms - middle)
        counts.bias_ms += took_ms - middle
        low, low_50, middle, high_50, _, high = UNCALIBRATED.bounds_ms(forecast.mean_ms, shape)
        counts.raw_within_50 += low_50 <= took_ms <= high_50
        counts.raw_within_90 += low <= took_ms <= high
        counts.raw_error_ms += abs(took_ms - middle)
        counts.raw_bias_ms += took_ms - middle
        queue_id, channel, kind = forecast.kind
        known = self.calibrations.setdefault(queue_id, {})
        for name in (channel, kind):
            calibration = known.get(name)
            if calibration is None:
                if name == kind and len(known) >= KINDS_MAX:
                    continue
                calibration = known[name] = Calibration()
            calibration.learn(forecast.mean_ms, shape, took_ms)

    def gave_up(self, contact_id: ContactId, *, left: bool) -> None:
        """Drop the forecast of a contact whose wait ended without an answer.

        ``abandoned``: the customer left; otherwise the contact was cancelled, expired or moved to another queue.
        """
        forecast = self.pending.pop(contact_id, None)
        if forecast is None:
            return
        counts = self._counts(forecast)
        if left:
            counts.abandoned += 1
        else:
            counts.withdrawn += 1

    def _counts(self, forecast: Forecast) -> ForecastCounts:
        queue_id = forecast.kind[0]
        counts = self.counts.get(queue_id)
        if counts is None:
            counts = self.counts[queue_id] = ForecastCounts()
        return counts

    def keep_queues(self, queue_ids: Collection[QueueId]) -> None:
        """Drop the statistics of all other queues, which the policy no longer has."""
        self.paces = {q: paces for q, paces in self.paces.items() if q in queue_ids}
        self.counts = {q: counts for q, counts in self.counts.items() if q in queue_ids}
        self.calibrations = {q: known for q, known in self.calibrations.items() if q in queue_ids}
        self.pending = {c: f for c, f in self.pending.items() if f.kind[0] in queue_ids}
