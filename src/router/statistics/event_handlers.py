"""Handlers of events for the statistics.

Contacts and callbacks: where contacts wait, how each wait ends, callback attempts by outcome. Offers, assignments, agents and
policies: offers by outcome, handle time, agent activity.
"""

from collections.abc import Callable
from typing import Any, Final

from router.model.events import (
    AgentRemoved,
    AgentStateChanged,
    AgentUpdated,
    AlertCleared,
    AlertRaised,
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    DispositionRecorded,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
    PolicyPublished,
    WrapUpStarted,
)
from router.model.events.agent import ContactHandedOver, ParticipantAdded
from router.model.events.channel import ContactChannelFailed, ContactChannelSwitched
from router.model.events.contact import (
    CallbackConnected,
    CallbackDialRequested,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactChoosing,
    ContactEnded,
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    ContactResumed,
    ContactSuspended,
)
from router.model.events.goal import GoalChanged
from router.model.states import AssignmentRole, QueueId
from router.statistics.counters import ContactCounters
from router.statistics.metrics import number_of
from router.statistics.open_records import (
    ASSIGNED,
    CALLBACK,
    CHOOSING,
    OFFERED,
    QUEUED,
    SUSPENDED,
    AssignmentPhase,
    LiveAssignment,
    LiveContact,
    LiveOffer,
    LostOutcome,
    StatsTarget,
    update_agent,
)

_OFFERS_MADE: Final = number_of("offers", "made")
_OFFERS_ACCEPTED: Final = number_of("offers", "accepted")
_OFFERS_DECLINED: Final = number_of("offers", "declined")
_OFFERS_EXPIRED: Final = number_of("offers", "expired")
_OFFERS_RESCINDED: Final = number_of("offers", "rescinded")
_TRANSFERRED_OUT: Final = number_of("handling", "transferred")
_TRANSFERRED_IN: Final = number_of("flow", "transferred_in")
_CONSULTS_ASKED: Final = number_of("consults", "asked")
_CONSULTS_GIVEN: Final = number_of("consults", "given")
_PARTICIPATIONS: Final = number_of("consults", "participations")
_CALLBACKS_CONNECTED: Final = number_of("callbacks", "connected")

_TRANSFERS: Final = frozenset({"consult", "hand_over", "channel"})


def _queued(target: StatsTarget, event: ContactQueued, at_ms: int) -> None:
    if event.rule is not None or event.failed_rules:
        target.record_entry_rules(event)
    if event.option is not None:
        target.record_choosing(-1)
    target.add_contact(event.contact_id, LiveContact(event.queue_id, event.channel, at_ms))
    target.move_contact(event.queue_id, None, QUEUED, at_ms)
    flow = target.counters_for(event.contact_id, event.queue_id, event.channel).flow
    flow.submitted += 1
    flow.entered += 1


def _choosing(target: StatsTarget, event: ContactChoosing, at_ms: int) -> None:
    target.add_contact(event.contact_id, LiveContact(event.queue_id, event.channel, at_ms, CHOOSING))
    target.record_choosing(1)


def _requeued(target: StatsTarget, event: ContactRequeued, at_ms: int) -> None:
    contact = target.contacts[event.contact_id]
    before, old_queue_id = contact.state, contact.queue_id
    contact.state = QUEUED
    if before == ASSIGNED:
        _start_new_wait(target, contact, event, at_ms)
    elif old_queue_id != event.queue_id:
        contact.queue_id = event.queue_id
        target.counters_for(event.contact_id, old_queue_id, contact.channel).flow.moved_out += 1
        flow = target.counters_for(event.contact_id, event.queue_id, contact.channel).flow
        flow.moved_in += 1
        flow.entered += 1
    _move_to_queue(target, old_queue_id, event.queue_id, before, at_ms)


