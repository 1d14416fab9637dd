"""Handlers of the events of requests: a customer begins to choose, has another token, is away and returns."""

from collections.abc import Callable
from typing import Any, Final

from router.engine.routing_state import RoutingState
from router.engine.state.clocks import TimerKind
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import RequestState
from router.engine.transitions import CONTACT_TRANSITIONS, EventTransitions
from router.model.events import ContactChoosing, CustomerPresenceChanged, CustomerTokenChanged
from router.model.states import ContactId

_CHOOSING: Final = EventTransitions(CONTACT_TRANSITIONS, ContactChoosing)[None]


def _choosing(state: RoutingState, event: ContactChoosing) -> None:
    """Add a contact that is in no waiting line: it has a place, and waits in no queue yet."""
    contact = Contact(
        contact_id=event.contact_id,
        channel=event.channel,
        queue_id=event.queue_id,
        state=_CHOOSING,
        queued_at_ms=state.at_ms,
        changed_at_ms=state.at_ms,
        queued_seq=state.seq,
        skills=event.skills,
        priority_s=event.priority_s,
        priority_class=event.priority_class,
        attributes=event.attributes,
        reference=event.reference,
        gateway_id=event.gateway_id,
        preferred_agents=event.preferred_agents,
        last_agent_id=event.last_agent_id,
        customer_facts=event.customer_facts,
        customer_id=event.customer_id,
    )
    contact.request = RequestState(
        options=event.options,
        default_option=event.default_option,
        choose_until_ms=event.choose_until_ms,
        queue_id=event.named_queue_id,
        ttl_s=event.ttl_s,
    )
    state.contacts[event.contact_id] = contact
    state.contact_log.append(contact)
    state.choosing[event.contact_id] = contact
    state.queue_counts(event.queue_id)[_CHOOSING] += 1
    state.timers.add(event.choose_until_ms, TimerKind.CHOOSE, event.contact_id)
    _set_token(state, contact, contact.request, event.token_hash)


def end_choice(state: RoutingState, contact: Contact, option: str | None) -> None:
    """End the choice of a customer: an option is chosen, or none because the contact ends."""
    request = contact.request
    assert request is not None, "only a contact with a request can be choosing"
    del state.choosing[contact.contact_id]
    request.options, request.choose_until_ms, request.chosen = (), None, option


def _token_changed(state: RoutingState, event: CustomerTokenChanged) -> None:
    contact = state.contacts[event.contact_id]
    if contact.request is None:
        contact.request = RequestState()  # The customer of a contact without a request has got a link, or resumes it.
    if event.former_contact_id is not None:
        _take_token(state, event.former_contact_id)
        contact.request.former_id = event.former_contact_id
    _set_token(state, contact, contact.request, event.token_hash)


def _presence_changed(state: RoutingState, event: CustomerPresenceChanged) -> None:
    request = state.contacts[event.contact_id].request
    assert request is not None, "only the customer of a request can be away"
    request.is_here, request.leave_until_ms, request.run = event.is_here, event.leave_at_ms, event.run
    if event.leave_at_ms is not None:
        state.timers.add(event.leave_at_ms, TimerKind.LEAVE, event.contact_id)


def _take_token(state: RoutingState, contact_id: ContactId) -> None:
    """Take the token from a request whose customer goes on with another contact."""
    former = state.contacts.get(contact_id)
    if former is not None and former.request is not None:
        _set_token(state, former, former.request, None)


def _set_token(state: RoutingState, contact: Contact, request: RequestState, token_hash: bytes | None) -> None:
    if request.token_hash is not None:
        state.contacts_by_token.pop(request.token_hash, None)
    request.token_hash = token_hash
    if token_hash is not None:
        state.contacts_by_token[token_hash] = contact.contact_id


REQUEST_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    ContactChoosing: _choosing,
    CustomerTokenChanged: _token_changed,
    CustomerPresenceChanged: _presence_changed,
}
