"""Client frames: the commands, queries and session frames that a client sends.

A frame that changes something is a command and an id: its class names the command and declares those of the command's fields
that a client may set, with the ranges that the server accepts. ``CommandFrame.to_command`` fills in the rest: the agent or
gateway of the credential, so that a client can act only as itself, and fields with a fixed value.
"""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from router.model import commands as c
from router.model.commands import TimeMs
from router.model.policy import AttributesPatch, CallbackMode, PriorityClass, PrioritySeconds, Skills, SkillsPatch, SuspensionEnd
from router.model.states import (
    AgentState,
    CallbackOutcome,
    ChannelOutcome,
    Code,
    Ident,
    IfUnable,
    MonitorMode,
    MonitorOutcome,
    Name,
    SubjectId,
)
from router.protocol.frames.command_frame import AssignmentFrame, ClientFrame, CommandFrame, ContactFrame, OfferFrame, TargetFrame
from router.protocol.frames.fields import (
    ContactFields,
    FrameId,
    IdempotencyKey,
    PausedChannels,
    PreferredAgents,
    ResumeFrom,
    Token,
    WaitSeconds,
)
from router.protocol.frames.goals import ReportGoalFrame
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period


class HelloFrame(ClientFrame, frozen=True, kw_only=True, tag="hello"):
    """Open a session: credential (unless the upgrade request had an Authorization header) and position to resume from."""

    token: Token | None = None
    """Token (JWT); omitted: the upgrade request had it, or a ticket is sent."""
    ticket: Token | None = None
    """Single-use ticket from ``POST /v1/ws-ticket``, for browsers."""
    resume: ResumeFrom | None = None
    """``history_id:seq`` of the last frame received: the events after it follow, or a ``welcome`` with the full state. Omitted:
    a ``welcome``."""


class RefreshFrame(ClientFrame, frozen=True, kw_only=True, tag="refresh"):
    """Replace the token before it expires, by one with the same subject, role and workspace."""

    id: FrameId
    token: Token
    """The new token."""


class PingFrame(ClientFrame, frozen=True, kw_only=True, tag="ping"):
    """Request a ``pong`` (application heartbeat)."""

    id: FrameId


class SetStateFrame(CommandFrame, frozen=True, kw_only=True, tag="set_state"):
    """Desktop: set the agent's state."""

    command = c.SetAgentState
    state: AgentState
    """New state."""
    reason: Code | None = None
    """Reason, one of the policy's ``not_ready_reasons`` if it lists any; omitted: none."""
    after_work: bool = False
    """True: the change takes effect when the agent has no open offers or assignments; until then it is the agent's
    ``next_state``. False: it takes effect now. It does not mean wrap-up (after-contact work)."""


class AcceptFrame(OfferFrame, frozen=True, kw_only=True, tag="accept"):
    """Desktop: accept an offer."""

    command = c.AcceptOffer


class DeclineFrame(OfferFrame, frozen=True, kw_only=True, tag="decline"):
    """Desktop: decline an offer."""

    command = c.DeclineOffer
    reason: Code = "declined"
    """Reason, an id chosen by the client."""


class HoldFrame(AssignmentFrame, frozen=True, kw_only=True, tag="hold"):
    """Desktop: put the customer on hold."""

    command = c.HoldAssignment


class UnholdFrame(AssignmentFrame, frozen=True, kw_only=True, tag="unhold"):
    """Desktop: take the customer off hold."""

    command = c.ResumeAssignment


class ParkFrame(AssignmentFrame, frozen=True, kw_only=True, tag="park"):
    """Desktop: park a conversation until the customer replies; it uses no capacity meanwhile."""

    command = c.ParkAssignment


class UnparkFrame(AssignmentFrame, frozen=True, kw_only=True, tag="unpark"):
    """Desktop: unpark a conversation."""

    command = c.UnparkAssignment


class ParkContactFrame(ContactFrame, frozen=True, kw_only=True, tag="park_contact"):
    """Gateway, supervisor: park a contact until the customer replies."""

    command = c.ParkContact


