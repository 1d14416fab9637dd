"""Day profiles: service level and occupancy by interval."""

import pytest

from router.simulator.day import PlannedAgent, Shift
from router.simulator.results.day_profile import INTERVALS_MAX, DayProfileRecorder
from router.simulator.world import World
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
    watch = DayProfileRecorder()
    World(day, listeners=(watch(day),)).run()
    course = watch.profile()
    assert (course.from_s, course.interval_s) == (0, 1800)
    assert course.contacts == (2, 1)
    assert course.service_level == (0.5, 1.0)
    assert course.occupancy == (1.0, 0.5)
    assert course.wait_quantiles_s[0] == 0
    assert course.wait_quantiles_s[-1] == 1_200
    assert course.load_gini == pytest.approx((2_700 - 900) / (2 * 3_600))


def test_intervals_begin_at_the_half_hour_and_exclude_the_warm_up() -> None:
    watch = DayProfileRecorder()
    late = a_day(a_contact("c", 2_000), start_ms=1_900_000, window_from_ms=1_900_000)
    World(late, listeners=(watch(late),)).run()
    assert watch.profile().from_s == 1_800
    watch = DayProfileRecorder()
    warm = a_day(a_contact("c1", 10), a_contact("c2", 700), window_from_ms=600_000)
    World(warm, listeners=(watch(warm),)).run()
    assert watch.profile().from_s == 600
    assert sum(watch.profile().contacts) == 1


def test_arrivals_and_work_after_the_window_count_in_no_interval() -> None:
    # The window ends at 0:45. ada talks until 0:30 and again from 0:50 on, which is not counted.
    day = a_day(
        a_contact("c1", 0, handle_s=1_800),
        a_contact("c2", 3_000, handle_s=60),
        window_to_ms=2_700_000,
    )
    watch = DayProfileRecorder()
    World(day, listeners=(watch(day),)).run()
    assert watch.profile().contacts == (1, 0)
    assert watch.profile().occupancy == (1.0, 0.0)
    busy = a_day(a_contact("c1", 0, handle_s=10_000), window_to_ms=2_700_000)
    watch = DayProfileRecorder()
    World(busy, listeners=(watch(busy),)).run()
    assert watch.profile().occupancy == (1.0, 1.0)
    half = a_day(a_contact("c1", 0, handle_s=2_250), window_to_ms=2_700_000)
    watch = DayProfileRecorder()
    World(half, listeners=(watch(half),)).run()
    assert watch.profile().occupancy == (1.0, 0.5)


def test_a_long_run_has_longer_intervals_but_not_more() -> None:
    watch = DayProfileRecorder()
    week = a_day(a_contact("c", 10), window_to_ms=7 * 86_400_000)
    World(week, listeners=(watch(week),)).run()
    course = watch.profile()
    assert len(course.contacts) <= INTERVALS_MAX
    assert course.interval_s == 4 * 1_800
