"""Handlers of contact events: submit, update, requeue, overflow, plan steps, assignment and end."""

from collections.abc import Callable
from typing import Any, Final

from router.engine.events import callbacks
from router.engine.events.contact_state import (
    change_queue,
    change_state,
    end_switch,
    place_in_line,
    record_owner_accept,
    start_cool_down,
    wait_for_opening_if_closed,
)
from router.engine.events.requests import end_choice
from router.engine.routing_state import RoutingState
from router.engine.state import rate_caps
from router.engine.state.agent import Agent
from router.engine.state.clocks import TimerKind, begin_closed_wait, end_closed_wait
from router.engine.state.contact import Contact, WaitingLine
from router.engine.state.idempotency import IdempotencyRecord
from router.engine.state.records import Assignment, Offer, selection_record, way_of_offer, work_queue_id
from router.engine.transitions import ASSIGNMENT_TRANSITIONS, CONTACT_TRANSITIONS, EventTransitions
from router.engine.wait.learning import discard_forecast, record_answer, record_end, record_forecast
from router.model.events import (
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactOverflowed,
    ContactPreferredAgentExpired,
    ContactQueued,
    ContactRequeued,
    ContactStepEntered,
    ContactUpdated,
)
from router.model.policy import RetentionPolicy
from router.model.states import ContactState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_SUSPENDED: Final = ContactState.SUSPENDED
_CHOOSING: Final = ContactState.CHOOSING
_TTL: Final = TimerKind.TTL
_WAIT: Final = TimerKind.WAIT
_CHOSEN: Final = EventTransitions(CONTACT_TRANSITIONS, ContactQueued)
_QUEUED: Final = _CHOSEN[None]
_UPDATED: Final = EventTransitions(CONTACT_TRANSITIONS, ContactUpdated)
_REQUEUED: Final = EventTransitions(CONTACT_TRANSITIONS, ContactRequeued)
_OVERFLOWED: Final = EventTransitions(CONTACT_TRANSITIONS, ContactOverflowed)
_PREFERRED_AGENT_EXPIRED: Final = EventTransitions(CONTACT_TRANSITIONS, ContactPreferredAgentExpired)
_STEP_ENTERED: Final = EventTransitions(CONTACT_TRANSITIONS, ContactStepEntered)
_ASSIGNED: Final = EventTransitions(CONTACT_TRANSITIONS, ContactAssigned)
# Every transition that begins an assignment leads to the same state.
_BEGUN: Final = EventTransitions(ASSIGNMENT_TRANSITIONS, ContactAssigned)[None]
_TERMINAL: Final = {
    kind: EventTransitions(CONTACT_TRANSITIONS, kind) for kind in (ContactAbandoned, ContactCancelled, ContactExpired, ContactEnded)
}

# Ended contacts that one event drops at most: more than it adds, so the table shrinks to its limit.
ENDED_DROPPED_PER_EVENT: Final = 4
# Retention before the first policy.
DEFAULT_RETENTION: Final = RetentionPolicy()
_DROPPED_CONTACTS_SLACK: Final = 10_000

# Reasons by which a command places the contact in a queue; by the other reasons it returns to its position there.
_PLACED_BY_COMMAND: Final = frozenset({"transferred", "supervisor", "drained"})


def queue_in_line(state: RoutingState, event: ContactQueued, line: WaitingLine) -> Contact | None:
    """Apply the event of a new contact whose waiting line is known.

    Returns the contact if an agent is free for it: it is then not added to the line, because the caller offers it at once.
    The resulting state is that of ``_queued``, which replay uses.
    """
    contact = _add_contact(state, event)
    contact_id = contact.contact_id
    is_agent_free = state.index.contacts.enqueue_arriving(contact, line)
    if event.ttl_at_ms is not None:
        state.timers.add(event.ttl_at_ms, _TTL, contact_id)
    if event.wait_until_ms is not None:
        state.timers.add(event.wait_until_ms, _WAIT, contact_id)
    if is_agent_free:
        return contact
    record_forecast(state, contact)
    return None


def _queued(state: RoutingState, event: ContactQueued) -> None:
    contact = _add_contact(state, event) if event.queued_at_ms is None else _take_option(state, event)
    place_in_line(state, contact)
    record_forecast(state, contact)


