"""Handlers of queue events: opening and closing, and which contacts wait for the opening.

No calendar is read here: the event says what was decided. Callbacks always wait for the opening, whatever the policy says
of other contacts, because their customers are not on the line.
"""

from collections.abc import Callable
from typing import Any, Final

from router.core.apply.learning import diverted
from router.core.apply.moves import wait
from router.core.state import Contact, QueueHours, RoutingState
from router.core.timers import TimerKind
from router.core.transitions import QUEUE, Row
from router.model.events import QueueClosed, QueueOpened
from router.model.ids import QueueId
from router.model.states import QueueState

# The calendar is searched 366 days ahead; if it has no change within that time, it is read again at the end of it.
_LOOK_AGAIN_MS: Final = 366 * 86_400_000

_OPENED: Final = Row(QUEUE, QueueOpened)
_CLOSED: Final = Row(QUEUE, QueueClosed)


def _opened(state: RoutingState, e: QueueOpened) -> None:
    _turn(state, e, _OPENED)
    for contact in _in_line(state, e.queue_id):
        if contact.held:
            contact.held = False
            contact.wait_until_ms = None if contact.nobody_on_the_line else e.wait_until_ms
            if contact.key:
                wait(state, contact)


def _closed(state: RoutingState, e: QueueClosed) -> None:
    _turn(state, e, _CLOSED)
    for contact in _in_line(state, e.queue_id):
        if not contact.held and (e.holds or contact.nobody_on_the_line):
            diverted(state, contact)
            contact.held = True
            contact.wait_until_ms = contact.step_until_ms = None
            if contact.key:
                state.index.place(contact)


def _turn(state: RoutingState, e: QueueOpened | QueueClosed, row: Row[QueueState]) -> None:
    before = state.hours.get(e.queue_id)
    was_open = before is None or before.is_open
    after = row[QueueState.OPEN if was_open else QueueState.CLOSED]
    look_at_ms = e.until_ms
    by_calendar = e.reason != "supervisor" and state.queue_policy(e.queue_id).hours is not None
    if look_at_ms is None and by_calendar:
        look_at_ms = state.at_ms + _LOOK_AGAIN_MS
    state.hours[e.queue_id] = QueueHours(
        is_open=after is QueueState.OPEN,
        changes_at_ms=e.until_ms,
        look_at_ms=look_at_ms,
        reason=e.reason,
    )
    if look_at_ms is not None:
        state.timers.add(look_at_ms, TimerKind.HOURS, e.queue_id)


def _in_line(state: RoutingState, queue_id: QueueId) -> list[Contact]:
    """Return the contacts that wait in the queue, and those that are offered and may return to it."""
    found = {
        contact.contact_id: contact
        for line in state.index.queue_lines.get(queue_id, ())
        for contact in line.by_key.values()
    }
    for offer in state.offers.values():
        contact = state.contacts[offer.contact_id]
        if contact.queue_id == queue_id and contact.line is not None:
            found[contact.contact_id] = contact
    return sorted(found.values(), key=_orig_seq)


def _orig_seq(contact: Contact) -> int:
    return contact.orig_seq


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    QueueOpened: _opened,
    QueueClosed: _closed,
}
