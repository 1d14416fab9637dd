"""Conferences: agents join and leave a conversation, and its ownership is handed over.

The owner's commands for a consult are in ``consult``.
"""

from collections.abc import Callable
from typing import Any, Final

from router.core.decide.assignments import complete, release, release_party, step_out
from router.core.decide.parties import leave, off_hold
from router.core.decide.rescind import rescind_all
from router.core.decide.step import Step, repeated, unknown_agent, unknown_contact, wrong_state
from router.core.members import members, party_of, running_consult, under_new_owner
from router.core.state import Agent, Assignment, Contact
from router.model.commands import AddParticipant, HandOver, LeaveContact
from router.model.events import ContactHandedOver, ParticipantAdded, ParticipantJoined
from router.model.outcome import Answer
from router.model.refusals import RefusalCode, Refused
from router.model.states import (
    AgentState,
    AssignmentRole,
    AssignmentState,
    ContactState,
    OfferState,
    Presence,
)


def seats_taken(step: Step, contact: Contact, *, without: int = 0) -> bool:
    """Return whether the participants and pending consults reach the limit of the channel.

    ``released`` is the number of pending consults that are about to end.
    """
    offers = step.state.offers
    asked = sum(offers[name].role is not AssignmentRole.OWNER for name in contact.offers)
    most = step.state.index.channels[contact.channel].policy.participants_max
    return len(contact.parties) + asked - without >= most


def is_parked(step: Step, contact: Contact) -> bool:
    """Return whether the conversation is parked; no agent may join it then."""
    work = step.state.assignments[contact.assignment_id or ""]
    return work.state is AssignmentState.PARKED


def limit_reached(field: str) -> Refused:
    """Return the refusal for a conversation that has reached its limit of participants."""
    return Refused(
        code=RefusalCode.PARTICIPANTS_LIMIT, field=field, detail="participants_max of the channel"
    )


def join(step: Step, contact: Contact, work: Assignment) -> None:
    """Make the consulted agent a participant of the conversation with the customer."""
    step.emit(
        ParticipantJoined(
            contact_id=contact.contact_id,
            assignment_id=work.assignment_id,
            agent_id=work.agent_id,
            members=members(step.state, contact) | {work.agent_id: AssignmentRole.PARTICIPANT},
            gateway_id=contact.gateway_id,
        )
    )
    off_hold(step, contact)


def end_consult(step: Step, contact: Contact, *, but: str = "") -> None:
    """End a running consult because the owner loses the contact, unless its agent is ``except_agent_id``, the new owner."""
    work = running_consult(step.state, contact)
    if work is not None and work.agent_id != but:
        leave(step, contact, work, "owner_changed")
        complete(step, work, "consult_ended")


def pass_on(step: Step, contact: Contact, agent: Agent, reason: str) -> Answer:
    """Hand the contact over to an agent who is in the conversation, and release the assignment of the old owner."""
    old = _hand_over(step, contact, agent, reason)
    answer = step.done(contact.contact_id, contact.state)
    release(step, old)
    return answer


def _hand_over(step: Step, contact: Contact, agent: Agent, reason: str) -> Assignment:
    state = step.state
    rescind_all(step, contact, "moved")
    end_consult(step, contact, but=agent.agent_id)
    work, old = (
        party_of(state, contact, agent.agent_id),
        state.assignments[contact.assignment_id or ""],
    )
    assert work is not None
    step.emit(
        ContactHandedOver(
            contact_id=contact.contact_id,
            assignment_id=work.assignment_id,
            agent_id=work.agent_id,
            from_assignment_id=old.assignment_id,
            from_agent_id=old.agent_id,
            reason=reason,
            members=under_new_owner(state, contact, agent.agent_id),
            gateway_id=contact.gateway_id,
        )
    )
    return old


def heir(step: Step, contact: Contact) -> Agent | None:
    """Return the first participant who is present and can take over from an owner whose desktop is lost."""
    state = step.state
    for name in contact.parties:
        agent = state.agents[state.assignments[name].agent_id]
        is_there = agent.presence is not Presence.LOST and agent.state is not AgentState.OFFLINE
        if is_there and state.assignments[name].role is AssignmentRole.PARTICIPANT:
            return agent
    return None


def inherit(step: Step, contact: Contact, agent: Agent) -> None:
    """Hand the contact over to a participant because the owner's desktop is lost."""
    complete(step, _hand_over(step, contact, agent, "lost_desktop"), "lost_desktop")


