"""Offers by their end.

**RONA rate** (redirection on no answer) = expired / (accepted + declined + expired). Rescinded offers are not in it: the agent
did not have the whole time to answer. **Acceptance rate** = accepted / the same.
"""

from msgspec import Struct

from router.stats.ratio import ratio


class OfferCounts(Struct, gc=False):
    """Made, and how they ended; what is missing is still pending."""

    made: int = 0
    accepted: int = 0
    declined: int = 0
    expired: int = 0
    rescinded: int = 0


def rona_rate(offers: OfferCounts) -> float | None:
    """Of the offers that an agent could answer, those that nobody answered."""
    return ratio(offers.expired, offers.accepted + offers.declined + offers.expired)


def acceptance_rate(offers: OfferCounts) -> float | None:
    """Of the offers that an agent could answer, those that he took."""
    return ratio(offers.accepted, offers.accepted + offers.declined + offers.expired)