def _start_new_wait(target: StatsTarget, contact: LiveContact, event: ContactRequeued, at_ms: int) -> None:
    """Start a new wait of a contact that was assigned."""
    is_transfer = event.reason == "transferred"
    if is_transfer:
        old = target.counters_for(event.contact_id, contact.queue_id, contact.channel)
        old.handling.transferred += 1
        if event.agent_id is not None:
            target.agent(event.agent_id).handling.transferred += 1
            target.count_for_agent(event.agent_id, _TRANSFERRED_OUT)
    contact.queue_id, contact.first_queue_id = event.queue_id, ""
    contact.waiting_since_ms = at_ms
    flow = target.counters_for(event.contact_id, event.queue_id, contact.channel).flow
    flow.entered += 1
    if is_transfer:
        flow.transferred_in += 1
    else:
        flow.requeued += 1


def _overflowed(target: StatsTarget, event: ContactOverflowed, at_ms: int) -> None:
    contact = target.contacts[event.contact_id]
    before = contact.state
    contact.queue_id = event.queue_id
    contact.first_queue_id = contact.first_queue_id or event.from_queue_id
    contact.state = QUEUED
    old = target.counters_for(event.contact_id, event.from_queue_id, contact.channel)
    old.flow.overflowed_out += 1
    flow = target.counters_for(event.contact_id, event.queue_id, contact.channel).flow
    flow.overflowed_in += 1
    flow.entered += 1
    _move_to_queue(target, event.from_queue_id, event.queue_id, before, at_ms)


def _move_to_queue(target: StatsTarget, old_queue_id: str, queue_id: str, before: int, at_ms: int) -> None:
    if old_queue_id == queue_id:
        target.move_contact(queue_id, before, QUEUED, at_ms)
    else:
        target.move_contact(old_queue_id, before, None, at_ms)
        target.move_contact(queue_id, None, QUEUED, at_ms)


def _assigned(target: StatsTarget, event: ContactAssigned, at_ms: int) -> None:
    contact = target.contacts[event.contact_id]
    if contact.state != ASSIGNED:
        end_wait(target, event, contact, at_ms)
    start_assignment(target, event.contact_id, event.assignment_id, event.agent_id, at_ms, is_secondary=False)


def end_wait(target: StatsTarget, event: ContactAssigned | OfferAccepted, contact: LiveContact, at_ms: int) -> None:
    """End the wait of a contact that an agent has taken."""
    contact_id = event.contact_id
    target.move_contact(contact.queue_id, contact.state, ASSIGNED, at_ms)
    contact.state = ASSIGNED
    if contact.is_callback:
        target.counters_for(contact_id, contact.queue_id, contact.channel).flow.called_back += 1
    else:
        target.record_answer(contact_id, contact, event.agent_id, contact.wait_ms(at_ms, event.closed_ms))
    contact.closed_ms, contact.waited_ms, contact.first_queue_id = event.closed_ms, 0, ""


def start_assignment(
    target: StatsTarget,
    contact_id: str,
    assignment_id: str,
    agent_id: str,
    at_ms: int,
    *,
    is_secondary: bool,
    queue_id: QueueId | None = None,
    channel: str | None = None,
) -> None:
    """Start an assignment, in the talking phase; it counts in ``queue_id`` and ``channel``, by default those of its contact."""
    contact = target.contacts[contact_id]
    target.assignments[assignment_id] = LiveAssignment(
        agent_id, queue_id or contact.queue_id, channel or contact.channel, at_ms, is_secondary=is_secondary
    )
    update_agent(target, agent_id, at_ms, work=1)


def _participant_added(target: StatsTarget, event: ParticipantAdded, at_ms: int) -> None:
    start_assignment(target, event.contact_id, event.assignment_id, event.agent_id, at_ms, is_secondary=True)
    work = target.assignments[event.assignment_id]
    target.counters_for(event.contact_id, work.queue_id, work.channel).consults.participations += 1
    target.count_for_agent(event.agent_id, _PARTICIPATIONS)


