"""Tests of timers: stale entries are removed a few at a time, and the heap stays a heap."""

from random import Random

from router.engine.routing_state import RoutingState
from router.engine.state.records import QueueHours
from router.engine.state.timers import TimerKind, Timers


def some_timers(look_at_ms: dict[str, int]) -> Timers:
    """Return timers for queues whose calendar is evaluated again at these times."""
    state = RoutingState()
    for name, at_ms in look_at_ms.items():
        state.hours[name] = QueueHours(
            is_open=True, changes_at_ms=at_ms, next_check_at_ms=at_ms, reason="hours"
        )
    return state.timers


def test_stale_deadlines_are_removed_and_current_ones_fire_in_order() -> None:
    random = Random(5)
    current = {f"q{n}": random.randrange(10**6) for n in range(500)}
    timers = some_timers(current)
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
