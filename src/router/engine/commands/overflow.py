"""End of a wait in one queue: overflow to another queue after the maximum wait or at closing, or expiry of the contact."""

from router.engine.commands.plan_steps import overflow_to
from router.engine.commands.queue_admission import EntryWay, QueueEntry, find_queue
from router.engine.commands.queue_moves import requeue_at_place
from router.engine.commands.transaction import Transaction
from router.engine.state.clocks import closed_time_ms
from router.engine.state.contact import Contact
from router.model.events.contact import ContactExpired
from router.model.policy import AtClosing


def expire_waiting(tx: Transaction, contact: Contact, reason: str) -> None:
    """Expire the contact; its offers have been rescinded before."""
    tx.emit(
        ContactExpired(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            waited_ms=tx.at_ms - contact.queued_at_ms,
            closed_ms=closed_time_ms(tx.state, contact),
            reason=reason,
            gateway_id=contact.gateway_id,
        )
    )


def expire_wait_max(tx: Transaction, contact: Contact) -> None:
    """Handle the end of the queue's maximum wait: overflow to the next queue, or expire if none is configured.

    If no queue of the overflow chain admits it now, the contact stays and waits without a limit rather than being lost.
    """
    queue = tx.state.queue_policy(contact.queue_id)
    if queue.overflow_to is None:
        expire_waiting(tx, contact, "wait_max")
    elif not _try_overflow(tx, contact, "wait_max"):
        _keep_without_limit(tx, contact)


def apply_at_closing(tx: Transaction, contact: Contact) -> None:
    """Apply ``at_closing`` of the queue to a waiting contact; if it cannot overflow, it stays."""
    match tx.state.queue_policy(contact.queue_id).at_closing:
        case AtClosing.EXPIRE:
            expire_waiting(tx, contact, "closed")
        case AtClosing.OVERFLOW:
            _try_overflow(tx, contact, "closed")


def apply_closing_after_requeue(tx: Transaction, contact: Contact) -> None:
    """Apply ``at_closing`` to a contact that waits again after an offer, if its queue has closed meanwhile."""
    if tx.state.is_closed(contact.queue_id) and not contact.waiting_for_opening:
        apply_at_closing(tx, contact)


def _try_overflow(tx: Transaction, contact: Contact, reason: str) -> bool:
    target = tx.state.queue_policy(contact.queue_id).overflow_to
    if target is None:
        return False
    entry = find_queue(tx.state, contact, target, EntryWay.OVERFLOW)
    if not isinstance(entry, QueueEntry):
        return False
    overflow_to(tx, contact, entry, reason)
    return True


def _keep_without_limit(tx: Transaction, contact: Contact) -> None:
    requeue_at_place(
        tx,
        contact,
        "overflow_impossible",
        wait_until_ms=None,
        preferred_agent_id=contact.preferred_agent_id,
        preferred_until_ms=contact.preferred_until_ms,
    )
