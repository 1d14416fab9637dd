"""Rescinding of offers, with its consequences for the contact and the agent.

The contact returns to its position when its last pending offer ends. The agent enters the pending next state, a single slot
that is set with ``after_work``, when no offers and assignments are left.
"""

from collections.abc import Set
from typing import Final

from router.engine.commands.overflow import apply_closing_after_requeue
from router.engine.commands.plan_steps import overflow_without_agents, skip_inapplicable_step
from router.engine.commands.queue_admission import EntryWay
from router.engine.commands.queue_moves import requeue_at_place
from router.engine.commands.transaction import Transaction
from router.engine.matching.eligibility import is_qualified
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import exclusive_agents_of
from router.engine.state.records import Offer
from router.model.events.agent import AgentStateChanged, OfferRescinded
from router.model.states import AssignmentState, ContactState, QueueId

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_OFFERED: Final = ContactState.OFFERED


def rescind_contact_offers(tx: Transaction, contact: Contact, reason: str, *, next_owner: Agent | None = None) -> None:
    """Rescind every pending offer of a contact.

    ``next_owner`` is the agent that the contact is assigned to in the same transaction: a pending next state of
    this agent is not entered.
    """
    for offer_id in contact.pending_offer_ids:
        offer = tx.state.offers[offer_id]
        _emit_rescinded(tx, offer, reason)
        if next_owner is None or offer.agent_id != next_owner.agent_id:
            enter_next_state(tx, tx.state.agents[offer.agent_id])


def rescind_agent_offers(tx: Transaction, agent: Agent, reason: str, *, channels: Set[str] | None = None) -> None:
    """Rescind every offer of an agent, or those of some channels, and requeue their contacts at their positions."""
    # By id, because the order of the mapping may differ after a restore.
    for _, offer in sorted(agent.offers.items()):
        if channels is not None and offer.channel not in channels:
            continue
        contact = tx.state.contacts[offer.contact_id]
        _emit_rescinded(tx, offer, reason)
        requeue_unaccepted(tx, contact, "rescinded")
    enter_next_state(tx, agent)


def _emit_rescinded(tx: Transaction, offer: Offer, reason: str) -> None:
    tx.emit(
        OfferRescinded(
            offer_id=offer.offer_id,
            contact_id=offer.contact_id,
            agent_id=offer.agent_id,
            reason=reason,
            from_agent_id=offer.from_agent_id,
        )
    )


def rescind_offer(tx: Transaction, offer: Offer, reason: str) -> None:
    """Rescind one offer and requeue its contact at its position."""
    contact = tx.state.contacts[offer.contact_id]
    _emit_rescinded(tx, offer, reason)
    requeue_unaccepted(tx, contact, "rescinded")
    enter_next_state(tx, tx.state.agents[offer.agent_id])


def rescind_unqualified(tx: Transaction, contact: Contact, reason: str, *, preferred_changed: bool = False) -> None:
    """Rescind the offers of a contact to agents who no longer qualify for it.

    With ``preferred_changed``, also those to agents that its step does not reserve it for any more.
    """
    policy = tx.state.policy
    customers = tx.state.index.qualification.conditions.customers
    reserved_for = exclusive_agents_of(policy, contact, customers) if preferred_changed and policy is not None else None
    for offer_id in contact.pending_offer_ids:
        offer = tx.state.offers[offer_id]
        if not _still_qualifies(tx, offer) or (reserved_for is not None and offer.agent_id not in reserved_for):
            rescind_offer(tx, offer, reason)


def rescind_unqualified_of_agent(tx: Transaction, agent: Agent, reason: str) -> None:
    """Rescind the offers of an agent who no longer qualifies for them or has no capacity for them, the latest first."""
    for offer in sorted(agent.offers.values(), key=_made_order, reverse=True):
        if not _still_qualifies(tx, offer) or not tx.state.index.agents.has_capacity(agent, offer.channel, released=1):
            rescind_offer(tx, offer, reason)


def _made_order(offer: Offer) -> tuple[int, str]:
    return offer.made_at_ms, offer.offer_id


def _still_qualifies(tx: Transaction, offer: Offer) -> bool:
    """Return whether the agent qualifies for the offered contact and has the units for it alone.

    Queue, skills and attributes do not matter to a transfer or a consult for which the owner has chosen the agent. For a consult
    of a queue they are those that the queue requires.
    """
    state = tx.state
    agent = state.agents[offer.agent_id]
    if offer.units > agent.capacity.units:
        return False
    if offer.to_queue_id is not None:
        return _serves_consulted_queue(tx, agent, state.contacts[offer.contact_id], offer.to_queue_id)
    if offer.from_agent_id is not None:
        return agent.channel_max.get(offer.channel) != 0
    return is_qualified(state, agent, state.contacts[offer.contact_id])


def _serves_consulted_queue(tx: Transaction, agent: Agent, contact: Contact, queue_id: QueueId) -> bool:
    state = tx.state
    if state.policy is None or queue_id not in state.policy.queues or agent.group is None:
        return False
    lines = state.index.lines
    line = lines.line_without_plan(queue_id, contact.channel, contact.skills, contact.customer_facts)
    lines.drop_if_unused(line)
    return agent.group.qualifies_for(line)


def requeue_unaccepted(tx: Transaction, contact: Contact, reason: str) -> None:
    """Requeue an offered contact at its position if its last pending offer has ended."""
    if contact.state is not _OFFERED or contact.pending_offer_ids:
        return
    preferred, until_ms = contact.preferred_agent_id, contact.preferred_until_ms
    was_reserved = preferred is not None
    if until_ms is not None and reason in ("declined", "rona"):
        until_ms = tx.at_ms  # The reservation ends: its agent has had an offer.
    if until_ms is None or (until_ms <= tx.at_ms and contact.return_to_agent_id is None):
        preferred = until_ms = None
    requeue_at_place(
        tx, contact, reason, wait_until_ms=contact.wait_until_ms, preferred_agent_id=preferred, preferred_until_ms=until_ms
    )
    if tx.state.hours:
        apply_closing_after_requeue(tx, contact)
    if was_reserved and preferred is None:
        overflow_without_agents(tx, contact, EntryWay.RETURN)
    if tx.state.index.lines.tells_customers_apart:
        skip_inapplicable_step(tx, contact)


# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_PARKED: Final = AssignmentState.PARKED


def has_open_work(agent: Agent) -> bool:
    """Return whether the agent has pending offers or open assignments; parked assignments do not count."""
    return bool(agent.offers) or any(assignment.state is not _PARKED for assignment in agent.assignments.values())


def enter_next_state(tx: Transaction, agent: Agent) -> None:
    """Change the agent to the pending next state if there is one and no work is left."""
    if agent.next_state is None or has_open_work(agent):
        return
    tx.emit(AgentStateChanged(agent_id=agent.agent_id, state=agent.next_state, from_state=agent.state, reason=agent.next_reason))