def _handed_over(target: StatsTarget, event: ContactHandedOver, at_ms: int) -> None:
    """Make a participant's assignment the owner's; counts as a transfer if the previous owner passed the contact on."""
    target.assignments[event.assignment_id].is_secondary = False
    contact = target.contacts[event.contact_id]
    if event.reason in _TRANSFERS:
        _count_transfer(target, event, contact)
    if event.queue_id is not None:
        _follow_new_owner(target, contact, event.queue_id, at_ms)


def _count_transfer(target: StatsTarget, event: ContactHandedOver, contact: LiveContact) -> None:
    counters = target.counters_for(event.contact_id, contact.queue_id, contact.channel)
    counters.handling.transferred += 1
    target.agent(event.from_agent_id).handling.transferred += 1
    target.count_for_agent(event.from_agent_id, _TRANSFERRED_OUT)
    target.count_for_agent(event.agent_id, _TRANSFERRED_IN)


def _follow_new_owner(target: StatsTarget, contact: LiveContact, queue_id: QueueId, at_ms: int) -> None:
    """Move an assigned contact to the queue through which its new owner was reached."""
    target.move_contact(contact.queue_id, ASSIGNED, None, at_ms)
    contact.queue_id = queue_id
    target.move_contact(queue_id, None, ASSIGNED, at_ms)


def _abandoned(target: StatsTarget, event: ContactAbandoned, at_ms: int) -> None:
    _lose(target, event, LostOutcome.ABANDONED, at_ms)


def _cancelled(target: StatsTarget, event: ContactCancelled, at_ms: int) -> None:
    _lose(target, event, LostOutcome.CANCELLED, at_ms)


def _expired(target: StatsTarget, event: ContactExpired, at_ms: int) -> None:
    contact = _lose(target, event, LostOutcome.EXPIRED, at_ms)
    if contact.is_callback:
        counters = target.counters_for(event.contact_id, contact.queue_id, contact.channel)
        counters.callbacks.given_up += 1


def _lose(
    target: StatsTarget, event: ContactAbandoned | ContactCancelled | ContactExpired, outcome: LostOutcome, at_ms: int
) -> LiveContact:
    """End a contact without an answer."""
    contact = target.contacts.pop(event.contact_id)
    if contact.state == CHOOSING:
        target.record_choosing(-1)
        return contact
    target.move_contact(contact.queue_id, contact.state, None, at_ms)
    target.record_lost(event.contact_id, contact, outcome, contact.wait_ms(at_ms, event.closed_ms))
    return contact


def _ended(target: StatsTarget, event: ContactEnded, at_ms: int) -> None:
    contact = target.contacts.pop(event.contact_id)
    target.move_contact(contact.queue_id, contact.state, None, at_ms)
    target.record_end()


def _callback_requested(target: StatsTarget, event: CallbackRequested, at_ms: int) -> None:
    contact = target.contacts[event.contact_id]
    contact.is_callback = True
    contact.channel = event.channel
    _set_state(target, contact, QUEUED, at_ms)
    counters = target.counters_for(event.contact_id, contact.queue_id, contact.channel)
    counters.callbacks.requested += 1


def _callback_scheduled(target: StatsTarget, event: CallbackScheduled, at_ms: int) -> None:
    _set_state(target, target.contacts[event.contact_id], CALLBACK, at_ms)


def _dial_requested(target: StatsTarget, event: CallbackDialRequested, at_ms: int) -> None:
    contact = target.contacts[event.contact_id]
    if contact.state != ASSIGNED:
        _set_state(target, contact, CALLBACK, at_ms)
    counters = target.counters_for(event.contact_id, contact.queue_id, contact.channel)
    counters.callbacks.dialled += 1


