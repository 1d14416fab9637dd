"""Events of agents: offers, conversations, assignments, states and desktops.

The conventions of all events (tags, fields, ``gateway_id``, ``members``) are documented in the package ``router.model.events``.
"""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

from router.model.events.workspace import EventStruct
from router.model.ids import AgentId, AssignmentId, ContactId, GatewayId, OfferId, QueueId
from router.model.policy import FactValue
from router.model.states import AgentState, AssignmentRole, MatchTrigger


class OfferMade(EventStruct, frozen=True, tag="offer.made"):
    """A contact was offered to an agent, whose capacity is reserved until the deadline."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    channel: str
    queue_id: QueueId
    units: int
    deadline_ms: int
    requirement: str
    effective_priority_s: int
    """Effective priority in seconds, including the queue's."""
    policy_version: int
    reason: str
    """Why this agent was chosen: the queue's selection, ``preferred``, ``transfer`` or ``consult``."""
    waited_ms: int = 0
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    from_agent_id: AgentId | None = None
    """Owner who asked for a transfer (and keeps the contact until it is accepted) or for a consult."""
    gateway_id: GatewayId = ""
    role: AssignmentRole = AssignmentRole.OWNER
    """Role of the agent after accepting."""
    match_trigger: MatchTrigger | None = None
    """What caused the match; none for a transfer or consult, and in journals written before the field existed."""
    other_candidates: int = 0
    """Number of other agents eligible then, if ``match_trigger`` is set; -1: not counted (too many agent groups)."""
    selection_inputs: dict[str, FactValue] | None = None
    """Values of this agent that the selection compared."""


class OfferAccepted(EventStruct, frozen=True, kw_only=True, tag="offer.accepted"):
    """The offer has become the assignment of the same id. In a transfer, the old owner's assignment ends with this event.

    With the role ``consult``, ``from_agent_id`` is the owner, who keeps the contact, and ``from_assignment_id`` is none.
    """

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    waited_ms: int
    """Time from the contact's submit to this event."""
    from_assignment_id: AssignmentId | None = None
    from_agent_id: AgentId | None = None
    gateway_id: GatewayId = ""
    members: dict[AgentId, AssignmentRole] | None = None
    role: AssignmentRole = AssignmentRole.OWNER


class OfferDeclined(EventStruct, frozen=True, kw_only=True, tag="offer.declined"):
    """The agent declined the offer."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    cool_down_until_ms: int | None = None
    from_agent_id: AgentId | None = None
    """For a transfer or a consult: the owner, who keeps the contact."""


class OfferExpired(EventStruct, frozen=True, kw_only=True, tag="offer.expired"):
    """The agent did not answer before the deadline (RONA)."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str = "no_answer"
    cool_down_until_ms: int | None = None
    from_agent_id: AgentId | None = None
    """For a transfer or a consult: the owner, who keeps the contact."""


class OfferRescinded(EventStruct, frozen=True, kw_only=True, tag="offer.rescinded"):
    """The router has withdrawn the offer.

    Reasons: ``customer_left``, ``cancelled``, ``expired``, ``taken`` (another agent accepted), ``agent_not_ready``,
    ``moved``, ``updated``, ``owner_ended``, ``policy``, ``callback``, ``consult_cancelled``.
    """

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    from_agent_id: AgentId | None = None


class ParticipantAdded(EventStruct, frozen=True, kw_only=True, tag="participant.added"):
    """A supervisor has added an agent to the conversation."""

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
    """A consulted agent has joined the conversation with the customer."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ParticipantLeft(EventStruct, frozen=True, kw_only=True, tag="participant.left"):
    """A consulted agent or a participant has left; the owner keeps the contact. ``members`` are those who remain.

    Reasons: ``left``, ``removed``, ``finished``, ``lost_desktop``, ``consult_cancelled``, ``owner_changed`` (a consult ends when
    the owner who asked no longer owns the contact), ``contact_ended``, ``contact_moved``.
    """

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    role: AssignmentRole
    reason: str
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ContactHandedOver(EventStruct, frozen=True, kw_only=True, tag="contact.handed_over"):
    """Another agent of the conversation now owns the contact; ``from_agent_id`` owned it until this event.

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
    """The customer is on hold. With the reason ``consult`` the router did it, until the consult is over."""

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
    """The conversation is parked until the customer replies; it uses no capacity meanwhile."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    until_ms: int | None = None
    """When the contact ends unless it is resumed; none: never."""
    gateway_id: GatewayId = ""


class AssignmentUnparked(EventStruct, frozen=True, kw_only=True, tag="assignment.unparked"):
    """The conversation has been resumed and uses capacity again."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    gateway_id: GatewayId = ""


class WrapUpStarted(EventStruct, frozen=True, kw_only=True, tag="assignment.wrap_up_started"):
    """After-contact work has begun and ends at the deadline."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    deadline_ms: int


class WrapUpExtended(EventStruct, frozen=True, kw_only=True, tag="assignment.wrap_up_extended"):
    """The wrap-up has been extended to a new deadline."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    deadline_ms: int


class AssignmentCompleted(EventStruct, frozen=True, kw_only=True, tag="assignment.completed"):
    """The assignment is completed; emitted exactly once for each assignment.

    Reasons: ``finished``, ``timer``, ``no_wrap_up``, ``lost_desktop``, ``consult_ended``, ``callback_failed``.
    """

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    disposition: str | None = None


class AgentUpdated(EventStruct, frozen=True, kw_only=True, tag="agent.updated"):
    """The agent's record was created or replaced; all fields hold the new values."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    units: int | None = None
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[QueueId, int] = {}


class AgentRemoved(EventStruct, frozen=True, kw_only=True, tag="agent.removed"):
    """The agent was deleted."""

    agent_id: AgentId


class AgentStateChanged(EventStruct, frozen=True, kw_only=True, tag="agent.state_changed"):
    """The agent's state has changed. The reasons ``rona`` and ``desktop_lost`` are set by the router."""

    agent_id: AgentId
    state: AgentState
    from_state: AgentState
    reason: str | None = None
    return_at_ms: int | None = None
    """When the router sets the agent READY again."""


class AgentNextStateSet(EventStruct, frozen=True, kw_only=True, tag="agent.next_state_set"):
    """State that follows when the agent's work is done; none: the pending state was removed."""

    agent_id: AgentId
    state: AgentState | None = None
    reason: str | None = None


class AgentChannelsSet(EventStruct, frozen=True, kw_only=True, tag="agent.channels_set"):
    """The agent is paused on exactly these channels and gets no new offers on them."""

    agent_id: AgentId
    paused: tuple[str, ...] = ()


class DesktopConnected(EventStruct, frozen=True, kw_only=True, tag="agent.desktop_connected"):
    """A desktop session of the agent has connected."""

    agent_id: AgentId
    session_id: str


class DesktopLost(EventStruct, frozen=True, kw_only=True, tag="agent.desktop_lost"):
    """The desktop session has disconnected: no new offers. After the grace period the agent is set OFFLINE."""

    agent_id: AgentId
    session_id: str
    grace_until_ms: int
