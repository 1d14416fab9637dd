"""State transition tables of contacts, offers, assignments, agents and queues: the single truth about legal changes of state.

Each table maps (state before, event type) to the state after. A pair that is not in a table is illegal: the event handlers
look every transition up here and raise ``IllegalTransition`` where there is no entry, and the tests and
``docs/state-machines.md`` are derived from the same tables. ``None`` as the state before means that the object does not
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
    CallbackConnected,
    CallbackDue,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactHandedOver,
    ContactOverflowed,
    ContactQueued,
    ContactRelaxed,
    ContactRequeued,
    ContactStepEntered,
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

_Q, _O, _A = ContactState.QUEUED, ContactState.OFFERED, ContactState.ASSIGNED
_C = ContactState.CALLBACK_SCHEDULED

CONTACT: Final[Mapping[tuple[ContactState | None, type], ContactState]] = {
    (None, ContactQueued): _Q,
    (_Q, ContactUpdated): _Q,
    (_O, ContactUpdated): _O,
    (_A, ContactUpdated): _A,
    (_Q, ContactOverflowed): _Q,
    (_Q, ContactRelaxed): _Q,
    (
        _O,
        ContactRelaxed,
    ): _O,  # Broadcast: offered to some agents, and more may still be offered it.
    (_Q, ContactStepEntered): _Q,
    (
        _O,
        ContactStepEntered,
    ): _O,  # By a new policy; a step ends by time only while the contact waits.
    (_Q, ContactRequeued): _Q,  # Moved to another queue.
    (
        _O,
        ContactRequeued,
    ): _Q,  # The last pending offer ended unaccepted: back to the same position, age kept.
    (_A, ContactRequeued): _Q,  # Transfer, supervisor or lost desktop: the owner loses the contact.
    (_Q, OfferMade): _O,
    (_O, OfferMade): _O,  # Broadcast.
    (_A, OfferMade): _A,  # A transfer to an agent or a consult: the owner keeps the contact.
    (_O, OfferAccepted): _A,
    (_A, OfferAccepted): _A,  # A transfer, which replaces the owner in one event, or a consult.
    (_A, ParticipantAdded): _A,
    (_A, ParticipantJoined): _A,
    (_A, ParticipantLeft): _A,
    (_A, ContactHandedOver): _A,  # A participant becomes the owner.
    (_Q, ContactAssigned): _A,
    (_O, ContactAssigned): _A,
    (_A, ContactAssigned): _A,
    (_Q, ContactAbandoned): ContactState.ABANDONED,
    (_O, ContactAbandoned): ContactState.ABANDONED,
    (_Q, ContactCancelled): ContactState.CANCELLED,
    (_O, ContactCancelled): ContactState.CANCELLED,
    (_Q, ContactExpired): ContactState.EXPIRED,
    (_O, ContactExpired): ContactState.EXPIRED,
    (_A, ContactEnded): ContactState.ENDED,
    (_Q, CallbackRequested): _Q,  # The customer hangs up; the position is kept.
    (_O, CallbackRequested): _Q,  # Its offers have been rescinded before.
    (_Q, CallbackScheduled): _C,  # For an agreed time.
    (_Q, CallbackDue): _C,  # Customer first: the customer is called before an agent is assigned.
    (_A, CallbackDue): _A,  # Agent first: the owner waits for the call.
    (_C, CallbackConnected): _Q,  # Customer first: the customer waits at the old position.
    (_A, CallbackConnected): _A,
    (_C, CallbackFailed): _C,
    (_A, CallbackFailed): _C,  # The owner who waited for the call loses the contact.
    (_C, ContactRequeued): _Q,  # The agreed time has come, or a supervisor requeues it earlier.
    (_C, ContactUpdated): _C,
    (_C, ContactAssigned): _A,
    (_C, ContactCancelled): ContactState.CANCELLED,
    (_C, ContactExpired): ContactState.EXPIRED,
}

OFFER: Final[Mapping[tuple[OfferState | None, type], OfferState]] = {
    (None, OfferMade): OfferState.PENDING,
    (OfferState.PENDING, OfferAccepted): OfferState.ACCEPTED,
    (OfferState.PENDING, OfferDeclined): OfferState.DECLINED,
    (OfferState.PENDING, OfferExpired): OfferState.EXPIRED,
    (OfferState.PENDING, OfferRescinded): OfferState.RESCINDED,
}

_ACTIVE, _HELD, _WRAP = AssignmentState.ACTIVE, AssignmentState.ON_HOLD, AssignmentState.WRAP_UP
_PARKED = AssignmentState.PARKED

ASSIGNMENT: Final[Mapping[tuple[AssignmentState | None, type], AssignmentState]] = {
    (None, OfferAccepted): _ACTIVE,
    (None, ContactAssigned): _ACTIVE,
    (None, ParticipantAdded): _ACTIVE,
    (_ACTIVE, ParticipantJoined): _ACTIVE,
    (_ACTIVE, ParticipantLeft): _ACTIVE,  # Wrap-up or completion follows in the same transaction.
    (
        _ACTIVE,
        ContactHandedOver,
    ): _ACTIVE,  # Of the new owner; the assignment of the old owner is released separately.
    (_ACTIVE, AssignmentHeld): _HELD,
    (_HELD, AssignmentResumed): _ACTIVE,
    (_ACTIVE, AssignmentParked): _PARKED,
    (_HELD, AssignmentParked): _PARKED,
    (_PARKED, AssignmentUnparked): _ACTIVE,
    (_ACTIVE, WrapUpStarted): _WRAP,
    (_HELD, WrapUpStarted): _WRAP,
    (_PARKED, WrapUpStarted): _WRAP,
    (_WRAP, WrapUpExtended): _WRAP,
    (_ACTIVE, AssignmentCompleted): AssignmentState.COMPLETED,  # No wrap-up on this channel.
    (_HELD, AssignmentCompleted): AssignmentState.COMPLETED,
    (_PARKED, AssignmentCompleted): AssignmentState.COMPLETED,
    (_WRAP, AssignmentCompleted): AssignmentState.COMPLETED,
}

_KEEPING: Final = (
    AgentUpdated,
    AgentNextStateSet,
    AgentChannelsSet,
    DesktopConnected,
    DesktopLost,
)

AGENT: Final[Mapping[tuple[AgentState | None, type], AgentState]] = {
    (None, AgentUpdated): AgentState.OFFLINE,
    **{(state, event): state for state in AgentState for event in _KEEPING},
    **{(state, AgentRemoved): AgentState.OFFLINE for state in AgentState},
}

# READY to READY would change nothing. NOT_READY to NOT_READY changes the reason; OFFLINE to OFFLINE ends the grace period
# of a lost desktop whose agent went offline with open assignments.
AGENT_MOVES: Final[frozenset[tuple[AgentState, AgentState]]] = frozenset(
    (before, after)
    for before in AgentState
    for after in AgentState
    if not (before is AgentState.READY and after is AgentState.READY)
)


# A transition to the same state changes the time of the next opening or closing, or the reason.
QUEUE: Final[Mapping[tuple[QueueState | None, type], QueueState]] = {
    (QueueState.OPEN, QueueOpened): QueueState.OPEN,
    (QueueState.CLOSED, QueueOpened): QueueState.OPEN,
    (QueueState.OPEN, QueueClosed): QueueState.CLOSED,
    (QueueState.CLOSED, QueueClosed): QueueState.CLOSED,
}


def step(table: Mapping[tuple[S | None, type], S], state: S | None, event_type: type) -> S:
    """Return the state that follows; raise ``IllegalTransition`` if the table has no entry."""
    try:
        return table[state, event_type]
    except KeyError:
        raise IllegalTransition(f"no transition from {state} by {event_type.__name__}") from None


class Row(dict[S | None, S]):
    """Transitions of one event type: state before to state after.

    Built once from a table, so that a look-up on the hot path does not have to build a (state, event type) key.
    """

    def __init__(self, table: Mapping[tuple[S | None, type], S], event_type: type) -> None:
        super().__init__({b: after for (b, kind), after in table.items() if kind is event_type})
        self._name = event_type.__name__

    def __missing__(self, state: S | None) -> S:
        raise IllegalTransition(f"no transition from {state} by {self._name}")
