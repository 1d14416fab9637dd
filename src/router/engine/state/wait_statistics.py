"""Statistics for wait estimates: handling times, patience, the distribution of waits, and the accuracy of earlier forecasts.

**Theory of operation.** The statistics are part of the workspace's state, because an entry rule may decide by an expected wait:
the same state must give the same estimate. Therefore only events change them (``engine.wait.learning``), a snapshot contains
them, and every figure is an integer. Means are exponentially weighted: a new sample counts for 1/128 once there are 128
samples, and for more before.

**Moments of the time until a contact's turn.** With n agents whose contacts take h on average, k contacts ahead and an abandon
rate θ of each contact ahead, the queue ahead is a pure death process: while i contacts are ahead, the next one leaves after 1 /
(n/h + iθ) on average. Mean and variance of the whole time are therefore the sums over i = 0…k of that term and of its square.
With θ = 0 this is the Erlang distribution with k+1 stages. Sources: W. Whitt, "Predicting Queueing Delays", Management Science
45(6), 1999; R. Ibrahim and W. Whitt, "Real-Time Delay Estimation in Overloaded Multiserver Queues with Abandonments",
Management Science 55(10), 2009 (QL and QLa).

**Quantiles** are those of the gamma distribution with this mean and variance, by the cube-root normal approximation of E. B.
Wilson and M. M. Hilferty, "The Distribution of Chi-Square", PNAS 17, 1931: (x/mean)^(1/3) is nearly normal. The error is below
3 % of the mean at shape 1 and below 1 % from shape 2 on, for every quantile used here, and the inverse needs no iteration. Only
operations that IEEE 754 rounds alike on every machine (+ − × ÷ and the square root) are used, so the same history gives the
same figures everywhere.

**Calibration** is kept for each kind of contact (queue, channel, priority class, priority) and for queue and channel as a
whole. It consists of a factor on the expected wait and of five standard normal scores that bound the intervals. Every answer
moves each of them a step up or down, so that in the long run the intended share of the answers lies below each bound, whatever
the distribution of the waits. This is online quantile tracking, as in I. Gibbs and E. Candès, "Adaptive Conformal Inference
Under Distribution Shift", NeurIPS 2021, and A. Angelopoulos, E. Candès and R. Tibshirani, "Conformal PID Control for Time
Series Prediction", NeurIPS 2023.

Two rules keep the shares right over a change of load, handling times or staff. The scores learn from the bounds **as they were
told**: the steps up and down of a score sum to its whole movement, which is small, so that the share of answers below the bounds
that were told cannot stay away from its level. (Judged by the present scores, an answer would not show that the factor has moved
while the contact waited.) And a step is shorter the more answers came **while the contact waited**: all of them were told before
this one could correct anything, so that full steps would overshoot and oscillate in a long queue. The tails are rarer than the
middle and take longer steps.
"""

from collections.abc import Collection
from math import frexp, ldexp, sqrt
from typing import Final, TypeAlias

from msgspec import Struct, field

from router.model.forecasts import ForecastCounts
from router.model.states import ContactId, QueueId

# Terms summed one by one. The rest is summed in blocks, each an eighth of the terms before it, by the value at its midpoint.
_EXACT_TERMS: Final = 64


