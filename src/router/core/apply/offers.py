"""Handlers of offer events.

Capacity is taken when an offer is made, passes to the assignment when it is accepted and is released when it ends otherwise.
"""

from collections.abc import Callable
from typing import Any, Final

from router.core import caps
from router.core.apply.conference import enter
from router.core.apply.contacts import give
from router.core.apply.learning import answered
from router.core.apply.moves import cool_down, move, remember_owner, wait
from router.core.state import Agent, Contact, Offer, RoutingState
from router.core.timers import TimerKind
from router.core.transitions import CONTACT, OFFER, Row
from router.model.events import (
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
)
from router.model.states import AssignmentRole, ContactState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_OFFER: Final = TimerKind.OFFER
_OFFERED: Final = ContactState.OFFERED
_OWNER: Final = AssignmentRole.OWNER

_MADE: Final = Row(OFFER, OfferMade)[None]
_CONTACT_MADE: Final = Row(CONTACT, OfferMade)
_CONTACT_ACCEPTED: Final = Row(CONTACT, OfferAccepted)
_ENDS: Final = {
    kind: Row(OFFER, kind) for kind in (OfferAccepted, OfferDeclined, OfferExpired, OfferRescinded)
}


def _made(state: RoutingState, e: OfferMade) -> None:
    offer_id, channel, units, index = e.offer_id, e.channel, e.units, state.index
    contact = state.contacts[e.contact_id]
    line = contact.line
    move(state, contact, _CONTACT_MADE)
    offer = Offer(
        # In the order of the fields.
        offer_id,
        e.contact_id,
        e.agent_id,
        channel,
        e.queue_id,
        units,
        state.at_ms,
        e.deadline_ms,
        e.waited_ms,
        e.reason,
        _MADE,
        e.from_agent_id,
        line is not None and line.broadcast > 1,
        e.role,
        e.turn,
        e.others,
        e.values,
    )
    contact.offers = offers = (*contact.offers, offer_id)
    contact.offers_made += 1
    if contact.key and line is not None and len(offers) >= line.broadcast:
        index.unplace(contact)
    state.offers[offer_id] = offer
    agent = state.agents[e.agent_id]
    agent.offers[offer_id] = offer
    agent.last_offer_seq = state.seq
    index.take(agent, channel, units)
    state.timers.add(e.deadline_ms, _OFFER, offer_id)


def _accepted(state: RoutingState, e: OfferAccepted) -> None:
    offer_id, index = e.offer_id, state.index
    contact, agent = state.contacts[e.contact_id], state.agents[e.agent_id]
    offer = _close(contact, agent, state.offers.pop(offer_id), e)
    if e.role is not _OWNER:
        move(state, contact, _CONTACT_ACCEPTED)
        enter(state, contact, offer_id, agent, offer.units, e.role, offer)
        if index.has_caps:
            # A consult does not count towards the rate caps, and the offer no longer does.
            index.refresh(agent)
        return
    answered(state, contact, offer.made_at_ms)
    if contact.assignment_id is not None:
        remember_owner(contact)
    move(state, contact, _CONTACT_ACCEPTED)
    if contact.line is not None:
        index.leave(contact)
    give(state, contact, offer_id, agent, offer.units, offer)
    index.touch(agent)
    if index.has_caps:
        caps.count(state, agent, offer.channel)
        index.refresh(agent)


def _unaccepted(state: RoutingState, e: OfferDeclined | OfferExpired | OfferRescinded) -> None:
    contact = state.contacts[e.contact_id]
    agent = state.agents[e.agent_id]
    offer = _close(contact, agent, state.offers.pop(e.offer_id), e)
    gone = contact.gone or {}
    gone[e.offer_id] = (offer.state, state.seq, e.agent_id)
    contact.gone = gone
    if not isinstance(e, OfferRescinded):
        cool_down(contact, e.agent_id, e.cool_down_until_ms, state.at_ms)
    state.index.release(agent, offer.channel, offer.units)
    if contact.state is _OFFERED and contact.offers:
        # Broadcast: one offer fewer is pending, so another agent may be offered it, after the cool-down this one, too.
        wait(state, contact)


def _close(
    contact: Contact,
    agent: Agent,
    offer: Offer,
    e: OfferAccepted | OfferDeclined | OfferExpired | OfferRescinded,
) -> Offer:
    offer.state = _ENDS[type(e)][offer.state]
    offer_id = offer.offer_id
    del agent.offers[offer_id]
    offers = contact.offers
    contact.offers = () if len(offers) == 1 else tuple(o for o in offers if o != offer_id)
    return offer


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    OfferMade: _made,
    OfferAccepted: _accepted,
    OfferDeclined: _unaccepted,
    OfferExpired: _unaccepted,
    OfferRescinded: _unaccepted,
}
