"""Offer events to state. Capacity is taken when an offer is made and passes on to the assignment when it is accepted."""

from collections.abc import Callable
from typing import Any, Final

from router.core import caps
from router.core.apply.conference import enter
from router.core.apply.contacts import give
from router.core.apply.learning import answered
from router.core.apply.moves import cool_down, move, remember_owner, wait
from router.core.state import Contact, Offer, RoutingState
from router.core.timers import TimerKind
from router.core.transitions import ASSIGNMENT, CONTACT, OFFER, Row
from router.model.events import (
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
)
from router.model.states import AssignmentRole, ContactState

# Bound once: to look a member up on its class takes longer than most of what is done with it.
_OFFER: Final = TimerKind.OFFER
_OFFERED: Final = ContactState.OFFERED
_OWNER: Final = AssignmentRole.OWNER

_MADE: Final = Row(OFFER, OfferMade)
_CONTACT_MADE: Final = Row(CONTACT, OfferMade)
_CONTACT_ACCEPTED: Final = Row(CONTACT, OfferAccepted)
_ASSIGNMENT_ACCEPTED: Final = Row(ASSIGNMENT, OfferAccepted)
_ENDS: Final = {
    kind: Row(OFFER, kind) for kind in (OfferAccepted, OfferDeclined, OfferExpired, OfferRescinded)
}


def _made(state: RoutingState, e: OfferMade) -> None:
    contact = state.contacts[e.contact_id]
    line = contact.line
    move(state, contact, _CONTACT_MADE)
    offer = Offer(
        offer_id=e.offer_id,
        contact_id=e.contact_id,
        agent_id=e.agent_id,
        channel=e.channel,
        queue_id=e.queue_id,
        units=e.units,
        made_at_ms=state.at_ms,
        deadline_ms=e.deadline_ms,
        waited_ms=e.waited_ms,
        reason=e.reason,
        state=_MADE[None],
        from_agent_id=e.from_agent_id,
        broadcast=line is not None and line.broadcast > 1,
        role=e.role,
        turn=e.turn,
    )
    if e.others or e.values:
        offer.others, offer.values = e.others, e.values
    contact.offers = (*contact.offers, e.offer_id)
    contact.offers_made += 1
    if line is not None and contact.key and len(contact.offers) >= line.broadcast:
        state.index.unplace(contact)
    state.offers[e.offer_id] = offer
    agent = state.agents[e.agent_id]
    agent.offers[e.offer_id] = offer
    agent.last_offer_seq = state.seq
    state.index.take(agent, e.channel, e.units)
    state.timers.add(e.deadline_ms, _OFFER, e.offer_id)


def _accepted(state: RoutingState, e: OfferAccepted) -> None:
    contact = state.contacts[e.contact_id]
    offer = _close(state, contact, e)
    if e.role is not _OWNER:
        move(state, contact, _CONTACT_ACCEPTED)
        enter(state, contact, e.offer_id, e.agent_id, offer.units, e.role, offer)
        if state.index.has_caps:
            # A consult is no contact of his own, and the offer no longer counts either.
            state.index.refresh(state.agents[e.agent_id])
        return
    answered(state, contact, offer.made_at_ms)
    remember_owner(contact)
    move(state, contact, _CONTACT_ACCEPTED)
    state.index.leave(contact)
    give(state, contact, e.offer_id, e.agent_id, offer.units, offer)
    agent = state.agents[e.agent_id]
    state.index.touch(agent)
    if state.index.has_caps:
        caps.count(state, agent, offer.channel)
        state.index.refresh(agent)


def _unaccepted(state: RoutingState, e: OfferDeclined | OfferExpired | OfferRescinded) -> None:
    contact = state.contacts[e.contact_id]
    offer = _close(state, contact, e)
    gone = contact.gone or {}
    gone[e.offer_id] = (offer.state, state.seq, e.agent_id)
    contact.gone = gone
    if not isinstance(e, OfferRescinded):
        cool_down(contact, e.agent_id, e.cool_down_until_ms, state.at_ms)
    state.index.release(state.agents[e.agent_id], offer.channel, offer.units)
    if contact.state is _OFFERED and contact.offers:
        # Broadcast: one fewer has it, so one more may – this agent too, once nothing keeps them apart.
        wait(state, contact)


def _close(
    state: RoutingState,
    contact: Contact,
    e: OfferAccepted | OfferDeclined | OfferExpired | OfferRescinded,
) -> Offer:
    offer = state.offers.pop(e.offer_id)
    offer.state = _ENDS[type(e)][offer.state]
    del state.agents[offer.agent_id].offers[e.offer_id]
    offers = contact.offers
    contact.offers = () if len(offers) == 1 else tuple(o for o in offers if o != e.offer_id)
    return offer


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    OfferMade: _made,
    OfferAccepted: _accepted,
    OfferDeclined: _unaccepted,
    OfferExpired: _unaccepted,
    OfferRescinded: _unaccepted,
}
