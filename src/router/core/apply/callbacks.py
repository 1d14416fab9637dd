"""Handlers of callback events, and the effects of other events on a contact that is a callback."""

from collections.abc import Callable
from typing import Any, Final

from router.core.apply.learning import diverted
from router.core.apply.moves import move, remember_owner, wait
from router.core.state import Callback, Contact, RoutingState
from router.core.timers import TimerKind
from router.core.transitions import CONTACT, Row
from router.model.callbacks import CallbackPhase
from router.model.events import (
    CallbackConnected,
    CallbackDue,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
)

_ROWS: Final = {
    kind: Row(CONTACT, kind)
    for kind in (
        CallbackRequested,
        CallbackScheduled,
        CallbackDue,
        CallbackConnected,
        CallbackFailed,
    )
}


def _requested(state: RoutingState, e: CallbackRequested) -> None:
    contact = state.contacts[e.contact_id]
    diverted(state, contact)
    move(state, contact, _ROWS[CallbackRequested])
    contact.callback = Callback(mode=e.mode, place=e.place, expires_at_ms=e.expires_at_ms)
    state.index.leave(contact)
    contact.channel = e.channel
    contact.ttl_at_ms = e.expires_at_ms
    contact.wait_until_ms = None
    _hold(state, contact)
    wait(state, contact)


def _scheduled(state: RoutingState, e: CallbackScheduled) -> None:
    contact = state.contacts[e.contact_id]
    callback = _of(contact)
    move(state, contact, _ROWS[CallbackScheduled])
    state.index.leave(contact)
    contact.held = False
    callback.phase = CallbackPhase.SCHEDULED
    callback.scheduled_at_ms = e.due_at_ms
    _due_at(state, contact, callback, e.due_at_ms)


def _due(state: RoutingState, e: CallbackDue) -> None:
    contact = state.contacts[e.contact_id]
    callback = _of(contact)
    move(state, contact, _ROWS[CallbackDue])
    callback.attempts = e.attempt
    callback.phase = CallbackPhase.DIALLING
    if e.for_agent_id is not None:
        state.index.leave(contact)
        callback.for_agent_id = e.for_agent_id
        state.index.dialling[e.for_agent_id] = contact.contact_id
    _due_at(state, contact, callback, e.deadline_ms)


def _connected(state: RoutingState, e: CallbackConnected) -> None:
    contact = state.contacts[e.contact_id]
    callback = _of(contact)
    leave_dialling(state, contact)
    move(state, contact, _ROWS[CallbackConnected])
    callback.phase, callback.due_at_ms = CallbackPhase.CONNECTED, None
    callback.outcome, callback.outcome_seq = e.outcome, state.seq
    contact.ttl_at_ms = None
    if e.agent_id is None:
        contact.wait_until_ms = e.wait_until_ms
        wait(state, contact)


def _failed(state: RoutingState, e: CallbackFailed) -> None:
    contact = state.contacts[e.contact_id]
    callback = _of(contact)
    leave_dialling(state, contact)
    remember_owner(contact)
    move(state, contact, _ROWS[CallbackFailed])
    contact.agent_id = contact.assignment_id = None
    callback.phase = CallbackPhase.RETRY
    callback.outcome, callback.outcome_seq = e.outcome, state.seq
    contact.ttl_at_ms = callback.expires_at_ms
    if callback.expires_at_ms is not None:
        state.timers.add(callback.expires_at_ms, TimerKind.TTL, contact.contact_id)
    _due_at(state, contact, callback, e.due_at_ms)


def _due_at(
    state: RoutingState, contact: Contact, callback: Callback, due_at_ms: int | None
) -> None:
    callback.due_at_ms = due_at_ms
    if due_at_ms is not None:
        state.timers.add(due_at_ms, TimerKind.CALLBACK, contact.contact_id)


def _of(contact: Contact) -> Callback:
    callback = contact.callback
    assert callback is not None, "callback events apply only to contacts that are callbacks"
    return callback


# --- effects of other events; called only if ``contact.callback`` is set --------------------------------------------
def leave_dialling(state: RoutingState, contact: Contact) -> None:
    """End the call on behalf of an agent, who becomes available for another contact."""
    callback = contact.callback
    if callback is None or callback.for_agent_id is None:
        return
    index, agent_id = state.index, callback.for_agent_id
    callback.for_agent_id = None
    if index.dialling.pop(agent_id, None) is None:
        return
    agent = state.agents.get(agent_id)
    if agent is not None and agent.room:
        index.freed[agent_id] = agent


def wait_again(state: RoutingState, contact: Contact, queued_at_ms: int | None) -> None:
    """Return the callback to its waiting line; a scheduled time or a call in progress is dropped."""
    callback = _of(contact)
    leave_dialling(state, contact)
    if queued_at_ms is not None:
        contact.queued_at_ms = queued_at_ms
    if callback.phase is CallbackPhase.CONNECTED:
        return
    callback.phase, callback.due_at_ms = CallbackPhase.WAITING, None
    contact.ttl_at_ms = callback.expires_at_ms
    _hold(state, contact)


def _hold(state: RoutingState, contact: Contact) -> None:
    """Keep the contact waiting for the opening if its queue is closed, with its plan suspended."""
    if state.hours and state.is_closed(contact.queue_id):
        contact.held, contact.step_until_ms = True, None


def taken(state: RoutingState, contact: Contact) -> None:
    """Record that a supervisor assigned the callback: a call in progress continues for the agent, another wait ends."""
    callback = _of(contact)
    leave_dialling(state, contact)
    if callback.phase in (CallbackPhase.SCHEDULED, CallbackPhase.RETRY):
        callback.phase, callback.due_at_ms = CallbackPhase.WAITING, None


def over(state: RoutingState, contact: Contact) -> None:
    """Stop the dialling and the timer of a callback whose contact has ended."""
    leave_dialling(state, contact)
    _of(contact).due_at_ms = None


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    CallbackRequested: _requested,
    CallbackScheduled: _scheduled,
    CallbackDue: _due,
    CallbackConnected: _connected,
    CallbackFailed: _failed,
}
