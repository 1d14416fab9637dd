"""Update the wait statistics (``statistics.py``) from events.

The event handlers call these functions *before* they change the record, as the record still holds when the wait or the ringing
began. Nothing here decides anything. The functions run for every contact, so their most frequent case avoids calls.
"""

from typing import Final

from router.core.pace import WEIGHT_MAX
from router.core.state import Assignment, Contact, RoutingState
from router.model.states import ContactState

# Bound once: looking a member up on its enumeration class costs more than most of the comparisons made with it.
_ASSIGNED: Final = ContactState.ASSIGNED


def answered(state: RoutingState, contact: Contact, offered_at_ms: int | None = None) -> None:
    """Record that an agent got the contact, by an offer made at ``offered_at_ms`` or without an offer."""
    learned, at_ms = state.learned, state.at_ms
    try:
        pace = learned.paces[contact.queue_id][contact.channel]
    except KeyError:
        pace = learned.pace(contact.queue_id, contact.channel)
    if contact.state is _ASSIGNED:
        if offered_at_ms is not None:
            pace.ring(at_ms - offered_at_ms)
        return  # Transferred from agent to agent without waiting in a queue.
    if offered_at_ms is not None and contact.callback is None:
        pace.answer(at_ms - offered_at_ms, at_ms - contact.queued_at_ms)
    else:
        if offered_at_ms is not None:
            pace.ring(at_ms - offered_at_ms)
        # A callback waits without its customer on the line, so its wait says nothing about patience.
        if contact.callback is None:
            pace.wait(at_ms - contact.queued_at_ms, left=False)
    if learned.pending:
        learned.answered(contact.contact_id, at_ms)


def gone(state: RoutingState, contact: Contact, *, left: bool) -> None:
    """Record that the contact ended without an answer; ``abandoned`` if the customer left."""
    learned = state.learned
    if contact.callback is None:
        pace = learned.pace(contact.queue_id, contact.channel)
        pace.wait(state.at_ms - contact.queued_at_ms, left=left)
    if learned.pending:
        learned.gave_up(contact.contact_id, left=left)


def diverted(state: RoutingState, contact: Contact) -> None:
    """Drop the contact's forecast: it waits again elsewhere, as a callback or for an opening, so the wait cannot be compared."""
    if state.learned.pending:
        state.learned.gave_up(contact.contact_id, left=False)


def worked(state: RoutingState, work: Assignment) -> None:
    """Record the handling time of an assignment that releases its capacity."""
    learned = state.learned
    try:
        pace = learned.paces[work.queue_id][work.channel]
    except KeyError:
        pace = learned.pace(work.queue_id, work.channel)
    guess_ms = 0
    if pace.worked < WEIGHT_MAX:
        guess_ms = 1000 * state.queue_policy(work.queue_id).expected_handle_s
    pace.work(state.at_ms - work.started_at_ms, guess_ms)
