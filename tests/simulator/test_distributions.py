"""Seeds, distributions and rounding."""

from random import Random
from statistics import fmean, pstdev

import pytest

from router.simulator.distributions import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Gamma,
    Lognormal,
    derived_seed,
    random_generator,
    to_ms,
)

DISTRIBUTIONS = [
    Constant(value_s=30),
    Exponential(mean_s=180),
    Lognormal(mean_s=240, cv=0.9),
    Gamma(mean_s=100, shape=2.5),
    Empirical(values_s=(10, 20, 90)),
    Empirical(values_s=(10, 20, 90), weights=(5, 3, 2)),
]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda d: type(d).__name__)
def test_draws_have_the_stated_mean(distribution: Distribution) -> None:
    rng = Random(1)
    draws = [distribution.draw(rng) for _ in range(40_000)]
    error = pstdev(draws) / len(draws) ** 0.5
    assert abs(fmean(draws) - distribution.mean) <= 4 * error + 1e-9


def test_lognormal_and_gamma_have_the_stated_variance() -> None:
    rng = Random(2)
    for distribution, cv in ((Lognormal(mean_s=50, cv=0.5), 0.5), (Gamma(mean_s=50, shape=4), 0.5)):
        draws = [distribution.draw(rng) for _ in range(40_000)]
        assert pstdev(draws) / fmean(draws) == pytest.approx(cv, rel=0.03)


def test_every_name_and_replication_has_a_distinct_seed() -> None:
    seeds = {
        derived_seed(master, replication, name)
        for master in range(3)
        for replication in range(3)
        for name in ("calls/handle", "calls/arrivals", "chats/handle")
    }
    assert len(seeds) == 27


def test_a_seed_always_gives_the_same_draws() -> None:
    assert derived_seed(1, 0, "calls/handle") == 10_590_410_955_350_677_621
    assert random_generator(1, 0, "calls/handle").random() == 0.697525068250177


def test_rounding_to_milliseconds_has_no_bias() -> None:
    rng = Random(3)
    errors = [to_ms(s) - 1000 * s for s in (rng.random() for _ in range(50_000))]
    assert max(abs(e) for e in errors) <= 0.5
    assert abs(fmean(errors)) < 0.005
    assert [to_ms(s) for s in (0.0005, 0.0015, 0.0025, 0.0035)] == [0, 2, 2, 4]


def test_empirical_weights_must_match_the_values() -> None:
    with pytest.raises(ValueError, match="length"):
        Empirical(values_s=(1, 2), weights=(1,))
    with pytest.raises(ValueError, match="zero"):
        Empirical(values_s=(1, 2), weights=(0, 0))
