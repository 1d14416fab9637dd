"""Handlers of contact and callback events: where contacts wait, how each wait ends, and callback attempts by outcome."""

from collections.abc import Callable
from typing import Any, Final

from router.model.events.agent import ContactHandedOver, ParticipantAdded
from router.model.events.contact import (
    CallbackConnected,
    CallbackDialRequested,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
)
from router.statistics.state import (
    ASSIGNED,
    CALLBACK,
    QUEUED,
    LiveAssignment,
    LiveContact,
    StatsState,
)

_TRANSFERS: Final = frozenset({"consult", "hand_over"})


def _queued(book: StatsState, e: ContactQueued, at_ms: int) -> None:
    book.contacts[e.contact_id] = LiveContact(e.queue_id, e.channel, at_ms)
    book.queue(e.queue_id).move_contact(None, QUEUED, at_ms)
    for place in book.counters_for(e.queue_id, e.channel):
        place.flow.submitted += 1
        place.flow.entered += 1
    if e.rule is not None and e.rule in book.pages.rules:
        book.pages.rules[e.rule].matched += 1
    for name in e.failed_rules:
        if name in book.pages.rules:
            book.pages.rules[name].failed += 1


def _requeued(book: StatsState, e: ContactRequeued, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    before, old_queue_id = contact.state, contact.queue_id
    contact.state = QUEUED
    if before == ASSIGNED:
        _start_new_wait(book, contact, e, at_ms)
    elif old_queue_id != e.queue_id:
        contact.queue_id = e.queue_id
        for place in book.counters_for(old_queue_id, contact.channel):
            place.flow.moved_out += 1
        for place in book.counters_for(e.queue_id, contact.channel):
            place.flow.moved_in += 1
            place.flow.entered += 1
    _move_to_queue(book, old_queue_id, e.queue_id, before, at_ms)


def _start_new_wait(book: StatsState, contact: LiveContact, e: ContactRequeued, at_ms: int) -> None:
    """Start a new wait of a contact that was assigned."""
    is_transfer = e.reason == "transferred"
    if is_transfer:
        for place in book.counters_for(contact.queue_id, contact.channel):
            place.handling.transferred += 1
        if e.agent_id is not None:
            book.agent(e.agent_id).handling.transferred += 1
    contact.queue_id = e.queue_id
    contact.waiting_since_ms = at_ms
    for place in book.counters_for(e.queue_id, contact.channel):
        place.flow.entered += 1
        if is_transfer:
            place.flow.transferred_in += 1
        else:
            place.flow.requeued += 1


def _overflowed(book: StatsState, e: ContactOverflowed, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    before = contact.state
    contact.queue_id = e.queue_id
    contact.state = QUEUED
    for place in book.counters_for(e.from_queue_id, contact.channel):
        place.flow.overflowed_out += 1
    for place in book.counters_for(e.queue_id, contact.channel):
        place.flow.overflowed_in += 1
        place.flow.entered += 1
    _move_to_queue(book, e.from_queue_id, e.queue_id, before, at_ms)


def _move_to_queue(
    book: StatsState, old_queue_id: str, queue_id: str, before: int, at_ms: int
) -> None:
    if old_queue_id == queue_id:
        book.queue(queue_id).move_contact(before, QUEUED, at_ms)
    else:
        book.queue(old_queue_id).move_contact(before, None, at_ms)
        book.queue(queue_id).move_contact(None, QUEUED, at_ms)


def _assigned(book: StatsState, e: ContactAssigned, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    if contact.state != ASSIGNED:
        record_answer(book, contact, at_ms)
    start_assignment(book, contact, e.assignment_id, e.agent_id, at_ms=at_ms)


def record_answer(book: StatsState, contact: LiveContact, at_ms: int) -> None:
    """End the wait of a contact that an agent accepted."""
    queue = book.queue(contact.queue_id)
    wait_ms = at_ms - contact.waiting_since_ms
    queue.move_contact(contact.state, ASSIGNED, at_ms)
    contact.state = ASSIGNED
    if contact.is_callback:
        for place in book.counters_for(contact.queue_id, contact.channel):
            place.flow.called_back += 1
        return
    queue.waits.add(wait_ms)
    book.pages.waits.add(wait_ms)
    for place in book.counters_for(contact.queue_id, contact.channel):
        place.service.record_answer(wait_ms, queue.threshold_ms)
        place.waits.answered_ms += wait_ms


def start_assignment(
    book: StatsState,
    contact: LiveContact,
    assignment_id: str,
    agent_id: str,
    *,
    at_ms: int,
    is_secondary: bool = False,
) -> None:
    """Start an assignment, in the talking phase."""
    work = LiveAssignment(
        agent_id, contact.queue_id, contact.channel, at_ms, is_secondary=is_secondary
    )
    book.work[assignment_id] = work
    agent = book.agent(agent_id)
    book.update_agent(agent, at_ms, state=agent.state, work=1)


def _participant_added(book: StatsState, e: ParticipantAdded, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    start_assignment(book, contact, e.assignment_id, e.agent_id, at_ms=at_ms, is_secondary=True)


def _handed_over(book: StatsState, e: ContactHandedOver, at_ms: int) -> None:
    """Make a participant's assignment the owner's; counts as a transfer if the previous owner passed the contact on."""
    book.work[e.assignment_id].is_secondary = False
    if e.reason not in _TRANSFERS:
        return
    contact = book.contacts[e.contact_id]
    for place in book.counters_for(contact.queue_id, contact.channel):
        place.handling.transferred += 1
    book.agent(e.from_agent_id).handling.transferred += 1


def _abandoned(book: StatsState, e: ContactAbandoned, at_ms: int) -> None:
    contact = book.contacts.pop(e.contact_id)
    queue = book.queue(contact.queue_id)
    queue.move_contact(contact.state, None, at_ms)
    wait_ms = at_ms - contact.waiting_since_ms
    for place in book.counters_for(contact.queue_id, contact.channel):
        place.service.record_abandon(wait_ms, queue.threshold_ms, queue.short_abandon_ms)
        place.waits.abandoned_ms += wait_ms


def _cancelled(book: StatsState, e: ContactCancelled, at_ms: int) -> None:
    contact = book.contacts.pop(e.contact_id)
    book.queue(contact.queue_id).move_contact(contact.state, None, at_ms)
    for place in book.counters_for(contact.queue_id, contact.channel):
        place.flow.cancelled += 1


def _expired(book: StatsState, e: ContactExpired, at_ms: int) -> None:
    contact = book.contacts.pop(e.contact_id)
    book.queue(contact.queue_id).move_contact(contact.state, None, at_ms)
    for place in book.counters_for(contact.queue_id, contact.channel):
        place.flow.expired += 1
        if contact.is_callback:
            place.callbacks.given_up += 1


def _ended(book: StatsState, e: ContactEnded, at_ms: int) -> None:
    contact = book.contacts.pop(e.contact_id)
    book.queue(contact.queue_id).move_contact(contact.state, None, at_ms)
    book.pages.ended += 1


CONTACT_HANDLERS: Final[dict[type, Callable[[StatsState, Any, int], None]]] = {
    ContactQueued: _queued,
    ContactRequeued: _requeued,
    ContactOverflowed: _overflowed,
    ContactAssigned: _assigned,
    ParticipantAdded: _participant_added,
    ContactHandedOver: _handed_over,
    ContactAbandoned: _abandoned,
    ContactCancelled: _cancelled,
    ContactExpired: _expired,
    ContactEnded: _ended,
}


def _callback_requested(book: StatsState, e: CallbackRequested, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    contact.is_callback = True
    contact.channel = e.channel
    _set_state(book, contact, QUEUED, at_ms)
    for place in book.counters_for(contact.queue_id, contact.channel):
        place.callbacks.requested += 1


def _callback_scheduled(book: StatsState, e: CallbackScheduled, at_ms: int) -> None:
    _set_state(book, book.contacts[e.contact_id], CALLBACK, at_ms)


def _dial_requested(book: StatsState, e: CallbackDialRequested, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    if contact.state != ASSIGNED:
        _set_state(book, contact, CALLBACK, at_ms)
    for place in book.counters_for(contact.queue_id, contact.channel):
        place.callbacks.dialled += 1


def _callback_connected(book: StatsState, e: CallbackConnected, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    contact.is_callback = False
    places = book.counters_for(contact.queue_id, contact.channel)
    for place in places:
        place.callbacks.connected += 1
    if contact.state == ASSIGNED:
        return
    # The customer is on the line now: a new wait begins.
    for place in places:
        place.flow.called_back += 1
    book.queue(contact.queue_id).move_contact(contact.state, None, at_ms)
    contact.queue_id, contact.state, contact.waiting_since_ms = e.queue_id, QUEUED, at_ms
    book.queue(contact.queue_id).move_contact(None, QUEUED, at_ms)
    for place in book.counters_for(contact.queue_id, contact.channel):
        place.flow.entered += 1


def _callback_failed(book: StatsState, e: CallbackFailed, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    taken_away = contact.state == ASSIGNED
    for place in book.counters_for(contact.queue_id, contact.channel):
        place.callbacks.failed += 1
        if taken_away:
            place.flow.entered += 1
            place.flow.requeued += 1
    if taken_away:
        contact.waiting_since_ms = at_ms
    _set_state(book, contact, CALLBACK, at_ms)


def _set_state(book: StatsState, contact: LiveContact, state: int, at_ms: int) -> None:
    if contact.state != state:
        book.queue(contact.queue_id).move_contact(contact.state, state, at_ms)
        contact.state = state


CALLBACK_HANDLERS: Final[dict[type, Callable[[StatsState, Any, int], None]]] = {
    CallbackRequested: _callback_requested,
    CallbackScheduled: _callback_scheduled,
    CallbackDialRequested: _dial_requested,
    CallbackConnected: _callback_connected,
    CallbackFailed: _callback_failed,
}
