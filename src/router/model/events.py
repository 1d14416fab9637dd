"""What has happened. Events are the only thing that changes a workspace's state, and the only thing the journal keeps.

An event does not carry its own position or time: the record that holds it does (``seq`` of its first event, ``at_ms``).
The ``tag`` strings are for ever: they stand in journals. Fields are only ever added, with a default.
``gateway_id`` on contact events says which gateway hears of them; ``agent_id``, which desktop. ``members`` is everybody in the
conversation once the event has happened, by agent, where anybody is or was in it beside its owner: they hear of it, too.

The classes stand in ``contact_events``, ``agent_events`` and ``workspace_events``; whoever uses them imports them from here.
"""

from typing import TypeAlias

from router.model.agent_events import (
    AgentChannelsSet,
    AgentNextStateSet,
    AgentRemoved,
    AgentStateChanged,
    AgentUpdated,
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    ContactHandedOver,
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
    WrapUpExtended,
    WrapUpStarted,
)
from router.model.contact_events import (
    AskedFor,
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
    ContactOverflowed,
    ContactQueued,
    ContactRelaxed,
    ContactRequeued,
    ContactStepEntered,
    ContactUpdated,
)
from router.model.workspace_events import (
    DayBegan,
    PolicyPublished,
    QueueClosed,
    QueueOpened,
    ShadowPolicyCleared,
    ShadowPolicySet,
)

__all__ = (
    "Event",
    "AskedFor",
    "ContactQueued",
    "ContactUpdated",
    "ContactRequeued",
    "ContactOverflowed",
    "ContactRelaxed",
    "ContactStepEntered",
    "ContactAssigned",
    "ContactAbandoned",
    "ContactCancelled",
    "ContactExpired",
    "ContactEnded",
    "OfferMade",
    "OfferAccepted",
    "OfferDeclined",
    "OfferExpired",
    "OfferRescinded",
    "ParticipantAdded",
    "ParticipantJoined",
    "ParticipantLeft",
    "ContactHandedOver",
    "AssignmentHeld",
    "AssignmentResumed",
    "AssignmentParked",
    "AssignmentUnparked",
    "WrapUpStarted",
    "WrapUpExtended",
    "AssignmentCompleted",
    "CallbackRequested",
    "CallbackScheduled",
    "CallbackDue",
    "CallbackConnected",
    "CallbackFailed",
    "AgentUpdated",
    "AgentRemoved",
    "AgentStateChanged",
    "AgentNextStateSet",
    "AgentChannelsSet",
    "DesktopConnected",
    "DesktopLost",
    "QueueOpened",
    "QueueClosed",
    "PolicyPublished",
    "DayBegan",
    "ShadowPolicySet",
    "ShadowPolicyCleared",
)

Event: TypeAlias = (
    ContactQueued
    | ContactUpdated
    | ContactRequeued
    | ContactOverflowed
    | ContactRelaxed
    | ContactStepEntered
    | ContactAssigned
    | ContactAbandoned
    | ContactCancelled
    | ContactExpired
    | ContactEnded
    | OfferMade
    | OfferAccepted
    | OfferDeclined
    | OfferExpired
    | OfferRescinded
    | ParticipantAdded
    | ParticipantJoined
    | ParticipantLeft
    | ContactHandedOver
    | AssignmentHeld
    | AssignmentResumed
    | AssignmentParked
    | AssignmentUnparked
    | WrapUpStarted
    | WrapUpExtended
    | AssignmentCompleted
    | CallbackRequested
    | CallbackScheduled
    | CallbackDue
    | CallbackConnected
    | CallbackFailed
    | AgentUpdated
    | AgentRemoved
    | AgentStateChanged
    | AgentNextStateSet
    | AgentChannelsSet
    | DesktopConnected
    | DesktopLost
    | QueueOpened
    | QueueClosed
    | PolicyPublished
    | DayBegan
    | ShadowPolicySet
    | ShadowPolicyCleared
)
