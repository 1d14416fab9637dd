"""Client frames: the commands, queries and session frames that a client sends.

A frame that changes something is a command and an id: its class names the command and declares those of the command's fields
that a client may set, with the ranges that the server accepts. ``CommandFrame.to_command`` fills in the rest: the agent or
gateway of the credential, so that a client can act only as itself, and fields with a fixed value.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from router.model import commands as c
from router.model.commands import TimeMs
from router.model.policy import AttributesPatch, CallbackMode, PriorityClass, PrioritySeconds, Skills, SkillsPatch, SuspensionEnd
from router.model.states import AgentState, CallbackOutcome, ChannelOutcome, Code, Ident, IfUnable, Name, SubjectId
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
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period

EntityTag: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(?:\*|[A-Za-z0-9]{1,64})(?!\n)$",
        extra={"rule": "must be an entity tag without quotes, such as the `tag` of an `ok` frame, or `*`"},
    ),
]
# Fields of every command frame that guard the command.
GUARD_FIELDS: Final = ("idempotency_key", "if_match")


class _ClientFrame(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of client frames. Unknown fields are refused, so that a misspelt field is found."""

    alternatives: ClassVar[tuple[str, ...]] = ()
    """Fields of which exactly one must be given."""

    def has_one_target(self) -> bool:
        """Return whether the frame names exactly one target; true for frames without alternative targets."""
        return True


class CommandFrame(_ClientFrame, frozen=True, kw_only=True):
    """Base of the frames that stand for a command."""

    id: FrameId
    idempotency_key: IdempotencyKey | UnsetType | None = UNSET
    """A repeated frame with the same key gets the first reply and changes nothing; omitted: it is carried out again."""
    if_match: EntityTag | UnsetType | None = UNSET
    """Entity tag of the contact, agent or queue as last seen, from the ``tag`` of an ``ok`` or the ETag of HTTP without its quotes;
    if the object has changed since, the frame is refused (``precondition_failed``). ``*``: any, as long as the object exists.
    Omitted: no condition."""
    command: ClassVar[type[Any]]
    """Command that the frame stands for. It has every field of the frame except ``id`` and those of ``GUARD_FIELDS``."""
    fixed: ClassVar[Mapping[str, object]] = {}
    """Fields of the command that have the same value in all frames of the class."""
    resource: ClassVar[str] = ""
    """Kind of object that the frame is about: ``offer``, ``assignment`` or ``contact``; empty for an agent."""

    def to_command(self, *, agent_id: str | None = None, gateway_id: str | None = None, contact_id: str | None = None) -> c.Command:
        """Return the command. Each id is used if the command has such a field and the frame does not set it."""
        names, has_agent, has_gateway, has_contact = _command_fields(type(self))
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        if has_agent:
            values["agent_id"] = agent_id
        if has_gateway:
            values["gateway_id"] = gateway_id
        if has_contact and contact_id is not None:
            values["contact_id"] = contact_id
        command: c.Command = self.command(**values, **self.fixed)
        return command


@cache
def _command_fields(frame: type[CommandFrame]) -> tuple[tuple[str, ...], bool, bool, bool]:
    """Return the fields that a frame gives to its command, and whether the command needs the id of an agent, gateway or contact."""
    fields = frame.command.__struct_fields__
    names = tuple(name for name in frame.__struct_fields__ if name != "id" and name not in GUARD_FIELDS)
    free = set(fields) - set(names) - frame.fixed.keys()
    return names, "agent_id" in free, "gateway_id" in free, "contact_id" in free


class _OfferFrame(CommandFrame, frozen=True, kw_only=True):
    resource = "offer"
    offer_id: Ident


class _AssignmentFrame(CommandFrame, frozen=True, kw_only=True):
    resource = "assignment"
    assignment_id: Ident


class _ContactFrame(CommandFrame, frozen=True, kw_only=True):
    resource = "contact"
    contact_id: Ident


