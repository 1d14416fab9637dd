"""Event handlers: the only code that changes the records of the state.

There is one handler per event type. A handler applies what the event says; it decides nothing and refuses nothing, and an
event that does not fit the state raises ``IllegalTransition``. Live operation, replay and the simulator use the same
handlers, so the same events lead to the same state.
"""

from collections.abc import Callable
from typing import Any, Final

from router.core.apply import (
    agents,
    assignments,
    callbacks,
    conference,
    contacts,
    offers,
    policies,
    queues,
)
from router.core.state import RoutingState
from router.model.events import Event

HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    **contacts.HANDLERS,
    **callbacks.HANDLERS,
    **offers.HANDLERS,
    **assignments.HANDLERS,
    **conference.HANDLERS,
    **agents.HANDLERS,
    **policies.HANDLERS,
    **queues.HANDLERS,
}


def apply(state: RoutingState, event: Event) -> None:
    """Apply the next event at the time ``state.at_ms``."""
    state.seq += 1
    state.event_at_ms = state.at_ms
    HANDLERS[type(event)](state, event)
