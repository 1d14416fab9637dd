"""The four tables. Every change of state is a row here; what is not a row cannot happen.

``None`` as a state means: the thing does not exist yet. The agent's ``AgentStateChanged`` names its target itself; which moves
are allowed stands in ``AGENT_MOVES``. Hold and wrap-up belong to the assignment, not to the contact.
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
    (_O, ContactRelaxed): _O,  # Broadcast: offered to some, still looking for more.
    (_Q, ContactStepEntered): _Q,
    (_O, ContactStepEntered): _O,  # A new policy; time moves a contact on only while it waits.
    (_Q, ContactRequeued): _Q,  # Moved to another queue.
    (
        _O,
        ContactRequeued,
    ): _Q,  # The last live offer ended unaccepted: back to the old place, age kept.
    (_A, ContactRequeued): _Q,  # Transfer, supervisor or lost desktop: the owner loses it here.
    (_Q, OfferMade): _O,
    (_O, OfferMade): _O,  # Broadcast.
    (_A, OfferMade): _A,  # A transfer to an agent or a consult: the owner keeps it.
    (_O, OfferAccepted): _A,
    (_A, OfferAccepted): _A,  # The transfer: old owner out, new owner in, one event. Or a consult.
    (_A, ParticipantAdded): _A,
    (_A, ParticipantJoined): _A,
    (_A, ParticipantLeft): _A,
    (_A, ContactHandedOver): _A,  # One who was in it already owns it from this event on.
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
    (_Q, CallbackRequested): _Q,  # The customer hangs up; the place is kept.
    (_O, CallbackRequested): _Q,  # Its offers have been rescinded.
    (_Q, CallbackScheduled): _C,  # For an agreed time.
    (_Q, CallbackDue): _C,  # Customer first: he is called before an agent has it.
    (_A, CallbackDue): _A,  # Agent first.
    (_C, CallbackConnected): _Q,  # Customer first: he is there, and waits at his old place.
    (_A, CallbackConnected): _A,
    (_C, CallbackFailed): _C,
    (_A, CallbackFailed): _C,  # The agent who waited for it loses it here.
    (_C, ContactRequeued): _Q,  # Its time has come, or a supervisor does not wait for it.
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
    (_ACTIVE, ParticipantLeft): _ACTIVE,  # Wrap-up or completion follows in the same step.
    (
        _ACTIVE,
        ContactHandedOver,
    ): _ACTIVE,  # The new owner's; the old one's is released like any other.
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

# READY to READY would be an event that says nothing. NOT_READY may change its reason; OFFLINE to OFFLINE ends
# the grace period of a desktop whose agent had gone offline with work in hand.
AGENT_MOVES: Final[frozenset[tuple[AgentState, AgentState]]] = frozenset(
    (before, after)
    for before in AgentState
    for after in AgentState
    if not (before is AgentState.READY and after is AgentState.READY)
)


# To itself: until when it is so has changed, or why.
QUEUE: Final[Mapping[tuple[QueueState | None, type], QueueState]] = {
    (QueueState.OPEN, QueueOpened): QueueState.OPEN,
    (QueueState.CLOSED, QueueOpened): QueueState.OPEN,
    (QueueState.OPEN, QueueClosed): QueueState.CLOSED,
    (QueueState.CLOSED, QueueClosed): QueueState.CLOSED,
}


def step(table: Mapping[tuple[S | None, type], S], state: S | None, event_type: type) -> S:
    """The state that follows. Raises IllegalTransition where there is no row."""
    try:
        return table[state, event_type]
    except KeyError:
        raise IllegalTransition(f"{state} has no row for {event_type.__name__}") from None


class Row(dict[S | None, S]):
    """One event's column of a table: state before to state after, without building a key on the hot path."""

    def __init__(self, table: Mapping[tuple[S | None, type], S], event_type: type) -> None:
        super().__init__({b: after for (b, kind), after in table.items() if kind is event_type})
        self._name = event_type.__name__

    def __missing__(self, state: S | None) -> S:
        raise IllegalTransition(f"{state} has no row for {self._name}")
