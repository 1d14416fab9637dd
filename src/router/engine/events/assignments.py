"""Handlers of assignment events: hold, parking, wrap-up and completion, with the capacity that each takes or releases.

Handlers of participant events: consults, conferences and hand-overs of a conversation.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.events.contact_state import change_state, record_owner_accept
from router.engine.events.contacts import start_assignment
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.engine.state.records import Assignment, Offer
from router.engine.state.state import RoutingState
from router.engine.state.timers import TimerKind
from router.engine.transitions import ASSIGNMENT_TRANSITIONS, CONTACT_TRANSITIONS, EventTransitions
from router.engine.wait.learning import record_handling
from router.model.events.agent import (
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    ContactHandedOver,
    ParticipantAdded,
    ParticipantJoined,
    ParticipantLeft,
    WrapUpExtended,
    WrapUpStarted,
)
from router.model.states import AssignmentRole, OfferState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_WRAP_UP: Final = TimerKind.WRAP_UP

_ASSIGNMENT_ROWS: Final = {
    kind: EventTransitions(ASSIGNMENT_TRANSITIONS, kind)
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

_WRAP_UP_STARTED: Final = _ASSIGNMENT_ROWS[WrapUpStarted]

_COMPLETED: Final = _ASSIGNMENT_ROWS[AssignmentCompleted]


def _hold_changed(state: RoutingState, e: AssignmentHeld | AssignmentResumed) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ASSIGNMENT_ROWS[type(e)][work.state]
    work.held_for_consult = isinstance(e, AssignmentHeld) and e.reason == "consult"


def _parked(state: RoutingState, e: AssignmentParked) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ASSIGNMENT_ROWS[AssignmentParked][work.state]
    work.parked_until_ms = e.until_ms
    work.was_parked = True
    if e.until_ms is not None:
        state.timers.add(e.until_ms, _WRAP_UP, work.assignment_id)
    _hold_capacity(state, work, holds=False)


def _unparked(state: RoutingState, e: AssignmentUnparked) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ASSIGNMENT_ROWS[AssignmentUnparked][work.state]
    work.parked_until_ms = None
    _hold_capacity(state, work, holds=True)


def _hold_capacity(state: RoutingState, work: Assignment, *, holds: bool) -> None:
    if work.holds_capacity is holds:
        return
    work.holds_capacity = holds
    change = state.index.take_capacity if holds else state.index.release_capacity
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
    if channel is not None and channel.policy.wrap_up_holds_capacity is not work.holds_capacity:
        if work.holds_capacity and not work.was_parked:
            record_handling(state, work)
        _hold_capacity(state, work, holds=not work.holds_capacity)


def _wrap_up_extended(state: RoutingState, e: WrapUpExtended) -> None:
    work = state.assignments[e.assignment_id]
    work.state = _ASSIGNMENT_ROWS[WrapUpExtended][work.state]
    work.wrap_up_deadline_ms = e.deadline_ms
    state.timers.add(e.deadline_ms, _WRAP_UP, work.assignment_id)


def _completed(state: RoutingState, e: AssignmentCompleted) -> None:
    assignment_id, index = e.assignment_id, state.index
    work = state.assignments.pop(assignment_id)
    work.state = _COMPLETED[work.state]
    agent = state.agents[work.agent_id]
    del agent.assignments[assignment_id]
    index.move_to_idle_end(agent)
    if work.holds_capacity:
        if not work.was_parked:  # The time that the customer was silent is not handling time.
            record_handling(state, work)
        index.release_capacity(agent, work.channel, work.units)


ASSIGNMENT_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    AssignmentHeld: _hold_changed,
    AssignmentResumed: _hold_changed,
    AssignmentParked: _parked,
    AssignmentUnparked: _unparked,
    WrapUpStarted: _wrap_up_started,
    WrapUpExtended: _wrap_up_extended,
    AssignmentCompleted: _completed,
}

_PARTICIPANT_EVENTS: Final = (
    ParticipantAdded,
    ParticipantJoined,
    ParticipantLeft,
    ContactHandedOver,
)

_CONTACT_ROWS: Final = {
    kind: EventTransitions(CONTACT_TRANSITIONS, kind) for kind in _PARTICIPANT_EVENTS
}

_PARTICIPANT_ROWS: Final = {
    kind: EventTransitions(ASSIGNMENT_TRANSITIONS, kind) for kind in _PARTICIPANT_EVENTS
}


def add_participant(
    state: RoutingState,
    contact: Contact,
    assignment_id: str,
    agent: Agent,
    units: int,
    role: AssignmentRole,
    offer: Offer | None = None,
) -> None:
    """Add an agent to the conversation and record the accept, so that a late repeat of it gets the same answer."""
    start_assignment(state, contact, assignment_id, agent, units, offer).role = role
    contact.participant_assignment_ids = (*contact.participant_assignment_ids, assignment_id)
    gone = contact.ended_offers or {}
    gone[assignment_id] = (OfferState.ACCEPTED, state.seq, agent.agent_id)
    contact.ended_offers = gone
    state.index.move_to_idle_end(agent)


def _participant_added(state: RoutingState, e: ParticipantAdded) -> None:
    contact = state.contacts[e.contact_id]
    change_state(state, contact, _CONTACT_ROWS[ParticipantAdded])
    contact.offers_made += 1
    agent = state.agents[e.agent_id]
    add_participant(state, contact, e.assignment_id, agent, e.units, AssignmentRole.PARTICIPANT)
    state.index.take_capacity(agent, contact.channel, e.units)


def _participant_joined(state: RoutingState, e: ParticipantJoined) -> None:
    change_state(state, state.contacts[e.contact_id], _CONTACT_ROWS[ParticipantJoined])
    work = state.assignments[e.assignment_id]
    work.state = _PARTICIPANT_ROWS[ParticipantJoined][work.state]
    work.role = AssignmentRole.PARTICIPANT


def _participant_left(state: RoutingState, e: ParticipantLeft) -> None:
    contact = state.contacts[e.contact_id]
    change_state(state, contact, _CONTACT_ROWS[ParticipantLeft])
    work = state.assignments[e.assignment_id]
    work.state = _PARTICIPANT_ROWS[ParticipantLeft][work.state]
    _remove_participant(contact, e.assignment_id)


def _handed_over(state: RoutingState, e: ContactHandedOver) -> None:
    contact = state.contacts[e.contact_id]
    change_state(state, contact, _CONTACT_ROWS[ContactHandedOver])
    record_owner_accept(contact)
    _remove_participant(contact, e.assignment_id)
    work = state.assignments[e.assignment_id]
    work.state = _PARTICIPANT_ROWS[ContactHandedOver][work.state]
    work.role = AssignmentRole.OWNER
    contact.agent_id, contact.assignment_id = e.agent_id, e.assignment_id
    contact.last_agent_id = e.agent_id
    # A late repeat of the agent's accept gets the answer to the accept, not that of the hand-over.
    contact.answered_seq = (contact.ended_offers or {})[e.assignment_id][1]


def _remove_participant(contact: Contact, assignment_id: str) -> None:
    assert assignment_id in contact.participant_assignment_ids
    contact.participant_assignment_ids = tuple(
        name for name in contact.participant_assignment_ids if name != assignment_id
    )


PARTICIPANT_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    ParticipantAdded: _participant_added,
    ParticipantJoined: _participant_joined,
    ParticipantLeft: _participant_left,
    ContactHandedOver: _handed_over,
}
