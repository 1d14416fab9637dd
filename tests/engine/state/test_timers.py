"""Tests of timers: deadlines fire in order, stale entries never fire, and a rebuilt heap equals the current one."""

from random import Random

import pytest

from router.engine.routing_state import RoutingState
from router.engine.state.records import QueueHours
from router.engine.state.timers import TimerEntry, TimerKind, Timers
from tests.properties.workload import Workload
from tests.support.world import World


def timers_of(next_check_ms: dict[str, int]) -> Timers:
    """Return timers for queues whose calendar is evaluated again at these times."""
    state = RoutingState()
    for name, at_ms in next_check_ms.items():
        state.hours[name] = QueueHours(
            is_open=True, changes_at_ms=at_ms, next_check_at_ms=at_ms, reason="hours"
        )
    return state.timers


def test_stale_deadlines_are_removed_and_current_ones_fire_in_order() -> None:
    random = Random(5)
    current = {f"q{n}": random.randrange(10**6) for n in range(500)}
    timers = timers_of(current)
    names = sorted(current)
    random.shuffle(names)
    for n in range(60_000):
        timers.add(random.randrange(10**6), TimerKind.HOURS, "gone")
        if n % 120 == 0:
            name = names[n // 120]
            timers.add(current[name], TimerKind.HOURS, name)
        assert len(timers.heap) < 20_000
    came = list(iter(lambda: timers.pop_due(10**6), None))
    assert [(due_ms, name) for due_ms, _, name, _ in came] == sorted(
        (at_ms, name) for name, at_ms in current.items()
    )


def test_deadlines_fire_by_time_then_kind_then_id() -> None:
    timers = timers_of({"b": 5, "a": 5, "c": 4})
    for name, due_ms in (("b", 5), ("a", 5), ("c", 4)):
        timers.add(due_ms, TimerKind.HOURS, name)
    assert timers.next_deadline_ms() == 4
    assert timers.pop_due(3) is None
    assert [timers.pop_due(5) for _ in range(4)] == [
        (4, TimerKind.HOURS, "c", ""),
        (5, TimerKind.HOURS, "a", ""),
        (5, TimerKind.HOURS, "b", ""),
        None,
    ]


def test_a_moved_deadline_fires_once_at_its_new_time() -> None:
    timers = timers_of({"q": 9})
    timers.add(5, TimerKind.HOURS, "q")
    timers.add(9, TimerKind.HOURS, "q")
    assert timers.next_deadline_ms() == 9
    assert timers.pop_due(8) is None
    assert timers.pop_due(9) == (9, TimerKind.HOURS, "q", "")
    assert timers.next_deadline_ms() is None


def current_entries(world: World) -> list[TimerEntry]:
    """Return each deadline that lies ahead, once; a cool-down that has passed stays on its contact and fires to no effect."""
    state = world.engine._state
    return sorted(
        {
            entry
            for entry in state.timers.heap
            if entry[0] > state.at_ms and state.timers._is_current(entry)
        }
    )


@pytest.mark.parametrize("seed", (0, 1, 5, 8))
def test_rebuilt_timers_are_those_that_a_walk_has_set(seed: int) -> None:
    world, workload = World(), Workload(seed)
    for command in workload.opening():
        world.do(command)
    for _ in range(12):
        for _ in range(10):
            workload.pause(world)
            world.do(workload.next(world))
        before = current_entries(world)
        world.engine._state.timers.rebuild()
        assert current_entries(world) == before
