"""Handlers of participant events: consults, conferences and hand-overs of a conversation."""

from collections.abc import Callable
from typing import Any, Final

from router.core.apply.contacts import begin
from router.core.apply.moves import move, remember_owner
from router.core.state import Agent, Contact, Offer, RoutingState
from router.core.transitions import ASSIGNMENT, CONTACT, Row
from router.model.events import (
    ContactHandedOver,
    ParticipantAdded,
    ParticipantJoined,
    ParticipantLeft,
)
from router.model.states import AssignmentRole, OfferState

_KINDS: Final = (ParticipantAdded, ParticipantJoined, ParticipantLeft, ContactHandedOver)
_CONTACT: Final = {kind: Row(CONTACT, kind) for kind in _KINDS}
_ASSIGNMENT: Final = {kind: Row(ASSIGNMENT, kind) for kind in _KINDS}


def enter(
    state: RoutingState,
    contact: Contact,
    assignment_id: str,
    agent: Agent,
    units: int,
    role: AssignmentRole,
    offer: Offer | None = None,
) -> None:
    """Add an agent to the conversation and record the accept, so that a late repeat of it gets the same answer."""
    begin(state, contact, assignment_id, agent, units, offer).role = role
    contact.parties = (*contact.parties, assignment_id)
    gone = contact.gone or {}
    gone[assignment_id] = (OfferState.ACCEPTED, state.seq, agent.agent_id)
    contact.gone = gone
    state.index.touch(agent)


def _added(state: RoutingState, e: ParticipantAdded) -> None:
    contact = state.contacts[e.contact_id]
    move(state, contact, _CONTACT[ParticipantAdded])
    contact.offers_made += 1
    agent = state.agents[e.agent_id]
    enter(state, contact, e.assignment_id, agent, e.units, AssignmentRole.PARTICIPANT)
    state.index.take(agent, contact.channel, e.units)


def _joined(state: RoutingState, e: ParticipantJoined) -> None:
    move(state, state.contacts[e.contact_id], _CONTACT[ParticipantJoined])
    work = state.assignments[e.assignment_id]
    work.state = _ASSIGNMENT[ParticipantJoined][work.state]
    work.role = AssignmentRole.PARTICIPANT


def _left(state: RoutingState, e: ParticipantLeft) -> None:
    contact = state.contacts[e.contact_id]
    move(state, contact, _CONTACT[ParticipantLeft])
    work = state.assignments[e.assignment_id]
    work.state = _ASSIGNMENT[ParticipantLeft][work.state]
    _out(contact, e.assignment_id)


def _handed_over(state: RoutingState, e: ContactHandedOver) -> None:
    contact = state.contacts[e.contact_id]
    move(state, contact, _CONTACT[ContactHandedOver])
    remember_owner(contact)
    _out(contact, e.assignment_id)
    work = state.assignments[e.assignment_id]
    work.state = _ASSIGNMENT[ContactHandedOver][work.state]
    work.role = AssignmentRole.OWNER
    contact.agent_id, contact.assignment_id = e.agent_id, e.assignment_id
    contact.last_agent_id = e.agent_id
    # A late repeat of the agent's accept gets the answer to the accept, not that of the hand-over.
    contact.answered_seq = (contact.gone or {})[e.assignment_id][1]


def _out(contact: Contact, assignment_id: str) -> None:
    assert assignment_id in contact.parties
    contact.parties = tuple(name for name in contact.parties if name != assignment_id)


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    ParticipantAdded: _added,
    ParticipantJoined: _joined,
    ParticipantLeft: _left,
    ContactHandedOver: _handed_over,
}
