"""Handlers of contact events: submit, update, requeue, overflow, plan steps, assignment and end."""

from collections.abc import Callable
from typing import Any, Final

from router.core import caps
from router.core.apply import callbacks
from router.core.apply.learning import answered, diverted, gone
from router.core.apply.moves import (
    change_queue,
    cool_down,
    move,
    remember_owner,
    wait,
)
from router.core.expected import foresee
from router.core.state import Agent, Assignment, Contact, Dedupe, Offer, RoutingState
from router.core.timers import TimerKind
from router.core.transitions import ASSIGNMENT, CONTACT, Row
from router.model.events import (
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRelaxed,
    ContactRequeued,
    ContactStepEntered,
    ContactUpdated,
)

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_TTL: Final = TimerKind.TTL
_WAIT: Final = TimerKind.WAIT

_QUEUED: Final = Row(CONTACT, ContactQueued)[None]
_UPDATED: Final = Row(CONTACT, ContactUpdated)
_REQUEUED: Final = Row(CONTACT, ContactRequeued)
_OVERFLOWED: Final = Row(CONTACT, ContactOverflowed)
_RELAXED: Final = Row(CONTACT, ContactRelaxed)
_STEP_ENTERED: Final = Row(CONTACT, ContactStepEntered)
_ASSIGNED: Final = Row(CONTACT, ContactAssigned)
# Every transition that begins an assignment leads to the same state.
_BEGUN: Final = Row(ASSIGNMENT, ContactAssigned)[None]
_TERMINAL: Final = {
    kind: Row(CONTACT, kind)
    for kind in (ContactAbandoned, ContactCancelled, ContactExpired, ContactEnded)
}

# Ended contacts, and idempotency keys, that one event drops at most: more than it adds, so the tables shrink to their limits.
FORGOTTEN_AT_ONCE: Final = 4
DEDUPE_FORGOTTEN_AT_ONCE: Final = 2
_LOG_SLACK: Final = 10_000

# Reasons by which a command places the contact in a queue; by the other reasons it returns to its position there.
_PUT_THERE: Final = frozenset({"transferred", "supervisor", "drained"})


def _queued(state: RoutingState, e: ContactQueued) -> None:
    at_ms, contact_id, queue_id = state.at_ms, e.contact_id, e.queue_id
    contact = Contact(
        # In the order of the fields.
        contact_id,
        e.channel,
        queue_id,
        _QUEUED,
        at_ms,
        at_ms,
        state.seq,
        e.skills,
        e.priority_s,
        e.strict_class,
        e.attributes,
        e.reference,
        e.gateway_id,
        e.ttl_at_ms,
        e.wait_until_ms,
        e.hops,
    )
    # Set one by one and only if they differ from the default: most contacts have none of these.
    if e.rule is not None or e.by_default:
        contact.rule, contact.failed_rules = e.rule, e.failed_rules
        state.rule_counts.count(e.rule, e.failed_rules)
    if e.plan is not None:
        contact.plan = e.plan
    if e.step or e.step_until_ms is not None:
        contact.step, contact.step_until_ms = e.step, e.step_until_ms
    if e.preferred_agents:
        contact.preferred_agents = e.preferred_agents
    if e.last_agent_id is not None:
        contact.last_agent_id = e.last_agent_id
    if state.hours:
        contact.held = state.is_closed(queue_id)
    state.contacts[contact_id] = contact
    state.contact_log.append(contact)
    state.submitted += 1
    state.tally(queue_id)[_QUEUED] += 1
    if e.dedupe_key is not None:
        _remember(state, e, e.dedupe_key)
    line = state.index.arriving
    if line is None:
        wait(state, contact)
        foresee(state, contact)
        return
    is_taken = state.index.arrive(contact, line)
    if e.ttl_at_ms is not None:
        state.timers.add(e.ttl_at_ms, _TTL, contact_id)
    if e.wait_until_ms is not None:
        state.timers.add(e.wait_until_ms, _WAIT, contact_id)
    if not is_taken:
        foresee(state, contact)


