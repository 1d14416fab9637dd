"""Who is in a conversation beside its owner: the events of coming and going. What becomes of their work is ``assignments.py``."""

from router.core.decide.step import Step
from router.core.members import members
from router.core.state import Assignment, Contact
from router.model.events import AssignmentHeld, AssignmentResumed, ParticipantLeft
from router.model.states import AssignmentState


def leave(step: Step, contact: Contact, work: Assignment, reason: str) -> None:
    """He is out of the conversation; his work is for the caller to release in the same step."""
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
    """All but the owner are out of it; their work is for the caller to release in the same step."""
    works = [step.state.assignments[name] for name in contact.parties]
    for work in works:
        leave(step, contact, work, reason)
    return works


def hold_for_consult(step: Step, contact: Contact) -> None:
    """The consult begins: the customer waits, where the channel says so and he does not wait already."""
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
    """The consult is over: the customer is back with the owner, if it was the consult that put him on hold."""
    work = step.state.assignments[contact.assignment_id or ""]
    if work.held_for_consult and work.state is AssignmentState.ON_HOLD:
        step.emit(
            AssignmentResumed(
                assignment_id=work.assignment_id,
                contact_id=work.contact_id,
                agent_id=work.agent_id,
            )
        )
