"""A new policy to state: the indexes are made anew under it."""

from collections.abc import Callable
from typing import Any, Final

from router.core.apply.moves import change_queue
from router.core.state import RoutingState
from router.model.events import PolicyPublished
from router.model.ids import QueueId
from router.model.states import ContactState

# Contacts that the publication does not move by an event of their own.
_NOT_WAITING: Final = (ContactState.ASSIGNED, ContactState.CALLBACK_SCHEDULED)


def _published(state: RoutingState, e: PolicyPublished) -> None:
    state.policy = e.policy
    if e.drain_to:
        _adopt(state, e.drain_to)
    state.policy_version = e.version
    state.calendars = {}
    if state.hours:
        state.hours = {name: h for name, h in state.hours.items() if name in e.policy.queues}
    state.index.rebuild(e.policy)
    state.learned.keep_queues(e.policy.queues)


def _adopt(state: RoutingState, drain_to: dict[QueueId, QueueId]) -> None:
    """Conversations under way in a removed queue, and callbacks for later, belong to the one that takes its contacts."""
    for contact in state.contacts.values():
        target = drain_to.get(contact.queue_id)
        if target is None or contact.state not in _NOT_WAITING:
            continue
        change_queue(state, contact, target)
        if contact.assignment_id is not None:
            for name in (contact.assignment_id, *contact.parties):
                state.assignments[name].queue_id = target


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {PolicyPublished: _published}
