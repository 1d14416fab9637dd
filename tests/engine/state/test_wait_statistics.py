"""Wait statistics: the distribution of the time until a turn against tabulated values, and the calibration."""

import random
from math import sqrt

import msgspec
import pytest

from router.engine.state.wait_statistics import (
    Calibration,
    HandlingStats,
    PendingForecast,
    WaitStatistics,
    gamma_quantile,
    normal_score,
    time_until_turn,
)

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


def a_forecast(quantiles_ms: list[int], *, mean_ms: int = 60_000, shape: float = 3.0, answers: int = 0) -> PendingForecast:
    """Return a recorded forecast of the kind of contact "calls", with bounds of that kind's calibration."""
    return PendingForecast(
        at_ms=0,
        kind=("support", "voice", "calls"),
        mean_ms=mean_ms,
        shape_millionths=round(1_000_000 * shape),
        ring_ms=0,
        quantiles_ms=quantiles_ms,
        kind_answers=answers,
    )


def test_answers_that_take_twice_as_long_double_the_forecast() -> None:
    calibration = Calibration()
    dice = random.Random(4)
    inside_50 = inside_90 = 0
    for turn in range(5_000):
        wait_ms = dice.gammavariate(3.0, 40_000)
        bounds = calibration.quantiles_ms(60_000, 3.0)
        if turn >= 3_000:
            inside_50 += bounds[1] <= wait_ms <= bounds[3]
            inside_90 += bounds[0] <= wait_ms <= bounds[5]
        calibration.record_answer(a_forecast(bounds), round(wait_ms), answers_before=turn, told=True)
    assert calibration.factor_millionths == pytest.approx(2_000_000, rel=0.1)
    assert inside_50 / 2_000 == pytest.approx(0.5, abs=0.04)
    assert inside_90 / 2_000 == pytest.approx(0.9, abs=0.03)


def test_the_scores_learn_from_the_bounds_that_were_told() -> None:
    """A wait above the told bounds raises every score although the present bounds, of a larger factor, would contain it."""
    calibration = Calibration(answers=1_000, factor_millionths=4_000_000)
    before = list(calibration.scores_millionths)
    calibration.record_answer(a_forecast([10, 20, 30, 40, 50, 60]), 90_000, answers_before=999, told=True)
    assert all(now > then for now, then in zip(calibration.scores_millionths, before, strict=True))


def test_a_calibration_that_did_not_tell_the_bounds_judges_by_its_own() -> None:
    calibration = Calibration(answers=1_000)
    before = list(calibration.scores_millionths)
    calibration.record_answer(a_forecast([10, 20, 30, 40, 50, 60]), 55_000, answers_before=999, told=False)
    moved = [now > then for now, then in zip(calibration.scores_millionths, before, strict=True)]
    assert moved == [True, True, False, False, False], "55 s is near the median of its own distribution"


@pytest.mark.parametrize(("between", "share"), [(0, 1.0), (11, 1.0), (23, 0.5), (119, 0.1)])
def test_a_step_is_shorter_the_more_answers_came_while_the_contact_waited(between: int, share: float) -> None:
    calibration = Calibration(answers=1_000_000)
    forecast = a_forecast([10, 20, 30, 40, 50, 60])
    calibration.record_answer(forecast, 90_000, answers_before=1_000_000 - between, told=True)
    # The 95 % score rises by 95 % of a step of 0.06, the factor by a thousandth.
    assert calibration.scores_millionths[4] - 1_644_854 == pytest.approx(0.95 * 60_000 * share, abs=1)
    assert calibration.factor_millionths - 1_000_000 == pytest.approx(1_000 * share, abs=1)


def test_late_answers_do_not_make_the_bounds_oscillate() -> None:
    """Each answer comes 200 answers after its forecast; the told bounds stay near the truth and hold the nominal shares."""
    calibration = Calibration()
    dice = random.Random(9)
    waiting: list[tuple[list[int], int]] = []
    inside_50 = inside_90 = 0
    widest = 0
    for turn in range(8_000):
        waiting.append((calibration.quantiles_ms(60_000, 3.0), calibration.answers))
        if turn < 200:
            continue
        bounds, before = waiting[turn - 200]
        wait_ms = round(dice.gammavariate(3.0, 20_000))
        calibration.record_answer(a_forecast(bounds), wait_ms, answers_before=before, told=True)
        if turn >= 4_000:
            widest = max(widest, bounds[5])
            inside_50 += bounds[1] <= wait_ms <= bounds[3]
            inside_90 += bounds[0] <= wait_ms <= bounds[5]
    assert inside_50 / 4_000 == pytest.approx(0.5, abs=0.03)
    assert inside_90 / 4_000 == pytest.approx(0.9, abs=0.02)
    # The true 95 % quantile is 126 s.
    assert widest < 150_000


def test_forecasts_of_an_earlier_release_can_be_read() -> None:
    """A snapshot of before has no numbers of answers in its pending forecasts; the answer is then taken as a late one."""
    old = msgspec.msgpack.encode([5, ["support", "voice", "calls"], 60_000, 3_000_000, 0, [1, 2, 3, 4, 5, 6]])
    found = msgspec.msgpack.decode(old, type=PendingForecast)
    assert (found.channel_answers, found.kind_answers) == (0, 0)


def test_a_kind_that_tells_its_bounds_learns_from_them_and_its_channel_does_not() -> None:
    statistics = WaitStatistics()
    kind = ("support", "voice", "calls")
    for number in range(31):
        channel_answers, kind_answers = statistics.answers_of(kind)
        forecast = a_forecast([10, 20, 30, 40, 50, 60], answers=kind_answers)
        forecast.channel_answers = channel_answers
        statistics.add_forecast(f"c{number}", forecast)
        before = list(statistics.calibrations.get("support", {}).get("voice", Calibration()).scores_millionths)
        statistics.record_answer(f"c{number}", 60_000)
    assert statistics.answers_of(kind) == (31, 31)
    # By its own bounds, 60 s is in the middle: the channel lowers its upper bounds where the told ones would have raised them.
    assert statistics.calibrations["support"]["voice"].scores_millionths[4] < before[4]


def test_the_mean_of_the_first_samples_is_rounded_to_the_nearest() -> None:
    stats = HandlingStats()
    for took_ms, mean_ms in ((7, 7), (10, 9), (10, 9), (11, 10), (4_000, 808)):
        stats.record_ring(took_ms)
        assert stats.ring_ms == mean_ms
    assert stats.ring_count == 5


def test_a_handling_time_moves_the_expectation_of_the_policy_and_is_capped() -> None:
    stats = HandlingStats()
    stats.record_handling(60_000, 120_000)
    first = stats.handling_ms
    assert 60_000 < first < 120_000
    stats.record_handling(10**9, 120_000)
    capped = HandlingStats(handling_ms=first, handled_count=1)
    capped.record_handling(20 * first, 0)
    assert first < stats.handling_ms <= capped.handling_ms
