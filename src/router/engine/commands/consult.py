"""Consults: the owner talks to another agent before continuing, handing over or starting a conference."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from router.engine.commands import offers
from router.engine.commands.assignments import complete_assignment, leave_conversation
from router.engine.commands.channel_events import SWITCH_REASON
from router.engine.commands.conference import (
    is_at_participants_limit,
    is_parked,
    join_consulted_agent,
    participants_limit_refusal,
    pass_on_contact,
)
from router.engine.commands.rescind import rescind_contact_offers
from router.engine.commands.transaction import (
    Transaction,
    is_visible,
    not_owner,
    requester_of,
    unknown_agent,
    unknown_contact,
    unknown_queue,
    wrong_contact_state,
)
from router.engine.matching.eligibility import is_available_now
from router.engine.matching.selection import select_agent
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.engine.state.records import Assignment
from router.engine.state.workspace import active_consult
from router.model.commands import CancelConsult, CompleteConsult, JoinConsult, StartConsult
from router.model.results import CommandResult, RefusalCode, Refused
from router.model.states import AssignmentRole, ContactState

_ConsultCommand: TypeAlias = StartConsult | CompleteConsult | CancelConsult | JoinConsult


def _owned_contact(tx: Transaction, command: _ConsultCommand) -> Contact | Refused:
    """Return the assigned contact if the command comes from its owner or a supervisor."""
    contact = tx.state.contacts.get(command.contact_id)
    if contact is None or not is_visible(tx.state, contact, command):
        return unknown_contact()
    if command.agent_id not in (None, contact.agent_id):
        return not_owner()
    if contact.state is not ContactState.ASSIGNED:
        return wrong_contact_state(tx, contact, requester_of(command))
    return contact


def _is_consult_pending(tx: Transaction, contact: Contact) -> bool:
    """Return whether the owner has asked for a consult; one that is offered for a switch of the channel ends with the switch."""
    offers_made = [tx.state.offers[name] for name in contact.pending_offer_ids]
    return any(offer.role is AssignmentRole.CONSULT and offer.reason != SWITCH_REASON for offer in offers_made)


def _consult_state(tx: Transaction, contact: Contact) -> str:
    if active_consult(tx.state, contact) is not None:
        return "running"
    return "pending" if _is_consult_pending(tx, contact) else "none"


def wrong_consult_state(tx: Transaction, contact: Contact, command: _ConsultCommand) -> Refused:
    """Return the refusal for a conversation without, or already with, a consult."""
    state = _consult_state(tx, contact)
    return wrong_contact_state(tx, contact, requester_of(command), code=RefusalCode.INVALID_CONSULT_STATE, state=state)


def _start_consult(tx: Transaction, command: StartConsult) -> CommandResult:
    if (command.to_queue_id is None) == (command.to_agent_id is None):
        return Refused(
            code=RefusalCode.INVALID_VALUE, field="to_queue_id", detail="give exactly one of to_queue_id and to_agent_id"
        )
    contact = _owned_contact(tx, command)
    if isinstance(contact, Refused):
        return contact
    if _consult_state(tx, contact) != "none":
        return wrong_consult_state(tx, contact, command)
    if is_parked(tx, contact):
        return wrong_contact_state(tx, contact, requester_of(command), "the conversation is parked")
    if contact.pending_offer_ids:
        kind = tx.state.offers[contact.pending_offer_ids[0]].reason
        detail = "a transfer is pending" if kind != SWITCH_REASON else "another agent has an offer for the switch of the channel"
        return wrong_contact_state(tx, contact, requester_of(command), detail)
    if is_at_participants_limit(tx, contact):
        return participants_limit_refusal("contact_id")
    agent = _find_consultant(tx, contact, command)
    if isinstance(agent, Refused):
        return agent
    lines = tx.state.index.lines
    if command.to_queue_id is None:
        line = lines.line_of_assigned(contact)
    else:
        line = lines.line_without_plan(command.to_queue_id, contact.channel, contact.skills, contact.customer_facts)
        lines.drop_if_unused(line)
    offers.offer_consult(tx, contact, agent, line, command.to_queue_id)
    return tx.done(contact.contact_id, contact.state)


def _find_consultant(tx: Transaction, contact: Contact, command: StartConsult) -> Agent | Refused:
    state = tx.state
    if command.to_queue_id is not None:
        if state.policy is None or command.to_queue_id not in state.policy.queues:
            return unknown_queue("to_queue_id")
        chosen = _select_from_queue(tx, contact, command.to_queue_id)
        if chosen is None:
            return Refused(code=RefusalCode.AGENT_UNAVAILABLE, field="to_queue_id")
        return chosen
    agent = state.agents.get(command.to_agent_id or "")
    if agent is None:
        return unknown_agent("to_agent_id")
    if agent.agent_id in _excluded_agents(tx, contact) or not is_available_now(state, agent, contact.channel):
        return Refused(code=RefusalCode.AGENT_UNAVAILABLE, field="to_agent_id", state=str(agent.state))
    return agent


def _excluded_agents(tx: Transaction, contact: Contact) -> frozenset[str]:
    """Return the agents who cannot be consulted: those in the conversation, and those in cool-down for the contact."""
    state = tx.state
    names = {state.assignments[name].agent_id for name in contact.participant_assignment_ids}
    names |= {a for a, until_ms in (contact.cool_downs or {}).items() if until_ms > tx.at_ms}
    if contact.agent_id is not None:
        names.add(contact.agent_id)
    return frozenset(names)


def _select_from_queue(tx: Transaction, contact: Contact, queue_id: str) -> Agent | None:
    """Return the agent who would be offered the contact now if it were first in that queue."""
    index = tx.state.index
    line = index.lines.line_without_plan(queue_id, contact.channel, contact.skills, contact.customer_facts)
    index.lines.drop_if_unused(line)
    mask = index.agents.open_group_bits[line.channel_index] & line.group_mask
    if not mask:
        return None
    excluded = _excluded_agents(tx, contact)
    return select_agent(index.qualification.groups_in(mask), line, excluded, contact.contact_id, index.contacts.draw_number)


def _running_consult(tx: Transaction, command: _ConsultCommand) -> tuple[Contact, Assignment] | Refused:
    contact = _owned_contact(tx, command)
    if isinstance(contact, Refused):
        return contact
    assignment = active_consult(tx.state, contact)
    return wrong_consult_state(tx, contact, command) if assignment is None else (contact, assignment)


def _complete_consult(tx: Transaction, command: CompleteConsult) -> CommandResult:
    found = _running_consult(tx, command)
    if isinstance(found, Refused):
        return found
    contact, assignment = found
    return pass_on_contact(tx, contact, assignment, "consult", requester_of(command))


def _join_consult(tx: Transaction, command: JoinConsult) -> CommandResult:
    found = _running_consult(tx, command)
    if isinstance(found, Refused):
        return found
    contact, assignment = found
    join_consulted_agent(tx, contact, assignment)
    return tx.done(contact.contact_id, contact.state)


def _cancel_consult(tx: Transaction, command: CancelConsult) -> CommandResult:
    contact = _owned_contact(tx, command)
    if isinstance(contact, Refused):
        return contact
    if _is_consult_pending(tx, contact):
        rescind_contact_offers(tx, contact, "consult_cancelled")
        return tx.done(contact.contact_id, contact.state)
    assignment = active_consult(tx.state, contact)
    if assignment is None:
        return wrong_consult_state(tx, contact, command)
    leave_conversation(tx, contact, assignment, "consult_cancelled")
    answer = tx.done(contact.contact_id, contact.state)
    complete_assignment(tx, assignment, "consult_ended")
    return answer


CONSULT_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    StartConsult: _start_consult,
    CompleteConsult: _complete_consult,
    CancelConsult: _cancel_consult,
    JoinConsult: _join_consult,
}
