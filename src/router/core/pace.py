"""What the core learns from its own history for forecasts: how long work takes, who leaves, how right forecasts have been.

It is part of the state (a rule may decide by an expected wait, so the same state must expect the same): events alone change
it, in ``apply``; a snapshot keeps it; every figure is a whole number. Means are exponentially weighted: a sample counts for
a 128th once there are so many, for more before.

**Calibration**, for each kind of contact (queue, channel, class, priority) and for the queue and channel as a whole: a factor
that the answers have shown to be missing, and the five scores that bound the intervals. Each is moved a step up or down by
every answer, so that in the long run the asked share of the answers lies below it, whatever the shape of the waits: online
quantile tracking, as in I. Gibbs and E. Candès, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021, and
A. Angelopoulos, E. Candès and R. Tibshirani, "Conformal PID Control for Time Series Prediction", NeurIPS 2023.
"""

from collections.abc import Collection
from typing import Final, TypeAlias

from msgspec import Struct, field

from router.core.gamma import score, stretch
from router.model.forecasts import ForecastCounts
from router.model.ids import ContactId, QueueId

Kind: TypeAlias = tuple[QueueId, str, str]
"""Queue, channel, and what further tells contacts apart: their class and priority, as ``kind_of`` writes it."""

# What a policy's guess counts for, in samples.
_PRIOR_WEIGHT: Final = 4
_SHIFT: Final = 7
WEIGHT_MAX: Final = 1 << _SHIFT
_HALF: Final = WEIGHT_MAX >> 1
# One conversation nobody hung up on must not spoil the mean: a sample counts for at most so many means.
_SAMPLE_MAX: Final = 10
# Waits are forgotten by a 256th with each new one. An hour of patience is assumed before anybody is seen to leave.
_WAITS_SHIFT: Final = 8
_PATIENCE_PRIOR_MS: Final = 3_600_000
_MILLION: Final = 1_000_000

LEVELS: Final = (50, 250, 750, 900, 950)
"""The tracked quantiles, in thousandths."""
SCORES: Final = (-1_644_854, -674_490, 674_490, 1_281_552, 1_644_854)
"""Their standard normal scores, in millionths: where nothing has been learnt."""
_SCORE_MAX: Final = 6 * _MILLION
# Steps, in millionths: large at first, then so small that a busy hour does not teach what only holds for that hour. Waits that
# follow each other are alike, so larger steps run after them and make the intervals too narrow (measured on recorded days).
_FACTOR_STEP, _FACTOR_STEP_MIN = 300_000, 3_000
_SCORE_STEP_MIN: Final = 20_000
_FACTOR_MIN, _FACTOR_MAX = _MILLION // 8, _MILLION * 8

FORECASTS_PER_SECOND_MAX: Final = 5
PENDING_MAX: Final = 10_000
KINDS_MAX: Final = 64
"""Kinds of contacts that a queue learns of apart; further ones share what is known of their channel."""
_ENOUGH: Final = 30
"""Answers from which on a kind goes by its own calibration."""


def kind_of(queue_id: QueueId, channel: str, strict_class: int, priority_s: int) -> Kind:
    """The kind of contact that forecasts are calibrated by."""
    return queue_id, channel, f"{channel}/{strict_class}/{priority_s}"


class Pace(Struct, array_like=True, gc=False):
    """How a queue's contacts of one channel are handled."""

    work_ms: int = 0
    """Mean time from the answer until the capacity is given back: talk, hold, wrap-up."""
    worked: int = 0
    ring_ms: int = 0
    """Mean time from the offer to its accept."""
    rung: int = 0
    waited_ms: int = 0
    """Time spent waiting by those whose waits are remembered…"""
    left_u: int = 0
    """…and how many of them left, in millionths."""

    def work(self, took_ms: int, guess_ms: int) -> None:
        """An item of work is done."""
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
        """An offer was accepted."""
        mean, count = self.ring_ms, self.rung
        if count < WEIGHT_MAX:
            self.ring_ms = _toward(mean, took_ms, count)
            self.rung = count + 1
        else:
            self.ring_ms = mean + (took_ms - mean + _HALF >> _SHIFT)

    def answer(self, rang_ms: int, waited_ms: int) -> None:
        """``ring`` and ``wait`` of a customer who stayed, in one: it is what becomes of most contacts."""
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
        """A wait is over."""
        self.waited_ms += took_ms - (self.waited_ms >> _WAITS_SHIFT)
        if left:
            self.left_u += _MILLION
        if self.left_u:
            self.left_u -= self.left_u >> _WAITS_SHIFT

    def leaving(self) -> float:
        """The rate at which one who waits leaves, per millisecond."""
        return self.left_u / _MILLION / (self.waited_ms + _PATIENCE_PRIOR_MS)


