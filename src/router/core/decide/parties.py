"""Participants of a conversation other than its owner: leaving, and hold during a consult."""

from router.core.decide.step import Step
from router.core.members import members
from router.core.state import Assignment, Contact
from router.model.events import AssignmentHeld, AssignmentResumed, ParticipantLeft
from router.model.states import AssignmentState


def leave(step: Step, contact: Contact, work: Assignment, reason: str) -> None:
    """Remove an agent from the conversation; the caller releases the assignment in the same transaction."""
    staying = members(step.state, contact)
    del staying[work.agent_id]
    step.emit(
        ParticipantLeft(
            contact_id=contact.contact_id,
            assignment_id=work.assignment_id,
            agent_id=work.agent_id,
            role=work.role,
            reason=reason,
            members=staying,
            gateway_id=contact.gateway_id,
        )
    )


def everybody_leaves(step: Step, contact: Contact, reason: str) -> list[Assignment]:
    """Remove all agents but the owner; the caller releases the returned assignments in the same transaction."""
    works = [step.state.assignments[name] for name in contact.parties]
    for work in works:
        leave(step, contact, work, reason)
    return works


def hold_for_consult(step: Step, contact: Contact) -> None:
    """Put the customer on hold for a consult, if the channel says so and the conversation is not on hold already."""
    state = step.state
    work = state.assignments[contact.assignment_id or ""]
    holds = state.index.channels[contact.channel].policy.consult_holds
    if holds and work.state is AssignmentState.ACTIVE:
        step.emit(
            AssignmentHeld(
                assignment_id=work.assignment_id,
                contact_id=work.contact_id,
                agent_id=work.agent_id,
                reason="consult",
            )
        )


def off_hold(step: Step, contact: Contact) -> None:
    """Resume the conversation after a consult, if it was the consult that put the customer on hold."""
    work = step.state.assignments[contact.assignment_id or ""]
    if work.held_for_consult and work.state is AssignmentState.ON_HOLD:
        step.emit(
            AssignmentResumed(
                assignment_id=work.assignment_id,
                contact_id=work.contact_id,
                agent_id=work.agent_id,
            )
        )
