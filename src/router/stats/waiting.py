"""Waits: average speed of answer, abandonment, quantiles.

**Wait**: from the moment the contact began to wait to its answer, abandon or other end of waiting. It begins with the submit, and
anew when an agent loses the contact (transfer to a queue, requeue by a supervisor, lost desktop). Declines, RONA and overflow do
not begin it anew: for the customer it is one wait.

**ASA** (average speed of answer) = sum of the waits of answered contacts / answered. **Abandonment rate** = abandoned / (answered +
abandoned); without short abandons = (abandoned − short) / (answered + abandoned − short). Sources: ICMI's glossary; Gans, Koole
and Mandelbaum, "Telephone Call Centers: Tutorial, Review, and Research Prospects", M&SOM 5(2), 2003.

**Quantiles** come from fixed buckets, each a quarter wider than the one before (ten to a factor of ten), with linear
interpolation inside: bounded memory, mergeable, and wrong by at most the bucket's width, 26 % of the value.
"""

from bisect import bisect_left
from typing import Final

from msgspec import Struct, field

from router.stats.ratio import ratio
from router.stats.service_level import ServiceLevelCounts

# 100 ms to 22 hours; one more bucket for what is longer. Whole milliseconds, so that no rounding differs anywhere.
BOUNDS_MS: Final[tuple[int, ...]] = tuple(
    step * 10**power
    for power in range(6)
    for step in (100, 126, 158, 200, 251, 316, 398, 501, 631, 794)
)


def _empty() -> list[int]:
    return [0] * (len(BOUNDS_MS) + 1)


class Waits(Struct, array_like=True):
    """The waits of those who were answered."""

    count: int = 0
    sum_ms: int = 0
    longest_ms: int = 0
    buckets: list[int] = field(default_factory=_empty)

    def add(self, wait_ms: int) -> None:
        """One more."""
        self.count += 1
        self.sum_ms += wait_ms
        if wait_ms > self.longest_ms:
            self.longest_ms = wait_ms
        self.buckets[bisect_left(BOUNDS_MS, wait_ms)] += 1

    def quantile_ms(self, share: float) -> int | None:
        """The wait that ``share`` (0 to 1) of the answered did not exceed; none where there were none."""
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
    """Sums of waits, for the means."""

    answered_ms: int = 0
    abandoned_ms: int = 0


def asa_ms(waits: WaitSums, counts: ServiceLevelCounts) -> float | None:
    """Average speed of answer."""
    return ratio(waits.answered_ms, counts.answered)


def mean_wait_ms(waits: WaitSums, counts: ServiceLevelCounts) -> float | None:
    """The mean wait of all who were answered or left."""
    return ratio(waits.answered_ms + waits.abandoned_ms, counts.answered + counts.abandoned)


def abandonment_rate(counts: ServiceLevelCounts) -> float | None:
    """Abandoned of answered and abandoned, short abandons included."""
    return ratio(counts.abandoned, counts.answered + counts.abandoned)


def abandonment_rate_without_short(counts: ServiceLevelCounts) -> float | None:
    """The same without those who left before anybody could have answered."""
    late = counts.abandoned - counts.abandoned_short
    return ratio(late, counts.answered + late)
