"""Events: the changes of a workspace's state.

Only events change the state of a workspace, and the journal stores nothing else. An event carries neither its position nor
its time; the record that contains it does (``seq`` of its first event, ``at_ms``).

The ``tag`` strings are permanent because journals contain them. Fields are only ever added, with a default, so that older
journals can be read and older versions can read newer journals.

Addressing: ``gateway_id`` of a contact's event names the gateway that is notified, ``agent_id`` the desktop. ``members``
maps all agents of the conversation after the event to their roles; it is present where the conversation has or had agents
besides its owner, and all of them are notified.

The classes are defined in modules by subject; import them from here.
"""

from typing import TypeAlias

from router.model.events.agent import (
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
    DispositionRecorded,
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
from router.model.events.alerts import AlertCleared, AlertRaised
from router.model.events.channel import ContactChannelFailed, ContactChannelRequested, ContactChannelSwitched, ContactGatewayChanged
from router.model.events.contact import (
    CallbackClaimed,
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
    ContactOption,
    ContactOverflowed,
    ContactPreferredAgentExpired,
    ContactQueued,
    ContactRequeued,
    ContactResumed,
    ContactResumeDue,
    ContactStepEntered,
    ContactSuspended,
    ContactUpdated,
    CustomerPresenceChanged,
    CustomerTokenChanged,
    OriginalRequest,
    TimeWindow,
)
from router.model.events.goal import ContactGoal, GoalChanged
from router.model.events.monitoring import (
    ContactMonitorFailed,
    ContactMonitorJoined,
    ContactMonitorLeft,
    ContactMonitorRenewed,
    ContactMonitorRequested,
)
from router.model.events.workspace import (
    DayStarted,
    IdempotencyKeyRecorded,
    PolicyPublished,
    PolicyScheduleCancelled,
    PolicyScheduled,
    PolicyScheduleRefused,
    QueueClosed,
    QueueOpened,
    ShadowPolicyCleared,
    ShadowPolicySet,
    WorkspaceCreated,
    WorkspaceRemoved,
)

__all__ = (
    "Event",
    "OriginalRequest",
    "TimeWindow",
    "ContactOption",
    "ContactChoosing",
    "CustomerTokenChanged",
    "CustomerPresenceChanged",
    "ContactQueued",
    "ContactUpdated",
    "ContactRequeued",
    "ContactSuspended",
    "ContactResumed",
    "ContactResumeDue",
    "ContactChannelFailed",
    "ContactChannelRequested",
    "ContactChannelSwitched",
    "ContactGatewayChanged",
    "ContactMonitorRequested",
    "ContactMonitorJoined",
    "ContactMonitorFailed",
    "ContactMonitorRenewed",
    "ContactMonitorLeft",
    "ContactOverflowed",
    "ContactPreferredAgentExpired",
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
    "DispositionRecorded",
    "ContactGoal",
    "GoalChanged",
    "CallbackRequested",
    "CallbackScheduled",
    "CallbackDialRequested",
    "CallbackClaimed",
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
    "WorkspaceCreated",
    "WorkspaceRemoved",
    "PolicyScheduled",
    "PolicyScheduleCancelled",
    "PolicyScheduleRefused",
    "DayStarted",
    "ShadowPolicySet",
    "ShadowPolicyCleared",
    "IdempotencyKeyRecorded",
    "AlertRaised",
    "AlertCleared",
)

Event: TypeAlias = (
    ContactQueued
    | ContactChoosing
    | CustomerTokenChanged
    | CustomerPresenceChanged
    | ContactUpdated
    | ContactRequeued
    | ContactSuspended
    | ContactResumed
    | ContactResumeDue
    | ContactChannelFailed
    | ContactChannelRequested
    | ContactChannelSwitched
    | ContactGatewayChanged
    | ContactMonitorRequested
    | ContactMonitorJoined
    | ContactMonitorFailed
    | ContactMonitorRenewed
    | ContactMonitorLeft
    | ContactOverflowed
    | ContactPreferredAgentExpired
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
    | DispositionRecorded
    | CallbackRequested
    | CallbackScheduled
    | CallbackDialRequested
    | CallbackClaimed
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
    | WorkspaceCreated
    | WorkspaceRemoved
    | PolicyScheduled
    | PolicyScheduleCancelled
    | PolicyScheduleRefused
    | DayStarted
    | ShadowPolicySet
    | ShadowPolicyCleared
    | IdempotencyKeyRecorded
    | AlertRaised
    | AlertCleared
    | GoalChanged
)