def time_until_turn(ahead: float, rate: float, abandon_rate: float) -> tuple[float, float]:
    """Return mean and variance of the time until ``ahead`` contacts and then one more have been taken.

    ``rate`` is the number of contacts taken per unit of time, above 0; ``abandon_rate`` applies to each contact ahead. A
    fractional contact counts as that fraction of its term. Complexity: logarithmic beyond the first 64 terms.
    """
    whole = int(ahead)
    mean = variance = 0.0
    place = 0
    while place <= whole:
        width = 1 if place < _EXACT_TERMS else min(place // 8, whole + 1 - place)
        step = 1 / (rate + (place + (width - 1) / 2) * abandon_rate)
        mean += width * step
        variance += width * step * step
        place += width
    step = 1 / (rate + (whole + 1) * abandon_rate)
    rest = ahead - whole
    return mean + rest * step, variance + rest * step * step


def gamma_quantile(shape: float, score: float) -> float:
    """Return the quantile at a standard normal score as a multiple of the mean, at least 0."""
    root = 1 - 1 / (9 * shape) + score / (3 * sqrt(shape))
    return root * root * root if root > 0 else 0.0


def normal_score(shape: float, ratio: float) -> float:
    """Return the standard normal score of a value that is ``ratio`` times the mean: the inverse of ``gamma_quantile``."""
    return (_cube_root(ratio) - 1 + 1 / (9 * shape)) * 3 * sqrt(shape)


def _cube_root(x: float) -> float:
    """Return the cube root by Newton's method, which rounds alike on every machine."""
    if x <= 0:
        return 0.0
    part, exponent = frexp(x)
    while exponent % 3:
        part, exponent = part / 2, exponent + 1
    root = 0.5 + part / 2
    for _ in range(6):
        root = (2 * root + part / (root * root)) / 3
    return ldexp(root, exponent // 3)


ForecastKind: TypeAlias = tuple[QueueId, str, str]
"""Queue, channel, and the text of ``forecast_kind`` that further distinguishes contacts by priority class and priority."""

# Weight of the policy's ``expected_handle_s``, in samples.
_PRIOR_WEIGHT: Final = 4

_WEIGHT_SHIFT: Final = 7

WEIGHT_MAX: Final = 1 << _WEIGHT_SHIFT

_HALF: Final = WEIGHT_MAX >> 1

# A sample is limited to this multiple of the mean, so that one conversation left open does not distort it.
_SAMPLE_MAX: Final = 10

# Each new wait discounts the sum of earlier ones by 1/256. Before any customer has left, a mean patience of one hour is assumed.
_WAITS_SHIFT: Final = 8

_PATIENCE_PRIOR_MS: Final = 3_600_000

_MILLION: Final = 1_000_000

QUANTILE_LEVELS: Final = (50, 250, 750, 900, 950)
"""Probabilities of the tracked quantiles, in thousandths."""

DEFAULT_SCORES: Final = (-1_644_854, -674_490, 674_490, 1_281_552, 1_644_854)
"""Standard normal scores of ``QUANTILE_LEVELS`` in millionths: the bounds of an uncalibrated interval."""

_SCORE_MAX: Final = 6 * _MILLION

# Step sizes in millionths: large at first, then small enough that one busy hour does not dominate. Consecutive waits are
# correlated, so larger steps follow them too closely and make the intervals too narrow (measured on recorded days).
_FACTOR_STEP, _FACTOR_STEP_MIN = 300_000, 1_000

_SCORE_STEPS_MIN: Final = (60_000, 30_000, 30_000, 42_000, 60_000)
"""Smallest step of each score of ``QUANTILE_LEVELS``; the first steps are larger in the same proportions."""

_SCORE_STEPS: Final = (2_000_000, 1_000_000, 1_000_000, 1_400_000, 2_000_000)

_DELAY_FREE: Final = 12
"""Answers that may come between a forecast and its own answer before they shorten the step."""

_FACTOR_MIN, _FACTOR_MAX = _MILLION // 8, _MILLION * 8

FORECASTS_PER_SECOND_MAX: Final = 5

PENDING_MAX: Final = 10_000

KINDS_MAX: Final = 64
"""Maximum number of kinds of contacts that a queue calibrates separately; further ones use the calibration of their channel."""

_OWN_ANSWERS_MIN: Final = 30
"""Number of answers from which on a kind of contact uses its own calibration."""


def forecast_kind(queue_id: QueueId, channel: str, priority_class: int, priority_s: int) -> ForecastKind:
    """Return the kind of contact by which forecasts are calibrated."""
    return queue_id, channel, f"{channel}/{priority_class}/{priority_s}"


class HandlingStats(Struct, array_like=True, gc=False):
    """Handling and waiting statistics of a queue's contacts on one channel."""

    handling_ms: int = 0
    """Mean time from the answer until the capacity is released: talk, hold and wrap-up."""
    handled_count: int = 0
    ring_ms: int = 0
    """Mean time from the offer to its acceptance."""
    ring_count: int = 0
    total_wait_ms: int = 0
    """Discounted sum of waiting time, answered and abandoned."""
    abandoned_millionths: int = 0
    """Discounted number of customers who abandoned, in millionths."""

    def record_handling(self, took_ms: int, expected_ms: int) -> None:
        """Record that an assignment took this long; ``expected_ms`` is the policy's expectation, used for the first sample."""
        mean, count = self.handling_ms, self.handled_count
        if count < WEIGHT_MAX:
            if not count:
                mean = expected_ms
            limit_ms = _SAMPLE_MAX * max(mean, 1_000)
            self.handling_ms = _moved_mean(mean, min(took_ms, limit_ms), count + _PRIOR_WEIGHT)
            self.handled_count = count + 1
            return
        if took_ms > _SAMPLE_MAX * mean:
            took_ms = _SAMPLE_MAX * max(mean, 1_000)
        self.handling_ms = mean + (took_ms - mean + _HALF >> _WEIGHT_SHIFT)
        self.handled_count = count + 1

    def record_ring(self, took_ms: int) -> None:
        """Record that an offer was accepted after ringing this long."""
        mean, count = self.ring_ms, self.ring_count
        if count < WEIGHT_MAX:
            self.ring_ms = _moved_mean(mean, took_ms, count)
            self.ring_count = count + 1
        else:
            self.ring_ms = mean + (took_ms - mean + _HALF >> _WEIGHT_SHIFT)

    def record_answer(self, rang_ms: int, waited_ms: int) -> None:
        """Record ring time and wait of an answered customer.

        Same as ``record_ring`` and ``record_wait(abandoned=False)``, in one call because it is the most frequent case.
        """
        if self.ring_count < WEIGHT_MAX:
            self.record_ring(rang_ms)
            self.record_wait(waited_ms, abandoned=False)
            return
        mean, waited = self.ring_ms, self.total_wait_ms
        if rang_ms != mean:
            self.ring_ms = mean + (rang_ms - mean + _HALF >> _WEIGHT_SHIFT)
        self.total_wait_ms = waited + waited_ms - (waited >> _WAITS_SHIFT)
        if self.abandoned_millionths:
            self.abandoned_millionths -= self.abandoned_millionths >> _WAITS_SHIFT

    def record_wait(self, took_ms: int, *, abandoned: bool) -> None:
        """Record the end of a wait; ``abandoned`` if the customer abandoned."""
        self.total_wait_ms += took_ms - (self.total_wait_ms >> _WAITS_SHIFT)
        if abandoned:
            self.abandoned_millionths += _MILLION
        if self.abandoned_millionths:
            self.abandoned_millionths -= self.abandoned_millionths >> _WAITS_SHIFT

    def abandon_rate(self) -> float:
        """Return the abandon rate of a waiting customer, per millisecond."""
        return self.abandoned_millionths / _MILLION / (self.total_wait_ms + _PATIENCE_PRIOR_MS)


def _moved_mean(mean: int, value: int, count: int) -> int:
    weight = min(count + 1, WEIGHT_MAX)
    return mean + (2 * (value - mean) + weight) // (2 * weight)


class Calibration(Struct, array_like=True, gc=False):
    """Correction of the forecasts of one kind of contact, learned from the answers."""

    answers: int = 0
    factor_millionths: int = _MILLION
    """Factor on expected waits in millionths; tracks the median."""
    scores_millionths: list[int] = field(default_factory=lambda: list(DEFAULT_SCORES))

    def record_answer(self, forecast: "PendingForecast", took_ms: int, *, answers_before: int, told: bool) -> None:
        """Adjust factor and scores by the answer to a forecast, after a wait of ``took_ms``.

        ``answers_before`` is the value of ``answers`` when the forecast was made; ``told``: its bounds were those of this
        calibration.
        """
        mean_ms, shape = forecast.mean_ms, forecast.shape_millionths / _MILLION
        early, crowding = self.answers + 8, max(self.answers - answers_before + 1, _DELAY_FREE)
        middle = self.factor_millionths * mean_ms * gamma_quantile(shape, 0.0)
        step = max(_FACTOR_STEP_MIN * _DELAY_FREE // crowding, _FACTOR_STEP // early)
        move = self.factor_millionths * step // _MILLION
        actual = took_ms * _MILLION
        factor = self.factor_millionths + (move if actual > middle else -move)
        self.factor_millionths = min(max(factor, _FACTOR_MIN), _FACTOR_MAX)
        if told:
            bounds = forecast.quantiles_ms
            below = [took_ms <= bound for bound in (bounds[0], bounds[1], bounds[3], bounds[4], bounds[5])]
        else:
            found = round(_MILLION * normal_score(shape, actual / (self.factor_millionths * mean_ms)))
            below = [found <= score for score in self.scores_millionths]
        for i, level in enumerate(QUANTILE_LEVELS):
            step = max(_SCORE_STEPS_MIN[i] * _DELAY_FREE // crowding, _SCORE_STEPS[i] // early)
            moved = self.scores_millionths[i] + step * (level - 1_000 * below[i]) // 1_000
            self.scores_millionths[i] = min(max(moved, -_SCORE_MAX), _SCORE_MAX)
        self.answers += 1

    def quantiles_ms(self, mean_ms: int, shape: float) -> list[int]:
        """Return the 5 %, 25 %, 50 %, 75 %, 90 % and 95 % quantiles in milliseconds, in ascending order."""
        scores = [*self.scores_millionths[:2], 0, *self.scores_millionths[2:]]
        scale = self.factor_millionths * mean_ms / _MILLION
        return [round(scale * gamma_quantile(shape, s / _MILLION)) for s in sorted(scores)]


UNCALIBRATED: Final = Calibration()


class PendingForecast(Struct, array_like=True, gc=False):
    """The forecast recorded when a contact began to wait, kept until the wait is over."""

    at_ms: int
    kind: ForecastKind
    mean_ms: int
    shape_millionths: int
    """Shape of the gamma distribution, in millionths."""
    ring_ms: int
    quantiles_ms: list[int]
    """Calibrated quantiles, without the ring time."""
    channel_answers: int = 0
    """Answers from which the calibration of queue and channel had learned when the forecast was made."""
    kind_answers: int = 0
    """The same of the kind of contact."""


class WaitStatistics(Struct, array_like=True):
    """All wait statistics of one workspace."""

    handling: dict[QueueId, dict[str, HandlingStats]] = field(default_factory=dict)
    forecast_counts: dict[QueueId, ForecastCounts] = field(default_factory=dict)
    calibrations: dict[QueueId, dict[str, Calibration]] = field(default_factory=dict)
    """By queue, then by kind of contact or by channel alone."""
    pending_forecasts: dict[ContactId, PendingForecast] = field(default_factory=dict)
    second: int = 0
    """The second, since the epoch, in which ``forecasts_in_second`` forecasts have been recorded."""
    forecasts_in_second: int = 0
    """Forecasts recorded in ``second``; limited by ``FORECASTS_PER_SECOND_MAX``."""

    def handling_stats(self, queue_id: QueueId, channel: str) -> HandlingStats:
        """Return the statistics of a queue and channel, creating them if needed."""
        try:
            return self.handling[queue_id][channel]
        except KeyError:
            return self.handling.setdefault(queue_id, {}).setdefault(channel, HandlingStats())

    def existing_handling_stats(self, queue_id: QueueId, channel: str) -> HandlingStats | None:
        """Return the statistics of a queue and channel, or none; never changes the state."""
        return self.handling.get(queue_id, {}).get(channel)

    def calibration(self, kind: ForecastKind) -> Calibration:
        """Return the calibration of the kind of contact once it has enough answers, else that of its queue and channel."""
        known = self.calibrations.get(kind[0])
        if known is None:
            return UNCALIBRATED
        found = known.get(kind[2])
        if found is not None and found.answers >= _OWN_ANSWERS_MIN:
            return found
        return known.get(kind[1], UNCALIBRATED)

    def answers_of(self, kind: ForecastKind) -> tuple[int, int]:
        """Return from how many answers the calibrations of the queue's channel and of the kind of contact have learned."""
        known = self.calibrations.get(kind[0])
        if known is None:
            return 0, 0
        return known.get(kind[1], UNCALIBRATED).answers, known.get(kind[2], UNCALIBRATED).answers

    def may_forecast(self, at_ms: int) -> bool:
        """Return whether the limits allow one more forecast to be recorded now."""
        if self.forecasts_in_second >= FORECASTS_PER_SECOND_MAX and at_ms // 1000 == self.second:
            return False
        return len(self.pending_forecasts) < PENDING_MAX

    def add_forecast(self, contact_id: ContactId, forecast: PendingForecast) -> None:
        """Record a forecast."""
        second = forecast.at_ms // 1000
        if second != self.second:
            self.second, self.forecasts_in_second = second, 0
        self.forecasts_in_second += 1
        self.pending_forecasts[contact_id] = forecast
        self._counts_of(forecast).made += 1

    def record_answer(self, contact_id: ContactId, at_ms: int) -> None:
        """Compare the forecast of an answered contact with its wait, and adjust the calibration."""
        forecast = self.pending_forecasts.pop(contact_id, None)
        if forecast is None:
            return
        counts = self._counts_of(forecast)
        counts.answered += 1
        took_ms = max(0, at_ms - forecast.at_ms - forecast.ring_ms)
        shape = forecast.shape_millionths / _MILLION
        low, low_50, middle, high_50, _, high = forecast.quantiles_ms
        counts.within_50 += low_50 <= took_ms <= high_50
        counts.within_90 += low <= took_ms <= high
        counts.error_ms += abs(took_ms - middle)
        counts.bias_ms += took_ms - middle
        low, low_50, middle, high_50, _, high = UNCALIBRATED.quantiles_ms(forecast.mean_ms, shape)
        counts.raw_within_50 += low_50 <= took_ms <= high_50
        counts.raw_within_90 += low <= took_ms <= high
        counts.raw_error_ms += abs(took_ms - middle)
        counts.raw_bias_ms += took_ms - middle
        queue_id, channel, kind = forecast.kind
        known = self.calibrations.setdefault(queue_id, {})
        by_kind = forecast.kind_answers >= _OWN_ANSWERS_MIN
        for name, before, told in ((channel, forecast.channel_answers, not by_kind), (kind, forecast.kind_answers, by_kind)):
            calibration = known.get(name)
            if calibration is None:
                if name == kind and len(known) >= KINDS_MAX:
                    continue
                calibration = known[name] = Calibration()
            calibration.record_answer(forecast, took_ms, answers_before=before, told=told)

    def discard_forecast(self, contact_id: ContactId, *, abandoned: bool) -> None:
        """Drop the forecast of a contact whose wait ended without an answer.

        ``abandoned``: the customer left; otherwise the contact was cancelled, expired or moved to another queue.
        """
        forecast = self.pending_forecasts.pop(contact_id, None)
        if forecast is None:
            return
        counts = self._counts_of(forecast)
        if abandoned:
            counts.abandoned += 1
        else:
            counts.withdrawn += 1

    def _counts_of(self, forecast: PendingForecast) -> ForecastCounts:
        queue_id = forecast.kind[0]
        counts = self.forecast_counts.get(queue_id)
        if counts is None:
            counts = self.forecast_counts[queue_id] = ForecastCounts()
        return counts

    def retain_queues(self, queue_ids: Collection[QueueId]) -> None:
        """Drop the statistics of all other queues, which the policy no longer has."""
        self.handling = {q: paces for q, paces in self.handling.items() if q in queue_ids}
        self.forecast_counts = {q: counts for q, counts in self.forecast_counts.items() if q in queue_ids}
        self.calibrations = {q: known for q, known in self.calibrations.items() if q in queue_ids}
        self.pending_forecasts = {c: f for c, f in self.pending_forecasts.items() if f.kind[0] in queue_ids}