class UnparkContactFrame(ContactFrame, frozen=True, kw_only=True, tag="unpark_contact"):
    """Gateway, supervisor: report that the customer has written again. No effect on a contact that is not parked."""

    command = c.UnparkContact


class SuspendFrame(ContactFrame, frozen=True, kw_only=True, tag="suspend"):
    """Desktop, gateway, supervisor: suspend a contact until it is resumed; its agent is released."""

    command = c.SuspendContact
    resume_by_ms: TimeMs | None = None
    at_expiry: SuspensionEnd | None = None


class ResumeContactFrame(ContactFrame, frozen=True, kw_only=True, tag="resume_contact"):
    """Gateway, supervisor: put a suspended contact into its queue again, on the channel on which the customer is now."""

    command = c.ResumeContact
    channel: Name | None = None
    """Channel on which the customer is now; omitted: the contact's own."""
    reference: Ident | None = None


class SwitchChannelFrame(ContactFrame, frozen=True, kw_only=True, tag="switch_channel"):
    """Desktop, gateway, supervisor: continue a contact on another channel; to the present one: give up a switch in progress."""

    command = c.SwitchChannel
    channel: Name
    reference: Ident | None = None
    if_unable: IfUnable = IfUnable.REFUSE


class ChannelResultFrame(ContactFrame, frozen=True, kw_only=True, tag="channel_result"):
    """Gateway, supervisor: report the outcome of the switch requested by ``contact.channel_requested``."""

    command = c.ReportChannel
    outcome: ChannelOutcome
    """Whether the customer is connected on the new channel."""


class MonitorFrame(ContactFrame, frozen=True, kw_only=True, tag="monitor"):
    """Supervisor: join a conversation, or change the mode; with the present mode, stay for longer with a newer token."""

    command = c.MonitorContact
    mode: MonitorMode
    """``listen``, ``whisper`` (heard by the agent only) or ``barge`` (in the conversation)."""


class StopMonitoringFrame(ContactFrame, frozen=True, kw_only=True, tag="stop_monitoring"):
    """Supervisor: leave a conversation, or remove another supervisor from it."""

    command = c.StopMonitoring
    supervisor_id: SubjectId | None = None
    """Supervisor to remove; omitted: oneself."""

    def to_command(
        self,
        *,
        agent_id: str | None = None,
        gateway_id: str | None = None,
        contact_id: str | None = None,
        supervisor_id: str | None = None,
    ) -> c.Command:
        """Return the command; it tells whether the supervisor leaves or is removed."""
        return c.StopMonitoring.by(supervisor_id or "", self.contact_id, self.supervisor_id)


class MonitorResultFrame(ContactFrame, frozen=True, kw_only=True, tag="monitor_result"):
    """Gateway, supervisor: report the outcome of ``contact.monitor_requested``, or that a supervisor is connected no more."""

    command = c.ReportMonitor
    supervisor_id: SubjectId
    mode: MonitorMode
    """Mode of the request that is answered; any for ``left``."""
    outcome: MonitorOutcome
    """Whether the supervisor is connected in that mode, or is connected no more."""


class SetChannelsFrame(CommandFrame, frozen=True, kw_only=True, tag="set_channels"):
    """Desktop: set the channels on which the agent is paused."""

    command = c.SetAgentChannels
    paused: PausedChannels


class EndFrame(ContactFrame, frozen=True, kw_only=True, tag="end"):
    """Desktop, gateway, supervisor: end the conversation."""

    command = c.EndContact
    reason: Code = "ended"
    """Reason, an id chosen by the client."""


class ExtendWrapUpFrame(AssignmentFrame, frozen=True, kw_only=True, tag="extend_wrap_up"):
    """Desktop: extend the wrap-up."""

    command = c.ExtendWrapUp
    extend_s: Annotated[int, Meta(ge=1, le=3600)]
    """Seconds to be added."""


class CompleteFrame(AssignmentFrame, frozen=True, kw_only=True, tag="complete"):
    """Desktop: complete the assignment with a disposition; ends the conversation first if necessary."""

    command = c.CompleteAssignment
    disposition: Code | None = None
    """Disposition code, one of the policy's ``dispositions`` if it lists any; omitted: none."""


