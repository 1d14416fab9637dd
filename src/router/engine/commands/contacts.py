"""Commands on existing contacts: update, cancel, abandon and end; and the expiry of a wait."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from router.engine.commands.assignments import end_contact, release_assignment, release_participant
from router.engine.commands.overflow import expire_waiting
from router.engine.commands.rescind import rescind_contact_offers, rescind_unqualified
from router.engine.commands.transaction import Transaction, already_done, unknown_contact, wrong_contact_state
from router.engine.commands.validation import (
    PREFERRED_AGENTS_MAX,
    too_many_preferred_agents,
    validate_attributes,
    validate_priority,
    validate_skills,
)
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import routing_criteria
from router.engine.state.workspace import agents_offered, conversation_roles_if_shared
from router.model.commands import AbandonContact, CancelContact, EndContact, ReportCallback, RequestCallback, UpdateContact
from router.model.events.contact import ContactAbandoned, ContactCancelled, ContactUpdated
from router.model.policy import Policy
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import CallbackPhase, ContactState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_ASSIGNED: Final = ContactState.ASSIGNED
_CONNECTED: Final = CallbackPhase.CONNECTED
_OFFERED: Final = ContactState.OFFERED
_ALLOWED_AFTER_ANSWER: Final = ("end", "abandon", "transfer", "requeue", "assign")
_ALLOWED_FOR_CALLBACK: Final = ("cancel", "end", "callback/result")


def find_contact(
    tx: Transaction, command: UpdateContact | CancelContact | AbandonContact | EndContact | RequestCallback | ReportCallback
) -> Contact | None:
    """Return the contact if it is visible to the gateway of the command."""
    contact = tx.state.contacts.get(command.contact_id)
    gateway_id = command.gateway_id
    if gateway_id is None or contact is None or gateway_id == contact.gateway_id:
        return contact
    return None


def _update_contact(tx: Transaction, command: UpdateContact) -> CommandResult:
    state = tx.state
    contact, policy = find_contact(tx, command), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    if contact.state.is_terminal:
        return wrong_contact_state(contact.state)
    refused = _validate_sent_fields(policy, command)
    if refused is not None:
        return refused
    skills = contact.skills if command.skills is UNSET else command.skills
    priority_s = contact.priority_s if command.priority_s is UNSET else command.priority_s
    priority_class = contact.priority_class if command.priority_class is UNSET else command.priority_class
    attributes = contact.attributes if command.attributes is UNSET else command.attributes
    preferred_agents = command.preferred_agents
    if preferred_agents is UNSET:
        preferred_agents = contact.preferred_agents
    if (skills, priority_s, priority_class, preferred_agents) == (
        contact.skills,
        contact.priority_s,
        contact.priority_class,
        contact.preferred_agents,
    ) and attributes == contact.attributes:
        return already_done(contact.contact_id, contact.state, state.seq)
    tx.emit(
        ContactUpdated(
            contact_id=contact.contact_id,
            requirement=tx.requirement_text(routing_criteria(contact)._replace(skills=skills, preferred_agents=preferred_agents)),
            skills=skills,
            priority_s=priority_s,
            priority_class=priority_class,
            attributes=attributes,
            agent_id=contact.agent_id,
            gateway_id=contact.gateway_id,
            members=conversation_roles_if_shared(state, contact),
            preferred_agents=preferred_agents,
            offered_to=agents_offered(state, contact),
        )
    )
    answer = tx.done(contact.contact_id, contact.state)
    if contact.state is _OFFERED:
        rescind_unqualified(tx, contact, "updated")
    return answer


def _validate_sent_fields(policy: Policy, command: UpdateContact) -> Refused | None:
    """Check the fields that are sent; the others keep their values, even if the policy no longer allows them."""
    preferred = command.preferred_agents
    if preferred is not UNSET and len(preferred) > PREFERRED_AGENTS_MAX:
        return too_many_preferred_agents()
    if command.skills is not UNSET and (refused := validate_skills(policy, command.skills)):
        return refused
    refused = validate_priority(
        0 if command.priority_s is UNSET else command.priority_s, 0 if command.priority_class is UNSET else command.priority_class
    )
    if refused is not None or command.attributes is UNSET:
        return refused
    return validate_attributes(policy, command.attributes)


def _cancel_contact(tx: Transaction, command: CancelContact) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    if contact.state is _ASSIGNED:
        return wrong_contact_state(contact.state, *_ALLOWED_AFTER_ANSWER)
    return _cancel_waiting(tx, contact, command.reason)


def _cancel_waiting(tx: Transaction, contact: Contact, reason: str) -> CommandResult:
    if contact.state.is_terminal:
        return already_done(contact.contact_id, contact.state, contact.ended_seq)
    rescind_contact_offers(tx, contact, "cancelled")
    tx.emit(
        ContactCancelled(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            waited_ms=tx.at_ms - contact.queued_at_ms,
            reason=reason,
            gateway_id=contact.gateway_id,
        )
    )
    return tx.done(contact.contact_id, contact.state)


def _abandon_contact(tx: Transaction, command: AbandonContact) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    if contact.state.is_terminal:
        return already_done(contact.contact_id, contact.state, contact.ended_seq)
    if contact.callback is not None and contact.callback.phase is not _CONNECTED:
        # The customer has hung up to be called back: the contact keeps its position.
        return wrong_contact_state(contact.state, *_ALLOWED_FOR_CALLBACK, detail="the customer of this callback is not on the line")
    if contact.state is _ASSIGNED:
        return _end_conversation(tx, contact, "customer_left")
    rescind_contact_offers(tx, contact, "customer_left")
    tx.emit(
        ContactAbandoned(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            waited_ms=tx.at_ms - contact.queued_at_ms,
            gateway_id=contact.gateway_id,
        )
    )
    return tx.done(contact.contact_id, contact.state)


def _end_contact(tx: Transaction, command: EndContact) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    agent_id = command.agent_id
    if agent_id is not None and contact.agent_id != agent_id:
        return Refused(code=RefusalCode.NOT_OWNER, field="contact_id")
    if contact.state is _ASSIGNED:
        return _end_conversation(tx, contact, command.reason)
    return _cancel_waiting(tx, contact, command.reason)


def _end_conversation(tx: Transaction, contact: Contact, reason: str) -> CommandResult:
    assignment = tx.state.assignments[contact.assignment_id or ""]
    participants = end_contact(tx, contact, assignment, reason)
    answer = Done(contact.contact_id, contact.state, tx.state.seq)
    release_assignment(tx, assignment)
    for participant in participants:
        release_participant(tx, participant)
    return answer


def expire_contact(tx: Transaction, contact: Contact, reason: str) -> None:
    """Expire a contact: rescind its offers and end its wait."""
    rescind_contact_offers(tx, contact, "expired")
    expire_waiting(tx, contact, reason)


CONTACT_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    UpdateContact: _update_contact,
    CancelContact: _cancel_contact,
    AbandonContact: _abandon_contact,
    EndContact: _end_contact,
}
