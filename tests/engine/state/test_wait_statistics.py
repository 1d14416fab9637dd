"""Wait statistics: the distribution of the time until a turn against tabulated values, and the calibration."""

import random
from math import sqrt

import pytest

from router.engine.state.wait_statistics import Calibration, gamma_quantile, normal_score, time_until_turn

# Quantiles of the gamma distribution with scale 1: half of the tabulated chi-square quantiles with twice as many degrees of
# freedom (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4).
SCORES = {0.05: -1.6448536, 0.5: 0.0, 0.9: 1.2815516, 0.95: 1.6448536}
TABLE = {
    1: {0.05: 0.0513, 0.5: 0.6931, 0.9: 2.3026, 0.95: 2.9957},
    2: {0.05: 0.3554, 0.5: 1.6783, 0.9: 3.8897, 0.95: 4.7439},
    5: {0.05: 1.9701, 0.5: 4.6709, 0.9: 7.9936, 0.95: 9.1535},
    10: {0.05: 5.4254, 0.5: 9.6687, 0.9: 14.2060, 0.95: 15.7052},
    50: {0.05: 38.9647, 0.5: 49.6669, 0.9: 59.2490, 0.95: 62.1711},
}


@pytest.mark.parametrize("shape", TABLE)
def test_quantiles_are_close_to_tabulated_values(shape: int) -> None:
    for share, quantile in TABLE[shape].items():
        off = abs(shape * gamma_quantile(shape, SCORES[share]) - quantile) / shape
        assert off < (0.03 if shape == 1 else 0.01), (share, off)


@pytest.mark.parametrize("shape", [0.5, 1.0, 3.7, 25.0])
@pytest.mark.parametrize("normal", [-0.6, 0.0, 0.67, 1.2, 3.0])
def test_the_normal_score_inverts_the_quantile(shape: float, normal: float) -> None:
    assert normal_score(shape, gamma_quantile(shape, normal)) == pytest.approx(normal, abs=1e-9)


def test_an_extreme_score_gives_no_negative_wait() -> None:
    assert gamma_quantile(0.5, -6.0) == 0.0
    assert normal_score(2.0, 0.0) < -3


@pytest.mark.parametrize("ahead", [0, 1, 7, 63, 64, 200])
def test_without_abandonment_it_is_the_erlang_distribution(ahead: int) -> None:
    """With 8 agents and a mean of 240 s the next contact leaves every 30 s, in k + 1 stages."""
    mean, variance = time_until_turn(ahead, 8 / 240, 0.0)
    assert mean == pytest.approx((ahead + 1) * 30)
    assert sqrt(variance) == pytest.approx(sqrt(ahead + 1) * 30)


@pytest.mark.parametrize("ahead", [0, 3, 64, 65, 900])
def test_abandonment_shortens_the_time_as_the_explicit_sums(ahead: int) -> None:
    rate, leaving = 8 / 240, 1 / 600
    steps = [1 / (rate + i * leaving) for i in range(ahead + 1)]
    mean, variance = time_until_turn(ahead, rate, leaving)
    assert mean == pytest.approx(sum(steps), rel=2e-3)
    assert variance == pytest.approx(sum(s * s for s in steps), rel=2e-3)


def test_half_a_contact_ahead_counts_half_its_term() -> None:
    whole, _ = time_until_turn(3, 0.1, 0.0)
    assert time_until_turn(3.5, 0.1, 0.0)[0] == pytest.approx(whole + 5)


def test_a_million_contacts_ahead_need_few_steps() -> None:
    mean, _ = time_until_turn(1_000_000, 1.0, 0.0)
    assert mean == pytest.approx(1_000_001)


def test_answers_that_take_twice_as_long_double_the_forecast() -> None:
    calibration = Calibration()
    dice = random.Random(4)
    for _ in range(3_000):
        calibration.record_answer(60_000, 3.0, round(dice.gammavariate(3.0, 40_000)))
    inside_50 = inside_90 = 0
    for _ in range(2_000):
        wait_ms = dice.gammavariate(3.0, 40_000)
        low, low_50, _, high_50, _, high = calibration.quantiles_ms(60_000, 3.0)
        inside_50 += low_50 <= wait_ms <= high_50
        inside_90 += low <= wait_ms <= high
        calibration.record_answer(60_000, 3.0, round(wait_ms))
    assert calibration.factor_millionths == pytest.approx(2_000_000, rel=0.1)
    assert inside_50 / 2_000 == pytest.approx(0.5, abs=0.04)
    assert inside_90 / 2_000 == pytest.approx(0.9, abs=0.03)
