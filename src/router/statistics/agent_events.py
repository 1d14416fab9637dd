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
from router.statistics.contact_events import CONTACT_HANDLERS, end_wait, start_assignment
from router.statistics.open_records import (
    ASSIGNED,
    OFFERED,
    QUEUED,
    AssignmentPhase,
    LiveOffer,
    StatsTarget,
    update_agent,
)

_PARKED: Final = AssignmentPhase.PARKED


def _offer_made(target: StatsTarget, event: OfferMade, at_ms: int) -> None:
    target.offers[event.offer_id] = LiveOffer(event.queue_id, event.channel)
    contact = target.contacts[event.contact_id]
    if contact.state == QUEUED:
        contact.state = OFFERED
        target.move_contact(contact.queue_id, QUEUED, OFFERED, at_ms)
    target.counters_for(event.contact_id, event.queue_id, event.channel).offers.made += 1
    target.agent(event.agent_id).offers.made += 1


def _offer_accepted(target: StatsTarget, event: OfferAccepted, at_ms: int) -> None:
    offer = target.offers.pop(event.offer_id)
    counters = target.counters_for(event.contact_id, offer.queue_id, offer.channel)
    counters.offers.accepted += 1
    target.agent(event.agent_id).offers.accepted += 1
    contact = target.contacts[event.contact_id]
    is_secondary = event.role is not AssignmentRole.OWNER
    if not is_secondary:
        if contact.state != ASSIGNED:
            end_wait(target, event.contact_id, contact, event.agent_id, at_ms)
        else:
            counters.handling.transferred += 1
            if event.from_agent_id is not None:
                target.agent(event.from_agent_id).handling.transferred += 1
    start_assignment(
        target, event.contact_id, event.offer_id, event.agent_id, at_ms, is_secondary=is_secondary
    )


def _offer_declined(target: StatsTarget, event: OfferDeclined, at_ms: int) -> None:
    offer = target.offers.pop(event.offer_id)
    target.counters_for(event.contact_id, offer.queue_id, offer.channel).offers.declined += 1
    target.agent(event.agent_id).offers.declined += 1


def _offer_expired(target: StatsTarget, event: OfferExpired, at_ms: int) -> None:
    offer = target.offers.pop(event.offer_id)
    target.counters_for(event.contact_id, offer.queue_id, offer.channel).offers.expired += 1
    target.agent(event.agent_id).offers.expired += 1


def _offer_rescinded(target: StatsTarget, event: OfferRescinded, at_ms: int) -> None:
    offer = target.offers.pop(event.offer_id)
    target.counters_for(event.contact_id, offer.queue_id, offer.channel).offers.rescinded += 1
    target.agent(event.agent_id).offers.rescinded += 1


def _held(target: StatsTarget, event: AssignmentHeld, at_ms: int) -> None:
    target.assignments[event.assignment_id].enter_phase(AssignmentPhase.ON_HOLD, at_ms)


def _resumed(target: StatsTarget, event: AssignmentResumed, at_ms: int) -> None:
    target.assignments[event.assignment_id].enter_phase(AssignmentPhase.TALKING, at_ms)


def _parked(target: StatsTarget, event: AssignmentParked, at_ms: int) -> None:
    target.assignments[event.assignment_id].enter_phase(_PARKED, at_ms)
    _count_parked(target, event.agent_id, 1, at_ms)


def _unparked(target: StatsTarget, event: AssignmentUnparked, at_ms: int) -> None:
    target.assignments[event.assignment_id].enter_phase(AssignmentPhase.TALKING, at_ms)
    _count_parked(target, event.agent_id, -1, at_ms)


def _count_parked(target: StatsTarget, agent_id: str, change: int, at_ms: int) -> None:
    """Count a parked assignment, which does not keep the agent busy."""
    target.agent(agent_id).parked += change
    update_agent(target, agent_id, at_ms, work=-change)


def _wrap_up_started(target: StatsTarget, event: WrapUpStarted, at_ms: int) -> None:
    assignment = target.assignments[event.assignment_id]
    if assignment.phase is _PARKED:
        _count_parked(target, event.agent_id, -1, at_ms)
    assignment.enter_phase(AssignmentPhase.WRAP_UP, at_ms)


def _completed(target: StatsTarget, event: AssignmentCompleted, at_ms: int) -> None:
    done = target.assignments.pop(event.assignment_id)
    done.enter_phase(done.phase, at_ms)
    handling = target.counters_for(event.contact_id, done.queue_id, done.channel).handling
    count = handling.add_secondary if done.is_secondary else handling.add_assignment
    count(done.talk_ms, done.hold_ms, done.wrap_up_ms, done.parked_ms)
    agent = target.agent(event.agent_id)
    agent.handling.add_assignment(done.talk_ms, done.hold_ms, done.wrap_up_ms, done.parked_ms)
    if done.phase is _PARKED:
        agent.parked -= 1
    else:
        update_agent(target, event.agent_id, at_ms, work=-1)


def _agent_updated(target: StatsTarget, event: AgentUpdated, at_ms: int) -> None:
    target.agent(event.agent_id)


def _agent_state_changed(target: StatsTarget, event: AgentStateChanged, at_ms: int) -> None:
    update_agent(target, event.agent_id, at_ms, state=event.state)


def _agent_removed(target: StatsTarget, event: AgentRemoved, at_ms: int) -> None:
    target.remove_agent(event.agent_id, at_ms)


def _policy_published(target: StatsTarget, event: PolicyPublished, at_ms: int) -> None:
    target.apply_policy(event.policy)


EVENT_HANDLERS: Final[dict[type, Callable[[StatsTarget, Any, int], None]]] = {
    **CONTACT_HANDLERS,
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
"""Handlers of all events that count, with those of the contact events."""