def _add_contact(state: RoutingState, event: ContactQueued) -> Contact:
    """Create the record of a new contact, in no waiting line yet."""
    at_ms, contact_id, queue_id = state.at_ms, event.contact_id, event.queue_id
    contact = Contact(
        # In the order of the fields.
        contact_id,
        event.channel,
        queue_id,
        _QUEUED,
        at_ms,
        at_ms,
        state.seq,
        event.skills,
        event.priority_s,
        event.priority_class,
        event.attributes,
        event.reference,
        event.gateway_id,
        event.ttl_at_ms,
        event.wait_until_ms,
        event.overflow_count,
    )
    _set_classification(state, contact, event)
    state.contacts[contact_id] = contact
    state.contact_log.append(contact)
    state.submitted += 1
    state.queue_counts(queue_id)[_QUEUED] += 1
    if event.dedupe_key is not None:
        _store_key(state, event, event.dedupe_key)
    return contact


def _set_classification(state: RoutingState, contact: Contact, event: ContactQueued) -> None:
    """Set what the entry rules and the plan make of a contact that enters its first queue."""
    # Set one by one and only if they differ from the default: most contacts have none of these.
    if event.rule is not None or event.default_queue_used:
        contact.entry_rule, contact.failed_rules = event.rule, event.failed_rules
        state.rule_counts.record_classification(event.rule, event.failed_rules, event.over_budget_rule)
    if event.plan is not None:
        contact.plan = event.plan
    if event.step or event.step_until_ms is not None:
        contact.step, contact.step_until_ms = event.step, event.step_until_ms
    if event.preferred_agents:
        contact.preferred_agents = event.preferred_agents
    if event.last_agent_id is not None:
        contact.last_agent_id = event.last_agent_id
    if event.customer_facts:
        contact.customer_facts = event.customer_facts
    if event.customer_id is not None:
        contact.customer_id = event.customer_id
    if state.hours and state.is_closed(event.queue_id):
        begin_closed_wait(contact, state.at_ms)


def _take_option(state: RoutingState, event: ContactQueued) -> Contact:
    """Let a contact wait whose customer has chosen an option; it keeps its place."""
    contact = state.contacts[event.contact_id]
    end_choice(state, contact, event.option)
    change_state(state, contact, _CHOSEN)
    change_queue(state, contact, event.queue_id)
    contact.channel, contact.skills = event.channel, event.skills
    contact.priority_s, contact.priority_class = event.priority_s, event.priority_class
    contact.ttl_at_ms, contact.wait_until_ms = event.ttl_at_ms, event.wait_until_ms
    contact.overflow_count = event.overflow_count
    _set_classification(state, contact, event)
    state.submitted += 1
    return contact


def _store_key(state: RoutingState, event: ContactQueued, key: bytes) -> None:
    """Store the first answer to an idempotency key."""
    store_key(
        state, key, IdempotencyRecord(event.fingerprint or b"", event.contact_id, state.seq, state.at_ms, client=event.gateway_id)
    )


def store_key(state: RoutingState, key: bytes, record: IdempotencyRecord) -> None:
    """Store a key, within the limits of the policy."""
    retention = DEFAULT_RETENTION if state.policy is None else state.policy.retention
    oldest_ms = state.at_ms - 1000 * retention.idempotency_s
    state.idempotency.store(key, record, oldest_ms=oldest_ms, count_max=retention.idempotency_keys_max)


def _updated(state: RoutingState, event: ContactUpdated) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _UPDATED)
    contact.skills = event.skills
    contact.priority_s = event.priority_s
    contact.priority_class = event.priority_class
    contact.attributes = event.attributes
    contact.preferred_agents = event.preferred_agents
    contact.customer_facts = event.customer_facts
    if contact.switch is not None:
        state.index.contacts.recheck_switch(contact)
    if contact.waiting_line is not None:
        # Also while offered: the contact must return to the line of its new requirement.
        waits = contact.order_key != 0
        state.index.contacts.leave_line(contact)
        if waits:
            place_in_line(state, contact)


