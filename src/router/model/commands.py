"""Commands: requests to the engine of one workspace.

A command is plain data without a time; the writer adds the time. The ``actor`` who sends it is stored with it in the
journal's record. The caller generates the ids of new objects and looks up everything that a decision needs before it sends
the command, because the engine makes no queries.
"""

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from router.model.events.contact import TimeWindow
from router.model.policy import CallbackMode, FactValue, Policy, SuspensionEnd
from router.model.states import AgentId, AgentState, AssignmentId, CallbackOutcome, ContactId, GatewayId, Name, OfferId, QueueId

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


class _Command(Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """Base of all commands: frozen, keyword-only, with a stable tag."""


class EnqueueContact(_Command, frozen=True, kw_only=True, tag="contact.enqueue"):
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
    callback: CallbackFields | None = None
    """If set, the customer is not on the line and is to be called."""
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer that the policy declares, as they were known at the submit; those that are not declared are ignored."""
    customer_id: str | None = None
    """Random id of the customer, as the customer context gave it; None: not known."""


class RequestContact(_Command, frozen=True, kw_only=True, tag="request.create"):
    """Submit a contact whose customer may choose how to reach an agent.

    The contact waits in no queue before an option is chosen, at the latest when the time to choose is over. Without ``ask`` the
    channel that was asked for is taken at once; where that is not possible, the customer is shown the other options.
    """

    contact: EnqueueContact
    token_hash: bytes
    """Hash of the token by which the customer chooses."""
    ask: bool = True


class ChooseOption(_Command, frozen=True, kw_only=True, tag="request.choose"):
    """Choose an option of a request. Idempotent for the same option."""

    contact_id: ContactId
    option: str
    window: TimeWindow | None = None
    """Time window of a callback: one of those told."""
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class CancelRequest(_Command, frozen=True, kw_only=True, tag="request.cancel"):
    """Leave as the customer of a request: the choice, the wait, the callback or the conversation ends. Idempotent."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class ChangeCustomerToken(_Command, frozen=True, kw_only=True, tag="request.change_token"):
    """Replace the token of the customer of a request; none: the customer has none any more."""

    contact_id: ContactId
    token_hash: bytes | None = None
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class UpdateContact(_Command, frozen=True, kw_only=True, tag="contact.update"):
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


class CancelContact(_Command, frozen=True, kw_only=True, tag="contact.cancel"):
    """Withdraw a contact that is not assigned yet. Idempotent."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    reason: str = "cancelled"


class AbandonContact(_Command, frozen=True, kw_only=True, tag="contact.abandon"):
    """Report that the customer has left: a waiting contact is abandoned, an assigned one ends. Idempotent."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class EndContact(_Command, frozen=True, kw_only=True, tag="contact.end"):
    """End the conversation and begin wrap-up; a waiting contact is cancelled.

    If ``agent_id`` is set, it must be the owner.
    """

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    agent_id: AgentId | None = None
    reason: str = "ended"


class RequeueContact(_Command, frozen=True, kw_only=True, tag="contact.requeue"):
    """Put a contact into a queue as a supervisor; it keeps its age. Without ``queue_id``: its own queue."""

    contact_id: ContactId
    queue_id: QueueId | None = None


class TransferContact(_Command, frozen=True, kw_only=True, tag="contact.transfer"):
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


class CancelTransfer(_Command, frozen=True, kw_only=True, tag="transfer.cancel"):
    """Withdraw a transfer that is offered to an agent. If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class AssignContact(_Command, frozen=True, kw_only=True, tag="contact.assign"):
    """Assign a contact to an agent as a supervisor, without an offer. Skills are not checked; capacity is."""

    contact_id: ContactId
    agent_id: AgentId


class RequestCallback(_Command, frozen=True, kw_only=True, tag="callback.request"):
    """Turn a waiting contact into a callback that keeps its position. Idempotent for the same terms."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    callback: CallbackFields = CallbackFields()


class MoveCallback(_Command, frozen=True, kw_only=True, tag="callback.move"):
    """Move a callback that is not being dialled to another time, or (``at_ms`` none) make it due now."""

    contact_id: ContactId
    at_ms: TimeMs | None = None
    until_ms: TimeMs | None = None
    """End of the time window; none: ``expires_after_s`` of the policy counts from the new time."""
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class ClaimCallback(_Command, frozen=True, kw_only=True, tag="callback.claim"):
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


class ReportCallback(_Command, frozen=True, kw_only=True, tag="callback.report"):
    """Report the outcome of the current attempt. Idempotent for the latest report."""

    contact_id: ContactId
    outcome: CallbackOutcome
    attempt: int | None = None
    """Number of the attempt from ``callback.dial_requested``; none: the current one."""
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class StartConsult(_Command, frozen=True, kw_only=True, tag="consult.start"):
    """Ask another agent for advice on an assigned contact, by an offer. The owner keeps the contact.

    Exactly one of ``to_agent_id`` and ``to_queue_id`` is set. For a queue, its selection chooses among the agents eligible
    now; the consult does not wait for one. If ``agent_id`` is set, it must be the owner.
    """

    contact_id: ContactId
    to_agent_id: AgentId | None = None
    to_queue_id: QueueId | None = None
    agent_id: AgentId | None = None


class CompleteConsult(_Command, frozen=True, kw_only=True, tag="consult.complete"):
    """Pass the contact to the consulted agent (warm transfer). If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class CancelConsult(_Command, frozen=True, kw_only=True, tag="consult.cancel"):
    """Rescind a pending consult or end a running one. If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class JoinConsult(_Command, frozen=True, kw_only=True, tag="consult.join"):
    """Turn the consult into a conference with the consulted agent. If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class LeaveContact(_Command, frozen=True, kw_only=True, tag="contact.leave"):
    """Take a consulted agent or a participant out of a conversation; its owner keeps the contact. Idempotent.

    ``reason``: ``left``, or ``removed`` if a supervisor does it.
    """

    contact_id: ContactId
    agent_id: AgentId
    reason: str = "left"


class HandOverContact(_Command, frozen=True, kw_only=True, tag="contact.hand_over"):
    """Leave a conference and make a participant its owner. If ``agent_id`` is set, it must be the owner."""

    contact_id: ContactId
    to_agent_id: AgentId
    agent_id: AgentId | None = None


class AddParticipant(_Command, frozen=True, kw_only=True, tag="participant.add"):
    """Add an agent to a conversation as a supervisor. Skills are not checked; capacity is."""

    contact_id: ContactId
    agent_id: AgentId


class AcceptOffer(_Command, frozen=True, kw_only=True, tag="offer.accept"):
    """Accept an offer. Repeating a successful accept returns the first result."""

    offer_id: OfferId
    agent_id: AgentId


class DeclineOffer(_Command, frozen=True, kw_only=True, tag="offer.decline"):
    """Decline an offer; the contact returns to its position in the queue."""

    offer_id: OfferId
    agent_id: AgentId
    reason: str = "declined"


class HoldAssignment(_Command, frozen=True, kw_only=True, tag="assignment.hold"):
    """Put the customer on hold."""

    assignment_id: AssignmentId
    agent_id: AgentId


class ResumeAssignment(_Command, frozen=True, kw_only=True, tag="assignment.resume"):
    """Take the customer off hold."""

    assignment_id: AssignmentId
    agent_id: AgentId


class ParkAssignment(_Command, frozen=True, kw_only=True, tag="assignment.park"):
    """Park a conversation: its owner keeps it and waits for the customer; its capacity is released."""

    assignment_id: AssignmentId
    agent_id: AgentId


class UnparkAssignment(_Command, frozen=True, kw_only=True, tag="assignment.unpark"):
    """Resume a parked conversation, even beyond the owner's capacity."""

    assignment_id: AssignmentId
    agent_id: AgentId


class ParkContact(_Command, frozen=True, kw_only=True, tag="contact.park"):
    """Park a contact as its gateway, to wait for the customer. Idempotent."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class UnparkContact(_Command, frozen=True, kw_only=True, tag="contact.unpark"):
    """Report that the customer has written again. Has no effect on a contact that is not parked."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""


class SuspendContact(_Command, frozen=True, kw_only=True, tag="contact.suspend"):
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


class ResumeContact(_Command, frozen=True, kw_only=True, tag="contact.resume"):
    """Put a suspended contact into its queue again. A repeat on the same channel has no effect."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """If set, the contact is unknown unless this gateway submitted it."""
    channel: str | None = None
    """Channel on which the customer is now; none: the contact's own."""
    reference: str | None = None
    """The gateway's reference on that channel; none: unchanged."""


class ExtendWrapUp(_Command, frozen=True, kw_only=True, tag="assignment.extend_wrap_up"):
    """Extend the wrap-up, within the channel's ``wrap_up_max_s``."""

    assignment_id: AssignmentId
    agent_id: AgentId
    extend_s: int


class CompleteAssignment(_Command, frozen=True, kw_only=True, tag="assignment.complete"):
    """Finish the wrap-up early, with a disposition. Before the end of the conversation: end it and skip the wrap-up.

    ``agent_id`` is none if a supervisor does it.
    """

    assignment_id: AssignmentId
    agent_id: AgentId | None = None
    disposition: str | None = None


class PutAgent(_Command, frozen=True, kw_only=True, tag="agent.put"):
    """Create an agent or replace the agent's record. State, offers and assignments are unchanged."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    """Queues that the agent serves; none: every queue whose required skills the agent has."""
    units: int | None = None
    """Capacity of the agent; none: the policy's default."""
    channel_max: dict[str, int] = {}
    """Overrides of the channels' ``per_agent_max``; 0 excludes a channel."""
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[QueueId, int] = {}
    """Order in which a free agent serves queues, within a priority class: 1 (first) to 9; default 5. At most 1,000 entries."""


class RemoveAgent(_Command, frozen=True, kw_only=True, tag="agent.remove"):
    """Delete an agent without offers and assignments."""

    agent_id: AgentId


class SetAgentState(_Command, frozen=True, kw_only=True, tag="agent.set_state"):
    """Set an agent's state.

    With ``after_work``, an agent who has assignments keeps the present state until the last one is completed. The wanted
    state is stored in ``next_state`` (the last write wins), and no new offers are made meanwhile.
    """

    agent_id: AgentId
    state: AgentState
    reason: str | None = None
    after_work: bool = False


class SetAgentChannels(_Command, frozen=True, kw_only=True, tag="agent.set_channels"):
    """Set the channels on which the agent is paused and gets no new offers. Replaces the whole set; the state is unchanged."""

    agent_id: AgentId
    paused: tuple[str, ...] = ()


class ConnectDesktop(_Command, frozen=True, kw_only=True, tag="agent.connect_desktop"):
    """Report that a desktop session of the agent has connected. It replaces an older session."""

    agent_id: AgentId
    session_id: str


class LoseDesktop(_Command, frozen=True, kw_only=True, tag="agent.lose_desktop"):
    """Report that a desktop session has disconnected. Ignored if a newer session has replaced it."""

    agent_id: AgentId
    session_id: str


class PublishPolicy(_Command, frozen=True, kw_only=True, tag="policy.publish"):
    """Replace the whole policy.

    If ``expected_version`` is set and is not the present version, the command is refused. ``drain_to`` maps each removed
    queue with waiting contacts to the queue that receives them.
    """

    policy: Policy
    expected_version: int | None = None
    drain_to: dict[QueueId, QueueId] = {}
    is_checked: bool = False
    """Whether the caller has found no problem in the policy: checking a large one takes long, so the API does it in a thread."""


class SetShadowPolicy(_Command, frozen=True, kw_only=True, tag="policy.set_shadow"):
    """Run a shadow policy in parallel with the active policy. It replaces an earlier shadow policy."""

    policy: Policy
    is_checked: bool = False
    """Whether the caller has found no problem in the policy."""


class ClearShadowPolicy(_Command, frozen=True, kw_only=True, tag="policy.clear_shadow"):
    """Clear the shadow policy."""


class SetQueueOpen(_Command, frozen=True, kw_only=True, tag="queue.set_open"):
    """Open or close a queue as a supervisor, overriding its calendar. ``is_open`` none: follow the calendar again.

    ``duration_s`` limits the override; none: until the next such command.
    """

    queue_id: QueueId
    is_open: bool | None = None
    duration_s: int | None = None


class Precondition(Struct, frozen=True, kw_only=True, gc=False):
    """Entity tags on which a client makes a command conditional (RFC 9110, 13.1). ``ANY_TAG`` stands for any tag (``*``)."""

    if_match: tuple[str, ...] | None = None
    """Carry out only if the object's tag is one of these; none: whatever its tag is. Weak tags match nothing and are left out."""
    if_none_match: tuple[str, ...] | None = None
    """Carry out only if the object's tag is none of these; none: whatever its tag is."""
    is_required: bool = False
    """Refuse a command without tags if it would replace something."""


ANY_TAG: Final = "*"


class GuardedCommand(_Command, frozen=True, kw_only=True, tag="guarded"):
    """Carry out a command once per idempotency key, and only if the object still has the entity tag that the client has seen.

    A repeated key with the same fingerprint returns the first answer, whatever has happened since; with another fingerprint it
    is refused with ``IDEMPOTENCY_KEY_REUSED``. A refused command does not use up its key.
    """

    command: "PlainCommand"
    client: str = ""
    """Client to which the key belongs, for its share of the stored keys."""
    dedupe_key: bytes | None = None
    fingerprint: bytes = b""
    precondition: Precondition | None = None


class AdvanceTime(_Command, frozen=True, kw_only=True, tag="time.advance"):
    """Fire the timers that are due."""


PlainCommand: TypeAlias = (
    EnqueueContact
    | RequestContact
    | ChooseOption
    | CancelRequest
    | ChangeCustomerToken
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
    | ExtendWrapUp
    | CompleteAssignment
    | PutAgent
    | RemoveAgent
    | SetAgentState
    | SetAgentChannels
    | ConnectDesktop
    | LoseDesktop
    | PublishPolicy
    | SetShadowPolicy
    | ClearShadowPolicy
    | SetQueueOpen
    | AdvanceTime
)
Command: TypeAlias = PlainCommand | GuardedCommand