def _callback_connected(target: StatsTarget, event: CallbackConnected, at_ms: int) -> None:
    contact = target.contacts[event.contact_id]
    contact.is_callback = False
    counters = target.counters_for(event.contact_id, contact.queue_id, contact.channel)
    counters.callbacks.connected += 1
    if event.agent_id is not None:
        target.count_for_agent(event.agent_id, _CALLBACKS_CONNECTED)
    if contact.state == ASSIGNED:
        return
    # The customer is on the line now: a new wait begins.
    counters.flow.called_back += 1
    target.move_contact(contact.queue_id, contact.state, None, at_ms)
    contact.queue_id, contact.state, contact.waiting_since_ms = event.queue_id, QUEUED, at_ms
    contact.closed_ms, contact.waited_ms, contact.first_queue_id = event.closed_ms, 0, ""
    target.move_contact(contact.queue_id, None, QUEUED, at_ms)
    target.counters_for(event.contact_id, contact.queue_id, contact.channel).flow.entered += 1


def _callback_failed(target: StatsTarget, event: CallbackFailed, at_ms: int) -> None:
    contact = target.contacts[event.contact_id]
    counters = target.counters_for(event.contact_id, contact.queue_id, contact.channel)
    counters.callbacks.failed += 1
    if contact.state == ASSIGNED:
        counters.flow.entered += 1
        counters.flow.requeued += 1
        contact.waiting_since_ms = at_ms
    _set_state(target, contact, CALLBACK, at_ms)


def _suspended(target: StatsTarget, event: ContactSuspended, at_ms: int) -> None:
    """Stop the present wait of a contact. One that had an agent begins a new wait, which continues when it is resumed."""
    contact = target.contacts[event.contact_id]
    if contact.state == ASSIGNED:
        flow = target.counters_for(event.contact_id, contact.queue_id, contact.channel).flow
        flow.entered += 1
        flow.requeued += 1
    else:
        # The wait of a callback, whose customer is not on the line, is in no figure.
        contact.waited_ms = 0 if contact.is_callback else contact.wait_ms(at_ms, event.closed_ms)
    contact.is_callback = False
    _set_state(target, contact, SUSPENDED, at_ms)


def _resumed_contact(target: StatsTarget, event: ContactResumed, at_ms: int) -> None:
    contact = target.contacts[event.contact_id]
    before, after = (contact.queue_id, contact.channel), (event.queue_id, event.channel)
    if before != after:
        target.counters_for(event.contact_id, *before).flow.moved_out += 1
        flow = target.counters_for(event.contact_id, *after).flow
        flow.moved_in += 1
        flow.entered += 1
    contact.queue_id, contact.channel = after
    contact.state, contact.waiting_since_ms, contact.closed_ms = QUEUED, at_ms, event.closed_ms
    _move_to_queue(target, before[0], event.queue_id, SUSPENDED, at_ms)


def _channel_switched(target: StatsTarget, event: ContactChannelSwitched, at_ms: int) -> None:
    """Count a waiting contact on its new channel, and the work of a conversation as that of the channel on which it ends."""
    contact = target.contacts[event.contact_id]
    if event.assignment_id is None:
        target.counters_for(event.contact_id, contact.queue_id, contact.channel).flow.moved_out += 1
        flow = target.counters_for(event.contact_id, contact.queue_id, event.channel).flow
        flow.moved_in += 1
        flow.entered += 1
    else:
        target.assignments[event.assignment_id].channel = event.channel
    contact.channel = event.channel
    target.counters_for(event.contact_id, contact.queue_id, event.channel).switches.switched += 1


def _channel_failed(target: StatsTarget, event: ContactChannelFailed, at_ms: int) -> None:
    switches = target.counters_for(event.contact_id, target.contacts[event.contact_id].queue_id, event.channel).switches
    match event.reason:
        case "failed":
            switches.failed += 1
        case "timeout":
            switches.timed_out += 1
        case _:
            switches.cancelled += 1


def _set_state(target: StatsTarget, contact: LiveContact, state: int, at_ms: int) -> None:
    if contact.state != state:
        target.move_contact(contact.queue_id, contact.state, state, at_ms)
        contact.state = state


