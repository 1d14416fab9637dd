"""Which queues take somebody now, and how often a contact may still move on: what everybody asks who sends a contact on."""

from router.core.state import Contact, RoutingState
from router.model.ids import QueueId
from router.model.policy import WhenClosed


def takes_somebody(state: RoutingState, queue_id: QueueId) -> bool:
    """Whether somebody may come into the queue: it is open, or lets them wait for the opening."""
    if not state.hours or not state.is_closed(queue_id):
        return True
    return state.queue_policy(queue_id).when_closed is WhenClosed.WAIT


def way_on(state: RoutingState, queue_id: QueueId, hops_left: int) -> tuple[QueueId, int] | None:
    """The first queue along the overflows that takes somebody, and how many hops away it is; none: there is none."""
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
    """How often it may still overflow."""
    return 0 if state.policy is None else state.policy.overflow_hops_max - contact.hops
