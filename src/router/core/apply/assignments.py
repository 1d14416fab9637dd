"""Handlers of assignment events: hold, parking, wrap-up and completion, with the capacity that each takes or releases."""

from collections.abc import Callable
from typing import Any, Final

from router.core.apply.learning import worked
from router.core.state import Assignment, RoutingState
from router.core.timers import TimerKind
from router.core.transitions import ASSIGNMENT, Row
from router.model.events import (
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    WrapUpExtended,
    WrapUpStarted,
)

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_WRAP_UP: Final = TimerKind.WRAP_UP

_ROWS: Final = {
    kind: Row(ASSIGNMENT, kind)
    for kind in (
        AssignmentHeld,
        AssignmentResumed,
        AssignmentParked,
        AssignmentUnparked,
        WrapUpStarted,
        WrapUpExtended,
        AssignmentCompleted,
    )
}
_WRAP_UP_STARTED: Final = _ROWS[WrapUpStarted]
_COMPLETED: Final = _ROWS[AssignmentCompleted]


def _hold_changed(state: RoutingState, e: AssignmentHeld | AssignmentResumed) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ROWS[type(e)][work.state]
    work.held_for_consult = isinstance(e, AssignmentHeld) and e.reason == "consult"


def _parked(state: RoutingState, e: AssignmentParked) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ROWS[AssignmentParked][work.state]
    work.parked_until_ms = e.until_ms
    work.was_parked = True
    if e.until_ms is not None:
        state.timers.add(e.until_ms, _WRAP_UP, work.assignment_id)
    _hold_capacity(state, work, holds=False)


def _unparked(state: RoutingState, e: AssignmentUnparked) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ROWS[AssignmentUnparked][work.state]
    work.parked_until_ms = None
    _hold_capacity(state, work, holds=True)


def _hold_capacity(state: RoutingState, work: Assignment, *, holds: bool) -> None:
    if work.holds is holds:
        return
    work.holds = holds
    change = state.index.take if holds else state.index.release
    change(state.agents[work.agent_id], work.channel, work.units)


def _wrap_up_started(state: RoutingState, e: WrapUpStarted) -> None:
    assignment_id, deadline_ms = e.assignment_id, e.deadline_ms
    work = state.assignments[assignment_id]
    work.state = _WRAP_UP_STARTED[work.state]
    work.wrap_up_started_at_ms = state.at_ms
    work.wrap_up_deadline_ms = deadline_ms
    if work.parked_until_ms is not None:
        work.parked_until_ms = None
    state.timers.add(deadline_ms, _WRAP_UP, assignment_id)
    # A parked assignment holds no capacity: its wrap-up takes it again where wrap-up on this channel holds capacity.
    channel = state.index.channels.get(work.channel)
    if channel is not None and channel.policy.wrap_up_holds_capacity is not work.holds:
        if work.holds and not work.was_parked:
            worked(state, work)
        _hold_capacity(state, work, holds=not work.holds)


def _wrap_up_extended(state: RoutingState, e: WrapUpExtended) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ROWS[WrapUpExtended][work.state]
    work.wrap_up_deadline_ms = e.deadline_ms
    state.timers.add(e.deadline_ms, _WRAP_UP, work.assignment_id)


def _completed(state: RoutingState, e: AssignmentCompleted) -> None:
    assignment_id, index = e.assignment_id, state.index
    work = state.assignments.pop(assignment_id)
    work.state = _COMPLETED[work.state]
    agent = state.agents[work.agent_id]
    del agent.assignments[assignment_id]
    index.touch(agent)
    if work.holds:
        if not work.was_parked:  # The time that the customer was silent is not handling time.
            worked(state, work)
        index.release(agent, work.channel, work.units)


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    AssignmentHeld: _hold_changed,
    AssignmentResumed: _hold_changed,
    AssignmentParked: _parked,
    AssignmentUnparked: _unparked,
    WrapUpStarted: _wrap_up_started,
    WrapUpExtended: _wrap_up_extended,
    AssignmentCompleted: _completed,
}
