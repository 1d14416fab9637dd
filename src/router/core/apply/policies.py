"""A new policy to state: the indexes are made anew under it."""

from collections.abc import Callable
from typing import Any, Final

from router.core.apply.moves import change_queue
from router.core.state import RoutingState
from router.model.events import PolicyPublished
from router.model.ids import QueueId
from router.model.states import ContactState


def _published(state: RoutingState, e: PolicyPublished) -> None:
    state.policy = e.policy
    if e.drain_to:
        _adopt(state, e.drain_to)
    state.policy_version = e.version
    state.index.rebuild(e.policy)
    state.learned.keep_queues(e.policy.queues)


def _adopt(state: RoutingState, drain_to: dict[QueueId, QueueId]) -> None:
    """Conversations under way in a removed queue belong to the one that takes its contacts."""
    for contact in state.contacts.values():
        target = drain_to.get(contact.queue_id)
        if target is None or contact.state is not ContactState.ASSIGNED:
            continue
        change_queue(state, contact, target)
        if contact.assignment_id is not None:
            for name in (contact.assignment_id, *contact.parties):
                state.assignments[name].queue_id = target


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {PolicyPublished: _published}
