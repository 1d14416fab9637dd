"""Day profiles: service level and occupancy by interval."""

import pytest

from router.simulator.day import PlannedAgent, Shift
from router.simulator.results.day_profile import INTERVALS_MAX, DayProfileRecorder
from router.simulator.simulation import Simulation
from tests.support.simulated_days import a_contact, a_day, an_agent


# --- day profile ----------------------------------------------------------------------------------------------------
def test_intervals_show_service_level_and_occupancy() -> None:
    # ada talks from 0:00 to 0:30; the contact that arrives at 0:10 waits until then. bob, in the same group, starts at 0:30.
    shift = Shift(from_ms=1_800_000)
    day = a_day(
        a_contact("c1", 0, handle_s=1_800),
        a_contact("c2", 600, handle_s=900),
        a_contact("c3", 2_000, handle_s=900),
        agents=(an_agent("ada"), PlannedAgent(agent_id="bob", shifts=(shift,))),
        window_to_ms=3_600_000,
    )
    recorder = DayProfileRecorder()
    Simulation(day, listeners=(recorder(day),)).run()
    profile = recorder.profile()
    assert (profile.from_s, profile.interval_s) == (0, 1800)
    assert profile.contacts == (2, 1)
    assert profile.service_level == (0.5, 1.0)
    assert profile.occupancy == (1.0, 0.5)
    assert profile.wait_quantiles_s[0] == 0
    assert profile.wait_quantiles_s[-1] == 1_200
    assert profile.load_gini == pytest.approx((2_700 - 900) / (2 * 3_600))


def test_intervals_begin_at_the_half_hour_and_exclude_the_warm_up() -> None:
    recorder = DayProfileRecorder()
    late = a_day(a_contact("c", 2_000), start_ms=1_900_000, window_from_ms=1_900_000)
    Simulation(late, listeners=(recorder(late),)).run()
    assert recorder.profile().from_s == 1_800
    recorder = DayProfileRecorder()
    warm = a_day(a_contact("c1", 10), a_contact("c2", 700), window_from_ms=600_000)
    Simulation(warm, listeners=(recorder(warm),)).run()
    assert recorder.profile().from_s == 600
    assert sum(recorder.profile().contacts) == 1


@pytest.mark.parametrize(("minutes", "intervals", "width_s"), [(1, 1, 1_800), (30, 1, 1_800), (31, 2, 1_800), (90, 3, 1_800)])
def test_intervals_cover_the_window_after_the_warm_up(minutes: int, intervals: int, width_s: int) -> None:
    for warm_up_ms in (0, 600_000, 5_400_000):
        day = a_day(a_contact("c1", 0), window_from_ms=warm_up_ms, window_to_ms=warm_up_ms + minutes * 60_000)
        recorder = DayProfileRecorder()
        Simulation(day, listeners=(recorder(day),)).run()
        profile = recorder.profile()
        assert (profile.from_s, profile.interval_s, len(profile.contacts)) == (warm_up_ms // 1_000, width_s, intervals)


def test_arrivals_and_work_after_the_window_count_in_no_interval() -> None:
    # The window ends at 0:45. ada talks until 0:30 and again from 0:50 on, which is not counted.
    day = a_day(a_contact("c1", 0, handle_s=1_800), a_contact("c2", 3_000, handle_s=60), window_to_ms=2_700_000)
    recorder = DayProfileRecorder()
    Simulation(day, listeners=(recorder(day),)).run()
    assert recorder.profile().contacts == (1, 0)
    assert recorder.profile().occupancy == (1.0, 0.0)
    busy = a_day(a_contact("c1", 0, handle_s=10_000), window_to_ms=2_700_000)
    recorder = DayProfileRecorder()
    Simulation(busy, listeners=(recorder(busy),)).run()
    assert recorder.profile().occupancy == (1.0, 1.0)
    half = a_day(a_contact("c1", 0, handle_s=2_250), window_to_ms=2_700_000)
    recorder = DayProfileRecorder()
    Simulation(half, listeners=(recorder(half),)).run()
    assert recorder.profile().occupancy == (1.0, 0.5)


def test_a_long_run_has_longer_intervals_but_not_more() -> None:
    recorder = DayProfileRecorder()
    week = a_day(a_contact("c", 10), window_to_ms=7 * 86_400_000)
    Simulation(week, listeners=(recorder(week),)).run()
    profile = recorder.profile()
    assert len(profile.contacts) <= INTERVALS_MAX
    assert profile.interval_s == 4 * 1_800
