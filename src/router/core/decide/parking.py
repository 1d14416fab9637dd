"""Parking: the owner keeps a conversation while waiting for the customer, without using capacity.

The owner parks and unparks the assignment; a gateway or a supervisor parks and unparks the contact, because the gateway knows
when the customer writes again.
"""

from collections.abc import Callable
from typing import Any, Final

from router.core.decide.assignments import allowed, complete, end_contact, owned, release
from router.core.decide.next_state import enter_next_state
from router.core.decide.requeue import wait_anew
from router.core.decide.rescind import rescind_all
from router.core.decide.step import Step, repeated, unknown_contact, wrong_state
from router.core.state import Assignment, Contact
from router.model.commands import ParkAssignment, ParkContact, UnparkAssignment, UnparkContact
from router.model.events import AssignmentParked, AssignmentUnparked
from router.model.outcome import Answer
from router.model.policy import LostDesktopAction
from router.model.refusals import RefusalCode, Refused
from router.model.states import AgentState, AssignmentRole, AssignmentState, ContactState

_PARKED: Final = AssignmentState.PARKED
_TALKING: Final = (AssignmentState.ACTIVE, AssignmentState.ON_HOLD)


def _park_assignment(step: Step, command: ParkAssignment) -> Answer:
    work = owned(step, command.assignment_id, command.agent_id)
    if work is None:
        return Refused(code=RefusalCode.UNKNOWN_ASSIGNMENT, field="assignment_id")
    if work.state is _PARKED:
        return repeated(work.assignment_id, work.state, step.state.seq)
    if work.state not in _TALKING or work.role is not AssignmentRole.OWNER:
        return _wrong_state(work)
    return _park(step, work, subject=work.assignment_id)


def _unpark_assignment(step: Step, command: UnparkAssignment) -> Answer:
    work = owned(step, command.assignment_id, command.agent_id)
    if work is None:
        return Refused(code=RefusalCode.UNKNOWN_ASSIGNMENT, field="assignment_id")
    if work.state is AssignmentState.ACTIVE:
        return repeated(work.assignment_id, work.state, step.state.seq)
    if work.state is not _PARKED:
        return _wrong_state(work)
    return _unpark(step, work, subject=work.assignment_id)


def _others_in_it(step: Step, contact: Contact) -> bool:
    """Return whether other agents are in the conversation or are being consulted; it cannot be parked then."""
    offers = step.state.offers
    return bool(contact.parties) or any(
        offers[offer_id].role is not AssignmentRole.OWNER for offer_id in contact.offers
    )


def _wrong_state(work: Assignment) -> Refused:
    return Refused(
        code=RefusalCode.ASSIGNMENT_STATE,
        field="assignment_id",
        state=str(work.state),
        allowed=allowed(work),
    )


def _park_contact(step: Step, command: ParkContact) -> Answer:
    contact, work = _conversation(step, command)
    if contact is None:
        return unknown_contact()
    if work is None:
        return wrong_state(contact.state, detail="only an assigned contact can be parked")
    if work.state is _PARKED:
        return repeated(contact.contact_id, contact.state, step.state.seq)
    return _park(step, work, subject=contact.contact_id)


def _unpark_contact(step: Step, command: UnparkContact) -> Answer:
    contact, work = _conversation(step, command)
    if contact is None:
        return unknown_contact()
    if work is None:
        return wrong_state(contact.state, detail="only an assigned contact can be unparked")
    if work.state is not _PARKED:
        # The gateway may unpark on every message of the customer without knowing whether the contact is parked.
        return repeated(contact.contact_id, contact.state, step.state.seq)
    if _is_away(step, work):
        return _back_into_line(step, contact, work)
    return _unpark(step, work, subject=contact.contact_id)


def _is_away(step: Step, work: Assignment) -> bool:
    """Return whether the owner is not ready and the channel requeues the contact in that case."""
    state = step.state
    policy = state.index.channels[work.channel].policy
    is_ready = state.agents[work.agent_id].state is AgentState.READY
    return policy.unpark_away is LostDesktopAction.REQUEUE and not is_ready


def _back_into_line(step: Step, contact: Contact, work: Assignment) -> Answer:
    """Requeue the contact at its age and complete the owner's assignment without wrap-up."""
    rescind_all(step, contact, "moved")
    wait_anew(step, contact, contact.queue_id, "owner_away", owner=work)
    answer = step.done(contact.contact_id, contact.state)
    complete(step, work, "owner_away")
    return answer


def _conversation(
    step: Step, command: ParkContact | UnparkContact
) -> tuple[Contact | None, Assignment | None]:
    """Return the contact, if it is visible to the gateway, and the assignment of its owner."""
    contact = step.state.contacts.get(command.contact_id)
    if contact is None or command.gateway_id not in (None, contact.gateway_id):
        return None, None
    if contact.state is not ContactState.ASSIGNED or contact.assignment_id is None:
        return contact, None
    return contact, step.state.assignments[contact.assignment_id]


def _park(step: Step, work: Assignment, *, subject: str) -> Answer:
    state = step.state
    contact = state.contacts[work.contact_id]
    if _others_in_it(step, contact):
        return wrong_state(contact.state, detail="other agents are in the conversation")
    park_max_s = state.index.channels[work.channel].policy.park_max_s
    step.emit(
        AssignmentParked(
            assignment_id=work.assignment_id,
            contact_id=work.contact_id,
            agent_id=work.agent_id,
            until_ms=None if park_max_s is None else step.at_ms + 1000 * park_max_s,
            gateway_id=contact.gateway_id,
        )
    )
    answer = step.done(subject, _state_of(subject, work, contact))
    # A parked conversation may take days, so it does not delay the next state that the agent has requested.
    enter_next_state(step, state.agents[work.agent_id])
    return answer


def _unpark(step: Step, work: Assignment, *, subject: str) -> Answer:
    contact = step.state.contacts[work.contact_id]
    step.emit(
        AssignmentUnparked(
            assignment_id=work.assignment_id,
            contact_id=work.contact_id,
            agent_id=work.agent_id,
            gateway_id=contact.gateway_id,
        )
    )
    return step.done(subject, _state_of(subject, work, contact))


def _state_of(subject: str, work: Assignment, contact: Contact) -> str:
    return work.state if subject == work.assignment_id else contact.state


def time_is_up(step: Step, work: Assignment) -> None:
    """End a parked conversation whose customer did not return within ``park_max_s``."""
    end_contact(step, step.state.contacts[work.contact_id], work, "park_timeout")
    release(step, work)


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    ParkAssignment: _park_assignment,
    UnparkAssignment: _unpark_assignment,
    ParkContact: _park_contact,
    UnparkContact: _unpark_contact,
}
