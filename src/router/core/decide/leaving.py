"""Leaving a queue without an answer: overflow along the queues that take somebody now, or the end of the wait."""

from router.core.decide.step import Step
from router.core.state import Contact, RoutingState
from router.model.events import ContactExpired, ContactOverflowed, ContactRequeued
from router.model.ids import QueueId
from router.model.policy import AtClosing, WhenClosed


def over(step: Step, contact: Contact, reason: str) -> None:
    """The wait is over for good. Its offers have been taken back."""
    step.emit(
        ContactExpired(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            waited_ms=step.at_ms - contact.queued_at_ms,
            reason=reason,
            gateway_id=contact.gateway_id,
        )
    )


def waited_too_long(step: Step, contact: Contact) -> None:
    """The queue's longest wait is over: on to the next queue, or, where there is none, the end.

    Where there is one that takes nobody now, the contact stays and waits without a limit: it is not lost for that.
    """
    queue = step.state.queue_policy(contact.queue_id)
    if queue.overflow_to is None:
        over(step, contact, "wait_max")
    elif not _overflow(step, contact, "wait_max"):
        _stay(step, contact)


def turned_out(step: Step, contact: Contact) -> None:
    """Its queue has closed while it waited: what ``at_closing`` says. Where it cannot overflow it stays in line."""
    match step.state.queue_policy(contact.queue_id).at_closing:
        case AtClosing.EXPIRE:
            over(step, contact, "closed")
        case AtClosing.OVERFLOW:
            _overflow(step, contact, "closed")


def back_in_line(step: Step, contact: Contact) -> None:
    """An offer has ended and it waits again: if its queue has closed meanwhile, that counts for it now."""
    if step.state.is_closed(contact.queue_id) and not contact.held:
        turned_out(step, contact)


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


def _overflow(step: Step, contact: Contact, reason: str) -> bool:
    state = step.state
    found = way_on(state, contact.queue_id, hops_left(state, contact))
    if found is None:
        return False
    target, hops = found
    step.emit(
        ContactOverflowed(
            contact_id=contact.contact_id,
            from_queue_id=contact.queue_id,
            queue_id=target,
            req=state.index.req(
                target, contact.channel, contact.skills, contact.preferred_agent_id
            ),
            wait_until_ms=step.wait_until_ms(target),
            reason=reason,
            hops=hops,
            gateway_id=contact.gateway_id,
        )
    )
    return True


def _stay(step: Step, contact: Contact) -> None:
    step.emit(
        ContactRequeued(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            req=step.state.index.req(
                contact.queue_id, contact.channel, contact.skills, contact.preferred_agent_id
            ),
            reason="stays",
            orig_seq=contact.orig_seq,
            preferred_agent_id=contact.preferred_agent_id,
            preferred_until_ms=contact.preferred_until_ms,
            gateway_id=contact.gateway_id,
        )
    )
