"""Handlers of contact events: where contacts wait, since when, and how each wait ends."""

from collections.abc import Callable
from typing import Any, Final

from router.model.events import (
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactHandedOver,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    ParticipantAdded,
)
from router.stats.book import Book
from router.stats.live import ASSIGNED, QUEUED, LiveContact, LiveWork

_TRANSFERS: Final = frozenset({"consult", "hand_over"})


def _queued(book: Book, e: ContactQueued, at_ms: int) -> None:
    book.contacts[e.contact_id] = LiveContact(e.queue_id, e.channel, at_ms)
    book.queue(e.queue_id).move(None, QUEUED, at_ms)
    for place in book.places(e.queue_id, e.channel):
        place.flow.submitted += 1
        place.flow.entered += 1
    if e.rule is not None and e.rule in book.pages.rules:
        book.pages.rules[e.rule].matched += 1
    for name in e.failed_rules:
        if name in book.pages.rules:
            book.pages.rules[name].failed += 1


def _requeued(book: Book, e: ContactRequeued, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    before, old_queue_id = contact.state, contact.queue_id
    contact.state = QUEUED
    if before == ASSIGNED:
        _waits_anew(book, contact, e, at_ms)
    elif old_queue_id != e.queue_id:
        contact.queue_id = e.queue_id
        for place in book.places(old_queue_id, contact.channel):
            place.flow.moved_out += 1
        for place in book.places(e.queue_id, contact.channel):
            place.flow.moved_in += 1
            place.flow.entered += 1
    _move(book, old_queue_id, e.queue_id, before, at_ms)


def _waits_anew(book: Book, contact: LiveContact, e: ContactRequeued, at_ms: int) -> None:
    """Start a new wait of a contact that was assigned."""
    is_transfer = e.reason == "transferred"
    if is_transfer:
        for place in book.places(contact.queue_id, contact.channel):
            place.handling.transferred += 1
        if e.agent_id is not None:
            book.agent(e.agent_id).handling.transferred += 1
    contact.queue_id = e.queue_id
    contact.waiting_since_ms = at_ms
    for place in book.places(e.queue_id, contact.channel):
        place.flow.entered += 1
        if is_transfer:
            place.flow.transferred_in += 1
        else:
            place.flow.requeued += 1


def _overflowed(book: Book, e: ContactOverflowed, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    before = contact.state
    contact.queue_id = e.queue_id
    contact.state = QUEUED
    for place in book.places(e.from_queue_id, contact.channel):
        place.flow.overflowed_out += 1
    for place in book.places(e.queue_id, contact.channel):
        place.flow.overflowed_in += 1
        place.flow.entered += 1
    _move(book, e.from_queue_id, e.queue_id, before, at_ms)


def _move(book: Book, old_queue_id: str, queue_id: str, before: int, at_ms: int) -> None:
    if old_queue_id == queue_id:
        book.queue(queue_id).move(before, QUEUED, at_ms)
    else:
        book.queue(old_queue_id).move(before, None, at_ms)
        book.queue(queue_id).move(None, QUEUED, at_ms)


def _assigned(book: Book, e: ContactAssigned, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    if contact.state != ASSIGNED:
        answer(book, contact, at_ms)
    begin_work(book, contact, e.assignment_id, e.agent_id, at_ms=at_ms)


def answer(book: Book, contact: LiveContact, at_ms: int) -> None:
    """End the wait of a contact that an agent accepted."""
    queue = book.queue(contact.queue_id)
    wait_ms = at_ms - contact.waiting_since_ms
    queue.move(contact.state, ASSIGNED, at_ms)
    contact.state = ASSIGNED
    if contact.is_callback:
        for place in book.places(contact.queue_id, contact.channel):
            place.flow.called_back += 1
        return
    queue.waits.add(wait_ms)
    book.pages.waits.add(wait_ms)
    for place in book.places(contact.queue_id, contact.channel):
        place.service.answer(wait_ms, queue.threshold_ms)
        place.waits.answered_ms += wait_ms


def begin_work(
    book: Book,
    contact: LiveContact,
    assignment_id: str,
    agent_id: str,
    *,
    at_ms: int,
    beside: bool = False,
) -> None:
    """Start an assignment, in the talking phase."""
    work = LiveWork(agent_id, contact.queue_id, contact.channel, at_ms, beside=beside)
    book.work[assignment_id] = work
    agent = book.agent(agent_id)
    book.change_agent(agent, at_ms, state=agent.state, work=1)


def _participant_added(book: Book, e: ParticipantAdded, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    begin_work(book, contact, e.assignment_id, e.agent_id, at_ms=at_ms, beside=True)


def _handed_over(book: Book, e: ContactHandedOver, at_ms: int) -> None:
    """Make a participant's assignment the owner's; counts as a transfer if the previous owner passed the contact on."""
    book.work[e.assignment_id].beside = False
    if e.reason not in _TRANSFERS:
        return
    contact = book.contacts[e.contact_id]
    for place in book.places(contact.queue_id, contact.channel):
        place.handling.transferred += 1
    book.agent(e.from_agent_id).handling.transferred += 1


def _abandoned(book: Book, e: ContactAbandoned, at_ms: int) -> None:
    contact = book.contacts.pop(e.contact_id)
    queue = book.queue(contact.queue_id)
    queue.move(contact.state, None, at_ms)
    wait_ms = at_ms - contact.waiting_since_ms
    for place in book.places(contact.queue_id, contact.channel):
        place.service.abandon(wait_ms, queue.threshold_ms, queue.short_abandon_ms)
        place.waits.abandoned_ms += wait_ms


def _cancelled(book: Book, e: ContactCancelled, at_ms: int) -> None:
    contact = book.contacts.pop(e.contact_id)
    book.queue(contact.queue_id).move(contact.state, None, at_ms)
    for place in book.places(contact.queue_id, contact.channel):
        place.flow.cancelled += 1


def _expired(book: Book, e: ContactExpired, at_ms: int) -> None:
    contact = book.contacts.pop(e.contact_id)
    book.queue(contact.queue_id).move(contact.state, None, at_ms)
    for place in book.places(contact.queue_id, contact.channel):
        place.flow.expired += 1
        if contact.is_callback:
            place.callbacks.given_up += 1


def _ended(book: Book, e: ContactEnded, at_ms: int) -> None:
    contact = book.contacts.pop(e.contact_id)
    book.queue(contact.queue_id).move(contact.state, None, at_ms)
    book.pages.ended += 1


HANDLERS: Final[dict[type, Callable[[Book, Any, int], None]]] = {
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
