"""Handlers of offer events.

Capacity is taken when an offer is made, passes to the assignment when it is accepted and is released when it ends otherwise.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.events.assignments import add_participant
from router.engine.events.contact_state import (
    add_cool_down_timers,
    change_state,
    place_in_line,
    record_owner_accept,
    start_cool_down,
)
from router.engine.events.contacts import assign_owner
from router.engine.routing_state import RoutingState
from router.engine.state import rate_caps
from router.engine.state.agent import Agent
from router.engine.state.clocks import TimerKind
from router.engine.state.contact import Contact
from router.engine.state.records import Offer
from router.engine.transitions import CONTACT_TRANSITIONS, OFFER_TRANSITIONS, EventTransitions
from router.engine.wait.learning import record_answer
from router.model.events import OfferAccepted, OfferDeclined, OfferExpired, OfferMade, OfferRescinded
from router.model.states import AssignmentRole, ContactState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_OFFER: Final = TimerKind.OFFER
_OFFERED: Final = ContactState.OFFERED
_OWNER: Final = AssignmentRole.OWNER
_MADE: Final = EventTransitions(OFFER_TRANSITIONS, OfferMade)[None]
_CONTACT_MADE: Final = EventTransitions(CONTACT_TRANSITIONS, OfferMade)
_CONTACT_ACCEPTED: Final = EventTransitions(CONTACT_TRANSITIONS, OfferAccepted)
_OFFER_ENDS: Final = {
    kind: EventTransitions(OFFER_TRANSITIONS, kind) for kind in (OfferAccepted, OfferDeclined, OfferExpired, OfferRescinded)
}


def _made(state: RoutingState, event: OfferMade) -> None:
    offer_id, channel, units, index = event.offer_id, event.channel, event.units, state.index
    contact = state.contacts[event.contact_id]
    line = contact.waiting_line
    change_state(state, contact, _CONTACT_MADE)
    offer = Offer(
        # In the order of the fields.
        offer_id,
        event.contact_id,
        event.agent_id,
        channel,
        event.queue_id,
        units,
        state.at_ms,
        event.deadline_ms,
        event.waited_ms,
        event.reason,
        _MADE,
        event.from_agent_id,
        line is not None and line.broadcast > 1,
        event.role,
        event.match_trigger,
        event.other_candidates,
        event.selection_inputs,
        event.to_queue_id,
    )
    contact.pending_offer_ids = offers = (*contact.pending_offer_ids, offer_id)
    contact.offers_made += 1
    if contact.order_key and line is not None and len(offers) >= line.broadcast:
        index.contacts.dequeue(contact)
    state.offers[offer_id] = offer
    agent = state.agents[event.agent_id]
    agent.offers[offer_id] = offer
    queue_id = event.to_queue_id or event.queue_id
    if queue_id in index.round_robin_queues:
        agent.last_offer_seqs[queue_id] = state.seq
    index.agents.take_capacity(agent, channel, units)
    state.timers.add(event.deadline_ms, _OFFER, offer_id)


def _accepted(state: RoutingState, event: OfferAccepted) -> None:
    offer_id, index = event.offer_id, state.index
    contact, agent = state.contacts[event.contact_id], state.agents[event.agent_id]
    offer = _close(contact, agent, state.offers.pop(offer_id), event)
    if event.role is not _OWNER:
        change_state(state, contact, _CONTACT_ACCEPTED)
        add_participant(state, contact, offer_id, agent, offer.units, event.role, offer)
        if index.channels.has_caps:
            # A consult does not count towards the rate caps, and the offer no longer does.
            index.agents.refresh_open_channels(agent)
        return
    record_answer(state, contact, offer.made_at_ms)
    if contact.assignment_id is not None:
        record_owner_accept(contact)
    change_state(state, contact, _CONTACT_ACCEPTED)
    if contact.waiting_line is not None:
        index.contacts.leave_line(contact)
    assign_owner(state, contact, offer_id, agent, offer.units, offer)
    index.agents.move_to_idle_end(agent)
    if index.channels.has_caps:
        assert state.policy is not None
        rate_caps.record_contact_taken(agent, state.policy, offer.channel, state.at_ms)
        index.agents.refresh_open_channels(agent)


def _unaccepted(state: RoutingState, event: OfferDeclined | OfferExpired | OfferRescinded) -> None:
    contact = state.contacts[event.contact_id]
    agent = state.agents[event.agent_id]
    offer = _close(contact, agent, state.offers.pop(event.offer_id), event)
    ended_offers = contact.ended_offers or {}
    ended_offers[event.offer_id] = (offer.state, state.seq, event.agent_id)
    contact.ended_offers = ended_offers
    if not isinstance(event, OfferRescinded):
        start_cool_down(contact, event.agent_id, event.cool_down_until_ms, state.at_ms)
    state.index.agents.release_capacity(agent, offer.channel, offer.units)
    if contact.switch is not None:
        state.index.contacts.recheck_switch(contact)
        add_cool_down_timers(state, contact)
    if contact.state is _OFFERED and contact.pending_offer_ids:
        # Broadcast: one offer fewer is pending, so another agent may be offered it, after the cool-down this one, too.
        place_in_line(state, contact)


def _close(
    contact: Contact, agent: Agent, offer: Offer, event: OfferAccepted | OfferDeclined | OfferExpired | OfferRescinded
) -> Offer:
    offer.state = _OFFER_ENDS[type(event)][offer.state]
    offer_id = offer.offer_id
    del agent.offers[offer_id]
    offers = contact.pending_offer_ids
    contact.pending_offer_ids = () if len(offers) == 1 else tuple(o for o in offers if o != offer_id)
    return offer


OFFER_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    OfferMade: _made,
    OfferAccepted: _accepted,
    OfferDeclined: _unaccepted,
    OfferExpired: _unaccepted,
    OfferRescinded: _unaccepted,
}
