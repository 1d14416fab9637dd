"""Definitions of all statistics, each checked with small numbers."""

from router.statistics.counters import (
    ContactCounters,
    HandlingCounts,
    OfferCounts,
    acceptance_rate,
    aht_ms,
    rona_rate,
    sum_counters,
    transfer_rate,
)


def test_aht_is_talk_hold_and_wrap_up_over_handled() -> None:
    handling = HandlingCounts()
    handling.add_assignment(100, 20, 30)
    handling.add_assignment(300, 0, 50)
    handling.transferred = 1
    assert aht_ms(handling) == 250
    assert transfer_rate(handling) == 0.5
    assert aht_ms(HandlingCounts()) is None


def test_the_rona_rate_excludes_rescinded_offers() -> None:
    offers = OfferCounts(made=10, accepted=5, declined=2, expired=1, rescinded=2)
    assert rona_rate(offers) == 1 / 8
    assert acceptance_rate(offers) == 5 / 8


def test_counters_add_up() -> None:
    one, two = ContactCounters(), ContactCounters()
    one.flow.entered, two.flow.entered = 3, 4
    two.handling.talk_ms = 7
    whole = sum_counters([one, two])
    assert (whole.flow.entered, whole.handling.talk_ms) == (7, 7)
    assert (one.flow.entered, two.flow.entered) == (3, 4)
