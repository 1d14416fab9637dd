"""What events teach about waits and work (``pace.py``): the other event handlers say what has just ended. Decides nothing.

On the path of every contact, so the usual case is spelled out here.
"""

from typing import Final

from router.core.pace import WEIGHT_MAX
from router.core.state import Assignment, Contact, RoutingState
from router.model.states import ContactState

# Bound once: to look a member up on its class takes longer than most of what is done with it.
_ASSIGNED: Final = ContactState.ASSIGNED


def answered(state: RoutingState, contact: Contact, offered_at_ms: int | None = None) -> None:
    """An agent gets it, by an offer made then or without one. Before the record changes."""
    learned, at_ms = state.learned, state.at_ms
    try:
        pace = learned.paces[contact.queue_id][contact.channel]
    except KeyError:
        pace = learned.pace(contact.queue_id, contact.channel)
    if contact.state is _ASSIGNED:
        if offered_at_ms is not None:
            pace.ring(at_ms - offered_at_ms)
        return  # From agent to agent: nobody has waited.
    if offered_at_ms is not None and contact.callback is None:
        pace.answer(at_ms - offered_at_ms, at_ms - contact.queued_at_ms)
    else:
        if offered_at_ms is not None:
            pace.ring(at_ms - offered_at_ms)
        # A callback has waited without its customer: that says nothing of his patience.
        if contact.callback is None:
            pace.wait(at_ms - contact.queued_at_ms, left=False)
    if learned.pending:
        learned.answered(contact.contact_id, at_ms)


def gone(state: RoutingState, contact: Contact, *, left: bool) -> None:
    """It ends without an answer. ``left``: by the customer's own will. Before the record changes."""
    learned = state.learned
    if contact.callback is None:
        pace = learned.pace(contact.queue_id, contact.channel)
        pace.wait(state.at_ms - contact.queued_at_ms, left=left)
    if learned.pending:
        learned.gave_up(contact.contact_id, left=left)


def diverted(state: RoutingState, contact: Contact) -> None:
    """It waits on elsewhere, anew, as a callback or for an opening: what was foreseen of its wait can no longer be judged."""
    if state.learned.pending:
        state.learned.gave_up(contact.contact_id, left=False)


def worked(state: RoutingState, work: Assignment) -> None:
    """An assignment gives its capacity back."""
    learned = state.learned
    try:
        pace = learned.paces[work.queue_id][work.channel]
    except KeyError:
        pace = learned.pace(work.queue_id, work.channel)
    guess_ms = 0
    if pace.worked < WEIGHT_MAX:
        guess_ms = 1000 * state.queue_policy(work.queue_id).expected_handle_s
    pace.work(state.at_ms - work.started_at_ms, guess_ms)
