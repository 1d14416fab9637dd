"""Handlers of the events of suspended contacts.

A suspended contact has no agent, no offer, no callback and no place in a waiting line; of its clocks only the one of its
suspension runs. Its age stands still: ``suspension.age_ms`` holds it until the contact is resumed.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.events import callbacks
from router.engine.events.contact_state import (
    change_queue,
    change_state,
    place_in_line,
    record_owner_accept,
    wait_for_opening_if_closed,
)
from router.engine.routing_state import RoutingState
from router.engine.state.clocks import TimerKind, end_closed_wait
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import RequestState, SuspensionState
from router.engine.transitions import CONTACT_TRANSITIONS, EventTransitions
from router.engine.wait.learning import record_end
from router.model.events import ContactResumed, ContactResumeDue, ContactSuspended
from router.model.states import ContactState

_CHANGES: Final = {
    kind: EventTransitions(CONTACT_TRANSITIONS, kind) for kind in (ContactSuspended, ContactResumed, ContactResumeDue)
}
_WAITING: Final = (ContactState.QUEUED, ContactState.OFFERED)


def _suspended(state: RoutingState, event: ContactSuspended) -> None:
    contact = state.contacts[event.contact_id]
    if contact.state in _WAITING:
        record_end(state, contact, abandoned=False)
    record_owner_accept(contact)
    change_state(state, contact, _CHANGES[ContactSuspended])
    state.count_suspended(contact, 1)
    state.index.contacts.leave_line(contact)
    end_closed_wait(state, contact)
    contact.closed_ms = event.closed_ms
    if contact.callback is not None:
        callbacks.end_callback(state, contact)
        contact.callback = None
    contact.agent_id = contact.assignment_id = None
    contact.ttl_at_ms = contact.wait_until_ms = contact.step_until_ms = None
    contact.preferred_agent_id = contact.preferred_until_ms = contact.return_to_agent_id = contact.return_to_sender_ms = None
    contact.step = contact.plan_priority_s = contact.plan_priority_class = 0
    contact.cool_downs = None
    contact.suspension = SuspensionState(
        suspended_at_ms=state.at_ms,
        suspended_seq=state.seq,
        age_ms=event.age_ms,
        resume_by_ms=event.resume_by_ms,
        at_expiry=event.at_expiry,
        warning_ms=event.warning_ms,
        ttl_left_ms=event.ttl_left_ms,
    )
    state.timers.add(contact.suspension.due_ms, TimerKind.SUSPENSION, contact.contact_id)


def _resume_due(state: RoutingState, event: ContactResumeDue) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _CHANGES[ContactResumeDue])
    suspension = _suspension_of(contact)
    suspension.warning_ms = None
    state.timers.add(suspension.due_ms, TimerKind.SUSPENSION, contact.contact_id)


def _resumed(state: RoutingState, event: ContactResumed) -> None:
    contact = state.contacts[event.contact_id]
    suspension = _suspension_of(contact)
    change_state(state, contact, _CHANGES[ContactResumed])
    state.count_suspended(contact, -1)
    suspension.resumed_seq, suspension.warning_ms = state.seq, None
    contact.overflowed_from = () if event.named_queue_id is None else (event.named_queue_id,)
    contact.overflow_count += event.overflow_count
    change_queue(state, contact, event.queue_id)
    contact.channel, contact.reference = event.channel, event.reference
    if event.queued_at_ms is not None:
        contact.queued_at_ms = event.queued_at_ms
    contact.closed_ms, contact.ttl_at_ms, contact.wait_until_ms = event.closed_ms, event.ttl_at_ms, event.wait_until_ms
    contact.preferred_agent_id, contact.preferred_until_ms = event.preferred_agent_id, event.preferred_until_ms
    contact.plan, contact.step, contact.step_until_ms = event.plan, event.step, event.step_until_ms
    if event.option is not None:
        contact.request = contact.request or RequestState()
        contact.request.chosen = event.option
    wait_for_opening_if_closed(state, contact)
    place_in_line(state, contact)


def _suspension_of(contact: Contact) -> SuspensionState:
    suspension = contact.suspension
    assert suspension is not None, "only a suspended contact is resumed"
    return suspension


SUSPENSION_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    ContactSuspended: _suspended,
    ContactResumeDue: _resume_due,
    ContactResumed: _resumed,
}
