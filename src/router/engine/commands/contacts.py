"""Commands on existing contacts: update, cancel, abandon and end; and the expiry of a wait."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec import UNSET

from router.engine.commands.assignments import end_contact, release_assignment, release_participant
from router.engine.commands.overflow import expire_waiting
from router.engine.commands.plan_steps import skip_inapplicable_step
from router.engine.commands.rescind import rescind_contact_offers, rescind_unqualified
from router.engine.commands.transaction import (
    Transaction,
    already_done,
    is_visible,
    not_owner,
    requester_of,
    unknown_contact,
    wrong_contact_state,
)
from router.engine.commands.validation import (
    ATTRIBUTE_COUNT_MAX,
    PREFERRED_AGENTS_MAX,
    SKILL_COUNT_MAX,
    merged,
    too_many_preferred_agents,
    validate_attribute_names,
    validate_attributes,
    validate_priority,
    validate_skills,
)
from router.engine.state.clocks import closed_time_ms
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import routing_criteria
from router.engine.state.workspace import agents_offered, conversation_roles_if_shared
from router.model.commands import (
    AbandonContact,
    CancelContact,
    CancelRequest,
    ChangeCustomerToken,
    ChooseOption,
    ClaimCallback,
    EndContact,
    MoveCallback,
    ReportCallback,
    ReportChannel,
    RequestCallback,
    ResumeContact,
    SetCustomerPresence,
    SuspendContact,
    SwitchChannel,
    UpdateContact,
)
from router.model.events.contact import ContactAbandoned, ContactCancelled, ContactUpdated
from router.model.operations import Requester
from router.model.policy import FactValue, Policy
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import CallbackPhase, ContactState, EndedBy
from router.policy.customer_facts import valid_customer_facts

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_ASSIGNED: Final = ContactState.ASSIGNED
_CONNECTED: Final = CallbackPhase.CONNECTED
_CUSTOMER_LEFT: Final = "customer_left"
_OFFERED: Final = ContactState.OFFERED
_SUSPENDED: Final = ContactState.SUSPENDED
_ENDED_BY_CANCEL: Final = frozenset({ContactState.CANCELLED})
_ENDED_BY_END: Final = frozenset({ContactState.ENDED, ContactState.CANCELLED})
_ENDED_BY_ABANDON: Final = frozenset({ContactState.ABANDONED, ContactState.ENDED})


_ContactCommand: TypeAlias = (
    UpdateContact
    | CancelContact
    | AbandonContact
    | EndContact
    | RequestCallback
    | MoveCallback
    | ClaimCallback
    | ReportCallback
    | SuspendContact
    | ResumeContact
    | ChooseOption
    | CancelRequest
    | ChangeCustomerToken
    | SetCustomerPresence
    | SwitchChannel
    | ReportChannel
)


def find_contact(tx: Transaction, command: _ContactCommand) -> Contact | None:
    """Return the contact if the client of the command may see it."""
    contact = tx.state.contacts.get(command.contact_id)
    return contact if contact is not None and is_visible(tx.state, contact, command) else None


def _update_contact(tx: Transaction, command: UpdateContact) -> CommandResult:
    state = tx.state
    contact, policy = find_contact(tx, command), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    if contact.state.is_terminal:
        return wrong_contact_state(tx, contact, requester_of(command))
    refused = _validate_sent_fields(policy, contact, command)
    if refused is not None:
        return refused
    skills = merged(contact.skills, command.skills)
    attributes = merged(contact.attributes, command.attributes)
    if len(skills) > SKILL_COUNT_MAX or len(attributes) > ATTRIBUTE_COUNT_MAX:
        field, most = ("attributes", ATTRIBUTE_COUNT_MAX) if len(skills) <= SKILL_COUNT_MAX else ("skills", SKILL_COUNT_MAX)
        detail = f"the contact would have more than {most}: remove some by null"
        return Refused(code=RefusalCode.INVALID_VALUE, field=field, detail=detail)
    priority_s = contact.priority_s if command.priority_s is UNSET else command.priority_s or 0
    priority_class = contact.priority_class if command.priority_class is UNSET else command.priority_class or 0
    preferred_agents = contact.preferred_agents if command.preferred_agents is UNSET else command.preferred_agents or ()
    facts = _refreshed_facts(policy, contact, command)
    if (skills, priority_s, priority_class, preferred_agents) == (
        contact.skills,
        contact.priority_s,
        contact.priority_class,
        contact.preferred_agents,
    ) and (attributes, facts) == (contact.attributes, contact.customer_facts):
        return already_done(contact.contact_id, contact.state, state.seq)
    is_preference_new = preferred_agents != contact.preferred_agents
    tx.emit(
        ContactUpdated(
            contact_id=contact.contact_id,
            requirement=tx.requirement_text(
                routing_criteria(contact)._replace(skills=skills, preferred_agents=preferred_agents, customer_facts=facts)
            ),
            skills=skills,
            priority_s=priority_s,
            priority_class=priority_class,
            attributes=attributes,
            agent_id=contact.agent_id,
            gateway_id=contact.gateway_id,
            members=conversation_roles_if_shared(state, contact),
            preferred_agents=preferred_agents,
            offered_to=agents_offered(state, contact),
            customer_facts=facts,
        )
    )
    answer = tx.done(contact.contact_id, contact.state)
    if contact.state is _OFFERED:
        rescind_unqualified(tx, contact, "updated", preferred_changed=is_preference_new)
    if tx.state.index.lines.tells_customers_apart:
        skip_inapplicable_step(tx, contact)
    return answer


def _refreshed_facts(policy: Policy, contact: Contact, command: UpdateContact) -> dict[str, FactValue]:
    """Return the facts of the customer: those that change while a contact waits as in the command, the others as they were."""
    if command.customer_facts is UNSET:
        return contact.customer_facts
    refreshed = {name for name, fact in policy.facts.items() if fact.refresh_while_waiting}
    kept = {name: value for name, value in contact.customer_facts.items() if name not in refreshed}
    sent = {name: value for name, value in command.customer_facts.items() if name in refreshed}
    return kept | valid_customer_facts(policy, sent)


def _validate_sent_fields(policy: Policy, contact: Contact, command: UpdateContact) -> Refused | None:
    """Check the fields that are sent; the others keep their values, even if the policy no longer allows them.

    An entry that the contact has may be removed in any case.
    """
    preferred = command.preferred_agents
    if preferred is not UNSET and preferred is not None and len(preferred) > PREFERRED_AGENTS_MAX:
        return too_many_preferred_agents()
    skills, attributes = command.skills or {}, command.attributes or {}
    # A name that is removed and that the contact does not have is checked like one that is set, to find misspelt ones.
    set_skills = {
        name: 1 if level is None else level for name, level in skills.items() if level is not None or name not in contact.skills
    }
    if set_skills and (refused := validate_skills(policy, set_skills)):
        return refused
    refused = validate_priority(
        0 if command.priority_s is UNSET else command.priority_s or 0,
        0 if command.priority_class is UNSET else command.priority_class or 0,
    )
    if refused is not None:
        return refused
    unknown = [name for name, value in attributes.items() if value is None and name not in contact.attributes]
    return validate_attribute_names(policy, unknown) or validate_attributes(
        policy, {name: value for name, value in attributes.items() if value is not None}
    )


def _cancel_contact(tx: Transaction, command: CancelContact) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    if contact.state is _ASSIGNED:
        return wrong_contact_state(tx, contact, requester_of(command))
    if contact.state.is_terminal:
        return _repeated_end(tx, contact, _ENDED_BY_CANCEL, command, command.reason, "cancelled")
    return _cancel_waiting(tx, contact, command)


def _repeated_end(
    tx: Transaction,
    contact: Contact,
    states: frozenset[ContactState],
    command: CancelContact | AbandonContact | EndContact,
    reason: str = "",
    default_reason: str = "",
) -> CommandResult:
    """Answer a command that ends a contact which has ended already: repeated only if it ended as this command ends it.

    Otherwise the client would take another end, or another reason, for its own.
    """
    if contact.state not in states:
        return wrong_contact_state(tx, contact, requester_of(command), "the contact has ended in another way")
    if reason not in (default_reason, contact.reason):
        return wrong_contact_state(tx, contact, requester_of(command), "the contact has ended with another reason")
    return already_done(contact.contact_id, contact.state, contact.ended_seq)


def _ended_by(command: CancelContact | EndContact) -> EndedBy:
    """Return who ends a contact by a command: the gateway may report that it was the customer."""
    match requester_of(command):
        case Requester.GATEWAY:
            return EndedBy.CUSTOMER if command.reason == _CUSTOMER_LEFT else EndedBy.GATEWAY
        case Requester.OWNER:
            return EndedBy.AGENT
        case _:
            return EndedBy.SUPERVISOR


def _cancel_waiting(tx: Transaction, contact: Contact, command: CancelContact | EndContact) -> CommandResult:
    rescind_contact_offers(tx, contact, "cancelled")
    return _emit_cancelled(tx, contact, command.reason, _ended_by(command))


def _emit_cancelled(tx: Transaction, contact: Contact, reason: str, ended_by: EndedBy) -> CommandResult:
    tx.emit(
        ContactCancelled(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            waited_ms=contact.age_ms(tx.at_ms),
            closed_ms=closed_time_ms(tx.state, contact),
            reason=reason,
            gateway_id=contact.gateway_id,
            ended_by=ended_by,
        )
    )
    return tx.done(contact.contact_id, contact.state)


def _abandon_contact(tx: Transaction, command: AbandonContact) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    if contact.state.is_terminal:
        return _repeated_end(tx, contact, _ENDED_BY_ABANDON, command)
    if contact.state is _SUSPENDED:
        return wrong_contact_state(tx, contact, requester_of(command), "the contact is suspended: cancel it instead")
    if contact.state is ContactState.CHOOSING:
        detail = "the customer is choosing and waits for no agent: cancel the contact"
        return wrong_contact_state(tx, contact, requester_of(command), detail)
    if contact.callback is not None and contact.callback.phase is not _CONNECTED:
        # The customer has hung up to be called back: the contact keeps its position.
        return wrong_contact_state(tx, contact, requester_of(command), "the customer of this callback is not on the line")
    if contact.state is _ASSIGNED:
        return _end_conversation(tx, contact, _CUSTOMER_LEFT, EndedBy.CUSTOMER)
    emit_abandoned(tx, contact, _CUSTOMER_LEFT)
    return tx.done(contact.contact_id, contact.state)


def emit_abandoned(tx: Transaction, contact: Contact, reason: str) -> None:
    """Let the customer of a waiting contact leave; its offers are rescinded."""
    rescind_contact_offers(tx, contact, _CUSTOMER_LEFT)
    tx.emit(
        ContactAbandoned(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            waited_ms=tx.at_ms - contact.queued_at_ms,
            reason=reason,
            closed_ms=closed_time_ms(tx.state, contact),
            gateway_id=contact.gateway_id,
            ended_by=EndedBy.CUSTOMER,
        )
    )


def _cancel_request(tx: Transaction, command: CancelRequest) -> CommandResult:
    """Let the customer leave: a waiting contact is abandoned, a conversation ends, and anything else is cancelled."""
    contact = find_contact(tx, command)
    if contact is None or contact.request is None:
        return unknown_contact()
    if contact.state.is_terminal:
        return already_done(contact.contact_id, contact.state, contact.ended_seq)
    if contact.state is _ASSIGNED:
        return _end_conversation(tx, contact, _CUSTOMER_LEFT, EndedBy.CUSTOMER)
    if contact.state in (ContactState.CHOOSING, _SUSPENDED) or contact.awaits_customer:
        rescind_contact_offers(tx, contact, "cancelled")
        return _emit_cancelled(tx, contact, _CUSTOMER_LEFT, EndedBy.CUSTOMER)
    return _abandon_contact(tx, AbandonContact(contact_id=contact.contact_id))


def _end_contact(tx: Transaction, command: EndContact) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    agent_id = command.agent_id
    if agent_id is not None and contact.agent_id != agent_id:
        return not_owner()
    if contact.state is _ASSIGNED:
        return _end_conversation(tx, contact, command.reason, _ended_by(command))
    if contact.state.is_terminal:
        return _repeated_end(tx, contact, _ENDED_BY_END, command, command.reason, "ended")
    return _cancel_waiting(tx, contact, command)


def _end_conversation(tx: Transaction, contact: Contact, reason: str, ended_by: EndedBy) -> CommandResult:
    assignment = tx.state.assignments[contact.assignment_id or ""]
    participants = end_contact(tx, contact, assignment, reason, ended_by)
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
    CancelRequest: _cancel_request,
}