class TransferFrame(TargetFrame, frozen=True, kw_only=True, tag="transfer"):
    """Desktop: transfer the contact to a queue or to an agent; exactly one of the two."""

    command = c.TransferContact
    wait_s: WaitSeconds | None = None
    """How long the contact is reserved for the target agent, if the agent cannot take it now; seconds. Omitted: such a transfer
    is refused."""
    return_to_sender_s: WaitSeconds | None = None
    """How long it is then reserved for the transferring agent, before it is open to all qualified agents; seconds. Omitted: no
    such reservation."""


class CancelTransferFrame(ContactFrame, frozen=True, kw_only=True, tag="transfer_cancel"):
    """Desktop: withdraw a transfer that the other agent has not answered yet."""

    command = c.CancelTransfer


class ConsultFrame(TargetFrame, frozen=True, kw_only=True, tag="consult"):
    """Desktop: consult an agent, or an agent of a queue; exactly one of the two."""

    command = c.StartConsult


class CompleteConsultFrame(ContactFrame, frozen=True, kw_only=True, tag="consult_complete"):
    """Desktop: pass the contact to the consulted agent (warm transfer)."""

    command = c.CompleteConsult


class CancelConsultFrame(ContactFrame, frozen=True, kw_only=True, tag="consult_cancel"):
    """Desktop: cancel or end the consult."""

    command = c.CancelConsult


class ConferenceFrame(ContactFrame, frozen=True, kw_only=True, tag="conference"):
    """Desktop: connect the consulted agent to the customer."""

    command = c.JoinConsult


class LeaveFrame(ContactFrame, frozen=True, kw_only=True, tag="leave"):
    """Desktop: leave a conversation that another agent owns."""

    command = c.LeaveContact
    fixed = {"reason": "left"}


class HandOverFrame(ContactFrame, frozen=True, kw_only=True, tag="hand_over"):
    """Desktop: leave a conference and make a participant its owner."""

    command = c.HandOverContact
    to_agent_id: SubjectId
    """Participant who becomes the owner."""


class SubmitFrame(ClientFrame, frozen=True, kw_only=True, tag="submit"):
    """Gateway: submit a contact."""

    id: FrameId
    contact: ContactFields
    """The contact."""
    idempotency_key: IdempotencyKey | None = None
    """A repeated submit with the same key returns the first result; omitted: every submit is a new contact."""


class UpdateFrame(ContactFrame, frozen=True, kw_only=True, tag="update"):
    """Gateway, supervisor: change a live contact, as a merge patch: omitted fields are unchanged, null removes."""

    command = c.UpdateContact
    priority_s: PrioritySeconds | UnsetType | None = UNSET
    """New priority in seconds; null: 0. Omitted: unchanged."""
    priority_class: PriorityClass | UnsetType | None = UNSET
    """New priority class; null: 0. Omitted: unchanged."""
    skills: SkillsPatch | UnsetType | None = UNSET
    """Skills required by the contact itself: those named are set or, with null, removed; others are unchanged. Null: none."""
    attributes: AttributesPatch | UnsetType | None = UNSET
    """Attributes: those named are set or, with null, removed; others are unchanged. Null: none."""
    preferred_agents: PreferredAgents | UnsetType | None = UNSET
    """New preferred agents, most preferred first; null: none. Omitted: unchanged."""


class CancelFrame(ContactFrame, frozen=True, kw_only=True, tag="cancel"):
    """Gateway, supervisor: cancel a contact that is not assigned yet."""

    command = c.CancelContact
    reason: Code = "cancelled"
    """Reason, an id chosen by the client."""


class AbandonFrame(ContactFrame, frozen=True, kw_only=True, tag="abandon"):
    """Gateway: report that the customer has left."""

    command = c.AbandonContact


