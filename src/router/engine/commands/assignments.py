"""Commands on assignments: hold, wrap-up and completion; and how agents leave a conversation.

A conversation has one owner and possibly participants (conference) and a consulted agent. Functions that take an agent out of
a conversation only emit the event; the caller then releases the assignment, in the same transaction.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from router.engine.commands.channel_events import emit_channel_failed, is_on_other_channel
from router.engine.commands.goals import correct_disposition
from router.engine.commands.rescind import enter_next_state, rescind_contact_offers
from router.engine.commands.transaction import Transaction, already_done, unknown_assignment
from router.engine.commands.validation import validate_disposition
from router.engine.state.contact import Contact
from router.engine.state.records import Assignment
from router.engine.state.workspace import conversation_roles, operations_on
from router.model.commands import CompleteAssignment, ExtendWrapUp, HoldAssignment, ResumeAssignment
from router.model.events.agent import (
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentResumed,
    DispositionRecorded,
    ParticipantLeft,
    WrapUpExtended,
    WrapUpStarted,
)
from router.model.events.contact import ContactEnded
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import AssignmentRole, AssignmentState, ContactState, EndedBy

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_ACTIVE: Final = AssignmentState.ACTIVE
_ASSIGNED: Final = ContactState.ASSIGNED
_COMPLETED: Final = AssignmentState.COMPLETED
_CONSULT: Final = AssignmentRole.CONSULT
_ON_HOLD: Final = AssignmentState.ON_HOLD
_OWNER: Final = AssignmentRole.OWNER
_WRAP_UP: Final = AssignmentState.WRAP_UP


def wrap_up_ms(tx: Transaction, assignment: Assignment) -> int:
    """Return the duration of wrap-up in milliseconds: that of the queue for the channel, else that of the channel."""
    state, name = tx.state, assignment.channel
    own = state.queue_policy(assignment.queue_id).wrap_up_s
    if own and name in own:
        return 1000 * own[name]
    channel = state.index.channels.by_name.get(name)
    return 0 if channel is None else 1000 * channel.policy.wrap_up_s


def release_assignment(tx: Transaction, assignment: Assignment) -> None:
    """Release the assignment of a contact that has ended or changed its owner: start wrap-up, or complete it without one."""
    duration_ms = wrap_up_ms(tx, assignment)
    if duration_ms:
        tx.emit(
            WrapUpStarted(
                assignment_id=assignment.assignment_id,
                contact_id=assignment.contact_id,
                agent_id=assignment.agent_id,
                deadline_ms=tx.at_ms + duration_ms,
            )
        )
    else:
        complete_assignment(tx, assignment, "no_wrap_up")


def release_participant(tx: Transaction, assignment: Assignment) -> None:
    """Release the assignment of an agent who has left a conversation; a consult has no wrap-up."""
    if assignment.role is _CONSULT:
        complete_assignment(tx, assignment, "consult_ended")
    else:
        release_assignment(tx, assignment)


def complete_assignment(tx: Transaction, assignment: Assignment, reason: str, disposition: str | None = None) -> None:
    """Complete an assignment and enter the pending next state of its agent if no work is left."""
    agent = tx.state.agents[assignment.agent_id]
    tx.emit(
        AssignmentCompleted(
            assignment_id=assignment.assignment_id,
            contact_id=assignment.contact_id,
            agent_id=assignment.agent_id,
            reason=reason,
            disposition=disposition,
        )
    )
    if agent.next_state is not None:
        enter_next_state(tx, agent)


def find_assignment(tx: Transaction, assignment_id: str, agent_id: str | None) -> Assignment | None:
    """Return the open assignment if it belongs to the agent; with ``agent_id`` None, of any agent."""
    assignment = tx.state.assignments.get(assignment_id)
    if assignment is None or (agent_id is not None and assignment.agent_id != agent_id):
        return None
    return assignment


def _completed_contact(tx: Transaction, assignment_id: str, agent_id: str | None) -> tuple[Contact, str] | None:
    """Return the contact and agent of a completed assignment; known until the contact is dropped by retention.

    None if there is none, or if it belongs to another agent; with ``agent_id`` None, of any agent.
    """
    contact = tx.state.contacts.get(assignment_id.rpartition(".")[0])
    if contact is None or assignment_id in tx.state.assignments:
        return None
    if contact.assignment_id == assignment_id:
        owner = contact.agent_id
    else:
        end = (contact.ended_offers or {}).get(assignment_id)
        owner = end[2] if end is not None and end[0] == "accepted" else None
    return (contact, owner) if owner is not None and agent_id in (None, owner) else None


def wrong_assignment_state(tx: Transaction, assignment: Assignment) -> Refused:
    """Return the refusal for an assignment whose state does not allow the command, with the operations that it does allow."""
    return Refused(
        code=RefusalCode.INVALID_ASSIGNMENT_STATE,
        field="assignment_id",
        state=str(assignment.state),
        allowed=operations_on(tx.state, assignment),
    )


def _hold_assignment(tx: Transaction, command: HoldAssignment) -> CommandResult:
    return _change_hold(tx, command, _ACTIVE, _ON_HOLD, AssignmentHeld)


def _resume_assignment(tx: Transaction, command: ResumeAssignment) -> CommandResult:
    return _change_hold(tx, command, _ON_HOLD, _ACTIVE, AssignmentResumed)


def _change_hold(
    tx: Transaction,
    command: HoldAssignment | ResumeAssignment,
    before: AssignmentState,
    after: AssignmentState,
    event: type[AssignmentHeld | AssignmentResumed],
) -> CommandResult:
    assignment = find_assignment(tx, command.assignment_id, command.agent_id)
    if assignment is None:
        return unknown_assignment()
    is_owner = assignment.role is _OWNER
    if assignment.state is after and is_owner:
        return already_done(assignment.assignment_id, assignment.state, tx.state.seq)
    if assignment.state is not before or not is_owner:
        return wrong_assignment_state(tx, assignment)
    tx.emit(event(assignment_id=assignment.assignment_id, contact_id=assignment.contact_id, agent_id=assignment.agent_id))
    return tx.done(assignment.assignment_id, assignment.state)


def _extend_wrap_up(tx: Transaction, command: ExtendWrapUp) -> CommandResult:
    assignment = find_assignment(tx, command.assignment_id, command.agent_id)
    if assignment is None:
        return unknown_assignment()
    if assignment.wrap_up_deadline_ms is None or assignment.wrap_up_started_at_ms is None:
        return wrong_assignment_state(tx, assignment)
    if command.extend_s < 1:
        return Refused(code=RefusalCode.INVALID_VALUE, field="extend_s", detail="must be at least 1 second")
    channel = tx.state.index.channels.by_name.get(assignment.channel)
    most_s = 0 if channel is None else channel.policy.wrap_up_max_s
    deadline_ms = assignment.wrap_up_deadline_ms + 1000 * command.extend_s
    if deadline_ms > assignment.wrap_up_started_at_ms + 1000 * most_s:
        return Refused(
            code=RefusalCode.WRAP_UP_LIMIT_EXCEEDED,
            field="extend_s",
            detail=f"wrap_up_max_s is {most_s}, counted from the start of wrap-up",
        )
    tx.emit(
        WrapUpExtended(
            assignment_id=assignment.assignment_id,
            contact_id=assignment.contact_id,
            agent_id=assignment.agent_id,
            deadline_ms=deadline_ms,
        )
    )
    return tx.done(assignment.assignment_id, assignment.state)


def _complete_command(tx: Transaction, command: CompleteAssignment) -> CommandResult:
    state = tx.state
    assignment_id, disposition = command.assignment_id, command.disposition
    assignment = find_assignment(tx, assignment_id, command.agent_id)
    if assignment is None:
        completed = _completed_contact(tx, assignment_id, command.agent_id)
        if completed is None:
            return unknown_assignment()
        return _complete_late(tx, command, *completed)
    refused = validate_disposition(state, disposition, assignment.queue_id)
    if refused is not None:
        return refused
    if assignment.state is not _WRAP_UP:
        _end_or_leave(tx, assignment, EndedBy.SUPERVISOR if command.agent_id is None else EndedBy.AGENT)
    complete_assignment(tx, assignment, "finished", disposition)
    return Done(assignment_id, _COMPLETED, state.seq)


def _complete_late(tx: Transaction, command: CompleteAssignment, contact: Contact, agent_id: str) -> CommandResult:
    """Answer for an assignment that is completed already: record a disposition that is given late, or a repeat."""
    assignment_id, disposition = command.assignment_id, command.disposition
    known = dict(contact.dispositions).get(assignment_id)
    if disposition is None or disposition == known:
        return already_done(assignment_id, _COMPLETED, tx.state.seq)
    refused = validate_disposition(tx.state, disposition, contact.queue_id)
    if refused is not None:
        return refused
    if known is not None:
        codes = () if tx.state.policy is None else tx.state.policy.dispositions
        return Refused(
            code=RefusalCode.INVALID_ASSIGNMENT_STATE,
            field="disposition",
            state=str(_COMPLETED),
            detail=f"it was completed with {known if known in codes else 'another disposition'}, which is not replaced",
        )
    tx.emit(
        DispositionRecorded(assignment_id=assignment_id, contact_id=contact.contact_id, agent_id=agent_id, disposition=disposition)
    )
    seq = tx.state.seq
    correct_disposition(tx, contact.contact_id, assignment_id, disposition)
    return Done(assignment_id, _COMPLETED, seq)


def _end_or_leave(tx: Transaction, assignment: Assignment, ended_by: EndedBy) -> None:
    """Take the agent of an assignment out of its conversation: the owner ends it, a participant leaves it."""
    contact = tx.state.contacts.get(assignment.contact_id)
    if contact is not None and contact.state is _ASSIGNED and contact.assignment_id == assignment.assignment_id:
        for participant in end_contact(tx, contact, assignment, "completed", ended_by):
            release_participant(tx, participant)
    elif contact is not None and assignment.assignment_id in contact.participant_assignment_ids:
        leave_conversation(tx, contact, assignment, "finished")


def leave_conversation(tx: Transaction, contact: Contact, assignment: Assignment, reason: str) -> None:
    """Remove a participant from the conversation; the caller releases the assignment in the same transaction."""
    remove_participant(tx, contact, assignment, reason)
    if assignment.role is _CONSULT:
        resume_after_consult(tx, contact)
    if is_on_other_channel(contact, assignment):
        emit_channel_failed(tx, contact, "cancelled")


def end_contact(tx: Transaction, contact: Contact, assignment: Assignment, reason: str, ended_by: EndedBy) -> Sequence[Assignment]:
    """End the contact and rescind its pending offers.

    Returns the assignments of the participants, which the caller releases in the same transaction.
    """
    if contact.pending_offer_ids:
        rescind_contact_offers(tx, contact, "customer_left" if reason == "customer_left" else "owner_ended")
    participants = remove_all_participants(tx, contact, "contact_ended", ended_by) if contact.participant_assignment_ids else ()
    tx.emit(
        ContactEnded(
            contact_id=assignment.contact_id,
            assignment_id=assignment.assignment_id,
            agent_id=assignment.agent_id,
            reason=reason,
            gateway_id=contact.gateway_id,
            ended_by=ended_by,
        )
    )
    return participants


def remove_participant(
    tx: Transaction, contact: Contact, assignment: Assignment, reason: str, ended_by: EndedBy | None = None
) -> None:
    """Remove an agent from the conversation; the caller releases the assignment in the same transaction."""
    remaining = conversation_roles(tx.state, contact)
    del remaining[assignment.agent_id]
    tx.emit(
        ParticipantLeft(
            contact_id=contact.contact_id,
            assignment_id=assignment.assignment_id,
            agent_id=assignment.agent_id,
            role=assignment.role,
            reason=reason,
            members=remaining,
            gateway_id=contact.gateway_id,
            ended_by=ended_by,
        )
    )


def remove_all_participants(tx: Transaction, contact: Contact, reason: str, ended_by: EndedBy | None = None) -> list[Assignment]:
    """Remove all agents but the owner; the caller releases the returned assignments in the same transaction."""
    assignments = [tx.state.assignments[name] for name in contact.participant_assignment_ids]
    for assignment in assignments:
        remove_participant(tx, contact, assignment, reason, ended_by)
    return assignments


def hold_for_consult(tx: Transaction, contact: Contact) -> None:
    """Put the customer on hold for a consult, if the channel says so and the conversation is not on hold already."""
    state = tx.state
    assignment = state.assignments[contact.assignment_id or ""]
    holds = state.index.channels.by_name[contact.channel].policy.hold_during_consult
    if holds and assignment.state is AssignmentState.ACTIVE:
        tx.emit(
            AssignmentHeld(
                assignment_id=assignment.assignment_id,
                contact_id=assignment.contact_id,
                agent_id=assignment.agent_id,
                reason="consult",
            )
        )


def resume_after_consult(tx: Transaction, contact: Contact) -> None:
    """Resume the conversation after a consult, if it was the consult that put the customer on hold."""
    assignment = tx.state.assignments[contact.assignment_id or ""]
    if assignment.held_for_consult and assignment.state is AssignmentState.ON_HOLD:
        tx.emit(
            AssignmentResumed(
                assignment_id=assignment.assignment_id, contact_id=assignment.contact_id, agent_id=assignment.agent_id
            )
        )


ASSIGNMENT_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    HoldAssignment: _hold_assignment,
    ResumeAssignment: _resume_assignment,
    ExtendWrapUp: _extend_wrap_up,
    CompleteAssignment: _complete_command,
}
