"""Service level: the share of contacts answered within the threshold, and what becomes of those who left.

The house's formula is ``EXCLUDE_SHORT``:

    answered within the threshold / (answered + abandoned − abandoned short)

where a **short abandon** left before ``short_abandon_s`` (a misdial, a change of mind: nobody could have answered). "Within" is
``wait <= threshold``, "short" is ``wait < short_abandon_s``. The other formulas are in use too, and a figure means nothing without
the name of its formula. Cancelled and expired contacts are in none of them: nobody was waiting any more, or nobody was let wait.

Sources: the definitions compared in O. Jouini, G. Koole, A. Roubos, "Performance indicators for call centers with impatient
customers", IIE Transactions 45(3), 2013; B. Cleveland, "Call Center Management on Fast Forward". ``EXCLUDE_EARLY`` is the one of
E. Buist and P. L'Ecuyer's ContactCenters library: good / (served + abandoned at or after the threshold).
"""

from enum import StrEnum

from msgspec import Struct

from router.stats.ratio import ratio


class Formula(StrEnum):
    """How abandoned contacts count."""

    EXCLUDE_SHORT = "exclude_short"
    """within / (answered + abandoned − abandoned short). The default."""
    EXCLUDE_EARLY = "exclude_early"
    """within / (answered + abandoned − abandoned before the threshold)."""
    OF_OFFERED = "of_offered"
    """within / (answered + abandoned): every abandon is a failure."""
    OF_ANSWERED = "of_answered"
    """within / answered: abandons do not count. Flatters a centre that lets its customers go."""
    EARLY_IS_GOOD = "early_is_good"
    """(within + abandoned before the threshold) / (answered + abandoned)."""


class ServiceLevelCounts(Struct, gc=False):
    """What every formula needs."""

    answered: int = 0
    answered_within: int = 0
    """After at most the threshold."""
    abandoned: int = 0
    abandoned_short: int = 0
    """Sooner than the short-abandon limit."""
    abandoned_early: int = 0
    """Sooner than the threshold."""

    def answer(self, wait_ms: int, threshold_ms: int) -> None:
        """A contact was answered after that wait."""
        self.answered += 1
        if wait_ms <= threshold_ms:
            self.answered_within += 1

    def abandon(self, wait_ms: int, threshold_ms: int, short_abandon_ms: int) -> None:
        """A customer left after that wait."""
        self.abandoned += 1
        if wait_ms < short_abandon_ms:
            self.abandoned_short += 1
        if wait_ms < threshold_ms:
            self.abandoned_early += 1


def service_level(
    counts: ServiceLevelCounts, formula: Formula = Formula.EXCLUDE_SHORT
) -> float | None:
    """The service level, 0 to 1; none where nothing counts yet."""
    both = counts.answered + counts.abandoned
    match formula:
        case Formula.EXCLUDE_SHORT:
            return ratio(counts.answered_within, both - counts.abandoned_short)
        case Formula.EXCLUDE_EARLY:
            return ratio(counts.answered_within, both - counts.abandoned_early)
        case Formula.OF_OFFERED:
            return ratio(counts.answered_within, both)
        case Formula.OF_ANSWERED:
            return ratio(counts.answered_within, counts.answered)
        case Formula.EARLY_IS_GOOD:
            return ratio(counts.answered_within + counts.abandoned_early, both)