class CallbackFrame(ContactFrame, frozen=True, kw_only=True, tag="callback"):
    """Gateway, supervisor: turn a waiting contact into a callback, now or at an agreed time."""

    command = c.RequestCallback
    mode: CallbackMode | None = None
    """Order of assigning an agent and dialling; omitted: as in the policy."""
    channel: Name | None = None
    """Channel of the callback; omitted: as in the policy."""
    at_ms: TimeMs | None = None
    """Earliest time of the call, epoch milliseconds; omitted: when the contact reaches the head of its queue."""
    until_ms: TimeMs | None = None
    """End of the time window, epoch milliseconds: the callback expires then. Omitted: as in the policy."""

    def to_command(
        self,
        *,
        agent_id: str | None = None,
        gateway_id: str | None = None,
        contact_id: str | None = None,
        supervisor_id: str | None = None,
    ) -> c.Command:
        """Return the command, with the terms of the callback as a struct of their own."""
        terms = c.CallbackFields(mode=self.mode, channel=self.channel, at_ms=self.at_ms, until_ms=self.until_ms)
        return c.RequestCallback(contact_id=self.contact_id, gateway_id=gateway_id, callback=terms)


class MoveCallbackFrame(ContactFrame, frozen=True, kw_only=True, tag="callback_move"):
    """Gateway, supervisor: move a callback to another time, or make it due now."""

    command = c.MoveCallback
    at_ms: TimeMs | None = None
    """New earliest time of the call, epoch milliseconds; omitted: the callback is due now."""
    until_ms: TimeMs | None = None
    """New end of the time window, with ``at_ms`` only; omitted: ``expires_after_s`` of the policy counts from ``at_ms``."""


class ClaimCallbackFrame(ContactFrame, frozen=True, kw_only=True, tag="callback_claim"):
    """Gateway, supervisor: claim the call requested by ``callback.dial_requested``, so that only one process dials."""

    command = c.ClaimCallback
    claimant: Code
    """Name of the process that will dial, for example that of its pod."""
    lease_s: Annotated[int, Meta(ge=1, le=3_600)] | None = None
    """Seconds after which another process may claim the call; omitted: until the deadline of the attempt."""
    attempt: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """Number of the attempt from ``callback.dial_requested``; omitted: the current one."""


class CallbackResultFrame(ContactFrame, frozen=True, kw_only=True, tag="callback_result"):
    """Gateway, supervisor: report the outcome of a call requested by ``callback.dial_requested``."""

    command = c.ReportCallback
    outcome: CallbackOutcome
    """Outcome of the attempt."""
    attempt: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """Number of the attempt from ``callback.dial_requested``; omitted: the current one."""


class ExpectedWaitFrame(ClientFrame, frozen=True, kw_only=True, tag="expected_wait"):
    """Gateway, supervisor: query the expected wait of a contact, or of an arriving contact of a queue."""

    id: FrameId
    contact_id: Ident | None = None
    """Waiting contact; omitted: ``queue_id`` is given."""
    queue_id: Name | None = None
    """Queue of an arriving contact; omitted: ``contact_id`` is given."""
    channel: Name | None = None
    """Channel of an arriving contact, as the fields below; omitted: the channel that the queue has handled most."""
    skills: Skills = {}
    priority_s: PrioritySeconds = 0
    priority_class: PriorityClass = 0

    alternatives = ("contact_id", "queue_id")

    def has_one_target(self) -> bool:
        return (self.contact_id is None) != (self.queue_id is None)


class WatchCardFrame(ClientFrame, frozen=True, kw_only=True, tag="watch_card"):
    """Supervisor: get the card of a contact that is not over, and what changes, until the connection ends; at most 20 contacts."""

    id: FrameId
    contact_id: Ident
    watch: bool = True
    """False: the card is not wanted any more."""

    alternatives = ("contact_id",)

    def has_one_target(self) -> bool:
        return True


class WatchStatisticsFrame(ClientFrame, frozen=True, kw_only=True, tag="watch_statistics"):
    """Supervisor: get statistics and what changes in them, in ``statistics`` frames, until the connection ends; at most 8 views."""

    id: FrameId
    by: Dimension
    """What a row is about."""
    period: Period = Period.TODAY
    """Time that is counted."""
    watch: bool = True
    """False: these statistics are not wanted any more."""


