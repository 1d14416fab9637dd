"""End of a wait in one queue: overflow to another queue after the maximum wait or at closing, or expiry of the contact."""

from itertools import islice
from typing import Final

from router.engine.commands.plan_steps import overflow_to
from router.engine.commands.queue_admission import EntryWay, QueueEntry, find_queue
from router.engine.commands.queue_moves import requeue_at_place
from router.engine.commands.transaction import Transaction
from router.engine.routing_state import RoutingState
from router.engine.state.clocks import closed_time_ms
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import routing_criteria
from router.engine.state.timers import is_without_agents
from router.model.events.contact import ContactExpired
from router.model.policy import AtClosing, AtNoAgents
from router.model.states import ContactState, EndedBy, QueueId

LEAVING_MAX: Final = 256
"""Contacts that leave a queue without ready agents in one turn."""

_TIMEOUTS: Final = frozenset({"ttl", "wait_max", "callback_expired", "resume_by"})


def expire_waiting(tx: Transaction, contact: Contact, reason: str) -> None:
    """Expire the contact; its offers have been rescinded before."""
    tx.emit(
        ContactExpired(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            waited_ms=contact.age_ms(tx.at_ms),
            closed_ms=closed_time_ms(tx.state, contact),
            reason=reason,
            gateway_id=contact.gateway_id,
            ended_by=EndedBy.TIMEOUT if reason in _TIMEOUTS else EndedBy.SYSTEM,
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


def leave_queue_without_agents(tx: Transaction, queue_id: QueueId) -> None:
    """Let the waiting contacts leave a queue that has had no ready agent for ``no_agents_for_s``, at most 256 at once.

    The others follow a millisecond later, so that other commands come in between. The queue is looked at again after the same
    time, for as long as it has no ready agent: for contacts that no queue admits, that are reserved or have yet to choose.
    """
    state = tx.state
    found = contacts_without_agents(state, queue_id)
    moved = [contact for contact in found[:LEAVING_MAX] if leave_without_agents(tx, contact)]
    if len(found) > LEAVING_MAX and moved:
        state.timers.add_check_at(tx.at_ms + 1, queue_id)
    if state.timers.is_check_due(queue_id, tx.at_ms):
        # Also where no contact waits: one may enter that only a later change lets leave.
        state.timers.add_check(queue_id)


def contacts_without_agents(state: RoutingState, queue_id: QueueId) -> list[Contact]:
    """Return the contacts that are to leave such a queue, oldest first, a little more than leave at once."""
    if not is_without_agents(state, queue_id, state.at_ms):
        return []
    found: list[Contact] = []
    for line in state.index.lines.by_queue.get(queue_id, ()):
        waiting = (line.contacts_by_key[key] for key in line.iter_keys())
        found += islice((contact for contact in waiting if _may_leave(state, contact)), LEAVING_MAX + 1)
    return sorted(found, key=_queued_seq)[: LEAVING_MAX + 1]


def _may_leave(state: RoutingState, contact: Contact) -> bool:
    """Return whether the contact waits for an agent now, and may still overflow if it is to."""
    if contact.state is not ContactState.QUEUED or contact.waiting_for_opening or contact.awaits_customer:
        return False
    assert state.policy is not None
    is_limited = state.queue_policy(contact.queue_id).at_no_agents is AtNoAgents.OVERFLOW
    return contact.preferred_agent_id is None and not (is_limited and contact.overflow_count >= state.policy.overflow_count_max)


def leave_without_agents(tx: Transaction, contact: Contact) -> bool:
    """Let a contact leave a queue that has had no ready agent for too long, unless a step of its plan has one."""
    if not is_without_agents(tx.state, contact.queue_id, tx.at_ms) or not _may_leave(tx.state, contact):
        return False
    criteria = routing_criteria(contact)._replace(step=0, reserved_agent_id=None)
    if tx.state.index.contacts.has_ready_agent(criteria):
        return False
    if tx.state.queue_policy(contact.queue_id).at_no_agents is AtNoAgents.OVERFLOW:
        return _try_overflow(tx, contact, "no_agents_ready")
    expire_waiting(tx, contact, "no_agents_ready")
    return True


def _queued_seq(contact: Contact) -> int:
    return contact.queued_seq


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
