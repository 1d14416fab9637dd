"""Conferences: agents join and leave a conversation, and its ownership is handed over.

The owner's commands for a consult are in ``consult``.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands.assignments import (
    complete_assignment,
    leave_conversation,
    release_assignment,
    release_participant,
    remove_participant,
    resume_after_consult,
)
from router.engine.commands.channel_events import emit_switched, reference_under_new_owner, request_take_over
from router.engine.commands.rescind import rescind_contact_offers
from router.engine.commands.transaction import (
    Transaction,
    already_done,
    is_visible,
    not_owner,
    requester_of,
    unknown_agent,
    unknown_contact,
    wrong_contact_state,
)
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.engine.state.records import Assignment, work_queue_id
from router.engine.state.workspace import active_consult, conversation_roles, participant_assignment, roles_under_new_owner
from router.model.commands import AddParticipant, HandOverContact, LeaveContact
from router.model.events import ContactHandedOver, ParticipantAdded, ParticipantJoined
from router.model.operations import Requester
from router.model.results import CommandResult, RefusalCode, Refused
from router.model.states import AgentState, AssignmentRole, AssignmentState, ContactState, Presence


def is_at_participants_limit(tx: Transaction, contact: Contact, *, released: int = 0) -> bool:
    """Return whether the participants and pending consults reach the limit of the channel.

    ``released`` is the number of pending consults that are about to end.
    """
    offers = tx.state.offers
    consults = sum(offers[name].role is not AssignmentRole.OWNER for name in contact.pending_offer_ids)
    most = tx.state.index.channels.by_name[contact.channel].policy.participants_max
    return len(contact.participant_assignment_ids) + consults - released >= most


def is_parked(tx: Transaction, contact: Contact) -> bool:
    """Return whether the conversation is parked; no agent may join it then."""
    assignment = tx.state.assignments[contact.assignment_id or ""]
    return assignment.state is AssignmentState.PARKED


def participants_limit_refusal(field: str) -> Refused:
    """Return the refusal for a conversation that has reached its limit of participants."""
    return Refused(
        code=RefusalCode.PARTICIPANT_LIMIT_EXCEEDED,
        field=field,
        detail="the conversation has reached participants_max of its channel",
    )


def join_consulted_agent(tx: Transaction, contact: Contact, assignment: Assignment) -> None:
    """Make the consulted agent a participant of the conversation with the customer."""
    tx.emit(
        ParticipantJoined(
            contact_id=contact.contact_id,
            assignment_id=assignment.assignment_id,
            agent_id=assignment.agent_id,
            members=conversation_roles(tx.state, contact) | {assignment.agent_id: AssignmentRole.PARTICIPANT},
            gateway_id=contact.gateway_id,
        )
    )
    resume_after_consult(tx, contact)


def end_consult(tx: Transaction, contact: Contact, *, except_agent_id: str = "") -> None:
    """End a running consult because the owner loses the contact, unless its agent is ``except_agent_id``, the new owner."""
    assignment = active_consult(tx.state, contact)
    if assignment is not None and assignment.agent_id != except_agent_id:
        remove_participant(tx, contact, assignment, "owner_changed")
        complete_assignment(tx, assignment, "consult_ended")


def hand_over_contact(tx: Transaction, contact: Contact, agent: Agent, reason: str) -> CommandResult:
    """Hand the contact over to an agent who is in the conversation, and release the assignment of the old owner."""
    old = _emit_handed_over(tx, contact, agent, reason)
    answer = tx.done(contact.contact_id, contact.state)
    release_assignment(tx, old)
    return answer


def pass_on_contact(tx: Transaction, contact: Contact, assignment: Assignment, reason: str, requester: Requester) -> CommandResult:
    """Hand the contact over to an agent who is in the conversation.

    To an agent who is in it for a switch of the channel, only once the gateway has connected the customer: it is asked to now.
    """
    switch = contact.switch
    if switch is not None and switch.to_assignment_id is not None:
        if switch.to_assignment_id == assignment.assignment_id:
            return already_done(contact.contact_id, contact.state, switch.requested_seq)
        return wrong_contact_state(tx, contact, requester, "the customer is being connected with another agent")
    if assignment.channel == contact.channel:
        return hand_over_contact(tx, contact, tx.state.agents[assignment.agent_id], reason)
    request_take_over(tx, contact, assignment)
    return tx.done(contact.contact_id, contact.state)


def _emit_handed_over(tx: Transaction, contact: Contact, agent: Agent, reason: str) -> Assignment:
    state = tx.state
    rescind_contact_offers(tx, contact, "moved")
    end_consult(tx, contact, except_agent_id=agent.agent_id)
    old = state.assignments[contact.assignment_id or ""]
    assignment = participant_assignment(state, contact, agent.agent_id)
    assert assignment is not None
    queue_id = work_queue_id("hand over", contact.queue_id, assignment=assignment)
    reference = reference_under_new_owner(contact, assignment)
    tx.emit(
        ContactHandedOver(
            contact_id=contact.contact_id,
            assignment_id=assignment.assignment_id,
            agent_id=assignment.agent_id,
            from_assignment_id=old.assignment_id,
            from_agent_id=old.agent_id,
            reason=reason,
            members=roles_under_new_owner(state, contact, agent.agent_id),
            gateway_id=contact.gateway_id,
            queue_id=None if queue_id == contact.queue_id else queue_id,
        )
    )
    if assignment.channel != contact.channel:
        # The new owner was consulted for a switch of the channel, which this completes.
        emit_switched(tx, contact, assignment.channel, reference)
    return old


def find_successor(tx: Transaction, contact: Contact) -> Agent | None:
    """Return the first participant who is present and can take over from an owner whose desktop is lost."""
    state = tx.state
    for name in contact.participant_assignment_ids:
        agent = state.agents[state.assignments[name].agent_id]
        is_present = agent.presence is not Presence.LOST and agent.state is not AgentState.OFFLINE
        if is_present and state.assignments[name].role is AssignmentRole.PARTICIPANT:
            return agent
    return None


def hand_over_to_successor(tx: Transaction, contact: Contact, agent: Agent) -> None:
    """Hand the contact over to a participant because the owner's desktop is lost."""
    complete_assignment(tx, _emit_handed_over(tx, contact, agent, "lost_desktop"), "lost_desktop")