class _TargetFrame(_ContactFrame, frozen=True, kw_only=True):
    """Base of the frames that name a queue or an agent."""

    to_queue_id: Name | None = None
    """Target queue; omitted: the target is an agent."""
    to_agent_id: SubjectId | None = None
    """Target agent; omitted: the target is a queue."""

    alternatives = ("to_queue_id", "to_agent_id")

    def has_one_target(self) -> bool:
        return (self.to_queue_id is None) != (self.to_agent_id is None)


class HelloFrame(_ClientFrame, frozen=True, kw_only=True, tag="hello"):
    """Open a session: credential (unless the upgrade request had an Authorization header) and position to resume from."""

    token: Token | None = None
    """Token (JWT); omitted: the upgrade request had it, or a ticket is sent."""
    ticket: Token | None = None
    """Single-use ticket from ``POST /v1/ws-ticket``, for browsers."""
    resume: ResumeFrom | None = None
    """``history_id:seq`` of the last frame received: the events after it follow, or a ``welcome`` with the full state. Omitted:
    a ``welcome``."""


class RefreshFrame(_ClientFrame, frozen=True, kw_only=True, tag="refresh"):
    """Replace the token before it expires, by one with the same subject, role and workspace."""

    id: FrameId
    token: Token
    """The new token."""


class PingFrame(_ClientFrame, frozen=True, kw_only=True, tag="ping"):
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


class AcceptFrame(_OfferFrame, frozen=True, kw_only=True, tag="accept"):
    """Desktop: accept an offer."""

    command = c.AcceptOffer


class DeclineFrame(_OfferFrame, frozen=True, kw_only=True, tag="decline"):
    """Desktop: decline an offer."""

    command = c.DeclineOffer
    reason: Code = "declined"
    """Reason, an id chosen by the client."""


class HoldFrame(_AssignmentFrame, frozen=True, kw_only=True, tag="hold"):
    """Desktop: put the customer on hold."""

    command = c.HoldAssignment


class UnholdFrame(_AssignmentFrame, frozen=True, kw_only=True, tag="unhold"):
    """Desktop: take the customer off hold."""

    command = c.ResumeAssignment


class ParkFrame(_AssignmentFrame, frozen=True, kw_only=True, tag="park"):
    """Desktop: park a conversation until the customer replies; it uses no capacity meanwhile."""

    command = c.ParkAssignment


class UnparkFrame(_AssignmentFrame, frozen=True, kw_only=True, tag="unpark"):
    """Desktop: unpark a conversation."""

    command = c.UnparkAssignment


class ParkContactFrame(_ContactFrame, frozen=True, kw_only=True, tag="park_contact"):
    """Gateway, supervisor: park a contact until the customer replies."""

    command = c.ParkContact


class UnparkContactFrame(_ContactFrame, frozen=True, kw_only=True, tag="unpark_contact"):
    """Gateway, supervisor: report that the customer has written again. No effect on a contact that is not parked."""

    command = c.UnparkContact


class SuspendFrame(_ContactFrame, frozen=True, kw_only=True, tag="suspend"):
    """Desktop, gateway, supervisor: suspend a contact until it is resumed; its agent is released."""

    command = c.SuspendContact
    resume_by_ms: TimeMs | None = None
    at_expiry: SuspensionEnd | None = None


class ResumeContactFrame(_ContactFrame, frozen=True, kw_only=True, tag="resume_contact"):
    """Gateway, supervisor: put a suspended contact into its queue again, on the channel on which the customer is now."""

    command = c.ResumeContact
    channel: Name | None = None
    """Channel on which the customer is now; omitted: the contact's own."""
    reference: Ident | None = None


class SwitchChannelFrame(_ContactFrame, frozen=True, kw_only=True, tag="switch_channel"):
    """Desktop, gateway, supervisor: continue a contact on another channel; to the present one: give up a switch in progress."""

    command = c.SwitchChannel
    channel: Name
    reference: Ident | None = None
    if_unable: IfUnable = IfUnable.REFUSE


class ChannelResultFrame(_ContactFrame, frozen=True, kw_only=True, tag="channel_result"):
    """Gateway, supervisor: report the outcome of the switch requested by ``contact.channel_requested``."""

    command = c.ReportChannel
    outcome: ChannelOutcome
    """Whether the customer is connected on the new channel."""


