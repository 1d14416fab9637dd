"""Rescinding of offers by the router, and requeueing of their contacts at their positions."""

from collections.abc import Set
from typing import Final

from router.core.decide.leaving import back_in_line
from router.core.decide.next_state import enter_next_state
from router.core.decide.requeue import at_its_place
from router.core.decide.step import Step
from router.core.eligibility import qualified
from router.core.state import Agent, Contact, Offer
from router.model.events import OfferRescinded
from router.model.states import ContactState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_OFFERED: Final = ContactState.OFFERED


def rescind_all(
    step: Step, contact: Contact, reason: str, *, about_to_get_it: Agent | None = None
) -> None:
    """Rescind every pending offer of a contact.

    ``next_owner`` is the agent to whom the contact is assigned next in the same transaction: a pending next state of
    this agent is not entered.
    """
    for offer_id in contact.offers:
        offer = step.state.offers[offer_id]
        _rescind(step, offer, reason)
        if about_to_get_it is None or offer.agent_id != about_to_get_it.agent_id:
            enter_next_state(step, step.state.agents[offer.agent_id])


def rescind_of(step: Step, agent: Agent, reason: str, *, channels: Set[str] | None = None) -> None:
    """Rescind every offer of an agent, or those of some channels, and requeue their contacts at their positions."""
    # By id, because the order of the mapping may differ after a restore.
    for _, offer in sorted(agent.offers.items()):
        if channels is not None and offer.channel not in channels:
            continue
        contact = step.state.contacts[offer.contact_id]
        _rescind(step, offer, reason)
        requeue_unaccepted(step, contact, "rescinded")
    enter_next_state(step, agent)


def _rescind(step: Step, offer: Offer, reason: str) -> None:
    step.emit(
        OfferRescinded(
            offer_id=offer.offer_id,
            contact_id=offer.contact_id,
            agent_id=offer.agent_id,
            reason=reason,
            from_agent_id=offer.from_agent_id,
        )
    )


def rescind_one(step: Step, offer: Offer, reason: str) -> None:
    """Rescind one offer and requeue its contact at its position."""
    contact = step.state.contacts[offer.contact_id]
    _rescind(step, offer, reason)
    requeue_unaccepted(step, contact, "rescinded")
    enter_next_state(step, step.state.agents[offer.agent_id])


def rescind_unqualified(step: Step, contact: Contact, reason: str) -> None:
    """Rescind the offers of a contact to agents who no longer qualify for it."""
    state = step.state
    for offer_id in contact.offers:
        offer = state.offers[offer_id]
        if not qualified(state, state.agents[offer.agent_id], contact):
            rescind_one(step, offer, reason)


def requeue_unaccepted(step: Step, contact: Contact, reason: str) -> None:
    """Requeue an offered contact at its position if its last pending offer has ended."""
    if contact.state is not _OFFERED or contact.offers:
        return
    preferred, until_ms = contact.preferred_agent_id, contact.preferred_until_ms
    if until_ms is not None and reason in ("declined", "rona"):
        until_ms = step.at_ms  # The reservation ends: its agent has had an offer.
    if until_ms is None or (until_ms <= step.at_ms and contact.back_agent_id is None):
        preferred = until_ms = None
    at_its_place(
        step,
        contact,
        reason,
        wait_until_ms=contact.wait_until_ms,
        preferred_agent_id=preferred,
        preferred_until_ms=until_ms,
    )
    if step.state.hours:
        back_in_line(step, contact)
