"""Admission of a contact to a queue.

``admit_to_queue`` decides which queue a new contact enters. A queue may be closed, may have no ready agent, or may be full;
its policy says whether a new contact then waits, overflows along the overflow chain, or is refused. ``length_max`` limits
waiting only: a contact that a free agent can take at once is never refused for it.
"""

from collections.abc import Callable
from typing import TypeAlias

from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.model.policy import Policy, QueuePolicy, WhenClosed, WhenFull, WhenNoAgentsReady
from router.model.results import RefusalCode, Refused
from router.model.states import ContactState, QueueId

QueuePredicate: TypeAlias = Callable[[QueueId], bool]


def admit_to_queue(
    state: RoutingState,
    policy: Policy,
    queue_id: QueueId,
    *,
    has_free_agent: QueuePredicate,
    has_ready_agent: QueuePredicate,
    callback: bool = False,
) -> tuple[QueueId, int] | Refused:
    """Return the queue that admits the contact and the number of overflows to it, or the refusal of the last queue tried.

    ``has_free_agent`` tells for a queue whether an agent could take this contact now, ``has_ready_agent`` whether a qualified
    agent is ready. With ``callback`` the contact is to become a callback: a queue that offers callbacks admits it even if it
    is closed or has no ready agent, because the customer is not on the line.
    """
    overflow_count = 0
    full: QueueId | None = None
    while True:
        queue = policy.queues[queue_id]
        closed = bool(state.hours) and state.is_closed(queue_id)
        may_wait = callback and queue.callback is not None
        refused: Refused | None = None
        overflows = False
        if closed and queue.when_closed is not WhenClosed.WAIT and not may_wait:
            refused = queue_closed_refusal(state, queue_id)
            overflows = queue.when_closed is WhenClosed.OVERFLOW
        elif (
            not closed
            and not may_wait
            and queue.when_no_agents_ready is not WhenNoAgentsReady.WAIT
            and not has_ready_agent(queue_id)
        ):
            refused = Refused(
                code=RefusalCode.NO_AGENTS_READY, field="queue_id", detail=f"no qualified agent is ready in queue {queue_id}"
            )
            overflows = queue.when_no_agents_ready is WhenNoAgentsReady.OVERFLOW
        elif _is_full(state, queue_id, queue) and (closed or not has_free_agent(queue_id)):
            full = full or queue_id
            refused = Refused(code=RefusalCode.QUEUE_FULL, field="queue_id", detail=f"queue {full} is at its length_max")
            overflows = queue.when_full is WhenFull.OVERFLOW
        if refused is None:
            return queue_id, overflow_count
        if not overflows or queue.overflow_to is None or overflow_count >= policy.overflow_count_max:
            return refused
        queue_id = queue.overflow_to
        overflow_count += 1


def queue_closed_refusal(state: RoutingState, queue_id: QueueId, field: str = "queue_id") -> Refused:
    """Return the refusal of a closed queue, with the time at which it opens."""
    hours = state.hours[queue_id]
    return Refused(
        code=RefusalCode.QUEUE_CLOSED, field=field, detail=f"queue {queue_id} is closed", opens_at_ms=hours.changes_at_ms
    )


def _is_full(state: RoutingState, queue_id: QueueId, queue: QueuePolicy) -> bool:
    return queue.length_max is not None and state.queue_counts(queue_id)[ContactState.QUEUED] >= queue.length_max


def accepts_contacts(state: RoutingState, queue_id: QueueId) -> bool:
    """Return whether contacts may enter the queue: it is open, or lets them wait for the opening."""
    if not state.hours or not state.is_closed(queue_id):
        return True
    return state.queue_policy(queue_id).when_closed is WhenClosed.WAIT


def find_overflow_queue(state: RoutingState, queue_id: QueueId, overflows_left: int) -> tuple[QueueId, int] | None:
    """Return the first queue along the overflow chain that accepts contacts and the number of overflows to it."""
    overflow_count = 0
    while overflow_count < overflows_left:
        target = state.queue_policy(queue_id).overflow_to
        if target is None:
            return None
        overflow_count += 1
        if accepts_contacts(state, target):
            return target, overflow_count
        if state.queue_policy(target).when_closed is not WhenClosed.OVERFLOW:
            return None
        queue_id = target
    return None


def overflows_left(state: RoutingState, contact: Contact) -> int:
    """Return how often the contact may still overflow."""
    return 0 if state.policy is None else state.policy.overflow_count_max - contact.overflow_count