class SetChannelsFrame(CommandFrame, frozen=True, kw_only=True, tag="set_channels"):
    """Desktop: set the channels on which the agent is paused."""

    command = c.SetAgentChannels
    paused: PausedChannels


class EndFrame(_ContactFrame, frozen=True, kw_only=True, tag="end"):
    """Desktop, gateway, supervisor: end the conversation."""

    command = c.EndContact
    reason: Code = "ended"
    """Reason, an id chosen by the client."""


class ExtendWrapUpFrame(_AssignmentFrame, frozen=True, kw_only=True, tag="extend_wrap_up"):
    """Desktop: extend the wrap-up."""

    command = c.ExtendWrapUp
    extend_s: Annotated[int, Meta(ge=1, le=3600)]
    """Seconds to be added."""


class CompleteFrame(_AssignmentFrame, frozen=True, kw_only=True, tag="complete"):
    """Desktop: complete the assignment with a disposition; ends the conversation first if necessary."""

    command = c.CompleteAssignment
    disposition: Code | None = None
    """Disposition code, one of the policy's ``dispositions`` if it lists any; omitted: none."""


class TransferFrame(_TargetFrame, frozen=True, kw_only=True, tag="transfer"):
    """Desktop: transfer the contact to a queue or to an agent; exactly one of the two."""

    command = c.TransferContact
    wait_s: WaitSeconds | None = None
    """How long the contact is reserved for the target agent, if the agent cannot take it now; seconds. Omitted: such a transfer
    is refused."""
    return_to_sender_s: WaitSeconds | None = None
    """How long it is then reserved for the transferring agent, before it is open to all qualified agents; seconds. Omitted: no
    such reservation."""


class CancelTransferFrame(_ContactFrame, frozen=True, kw_only=True, tag="transfer_cancel"):
    """Desktop: withdraw a transfer that the other agent has not answered yet."""

    command = c.CancelTransfer


class ConsultFrame(_TargetFrame, frozen=True, kw_only=True, tag="consult"):
    """Desktop: consult an agent, or an agent of a queue; exactly one of the two."""

    command = c.StartConsult


class CompleteConsultFrame(_ContactFrame, frozen=True, kw_only=True, tag="consult_complete"):
    """Desktop: pass the contact to the consulted agent (warm transfer)."""

    command = c.CompleteConsult


class CancelConsultFrame(_ContactFrame, frozen=True, kw_only=True, tag="consult_cancel"):
    """Desktop: cancel or end the consult."""

    command = c.CancelConsult


class ConferenceFrame(_ContactFrame, frozen=True, kw_only=True, tag="conference"):
    """Desktop: connect the consulted agent to the customer."""

    command = c.JoinConsult


class LeaveFrame(_ContactFrame, frozen=True, kw_only=True, tag="leave"):
    """Desktop: leave a conversation that another agent owns."""

    command = c.LeaveContact
    fixed = {"reason": "left"}


class HandOverFrame(_ContactFrame, frozen=True, kw_only=True, tag="hand_over"):
    """Desktop: leave a conference and make a participant its owner."""

    command = c.HandOverContact
    to_agent_id: SubjectId
    """Participant who becomes the owner."""


class SubmitFrame(_ClientFrame, frozen=True, kw_only=True, tag="submit"):
    """Gateway: submit a contact."""

    id: FrameId
    contact: ContactFields
    """The contact."""
    idempotency_key: IdempotencyKey | None = None
    """A repeated submit with the same key returns the first result; omitted: every submit is a new contact."""


class UpdateFrame(_ContactFrame, frozen=True, kw_only=True, tag="update"):
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


class CancelFrame(_ContactFrame, frozen=True, kw_only=True, tag="cancel"):
    """Gateway, supervisor: cancel a contact that is not assigned yet."""

    command = c.CancelContact
    reason: Code = "cancelled"
    """Reason, an id chosen by the client."""


class AbandonFrame(_ContactFrame, frozen=True, kw_only=True, tag="abandon"):
    """Gateway: report that the customer has left."""

    command = c.AbandonContact


