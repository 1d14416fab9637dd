"""Overflow targets: which queue accepts a contact now, and how often the contact may still overflow."""

from router.core.state import Contact, RoutingState
from router.model.ids import QueueId
from router.model.policy import WhenClosed


def takes_somebody(state: RoutingState, queue_id: QueueId) -> bool:
    """Return whether contacts may enter the queue: it is open, or lets them wait for the opening."""
    if not state.hours or not state.is_closed(queue_id):
        return True
    return state.queue_policy(queue_id).when_closed is WhenClosed.WAIT


def way_on(state: RoutingState, queue_id: QueueId, hops_left: int) -> tuple[QueueId, int] | None:
    """Return the first queue along the overflow chain that accepts contacts and the number of overflows to it."""
    hops = 0
    while hops < hops_left:
        target = state.queue_policy(queue_id).overflow_to
        if target is None:
            return None
        hops += 1
        if takes_somebody(state, target):
            return target, hops
        if state.queue_policy(target).when_closed is not WhenClosed.OVERFLOW:
            return None
        queue_id = target
    return None


def hops_left(state: RoutingState, contact: Contact) -> int:
    """Return how often the contact may still overflow."""
    return 0 if state.policy is None else state.policy.overflow_hops_max - contact.hops
