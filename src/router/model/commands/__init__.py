"""Commands: requests to the engine of one workspace.

A command is plain data without a time; the writer adds the time. The ``actor`` who sends it is stored with it in the
journal's record. The caller generates the ids of new objects and looks up everything that a decision needs before it sends
the command, because the engine makes no queries.
"""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.

from typing import Final, TypeAlias

from msgspec import Struct

from router.model.commands.alerts import AlertReading, AlertSubject, ReportAlerts
from router.model.commands.contact import (
    TIME_MAX_MS,
    AbandonContact,
    AddParticipant,
    AssignContact,
    CallbackFields,
    CancelConsult,
    CancelContact,
    CancelRequest,
    CancelTransfer,
    ChangeCustomerToken,
    ChooseOption,
    ClaimCallback,
    CommandStruct,
    CompleteConsult,
    EndContact,
    EnqueueContact,
    HandOverContact,
    JoinConsult,
    LeaveContact,
    MonitorContact,
    MoveCallback,
    ParkContact,
    ReportCallback,
    ReportChannel,
    ReportGoal,
    ReportGoalSteps,
    ReportMonitor,
    RequestCallback,
    RequestContact,
    RequeueContact,
    ResumeContact,
    SetCustomerPresence,
    StartConsult,
    StopMonitoring,
    SubmitOrResume,
    SuspendContact,
    SwitchChannel,
    TimeMs,
    TransferContact,
    UnparkContact,
    UpdateContact,
)
from router.model.commands.workspace import (
    AcceptOffer,
    CancelScheduledPolicy,
    ClearShadowPolicy,
    CompleteAssignment,
    ConnectDesktop,
    CreateWorkspace,
    DeclineOffer,
    ExtendWrapUp,
    HoldAssignment,
    LoseDesktop,
    ParkAssignment,
    PublishPolicy,
    PutAgent,
    RemoveAgent,
    RemoveWorkspace,
    ResumeAssignment,
    SchedulePolicy,
    SetAgentChannels,
    SetAgentState,
    SetQueueOpen,
    SetShadowPolicy,
    UnparkAssignment,
    UpdateAgent,
)
from router.model.filters import ObjectFilter, SupervisorScope

__all__ = (
    "AlertReading",
    "AlertSubject",
    "ReportAlerts",
    "CommandStruct",
    "TIME_MAX_MS",
    "TimeMs",
    "CallbackFields",
    "EnqueueContact",
    "RequestContact",
    "SubmitOrResume",
    "ChooseOption",
    "CancelRequest",
    "ChangeCustomerToken",
    "SetCustomerPresence",
    "UpdateContact",
    "CancelContact",
    "AbandonContact",
    "EndContact",
    "RequeueContact",
    "TransferContact",
    "CancelTransfer",
    "AssignContact",
    "RequestCallback",
    "MoveCallback",
    "ClaimCallback",
    "ReportCallback",
    "StartConsult",
    "CompleteConsult",
    "CancelConsult",
    "JoinConsult",
    "LeaveContact",
    "HandOverContact",
    "AddParticipant",
    "ParkContact",
    "UnparkContact",
    "SuspendContact",
    "ResumeContact",
    "SwitchChannel",
    "ReportChannel",
    "ReportGoal",
    "ReportGoalSteps",
    "MonitorContact",
    "StopMonitoring",
    "ReportMonitor",
    "AcceptOffer",
    "DeclineOffer",
    "HoldAssignment",
    "ResumeAssignment",
    "ParkAssignment",
    "UnparkAssignment",
    "ExtendWrapUp",
    "CompleteAssignment",
    "PutAgent",
    "UpdateAgent",
    "RemoveAgent",
    "SetAgentState",
    "SetAgentChannels",
    "ConnectDesktop",
    "LoseDesktop",
    "PublishPolicy",
    "CreateWorkspace",
    "RemoveWorkspace",
    "SchedulePolicy",
    "CancelScheduledPolicy",
    "SetShadowPolicy",
    "ClearShadowPolicy",
    "SetQueueOpen",
    "Precondition",
    "ANY_TAG",
    "GuardedCommand",
    "AdvanceTime",
    "PlainCommand",
    "Command",
)


class Precondition(Struct, frozen=True, kw_only=True, gc=False):
    """Entity tags on which a client makes a command conditional (RFC 9110, 13.1). ``ANY_TAG`` stands for any tag (``*``)."""

    if_match: tuple[str, ...] | None = None
    """Carry out only if the object's tag is one of these; none: whatever its tag is. Weak tags match nothing and are left out."""
    if_none_match: tuple[str, ...] | None = None
    """Carry out only if the object's tag is none of these; none: whatever its tag is."""
    is_required: bool = False
    """Refuse a command without tags if it would replace something."""


ANY_TAG: Final = "*"


class GuardedCommand(CommandStruct, frozen=True, kw_only=True, tag="guarded"):
    """Carry out a command once per idempotency key, and only if the object still has the entity tag that the client has seen.

    A repeated key with the same fingerprint returns the first answer, whatever has happened since; with another fingerprint it
    is refused with ``IDEMPOTENCY_KEY_REUSED``. A refused command does not use up its key.
    """

    command: "PlainCommand"
    client: str = ""
    """Client to which the key belongs, for its share of the stored keys."""
    dedupe_key: bytes | None = None
    fingerprint: bytes = b""
    earlier_hashes: tuple[tuple[bytes, bytes], ...] = ()
    """``dedupe_key`` and ``fingerprint`` of the same command as they were hashed with earlier secrets."""
    precondition: Precondition | None = None
    wanted: ObjectFilter | None = None
    """Carry out only if the object meets this filter; none: whatever it is. A repeated key is answered before."""
    scope: SupervisorScope | None = None
    """Scope of the supervisor who sends it, in which every object that the command names must be; none: unlimited."""


class AdvanceTime(CommandStruct, frozen=True, kw_only=True, tag="time.advance"):
    """Fire the timers that are due."""


PlainCommand: TypeAlias = (
    EnqueueContact
    | SubmitOrResume
    | RequestContact
    | ChooseOption
    | CancelRequest
    | ChangeCustomerToken
    | SetCustomerPresence
    | UpdateContact
    | CancelContact
    | AbandonContact
    | EndContact
    | RequeueContact
    | TransferContact
    | CancelTransfer
    | AssignContact
    | RequestCallback
    | MoveCallback
    | ClaimCallback
    | ReportCallback
    | StartConsult
    | CompleteConsult
    | CancelConsult
    | JoinConsult
    | LeaveContact
    | HandOverContact
    | AddParticipant
    | AcceptOffer
    | DeclineOffer
    | HoldAssignment
    | ResumeAssignment
    | ParkAssignment
    | UnparkAssignment
    | ParkContact
    | UnparkContact
    | SuspendContact
    | ResumeContact
    | SwitchChannel
    | ReportChannel
    | ReportGoal
    | ReportGoalSteps
    | MonitorContact
    | StopMonitoring
    | ReportMonitor
    | ExtendWrapUp
    | CompleteAssignment
    | PutAgent
    | UpdateAgent
    | RemoveAgent
    | SetAgentState
    | SetAgentChannels
    | ConnectDesktop
    | LoseDesktop
    | PublishPolicy
    | CreateWorkspace
    | RemoveWorkspace
    | SchedulePolicy
    | CancelScheduledPolicy
    | SetShadowPolicy
    | ClearShadowPolicy
    | SetQueueOpen
    | ReportAlerts
    | AdvanceTime
)
Command: TypeAlias = PlainCommand | GuardedCommand
