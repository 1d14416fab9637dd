"""The clock of the writer under a wall clock that jumps (F20–F23, I42), and the wake-up schedule."""

from hypothesis import given
from hypothesis import strategies as st

from router.runtime.clock import SLEW_PER_S, SystemClock, WakeupSchedule


class Machine:
    """A wall clock and a monotonic clock, both set manually."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.steady = 50.0

    def clock(self) -> SystemClock:
        return SystemClock(wall_s=lambda: self.wall, steady_s=lambda: self.steady)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_clock_starts_at_the_wall_clock_and_advances_with_it() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.now_ms() == 1_700_000_000_000
    machine.run(12.345)
    assert clock.now_ms() == 1_700_000_012_345


def test_setting_the_wall_clock_back_never_decreases_the_time() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.run(1)
    before = clock.now_ms()
    machine.wall -= 3_600
    assert clock.now_ms() == before
    machine.run(10)
    assert before + 9_900 <= clock.now_ms() <= before + 10_000


def test_setting_the_wall_clock_ahead_fires_no_deadline_early() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ms()
    machine.wall += 3_600
    machine.run(15)
    assert before + 15_000 <= clock.now_ms() <= before + 15_000 * (1 + SLEW_PER_S)


def test_clock_converges_to_the_wall_clock() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += 10
    for _ in range(4_000):
        machine.run(1)
        clock.now_ms()
    assert abs(clock.now_ms() - machine.wall * 1000) <= 3


def test_time_includes_the_suspension_of_the_machine() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ms()
    machine.run(7_200)
    assert clock.now_ms() == before + 7_200_000


def test_clock_advances_from_a_raised_floor() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.set_minimum(1_700_000_100_000)
    assert clock.now_ms() == 1_700_000_100_000
    machine.run(10)
    assert 1_700_000_109_900 <= clock.now_ms() <= 1_700_000_110_000
    clock.set_minimum(5)
    assert clock.now_ms() >= 1_700_000_109_900


def test_delay_is_in_seconds_and_never_negative() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.delay_s(clock.now_ms() + 1_500) == 1.5
    assert clock.delay_s(clock.now_ms()) == 0.0
    assert clock.delay_s(0) == 0.0


def test_system_clock_reads_like_the_wall_clock() -> None:
    import time

    assert abs(SystemClock().now_ms() - time.time() * 1000) < 1_000


STEPS = st.lists(
    st.one_of(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 50)), st.tuples(st.just(""), st.integers(0, 50))),
    max_size=300,
)


@given(STEPS)
def test_schedule_agrees_with_a_plain_dict(steps: list[tuple[str, int | None]]) -> None:
    deadlines, plain = WakeupSchedule(), dict[str, int]()
    for name, value in steps:
        if name:
            deadlines.set(name, value)
            plain.pop(name, None)
            if value is not None:
                plain[name] = value
        else:
            assert value is not None
            due = sorted((at, name) for name, at in plain.items() if at <= value)[:2]
            assert deadlines.pop_due(value, 2) == [name for _, name in due]
            for _, name in due:
                del plain[name]
        assert deadlines.next_ms() == min(plain.values(), default=None)


def test_a_frequently_changed_deadline_does_not_grow_the_heap() -> None:
    deadlines = WakeupSchedule()
    for at_ms in range(10_000):
        deadlines.set("a", 1_000_000 - at_ms)
    assert len(deadlines._heap) < 100
    assert deadlines.pop_due(1_000_000, 5) == ["a"]
    assert deadlines.next_ms() is None
