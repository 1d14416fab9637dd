"""Parking: the owner keeps a conversation while waiting for the customer, without using capacity.

The owner parks and unparks the assignment; a gateway or a supervisor parks and unparks the contact, because the gateway knows
when the customer writes again.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands.assignments import (
    complete_assignment,
    end_contact,
    find_assignment,
    release_assignment,
    wrong_assignment_state,
)
from router.engine.commands.channel_events import SWITCH_REASON
from router.engine.commands.channel_switch import give_up_switch
from router.engine.commands.queue_moves import requeue
from router.engine.commands.rescind import enter_next_state, rescind_contact_offers
from router.engine.commands.transaction import (
    Transaction,
    already_done,
    requester_of,
    unknown_assignment,
    unknown_contact,
    wrong_contact_state,
)
from router.engine.state.contact import Contact
from router.engine.state.records import Assignment
from router.model.commands import ParkAssignment, ParkContact, UnparkAssignment, UnparkContact
from router.model.events import AssignmentParked, AssignmentUnparked
from router.model.operations import Requester
from router.model.policy import LostDesktopAction
from router.model.results import CommandResult, Done
from router.model.states import AgentState, AssignmentRole, AssignmentState, ContactState, EndedBy

_PARKED: Final = AssignmentState.PARKED
_IN_CONVERSATION: Final = (AssignmentState.ACTIVE, AssignmentState.ON_HOLD)


def _park_assignment(tx: Transaction, command: ParkAssignment) -> CommandResult:
    assignment = find_assignment(tx, command.assignment_id, command.agent_id)
    if assignment is None:
        return unknown_assignment()
    if assignment.state is _PARKED:
        return already_done(assignment.assignment_id, assignment.state, tx.state.seq)
    if assignment.state not in _IN_CONVERSATION or assignment.role is not AssignmentRole.OWNER:
        return wrong_assignment_state(tx, assignment)
    return _park(tx, assignment, Requester.OWNER, subject=assignment.assignment_id)


def _unpark_assignment(tx: Transaction, command: UnparkAssignment) -> CommandResult:
    assignment = find_assignment(tx, command.assignment_id, command.agent_id)
    if assignment is None:
        return unknown_assignment()
    if assignment.state is AssignmentState.ACTIVE:
        return already_done(assignment.assignment_id, assignment.state, tx.state.seq)
    if assignment.state is not _PARKED:
        return wrong_assignment_state(tx, assignment)
    return _unpark(tx, assignment, subject=assignment.assignment_id)


def _has_other_participants(tx: Transaction, contact: Contact) -> bool:
    """Return whether other agents are in the conversation or are being consulted; it cannot be parked then."""
    offers = tx.state.offers
    return bool(contact.participant_assignment_ids) or any(
        offers[offer_id].role is not AssignmentRole.OWNER and offers[offer_id].reason != SWITCH_REASON
        for offer_id in contact.pending_offer_ids
    )


def _park_contact(tx: Transaction, command: ParkContact) -> CommandResult:
    contact, assignment = _find_conversation(tx, command)
    if contact is None:
        return unknown_contact()
    if assignment is None:
        return wrong_contact_state(tx, contact, requester_of(command), "only an assigned contact can be parked")
    if assignment.state is _PARKED:
        return already_done(contact.contact_id, contact.state, tx.state.seq)
    return _park(tx, assignment, requester_of(command), subject=contact.contact_id)


def _unpark_contact(tx: Transaction, command: UnparkContact) -> CommandResult:
    contact, assignment = _find_conversation(tx, command)
    if contact is None:
        return unknown_contact()
    if assignment is None:
        return wrong_contact_state(tx, contact, requester_of(command), "only an assigned contact can be unparked")
    if assignment.state is not _PARKED:
        # The gateway may unpark on every message of the customer without knowing whether the contact is parked.
        return already_done(contact.contact_id, contact.state, tx.state.seq)
    if _is_owner_away(tx, assignment):
        return _requeue_parked(tx, contact, assignment)
    return _unpark(tx, assignment, subject=contact.contact_id)


def _is_owner_away(tx: Transaction, assignment: Assignment) -> bool:
    """Return whether the owner is not ready and the channel requeues the contact in that case."""
    state = tx.state
    policy = state.index.channels.by_name[assignment.channel].policy
    is_ready = state.agents[assignment.agent_id].state is AgentState.READY
    return policy.unpark_when_not_ready is LostDesktopAction.REQUEUE and not is_ready


def _requeue_parked(tx: Transaction, contact: Contact, assignment: Assignment) -> CommandResult:
    """Requeue the contact at its age and complete the owner's assignment without wrap-up."""
    rescind_contact_offers(tx, contact, "moved")
    seq = requeue(tx, contact, contact.queue_id, "owner_away", owner=assignment)
    answer = Done(contact.contact_id, contact.state, seq)
    complete_assignment(tx, assignment, "owner_away")
    return answer


def _find_conversation(tx: Transaction, command: ParkContact | UnparkContact) -> tuple[Contact | None, Assignment | None]:
    """Return the contact, if it is visible to the gateway, and the assignment of its owner."""
    contact = tx.state.contacts.get(command.contact_id)
    if contact is None or command.gateway_id not in (None, contact.gateway_id):
        return None, None
    if contact.state is not ContactState.ASSIGNED or contact.assignment_id is None:
        return contact, None
    return contact, tx.state.assignments[contact.assignment_id]


def _park(tx: Transaction, assignment: Assignment, requester: Requester, *, subject: str) -> CommandResult:
    state = tx.state
    contact = state.contacts[assignment.contact_id]
    if _has_other_participants(tx, contact):
        return wrong_contact_state(tx, contact, requester, "other agents are in the conversation or asked for a consult")
    if contact.switch is not None:
        give_up_switch(tx, contact, "cancelled")
    park_max_s = state.index.channels.by_name[assignment.channel].policy.park_max_s
    tx.emit(
        AssignmentParked(
            assignment_id=assignment.assignment_id,
            contact_id=assignment.contact_id,
            agent_id=assignment.agent_id,
            until_ms=None if park_max_s is None else tx.at_ms + 1000 * park_max_s,
            gateway_id=contact.gateway_id,
        )
    )
    answer = tx.done(subject, _subject_state(subject, assignment, contact))
    # A parked conversation may take days, so it does not delay the next state that the agent has requested.
    enter_next_state(tx, state.agents[assignment.agent_id])
    return answer


def _unpark(tx: Transaction, assignment: Assignment, *, subject: str) -> CommandResult:
    contact = tx.state.contacts[assignment.contact_id]
    tx.emit(
        AssignmentUnparked(
            assignment_id=assignment.assignment_id,
            contact_id=assignment.contact_id,
            agent_id=assignment.agent_id,
            gateway_id=contact.gateway_id,
        )
    )
    return tx.done(subject, _subject_state(subject, assignment, contact))


def _subject_state(subject: str, assignment: Assignment, contact: Contact) -> str:
    return assignment.state if subject == assignment.assignment_id else contact.state


def expire_parking(tx: Transaction, assignment: Assignment) -> None:
    """End a parked conversation whose customer did not return within ``park_max_s``."""
    end_contact(tx, tx.state.contacts[assignment.contact_id], assignment, "park_timeout", EndedBy.TIMEOUT)
    release_assignment(tx, assignment)


PARKING_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    ParkAssignment: _park_assignment,
    UnparkAssignment: _unpark_assignment,
    ParkContact: _park_contact,
    UnparkContact: _unpark_contact,
}
