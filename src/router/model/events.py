"""What has happened. Events are the only thing that changes a workspace's state, and the only thing the journal keeps.

An event does not carry its own position or time: the record that holds it does (``seq`` of its first event, ``at_ms``).
The ``tag`` strings are for ever: they stand in journals. Fields are only ever added, with a default.
``gateway_id`` on contact events says which gateway hears of them; ``agent_id``, which desktop. ``members`` is everybody in the
conversation once the event has happened, by agent, where anybody is or was in it beside its owner: they hear of it, too.
"""

from typing import TypeAlias

from msgspec import Struct

from router.model.ids import AgentId, AssignmentId, ContactId, GatewayId, OfferId, QueueId
from router.model.policy import FactValue, Policy
from router.model.states import AgentState, AssignmentRole


class _Event(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", omit_defaults=True):
    """Frozen, keyword-only, with a stable tag; defaults are left out of the journal."""


class ContactQueued(_Event, frozen=True, kw_only=True, tag="contact.queued"):
    """A contact was submitted and waits. Its place in line counts from here for as long as it lives."""

    contact_id: ContactId
    channel: str
    queue_id: QueueId
    req: str
    """The requirement class, as text: channel, queue and skills with their levels."""
    cfg: int
    """The policy version it was decided under."""
    skills: dict[str, int] = {}
    """The contact's own requirement (the queue's is added to it)."""
    priority_s: int = 0
    strict_class: int = 0
    attributes: dict[str, FactValue] = {}
    ttl_at_ms: int | None = None
    wait_until_ms: int | None = None
    """When it overflows or expires from this queue."""
    gateway_id: GatewayId = ""
    reference: str | None = None
    dedupe_key: bytes | None = None
    fingerprint: bytes | None = None
    plan: str | None = None
    """Its own plan; none: the queue's, where it has one."""
    step: int = 0
    """The first step of the plan that was not skipped."""
    step_until_ms: int | None = None
    """When that step ends."""
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None


class ContactUpdated(_Event, frozen=True, kw_only=True, tag="contact.updated"):
    """Priority, class, requirement or attributes of a live contact are now these."""

    contact_id: ContactId
    req: str
    skills: dict[str, int] = {}
    priority_s: int = 0
    strict_class: int = 0
    attributes: dict[str, FactValue] = {}
    agent_id: AgentId | None = None
    """The owner, where it has one."""
    gateway_id: GatewayId = ""
    preferred_agents: tuple[AgentId, ...] = ()
    members: dict[AgentId, AssignmentRole] | None = None


class ContactRequeued(_Event, frozen=True, kw_only=True, tag="contact.requeued"):
    """The contact waits again, at its old age. ``agent_id``: the agent who lost it, where there was one.

    Reasons: ``declined``, ``rona``, ``rescinded``, ``transferred``, ``supervisor``, ``lost_desktop``, ``drained``.
    """

    contact_id: ContactId
    queue_id: QueueId
    req: str
    reason: str
    orig_seq: int
    """The seq of its ContactQueued: equal priorities go by this."""
    wait_until_ms: int | None = None
    preferred_agent_id: AgentId | None = None
    preferred_until_ms: int | None = None
    """Until then nobody else may have it."""
    agent_id: AgentId | None = None
    cool_down_until_ms: int | None = None
    """Until then ``agent_id`` does not get it again."""
    gateway_id: GatewayId = ""
    plan: str | None = None
    step: int = 0
    step_until_ms: int | None = None
    back_agent_id: AgentId | None = None
    """Who may have it next when ``preferred_agent_id`` has not taken it, before everybody."""
    back_ms: int | None = None
    """For how long."""


class ContactOverflowed(_Event, frozen=True, kw_only=True, tag="contact.overflowed"):
    """Waited too long in one queue; waits on in another, at its old age."""

    contact_id: ContactId
    from_queue_id: QueueId
    queue_id: QueueId
    req: str
    wait_until_ms: int | None = None
    gateway_id: GatewayId = ""
    plan: str | None = None
    step: int = 0
    step_until_ms: int | None = None


class ContactRelaxed(_Event, frozen=True, kw_only=True, tag="contact.relaxed"):
    """The time of the preferred agent is over: everybody eligible may have it."""

    contact_id: ContactId
    req: str
    gateway_id: GatewayId = ""


class ContactStepEntered(_Event, frozen=True, kw_only=True, tag="contact.step_entered"):
    """Another step of its plan holds. Reasons: ``time``, ``absent`` (no preferred agent is there any more), ``policy``."""

    contact_id: ContactId
    queue_id: QueueId
    step: int
    req: str
    reason: str
    step_until_ms: int | None = None
    """When it ends; none: it is the last."""
    gateway_id: GatewayId = ""


class ContactAssigned(_Event, frozen=True, kw_only=True, tag="contact.assigned"):
    """A supervisor gave the contact to an agent. ``from_agent_id`` owned it until this very event."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    units: int
    waited_ms: int
    channel: str = ""
    queue_id: QueueId = ""
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    from_assignment_id: AssignmentId | None = None
    from_agent_id: AgentId | None = None
    gateway_id: GatewayId = ""
    members: dict[AgentId, AssignmentRole] | None = None


class ContactAbandoned(_Event, frozen=True, kw_only=True, tag="contact.abandoned"):
    """Terminal: the customer left before an answer."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str = "customer_left"
    gateway_id: GatewayId = ""


class ContactCancelled(_Event, frozen=True, kw_only=True, tag="contact.cancelled"):
    """Terminal: withdrawn by the gateway or a supervisor before an answer."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str
    gateway_id: GatewayId = ""


class ContactExpired(_Event, frozen=True, kw_only=True, tag="contact.expired"):
    """Terminal: its time to live (``ttl``) or the queue's longest wait (``wait_max``) is over."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str
    gateway_id: GatewayId = ""


class ContactEnded(_Event, frozen=True, kw_only=True, tag="contact.ended"):
    """Terminal: the conversation is over. Reasons: ``ended``, ``customer_left``, ``completed``, ``supervisor``…"""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    reason: str
    gateway_id: GatewayId = ""


class OfferMade(_Event, frozen=True, kw_only=True, tag="offer.made"):
    """An agent's capacity is held for one contact until a deadline."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    channel: str
    queue_id: QueueId
    units: int
    deadline_ms: int
    req: str
    prio: int
    """Effective priority in seconds of credit, the queue's included."""
    cfg: int
    reason: str
    """Why this agent: the queue's selection rule, ``preferred``, ``transfer`` or ``consult``."""
    waited_ms: int = 0
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    from_agent_id: AgentId | None = None
    """A transfer or a consult: this agent keeps the contact, with a transfer until the offer is accepted."""
    gateway_id: GatewayId = ""
    role: AssignmentRole = AssignmentRole.OWNER
    """What he is to the contact once he accepts."""


class OfferAccepted(_Event, frozen=True, kw_only=True, tag="offer.accepted"):
    """The offer became the assignment of the same id. On a transfer the old owner loses it in this very event.

    With ``role`` ``consult`` ``from_agent_id`` is the owner, who keeps the contact; ``from_assignment_id`` is none.
    """

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    waited_ms: int
    """From the contact's submit to this answer."""
    from_assignment_id: AssignmentId | None = None
    from_agent_id: AgentId | None = None
    gateway_id: GatewayId = ""
    members: dict[AgentId, AssignmentRole] | None = None
    role: AssignmentRole = AssignmentRole.OWNER


class OfferDeclined(_Event, frozen=True, kw_only=True, tag="offer.declined"):
    """The agent said no."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    cool_down_until_ms: int | None = None
    from_agent_id: AgentId | None = None
    """A transfer or a consult: the owner, who keeps the contact."""


class OfferExpired(_Event, frozen=True, kw_only=True, tag="offer.expired"):
    """Nobody answered in time (RONA)."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str = "no_answer"
    cool_down_until_ms: int | None = None
    from_agent_id: AgentId | None = None
    """A transfer or a consult: the owner, who keeps the contact."""


class OfferRescinded(_Event, frozen=True, kw_only=True, tag="offer.rescinded"):
    """Taken back by the router.

    Reasons: ``customer_left``, ``cancelled``, ``expired``, ``taken`` (another agent accepted), ``agent_not_ready``,
    ``moved``, ``updated``, ``owner_ended``, ``policy``, ``consult_cancelled``.
    """

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    from_agent_id: AgentId | None = None


class ParticipantAdded(_Event, frozen=True, kw_only=True, tag="participant.added"):
    """A supervisor put an agent into the conversation."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    units: int
    channel: str
    queue_id: QueueId
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ParticipantJoined(_Event, frozen=True, kw_only=True, tag="participant.joined"):
    """A consulted agent is in the conversation with the customer from here on."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ParticipantLeft(_Event, frozen=True, kw_only=True, tag="participant.left"):
    """A consulted agent or a participant is out of it; the owner keeps the contact. ``members``: those who stay.

    Reasons: ``left``, ``removed``, ``finished``, ``lost_desktop``, ``consult_cancelled``, ``owner_changed`` (a consult ends with
    the owner who asked), ``contact_ended``, ``contact_moved``.
    """

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    role: AssignmentRole
    reason: str
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ContactHandedOver(_Event, frozen=True, kw_only=True, tag="contact.handed_over"):
    """Somebody who was in it already owns the contact from here on; ``from_agent_id`` owned it until this very event.

    Reasons: ``consult`` (a warm transfer), ``hand_over``, ``supervisor``, ``lost_desktop``.
    """

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    from_assignment_id: AssignmentId
    from_agent_id: AgentId
    reason: str
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class AssignmentHeld(_Event, frozen=True, kw_only=True, tag="assignment.held"):
    """The customer is on hold. ``reason`` ``consult``: put there by the router, until the consult is over."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    reason: str | None = None


class AssignmentResumed(_Event, frozen=True, kw_only=True, tag="assignment.resumed"):
    """The customer is off hold."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId


class WrapUpStarted(_Event, frozen=True, kw_only=True, tag="assignment.wrap_up_started"):
    """After-contact work until the deadline."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    deadline_ms: int


class WrapUpExtended(_Event, frozen=True, kw_only=True, tag="assignment.wrap_up_extended"):
    """More of it."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    deadline_ms: int


class AssignmentCompleted(_Event, frozen=True, kw_only=True, tag="assignment.completed"):
    """The agent is done with it, exactly once.

    Reasons: ``finished``, ``timer``, ``no_wrap_up``, ``lost_desktop``, ``consult_ended``.
    """

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    disposition: str | None = None


class AgentUpdated(_Event, frozen=True, kw_only=True, tag="agent.updated"):
    """The agent's record is now this."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    units: int | None = None
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}


class AgentRemoved(_Event, frozen=True, kw_only=True, tag="agent.removed"):
    """The agent is no more."""

    agent_id: AgentId


class AgentStateChanged(_Event, frozen=True, kw_only=True, tag="agent.state_changed"):
    """Ready, not ready or offline from now on. ``reason`` ``rona`` and ``desktop_lost`` are the router's own."""

    agent_id: AgentId
    state: AgentState
    from_state: AgentState
    reason: str | None = None
    return_at_ms: int | None = None
    """When he is READY again by himself."""


class AgentNextStateSet(_Event, frozen=True, kw_only=True, tag="agent.next_state_set"):
    """The state that follows when his work is done; none: the slot is empty again."""

    agent_id: AgentId
    state: AgentState | None = None
    reason: str | None = None


class DesktopConnected(_Event, frozen=True, kw_only=True, tag="agent.desktop_connected"):
    """A desktop session stands behind the agent."""

    agent_id: AgentId
    session_id: str


class DesktopLost(_Event, frozen=True, kw_only=True, tag="agent.desktop_lost"):
    """The session is gone; no new offers. After the grace period he is OFFLINE."""

    agent_id: AgentId
    session_id: str
    grace_until_ms: int


class PolicyPublished(_Event, frozen=True, kw_only=True, tag="policy.published"):
    """This policy holds from here on."""

    version: int
    policy: Policy
    drain_to: dict[QueueId, QueueId] = {}
    """Where the contacts of removed queues belong from here on; those that wait are moved by events of their own."""


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
    | WrapUpStarted
    | WrapUpExtended
    | AssignmentCompleted
    | AgentUpdated
    | AgentRemoved
    | AgentStateChanged
    | AgentNextStateSet
    | DesktopConnected
    | DesktopLost
    | PolicyPublished
)
