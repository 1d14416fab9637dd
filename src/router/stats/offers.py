"""Counters of offers by outcome.

**RONA rate** (redirection on no answer) = expired / (accepted + declined + expired). Rescinded offers are excluded, because the
agent did not have the full time to answer. **Acceptance rate** = accepted / (accepted + declined + expired).
"""

from msgspec import Struct

from router.stats.ratio import ratio


class OfferCounts(Struct, gc=False):
    """Offers made, and ended by outcome; the remainder is pending."""

    made: int = 0
    accepted: int = 0
    declined: int = 0
    expired: int = 0
    rescinded: int = 0


def rona_rate(offers: OfferCounts) -> float | None:
    """Return the share of answerable offers that expired; none without any."""
    return ratio(offers.expired, offers.accepted + offers.declined + offers.expired)


def acceptance_rate(offers: OfferCounts) -> float | None:
    """Return the share of answerable offers that were accepted; none without any."""
    return ratio(offers.accepted, offers.accepted + offers.declined + offers.expired)