def _requeued(state: RoutingState, event: ContactRequeued) -> None:
    contact = state.contacts[event.contact_id]
    discard_forecast(state, contact)
    record_owner_accept(contact)
    change_state(state, contact, _REQUEUED)
    if event.reason in _PLACED_BY_COMMAND:
        contact.overflowed_from = ()
    elif event.queue_id != contact.queue_id:
        contact.overflowed_from = (*contact.overflowed_from, contact.queue_id)
    contact.overflow_count += event.overflow_count
    change_queue(state, contact, event.queue_id)
    if event.reason in _PLACED_BY_COMMAND:
        wait_for_opening_if_closed(state, contact)
    contact.agent_id = contact.assignment_id = None
    contact.wait_until_ms = event.wait_until_ms
    contact.preferred_agent_id = event.preferred_agent_id
    contact.preferred_until_ms = event.preferred_until_ms
    contact.return_to_agent_id = event.return_to_agent_id
    contact.return_to_sender_ms = event.return_to_sender_ms
    contact.plan, contact.step, contact.step_until_ms = event.plan, event.step, event.step_until_ms
    if event.agent_id is not None:
        start_cool_down(contact, event.agent_id, event.cool_down_until_ms, state.at_ms)
    if contact.callback is not None:
        callbacks.return_to_waiting(state, contact, event.queued_at_ms)
    place_in_line(state, contact)


def _overflowed(state: RoutingState, event: ContactOverflowed) -> None:
    contact = state.contacts[event.contact_id]
    discard_forecast(state, contact)
    change_state(state, contact, _OVERFLOWED)
    contact.overflowed_from = (*contact.overflowed_from, event.from_queue_id)
    change_queue(state, contact, event.queue_id)
    contact.wait_until_ms = event.wait_until_ms
    contact.overflow_count += event.overflow_count
    contact.plan, contact.step, contact.step_until_ms = event.plan, event.step, event.step_until_ms
    place_in_line(state, contact)


def _step_entered(state: RoutingState, event: ContactStepEntered) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _STEP_ENTERED)
    contact.step, contact.step_until_ms = event.step, event.step_until_ms
    place_in_line(state, contact)


def _preferred_agent_expired(state: RoutingState, event: ContactPreferredAgentExpired) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _PREFERRED_AGENT_EXPIRED)
    contact.preferred_agent_id = contact.preferred_until_ms = None
    place_in_line(state, contact)


def _assigned(state: RoutingState, event: ContactAssigned) -> None:
    contact = state.contacts[event.contact_id]
    record_answer(state, contact)
    record_owner_accept(contact)
    change_state(state, contact, _ASSIGNED)
    state.index.contacts.leave_line(contact)
    if contact.callback is not None:
        callbacks.take_callback(state, contact)
    contact.offers_made += 1
    agent = state.agents[event.agent_id]
    assign_owner(state, contact, event.assignment_id, agent, event.units)
    if state.index.channels.has_caps:
        assert state.policy is not None
        rate_caps.record_contact_taken(agent, state.policy, contact.channel, state.at_ms)
    state.index.agents.take_capacity(agent, contact.channel, event.units)
    state.index.agents.move_to_idle_end(agent)


def assign_owner(
    state: RoutingState, contact: Contact, assignment_id: str, agent: Agent, units: int, offer: Offer | None = None
) -> None:
    """Create the assignment of the owner; the caller takes the capacity.

    Without ``offer`` the contact was assigned by a supervisor.
    """
    if contact.switch is not None:
        end_switch(state, contact)
    start_assignment(state, contact, assignment_id, agent, units, offer)
    if state.day is not None:
        agent.contacts_today += 1
    contact.agent_id = contact.last_agent_id = agent.agent_id
    contact.assignment_id = assignment_id
    contact.answered_seq = state.seq
    # Each field is written only if it changes: reading takes half as long as writing.
    if contact.waiting_for_opening:
        end_closed_wait(state, contact)
    if contact.ttl_at_ms is not None:
        # It limits the wait for the first answer, not for a later transfer.
        contact.ttl_at_ms = None
    if contact.preferred_agent_id is not None or contact.preferred_until_ms is not None:
        contact.preferred_agent_id = contact.preferred_until_ms = None
    if contact.step_until_ms is not None:
        contact.step_until_ms = None
    if contact.plan_priority_s or contact.plan_priority_class:
        contact.plan_priority_s = contact.plan_priority_class = 0


