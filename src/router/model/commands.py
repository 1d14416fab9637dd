"""What the world asks of a workspace's engine.

A command is plain data; the writer adds the time. Who asks (``actor``) travels beside it into the journal's record.
The shell makes every id of a new thing and fetches everything that a decision needs *before* it sends the command: the
core never asks.
"""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from router.model.callbacks import CallbackFields, CallbackOutcome
from router.model.ids import AgentId, AssignmentId, ContactId, GatewayId, OfferId, QueueId
from router.model.policy import FactValue, Policy
from router.model.states import AgentState


class _Command(Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """Frozen, keyword-only, with a stable tag."""


class EnqueueContact(_Command, frozen=True, kw_only=True, tag="contact.enqueue"):
    """Submit a contact. Without ``queue_id`` the policy's entry rules choose.

    The same ``dedupe_key`` with the same ``fingerprint`` gets the first answer again; with another one, ``KEY_REUSED``.
    """

    contact_id: ContactId
    channel: str
    queue_id: QueueId | None = None
    skills: dict[str, int] = {}
    priority_s: int = 0
    strict_class: int = 0
    attributes: dict[str, FactValue] = {}
    ttl_s: int | None = None
    preferred_agents: tuple[AgentId, ...] = ()
    """Whom the customer belongs to, for steps that prefer the agents ``named``; unknown ones are no error."""
    continues: ContactId | None = None
    """The contact that this one goes on with: its agent is the ``last`` one. One that is forgotten is no error."""
    gateway_id: GatewayId = ""
    reference: str | None = None
    dedupe_key: bytes | None = None
    fingerprint: bytes | None = None
    callback: CallbackFields | None = None
    """Set: the customer is not on the line; he is to be called."""


class UpdateContact(_Command, frozen=True, kw_only=True, tag="contact.update"):
    """Change a live contact in flight; what is unset stays. Takes effect at once."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """Set: only the gateway that submitted it may; to others it is unknown."""
    priority_s: int | UnsetType = UNSET
    strict_class: int | UnsetType = UNSET
    skills: dict[str, int] | UnsetType = UNSET
    attributes: dict[str, FactValue] | UnsetType = UNSET
    preferred_agents: tuple[AgentId, ...] | UnsetType = UNSET


class CancelContact(_Command, frozen=True, kw_only=True, tag="contact.cancel"):
    """The gateway withdraws a contact that no agent has yet. Repeating it is no error."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """Set: only the gateway that submitted it may; to others it is unknown."""
    reason: str = "cancelled"


class AbandonContact(_Command, frozen=True, kw_only=True, tag="contact.abandon"):
    """The customer has left. Waiting: abandoned. Assigned: the contact ends. Repeating it is no error."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """Set: only the gateway that submitted it may; to others it is unknown."""


class EndContact(_Command, frozen=True, kw_only=True, tag="contact.end"):
    """The conversation is over; wrap-up begins. ``agent_id`` set: only the owner may. Waiting: the contact is cancelled."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    agent_id: AgentId | None = None
    reason: str = "ended"


class RequeueContact(_Command, frozen=True, kw_only=True, tag="contact.requeue"):
    """A supervisor puts a contact (back) into a queue, with its age. Without ``queue_id``: its own queue."""

    contact_id: ContactId
    queue_id: QueueId | None = None


class TransferContact(_Command, frozen=True, kw_only=True, tag="contact.transfer"):
    """The owner passes an assigned contact on: to a queue at once, or to an agent, who gets an offer.

    Exactly one of ``to_queue_id`` and ``to_agent_id``. The owner keeps the contact until the other agent accepts.
    ``agent_id`` set: only the owner may.

    ``wait_s``, for an agent who cannot take it now: the owner is done with it, and the contact waits so long for that agent alone.
    If he does not take it, it waits ``back_s`` for the agent who passed it on, then for everybody.
    """

    contact_id: ContactId
    to_queue_id: QueueId | None = None
    to_agent_id: AgentId | None = None
    agent_id: AgentId | None = None
    wait_s: int | None = None
    back_s: int | None = None


class AssignContact(_Command, frozen=True, kw_only=True, tag="contact.assign"):
    """A supervisor gives a contact to an agent without an offer; skills are his affair, capacity is not."""

    contact_id: ContactId
    agent_id: AgentId


class RequestCallback(_Command, frozen=True, kw_only=True, tag="callback.request"):
    """A waiting contact becomes a callback and keeps its place. Repeating it on the same terms is no error."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """Set: only the gateway that submitted it may; to others it is unknown."""
    callback: CallbackFields = CallbackFields()


class ReportCallback(_Command, frozen=True, kw_only=True, tag="callback.report"):
    """How the attempt under way went. Repeating the last report is no error."""

    contact_id: ContactId
    outcome: CallbackOutcome
    attempt: int | None = None
    """Which one: the number in ``callback.due``; none: the one under way."""
    gateway_id: GatewayId | None = None
    """Set: only the gateway that submitted it may; to others it is unknown."""


class StartConsult(_Command, frozen=True, kw_only=True, tag="consult.start"):
    """The owner of an assigned contact asks another agent for advice; who that is gets an offer, the owner keeps the contact.

    Exactly one of ``to_agent_id`` and ``to_queue_id``; for a queue its selection chooses among those who could take the
    contact there now, and nobody waits for one. ``agent_id`` set: only the owner may.
    """

    contact_id: ContactId
    to_agent_id: AgentId | None = None
    to_queue_id: QueueId | None = None
    agent_id: AgentId | None = None


class CompleteConsult(_Command, frozen=True, kw_only=True, tag="consult.complete"):
    """The contact passes to the consulted agent (warm transfer). ``agent_id`` set: only the owner may."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class CancelConsult(_Command, frozen=True, kw_only=True, tag="consult.cancel"):
    """The owner goes on alone: a pending consult is taken back, a running one ends. ``agent_id`` set: only the owner may."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class JoinConsult(_Command, frozen=True, kw_only=True, tag="consult.join"):
    """The consult becomes a conference: the consulted agent is a participant. ``agent_id`` set: only the owner may."""

    contact_id: ContactId
    agent_id: AgentId | None = None


class LeaveContact(_Command, frozen=True, kw_only=True, tag="contact.leave"):
    """An agent who is consulted on it, or a participant, leaves the conversation; its owner keeps it.

    ``reason``: ``left``, or ``removed`` where a supervisor takes him out. Repeating it is no error.
    """

    contact_id: ContactId
    agent_id: AgentId
    reason: str = "left"


class HandOver(_Command, frozen=True, kw_only=True, tag="contact.hand_over"):
    """The owner leaves a conference; a participant owns the contact from then on. ``agent_id`` set: only the owner may."""

    contact_id: ContactId
    to_agent_id: AgentId
    agent_id: AgentId | None = None


class AddParticipant(_Command, frozen=True, kw_only=True, tag="participant.add"):
    """A supervisor puts an agent (himself, where he is one) into a conversation; skills are his affair, capacity is not."""

    contact_id: ContactId
    agent_id: AgentId


class AcceptOffer(_Command, frozen=True, kw_only=True, tag="offer.accept"):
    """The agent takes the contact. Repeating a won accept gets the first answer."""

    offer_id: OfferId
    agent_id: AgentId


class DeclineOffer(_Command, frozen=True, kw_only=True, tag="offer.decline"):
    """The agent does not take it; the contact goes back to its place."""

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
    """The owner waits for the customer: the conversation stays his and gives its capacity back."""

    assignment_id: AssignmentId
    agent_id: AgentId


class UnparkAssignment(_Command, frozen=True, kw_only=True, tag="assignment.unpark"):
    """The owner takes it up again, also above his capacity."""

    assignment_id: AssignmentId
    agent_id: AgentId


class ParkContact(_Command, frozen=True, kw_only=True, tag="contact.park"):
    """The gateway says that the customer is to be waited for. Repeating it is no error."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """Set: only the gateway that submitted it may; to others it is unknown."""


class UnparkContact(_Command, frozen=True, kw_only=True, tag="contact.unpark"):
    """The customer has written again. No error where the contact was not parked."""

    contact_id: ContactId
    gateway_id: GatewayId | None = None
    """Set: only the gateway that submitted it may; to others it is unknown."""


class ExtendWrapUp(_Command, frozen=True, kw_only=True, tag="assignment.extend_wrap_up"):
    """More time for wrap-up, within the channel's ``wrap_up_max_s``."""

    assignment_id: AssignmentId
    agent_id: AgentId
    extend_s: int


class CompleteAssignment(_Command, frozen=True, kw_only=True, tag="assignment.complete"):
    """Finish wrap-up early, with a disposition. While still talking: ends the contact and skips wrap-up.

    ``agent_id`` none: a supervisor does it.
    """

    assignment_id: AssignmentId
    agent_id: AgentId | None = None
    disposition: str | None = None


class PutAgent(_Command, frozen=True, kw_only=True, tag="agent.put"):
    """Create an agent or replace his record. His state and his work stay as they are."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    """The queues he serves; none: every queue whose skills he has."""
    units: int | None = None
    """His capacity; none: the policy's default."""
    channel_max: dict[str, int] = {}
    """Overrides of the channels' ``per_agent_max``; 0 takes a channel from him."""
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[QueueId, int] = {}
    """Which queues he serves first when he becomes free, below the strict class: 1 (first) to 9; not named: 5. At most 1,000."""


class RemoveAgent(_Command, frozen=True, kw_only=True, tag="agent.remove"):
    """Delete an agent who has no offers and no assignments."""

    agent_id: AgentId


class SetAgentState(_Command, frozen=True, kw_only=True, tag="agent.set_state"):
    """Go ready, not ready or offline.

    ``after_work``: with work in hand, the state waits in the one slot ``next_state`` (last write wins) until the last
    assignment is completed; meanwhile no new offers come.
    """

    agent_id: AgentId
    state: AgentState
    reason: str | None = None
    after_work: bool = False


class SetAgentChannels(_Command, frozen=True, kw_only=True, tag="agent.set_channels"):
    """The channels of which the agent takes nothing new for the time being: the whole set. His state stays as it is."""

    agent_id: AgentId
    paused: tuple[str, ...] = ()


class ConnectDesktop(_Command, frozen=True, kw_only=True, tag="agent.connect_desktop"):
    """A desktop session stands behind the agent. A newer session takes the place of an older one."""

    agent_id: AgentId
    session_id: str


class LoseDesktop(_Command, frozen=True, kw_only=True, tag="agent.lose_desktop"):
    """That session is gone. Ignored where a newer one has taken its place."""

    agent_id: AgentId
    session_id: str


class PublishPolicy(_Command, frozen=True, kw_only=True, tag="policy.publish"):
    """Replace the policy as a whole. ``expected_version``: refuse unless this is the present one.

    ``drain_to`` names, for each removed queue that has contacts waiting, the queue that takes them.
    """

    policy: Policy
    expected_version: int | None = None
    drain_to: dict[QueueId, QueueId] = {}


class SetShadowPolicy(_Command, frozen=True, kw_only=True, tag="policy.set_shadow"):
    """Let this policy run beside the one in force; it takes the place of the shadow before it."""

    policy: Policy


class ClearShadowPolicy(_Command, frozen=True, kw_only=True, tag="policy.clear_shadow"):
    """End the shadow."""


class SetQueueOpen(_Command, frozen=True, kw_only=True, tag="queue.set_open"):
    """A supervisor opens or closes a queue whatever its calendar says; ``is_open`` none: back to the calendar.

    ``for_s``: only for so long, then the calendar again; none: until the next such command.
    """

    queue_id: QueueId
    is_open: bool | None = None
    for_s: int | None = None


class AdvanceTime(_Command, frozen=True, kw_only=True, tag="time.advance"):
    """Nothing but time has passed: due timers fire."""


Command: TypeAlias = (
    EnqueueContact
    | UpdateContact
    | CancelContact
    | AbandonContact
    | EndContact
    | RequeueContact
    | TransferContact
    | AssignContact
    | RequestCallback
    | ReportCallback
    | StartConsult
    | CompleteConsult
    | CancelConsult
    | JoinConsult
    | LeaveContact
    | HandOver
    | AddParticipant
    | AcceptOffer
    | DeclineOffer
    | HoldAssignment
    | ResumeAssignment
    | ParkAssignment
    | UnparkAssignment
    | ParkContact
    | UnparkContact
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
