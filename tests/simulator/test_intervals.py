"""Confidence intervals."""

from random import Random

import pytest

from router.simulator.intervals import interval, t_quantile


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [
        (1, 12.7062),
        (2, 4.30265),
        (3, 3.18245),
        (5, 2.57058),
        (9, 2.26216),
        (19, 2.09302),
        (100, 1.98397),
    ],
)
def test_students_t_agrees_with_published_tables(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, rel=2e-3)


def test_with_equal_denominators_it_is_the_interval_of_a_mean() -> None:
    found = interval([(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1)])
    assert found is not None
    half = t_quantile(3) * (1.6666667 / 4) ** 0.5
    assert found.mean == pytest.approx(2.5)
    assert found.low == pytest.approx(2.5 - half)
    assert found.high == pytest.approx(2.5 + half)


def test_a_ratio_weighs_its_samples_by_their_denominators() -> None:
    found = interval([(10.0, 10), (0.0, 30)])
    assert found is not None
    assert found.mean == 0.25


def test_one_sample_or_a_zero_denominator_gives_no_interval() -> None:
    assert interval([(1.0, 1)]) is None
    assert interval([(0.0, 0), (0.0, 0)]) is None


def test_about_95_of_100_intervals_contain_the_true_value() -> None:
    rng = Random(5)
    held = 0
    for _ in range(1_000):
        samples = []
        for _ in range(20):
            n = rng.randint(20, 40)
            samples.append((sum(rng.expovariate(0.5) for _ in range(n)), n))
        found = interval(samples)
        assert found is not None
        held += found.low <= 2.0 <= found.high
    assert 920 <= held <= 975
