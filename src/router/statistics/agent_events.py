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
from router.statistics.contact_events import record_answer, start_assignment
from router.statistics.state import (
    ASSIGNED,
    OFFERED,
    QUEUED,
    AssignmentPhase,
    EntryRuleCounters,
    LiveOffer,
    StatsState,
)

_TALKING, _ON_HOLD, _WRAP_UP = (
    AssignmentPhase.TALKING,
    AssignmentPhase.ON_HOLD,
    AssignmentPhase.WRAP_UP,
)
_PARKED = AssignmentPhase.PARKED


def _offer_made(book: StatsState, e: OfferMade, at_ms: int) -> None:
    book.offers[e.offer_id] = LiveOffer(e.queue_id, e.channel)
    contact = book.contacts[e.contact_id]
    if contact.state == QUEUED:
        contact.state = OFFERED
        book.queue(contact.queue_id).move_contact(QUEUED, OFFERED, at_ms)
    for place in book.counters_for(e.queue_id, e.channel):
        place.offers.made += 1
    book.agent(e.agent_id).offers.made += 1


def _offer_accepted(book: StatsState, e: OfferAccepted, at_ms: int) -> None:
    offer = book.offers.pop(e.offer_id)
    places = book.counters_for(offer.queue_id, offer.channel)
    for place in places:
        place.offers.accepted += 1
    book.agent(e.agent_id).offers.accepted += 1
    contact = book.contacts[e.contact_id]
    if e.role is not AssignmentRole.OWNER:
        start_assignment(book, contact, e.offer_id, e.agent_id, at_ms=at_ms, is_secondary=True)
        return
    if contact.state != ASSIGNED:
        record_answer(book, contact, at_ms)
    else:
        for place in places:
            place.handling.transferred += 1
        if e.from_agent_id is not None:
            book.agent(e.from_agent_id).handling.transferred += 1
    start_assignment(book, contact, e.offer_id, e.agent_id, at_ms=at_ms)


def _offer_declined(book: StatsState, e: OfferDeclined, at_ms: int) -> None:
    offer = book.offers.pop(e.offer_id)
    for place in book.counters_for(offer.queue_id, offer.channel):
        place.offers.declined += 1
    book.agent(e.agent_id).offers.declined += 1


def _offer_expired(book: StatsState, e: OfferExpired, at_ms: int) -> None:
    offer = book.offers.pop(e.offer_id)
    for place in book.counters_for(offer.queue_id, offer.channel):
        place.offers.expired += 1
    book.agent(e.agent_id).offers.expired += 1


def _offer_rescinded(book: StatsState, e: OfferRescinded, at_ms: int) -> None:
    offer = book.offers.pop(e.offer_id)
    for place in book.counters_for(offer.queue_id, offer.channel):
        place.offers.rescinded += 1
    book.agent(e.agent_id).offers.rescinded += 1


def _held(book: StatsState, e: AssignmentHeld, at_ms: int) -> None:
    book.work[e.assignment_id].enter_phase(_ON_HOLD, at_ms)


def _resumed(book: StatsState, e: AssignmentResumed, at_ms: int) -> None:
    book.work[e.assignment_id].enter_phase(_TALKING, at_ms)


def _parked(book: StatsState, e: AssignmentParked, at_ms: int) -> None:
    book.work[e.assignment_id].enter_phase(_PARKED, at_ms)
    _count_parked(book, e.agent_id, 1, at_ms)


def _unparked(book: StatsState, e: AssignmentUnparked, at_ms: int) -> None:
    book.work[e.assignment_id].enter_phase(_TALKING, at_ms)
    _count_parked(book, e.agent_id, -1, at_ms)


def _count_parked(book: StatsState, agent_id: str, change: int, at_ms: int) -> None:
    """Count a parked assignment, which does not keep the agent busy."""
    agent = book.agent(agent_id)
    agent.parked += change
    book.update_agent(agent, at_ms, state=agent.state, work=-change)


def _wrap_up_started(book: StatsState, e: WrapUpStarted, at_ms: int) -> None:
    work = book.work[e.assignment_id]
    if work.phase is _PARKED:
        _count_parked(book, e.agent_id, -1, at_ms)
    work.enter_phase(_WRAP_UP, at_ms)


def _completed(book: StatsState, e: AssignmentCompleted, at_ms: int) -> None:
    work = book.work.pop(e.assignment_id)
    work.enter_phase(work.phase, at_ms)
    for place in book.counters_for(work.queue_id, work.channel):
        count = place.handling.add_secondary if work.is_secondary else place.handling.add_assignment
        count(work.talk_ms, work.hold_ms, work.wrap_up_ms, work.parked_ms)
    agent = book.agent(e.agent_id)
    agent.handling.add_assignment(work.talk_ms, work.hold_ms, work.wrap_up_ms, work.parked_ms)
    if work.phase is _PARKED:
        agent.parked -= 1
    else:
        book.update_agent(agent, at_ms, state=agent.state, work=-1)


def _agent_updated(book: StatsState, e: AgentUpdated, at_ms: int) -> None:
    book.agent(e.agent_id)


def _agent_state_changed(book: StatsState, e: AgentStateChanged, at_ms: int) -> None:
    book.update_agent(book.agent(e.agent_id), at_ms, state=e.state, work=0)


def _agent_removed(book: StatsState, e: AgentRemoved, at_ms: int) -> None:
    agent = book.agents.pop(e.agent_id)
    workforce = book.pages.workforce
    workforce.advance(at_ms)
    workforce.agents_by_activity[agent.activity] -= 1


def _policy_published(book: StatsState, e: PolicyPublished, at_ms: int) -> None:
    """Apply new service-level targets to later events, and remove the queues that are gone."""
    for queue_id, policy in e.policy.queues.items():
        queue = book.queue(queue_id)
        queue.threshold_ms = policy.service_level.threshold_s * 1000
        queue.short_abandon_ms = policy.service_level.short_abandon_s * 1000
        queue.target = policy.service_level.target
    book.pages.rules = {rule.name: EntryRuleCounters() for rule in e.policy.entry}
    gone = [queue_id for queue_id in book.queues if queue_id not in e.policy.queues]
    for queue_id in gone:
        # A removed queue with contacts in conversation stays until the next policy.
        if not any(book.queues[queue_id].contacts_by_state):
            book.remove_queue(queue_id)


AGENT_HANDLERS: Final[dict[type, Callable[[StatsState, Any, int], None]]] = {
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
