"""Counters of one queue and channel, which add up to those of a queue, a channel, an interval or the workspace."""

from collections.abc import Iterable

from msgspec import Struct, field

from router.stats.callbacks import CallbackCounts
from router.stats.flow import Flow
from router.stats.handling import Handling
from router.stats.offers import OfferCounts
from router.stats.service_level import ServiceLevelCounts
from router.stats.waiting import WaitSums


class Tally(Struct, array_like=True):
    """Counters of contacts, offers, handle time and callbacks."""

    flow: Flow = field(default_factory=Flow)
    service: ServiceLevelCounts = field(default_factory=ServiceLevelCounts)
    waits: WaitSums = field(default_factory=WaitSums)
    offers: OfferCounts = field(default_factory=OfferCounts)
    handling: Handling = field(default_factory=Handling)
    callbacks: CallbackCounts = field(default_factory=CallbackCounts)


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of counters."""
    whole = Tally()
    for tally in tallies:
        for part in Tally.__struct_fields__:
            _add(getattr(whole, part), getattr(tally, part))
    return whole


def add_to_all(tally: Tally, others: Iterable[Tally]) -> None:
    """Add counters to each of the others."""
    for other in others:
        for part in Tally.__struct_fields__:
            _add(getattr(other, part), getattr(tally, part))


def _add(whole: Struct, part: Struct) -> None:
    for name in whole.__struct_fields__:
        setattr(whole, name, getattr(whole, name) + getattr(part, name))
