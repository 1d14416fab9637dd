"""Handlers of callback events, and the effects of other events on a contact that is a callback."""

from collections.abc import Callable
from typing import Any, Final

from router.engine.events.contact_state import change_state, place_in_line, record_owner_accept, wait_for_opening_if_closed
from router.engine.routing_state import RoutingState
from router.engine.state.clocks import TimerKind, end_closed_wait
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import CallbackState, phase_when_taken
from router.engine.transitions import CONTACT_TRANSITIONS, EventTransitions
from router.engine.wait.learning import discard_forecast
from router.model.events import (
    CallbackClaimed,
    CallbackConnected,
    CallbackDialRequested,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
)
from router.model.states import CallbackPhase

_CALLBACK_CHANGES: Final = {
    kind: EventTransitions(CONTACT_TRANSITIONS, kind)
    for kind in (CallbackRequested, CallbackScheduled, CallbackDialRequested, CallbackClaimed, CallbackConnected, CallbackFailed)
}


def _requested(state: RoutingState, event: CallbackRequested) -> None:
    contact = state.contacts[event.contact_id]
    discard_forecast(state, contact)
    change_state(state, contact, _CALLBACK_CHANGES[CallbackRequested])
    contact.callback = CallbackState(mode=event.mode, place=event.queue_position, expires_at_ms=event.expires_at_ms)
    contact.callback.has_window = event.has_window
    state.index.contacts.leave_line(contact)
    contact.channel = event.channel
    contact.ttl_at_ms = event.expires_at_ms
    contact.wait_until_ms = None
    wait_for_opening_if_closed(state, contact)
    place_in_line(state, contact)


def _scheduled(state: RoutingState, event: CallbackScheduled) -> None:
    contact = state.contacts[event.contact_id]
    callback = _callback_of(contact)
    change_state(state, contact, _CALLBACK_CHANGES[CallbackScheduled])
    state.index.contacts.leave_line(contact)
    end_closed_wait(state, contact)
    if contact.ttl_at_ms is not None:
        state.timers.add(contact.ttl_at_ms, TimerKind.TTL, contact.contact_id)
    callback.phase = CallbackPhase.SCHEDULED
    callback.scheduled_at_ms, callback.requested_at_ms = event.due_at_ms, event.requested_at_ms
    if event.moved:
        callback.expires_at_ms = contact.ttl_at_ms = event.expires_at_ms
        callback.has_window = event.has_window
        if event.expires_at_ms is not None:
            state.timers.add(event.expires_at_ms, TimerKind.TTL, contact.contact_id)
    _set_due_time(state, contact, callback, event.due_at_ms)


def _due(state: RoutingState, event: CallbackDialRequested) -> None:
    contact = state.contacts[event.contact_id]
    callback = _callback_of(contact)
    change_state(state, contact, _CALLBACK_CHANGES[CallbackDialRequested])
    callback.attempts = event.attempt
    callback.end_claim()
    callback.phase = CallbackPhase.DIALLING
    if event.for_agent_id is not None:
        state.index.contacts.leave_line(contact)
        callback.for_agent_id = event.for_agent_id
        state.index.contacts.dialling[event.for_agent_id] = contact.contact_id
    _set_due_time(state, contact, callback, event.deadline_ms)


def _claimed(state: RoutingState, event: CallbackClaimed) -> None:
    contact = state.contacts[event.contact_id]
    callback = _callback_of(contact)
    change_state(state, contact, _CALLBACK_CHANGES[CallbackClaimed])
    callback.claimed_by, callback.claimed_until_ms = event.claimed_by, event.until_ms


def _connected(state: RoutingState, event: CallbackConnected) -> None:
    contact = state.contacts[event.contact_id]
    callback = _callback_of(contact)
    stop_dialling(state, contact)
    change_state(state, contact, _CALLBACK_CHANGES[CallbackConnected])
    callback.phase, callback.due_at_ms = CallbackPhase.CONNECTED, None
    callback.end_claim()
    callback.outcome, callback.outcome_seq = event.outcome, state.seq
    contact.ttl_at_ms = None
    if event.agent_id is None:
        contact.wait_until_ms = event.wait_until_ms
        place_in_line(state, contact)


def _failed(state: RoutingState, event: CallbackFailed) -> None:
    contact = state.contacts[event.contact_id]
    callback = _callback_of(contact)
    stop_dialling(state, contact)
    record_owner_accept(contact)
    change_state(state, contact, _CALLBACK_CHANGES[CallbackFailed])
    contact.agent_id = contact.assignment_id = None
    callback.phase = CallbackPhase.RETRY
    callback.end_claim()
    callback.outcome, callback.outcome_seq = event.outcome, state.seq
    contact.ttl_at_ms = callback.expires_at_ms
    if callback.expires_at_ms is not None:
        state.timers.add(callback.expires_at_ms, TimerKind.TTL, contact.contact_id)
    _set_due_time(state, contact, callback, event.due_at_ms)


def _set_due_time(state: RoutingState, contact: Contact, callback: CallbackState, due_at_ms: int | None) -> None:
    callback.due_at_ms = due_at_ms
    if due_at_ms is not None:
        state.timers.add(due_at_ms, TimerKind.CALLBACK, contact.contact_id)


def _callback_of(contact: Contact) -> CallbackState:
    callback = contact.callback
    assert callback is not None, "callback events apply only to contacts that are callbacks"
    return callback


# --- effects of other events; called only if ``contact.callback`` is set --------------------------------------------
def stop_dialling(state: RoutingState, contact: Contact) -> None:
    """End the call on behalf of an agent, who becomes available for another contact."""
    callback = contact.callback
    if callback is None or callback.for_agent_id is None:
        return
    index, agent_id = state.index, callback.for_agent_id
    callback.for_agent_id = None
    if index.contacts.dialling.pop(agent_id, None) is None:
        return
    agent = state.agents.get(agent_id)
    if agent is not None and agent.open_channel_bits:
        index.agents.freed[agent_id] = agent


def return_to_waiting(state: RoutingState, contact: Contact, queued_at_ms: int | None) -> None:
    """Return the callback to its waiting line; a scheduled time or a call in progress is dropped."""
    callback = _callback_of(contact)
    stop_dialling(state, contact)
    if queued_at_ms is not None:
        contact.queued_at_ms, contact.closed_ms = queued_at_ms, 0
    if callback.phase is CallbackPhase.CONNECTED:
        return
    callback.phase, callback.due_at_ms = CallbackPhase.WAITING, None
    callback.end_claim()
    contact.ttl_at_ms = callback.expires_at_ms
    wait_for_opening_if_closed(state, contact)


def take_callback(state: RoutingState, contact: Contact) -> None:
    """Record that a supervisor assigned the callback: a call in progress continues for the agent, another wait ends."""
    callback = _callback_of(contact)
    stop_dialling(state, contact)
    if callback.phase in (CallbackPhase.SCHEDULED, CallbackPhase.RETRY):
        callback.phase, callback.due_at_ms = phase_when_taken(callback), None


def end_callback(state: RoutingState, contact: Contact) -> None:
    """Stop the dialling and the timer of a callback whose contact has ended."""
    stop_dialling(state, contact)
    _callback_of(contact).due_at_ms = None


CALLBACK_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    CallbackRequested: _requested,
    CallbackScheduled: _scheduled,
    CallbackDialRequested: _due,
    CallbackClaimed: _claimed,
    CallbackConnected: _connected,
    CallbackFailed: _failed,
}
