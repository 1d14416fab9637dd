"""Derive from a record's events in which phase of the live transaction each was emitted.

A transaction fires due timers, runs the matcher, executes the command, fires the timers that have become due, and runs the
matcher again. The journal's record is a flat list of events without these boundaries, but the kind and the reason of an event,
together with the event before it, tell the phase.
"""

from typing import Final

from router.core.decide.next_state import has_work
from router.core.state import RoutingState
from router.model.events import (
    AgentStateChanged,
    AssignmentCompleted,
    AssignmentResumed,
    CallbackDue,
    CallbackFailed,
    ContactEnded,
    ContactExpired,
    ContactHandedOver,
    ContactOverflowed,
    ContactRelaxed,
    ContactRequeued,
    ContactStepEntered,
    DayBegan,
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
from router.model.ids import AgentId, ContactId

# Caused by time alone, or always preceded by another event of the same transaction, so never the first event of a command.
_NEVER_FIRST: Final = (
    ContactExpired,
    ContactOverflowed,
    ContactRelaxed,
    ContactStepEntered,
    DayBegan,
    OfferExpired,
    WrapUpStarted,
)
_REASONS_OF_TIME: Final = frozenset({"rona", "rona_return", "desktop_lost"})
_REQUEUED_FIRST: Final = frozenset({"transferred", "supervisor", "drained", "owner_away"})
_LEFT_BY_TIME: Final = frozenset({"lost_desktop"})
# Participants who leave because the owner does: the owner's desktop is lost, the parked contact ends, or it has been moved.
_LEFT_WITH_OWNER: Final = frozenset({"contact_moved", "owner_changed", "contact_ended"})
_RESCINDED_LATER: Final = frozenset({"agent_not_ready", "expired"})
_RESCINDED_WITH_OWNER: Final = frozenset({"moved", "owner_ended"})


def is_of_settling(event: Event, previous: Event | None) -> bool:
    """Return whether the matcher may have emitted this event, in going from one offer to the next."""
    match event:
        case OfferMade():
            return event.from_agent_id is None
        case CallbackDue():
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
        case ContactOverflowed():
            return True
        case _:
            return False


def begins_command(state: RoutingState, event: Event, previous: Event | None) -> bool:
    """Return whether this event is the first of the command, given that timers and the matcher emitted all events before it."""
    if isinstance(event, _NEVER_FIRST) or is_of_settling(event, previous):
        return False
    match event:
        case QueueOpened() | QueueClosed():
            hours = state.hours.get(event.queue_id)
            look_at_ms = None if hours is None else hours.look_at_ms
            return look_at_ms is None or look_at_ms > state.at_ms
        case CallbackFailed():
            return event.outcome != "timeout"
        case ContactRequeued():
            return event.reason in _REQUEUED_FIRST
        case OfferRescinded():
            if event.reason == "callback":
                return not _rings_too_long(state, event.contact_id)
            if event.reason in _RESCINDED_WITH_OWNER:
                return not _owner_goes_by_time(state, event.contact_id)
            return event.reason not in _RESCINDED_LATER
        case ParticipantLeft():
            if event.reason in _LEFT_WITH_OWNER:
                name = event.contact_id
                return not (_owner_goes_by_time(state, name) or _rings_too_long(state, name))
            return event.reason not in _LEFT_BY_TIME
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
            return event.reason not in _REASONS_OF_TIME and not _was_next(state, event)
        case _:
            return True


def _owner_goes_by_time(state: RoutingState, contact_id: ContactId) -> bool:
    """Return whether the owner's desktop is given up at this moment, or the time of the owner's parked contact is over."""
    work = state.assignments.get(state.contacts[contact_id].assignment_id or "")
    if work is None:
        return False
    is_up = work.parked_until_ms is not None and work.parked_until_ms <= state.at_ms
    return is_up or _is_given_up(state, work.agent_id)


def _rings_too_long(state: RoutingState, contact_id: ContactId) -> bool:
    """Return whether the time limit for the report of a callback attempt has passed."""
    callback = state.contacts[contact_id].callback
    return (
        callback is not None
        and callback.due_at_ms is not None
        and callback.due_at_ms <= state.at_ms
    )


def _is_given_up(state: RoutingState, agent_id: AgentId) -> bool:
    agent = state.agents[agent_id]
    return agent.reason == "desktop_lost" and agent.state_since_ms == state.at_ms


def _was_next(state: RoutingState, event: AgentStateChanged) -> bool:
    """Return whether it is the state that the agent had requested for the time after the present work, which is done."""
    agent = state.agents[event.agent_id]
    waited = (agent.next_state, agent.next_reason) == (event.state, event.reason)
    return waited and not has_work(agent)
