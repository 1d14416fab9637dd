"""Changes of a contact's state, queue and waiting position, together with the counters and timers that depend on them."""

from typing import Final

from router.engine.routing_state import RoutingState
from router.engine.state.clocks import TimerKind, begin_closed_wait, end_closed_wait
from router.engine.state.contact import Contact
from router.engine.state.records import Assignment
from router.engine.state.timers import is_without_agents
from router.engine.transitions import EventTransitions
from router.model.states import ContactState, OfferState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_ACCEPTED: Final = OfferState.ACCEPTED
_ASSIGNED: Final = ContactState.ASSIGNED
_COOL_DOWN: Final = TimerKind.COOL_DOWN
_PREFERRED: Final = TimerKind.PREFERRED
_STEP: Final = TimerKind.STEP
_TTL: Final = TimerKind.TTL
_WAIT: Final = TimerKind.WAIT

_WAITING: Final = (ContactState.QUEUED, ContactState.OFFERED)
# In no waiting line: whether the queue is closed is checked when the contact enters one.
_IN_NO_LINE: Final = (ContactState.ASSIGNED, ContactState.CALLBACK_SCHEDULED, ContactState.SUSPENDED, ContactState.CHOOSING)


def change_state(state: RoutingState, contact: Contact, transitions: EventTransitions[ContactState]) -> None:
    """Change the contact's state by a transition and keep the counts of its queue up to date."""
    before = contact.state
    contact.changed_at_ms = state.at_ms
    if contact.monitors:
        state.index.monitors.to_check[contact.contact_id] = contact
    if (after := transitions[before]) is not before:
        if contact.switch is not None:
            end_switch(state, contact)
        if contact.request is not None and after not in _WAITING:
            contact.request.leave_until_ms = None
        contact.state = after
        counts = state.counts_by_queue[contact.queue_id]
        counts[before] -= 1
        counts[after] += 1
        if contact.slot:
            state.index.directory.set_state(contact)


def end_switch(state: RoutingState, contact: Contact) -> None:
    """End the switch of a contact to another channel, with the capacity that is held for it."""
    if contact.switch is None:
        return
    contact.switch = None
    if state.index.contacts.switching.pop(contact.contact_id, None) is not None and contact.agent_id is not None:
        state.index.agents.await_capacity(contact.agent_id, -1)
    assignment = state.assignments.get(contact.assignment_id or "")
    if assignment is not None:
        release_hold(state, assignment)


def release_hold(state: RoutingState, assignment: Assignment) -> None:
    """Release the capacity that is held for a switch to another channel."""
    if assignment.held_channel is not None:
        channel, units = assignment.held_channel, assignment.held_units
        assignment.held_channel, assignment.held_units = None, 0
        state.index.agents.release_capacity(state.agents[assignment.agent_id], channel, units)


def change_queue(state: RoutingState, contact: Contact, queue_id: str) -> None:
    """Move the contact to another queue, in its present state."""
    if queue_id == contact.queue_id:
        return
    if contact.waiting_for_opening:
        end_closed_wait(state, contact)
    state.queue_counts(contact.queue_id)[contact.state] -= 1
    contact.queue_id = queue_id
    state.queue_counts(queue_id)[contact.state] += 1
    if contact.slot:
        state.index.directory.set_queue(contact)
    # A contact that enters a closed queue waits for the opening.
    if contact.state not in _IN_NO_LINE:
        wait_for_opening_if_closed(state, contact)


def wait_for_opening_if_closed(state: RoutingState, contact: Contact) -> None:
    """Let the contact wait for the opening if its queue is closed."""
    if state.hours and state.is_closed(contact.queue_id):
        begin_closed_wait(contact, state.at_ms)


def place_in_line(state: RoutingState, contact: Contact) -> None:
    """Add the contact to its waiting line, together with every timer of a waiting contact.

    The timers are added again because those that do not apply to an offered contact may have been discarded meanwhile.
    """
    state.index.contacts.enqueue(contact)
    add_waiting_timers(state, contact)


def update_ready_agents(state: RoutingState) -> None:
    """Record which queues with ``no_agents_for_s`` have lost their last READY agent, or have one again.

    An agent counts who qualifies for the queue's own requirement, on any channel. Called after every event that may change
    that; it does nothing unless the groups with a READY agent have changed.
    """
    agents, policy = state.index.agents, state.policy
    if not agents.ready_groups_changed or policy is None:
        return
    agents.ready_groups_changed = False
    lines, ready = state.index.lines, agents.ready_group_bits
    for queue_id in state.index.queues_to_leave:
        if any(lines.queue_default_line(queue_id, channel).group_mask & ready for channel in policy.channels):
            state.no_agents_since.pop(queue_id, None)
        elif queue_id not in state.no_agents_since:
            state.no_agents_since[queue_id] = state.at_ms
            state.timers.add_check(queue_id)


def add_waiting_timers(state: RoutingState, contact: Contact) -> None:
    """Add every timer of a waiting contact."""
    name, add = contact.contact_id, state.timers.add
    if state.no_agents_since and is_without_agents(state, contact.queue_id, state.at_ms):
        state.timers.add_check_at(state.at_ms, contact.queue_id)
    if contact.ttl_at_ms is not None:
        add(contact.ttl_at_ms, _TTL, name)
    if contact.wait_until_ms is not None:
        add(contact.wait_until_ms, _WAIT, name)
    if contact.preferred_until_ms is not None:
        add(contact.preferred_until_ms, _PREFERRED, name)
    if contact.step_until_ms is not None:
        add(contact.step_until_ms, _STEP, name)
    if contact.cool_downs:
        add_cool_down_timers(state, contact)


def add_cool_down_timers(state: RoutingState, contact: Contact) -> None:
    """Add the timers for the agents who are not offered the contact for a while."""
    for agent_id, until_ms in (contact.cool_downs or {}).items():
        if until_ms > state.at_ms:
            state.timers.add(until_ms, _COOL_DOWN, contact.contact_id, agent_id)


def start_cool_down(contact: Contact, agent_id: str, until_ms: int | None, at_ms: int) -> None:
    """Exclude the agent for this contact until a time; drop the cool-downs that are over."""
    if until_ms is None:
        return
    kept = {a: until for a, until in (contact.cool_downs or {}).items() if until > at_ms}
    kept[agent_id] = until_ms
    contact.cool_downs = kept


def record_owner_accept(contact: Contact) -> None:
    """Keep the accept of an owner who is about to lose the contact, so that a late repeat of it gets the same answer."""
    if contact.assignment_id is not None and contact.agent_id is not None:
        ended_offers = contact.ended_offers or {}
        ended_offers[contact.assignment_id] = (_ACCEPTED, contact.answered_seq, contact.agent_id)
        contact.ended_offers = ended_offers