def start_assignment(
    state: RoutingState, contact: Contact, assignment_id: str, agent: Agent, units: int, offer: Offer | None = None
) -> Assignment:
    """Create an assignment for an agent, in the role of the owner unless the caller changes it."""
    assignment = Assignment(
        # In the order of the fields.
        assignment_id,
        contact.contact_id,
        agent.agent_id,
        contact.channel if offer is None else offer.channel,
        contact.queue_id if offer is None or offer.to_queue_id is None else work_queue_id(way_of_offer(offer), "", offer=offer),
        _BEGUN,
        units,
        state.at_ms,
        reason="supervisor" if offer is None else offer.reason,
        match_trigger=None if offer is None else offer.match_trigger,
        other_candidates=0 if offer is None else offer.other_candidates,
        selection_inputs=None if offer is None else offer.selection_inputs,
    )
    state.assignments[assignment_id] = agent.assignments[assignment_id] = assignment
    return assignment


def _ended(state: RoutingState, event: ContactAbandoned | ContactCancelled | ContactExpired | ContactEnded) -> None:
    kind = type(event)
    contact = state.contacts[event.contact_id]
    if contact.state is _SUSPENDED:
        state.count_suspended(contact, -1)
    is_request = contact.state is _CHOOSING
    if is_request:
        # It has waited in no queue: it counts in no statistics.
        end_choice(state, contact, None)
        state.goals.forget(event.contact_id)
        if isinstance(event, ContactCancelled) and contact.request is not None:
            contact.request.resumed_id = event.resumed_contact_id
    elif kind is not ContactEnded:
        record_end(state, contact, abandoned=kind is ContactAbandoned)
    change_state(state, contact, _TERMINAL[kind])
    if isinstance(event, ContactEnded):
        assignment = state.assignments[event.assignment_id]
        contact.selection = selection_record(assignment)
        assignment.keep_contact(contact.attributes, contact.reference)
    if not is_request:
        state.ended_counts[contact.state] += 1
    contact.reason, contact.ended_by = event.reason, event.ended_by
    contact.ended_seq = state.seq
    if contact.waiting_line is not None:
        state.index.contacts.leave_line(contact)
    if contact.callback is not None:
        callbacks.end_callback(state, contact)
    if event.contact_id in state.goals:
        state.goals.end(contact, at_ms=state.at_ms, is_working=contact.assignment_id in state.assignments)
    _drop_expired(state, event.contact_id)


def _drop_expired(state: RoutingState, contact_id: str) -> None:
    """Record an ended contact and drop the oldest ones beyond retention, at most ``ENDED_DROPPED_PER_EVENT`` of them.

    The bound keeps the cost of one event constant, however many contacts have passed their retention during a quiet period.
    """
    assert state.policy is not None
    retention, ended, at_ms = state.policy.retention, state.ended_contacts, state.at_ms
    ended.append(contact_id, at_ms)
    most, oldest_ms = retention.ended_contacts_max, at_ms - 1000 * retention.ended_contacts_s
    for _ in range(ENDED_DROPPED_PER_EVENT):
        ended_ms = ended.oldest_ms
        if ended_ms is None or (len(ended) <= most and ended_ms >= oldest_ms):
            break
        forgotten = state.contacts.pop(ended.pop_oldest())
        if forgotten.slot:
            state.index.directory.forget(forgotten)
        if forgotten.request is not None and forgotten.request.token_hash is not None:
            state.contacts_by_token.pop(forgotten.request.token_hash, None)
    if len(state.contact_log) > 2 * len(state.contacts) + _DROPPED_CONTACTS_SLACK and state.incremental_snapshot is None:
        # A snapshot rebuilds the log as well; this bounds it where no snapshots are taken.
        state.contact_log = list(state.contacts.values())


CONTACT_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    ContactQueued: _queued,
    ContactUpdated: _updated,
    ContactRequeued: _requeued,
    ContactOverflowed: _overflowed,
    ContactPreferredAgentExpired: _preferred_agent_expired,
    ContactStepEntered: _step_entered,
    ContactAssigned: _assigned,
    ContactAbandoned: _ended,
    ContactCancelled: _ended,
    ContactExpired: _ended,
    ContactEnded: _ended,
}
