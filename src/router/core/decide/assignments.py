"""Assignments: hold, wrap-up, completion, and the end of a conversation."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from router.core.decide.next_state import enter_next_state
from router.core.decide.parties import everybody_leaves, leave, off_hold
from router.core.decide.rescind import rescind_all
from router.core.decide.step import Step, repeated
from router.core.state import Assignment, Contact
from router.model.commands import (
    CompleteAssignment,
    ExtendWrapUp,
    HoldAssignment,
    ResumeAssignment,
)
from router.model.events import (
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentResumed,
    ContactEnded,
    WrapUpExtended,
    WrapUpStarted,
)
from router.model.outcome import Answer, Done
from router.model.refusals import RefusalCode, Refused
from router.model.states import AssignmentRole, AssignmentState, ContactState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_ACTIVE: Final = AssignmentState.ACTIVE
_ASSIGNED: Final = ContactState.ASSIGNED
_COMPLETED: Final = AssignmentState.COMPLETED
_CONSULT: Final = AssignmentRole.CONSULT
_ON_HOLD: Final = AssignmentState.ON_HOLD
_OWNER: Final = AssignmentRole.OWNER
_WRAP_UP: Final = AssignmentState.WRAP_UP

_UNKNOWN: Final = Refused(code=RefusalCode.UNKNOWN_ASSIGNMENT, field="assignment_id")


def wrap_up_ms(step: Step, work: Assignment) -> int:
    """Return the duration of wrap-up in milliseconds: that of the queue for the channel, else that of the channel."""
    state, name = step.state, work.channel
    own = state.queue_policy(work.queue_id).wrap_up_s
    if own and name in own:
        return 1000 * own[name]
    channel = state.index.channels.get(name)
    return 0 if channel is None else 1000 * channel.policy.wrap_up_s


def release(step: Step, work: Assignment) -> None:
    """Release the assignment of a contact that has ended or changed its owner: start wrap-up, or complete it without one."""
    duration_ms = wrap_up_ms(step, work)
    if duration_ms:
        step.emit(
            WrapUpStarted(
                assignment_id=work.assignment_id,
                contact_id=work.contact_id,
                agent_id=work.agent_id,
                deadline_ms=step.at_ms + duration_ms,
            )
        )
    else:
        complete(step, work, "no_wrap_up")


def release_party(step: Step, work: Assignment) -> None:
    """Release the assignment of an agent who has left a conversation; a consult has no wrap-up."""
    if work.role is _CONSULT:
        complete(step, work, "consult_ended")
    else:
        release(step, work)


def complete(step: Step, work: Assignment, reason: str, disposition: str | None = None) -> None:
    """Complete an assignment and enter the pending next state of its agent if no work is left."""
    agent = step.state.agents[work.agent_id]
    step.emit(
        AssignmentCompleted(
            assignment_id=work.assignment_id,
            contact_id=work.contact_id,
            agent_id=work.agent_id,
            reason=reason,
            disposition=disposition,
        )
    )
    if agent.next_state is not None:
        enter_next_state(step, agent)


def owned(step: Step, assignment_id: str, agent_id: str | None) -> Assignment | None:
    """Return the open assignment if it belongs to the agent; with ``agent_id`` None, of any agent."""
    work = step.state.assignments.get(assignment_id)
    if work is None or (agent_id is not None and work.agent_id != agent_id):
        return None
    return work


def _completed_before(step: Step, assignment_id: str, agent_id: str | None) -> bool:
    """Return whether the agent has completed this assignment; known until the contact is dropped by retention."""
    contact = step.state.contacts.get(assignment_id.rpartition(".")[0])
    if contact is None or assignment_id in step.state.assignments:
        return False
    if contact.assignment_id == assignment_id:
        return agent_id in (None, contact.agent_id)
    end = (contact.gone or {}).get(assignment_id)
    return end is not None and end[0] == "accepted" and agent_id in (None, end[2])


def _wrong_state(work: Assignment, *allowed: str) -> Refused:
    return Refused(
        code=RefusalCode.ASSIGNMENT_STATE,
        field="assignment_id",
        state=str(work.state),
        allowed=allowed,
    )


def allowed(work: Assignment) -> tuple[str, ...]:
    """Return the actions that its agent may take on the assignment in its present state."""
    if work.role is not _OWNER and work.state is not _WRAP_UP:
        return ("leave", "complete")
    match work.state:
        case AssignmentState.ACTIVE:
            return ("hold", "park", "end", "complete", "transfer")
        case AssignmentState.ON_HOLD:
            return ("unhold", "park", "end", "complete", "transfer")
        case AssignmentState.PARKED:
            return ("unpark", "end", "complete", "transfer")
        case _:
            return ("extend_wrap_up", "complete")


def _hold(step: Step, command: HoldAssignment) -> Answer:
    return _turn(step, command, _ACTIVE, _ON_HOLD, AssignmentHeld)


def _resume(step: Step, command: ResumeAssignment) -> Answer:
    return _turn(step, command, _ON_HOLD, _ACTIVE, AssignmentResumed)


def _turn(
    step: Step,
    command: HoldAssignment | ResumeAssignment,
    before: AssignmentState,
    after: AssignmentState,
    event: type[AssignmentHeld | AssignmentResumed],
) -> Answer:
    work = owned(step, command.assignment_id, command.agent_id)
    if work is None:
        return _UNKNOWN
    is_owner = work.role is _OWNER
    if work.state is after and is_owner:
        return repeated(work.assignment_id, work.state, step.state.seq)
    if work.state is not before or not is_owner:
        return _wrong_state(work, *allowed(work))
    step.emit(
        event(assignment_id=work.assignment_id, contact_id=work.contact_id, agent_id=work.agent_id)
    )
    return step.done(work.assignment_id, work.state)


def _extend(step: Step, command: ExtendWrapUp) -> Answer:
    work = owned(step, command.assignment_id, command.agent_id)
    if work is None:
        return _UNKNOWN
    if work.wrap_up_deadline_ms is None or work.wrap_up_started_at_ms is None:
        return _wrong_state(work, *allowed(work))
    if command.extend_s < 1:
        return Refused(code=RefusalCode.INVALID_VALUE, field="extend_s", detail="at least 1")
    channel = step.state.index.channels.get(work.channel)
    most_s = 0 if channel is None else channel.policy.wrap_up_max_s
    deadline_ms = work.wrap_up_deadline_ms + 1000 * command.extend_s
    if deadline_ms > work.wrap_up_started_at_ms + 1000 * most_s:
        return Refused(
            code=RefusalCode.WRAP_UP_LIMIT,
            field="extend_s",
            detail=f"wrap_up_max_s is {most_s}, counted from the start of wrap-up",
        )
    step.emit(
        WrapUpExtended(
            assignment_id=work.assignment_id,
            contact_id=work.contact_id,
            agent_id=work.agent_id,
            deadline_ms=deadline_ms,
        )
    )
    return step.done(work.assignment_id, work.state)


def _complete(step: Step, command: CompleteAssignment) -> Answer:
    state = step.state
    assignment_id, disposition = command.assignment_id, command.disposition
    work = owned(step, assignment_id, command.agent_id)
    if work is None:
        if _completed_before(step, assignment_id, command.agent_id):
            return repeated(assignment_id, _COMPLETED, state.seq)
        return _UNKNOWN
    if disposition is not None:
        codes = () if state.policy is None else state.policy.dispositions
        if codes and disposition not in codes:
            return Refused(
                code=RefusalCode.INVALID_VALUE,
                field="disposition",
                detail="not one of dispositions of the policy",
            )
    if work.state is not _WRAP_UP:
        _leave_conversation(step, work)
    complete(step, work, "finished", disposition)
    return Done(assignment_id, _COMPLETED, state.seq)


def _leave_conversation(step: Step, work: Assignment) -> None:
    """Take the agent of an assignment out of its conversation: the owner ends it, a participant leaves it."""
    contact = step.state.contacts.get(work.contact_id)
    if (
        contact is not None
        and contact.state is _ASSIGNED
        and contact.assignment_id == work.assignment_id
    ):
        for party in end_contact(step, contact, work, "completed"):
            release_party(step, party)
    elif contact is not None and work.assignment_id in contact.parties:
        step_out(step, contact, work, "finished")


def step_out(step: Step, contact: Contact, work: Assignment, reason: str) -> None:
    """Remove a participant from the conversation; the caller releases the assignment in the same transaction."""
    leave(step, contact, work, reason)
    if work.role is _CONSULT:
        off_hold(step, contact)


def end_contact(
    step: Step, contact: Contact, work: Assignment, reason: str
) -> Sequence[Assignment]:
    """End the contact and rescind its pending offers.

    Returns the assignments of the participants, which the caller releases in the same transaction.
    """
    if contact.offers:
        rescind_all(step, contact, "customer_left" if reason == "customer_left" else "owner_ended")
    parties = everybody_leaves(step, contact, "contact_ended") if contact.parties else ()
    step.emit(
        ContactEnded(
            contact_id=work.contact_id,
            assignment_id=work.assignment_id,
            agent_id=work.agent_id,
            reason=reason,
            gateway_id=contact.gateway_id,
        )
    )
    return parties


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    HoldAssignment: _hold,
    ResumeAssignment: _resume,
    ExtendWrapUp: _extend,
    CompleteAssignment: _complete,
}
