"""Commands on contacts: submits and requests, changes, transfers, callbacks, consults, suspensions and channels."""

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from router.model.events.contact import TimeWindow
from router.model.filters import SupervisorScope
from router.model.policy import CallbackMode, FactValue, SuspensionEnd
from router.model.states import (
    AgentId,
    CallbackOutcome,
    ChannelOutcome,
    ContactId,
    GatewayId,
    GoalOutcome,
    IfUnable,
    MonitorMode,
    MonitorOutcome,
    Name,
    QueueId,
    ResumeMode,
    SupervisorId,
)

# End of the year 9999. A later time is a mistake in the unit.
TIME_MAX_MS: Final = 253_402_300_799_999

TimeMs: TypeAlias = Annotated[int, Meta(ge=0, le=TIME_MAX_MS)]


class CallbackFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms of a callback. An omitted field takes the value of the queue's policy."""

    mode: CallbackMode | None = None
    """Order of assigning an agent and dialling; omitted: as in the policy."""
    channel: Name | None = None
    """Channel whose capacity the callback uses from now on; omitted: as in the policy."""
    at_ms: TimeMs | None = None
    """Earliest time of the call, epoch milliseconds; omitted: when the contact reaches the head of its queue."""
    until_ms: TimeMs | None = None
    """End of the time window, epoch milliseconds: the callback expires then. Omitted: ``expires_after_s`` of the policy applies."""


