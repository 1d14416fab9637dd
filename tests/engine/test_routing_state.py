"""Tests of the routing state: it comes with an empty index, empty timers and no snapshot."""

from router.engine.routing_state import RoutingState
from tests.support.builders import a_policy


def test_a_new_state_is_empty_and_complete() -> None:
    state = RoutingState()
    assert state.timers.next_deadline_ms() is None
    assert state.incremental_snapshot is None
    assert not state.index.lines.by_key and not state.index.qualification.groups
    assert state.policy is None and not state.contacts


def test_index_and_timers_read_the_records_of_the_same_state() -> None:
    state = RoutingState()
    state.policy = a_policy()
    state.index.rebuild(state.policy)
    line = state.index.lines.queue_default_line("support", "voice")
    assert line.requirement_text == "voice/support"
    state.day_until_ms = 5
    state.timers.rebuild()
    assert state.timers.next_deadline_ms() == 5