CONTACT_HANDLERS: Final[dict[type, Callable[[StatsTarget, Any, int], None]]] = {
    ContactChoosing: _choosing,
    ContactQueued: _queued,
    ContactRequeued: _requeued,
    ContactOverflowed: _overflowed,
    ContactSuspended: _suspended,
    ContactChannelSwitched: _channel_switched,
    ContactChannelFailed: _channel_failed,
    ContactResumed: _resumed_contact,
    ContactAssigned: _assigned,
    ParticipantAdded: _participant_added,
    ContactHandedOver: _handed_over,
    ContactAbandoned: _abandoned,
    ContactCancelled: _cancelled,
    ContactExpired: _expired,
    ContactEnded: _ended,
    CallbackRequested: _callback_requested,
    CallbackScheduled: _callback_scheduled,
    CallbackDialRequested: _dial_requested,
    CallbackConnected: _callback_connected,
    CallbackFailed: _callback_failed,
}

_PARKED: Final = AssignmentPhase.PARKED


def _offer_made(target: StatsTarget, event: OfferMade, at_ms: int) -> None:
    target.offers[event.offer_id] = LiveOffer(event.queue_id, event.channel)
    contact = target.contacts[event.contact_id]
    if contact.state == QUEUED:
        contact.state = OFFERED
        target.move_contact(contact.queue_id, QUEUED, OFFERED, at_ms)
    target.counters_for(event.contact_id, event.queue_id, event.channel).offers.made += 1
    target.agent(event.agent_id).offers.made += 1
    target.count_for_agent(event.agent_id, _OFFERS_MADE)


def _offer_accepted(target: StatsTarget, event: OfferAccepted, at_ms: int) -> None:
    offer = target.offers.pop(event.offer_id)
    counters = target.counters_for(event.contact_id, offer.queue_id, offer.channel)
    counters.offers.accepted += 1
    target.agent(event.agent_id).offers.accepted += 1
    target.count_for_agent(event.agent_id, _OFFERS_ACCEPTED)
    contact = target.contacts[event.contact_id]
    is_secondary = event.role is not AssignmentRole.OWNER
    if not is_secondary:
        if contact.state != ASSIGNED:
            end_wait(target, event, contact, at_ms)
        else:
            counters.handling.transferred += 1
            target.count_for_agent(event.agent_id, _TRANSFERRED_IN)
            if event.from_agent_id is not None:
                target.agent(event.from_agent_id).handling.transferred += 1
                target.count_for_agent(event.from_agent_id, _TRANSFERRED_OUT)
    elif event.role is AssignmentRole.CONSULT and not event.takes_over:
        _count_consult(target, event, counters, contact)
    start_assignment(
        target,
        event.contact_id,
        event.offer_id,
        event.agent_id,
        at_ms,
        is_secondary=is_secondary,
        queue_id=offer.queue_id if is_secondary else contact.queue_id,
        channel=offer.channel,
    )


def _count_consult(target: StatsTarget, event: OfferAccepted, counters: ContactCounters, contact: LiveContact) -> None:
    """Count an accepted consult for both agents, and for the queues of the contact and of the consulted agent."""
    counters.consults.given += 1
    target.counters_for(event.contact_id, contact.queue_id, contact.channel).consults.asked += 1
    target.count_for_agent(event.agent_id, _CONSULTS_GIVEN)
    if event.from_agent_id is not None:
        target.count_for_agent(event.from_agent_id, _CONSULTS_ASKED)


def _offer_declined(target: StatsTarget, event: OfferDeclined, at_ms: int) -> None:
    offer = target.offers.pop(event.offer_id)
    target.counters_for(event.contact_id, offer.queue_id, offer.channel).offers.declined += 1
    target.agent(event.agent_id).offers.declined += 1
    target.count_for_agent(event.agent_id, _OFFERS_DECLINED)


