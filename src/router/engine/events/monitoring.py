"""Handlers of the events of supervisors who join conversations. They change nothing else of the contact."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import structs

from router.engine.index.monitors import monitor_of
from router.engine.routing_state import RoutingState
from router.engine.state.clocks import TimerKind
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import MonitorState
from router.model.errors import IllegalTransition
from router.model.events import (
    ContactMonitorFailed,
    ContactMonitorJoined,
    ContactMonitorLeft,
    ContactMonitorRenewed,
    ContactMonitorRequested,
)
from router.model.states import SupervisorId


def _requested(state: RoutingState, event: ContactMonitorRequested) -> None:
    contact = state.contacts[event.contact_id]
    monitor = monitor_of(contact, event.supervisor_id) or MonitorState(
        supervisor_id=event.supervisor_id,
        agent_id=event.owner_agent_id,
        assignment_id=event.assignment_id,
        channel=contact.channel,
        gateway_id=event.gateway_id,
        requested_at_ms=state.at_ms,
    )
    state.index.monitors.put(
        contact,
        structs.replace(
            monitor,
            wanted=event.mode,
            deadline_ms=event.deadline_ms,
            until_ms=event.until_ms,
            is_hidden=event.is_hidden,
            scope=event.scope,
        ),
    )
    for due_ms in (event.deadline_ms, event.until_ms):
        if due_ms is not None:
            state.timers.add(due_ms, TimerKind.MONITOR, event.contact_id, event.supervisor_id)


def _joined(state: RoutingState, event: ContactMonitorJoined) -> None:
    contact, monitor = _monitor(state, event.contact_id, event.supervisor_id)
    joined_at_ms = state.at_ms if monitor.joined_at_ms is None else monitor.joined_at_ms
    changed = structs.replace(monitor, mode=event.mode, wanted=None, deadline_ms=None, joined_at_ms=joined_at_ms)
    state.index.monitors.put(contact, changed)


def _failed(state: RoutingState, event: ContactMonitorFailed) -> None:
    if event.present_mode is None:
        _remove(state, event)
        return
    contact, monitor = _monitor(state, event.contact_id, event.supervisor_id)
    state.index.monitors.put(contact, structs.replace(monitor, wanted=None, deadline_ms=None))


def _renewed(state: RoutingState, event: ContactMonitorRenewed) -> None:
    contact, monitor = _monitor(state, event.contact_id, event.supervisor_id)
    state.index.monitors.put(contact, structs.replace(monitor, until_ms=event.until_ms, scope=event.scope))
    state.timers.add(event.until_ms, TimerKind.MONITOR, event.contact_id, event.supervisor_id)


def _remove(state: RoutingState, event: ContactMonitorLeft | ContactMonitorFailed) -> None:
    # A contact that has ended in the same step may be forgotten already.
    state.index.monitors.remove(event.contact_id, state.contacts.get(event.contact_id), event.supervisor_id)


def _monitor(state: RoutingState, contact_id: str, supervisor_id: SupervisorId) -> tuple[Contact, MonitorState]:
    contact = state.contacts[contact_id]
    monitor = monitor_of(contact, supervisor_id)
    if monitor is None:
        raise IllegalTransition("the supervisor has not joined the conversation")
    return contact, monitor


MONITORING_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    ContactMonitorRequested: _requested,
    ContactMonitorJoined: _joined,
    ContactMonitorFailed: _failed,
    ContactMonitorRenewed: _renewed,
    ContactMonitorLeft: _remove,
}
