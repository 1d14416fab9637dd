"""Requeueing: a contact starts a new wait in the same or another queue, at its old age."""

from typing import Final, NamedTuple

from router.engine.commands.grace import begin_grace
from router.engine.commands.plan_steps import first_plan_step, overflow_without_agents
from router.engine.commands.queue_admission import EntryWay, QueueEntry, find_queue
from router.engine.commands.transaction import Transaction
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import routing_criteria
from router.engine.state.records import Assignment
from router.model.events.contact import ContactPreferredAgentExpired, ContactRequeued
from router.model.states import AgentId, QueueId

_ENTRY_WAYS: Final[dict[str, EntryWay]] = {
    "transferred": EntryWay.TRANSFER,
    "supervisor": EntryWay.REQUEUE,
    "drained": EntryWay.REQUEUE,
    "lost_desktop": EntryWay.RETURN,
    "owner_away": EntryWay.RETURN,
    "callback_due": EntryWay.CALLBACK_DUE,
}
"""How a contact enters a queue, by the reason of its requeue."""


class Reservation(NamedTuple):
    """Reservation of a contact for one agent for a time, in milliseconds, and the (agent, time) that follows it."""

    agent_id: AgentId
    duration_ms: int
    fallback: tuple[AgentId, int] | None = None


def requeue(
    tx: Transaction,
    contact: Contact,
    queue_id: QueueId,
    reason: str,
    *,
    owner: Assignment | None = None,
    cool_down_until_ms: int | None = None,
    reservation: Reservation | None = None,
    queued_at_ms: int | None = None,
) -> int:
    """Start a new wait: the plan starts over when the reservation ends; in another queue that queue's plan applies.

    The contact enters the queue that admits it (``queue_admission``); with a reservation that is decided when it ends. Returns
    the sequence number of the event, which that of the time of grace may follow.
    """
    at_ms, named, overflow_count = tx.at_ms, queue_id, 0
    if reservation is None:
        entry = find_queue(tx.state, contact, named, _ENTRY_WAYS[reason])
        if isinstance(entry, QueueEntry):
            queue_id, overflow_count = entry
    plan = contact.plan if named == contact.queue_id else None
    until_ms = None if reservation is None else at_ms + reservation.duration_ms
    criteria = routing_criteria(contact)._replace(
        queue_id=queue_id,
        plan=plan,
        step=0,
        last_agent_id=contact.last_agent_id,
        reserved_agent_id=None if reservation is None else reservation.agent_id,
    )
    number, step_until_ms = first_plan_step(tx, criteria, until_ms or at_ms)
    fallback = None if reservation is None else reservation.fallback
    tx.emit(
        ContactRequeued(
            contact_id=contact.contact_id,
            queue_id=queue_id,
            requirement=tx.requirement_text(criteria._replace(step=number)),
            reason=reason,
            queued_seq=contact.queued_seq,
            wait_until_ms=tx.contact_wait_until_ms(contact, queue_id),
            preferred_agent_id=criteria.reserved_agent_id,
            preferred_until_ms=until_ms,
            agent_id=None if owner is None else owner.agent_id,
            cool_down_until_ms=cool_down_until_ms,
            gateway_id=contact.gateway_id,
            plan=plan,
            step=number,
            step_until_ms=step_until_ms,
            return_to_agent_id=None if fallback is None else fallback[0],
            return_to_sender_ms=None if fallback is None else fallback[1],
            queued_at_ms=queued_at_ms,
            named_queue_id=None if queue_id == named else named,
            overflow_count=overflow_count,
        )
    )
    seq = tx.state.seq
    begin_grace(tx, contact)
    return seq


def requeue_at_place(
    tx: Transaction,
    contact: Contact,
    reason: str,
    *,
    wait_until_ms: int | None,
    preferred_agent_id: AgentId | None,
    preferred_until_ms: int | None,
) -> None:
    """Continue the same wait in the same queue and step, with a possibly different end and reservation."""
    criteria = routing_criteria(contact)._replace(reserved_agent_id=preferred_agent_id)
    tx.emit(
        ContactRequeued(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            requirement=tx.requirement_text(criteria),
            reason=reason,
            queued_seq=contact.queued_seq,
            wait_until_ms=wait_until_ms,
            preferred_agent_id=preferred_agent_id,
            preferred_until_ms=preferred_until_ms,
            gateway_id=contact.gateway_id,
            plan=contact.plan,
            step=contact.step,
            step_until_ms=contact.step_until_ms,
            return_to_agent_id=contact.return_to_agent_id,
            return_to_sender_ms=contact.return_to_sender_ms,
        )
    )


def end_reservation(tx: Transaction, contact: Contact) -> None:
    """End the reservation of a waiting contact: it is reserved for the sender of a transfer next, or available to all."""
    if contact.return_to_agent_id is not None:
        _return_to_sender(tx, contact)
        return
    tx.emit(
        ContactPreferredAgentExpired(
            contact_id=contact.contact_id,
            requirement=tx.requirement_text(routing_criteria(contact)._replace(reserved_agent_id=None)),
            gateway_id=contact.gateway_id,
        )
    )
    overflow_without_agents(tx, contact, EntryWay.RETURN)


def _return_to_sender(tx: Transaction, contact: Contact) -> None:
    """Reserve the contact for the agent who transferred it, because the target agent did not take it in time."""
    assert contact.return_to_agent_id is not None and contact.return_to_sender_ms is not None
    reservation = Reservation(contact.return_to_agent_id, contact.return_to_sender_ms)
    requeue(tx, contact, contact.queue_id, "transfer_back", reservation=reservation)
