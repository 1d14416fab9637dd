"""Handlers of assignment and participant events.

Hold, parking, wrap-up and completion of an assignment, with the capacity that each takes or releases; and participants who
join and leave a conversation, or take it over.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.events.contact_state import change_queue, change_state, end_switch, record_owner_accept
from router.engine.events.contacts import start_assignment
from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent
from router.engine.state.clocks import TimerKind
from router.engine.state.contact import Contact
from router.engine.state.records import Assignment, Offer
from router.engine.transitions import ASSIGNMENT_TRANSITIONS, CONTACT_TRANSITIONS, EventTransitions
from router.engine.wait.learning import record_handling
from router.model.events.agent import (
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    ContactHandedOver,
    DispositionRecorded,
    ParticipantAdded,
    ParticipantJoined,
    ParticipantLeft,
    WrapUpExtended,
    WrapUpStarted,
)
from router.model.states import AssignmentId, AssignmentRole, ContactId, OfferState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_WRAP_UP: Final = TimerKind.WRAP_UP
_ASSIGNMENT_CHANGES: Final = {
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

_PARTICIPANT_EVENT_TYPES: Final = (ParticipantAdded, ParticipantJoined, ParticipantLeft, ContactHandedOver)
_CONTACT_CHANGES: Final = {kind: EventTransitions(CONTACT_TRANSITIONS, kind) for kind in _PARTICIPANT_EVENT_TYPES}
_PARTICIPANT_CHANGES: Final = {kind: EventTransitions(ASSIGNMENT_TRANSITIONS, kind) for kind in _PARTICIPANT_EVENT_TYPES}
_WRAP_UP_STARTED: Final = _ASSIGNMENT_CHANGES[WrapUpStarted]
_COMPLETED: Final = _ASSIGNMENT_CHANGES[AssignmentCompleted]


def _hold_changed(state: RoutingState, event: AssignmentHeld | AssignmentResumed) -> None:
    assignment = state.assignments[event.assignment_id]
    assignment.state = _ASSIGNMENT_CHANGES[type(event)][assignment.state]
    assignment.held_for_consult = isinstance(event, AssignmentHeld) and event.reason == "consult"


def _parked(state: RoutingState, event: AssignmentParked) -> None:
    assignment = state.assignments[event.assignment_id]
    assignment.state = _ASSIGNMENT_CHANGES[AssignmentParked][assignment.state]
    assignment.parked_until_ms = event.until_ms
    assignment.was_parked = True
    end_switch(state, state.contacts[event.contact_id])
    if event.until_ms is not None:
        state.timers.add(event.until_ms, _WRAP_UP, assignment.assignment_id)
    _hold_capacity(state, assignment, holds=False)


def _unparked(state: RoutingState, event: AssignmentUnparked) -> None:
    assignment = state.assignments[event.assignment_id]
    assignment.state = _ASSIGNMENT_CHANGES[AssignmentUnparked][assignment.state]
    assignment.parked_until_ms = None
    _hold_capacity(state, assignment, holds=True)


def _hold_capacity(state: RoutingState, assignment: Assignment, *, holds: bool) -> None:
    if assignment.holds_capacity is holds:
        return
    assignment.holds_capacity = holds
    change = state.index.agents.take_capacity if holds else state.index.agents.release_capacity
    change(state.agents[assignment.agent_id], assignment.channel, assignment.units)


def _wrap_up_started(state: RoutingState, event: WrapUpStarted) -> None:
    assignment_id, deadline_ms = event.assignment_id, event.deadline_ms
    assignment = state.assignments[assignment_id]
    assignment.state = _WRAP_UP_STARTED[assignment.state]
    assignment.wrap_up_started_at_ms = state.at_ms
    assignment.wrap_up_deadline_ms = deadline_ms
    if assignment.parked_until_ms is not None:
        assignment.parked_until_ms = None
    if assignment.final_attributes is None and (contact := state.contacts.get(assignment.contact_id)) is not None:
        assignment.keep_contact(contact.attributes, contact.reference)
    state.timers.add(deadline_ms, _WRAP_UP, assignment_id)
    # A parked assignment holds no capacity: its wrap-up takes it again where wrap-up on this channel holds capacity.
    channel = state.index.channels.by_name.get(assignment.channel)
    if channel is not None and channel.policy.wrap_up_holds_capacity is not assignment.holds_capacity:
        if assignment.holds_capacity and not assignment.was_parked:
            record_handling(state, assignment)
        _hold_capacity(state, assignment, holds=not assignment.holds_capacity)


def _wrap_up_extended(state: RoutingState, event: WrapUpExtended) -> None:
    assignment = state.assignments[event.assignment_id]
    assignment.state = _ASSIGNMENT_CHANGES[WrapUpExtended][assignment.state]
    assignment.wrap_up_deadline_ms = event.deadline_ms
    state.timers.add(event.deadline_ms, _WRAP_UP, assignment.assignment_id)


def _completed(state: RoutingState, event: AssignmentCompleted) -> None:
    assignment_id, index = event.assignment_id, state.index
    assignment = state.assignments.pop(assignment_id)
    assignment.state = _COMPLETED[assignment.state]
    agent = state.agents[assignment.agent_id]
    del agent.assignments[assignment_id]
    index.agents.move_to_idle_end(agent)
    if assignment.holds_capacity:
        if not assignment.was_parked:  # The time that the customer was silent is not handling time.
            record_handling(state, assignment)
        index.agents.release_capacity(agent, assignment.channel, assignment.units)
    if event.disposition is not None:
        _store_disposition(state, event.contact_id, assignment_id, event.disposition)
    if event.contact_id in state.goals:
        state.goals.complete(event.contact_id, assignment_id, event.disposition)


def _disposition_recorded(state: RoutingState, event: DispositionRecorded) -> None:
    _store_disposition(state, event.contact_id, event.assignment_id, event.disposition)


def _store_disposition(state: RoutingState, contact_id: ContactId, assignment_id: AssignmentId, disposition: str) -> None:
    """Store the disposition of a completed assignment with its contact, as long as that is kept."""
    contact = state.contacts.get(contact_id)
    if contact is not None:
        contact.dispositions = (*contact.dispositions, (assignment_id, disposition))


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
    ended_offers = contact.ended_offers or {}
    ended_offers[assignment_id] = (OfferState.ACCEPTED, state.seq, agent.agent_id)
    contact.ended_offers = ended_offers
    state.index.agents.move_to_idle_end(agent)


def _participant_added(state: RoutingState, event: ParticipantAdded) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _CONTACT_CHANGES[ParticipantAdded])
    contact.offers_made += 1
    agent = state.agents[event.agent_id]
    add_participant(state, contact, event.assignment_id, agent, event.units, AssignmentRole.PARTICIPANT)
    state.index.agents.take_capacity(agent, contact.channel, event.units)


def _participant_joined(state: RoutingState, event: ParticipantJoined) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _CONTACT_CHANGES[ParticipantJoined])
    state.index.contacts.recheck_switch(contact)
    assignment = state.assignments[event.assignment_id]
    assignment.state = _PARTICIPANT_CHANGES[ParticipantJoined][assignment.state]
    assignment.role = AssignmentRole.PARTICIPANT


def _participant_left(state: RoutingState, event: ParticipantLeft) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _CONTACT_CHANGES[ParticipantLeft])
    assignment = state.assignments[event.assignment_id]
    assignment.state = _PARTICIPANT_CHANGES[ParticipantLeft][assignment.state]
    assignment.keep_contact(contact.attributes, contact.reference)
    _remove_participant(contact, event.assignment_id)
    state.index.contacts.recheck_switch(contact)
    if event.agent_id not in contact.left_agent_ids:
        contact.left_agent_ids = (*contact.left_agent_ids, event.agent_id)


def _handed_over(state: RoutingState, event: ContactHandedOver) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _CONTACT_CHANGES[ContactHandedOver])
    record_owner_accept(contact)
    if event.queue_id is not None:
        change_queue(state, contact, event.queue_id)
    end_switch(state, contact)
    _remove_participant(contact, event.assignment_id)
    assignment = state.assignments[event.assignment_id]
    assignment.state = _PARTICIPANT_CHANGES[ContactHandedOver][assignment.state]
    assignment.role = AssignmentRole.OWNER
    contact.agent_id, contact.assignment_id = event.agent_id, event.assignment_id
    contact.last_agent_id = event.agent_id
    # A late repeat of the agent's accept gets the answer to the accept, not that of the hand-over.
    contact.answered_seq = (contact.ended_offers or {})[event.assignment_id][1]


def _remove_participant(contact: Contact, assignment_id: str) -> None:
    assert assignment_id in contact.participant_assignment_ids
    contact.participant_assignment_ids = tuple(name for name in contact.participant_assignment_ids if name != assignment_id)


ASSIGNMENT_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    AssignmentHeld: _hold_changed,
    AssignmentResumed: _hold_changed,
    AssignmentParked: _parked,
    AssignmentUnparked: _unparked,
    WrapUpStarted: _wrap_up_started,
    WrapUpExtended: _wrap_up_extended,
    AssignmentCompleted: _completed,
    DispositionRecorded: _disposition_recorded,
    ParticipantAdded: _participant_added,
    ParticipantJoined: _participant_joined,
    ParticipantLeft: _participant_left,
    ContactHandedOver: _handed_over,
}
