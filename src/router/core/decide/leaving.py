"""Leaving a queue unanswered: overflow to a queue that accepts contacts now, or expiry."""

from router.core.decide.requeue import at_its_place
from router.core.decide.step import Step
from router.core.decide.steps import first_step, overflow
from router.core.decide.ways import hops_left, way_on
from router.core.plans import asks_of
from router.core.state import Contact
from router.model.events import ContactExpired
from router.model.policy import AtClosing


def over(step: Step, contact: Contact, reason: str) -> None:
    """Expire the contact; its offers have been rescinded before."""
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
    """End the longest wait of the queue: overflow to the next queue, or expire if none is configured.

    If the overflow queue accepts no contacts now, the contact stays and waits without a limit rather than being lost.
    """
    queue = step.state.queue_policy(contact.queue_id)
    if queue.overflow_to is None:
        over(step, contact, "wait_max")
    elif not _overflow(step, contact, "wait_max"):
        _stay(step, contact)


def turned_out(step: Step, contact: Contact) -> None:
    """Apply ``at_closing`` of the queue to a waiting contact; if it cannot overflow, it stays."""
    match step.state.queue_policy(contact.queue_id).at_closing:
        case AtClosing.EXPIRE:
            over(step, contact, "closed")
        case AtClosing.OVERFLOW:
            _overflow(step, contact, "closed")


def back_in_line(step: Step, contact: Contact) -> None:
    """Apply ``at_closing`` to a contact that waits again after an offer, if its queue has closed meanwhile."""
    if step.state.is_closed(contact.queue_id) and not contact.held:
        turned_out(step, contact)


def _overflow(step: Step, contact: Contact, reason: str) -> bool:
    state = step.state
    found = way_on(state, contact.queue_id, hops_left(state, contact))
    if found is None:
        return False
    target, hops = found
    number, until_ms = contact.step, contact.step_until_ms
    if contact.plan is None:
        # In the target queue its plan applies from the first step.
        moved = asks_of(contact)._replace(queue_id=target, step=0)
        number, until_ms = first_step(step, moved, step.at_ms)
    overflow(step, contact, target, number, until_ms, reason=reason, hops=hops)
    return True


def _stay(step: Step, contact: Contact) -> None:
    at_its_place(
        step,
        contact,
        "stays",
        wait_until_ms=None,
        preferred_agent_id=contact.preferred_agent_id,
        preferred_until_ms=contact.preferred_until_ms,
    )
