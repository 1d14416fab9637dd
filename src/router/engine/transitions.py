"""State transition tables of contacts, offers, assignments, agents and queues: the single truth about legal changes of state.

Each table maps (state before, event type) to the state after. A pair that is not in a table is illegal: the event handlers
look every transition up here and raise ``IllegalTransition`` where there is no entry, and the tests and
``docs/reference/state-machines.md`` are derived from the same tables. ``None`` as the state before means that the object does not
exist yet. Hold and wrap-up are states of the assignment, not of the contact.

``AgentStateChanged`` names its target state itself and is therefore in no table; ``AGENT_STATE_CHANGES`` lists the pairs of
states that it may connect.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from router.model.errors import IllegalTransition
from router.model.events import (
    AgentChannelsSet,
    AgentNextStateSet,
    AgentRemoved,
    AgentUpdated,
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    CallbackClaimed,
    CallbackConnected,
    CallbackDialRequested,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactChannelFailed,
    ContactChannelRequested,
    ContactChannelSwitched,
    ContactChoosing,
    ContactEnded,
    ContactExpired,
    ContactGatewayChanged,
    ContactHandedOver,
    ContactOverflowed,
    ContactPreferredAgentExpired,
    ContactQueued,
    ContactRequeued,
    ContactResumed,
    ContactResumeDue,
    ContactStepEntered,
    ContactSuspended,
    ContactUpdated,
    DesktopConnected,
    DesktopLost,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
    ParticipantAdded,
    ParticipantJoined,
    ParticipantLeft,
    QueueClosed,
    QueueOpened,
    WrapUpExtended,
    WrapUpStarted,
)
from router.model.states import AgentState, AssignmentState, ContactState, OfferState, QueueState

S = TypeVar("S")

_QUEUED, _OFFERED, _ASSIGNED = ContactState.QUEUED, ContactState.OFFERED, ContactState.ASSIGNED
_SCHEDULED, _SUSPENDED = ContactState.CALLBACK_SCHEDULED, ContactState.SUSPENDED
_CHOOSING = ContactState.CHOOSING

CONTACT_TRANSITIONS: Final[Mapping[tuple[ContactState | None, type], ContactState]] = {
    (None, ContactQueued): _QUEUED,
    (None, ContactChoosing): _CHOOSING,  # The customer is shown options.
    (_CHOOSING, ContactUpdated): _CHOOSING,
    (_CHOOSING, ContactQueued): _QUEUED,  # An option was chosen, or the default one taken; the place is kept.
    (_CHOOSING, ContactCancelled): ContactState.CANCELLED,
    (_CHOOSING, ContactExpired): ContactState.EXPIRED,  # No option was left.
    (_QUEUED, ContactUpdated): _QUEUED,
    (_OFFERED, ContactUpdated): _OFFERED,
    (_ASSIGNED, ContactUpdated): _ASSIGNED,
    (_QUEUED, ContactOverflowed): _QUEUED,
    (_QUEUED, ContactPreferredAgentExpired): _QUEUED,
    (_OFFERED, ContactPreferredAgentExpired): _OFFERED,  # Broadcast: offered to some agents, and more may still be offered it.
    (_QUEUED, ContactStepEntered): _QUEUED,
    (_OFFERED, ContactStepEntered): _OFFERED,  # Broadcast: the plan goes on while more agents are sought. Or by a new policy.
    (_QUEUED, ContactRequeued): _QUEUED,  # Moved to another queue.
    (_OFFERED, ContactRequeued): _QUEUED,  # The last pending offer ended unaccepted: back to the same position, age kept.
    (_ASSIGNED, ContactRequeued): _QUEUED,  # Transfer, supervisor or lost desktop: the owner loses the contact.
    (_QUEUED, OfferMade): _OFFERED,
    (_OFFERED, OfferMade): _OFFERED,  # Broadcast.
    (_ASSIGNED, OfferMade): _ASSIGNED,  # A transfer to an agent or a consult: the owner keeps the contact.
    (_OFFERED, OfferAccepted): _ASSIGNED,
    (_ASSIGNED, OfferAccepted): _ASSIGNED,  # A transfer, which replaces the owner in one event, or a consult.
    (_ASSIGNED, ParticipantAdded): _ASSIGNED,
    (_ASSIGNED, ParticipantJoined): _ASSIGNED,
    (_ASSIGNED, ParticipantLeft): _ASSIGNED,
    (_ASSIGNED, ContactHandedOver): _ASSIGNED,  # A participant becomes the owner.
    (_QUEUED, ContactAssigned): _ASSIGNED,
    (_OFFERED, ContactAssigned): _ASSIGNED,
    (_ASSIGNED, ContactAssigned): _ASSIGNED,
    (_QUEUED, ContactAbandoned): ContactState.ABANDONED,
    (_OFFERED, ContactAbandoned): ContactState.ABANDONED,
    (_QUEUED, ContactCancelled): ContactState.CANCELLED,
    (_OFFERED, ContactCancelled): ContactState.CANCELLED,
    (_QUEUED, ContactExpired): ContactState.EXPIRED,
    (_OFFERED, ContactExpired): ContactState.EXPIRED,
    (_ASSIGNED, ContactEnded): ContactState.ENDED,
    (_QUEUED, CallbackRequested): _QUEUED,  # The customer hangs up; the position is kept.
    (_OFFERED, CallbackRequested): _QUEUED,  # Its offers have been rescinded before.
    (_QUEUED, CallbackScheduled): _SCHEDULED,  # For an agreed time.
    (_OFFERED, CallbackScheduled): _SCHEDULED,  # Moved to another time; its offers have been rescinded before.
    (_SCHEDULED, CallbackScheduled): _SCHEDULED,  # Moved from one time to another.
    (_SCHEDULED, CallbackClaimed): _SCHEDULED,  # One of several processes of the gateway makes the call.
    (_ASSIGNED, CallbackClaimed): _ASSIGNED,
    (_QUEUED, CallbackDialRequested): _SCHEDULED,  # Customer first: the customer is called before an agent is assigned.
    (_ASSIGNED, CallbackDialRequested): _ASSIGNED,  # Agent first: the owner waits for the call.
    (_SCHEDULED, CallbackConnected): _QUEUED,  # Customer first: the customer waits at the old position.
    (_ASSIGNED, CallbackConnected): _ASSIGNED,
    (_SCHEDULED, CallbackFailed): _SCHEDULED,
    (_ASSIGNED, CallbackFailed): _SCHEDULED,  # The owner who waited for the call loses the contact.
    (_SCHEDULED, ContactRequeued): _QUEUED,  # The agreed time has come, or a supervisor requeues it earlier.
    (_SCHEDULED, ContactUpdated): _SCHEDULED,
    (_SCHEDULED, ContactAssigned): _ASSIGNED,
    (_SCHEDULED, ContactCancelled): ContactState.CANCELLED,
    (_SCHEDULED, ContactExpired): ContactState.EXPIRED,
    (_QUEUED, ContactSuspended): _SUSPENDED,
    (_OFFERED, ContactSuspended): _SUSPENDED,  # Its offers have been rescinded before.
    (_ASSIGNED, ContactSuspended): _SUSPENDED,  # The owner loses the contact and goes on with the wrap-up.
    (_SCHEDULED, ContactSuspended): _SUSPENDED,  # The callback ends.
    (_SUSPENDED, ContactUpdated): _SUSPENDED,
    (_QUEUED, ContactChannelSwitched): _QUEUED,  # The customer waits on another channel now, at the same place.
    (_ASSIGNED, ContactChannelRequested): _ASSIGNED,
    (_ASSIGNED, ContactChannelSwitched): _ASSIGNED,
    (_ASSIGNED, ContactChannelFailed): _ASSIGNED,
    (_QUEUED, ContactGatewayChanged): _QUEUED,  # Another gateway serves the channel on which it continues.
    (_ASSIGNED, ContactGatewayChanged): _ASSIGNED,
    (_SUSPENDED, ContactResumeDue): _SUSPENDED,
    (_SUSPENDED, ContactResumed): _QUEUED,
    (_SUSPENDED, ContactCancelled): ContactState.CANCELLED,
    (_SUSPENDED, ContactExpired): ContactState.EXPIRED,
}

OFFER_TRANSITIONS: Final[Mapping[tuple[OfferState | None, type], OfferState]] = {
    (None, OfferMade): OfferState.PENDING,
    (OfferState.PENDING, OfferAccepted): OfferState.ACCEPTED,
    (OfferState.PENDING, OfferDeclined): OfferState.DECLINED,
    (OfferState.PENDING, OfferExpired): OfferState.EXPIRED,
    (OfferState.PENDING, OfferRescinded): OfferState.RESCINDED,
}

_ACTIVE, _HELD, _WRAP_UP = AssignmentState.ACTIVE, AssignmentState.ON_HOLD, AssignmentState.WRAP_UP
_PARKED = AssignmentState.PARKED

ASSIGNMENT_TRANSITIONS: Final[Mapping[tuple[AssignmentState | None, type], AssignmentState]] = {
    (None, OfferAccepted): _ACTIVE,
    (None, ContactAssigned): _ACTIVE,
    (None, ParticipantAdded): _ACTIVE,
    (_ACTIVE, ParticipantJoined): _ACTIVE,
    (_ACTIVE, ParticipantLeft): _ACTIVE,  # Wrap-up or completion follows in the same transaction.
    (_ACTIVE, ContactHandedOver): _ACTIVE,  # Of the new owner; the assignment of the old owner is released separately.
    (_ACTIVE, AssignmentHeld): _HELD,
    (_HELD, AssignmentResumed): _ACTIVE,
    (_ACTIVE, AssignmentParked): _PARKED,
    (_HELD, AssignmentParked): _PARKED,
    (_PARKED, AssignmentUnparked): _ACTIVE,
    (_ACTIVE, WrapUpStarted): _WRAP_UP,
    (_HELD, WrapUpStarted): _WRAP_UP,
    (_PARKED, WrapUpStarted): _WRAP_UP,
    (_WRAP_UP, WrapUpExtended): _WRAP_UP,
    (_ACTIVE, AssignmentCompleted): AssignmentState.COMPLETED,  # No wrap-up on this channel.
    (_HELD, AssignmentCompleted): AssignmentState.COMPLETED,
    (_PARKED, AssignmentCompleted): AssignmentState.COMPLETED,
    (_WRAP_UP, AssignmentCompleted): AssignmentState.COMPLETED,
}

_STATE_PRESERVING: Final = (AgentUpdated, AgentNextStateSet, AgentChannelsSet, DesktopConnected, DesktopLost)

AGENT_TRANSITIONS: Final[Mapping[tuple[AgentState | None, type], AgentState]] = {
    (None, AgentUpdated): AgentState.OFFLINE,
    **{(state, event): state for state in AgentState for event in _STATE_PRESERVING},
    **{(state, AgentRemoved): AgentState.OFFLINE for state in AgentState},
}

# READY to READY would change nothing. NOT_READY to NOT_READY changes the reason; OFFLINE to OFFLINE ends the grace period
# of a lost desktop whose agent went offline with open assignments.
AGENT_STATE_CHANGES: Final[frozenset[tuple[AgentState, AgentState]]] = frozenset(
    (before, after)
    for before in AgentState
    for after in AgentState
    if not (before is AgentState.READY and after is AgentState.READY)
)


# A transition to the same state changes the time of the next opening or closing, or the reason.
QUEUE_TRANSITIONS: Final[Mapping[tuple[QueueState | None, type], QueueState]] = {
    (QueueState.OPEN, QueueOpened): QueueState.OPEN,
    (QueueState.CLOSED, QueueOpened): QueueState.OPEN,
    (QueueState.OPEN, QueueClosed): QueueState.CLOSED,
    (QueueState.CLOSED, QueueClosed): QueueState.CLOSED,
}


def next_state(table: Mapping[tuple[S | None, type], S], state: S | None, event_type: type) -> S:
    """Return the state that follows; raise ``IllegalTransition`` if the table has no entry."""
    try:
        return table[state, event_type]
    except KeyError:
        raise IllegalTransition(f"no transition from {state} by {event_type.__name__}") from None


class EventTransitions(dict[S | None, S]):
    """Transitions of one event type: state before to state after.

    Built once from a table, so that a look-up on the hot path does not have to build a (state, event type) key.
    """

    def __init__(self, table: Mapping[tuple[S | None, type], S], event_type: type) -> None:
        super().__init__({b: after for (b, kind), after in table.items() if kind is event_type})
        self._name = event_type.__name__

    def __missing__(self, state: S | None) -> S:
        raise IllegalTransition(f"no transition from {state} by {self._name}")