def _offer_expired(target: StatsTarget, event: OfferExpired, at_ms: int) -> None:
    offer = target.offers.pop(event.offer_id)
    target.counters_for(event.contact_id, offer.queue_id, offer.channel).offers.expired += 1
    target.agent(event.agent_id).offers.expired += 1
    target.count_for_agent(event.agent_id, _OFFERS_EXPIRED)


def _offer_rescinded(target: StatsTarget, event: OfferRescinded, at_ms: int) -> None:
    offer = target.offers.pop(event.offer_id)
    target.counters_for(event.contact_id, offer.queue_id, offer.channel).offers.rescinded += 1
    target.agent(event.agent_id).offers.rescinded += 1
    target.count_for_agent(event.agent_id, _OFFERS_RESCINDED)


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
    target.record_completed(event.assignment_id, done, event.disposition, at_ms)
    if done.phase is _PARKED:
        agent.parked -= 1
    else:
        update_agent(target, event.agent_id, at_ms, work=-1)


def _disposition_recorded(target: StatsTarget, event: DispositionRecorded, at_ms: int) -> None:
    target.record_disposition(event.assignment_id, event.disposition, at_ms)


def _goal_changed(target: StatsTarget, event: GoalChanged, at_ms: int) -> None:
    target.record_goal(event, at_ms)


def _agent_updated(target: StatsTarget, event: AgentUpdated, at_ms: int) -> None:
    target.agent(event.agent_id).team = event.team


def _agent_state_changed(target: StatsTarget, event: AgentStateChanged, at_ms: int) -> None:
    agent = target.agent(event.agent_id)
    target.record_state_time(event.agent_id, agent, at_ms)
    agent.state_since_ms, agent.reason = at_ms, event.reason
    update_agent(target, event.agent_id, at_ms, state=event.state)


def _agent_removed(target: StatsTarget, event: AgentRemoved, at_ms: int) -> None:
    target.remove_agent(event.agent_id, at_ms)


def _alert_raised(target: StatsTarget, event: AlertRaised, at_ms: int) -> None:
    target.record_alert(event.alert, is_raised=True)


def _alert_cleared(target: StatsTarget, event: AlertCleared, at_ms: int) -> None:
    target.record_alert(event.alert, is_raised=False)


def _policy_published(target: StatsTarget, event: PolicyPublished, at_ms: int) -> None:
    if event.drain_to:
        _move_drained(target, event.drain_to, at_ms)
    target.apply_policy(event.policy)


def _move_drained(target: StatsTarget, drain_to: dict[QueueId, QueueId], at_ms: int) -> None:
    """Move conversations and scheduled callbacks of removed queues, as the engine does; waiting contacts have own events."""
    for contact_id, contact in target.contacts.items():
        old_queue_id, state = contact.queue_id, contact.state
        queue_id = drain_to.get(old_queue_id)
        if queue_id is None or state not in (ASSIGNED, CALLBACK, SUSPENDED):
            continue
        contact.queue_id = queue_id
        if state != ASSIGNED:
            target.counters_for(contact_id, old_queue_id, contact.channel).flow.moved_out += 1
            flow = target.counters_for(contact_id, queue_id, contact.channel).flow
            flow.moved_in += 1
            flow.entered += 1
        target.move_contact(old_queue_id, state, None, at_ms)
        target.move_contact(queue_id, None, state, at_ms)
    for assignment in target.assignments.values():
        assignment.queue_id = drain_to.get(assignment.queue_id, assignment.queue_id)


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
    DispositionRecorded: _disposition_recorded,
    GoalChanged: _goal_changed,
    AgentUpdated: _agent_updated,
    AgentStateChanged: _agent_state_changed,
    AgentRemoved: _agent_removed,
    PolicyPublished: _policy_published,
    AlertRaised: _alert_raised,
    AlertCleared: _alert_cleared,
}
"""Handlers of all events that count, with those of the contact events."""