def _remember(state: RoutingState, e: ContactQueued, key: bytes) -> None:
    """Store the first answer to an idempotency key and drop at most two keys beyond retention."""
    assert state.policy is not None
    state.dedupe[key] = Dedupe(
        fingerprint=e.fingerprint or b"", contact_id=e.contact_id, seq=state.seq, at_ms=state.at_ms
    )
    order = state.dedupe_order
    order.append(key)
    oldest_ms = state.at_ms - 1000 * state.policy.retention.idempotency_s
    for _ in range(DEDUPE_FORGOTTEN_AT_ONCE):
        if order and state.dedupe[order[0]].at_ms < oldest_ms:
            del state.dedupe[order.popleft()]


def _updated(state: RoutingState, e: ContactUpdated) -> None:
    contact = state.contacts[e.contact_id]
    move(state, contact, _UPDATED)
    contact.skills = e.skills
    contact.priority_s = e.priority_s
    contact.strict_class = e.strict_class
    contact.attributes = e.attributes
    contact.preferred_agents = e.preferred_agents
    if contact.line is not None:
        # Also while offered: the contact must return to the line of its new requirement.
        waits = contact.key != 0
        state.index.leave(contact)
        if waits:
            wait(state, contact)


def _requeued(state: RoutingState, e: ContactRequeued) -> None:
    contact = state.contacts[e.contact_id]
    diverted(state, contact)
    remember_owner(contact)
    move(state, contact, _REQUEUED)
    change_queue(state, contact, e.queue_id)
    if state.hours and e.reason in _PUT_THERE:
        contact.held = state.is_closed(e.queue_id)
    contact.agent_id = contact.assignment_id = None
    contact.wait_until_ms = e.wait_until_ms
    contact.preferred_agent_id = e.preferred_agent_id
    contact.preferred_until_ms = e.preferred_until_ms
    contact.back_agent_id, contact.back_ms = e.back_agent_id, e.back_ms
    contact.plan, contact.step, contact.step_until_ms = e.plan, e.step, e.step_until_ms
    if e.agent_id is not None:
        cool_down(contact, e.agent_id, e.cool_down_until_ms, state.at_ms)
    if contact.callback is not None:
        callbacks.wait_again(state, contact, e.queued_at_ms)
    wait(state, contact)


def _overflowed(state: RoutingState, e: ContactOverflowed) -> None:
    contact = state.contacts[e.contact_id]
    diverted(state, contact)
    move(state, contact, _OVERFLOWED)
    change_queue(state, contact, e.queue_id)
    contact.wait_until_ms = e.wait_until_ms
    contact.hops += e.hops
    contact.plan, contact.step, contact.step_until_ms = e.plan, e.step, e.step_until_ms
    wait(state, contact)


def _step_entered(state: RoutingState, e: ContactStepEntered) -> None:
    contact = state.contacts[e.contact_id]
    move(state, contact, _STEP_ENTERED)
    contact.step, contact.step_until_ms = e.step, e.step_until_ms
    wait(state, contact)


def _relaxed(state: RoutingState, e: ContactRelaxed) -> None:
    contact = state.contacts[e.contact_id]
    move(state, contact, _RELAXED)
    contact.preferred_agent_id = contact.preferred_until_ms = None
    wait(state, contact)


def _assigned(state: RoutingState, e: ContactAssigned) -> None:
    contact = state.contacts[e.contact_id]
    answered(state, contact)
    remember_owner(contact)
    move(state, contact, _ASSIGNED)
    state.index.leave(contact)
    if contact.callback is not None:
        callbacks.taken(state, contact)
    contact.offers_made += 1
    agent = state.agents[e.agent_id]
    give(state, contact, e.assignment_id, agent, e.units)
    if state.index.has_caps:
        caps.count(state, agent, contact.channel)
    state.index.take(agent, contact.channel, e.units)
    state.index.touch(agent)


