"""Event handlers: the only code that changes the records of the state.

There is one handler per event type. A handler applies what the event says; it decides nothing and refuses nothing, and an
event that does not fit the state raises ``IllegalTransition``. Live operation, replay and the simulator use the same
handlers, so the same events lead to the same state.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.events import (
    agents,
    alerts,
    assignments,
    callbacks,
    channel_switch,
    contacts,
    goals,
    monitoring,
    offers,
    requests,
    suspension,
    workspace,
)
from router.engine.routing_state import RoutingState
from router.model.events import Event

EVENT_HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    **contacts.CONTACT_EVENTS,
    **requests.REQUEST_EVENTS,
    **callbacks.CALLBACK_EVENTS,
    **suspension.SUSPENSION_EVENTS,
    **channel_switch.CHANNEL_SWITCH_EVENTS,
    **monitoring.MONITORING_EVENTS,
    **offers.OFFER_EVENTS,
    **assignments.ASSIGNMENT_EVENTS,
    **agents.AGENT_EVENTS,
    **workspace.WORKSPACE_EVENTS,
    **alerts.ALERT_EVENTS,
    **goals.GOAL_EVENTS,
}


def apply(state: RoutingState, event: Event) -> None:
    """Apply the next event at the time ``state.at_ms``."""
    state.seq += 1
    state.event_at_ms = state.at_ms
    EVENT_HANDLERS[type(event)](state, event)
