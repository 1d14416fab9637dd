"""Definitions of all statistics, each checked with small numbers."""

import pytest

from router.model.states import AgentState
from router.stats.handling import Handling, aht_ms, transfer_rate
from router.stats.occupancy import (
    Activity,
    Workforce,
    WorkTime,
    activity,
    concurrency,
    occupancy,
    utilisation,
)
from router.stats.offers import OfferCounts, acceptance_rate, rona_rate
from router.stats.service_level import Formula, ServiceLevelCounts, service_level
from router.stats.tally import Tally, total
from router.stats.waiting import (
    BOUNDS_MS,
    Waits,
    WaitSums,
    abandonment_rate,
    abandonment_rate_without_short,
    asa_ms,
    mean_wait_ms,
)


def ten_contacts() -> ServiceLevelCounts:
    """Threshold 20 s, short 5 s. Answered after 0, 20 and 20.001 s…; abandoned after 4.999, 5, 19.999 and 20 s."""
    counts = ServiceLevelCounts()
    for wait_ms in (0, 10_000, 20_000, 20_001, 60_000, 90_000):
        counts.answer(wait_ms, 20_000)
    for wait_ms in (4_999, 5_000, 19_999, 20_000):
        counts.abandon(wait_ms, 20_000, 5_000)
    return counts


@pytest.mark.parametrize(
    ("formula", "share"),
    [
        (Formula.EXCLUDE_SHORT, 3 / 9),
        (Formula.EXCLUDE_EARLY, 3 / 7),
        (Formula.OF_OFFERED, 3 / 10),
        (Formula.OF_ANSWERED, 3 / 6),
        (Formula.EARLY_IS_GOOD, 6 / 10),
    ],
)
def test_service_level_by_each_formula(formula: Formula, share: float) -> None:
    assert service_level(ten_contacts(), formula) == pytest.approx(share)


def test_the_default_formula_excludes_short_abandons() -> None:
    assert service_level(ten_contacts()) == service_level(ten_contacts(), Formula.EXCLUDE_SHORT)


@pytest.mark.parametrize("formula", Formula)
def test_the_service_level_is_none_without_contacts(formula: Formula) -> None:
    assert service_level(ServiceLevelCounts(), formula) is None


def test_abandonment_with_and_without_short_abandons() -> None:
    assert abandonment_rate(ten_contacts()) == 4 / 10
    assert abandonment_rate_without_short(ten_contacts()) == 3 / 9


def test_asa_is_the_mean_wait_of_answered_contacts_only() -> None:
    sums, counts = WaitSums(answered_ms=200_001, abandoned_ms=49_998), ten_contacts()
    assert asa_ms(sums, counts) == 200_001 / 6
    assert mean_wait_ms(sums, counts) == 249_999 / 10
    assert asa_ms(WaitSums(), ServiceLevelCounts()) is None


def test_aht_is_talk_hold_and_wrap_up_over_handled() -> None:
    handling = Handling()
    handling.add(100, 20, 30)
    handling.add(300, 0, 50)
    handling.transferred = 1
    assert aht_ms(handling) == 250
    assert transfer_rate(handling) == 0.5
    assert aht_ms(Handling()) is None


def test_the_rona_rate_excludes_rescinded_offers() -> None:
    offers = OfferCounts(made=10, accepted=5, declined=2, expired=1, rescinded=2)
    assert rona_rate(offers) == 1 / 8
    assert acceptance_rate(offers) == 5 / 8


def test_an_agent_with_assignments_is_busy_in_any_state() -> None:
    assert activity(AgentState.NOT_READY, 1) is Activity.BUSY
    assert activity(AgentState.OFFLINE, 1) is Activity.BUSY
    assert activity(AgentState.READY, 0) is Activity.IDLE
    assert activity(AgentState.NOT_READY, 0) is Activity.NOT_READY
    assert activity(AgentState.OFFLINE, 0) is Activity.OFFLINE


def test_occupancy_excludes_breaks_and_utilisation_includes_them() -> None:
    time = WorkTime()
    time.add(Activity.BUSY, 600)
    time.add(Activity.IDLE, 200)
    time.add(Activity.NOT_READY, 400)
    time.add(Activity.OFFLINE, 5_000)
    assert occupancy(time) == 0.75
    assert utilisation(time) == 0.5
    assert concurrency(1200, time) == 2.0


def test_workforce_time_is_agents_times_duration() -> None:
    force = Workforce(heads=[5, 1, 2, 3], since_ms=100)
    force.advance(110)
    assert force.time == WorkTime(10, 20, 30)


def test_a_quantile_is_within_its_bucket() -> None:
    waits = Waits()
    for wait_ms in range(0, 100_000, 100):
        waits.add(wait_ms)
    for share in (0.1, 0.5, 0.9, 0.95):
        found = waits.quantile_ms(share)
        assert found is not None
        assert abs(found - share * 100_000) <= 0.27 * share * 100_000


def test_no_quantile_exceeds_the_longest_wait() -> None:
    waits = Waits()
    waits.add(BOUNDS_MS[-1] * 3)
    assert waits.quantile_ms(0.5) == BOUNDS_MS[-1] * 2
    assert waits.quantile_ms(1.0) == BOUNDS_MS[-1] * 3
    assert Waits().quantile_ms(0.5) is None
    zero = Waits()
    zero.add(0)
    assert zero.quantile_ms(0.95) == 0


def test_bucket_bounds_increase() -> None:
    assert list(BOUNDS_MS) == sorted(set(BOUNDS_MS))


def test_counters_add_up() -> None:
    one, two = Tally(), Tally()
    one.flow.entered, two.flow.entered = 3, 4
    two.handling.talk_ms = 7
    whole = total([one, two])
    assert (whole.flow.entered, whole.handling.talk_ms) == (7, 7)
    assert (one.flow.entered, two.flow.entered) == (3, 4)
