"""What happens to agents: offers, conversations and assignments, and what they or their desktops say of themselves.

Words alone; what holds for every event (tags, fields, ``gateway_id``, ``members``) stands in ``events.py``.
"""

# msgspec copies an empty default for every struct; ruff knows that only of a class whose base it sees in the same file.
# ruff: noqa: RUF012

from router.model.event_struct import EventStruct
from router.model.ids import AgentId, AssignmentId, ContactId, GatewayId, OfferId, QueueId
from router.model.policy import FactValue
from router.model.states import AgentState, AssignmentRole, Turn


class OfferMade(EventStruct, frozen=True, tag="offer.made"):
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
    turn: Turn | None = None
    """Whose turn it was; none on a transfer, and in journals from before it was recorded."""
    others: int = 0
    """How many other agents could have taken it then, where ``turn`` is set; -1: too many kinds of them to count."""
    values: dict[str, FactValue] | None = None
    """What the rule compared, as it was for this agent."""


class OfferAccepted(EventStruct, frozen=True, kw_only=True, tag="offer.accepted"):
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


class OfferDeclined(EventStruct, frozen=True, kw_only=True, tag="offer.declined"):
    """The agent said no."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    cool_down_until_ms: int | None = None
    from_agent_id: AgentId | None = None
    """A transfer or a consult: the owner, who keeps the contact."""


class OfferExpired(EventStruct, frozen=True, kw_only=True, tag="offer.expired"):
    """Nobody answered in time (RONA)."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str = "no_answer"
    cool_down_until_ms: int | None = None
    from_agent_id: AgentId | None = None
    """A transfer or a consult: the owner, who keeps the contact."""


class OfferRescinded(EventStruct, frozen=True, kw_only=True, tag="offer.rescinded"):
    """Taken back by the router.

    Reasons: ``customer_left``, ``cancelled``, ``expired``, ``taken`` (another agent accepted), ``agent_not_ready``,
    ``moved``, ``updated``, ``owner_ended``, ``policy``, ``callback``, ``consult_cancelled``.
    """

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    from_agent_id: AgentId | None = None


class ParticipantAdded(EventStruct, frozen=True, kw_only=True, tag="participant.added"):
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


class ParticipantJoined(EventStruct, frozen=True, kw_only=True, tag="participant.joined"):
    """A consulted agent is in the conversation with the customer from here on."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ParticipantLeft(EventStruct, frozen=True, kw_only=True, tag="participant.left"):
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


class ContactHandedOver(EventStruct, frozen=True, kw_only=True, tag="contact.handed_over"):
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


class AssignmentHeld(EventStruct, frozen=True, kw_only=True, tag="assignment.held"):
    """The customer is on hold. ``reason`` ``consult``: put there by the router, until the consult is over."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    reason: str | None = None


class AssignmentResumed(EventStruct, frozen=True, kw_only=True, tag="assignment.resumed"):
    """The customer is off hold."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId


class AssignmentParked(EventStruct, frozen=True, kw_only=True, tag="assignment.parked"):
    """The customer is waited for: the conversation goes on later and uses no capacity until then."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    until_ms: int | None = None
    """When the contact ends if nobody takes it up again; none: never."""
    gateway_id: GatewayId = ""


class AssignmentUnparked(EventStruct, frozen=True, kw_only=True, tag="assignment.unparked"):
    """The conversation goes on and uses capacity again."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    gateway_id: GatewayId = ""


class WrapUpStarted(EventStruct, frozen=True, kw_only=True, tag="assignment.wrap_up_started"):
    """After-contact work until the deadline."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    deadline_ms: int


class WrapUpExtended(EventStruct, frozen=True, kw_only=True, tag="assignment.wrap_up_extended"):
    """More of it."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    deadline_ms: int


class AssignmentCompleted(EventStruct, frozen=True, kw_only=True, tag="assignment.completed"):
    """The agent is done with it, exactly once.

    Reasons: ``finished``, ``timer``, ``no_wrap_up``, ``lost_desktop``, ``consult_ended``, ``callback_failed``.
    """

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    disposition: str | None = None


class AgentUpdated(EventStruct, frozen=True, kw_only=True, tag="agent.updated"):
    """The agent's record is now this."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    units: int | None = None
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[QueueId, int] = {}


class AgentRemoved(EventStruct, frozen=True, kw_only=True, tag="agent.removed"):
    """The agent is no more."""

    agent_id: AgentId


class AgentStateChanged(EventStruct, frozen=True, kw_only=True, tag="agent.state_changed"):
    """Ready, not ready or offline from now on. ``reason`` ``rona`` and ``desktop_lost`` are the router's own."""

    agent_id: AgentId
    state: AgentState
    from_state: AgentState
    reason: str | None = None
    return_at_ms: int | None = None
    """When he is READY again by himself."""


class AgentNextStateSet(EventStruct, frozen=True, kw_only=True, tag="agent.next_state_set"):
    """The state that follows when his work is done; none: the slot is empty again."""

    agent_id: AgentId
    state: AgentState | None = None
    reason: str | None = None


class AgentChannelsSet(EventStruct, frozen=True, kw_only=True, tag="agent.channels_set"):
    """Of these channels, and of no others, the agent takes nothing new from here on."""

    agent_id: AgentId
    paused: tuple[str, ...] = ()


class DesktopConnected(EventStruct, frozen=True, kw_only=True, tag="agent.desktop_connected"):
    """A desktop session stands behind the agent."""

    agent_id: AgentId
    session_id: str


class DesktopLost(EventStruct, frozen=True, kw_only=True, tag="agent.desktop_lost"):
    """The session is gone; no new offers. After the grace period he is OFFLINE."""

    agent_id: AgentId
    session_id: str
    grace_until_ms: int