def remove_disconnected_participant(tx: Transaction, assignment: Assignment) -> None:
    """Remove a consulted agent or participant whose desktop is lost; the owner keeps the contact."""
    leave_conversation(tx, tx.state.contacts[assignment.contact_id], assignment, "lost_desktop")
    complete_assignment(tx, assignment, "lost_desktop")


def _leave_contact(tx: Transaction, command: LeaveContact) -> CommandResult:
    state = tx.state
    contact = state.contacts.get(command.contact_id)
    if contact is None:
        return unknown_contact()
    assignment = participant_assignment(state, contact, command.agent_id)
    if assignment is None:
        return _leave_refusal(tx, contact, command)
    leave_conversation(tx, contact, assignment, command.reason)
    answer = tx.done(contact.contact_id, contact.state)
    release_participant(tx, assignment)
    return answer


def _leave_refusal(tx: Transaction, contact: Contact, command: LeaveContact) -> CommandResult:
    """Answer for an agent who does not take part: a repeat, or the refusal."""
    agent_id = command.agent_id
    requester = Requester.OWNER if command.reason == "left" else Requester.SUPERVISOR
    if contact.agent_id == agent_id and contact.state is ContactState.ASSIGNED:
        return wrong_contact_state(tx, contact, requester, "the agent owns the contact")
    if agent_id in contact.left_agent_ids:
        return already_done(contact.contact_id, contact.state, tx.state.seq)
    if not is_visible(tx.state, contact, command):
        return unknown_contact()
    if contact.state.is_terminal:
        return wrong_contact_state(tx, contact, requester, "the conversation is over")
    return not_participant_refusal("agent_id") if agent_id in tx.state.agents else unknown_agent()


