"""Waits: average speed of answer, abandonment, quantiles.

**Wait**: the time from the start of waiting to the answer, abandon or other end. It starts with the submit, and again when an
assigned contact returns to a queue (transfer, requeue by a supervisor, lost desktop). Declines, RONA and overflow do not
restart it: for the customer it is one wait.

**ASA** (average speed of answer) = sum of the waits of answered contacts / answered. **Abandonment rate** = abandoned / (answered +
abandoned); without short abandons = (abandoned − short) / (answered + abandoned − short). Sources: ICMI glossary; Gans, Koole
and Mandelbaum, "Telephone Call Centers: Tutorial, Review, and Research Prospects", M&SOM 5(2), 2003.

**Quantiles** are interpolated in fixed buckets, each about a quarter wider than the previous one (ten per factor of ten). Memory
is bounded, histograms can be merged, and the error is at most the width of a bucket, 26 % of the value.
"""

from bisect import bisect_left
from typing import Final

from msgspec import Struct, field

from router.stats.ratio import ratio
from router.stats.service_level import ServiceLevelCounts

# 100 ms to 22 hours, plus one bucket for longer waits. Whole milliseconds, so that rounding is the same on every machine.
BOUNDS_MS: Final[tuple[int, ...]] = tuple(
    step * 10**power
    for power in range(6)
    for step in (100, 126, 158, 200, 251, 316, 398, 501, 631, 794)
)


def _empty() -> list[int]:
    return [0] * (len(BOUNDS_MS) + 1)


class Waits(Struct, array_like=True):
    """Histogram of the waits of answered contacts."""

    count: int = 0
    sum_ms: int = 0
    longest_ms: int = 0
    buckets: list[int] = field(default_factory=_empty)

    def add(self, wait_ms: int) -> None:
        """Add a wait."""
        self.count += 1
        self.sum_ms += wait_ms
        if wait_ms > self.longest_ms:
            self.longest_ms = wait_ms
        self.buckets[bisect_left(BOUNDS_MS, wait_ms)] += 1

    def quantile_ms(self, share: float) -> int | None:
        """Return the wait that a share (0 to 1) of answered contacts did not exceed; none without any."""
        if self.count == 0:
            return None
        rank = share * self.count
        before = 0
        for index, count in enumerate(self.buckets):
            if count and before + count >= rank:
                lower = BOUNDS_MS[index - 1] if index else 0
                upper = BOUNDS_MS[index] if index < len(BOUNDS_MS) else self.longest_ms
                within = max(0.0, rank - before) / count
                return min(round(lower + (upper - lower) * within), self.longest_ms)
            before += count
        return self.longest_ms


class WaitSums(Struct, gc=False):
    """Sums of waits, for means."""

    answered_ms: int = 0
    abandoned_ms: int = 0


def asa_ms(waits: WaitSums, counts: ServiceLevelCounts) -> float | None:
    """Return the average speed of answer; none if no contact was answered."""
    return ratio(waits.answered_ms, counts.answered)


def mean_wait_ms(waits: WaitSums, counts: ServiceLevelCounts) -> float | None:
    """Return the mean wait of answered and abandoned contacts."""
    return ratio(waits.answered_ms + waits.abandoned_ms, counts.answered + counts.abandoned)


def abandonment_rate(counts: ServiceLevelCounts) -> float | None:
    """Return abandoned / (answered + abandoned), including short abandons."""
    return ratio(counts.abandoned, counts.answered + counts.abandoned)


def abandonment_rate_without_short(counts: ServiceLevelCounts) -> float | None:
    """Return the abandonment rate without short abandons."""
    late = counts.abandoned - counts.abandoned_short
    return ratio(late, counts.answered + late)
