"""Handlers of offer, assignment, agent and policy events: offers by outcome, handle time, and agent activity."""

from collections.abc import Callable
from typing import Any, Final

from router.model.events import (
    AgentRemoved,
    AgentStateChanged,
    AgentUpdated,
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
    PolicyPublished,
    WrapUpStarted,
)
from router.model.states import AssignmentRole
from router.stats.book import Book, RuleMeter
from router.stats.fold_contacts import answer, begin_work
from router.stats.live import ASSIGNED, OFFERED, QUEUED, LiveOffer, Phase

_TALKING, _ON_HOLD, _WRAP_UP = Phase.TALKING, Phase.ON_HOLD, Phase.WRAP_UP
_PARKED = Phase.PARKED


def _offer_made(book: Book, e: OfferMade, at_ms: int) -> None:
    book.offers[e.offer_id] = LiveOffer(e.queue_id, e.channel)
    contact = book.contacts[e.contact_id]
    if contact.state == QUEUED:
        contact.state = OFFERED
        book.queue(contact.queue_id).move(QUEUED, OFFERED, at_ms)
    for place in book.places(e.queue_id, e.channel):
        place.offers.made += 1
    book.agent(e.agent_id).offers.made += 1


def _offer_accepted(book: Book, e: OfferAccepted, at_ms: int) -> None:
    offer = book.offers.pop(e.offer_id)
    places = book.places(offer.queue_id, offer.channel)
    for place in places:
        place.offers.accepted += 1
    book.agent(e.agent_id).offers.accepted += 1
    contact = book.contacts[e.contact_id]
    if e.role is not AssignmentRole.OWNER:
        begin_work(book, contact, e.offer_id, e.agent_id, at_ms=at_ms, beside=True)
        return
    if contact.state != ASSIGNED:
        answer(book, contact, at_ms)
    else:
        for place in places:
            place.handling.transferred += 1
        if e.from_agent_id is not None:
            book.agent(e.from_agent_id).handling.transferred += 1
    begin_work(book, contact, e.offer_id, e.agent_id, at_ms=at_ms)


def _offer_declined(book: Book, e: OfferDeclined, at_ms: int) -> None:
    offer = book.offers.pop(e.offer_id)
    for place in book.places(offer.queue_id, offer.channel):
        place.offers.declined += 1
    book.agent(e.agent_id).offers.declined += 1


def _offer_expired(book: Book, e: OfferExpired, at_ms: int) -> None:
    offer = book.offers.pop(e.offer_id)
    for place in book.places(offer.queue_id, offer.channel):
        place.offers.expired += 1
    book.agent(e.agent_id).offers.expired += 1


def _offer_rescinded(book: Book, e: OfferRescinded, at_ms: int) -> None:
    offer = book.offers.pop(e.offer_id)
    for place in book.places(offer.queue_id, offer.channel):
        place.offers.rescinded += 1
    book.agent(e.agent_id).offers.rescinded += 1


def _held(book: Book, e: AssignmentHeld, at_ms: int) -> None:
    book.work[e.assignment_id].enter(_ON_HOLD, at_ms)


def _resumed(book: Book, e: AssignmentResumed, at_ms: int) -> None:
    book.work[e.assignment_id].enter(_TALKING, at_ms)


def _parked(book: Book, e: AssignmentParked, at_ms: int) -> None:
    book.work[e.assignment_id].enter(_PARKED, at_ms)
    _count_parked(book, e.agent_id, 1, at_ms)


def _unparked(book: Book, e: AssignmentUnparked, at_ms: int) -> None:
    book.work[e.assignment_id].enter(_TALKING, at_ms)
    _count_parked(book, e.agent_id, -1, at_ms)


def _count_parked(book: Book, agent_id: str, change: int, at_ms: int) -> None:
    """Count a parked assignment, which does not keep the agent busy."""
    agent = book.agent(agent_id)
    agent.parked += change
    book.change_agent(agent, at_ms, state=agent.state, work=-change)


def _wrap_up_started(book: Book, e: WrapUpStarted, at_ms: int) -> None:
    work = book.work[e.assignment_id]
    if work.phase is _PARKED:
        _count_parked(book, e.agent_id, -1, at_ms)
    work.enter(_WRAP_UP, at_ms)


def _completed(book: Book, e: AssignmentCompleted, at_ms: int) -> None:
    work = book.work.pop(e.assignment_id)
    work.enter(work.phase, at_ms)
    for place in book.places(work.queue_id, work.channel):
        count = place.handling.assist if work.beside else place.handling.add
        count(work.talk_ms, work.hold_ms, work.wrap_up_ms, work.parked_ms)
    agent = book.agent(e.agent_id)
    agent.handling.add(work.talk_ms, work.hold_ms, work.wrap_up_ms, work.parked_ms)
    if work.phase is _PARKED:
        agent.parked -= 1
    else:
        book.change_agent(agent, at_ms, state=agent.state, work=-1)


def _agent_updated(book: Book, e: AgentUpdated, at_ms: int) -> None:
    book.agent(e.agent_id)


def _agent_state_changed(book: Book, e: AgentStateChanged, at_ms: int) -> None:
    book.change_agent(book.agent(e.agent_id), at_ms, state=e.state, work=0)


def _agent_removed(book: Book, e: AgentRemoved, at_ms: int) -> None:
    agent = book.agents.pop(e.agent_id)
    workforce = book.pages.workforce
    workforce.advance(at_ms)
    workforce.heads[agent.doing] -= 1


def _policy_published(book: Book, e: PolicyPublished, at_ms: int) -> None:
    """Apply new service-level targets to later events, and remove the queues that are gone."""
    for queue_id, policy in e.policy.queues.items():
        queue = book.queue(queue_id)
        queue.threshold_ms = policy.service_level.threshold_s * 1000
        queue.short_abandon_ms = policy.service_level.short_abandon_s * 1000
        queue.target = policy.service_level.target
    book.pages.rules = {rule.name: RuleMeter() for rule in e.policy.entry}
    gone = [queue_id for queue_id in book.queues if queue_id not in e.policy.queues]
    for queue_id in gone:
        # A removed queue with contacts in conversation stays until the next policy.
        if not any(book.queues[queue_id].heads):
            book.close_queue(queue_id)


HANDLERS: Final[dict[type, Callable[[Book, Any, int], None]]] = {
    OfferMade: _offer_made,
    OfferAccepted: _offer_accepted,
    OfferDeclined: _offer_declined,
    OfferExpired: _offer_expired,
    OfferRescinded: _offer_rescinded,
    AssignmentHeld: _held,
    AssignmentResumed: _resumed,
    AssignmentParked: _parked,
    AssignmentUnparked: _unparked,
    WrapUpStarted: _wrap_up_started,
    AssignmentCompleted: _completed,
    AgentUpdated: _agent_updated,
    AgentStateChanged: _agent_state_changed,
    AgentRemoved: _agent_removed,
    PolicyPublished: _policy_published,
}
