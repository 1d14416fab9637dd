"""Service level: the share of contacts answered within the threshold, by several formulas.

The default formula is ``EXCLUDE_SHORT``:

    answered within the threshold / (answered + abandoned − abandoned short)

where a **short abandon** left before ``short_abandon_s`` (a misdial or a change of mind that no agent could have prevented).
"Within" is ``wait <= threshold``, "short" is ``wait < short_abandon_s``. The other formulas are common too, so a service level
must always be given with its formula. No formula includes cancelled and expired contacts.

Sources: the definitions compared in O. Jouini, G. Koole, A. Roubos, "Performance indicators for call centers with impatient
customers", IIE Transactions 45(3), 2013; B. Cleveland, "Call Center Management on Fast Forward". ``EXCLUDE_EARLY`` is the formula
of the ContactCenters library by E. Buist and P. L'Ecuyer: good / (served + abandoned at or after the threshold).
"""

from enum import StrEnum

from msgspec import Struct

from router.stats.ratio import ratio


class Formula(StrEnum):
    """Service-level formula; they differ in how abandoned contacts count."""

    EXCLUDE_SHORT = "exclude_short"
    """within / (answered + abandoned − abandoned short). The default."""
    EXCLUDE_EARLY = "exclude_early"
    """within / (answered + abandoned − abandoned before the threshold)."""
    OF_OFFERED = "of_offered"
    """within / (answered + abandoned): every abandoned contact counts against the service level."""
    OF_ANSWERED = "of_answered"
    """within / answered: abandoned contacts do not count, which improves the value when many customers leave."""
    EARLY_IS_GOOD = "early_is_good"
    """(within + abandoned before the threshold) / (answered + abandoned)."""


class ServiceLevelCounts(Struct, gc=False):
    """Counters from which every formula is computed."""

    answered: int = 0
    answered_within: int = 0
    """Contacts answered after at most the threshold."""
    abandoned: int = 0
    abandoned_short: int = 0
    """Contacts abandoned before the short-abandon limit."""
    abandoned_early: int = 0
    """Contacts abandoned before the threshold."""

    def answer(self, wait_ms: int, threshold_ms: int) -> None:
        """Count a contact answered after a wait."""
        self.answered += 1
        if wait_ms <= threshold_ms:
            self.answered_within += 1

    def abandon(self, wait_ms: int, threshold_ms: int, short_abandon_ms: int) -> None:
        """Count a contact abandoned after a wait."""
        self.abandoned += 1
        if wait_ms < short_abandon_ms:
            self.abandoned_short += 1
        if wait_ms < threshold_ms:
            self.abandoned_early += 1


def service_level(
    counts: ServiceLevelCounts, formula: Formula = Formula.EXCLUDE_SHORT
) -> float | None:
    """Return the service level, 0 to 1; none if no contact counts."""
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