def lose_party(step: Step, work: Assignment) -> None:
    """Remove a consulted agent or participant whose desktop is lost; the owner keeps the contact."""
    step_out(step, step.state.contacts[work.contact_id], work, "lost_desktop")
    complete(step, work, "lost_desktop")


def _leave(step: Step, command: LeaveContact) -> Answer:
    state = step.state
    contact = state.contacts.get(command.contact_id)
    if contact is None:
        return unknown_contact()
    if command.agent_id not in state.agents:
        return unknown_agent()
    work = party_of(state, contact, command.agent_id)
    if work is None:
        return _not_in_it(step, contact, command.agent_id)
    step_out(step, contact, work, command.reason)
    answer = step.done(contact.contact_id, contact.state)
    release_party(step, work)
    return answer


def _not_in_it(step: Step, contact: Contact, agent_id: str) -> Answer:
    is_owner = contact.agent_id == agent_id
    if is_owner and contact.state is ContactState.ASSIGNED:
        return wrong_state(
            contact.state, "hand_over", "transfer", "end", detail="the agent owns the contact"
        )
    was_in_it = any(
        how is OfferState.ACCEPTED and whose == agent_id
        for how, _, whose in (contact.gone or {}).values()
    )
    if was_in_it or is_owner:
        return repeated(contact.contact_id, contact.state, step.state.seq)
    return not_participant("agent_id")


def not_participant(field: str) -> Refused:
    """Return the refusal for an agent who is not a participant."""
    return Refused(code=RefusalCode.NOT_PARTICIPANT, field=field)


def _hand(step: Step, command: HandOver) -> Answer:
    state = step.state
    contact, agent = state.contacts.get(command.contact_id), state.agents.get(command.to_agent_id)
    if contact is None:
        return unknown_contact()
    if command.agent_id not in (None, contact.agent_id):
        return Refused(code=RefusalCode.NOT_OWNER, field="contact_id")
    if contact.state is not ContactState.ASSIGNED:
        return wrong_state(contact.state)
    if agent is None:
        return unknown_agent("to_agent_id")
    if agent.agent_id == contact.agent_id:
        return repeated(contact.contact_id, contact.state, contact.answered_seq)
    work = party_of(state, contact, agent.agent_id)
    if work is None or work.role is not AssignmentRole.PARTICIPANT:
        return not_participant("to_agent_id")
    return pass_on(step, contact, agent, "hand_over")


def _add(step: Step, command: AddParticipant) -> Answer:
    state = step.state
    contact, agent = state.contacts.get(command.contact_id), state.agents.get(command.agent_id)
    if contact is None:
        return unknown_contact()
    if agent is None:
        return unknown_agent()
    if contact.state is not ContactState.ASSIGNED:
        return wrong_state(contact.state)
    work = party_of(state, contact, agent.agent_id)
    if work is not None and work.role is AssignmentRole.CONSULT:
        join(step, contact, work)
        return step.done(contact.contact_id, contact.state)
    if work is not None or contact.agent_id == agent.agent_id:
        return repeated(contact.contact_id, contact.state, state.seq)
    if agent.state is AgentState.OFFLINE:
        return Refused(
            code=RefusalCode.AGENT_STATE,
            field="agent_id",
            state=str(agent.state),
            allowed=("ready", "not_ready"),
        )
    if is_parked(step, contact):
        return wrong_state(contact.state, "unpark", detail="the conversation is parked")
    own = [state.offers[name] for name in contact.offers if name in agent.offers]
    if seats_taken(step, contact, without=sum(o.role is not AssignmentRole.OWNER for o in own)):
        return limit_reached("agent_id")
    if not state.index.has_capacity(agent, contact.channel, without=len(own)):
        return Refused(code=RefusalCode.CAPACITY_EXCEEDED, field="agent_id")
    if own:
        rescind_all(step, contact, "taken", about_to_get_it=agent)
    return _bring_in(step, contact, agent)


def _bring_in(step: Step, contact: Contact, agent: Agent) -> Answer:
    state = step.state
    step.emit(
        ParticipantAdded(
            contact_id=contact.contact_id,
            assignment_id=f"{contact.contact_id}.{contact.offers_made + 1}",
            agent_id=agent.agent_id,
            units=state.index.channels[contact.channel].units,
            channel=contact.channel,
            queue_id=contact.queue_id,
            attributes=contact.attributes,
            reference=contact.reference,
            members=members(state, contact) | {agent.agent_id: AssignmentRole.PARTICIPANT},
            gateway_id=contact.gateway_id,
        )
    )
    return step.done(contact.contact_id, contact.state)


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    LeaveContact: _leave,
    HandOver: _hand,
    AddParticipant: _add,
}
