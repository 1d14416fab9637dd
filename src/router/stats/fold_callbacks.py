"""Handlers of callback events: requests, attempts by outcome, and the state of the contact meanwhile."""

from collections.abc import Callable
from typing import Any, Final

from router.model.events import (
    CallbackConnected,
    CallbackDue,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
)
from router.stats.book import Book
from router.stats.live import ASSIGNED, CALLBACK, QUEUED, LiveContact


def _requested(book: Book, e: CallbackRequested, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    contact.is_callback = True
    contact.channel = e.channel
    _go(book, contact, QUEUED, at_ms)
    for place in book.places(contact.queue_id, contact.channel):
        place.callbacks.requested += 1


def _scheduled(book: Book, e: CallbackScheduled, at_ms: int) -> None:
    _go(book, book.contacts[e.contact_id], CALLBACK, at_ms)


def _due(book: Book, e: CallbackDue, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    if contact.state != ASSIGNED:
        _go(book, contact, CALLBACK, at_ms)
    for place in book.places(contact.queue_id, contact.channel):
        place.callbacks.dialled += 1


def _connected(book: Book, e: CallbackConnected, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    contact.is_callback = False
    places = book.places(contact.queue_id, contact.channel)
    for place in places:
        place.callbacks.connected += 1
    if contact.state == ASSIGNED:
        return
    # The customer is on the line now: a new wait begins.
    for place in places:
        place.flow.called_back += 1
    book.queue(contact.queue_id).move(contact.state, None, at_ms)
    contact.queue_id, contact.state, contact.waiting_since_ms = e.queue_id, QUEUED, at_ms
    book.queue(contact.queue_id).move(None, QUEUED, at_ms)
    for place in book.places(contact.queue_id, contact.channel):
        place.flow.entered += 1


def _failed(book: Book, e: CallbackFailed, at_ms: int) -> None:
    contact = book.contacts[e.contact_id]
    taken_away = contact.state == ASSIGNED
    for place in book.places(contact.queue_id, contact.channel):
        place.callbacks.failed += 1
        if taken_away:
            place.flow.entered += 1
            place.flow.requeued += 1
    if taken_away:
        contact.waiting_since_ms = at_ms
    _go(book, contact, CALLBACK, at_ms)


def _go(book: Book, contact: LiveContact, state: int, at_ms: int) -> None:
    if contact.state != state:
        book.queue(contact.queue_id).move(contact.state, state, at_ms)
        contact.state = state


HANDLERS: Final[dict[type, Callable[[Book, Any, int], None]]] = {
    CallbackRequested: _requested,
    CallbackScheduled: _scheduled,
    CallbackDue: _due,
    CallbackConnected: _connected,
    CallbackFailed: _failed,
}