def give(
    state: RoutingState,
    contact: Contact,
    assignment_id: str,
    agent: Agent,
    units: int,
    offer: Offer | None = None,
) -> None:
    """Create the assignment of the owner; the caller takes the capacity.

    Without ``offer`` the contact was assigned by a supervisor.
    """
    begin(state, contact, assignment_id, agent, units, offer)
    if state.day is not None:
        agent.contacts_today += 1
    contact.agent_id = contact.last_agent_id = agent.agent_id
    contact.assignment_id = assignment_id
    contact.answered_seq = state.seq
    # Each field is written only if it changes: reading takes half as long as writing.
    if contact.held:
        contact.held = False
    if contact.ttl_at_ms is not None:
        contact.ttl_at_ms = (
            None  # It limits the wait for the first answer, not for a later transfer.
        )
    if contact.preferred_agent_id is not None or contact.preferred_until_ms is not None:
        contact.preferred_agent_id = contact.preferred_until_ms = None
    if contact.step_until_ms is not None:
        contact.step_until_ms = None
    if contact.raised_s or contact.raised_class:
        contact.raised_s = contact.raised_class = 0


def begin(
    state: RoutingState,
    contact: Contact,
    assignment_id: str,
    agent: Agent,
    units: int,
    offer: Offer | None = None,
) -> Assignment:
    """Create an assignment for an agent, in the role of the owner unless the caller changes it."""
    work = Assignment(
        # In the order of the fields.
        assignment_id,
        contact.contact_id,
        agent.agent_id,
        contact.channel,
        contact.queue_id,
        _BEGUN,
        units,
        state.at_ms,
        reason="supervisor" if offer is None else offer.reason,
        turn=None if offer is None else offer.turn,
        others=0 if offer is None else offer.others,
        values=None if offer is None else offer.values,
    )
    state.assignments[assignment_id] = agent.assignments[assignment_id] = work
    return work


def _terminal(
    state: RoutingState, e: ContactAbandoned | ContactCancelled | ContactExpired | ContactEnded
) -> None:
    kind = type(e)
    contact = state.contacts[e.contact_id]
    if kind is not ContactEnded:
        gone(state, contact, left=kind is ContactAbandoned)
    move(state, contact, _TERMINAL[kind])
    state.ended_counts[contact.state] += 1
    contact.reason = e.reason
    contact.ended_seq = state.seq
    if contact.line is not None:
        state.index.leave(contact)
    if contact.callback is not None:
        callbacks.over(state, contact)
    _forget(state, e.contact_id)


def _forget(state: RoutingState, contact_id: str) -> None:
    """Record an ended contact and drop the oldest ones beyond retention, at most ``ENDED_DROPPED_PER_EVENT`` of them.

    The bound keeps the cost of one event constant, however many contacts have passed their retention during a quiet period.
    """
    assert state.policy is not None
    retention, ended, at_ms = state.policy.retention, state.ended, state.at_ms
    ended.append((contact_id, at_ms))
    most, oldest_ms = retention.ended_contacts_max, at_ms - 1000 * retention.ended_contacts_s
    for _ in range(FORGOTTEN_AT_ONCE):
        if not ended or (len(ended) <= most and ended[0][1] >= oldest_ms):
            break
        del state.contacts[ended.popleft()[0]]
    if len(state.contact_log) > 2 * len(state.contacts) + _LOG_SLACK and state.imaging is None:
        # A snapshot rebuilds the log as well; this bounds it where no snapshots are taken.
        state.contact_log = list(state.contacts.values())


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    ContactQueued: _queued,
    ContactUpdated: _updated,
    ContactRequeued: _requeued,
    ContactOverflowed: _overflowed,
    ContactRelaxed: _relaxed,
    ContactStepEntered: _step_entered,
    ContactAssigned: _assigned,
    ContactAbandoned: _terminal,
    ContactCancelled: _terminal,
    ContactExpired: _terminal,
    ContactEnded: _terminal,
}
