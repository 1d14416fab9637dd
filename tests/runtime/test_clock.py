"""The writer's clock under a wall clock that jumps (F20–F23, I42)."""

from router.runtime.clock import SLEW_PER_S, SystemClock


class Machine:
    """A wall clock and a steady one, both set by hand."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.steady = 50.0

    def clock(self) -> SystemClock:
        return SystemClock(wall_s=lambda: self.wall, steady_s=lambda: self.steady)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_it_begins_at_the_wall_clock_and_runs_with_it() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.now_ms() == 1_700_000_000_000
    machine.run(12.345)
    assert clock.now_ms() == 1_700_000_012_345


def test_a_wall_clock_set_back_never_makes_it_fall() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.run(1)
    before = clock.now_ms()
    machine.wall -= 3_600
    assert clock.now_ms() == before
    machine.run(10)
    assert before + 9_900 <= clock.now_ms() <= before + 10_000


def test_a_wall_clock_set_ahead_lets_no_deadline_come_early() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ms()
    machine.wall += 3_600
    machine.run(15)
    assert before + 15_000 <= clock.now_ms() <= before + 15_000 * (1 + SLEW_PER_S)


def test_it_catches_up_with_the_wall_clock_in_time() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += 10
    for _ in range(4_000):
        machine.run(1)
        clock.now_ms()
    assert abs(clock.now_ms() - machine.wall * 1000) <= 3


def test_a_machine_that_slept_has_let_the_time_pass() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ms()
    machine.run(7_200)
    assert clock.now_ms() == before + 7_200_000


def test_a_floor_is_where_it_runs_on_from() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.raise_floor(1_700_000_100_000)
    assert clock.now_ms() == 1_700_000_100_000
    machine.run(10)
    assert 1_700_000_109_900 <= clock.now_ms() <= 1_700_000_110_000
    clock.raise_floor(5)
    assert clock.now_ms() >= 1_700_000_109_900


def test_the_delay_to_a_time_is_in_seconds_and_never_negative() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.delay_s(clock.now_ms() + 1_500) == 1.5
    assert clock.delay_s(clock.now_ms()) == 0.0
    assert clock.delay_s(0) == 0.0


def test_the_machines_own_clock_reads_like_the_wall_clock() -> None:
    import time

    assert abs(SystemClock().now_ms() - time.time() * 1000) < 1_000