class CommandStruct(Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """Base of all commands: frozen, keyword-only, with a stable tag."""


class EnqueueContact(CommandStruct, frozen=True, kw_only=True, tag="contact.enqueue"):
    """Submit a contact. Without ``queue_id`` the policy's entry rules choose the queue.

    A repeated ``dedupe_key`` with the same ``fingerprint`` returns the first result; with a different fingerprint it is
    refused with ``IDEMPOTENCY_KEY_REUSED``.
    """

    contact_id: ContactId
    channel: str
    queue_id: QueueId | None = None
    skills: dict[str, int] = {}
    priority_s: int = 0
    priority_class: int = 0
    attributes: dict[str, FactValue] = {}
    ttl_s: int | None = None
    preferred_agents: tuple[AgentId, ...] = ()
    """Agents preferred for this customer, used by plan steps with ``prefer: [named]``. Unknown ids are ignored."""
    continues_contact_id: ContactId | None = None
    """Earlier contact of the same customer and gateway; its agent is the ``last`` agent of a plan step. It has ended, or has an
    agent; an unknown id is refused."""
    gateway_id: GatewayId = ""
    reference: str | None = None
    dedupe_key: bytes | None = None
    fingerprint: bytes | None = None
    earlier_hashes: tuple[tuple[bytes, bytes], ...] = ()
    """``dedupe_key`` and ``fingerprint`` of the same submit as they were hashed with earlier secrets."""
    callback: CallbackFields | None = None
    """If set, the customer is not on the line and is to be called."""
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer that the policy declares, as they were known at the submit; those that are not declared are ignored."""
    customer_id: str | None = None
    """Random id of the customer, as the customer context gave it; None: not known."""
    customer_ids: tuple[str, ...] = ()
    """Other ids by which earlier contacts may name the customer: those of the merged members."""
    goal: str | None = None
    """What the customer comes for: a goal of the policy; None: by the entry rule or ``goals.default``."""


class SubmitOrResume(CommandStruct, frozen=True, kw_only=True, tag="contact.submit_or_resume"):
    """Submit a contact whose customer may have suspended conversations, one of which may go on instead.

    The answer names the contact that goes on. Where its queue does not admit it now, the contact is a new one.
    """

    contact: EnqueueContact
    resume: ResumeMode
    customer_ids: tuple[str, ...] = ()
    """Ids by which earlier contacts may name the customer: those of the merged members."""


class RequestContact(CommandStruct, frozen=True, kw_only=True, tag="request.create"):
    """Submit a contact whose customer may choose how to reach an agent.

    The contact waits in no queue before an option is chosen, at the latest when the time to choose is over. Without ``ask`` the
    channel that was asked for is taken at once; where that is not possible, the customer is shown the other options.
    """

    contact: EnqueueContact
    token_hash: bytes
    """Hash of the token by which the customer chooses."""
    ask: bool = True
    resume: ResumeMode = ResumeMode.NEVER
    """Whether the customer may go on with a suspended conversation."""
    customer_ids: tuple[str, ...] = ()
    """Ids by which earlier contacts may name the customer: those of the merged members."""


class ChooseOption(CommandStruct, frozen=True, kw_only=True, tag="request.choose"):
    """Choose an option of a request. Idempotent for the same option."""

    contact_id: ContactId
    option: str
    window: TimeWindow | None = None
    """Time window of a callback: one of those told."""
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class CancelRequest(CommandStruct, frozen=True, kw_only=True, tag="request.cancel"):
    """Leave as the customer of a request: the choice, the wait, the callback or the conversation ends. Idempotent."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class ChangeCustomerToken(CommandStruct, frozen=True, kw_only=True, tag="request.change_token"):
    """Replace the token of the customer of a request; none: the customer has none any more."""

    contact_id: ContactId
    token_hash: bytes | None = None
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    is_link: bool = False
    """Whether the contact may be one without a request, whose customer is offered other channels by the policy."""


class SetCustomerPresence(CommandStruct, frozen=True, kw_only=True, tag="request.set_presence"):
    """Note that the app of the customer of a request is connected, or is no longer, from the router itself. Idempotent."""

    contact_id: ContactId
    is_here: bool
    away_ms: int = 0
    """How long it is no longer connected already."""
    run: str = ""
    """Start of the node that it is connected to, or was; empty: there is one node."""


class UpdateContact(CommandStruct, frozen=True, kw_only=True, tag="contact.update"):
    """Change a live contact by a merge patch (RFC 7396); the change takes effect immediately.

    Unset fields and entries keep their values, so two clients may set different attributes at once. None removes: a field gets
    its default, an attribute or skill is removed.
    """

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    priority_s: int | UnsetType | None = UNSET
    priority_class: int | UnsetType | None = UNSET
    skills: Mapping[str, int | None] | UnsetType | None = UNSET
    attributes: Mapping[str, FactValue | None] | UnsetType | None = UNSET
    preferred_agents: tuple[AgentId, ...] | UnsetType | None = UNSET
    customer_facts: Mapping[str, FactValue] | UnsetType = UNSET
    """All facts of the customer as they are known now, from the router itself: those that change while a contact waits replace
    the earlier ones."""


class CancelContact(CommandStruct, frozen=True, kw_only=True, tag="contact.cancel"):
    """Withdraw a contact that is not assigned yet. Idempotent."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    reason: str = "cancelled"


class AbandonContact(CommandStruct, frozen=True, kw_only=True, tag="contact.abandon"):
    """Report that the customer has left: a waiting contact is abandoned, an assigned one ends. Idempotent."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class EndContact(CommandStruct, frozen=True, kw_only=True, tag="contact.end"):
    """End the conversation and begin wrap-up; a waiting contact is cancelled.

    If ``agent_id`` is set, it must be the owner.
    """

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    agent_id: AgentId | None = None
    reason: str = "ended"


class RequeueContact(CommandStruct, frozen=True, kw_only=True, tag="contact.requeue"):
    """Put a contact into a queue as a supervisor; it keeps its age. Without ``queue_id``: its own queue."""

    contact_id: ContactId
    queue_id: QueueId | None = None


class TransferContact(CommandStruct, frozen=True, kw_only=True, tag="contact.transfer"):
    """Transfer an assigned contact: to a queue immediately, or to an agent by an offer.

    Exactly one of ``to_queue_id`` and ``to_agent_id`` is set. With an offer, the owner keeps the contact until the other
    agent accepts. If ``agent_id`` is set, it must be the owner.

    ``wait_s`` allows a target agent who cannot take the contact now: the owner is released, and the contact is reserved for
    the target for that time, then ``return_to_sender_s`` for the agent who transferred it, then open to all qualified
    agents.
    """

    contact_id: ContactId
    to_queue_id: QueueId | None = None
    to_agent_id: AgentId | None = None
    agent_id: AgentId | None = None
    wait_s: int | None = None
    return_to_sender_s: int | None = None


class CancelTransfer(CommandStruct, frozen=True, kw_only=True, tag="transfer.cancel"):
    """Withdraw a transfer that is offered to an agent. If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class AssignContact(CommandStruct, frozen=True, kw_only=True, tag="contact.assign"):
    """Assign a contact to an agent as a supervisor, without an offer. Skills are not checked; capacity is."""

    contact_id: ContactId
    agent_id: AgentId


class RequestCallback(CommandStruct, frozen=True, kw_only=True, tag="callback.request"):
    """Turn a waiting contact into a callback that keeps its position. Idempotent for the same terms."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    callback: CallbackFields = CallbackFields()


class MoveCallback(CommandStruct, frozen=True, kw_only=True, tag="callback.move"):
    """Move a callback that is not being dialled to another time, or (``at_ms`` none) make it due now."""

    contact_id: ContactId
    at_ms: TimeMs | None = None
    until_ms: TimeMs | None = None
    """End of the time window; none: ``expires_after_s`` of the policy counts from the new time."""
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class ClaimCallback(CommandStruct, frozen=True, kw_only=True, tag="callback.claim"):
    """Claim the call that a gateway was requested to make, so that of several connections only one dials."""

    contact_id: ContactId
    claimant: str
    """Name of the process that will dial, chosen by it. Its own claim is renewed."""
    lease_s: int | None = None
    """Seconds after which another claim is possible; none: until the deadline of the attempt."""
    attempt: int | None = None
    """Number of the attempt from ``callback.dial_requested``; none: the current one."""
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class ReportCallback(CommandStruct, frozen=True, kw_only=True, tag="callback.report"):
    """Report the outcome of the current attempt. Idempotent for the latest report."""

    contact_id: ContactId
    outcome: CallbackOutcome
    attempt: int | None = None
    """Number of the attempt from ``callback.dial_requested``; none: the current one."""
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class StartConsult(CommandStruct, frozen=True, kw_only=True, tag="consult.start"):
    """Ask another agent for advice on an assigned contact, by an offer. The owner keeps the contact.

    Exactly one of ``to_agent_id`` and ``to_queue_id`` is set. For a queue, its selection chooses among the agents eligible
    now; the consult does not wait for one. If ``agent_id`` is set, it must be the owner.
    """

    contact_id: ContactId
    to_agent_id: AgentId | None = None
    to_queue_id: QueueId | None = None
    agent_id: AgentId | None = None


class CompleteConsult(CommandStruct, frozen=True, kw_only=True, tag="consult.complete"):
    """Pass the contact to the consulted agent (warm transfer). If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class CancelConsult(CommandStruct, frozen=True, kw_only=True, tag="consult.cancel"):
    """Rescind a pending consult or end a running one. If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class JoinConsult(CommandStruct, frozen=True, kw_only=True, tag="consult.join"):
    """Turn the consult into a conference with the consulted agent. If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class LeaveContact(CommandStruct, frozen=True, kw_only=True, tag="contact.leave"):
    """Take a consulted agent or a participant out of a conversation; its owner keeps the contact. Idempotent.

    ``reason``: ``left``, or ``removed`` if a supervisor does it.
    """

    contact_id: ContactId
    agent_id: AgentId
    reason: str = "left"


class HandOverContact(CommandStruct, frozen=True, kw_only=True, tag="contact.hand_over"):
    """Leave a conference and make a participant its owner. If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    to_agent_id: AgentId
    agent_id: AgentId | None = None


class AddParticipant(CommandStruct, frozen=True, kw_only=True, tag="participant.add"):
    """Add an agent to a conversation as a supervisor. Skills are not checked; capacity is."""

    contact_id: ContactId
    agent_id: AgentId


class ParkContact(CommandStruct, frozen=True, kw_only=True, tag="contact.park"):
    """Park a contact as its gateway, to wait for the customer. Idempotent."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class UnparkContact(CommandStruct, frozen=True, kw_only=True, tag="contact.unpark"):
    """Report that the customer has written again. Has no effect on a contact that is not parked."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class SuspendContact(CommandStruct, frozen=True, kw_only=True, tag="contact.suspend"):
    """Suspend a contact until it is resumed: it has no agent and uses no capacity meanwhile. Idempotent for the same terms.

    If ``agent_id`` is set, it must be the owner.
    """

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    agent_id: AgentId | None = None
    resume_by_ms: TimeMs | None = None
    """End of the suspension; none: by the policy of the queue."""
    at_expiry: SuspensionEnd | None = None
    """What happens then; none: by the policy of the queue."""


class ResumeContact(CommandStruct, frozen=True, kw_only=True, tag="contact.resume"):
    """Put a suspended contact into its queue again. A repeat on the same channel has no effect."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    channel: str | None = None
    """Channel on which the customer is now; none: the contact's own."""
    reference: str | None = None
    """The gateway's reference on that channel; none: unchanged."""


class SwitchChannel(CommandStruct, frozen=True, kw_only=True, tag="contact.switch_channel"):
    """Switch a waiting contact or a conversation to another channel. To its present channel: give up a switch in progress.

    If ``agent_id`` is set, it must be the owner.
    """

    contact_id: ContactId
    channel: str
    reference: str | None = None
    """The gateway's reference on that channel; none: unchanged."""
    if_unable: IfUnable = IfUnable.REFUSE
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway has it."""
    agent_id: AgentId | None = None
    by_customer: bool = False
    """Whether the customer asks for it, who may go on only on the channels that the policy offers."""


class ReportChannel(CommandStruct, frozen=True, kw_only=True, tag="contact.report_channel"):
    """Report whether the customer is connected on the channel to which the conversation switches. A repeat has no effect."""

    contact_id: ContactId
    outcome: ChannelOutcome
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class ReportGoal(CommandStruct, frozen=True, kw_only=True, tag="goal.report"):
    """Name the goal of a contact, report its outcome, or give its scores; what is unset stays, null takes it back.

    Possible as long as the goal or the contact is kept, also after its end. Idempotent.
    """

    contact_id: ContactId
    goal: str | UnsetType | None = UNSET
    outcome: GoalOutcome | UnsetType | None = UNSET
    ease: int | UnsetType | None = UNSET
    effort: int | UnsetType | None = UNSET
    satisfaction: int | UnsetType | None = UNSET
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    agent_id: AgentId | None = None
    """If set, the contact is unknown unless this agent has it or had it last."""
    is_customer: bool = False
    """Whether it is the customer's own answer."""


class ReportGoalSteps(CommandStruct, frozen=True, kw_only=True, tag="goal.report_steps"):
    """Report as done what steps of the journey of a customer say is done, from the router itself. Idempotent.

    The newest contact of the customer with the goal counts, if it is open, or ended within ``done_within_s`` before the step.
    """

    customer_ids: tuple[str, ...]
    """All ids of the customer."""
    steps: tuple[tuple[str, int], ...]
    """Goals, each with the time of the step that reports it."""
    repeated_steps: tuple[tuple[str, int], ...] = ()
    """The same of steps that were sent before. They report only a goal of which nothing was reported since the step."""


class MonitorContact(CommandStruct, frozen=True, kw_only=True, tag="contact.monitor"):
    """Let a supervisor join the conversation of an assigned contact, or change the mode. A repeat may only move ``until_ms``."""

    contact_id: ContactId
    supervisor_id: SupervisorId
    mode: MonitorMode
    until_ms: int | None = None
    """When the supervisor's credential expires, epoch milliseconds; none: the policy alone limits the time."""
    scope: SupervisorScope | None = None
    """Queues and teams to which the supervisor is limited; the monitoring ends when the contact is in it no more."""


class StopMonitoring(CommandStruct, frozen=True, kw_only=True, tag="contact.stop_monitoring"):
    """End the part of a supervisor in a conversation. No effect on one who has not joined."""

    contact_id: ContactId
    supervisor_id: SupervisorId
    reason: str = "left"
    """``left`` (the supervisor themselves) or ``removed`` (another one)."""

    @classmethod
    def by(cls, subject: str, contact_id: ContactId, supervisor_id: SupervisorId | None) -> "StopMonitoring":
        """Return the command of a supervisor who leaves (None), or removes this one."""
        named = supervisor_id or subject
        return cls(contact_id=contact_id, supervisor_id=named, reason="left" if named == subject else "removed")


class ReportMonitor(CommandStruct, frozen=True, kw_only=True, tag="contact.report_monitor"):
    """Report whether a supervisor is connected in the mode that was requested, or is connected no more."""

    contact_id: ContactId
    supervisor_id: SupervisorId
    mode: MonitorMode
    """Mode of the request that is answered; without meaning for ``left``."""
    outcome: MonitorOutcome
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway has it."""
