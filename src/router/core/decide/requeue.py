"""Requeueing: a contact waits again at its old age, possibly reserved for an agent at first."""

from typing import NamedTuple

from router.core.decide.step import Step
from router.core.decide.steps import first_step
from router.core.plans import asks_of
from router.core.state import Assignment, Contact
from router.model.events import ContactRequeued
from router.model.ids import AgentId, QueueId


class Reserved(NamedTuple):
    """Reservation of a contact for one agent for a time, in milliseconds, and the (agent, time) that follows it."""

    agent_id: AgentId
    for_ms: int
    back: tuple[AgentId, int] | None = None


def wait_anew(
    step: Step,
    contact: Contact,
    queue_id: QueueId,
    reason: str,
    *,
    owner: Assignment | None = None,
    cool_down_until_ms: int | None = None,
    reserved: Reserved | None = None,
    queued_at_ms: int | None = None,
) -> None:
    """Start a new wait: the plan starts over when the reservation ends; in another queue that queue's plan applies."""
    state, at_ms = step.state, step.at_ms
    plan = contact.plan if queue_id == contact.queue_id else None
    until_ms = None if reserved is None else at_ms + reserved.for_ms
    asks = asks_of(contact)._replace(
        queue_id=queue_id,
        plan=plan,
        step=0,
        last=contact.last_agent_id,
        reserved=None if reserved is None else reserved.agent_id,
    )
    number, step_until_ms = first_step(step, asks, until_ms or at_ms)
    back = None if reserved is None else reserved.back
    step.emit(
        ContactRequeued(
            contact_id=contact.contact_id,
            queue_id=queue_id,
            req=state.index.line_at(asks._replace(step=number)).req,
            reason=reason,
            orig_seq=contact.orig_seq,
            wait_until_ms=step.wait_limit_ms(contact, queue_id),
            preferred_agent_id=asks.reserved,
            preferred_until_ms=until_ms,
            agent_id=None if owner is None else owner.agent_id,
            cool_down_until_ms=cool_down_until_ms,
            gateway_id=contact.gateway_id,
            plan=plan,
            step=number,
            step_until_ms=step_until_ms,
            back_agent_id=None if back is None else back[0],
            back_ms=None if back is None else back[1],
            queued_at_ms=queued_at_ms,
        )
    )


def at_its_place(
    step: Step,
    contact: Contact,
    reason: str,
    *,
    wait_until_ms: int | None,
    preferred_agent_id: AgentId | None,
    preferred_until_ms: int | None,
) -> None:
    """Continue the same wait in the same queue and step, with a possibly different end and reservation."""
    asks = asks_of(contact)._replace(reserved=preferred_agent_id)
    step.emit(
        ContactRequeued(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            req=step.state.index.line_at(asks).req,
            reason=reason,
            orig_seq=contact.orig_seq,
            wait_until_ms=wait_until_ms,
            preferred_agent_id=preferred_agent_id,
            preferred_until_ms=preferred_until_ms,
            gateway_id=contact.gateway_id,
            plan=contact.plan,
            step=contact.step,
            step_until_ms=contact.step_until_ms,
            back_agent_id=contact.back_agent_id,
            back_ms=contact.back_ms,
        )
    )
