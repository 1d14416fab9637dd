"""Assignment events to state."""

from collections.abc import Callable
from typing import Any, Final

from router.core.apply.learning import worked
from router.core.state import Assignment, RoutingState
from router.core.timers import TimerKind
from router.core.transitions import ASSIGNMENT, Row
from router.model.events import (
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentResumed,
    WrapUpExtended,
    WrapUpStarted,
)

_ROWS: Final = {
    kind: Row(ASSIGNMENT, kind)
    for kind in (
        AssignmentHeld,
        AssignmentResumed,
        WrapUpStarted,
        WrapUpExtended,
        AssignmentCompleted,
    )
}


def _hold_changed(state: RoutingState, e: AssignmentHeld | AssignmentResumed) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ROWS[type(e)][work.state]
    work.held_for_consult = isinstance(e, AssignmentHeld) and e.reason == "consult"


def _wrap_up_started(state: RoutingState, e: WrapUpStarted) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ROWS[WrapUpStarted][work.state]
    work.wrap_up_started_at_ms = state.at_ms
    _deadline(state, work, e.deadline_ms)
    channel = state.index.channels.get(work.channel)
    if channel is not None and not channel.policy.wrap_up_holds_capacity:
        worked(state, work)
        work.holds = False
        state.index.release(state.agents[work.agent_id], work.channel, work.units)


def _wrap_up_extended(state: RoutingState, e: WrapUpExtended) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ROWS[WrapUpExtended][work.state]
    _deadline(state, work, e.deadline_ms)


def _deadline(state: RoutingState, work: Assignment, deadline_ms: int) -> None:
    work.wrap_up_deadline_ms = deadline_ms
    state.timers.add(deadline_ms, TimerKind.WRAP_UP, work.assignment_id)


def _completed(state: RoutingState, e: AssignmentCompleted) -> None:
    work = state.assignments.pop(e.assignment_id)
    work.state = _ROWS[AssignmentCompleted][work.state]
    agent = state.agents[work.agent_id]
    del agent.assignments[e.assignment_id]
    state.index.touch(agent)
    if work.holds:
        worked(state, work)
        state.index.release(agent, work.channel, work.units)


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    AssignmentHeld: _hold_changed,
    AssignmentResumed: _hold_changed,
    WrapUpStarted: _wrap_up_started,
    WrapUpExtended: _wrap_up_extended,
    AssignmentCompleted: _completed,
}
