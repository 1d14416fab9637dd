"""Service level, average speed of answer, abandonment rate, and the distribution of waits.

**Service level** is the share of contacts answered within the threshold. The default formula is ``EXCLUDE_SHORT``:

    answered within the threshold / (answered + abandoned − abandoned short)

where a **short abandon** left before ``short_abandon_s`` (a misdial or a change of mind that no agent could have prevented).
"Within" is ``wait <= threshold``, "short" is ``wait < short_abandon_s``. The other formulas are common too, so a service level
must always be given with its formula. No formula includes cancelled and expired contacts.

Sources: the definitions compared in O. Jouini, G. Koole, A. Roubos, "Performance indicators for call centers with impatient
customers", IIE Transactions 45(3), 2013; B. Cleveland, "Call Center Management on Fast Forward". ``EXCLUDE_EARLY`` is the formula
of the ContactCenters library by E. Buist and P. L'Ecuyer: good / (served + abandoned at or after the threshold).

**Wait**: the time from the start of waiting to the answer, abandon or other end. It starts with the submit, and again when an
assigned contact returns to a queue (transfer, requeue by a supervisor, lost desktop). Declines, RONA and overflow do not
restart it: for the customer it is one wait. Time for which a contact waits for its queue to open does not count, unless the
policy of the queue says so.

**ASA** (average speed of answer) = sum of the waits of answered contacts / answered. **Abandonment rate** = abandoned / (answered +
abandoned); without short abandons = (abandoned − short) / (answered + abandoned − short). Sources: ICMI glossary; Gans, Koole
and Mandelbaum, "Telephone Call Centers: Tutorial, Review, and Research Prospects", M&SOM 5(2), 2003.

**Quantiles** are interpolated in fixed buckets, each about a quarter wider than the previous one (ten per factor of ten). Memory
is bounded, histograms can be merged, and the error is at most the width of a bucket, 27 % of the value.
"""

from bisect import bisect_left
from enum import StrEnum
from typing import Final

from msgspec import Struct, field


def ratio(numerator: int, denominator: int) -> float | None:
    """Return ``numerator / denominator``; none if the denominator is 0."""
    return numerator / denominator if denominator else None


class ServiceLevelFormula(StrEnum):
    """Service-level formula; they differ in how abandoned contacts count."""

    EXCLUDE_SHORT = "exclude_short"
    """within / (answered + abandoned − abandoned short): the default."""
    EXCLUDE_EARLY = "exclude_early"
    """within / (answered + abandoned − abandoned before the threshold)."""
    OF_OFFERED = "of_offered"
    """within / (answered + abandoned): every abandoned contact counts against the service level. "Offered" means the volume
    here, not the contact state ``offered``."""
    OF_ANSWERED = "of_answered"
    """within / answered: abandoned contacts do not count, which improves the value when many customers leave."""
    EARLY_IS_GOOD = "early_is_good"
    """(within + abandoned before the threshold) / (answered + abandoned)."""


class ServiceLevelCounts(Struct, gc=False):
    """Counters from which every formula is computed."""

    answered: int = 0
    """Contacts answered by an agent."""
    answered_within: int = 0
    """Contacts answered after at most the threshold."""
    abandoned: int = 0
    """Contacts abandoned before an answer."""
    abandoned_short: int = 0
    """Contacts abandoned before the short-abandon limit."""
    abandoned_early: int = 0
    """Contacts abandoned before the threshold."""

    def record_answer(self, wait_ms: int, threshold_ms: int) -> None:
        """Count a contact answered after a wait."""
        self.answered += 1
        if wait_ms <= threshold_ms:
            self.answered_within += 1

    def record_abandon(self, wait_ms: int, threshold_ms: int, short_abandon_ms: int) -> None:
        """Count a contact abandoned after a wait."""
        self.abandoned += 1
        if wait_ms < short_abandon_ms:
            self.abandoned_short += 1
        if wait_ms < threshold_ms:
            self.abandoned_early += 1


def service_level(counts: ServiceLevelCounts, formula: ServiceLevelFormula = ServiceLevelFormula.EXCLUDE_SHORT) -> float | None:
    """Return the service level, 0 to 1; none if no contact counts."""
    return ratio(*service_level_ratio(counts, formula))


def service_level_ratio(counts: ServiceLevelCounts, formula: ServiceLevelFormula) -> tuple[int, int]:
    """Return numerator and denominator of a service level, for estimates over several samples."""
    both = counts.answered + counts.abandoned
    match formula:
        case ServiceLevelFormula.EXCLUDE_SHORT:
            return counts.answered_within, both - counts.abandoned_short
        case ServiceLevelFormula.EXCLUDE_EARLY:
            return counts.answered_within, both - counts.abandoned_early
        case ServiceLevelFormula.OF_OFFERED:
            return counts.answered_within, both
        case ServiceLevelFormula.OF_ANSWERED:
            return counts.answered_within, counts.answered
        case ServiceLevelFormula.EARLY_IS_GOOD:
            return counts.answered_within + counts.abandoned_early, both


# 100 ms to 22 hours, plus one bucket for longer waits. Whole milliseconds, so that rounding is the same on every machine.
WAIT_BUCKETS_MS: Final[tuple[int, ...]] = tuple(
    step * 10**power for power in range(6) for step in (100, 126, 158, 200, 251, 316, 398, 501, 631, 794)
)


def _empty_buckets() -> list[int]:
    return [0] * (len(WAIT_BUCKETS_MS) + 1)


class WaitHistogram(Struct, array_like=True):
    """Histogram of the waits of answered contacts."""

    count: int = 0
    sum_ms: int = 0
    longest_ms: int = 0
    buckets: list[int] = field(default_factory=_empty_buckets)

    def add(self, wait_ms: int) -> None:
        """Add a wait."""
        self.count += 1
        self.sum_ms += wait_ms
        if wait_ms > self.longest_ms:
            self.longest_ms = wait_ms
        self.buckets[bisect_left(WAIT_BUCKETS_MS, wait_ms)] += 1

    def quantile_ms(self, share: float) -> int | None:
        """Return the wait that a share (0 to 1) of answered contacts did not exceed; none without any."""
        if self.count == 0:
            return None
        rank = share * self.count
        before = 0
        for index, count in enumerate(self.buckets):
            if count and before + count >= rank:
                lower = WAIT_BUCKETS_MS[index - 1] if index else 0
                upper = WAIT_BUCKETS_MS[index] if index < len(WAIT_BUCKETS_MS) else self.longest_ms
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