def not_participant_refusal(field: str) -> Refused:
    """Return the refusal for an agent who is not a participant."""
    return Refused(code=RefusalCode.NOT_PARTICIPANT, field=field)


def _hand_over_command(tx: Transaction, command: HandOverContact) -> CommandResult:
    state = tx.state
    contact, agent = state.contacts.get(command.contact_id), state.agents.get(command.to_agent_id)
    if contact is None or not is_visible(state, contact, command):
        return unknown_contact()
    if command.agent_id not in (None, contact.agent_id):
        return not_owner()
    if contact.state is not ContactState.ASSIGNED:
        return wrong_contact_state(tx, contact, requester_of(command))
    if agent is None:
        return unknown_agent("to_agent_id")
    if agent.agent_id == contact.agent_id:
        return already_done(contact.contact_id, contact.state, contact.answered_seq)
    assignment = participant_assignment(state, contact, agent.agent_id)
    if assignment is None or assignment.role is not AssignmentRole.PARTICIPANT:
        return not_participant_refusal("to_agent_id")
    return pass_on_contact(tx, contact, assignment, "hand_over", requester_of(command))


def _add_participant(tx: Transaction, command: AddParticipant) -> CommandResult:
    state = tx.state
    contact, agent = state.contacts.get(command.contact_id), state.agents.get(command.agent_id)
    if contact is None:
        return unknown_contact()
    if agent is None:
        return unknown_agent()
    if contact.state is not ContactState.ASSIGNED:
        return wrong_contact_state(tx, contact, Requester.SUPERVISOR)
    assignment = participant_assignment(state, contact, agent.agent_id)
    if assignment is not None and assignment.role is AssignmentRole.CONSULT:
        join_consulted_agent(tx, contact, assignment)
        return tx.done(contact.contact_id, contact.state)
    if assignment is not None or contact.agent_id == agent.agent_id:
        return already_done(contact.contact_id, contact.state, state.seq)
    if agent.state is AgentState.OFFLINE:
        return Refused(
            code=RefusalCode.INVALID_AGENT_STATE, field="agent_id", state=str(agent.state), allowed=("ready", "not_ready")
        )
    if is_parked(tx, contact):
        return wrong_contact_state(tx, contact, Requester.SUPERVISOR, "the conversation is parked")
    offers = [state.offers[name] for name in contact.pending_offer_ids if name in agent.offers]
    consults = sum(offer.role is not AssignmentRole.OWNER for offer in offers)
    if is_at_participants_limit(tx, contact, released=consults):
        return participants_limit_refusal("agent_id")
    if not state.index.agents.has_capacity(agent, contact.channel, released=len(offers)):
        return Refused(code=RefusalCode.CAPACITY_EXCEEDED, field="agent_id")
    if offers:
        rescind_contact_offers(tx, contact, "taken", next_owner=agent)
    return _emit_participant_added(tx, contact, agent)


def _emit_participant_added(tx: Transaction, contact: Contact, agent: Agent) -> CommandResult:
    state = tx.state
    tx.emit(
        ParticipantAdded(
            contact_id=contact.contact_id,
            assignment_id=f"{contact.contact_id}.{contact.offers_made + 1}",
            agent_id=agent.agent_id,
            units=state.index.channels.by_name[contact.channel].units,
            channel=contact.channel,
            queue_id=contact.queue_id,
            attributes=contact.attributes,
            reference=contact.reference,
            members=conversation_roles(state, contact) | {agent.agent_id: AssignmentRole.PARTICIPANT},
            gateway_id=contact.gateway_id,
            callback_phase=None if contact.callback is None else contact.callback.phase,
        )
    )
    return tx.done(contact.contact_id, contact.state)


CONFERENCE_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    LeaveContact: _leave_contact,
    HandOverContact: _hand_over_command,
    AddParticipant: _add_participant,
}
