"""Learning from events: record handling times, waits and forecasts, and compare forecasts with answers.

The event handlers call these functions *before* they change the record, as the record still holds when the wait or the ringing
started; only ``record_forecast`` is called after the contact has been queued. Nothing here decides anything. The functions run
for every contact, so their most frequent case avoids calls.
"""

from typing import Final

from router.engine.routing_state import RoutingState
from router.engine.state.clocks import closed_time_ms
from router.engine.state.contact import Contact
from router.engine.state.records import Assignment
from router.engine.state.wait_statistics import WEIGHT_MAX
from router.engine.wait.estimate import forecast_to_record
from router.model.states import ContactState

# Bound once: looking a member up on its enumeration class costs more than most of the comparisons made with it.
_ASSIGNED: Final = ContactState.ASSIGNED


def _waited_ms(state: RoutingState, contact: Contact) -> int:
    """Return the age of the contact without the time that it waited for openings."""
    waited_ms = state.at_ms - contact.queued_at_ms
    if contact.closed_ms or contact.waiting_for_opening:
        waited_ms -= closed_time_ms(state, contact)
    return waited_ms


def record_forecast(state: RoutingState, contact: Contact) -> None:
    """Record the estimate for a contact that has just been queued and has to wait, within the limits of recorded forecasts."""
    if not state.wait_statistics.may_forecast(state.at_ms):
        return
    forecast = forecast_to_record(state, contact)
    if forecast is not None:
        state.wait_statistics.add_forecast(contact.contact_id, forecast)


def record_answer(state: RoutingState, contact: Contact, offered_at_ms: int | None = None) -> None:
    """Record that an agent got the contact, by an offer made at ``offered_at_ms`` or without an offer."""
    statistics, at_ms = state.wait_statistics, state.at_ms
    try:
        stats = statistics.handling[contact.queue_id][contact.channel]
    except KeyError:
        stats = statistics.handling_stats(contact.queue_id, contact.channel)
    if contact.state is _ASSIGNED:
        if offered_at_ms is not None:
            stats.record_ring(at_ms - offered_at_ms)
        return  # Transferred from agent to agent without waiting in a queue.
    if offered_at_ms is not None and contact.callback is None:
        stats.record_answer(at_ms - offered_at_ms, _waited_ms(state, contact))
    else:
        if offered_at_ms is not None:
            stats.record_ring(at_ms - offered_at_ms)
        # A callback waits without its customer on the line, so its wait says nothing about patience.
        if contact.callback is None:
            stats.record_wait(_waited_ms(state, contact), abandoned=False)
    if statistics.pending_forecasts:
        statistics.record_answer(contact.contact_id, at_ms)


def record_end(state: RoutingState, contact: Contact, *, abandoned: bool) -> None:
    """Record that the contact ended without an answer; ``abandoned`` if the customer left."""
    statistics = state.wait_statistics
    if contact.callback is None:
        stats = statistics.handling_stats(contact.queue_id, contact.channel)
        stats.record_wait(_waited_ms(state, contact), abandoned=abandoned)
    if statistics.pending_forecasts:
        statistics.discard_forecast(contact.contact_id, abandoned=abandoned)


def discard_forecast(state: RoutingState, contact: Contact) -> None:
    """Drop the contact's forecast: it waits again elsewhere, as a callback or for an opening, so the wait cannot be compared."""
    if state.wait_statistics.pending_forecasts:
        state.wait_statistics.discard_forecast(contact.contact_id, abandoned=False)


def record_handling(state: RoutingState, assignment: Assignment) -> None:
    """Record the handling time of an assignment that releases its capacity."""
    statistics = state.wait_statistics
    try:
        stats = statistics.handling[assignment.queue_id][assignment.channel]
    except KeyError:
        stats = statistics.handling_stats(assignment.queue_id, assignment.channel)
    expected_ms = 0
    if stats.handled_count < WEIGHT_MAX:
        expected_ms = 1000 * state.queue_policy(assignment.queue_id).expected_handle_s
    stats.record_handling(state.at_ms - assignment.started_at_ms, expected_ms)
