"""Definitions of service level, waits and abandonment, each checked with small numbers."""

import pytest

from router.statistics.service_level import (
    WAIT_BUCKETS_MS,
    ServiceLevelCounts,
    ServiceLevelFormula,
    WaitHistogram,
    WaitSums,
    abandonment_rate,
    abandonment_rate_without_short,
    asa_ms,
    mean_wait_ms,
    service_level,
)


def ten_contacts() -> ServiceLevelCounts:
    """Threshold 20 s, short 5 s. Answered after 0, 20 and 20.001 s…; abandoned after 4.999, 5, 19.999 and 20 s."""
    counts = ServiceLevelCounts()
    for wait_ms in (0, 10_000, 20_000, 20_001, 60_000, 90_000):
        counts.record_answer(wait_ms, 20_000)
    for wait_ms in (4_999, 5_000, 19_999, 20_000):
        counts.record_abandon(wait_ms, 20_000, 5_000)
    return counts


@pytest.mark.parametrize(
    ("formula", "share"),
    [
        (ServiceLevelFormula.EXCLUDE_SHORT, 3 / 9),
        (ServiceLevelFormula.EXCLUDE_EARLY, 3 / 7),
        (ServiceLevelFormula.OF_OFFERED, 3 / 10),
        (ServiceLevelFormula.OF_ANSWERED, 3 / 6),
        (ServiceLevelFormula.EARLY_IS_GOOD, 6 / 10),
    ],
)
def test_service_level_by_each_formula(formula: ServiceLevelFormula, share: float) -> None:
    assert service_level(ten_contacts(), formula) == pytest.approx(share)


def test_the_default_formula_excludes_short_abandons() -> None:
    assert service_level(ten_contacts()) == service_level(ten_contacts(), ServiceLevelFormula.EXCLUDE_SHORT)


@pytest.mark.parametrize("formula", ServiceLevelFormula)
def test_the_service_level_is_none_without_contacts(formula: ServiceLevelFormula) -> None:
    assert service_level(ServiceLevelCounts(), formula) is None


def test_abandonment_with_and_without_short_abandons() -> None:
    assert abandonment_rate(ten_contacts()) == 4 / 10
    assert abandonment_rate_without_short(ten_contacts()) == 3 / 9


def test_asa_is_the_mean_wait_of_answered_contacts_only() -> None:
    sums, counts = WaitSums(answered_ms=200_001, abandoned_ms=49_998), ten_contacts()
    assert asa_ms(sums, counts) == 200_001 / 6
    assert mean_wait_ms(sums, counts) == 249_999 / 10
    assert asa_ms(WaitSums(), ServiceLevelCounts()) is None


def test_a_quantile_is_within_its_bucket() -> None:
    waits = WaitHistogram()
    for wait_ms in range(0, 100_000, 100):
        waits.add(wait_ms)
    for share in (0.1, 0.5, 0.9, 0.95):
        found = waits.quantile_ms(share)
        assert found is not None
        assert abs(found - share * 100_000) <= 0.27 * share * 100_000


def test_no_quantile_exceeds_the_longest_wait() -> None:
    waits = WaitHistogram()
    waits.add(WAIT_BUCKETS_MS[-1] * 3)
    assert waits.quantile_ms(0.5) == WAIT_BUCKETS_MS[-1] * 2
    assert waits.quantile_ms(1.0) == WAIT_BUCKETS_MS[-1] * 3
    assert WaitHistogram().quantile_ms(0.5) is None
    zero = WaitHistogram()
    zero.add(0)
    assert zero.quantile_ms(0.95) == 0


def test_bucket_bounds_increase() -> None:
    assert list(WAIT_BUCKETS_MS) == sorted(set(WAIT_BUCKETS_MS))