class RequeueFrame(ContactFrame, frozen=True, kw_only=True, tag="requeue"):
    """Supervisor: put a contact into a queue; it keeps its age and its position by it."""

    command = c.RequeueContact
    queue_id: Name | None = None
    """Queue to which the contact returns; omitted: its own queue."""


class AssignFrame(ContactFrame, frozen=True, kw_only=True, tag="assign"):
    """Supervisor: assign the contact to an agent."""

    command = c.AssignContact
    agent_id: SubjectId
    """Agent that gets the contact."""


class AddParticipantFrame(ContactFrame, frozen=True, kw_only=True, tag="add_participant"):
    """Supervisor: add an agent to the conversation."""

    command = c.AddParticipant
    agent_id: SubjectId


class RemoveParticipantFrame(ContactFrame, frozen=True, kw_only=True, tag="remove_participant"):
    """Supervisor: remove a consulted agent or a participant from the conversation."""

    command = c.LeaveContact
    fixed = {"reason": "removed"}
    agent_id: SubjectId


class SetAgentStateFrame(CommandFrame, frozen=True, kw_only=True, tag="set_agent_state"):
    """Supervisor: set an agent's state."""

    command = c.SetAgentState
    agent_id: SubjectId
    state: AgentState
    """New state."""
    reason: Code | None = None
    """Reason, one of the policy's ``not_ready_reasons`` if it lists any; omitted: none."""
    after_work: bool = False
    """True: the change takes effect when the agent has no open offers or assignments; until then it is the agent's
    ``next_state``. False: it takes effect now. It does not mean wrap-up (after-contact work)."""


class SetAgentChannelsFrame(CommandFrame, frozen=True, kw_only=True, tag="set_agent_channels"):
    """Supervisor: set the channels on which an agent is paused."""

    command = c.SetAgentChannels
    agent_id: SubjectId
    paused: PausedChannels


DesktopFrame: TypeAlias = (
    HelloFrame
    | RefreshFrame
    | PingFrame
    | SetStateFrame
    | AcceptFrame
    | DeclineFrame
    | HoldFrame
    | UnholdFrame
    | ParkFrame
    | UnparkFrame
    | SuspendFrame
    | SwitchChannelFrame
    | SetChannelsFrame
    | EndFrame
    | ExtendWrapUpFrame
    | CompleteFrame
    | TransferFrame
    | CancelTransferFrame
    | ConsultFrame
    | CompleteConsultFrame
    | CancelConsultFrame
    | ConferenceFrame
    | LeaveFrame
    | HandOverFrame
    | ReportGoalFrame
)
GatewayFrame: TypeAlias = (
    HelloFrame
    | RefreshFrame
    | PingFrame
    | SubmitFrame
    | UpdateFrame
    | CancelFrame
    | AbandonFrame
    | EndFrame
    | ParkContactFrame
    | UnparkContactFrame
    | SuspendFrame
    | ResumeContactFrame
    | SwitchChannelFrame
    | ChannelResultFrame
    | MonitorResultFrame
    | CallbackFrame
    | MoveCallbackFrame
    | ClaimCallbackFrame
    | CallbackResultFrame
    | ExpectedWaitFrame
    | ReportGoalFrame
)
SupervisorFrame: TypeAlias = (
    HelloFrame
    | RefreshFrame
    | PingFrame
    | UpdateFrame
    | CancelFrame
    | EndFrame
    | ParkContactFrame
    | UnparkContactFrame
    | SuspendFrame
    | ResumeContactFrame
    | SwitchChannelFrame
    | ChannelResultFrame
    | MonitorFrame
    | StopMonitoringFrame
    | MonitorResultFrame
    | RequeueFrame
    | AssignFrame
    | AddParticipantFrame
    | RemoveParticipantFrame
    | SetAgentStateFrame
    | SetAgentChannelsFrame
    | CallbackFrame
    | MoveCallbackFrame
    | ClaimCallbackFrame
    | CallbackResultFrame
    | ExpectedWaitFrame
    | WatchCardFrame
    | WatchStatisticsFrame
    | ReportGoalFrame
)