class CallbackFrame(_ContactFrame, frozen=True, kw_only=True, tag="callback"):
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

    def to_command(self, *, agent_id: str | None = None, gateway_id: str | None = None, contact_id: str | None = None) -> c.Command:
        """Return the command, with the terms of the callback as a struct of their own."""
        terms = c.CallbackFields(mode=self.mode, channel=self.channel, at_ms=self.at_ms, until_ms=self.until_ms)
        return c.RequestCallback(contact_id=self.contact_id, gateway_id=gateway_id, callback=terms)


class MoveCallbackFrame(_ContactFrame, frozen=True, kw_only=True, tag="callback_move"):
    """Gateway, supervisor: move a callback to another time, or make it due now."""

    command = c.MoveCallback
    at_ms: TimeMs | None = None
    """New earliest time of the call, epoch milliseconds; omitted: the callback is due now."""
    until_ms: TimeMs | None = None
    """New end of the time window, with ``at_ms`` only; omitted: ``expires_after_s`` of the policy counts from ``at_ms``."""


class ClaimCallbackFrame(_ContactFrame, frozen=True, kw_only=True, tag="callback_claim"):
    """Gateway, supervisor: claim the call requested by ``callback.dial_requested``, so that only one process dials."""

    command = c.ClaimCallback
    claimant: Code
    """Name of the process that will dial, for example that of its pod."""
    lease_s: Annotated[int, Meta(ge=1, le=3_600)] | None = None
    """Seconds after which another process may claim the call; omitted: until the deadline of the attempt."""
    attempt: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """Number of the attempt from ``callback.dial_requested``; omitted: the current one."""


class CallbackResultFrame(_ContactFrame, frozen=True, kw_only=True, tag="callback_result"):
    """Gateway, supervisor: report the outcome of a call requested by ``callback.dial_requested``."""

    command = c.ReportCallback
    outcome: CallbackOutcome
    """Outcome of the attempt."""
    attempt: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """Number of the attempt from ``callback.dial_requested``; omitted: the current one."""


class ExpectedWaitFrame(_ClientFrame, frozen=True, kw_only=True, tag="expected_wait"):
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


class WatchCardFrame(_ClientFrame, frozen=True, kw_only=True, tag="watch_card"):
    """Supervisor: get the card of a contact that is not over, and what changes, until the connection ends; at most 20 contacts."""

    id: FrameId
    contact_id: Ident
    watch: bool = True
    """False: the card is not wanted any more."""

    alternatives = ("contact_id",)

    def has_one_target(self) -> bool:
        return True


class WatchStatisticsFrame(_ClientFrame, frozen=True, kw_only=True, tag="watch_statistics"):
    """Supervisor: get statistics and what changes in them, in ``statistics`` frames, until the connection ends; at most 8 views."""

    id: FrameId
    by: Dimension
    """What a row is about."""
    period: Period = Period.TODAY
    """Time that is counted."""
    watch: bool = True
    """False: these statistics are not wanted any more."""


class RequeueFrame(_ContactFrame, frozen=True, kw_only=True, tag="requeue"):
    """Supervisor: put a contact into a queue; it keeps its age and its position by it."""

    command = c.RequeueContact
    queue_id: Name | None = None
    """Queue to which the contact returns; omitted: its own queue."""


class AssignFrame(_ContactFrame, frozen=True, kw_only=True, tag="assign"):
    """Supervisor: assign the contact to an agent."""

    command = c.AssignContact
    agent_id: SubjectId
    """Agent that gets the contact."""


class AddParticipantFrame(_ContactFrame, frozen=True, kw_only=True, tag="add_participant"):
    """Supervisor: add an agent to the conversation."""

    command = c.AddParticipant
    agent_id: SubjectId


class RemoveParticipantFrame(_ContactFrame, frozen=True, kw_only=True, tag="remove_participant"):
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
    | CallbackFrame
    | MoveCallbackFrame
    | ClaimCallbackFrame
    | CallbackResultFrame
    | ExpectedWaitFrame
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
)
