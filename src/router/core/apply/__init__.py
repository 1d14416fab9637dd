"""Event to state: total, deciding nothing, refusing nothing. The only code that changes a record.

``apply`` looks the event's handler up by its type. Live, in replay and in the simulator it is the same code, so the same events
lead to the same state.
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
    """Take in the next event, at the time ``state.at_ms``."""
    state.seq += 1
    state.event_at_ms = state.at_ms
    HANDLERS[type(event)](state, event)
