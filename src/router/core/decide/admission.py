"""Admission of new contacts: the requested queue, a queue along its overflow chain, or a refusal.

A queue may be closed, may have no ready agent, or may be full; its policy says whether a new contact then waits, overflows
or is refused. ``length_max`` limits waiting only: a contact that a free agent can take at once is never refused for it.
"""

from collections.abc import Callable
from typing import TypeAlias

from router.core.state import RoutingState
from router.model.ids import QueueId
from router.model.policy import Policy, QueuePolicy, WhenClosed, WhenFull, WhenNobody
from router.model.refusals import RefusalCode, Refused
from router.model.states import ContactState

Look: TypeAlias = Callable[[QueueId], bool]


def admit(
    state: RoutingState,
    policy: Policy,
    queue_id: QueueId,
    *,
    somebody_free: Look,
    somebody_ready: Look,
    callback: bool = False,
) -> tuple[QueueId, int] | Refused:
    """Return the queue that admits the contact and the number of overflows to it, or the refusal of the last queue tried.

    ``has_free_agent`` tells for a queue whether an agent could take this contact now, ``has_ready_agent`` whether a qualified
    agent is ready. With ``callback`` the contact is to become a callback: a queue that offers callbacks admits it even if it
    is closed or has no ready agent, because the customer is not on the line.
    """
    hops = 0
    full: QueueId | None = None
    while True:
        queue = policy.queues[queue_id]
        closed = bool(state.hours) and state.is_closed(queue_id)
        may_wait = callback and queue.callback is not None
        refused: Refused | None = None
        overflows = False
        if closed and queue.when_closed is not WhenClosed.WAIT and not may_wait:
            refused = closed_refusal(state, queue_id)
            overflows = queue.when_closed is WhenClosed.OVERFLOW
        elif (
            not closed
            and not may_wait
            and queue.when_nobody is not WhenNobody.WAIT
            and not somebody_ready(queue_id)
        ):
            refused = Refused(
                code=RefusalCode.NOBODY_THERE,
                field="queue_id",
                detail=f"no qualified agent is ready in queue {queue_id}",
            )
            overflows = queue.when_nobody is WhenNobody.OVERFLOW
        elif _is_full(state, queue_id, queue) and (closed or not somebody_free(queue_id)):
            full = full or queue_id
            refused = Refused(
                code=RefusalCode.QUEUE_FULL,
                field="queue_id",
                detail=f"queue {full} is at its length_max",
            )
            overflows = queue.when_full is WhenFull.OVERFLOW
        if refused is None:
            return queue_id, hops
        if not overflows or queue.overflow_to is None or hops >= policy.overflow_hops_max:
            return refused
        queue_id = queue.overflow_to
        hops += 1


def closed_refusal(state: RoutingState, queue_id: QueueId, field: str = "queue_id") -> Refused:
    """Return the refusal of a closed queue, with the time at which it opens."""
    hours = state.hours[queue_id]
    return Refused(
        code=RefusalCode.QUEUE_CLOSED,
        field=field,
        detail=f"queue {queue_id} is closed",
        opens_at_ms=hours.changes_at_ms,
    )


def _is_full(state: RoutingState, queue_id: QueueId, queue: QueuePolicy) -> bool:
    return (
        queue.length_max is not None
        and state.tally(queue_id)[ContactState.QUEUED] >= queue.length_max
    )