def _toward(mean: int, value: int, count: int) -> int:
    weight = min(count + 1, WEIGHT_MAX)
    return mean + (2 * (value - mean) + weight) // (2 * weight)


class Calibration(Struct, array_like=True, gc=False):
    """What the answers have shown to be wrong about forecasts of one kind."""

    answers: int = 0
    factor_u: int = _MILLION
    """By which expected waits are multiplied, in millionths: tracks the median."""
    scores_u: list[int] = field(default_factory=lambda: list(SCORES))

    def learn(self, mean_ms: int, shape: float, took_ms: int) -> None:
        """An answer came after so long where this was expected."""
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
        """The 5 %, 25 %, 50 %, 75 %, 90 % and 95 % quantiles, never falling."""
        scores = [*self.scores_u[:2], 0, *self.scores_u[2:]]
        scale = self.factor_u * mean_ms / _MILLION
        return [round(scale * stretch(shape, s / _MILLION)) for s in sorted(scores)]


UNCALIBRATED: Final = Calibration()


class Forecast(Struct, array_like=True, gc=False):
    """What was said of a contact when it began to wait, until the wait is over."""

    at_ms: int
    kind: Kind
    mean_ms: int
    shape_u: int
    """In millionths."""
    ring_ms: int
    bounds_ms: list[int]
    """Calibrated, without the ringing."""


class Learned(Struct, array_like=True):
    """All that has been learnt in one workspace."""

    paces: dict[QueueId, dict[str, Pace]] = field(default_factory=dict)
    counts: dict[QueueId, ForecastCounts] = field(default_factory=dict)
    calibrations: dict[QueueId, dict[str, Calibration]] = field(default_factory=dict)
    """By kind, and by channel alone."""
    pending: dict[ContactId, Forecast] = field(default_factory=dict)
    second: int = 0
    """The second in which ``in_second`` forecasts have been made."""
    in_second: int = 0

    def pace(self, queue_id: QueueId, channel: str) -> Pace:
        """The pace of a queue and channel, begun if need be."""
        try:
            return self.paces[queue_id][channel]
        except KeyError:
            return self.paces.setdefault(queue_id, {}).setdefault(channel, Pace())

    def known_pace(self, queue_id: QueueId, channel: str) -> Pace | None:
        """The same where there is one: asking changes nothing."""
        return self.paces.get(queue_id, {}).get(channel)

    def calibration(self, kind: Kind) -> Calibration:
        """The kind's own once it has learnt enough, else that of its queue and channel."""
        known = self.calibrations.get(kind[0])
        if known is None:
            return UNCALIBRATED
        found = known.get(kind[2])
        if found is not None and found.answers >= _ENOUGH:
            return found
        return known.get(kind[1], UNCALIBRATED)

    def has_turn(self, at_ms: int) -> bool:
        """Whether one more forecast may be remembered now."""
        if self.in_second >= FORECASTS_PER_SECOND_MAX and at_ms // 1000 == self.second:
            return False
        return len(self.pending) < PENDING_MAX

    def remember(self, contact_id: ContactId, forecast: Forecast) -> None:
        """A forecast has been made."""
        second = forecast.at_ms // 1000
        if second != self.second:
            self.second, self.in_second = second, 0
        self.in_second += 1
        self.pending[contact_id] = forecast
        self._counts(forecast).made += 1

    def answered(self, contact_id: ContactId, at_ms: int) -> None:
        """An agent has it: how right was the forecast?"""
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
        """The wait ended otherwise: the customer left, or it was withdrawn or goes on elsewhere."""
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
        """Forget queues that are no more."""
        self.paces = {q: paces for q, paces in self.paces.items() if q in queue_ids}
        self.counts = {q: counts for q, counts in self.counts.items() if q in queue_ids}
        self.calibrations = {q: known for q, known in self.calibrations.items() if q in queue_ids}
        self.pending = {c: f for c, f in self.pending.items() if f.kind[0] in queue_ids}
