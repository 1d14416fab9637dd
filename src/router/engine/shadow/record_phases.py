"""Derive from a record's events in which phase of the live transaction each was emitted.

A transaction fires due timers, runs the matcher, executes the command, fires the timers that have become due, and runs the
matcher again; timers that a run of the matcher has made due fire after it, and another run follows. The journal's record is a flat
list of events without these boundaries, but the kind and the reason of an event, together with the event before it, tell the phase.
"""

from typing import Final

from router.engine.commands.rescind import has_open_work
from router.engine.routing_state import RoutingState
from router.model.events import (
    AgentStateChanged,
    AssignmentCompleted,
    AssignmentResumed,
    CallbackDialRequested,
    CallbackFailed,
    ContactEnded,
    ContactExpired,
    ContactHandedOver,
    ContactOverflowed,
    ContactPreferredAgentExpired,
    ContactRequeued,
    ContactResumeDue,
    ContactStepEntered,
    DayStarted,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
    ParticipantLeft,
    QueueClosed,
    QueueOpened,
    WrapUpStarted,
)
from router.model.states import AgentId, ContactId

# Caused by time alone, or always preceded by another event of the same transaction, so never the first event of a command.
_NEVER_STARTS_COMMAND: Final = (
    ContactExpired,
    ContactOverflowed,
    ContactPreferredAgentExpired,
    ContactResumeDue,
    ContactStepEntered,
    DayStarted,
    OfferExpired,
    WrapUpStarted,
)
_TIMER_STATE_REASONS: Final = frozenset({"rona", "rona_return", "desktop_lost"})
_COMMAND_REQUEUE_REASONS: Final = frozenset({"transferred", "supervisor", "drained", "owner_away", "resumed"})
_TIMER_LEAVE_REASONS: Final = frozenset({"lost_desktop"})
# Participants who leave because the owner does: the owner's desktop is lost, the parked contact ends, or it has been moved.
_OWNER_LEAVE_REASONS: Final = frozenset({"contact_moved", "owner_changed", "contact_ended"})
_FOLLOW_UP_RESCIND_REASONS: Final = frozenset({"agent_not_ready", "expired", "step"})
_OWNER_RESCIND_REASONS: Final = frozenset({"moved", "owner_ended"})


def is_matcher_event(event: Event, previous: Event | None) -> bool:
    """Return whether the matcher, or a timer that it has made due, may have emitted this event, between two offers."""
    match event:
        case OfferMade():
            return event.from_agent_id is None
        case CallbackDialRequested():
            return True
        case OfferAccepted():
            return isinstance(previous, OfferMade) and previous.offer_id == event.offer_id
        case OfferRescinded():
            by_accept = isinstance(previous, OfferAccepted | OfferRescinded | AgentStateChanged)
            return by_accept and event.reason == "taken"
        case AgentStateChanged():
            return isinstance(previous, OfferRescinded) and previous.agent_id == event.agent_id
        case ContactStepEntered():
            return event.reason == "absent"
        case ContactOverflowed() | ContactPreferredAgentExpired():
            return True
        case ContactExpired():
            return event.reason == "no_agents_ready"
        case ContactRequeued():
            return event.reason == "transfer_back"
        case _:
            return False


def starts_command(state: RoutingState, event: Event, previous: Event | None) -> bool:
    """Return whether this event is the first of the command, given that timers and the matcher emitted all events before it."""
    if isinstance(event, _NEVER_STARTS_COMMAND) or is_matcher_event(event, previous):
        return False
    match event:
        case QueueOpened() | QueueClosed():
            hours = state.hours.get(event.queue_id)
            look_at_ms = None if hours is None else hours.next_check_at_ms
            return look_at_ms is None or look_at_ms > state.at_ms
        case CallbackFailed():
            return event.outcome != "timeout"
        case ContactRequeued():
            return event.reason in _COMMAND_REQUEUE_REASONS
        case OfferRescinded():
            if event.reason == "callback":
                return not _callback_report_overdue(state, event.contact_id)
            if event.reason in _OWNER_RESCIND_REASONS:
                return not _owner_removed_by_timer(state, event.contact_id)
            return event.reason not in _FOLLOW_UP_RESCIND_REASONS
        case ParticipantLeft():
            if event.reason in _OWNER_LEAVE_REASONS:
                name = event.contact_id
                return not (_owner_removed_by_timer(state, name) or _callback_report_overdue(state, name))
            return event.reason not in _TIMER_LEAVE_REASONS
        case ContactHandedOver():
            return event.reason != "lost_desktop"
        case ContactEnded():
            return event.reason != "park_timeout"
        case AssignmentCompleted():
            return event.reason == "finished"
        case AssignmentResumed():
            ends = OfferDeclined | OfferExpired | OfferRescinded | ParticipantLeft
            return not (isinstance(previous, ends) and previous.contact_id == event.contact_id)
        case AgentStateChanged():
            return event.reason not in _TIMER_STATE_REASONS and not _is_scheduled_state(state, event)
        case _:
            return True


def _owner_removed_by_timer(state: RoutingState, contact_id: ContactId) -> bool:
    """Return whether the grace period of the owner's desktop, or the time of the owner's parked contact, has just ended."""
    work = state.assignments.get(state.contacts[contact_id].assignment_id or "")
    if work is None:
        return False
    is_up = work.parked_until_ms is not None and work.parked_until_ms <= state.at_ms
    return is_up or _desktop_lost_now(state, work.agent_id)


def _callback_report_overdue(state: RoutingState, contact_id: ContactId) -> bool:
    """Return whether the time limit for the report of a callback attempt has passed."""
    callback = state.contacts[contact_id].callback
    return callback is not None and callback.due_at_ms is not None and callback.due_at_ms <= state.at_ms


def _desktop_lost_now(state: RoutingState, agent_id: AgentId) -> bool:
    agent = state.agents[agent_id]
    return agent.reason == "desktop_lost" and agent.state_since_ms == state.at_ms


def _is_scheduled_state(state: RoutingState, event: AgentStateChanged) -> bool:
    """Return whether it is the state that the agent had requested for the time after the present work, which is done."""
    agent = state.agents[event.agent_id]
    waited = (agent.next_state, agent.next_reason) == (event.state, event.reason)
    return waited and not has_open_work(agent)
