"""Events of agents: offers, conversations, assignments, states and desktops.

The conventions of all events (tags, fields, ``gateway_id``, ``members``) are documented in the package ``router.model.events``.
"""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

from router.model.events.workspace import EventStruct
from router.model.policy import FactValue
from router.model.states import (
    AgentId,
    AgentState,
    AssignmentId,
    AssignmentRole,
    CallbackPhase,
    ContactId,
    EndedBy,
    GatewayId,
    MatchTrigger,
    OfferId,
    QueueId,
    TeamId,
)


class OfferMade(EventStruct, frozen=True, tag="offer.made"):
    """A contact was offered to an agent, whose capacity is reserved until the deadline."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    channel: str
    queue_id: QueueId
    units: int
    """Capacity units that the offer reserves."""
    deadline_ms: int
    """Time by which the agent must answer, epoch milliseconds."""
    requirement: str
    effective_priority_s: int
    """Effective priority in seconds, including the queue's."""
    policy_version: int
    """Version of the active policy."""
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
    """What caused the match; null for a transfer or consult, and in journals written before the field existed."""
    other_candidates: int = 0
    """Number of other agents eligible then, if ``match_trigger`` is set; -1: not counted (too many agent groups)."""
    selection_inputs: dict[str, FactValue] | None = None
    """Values of this agent that the selection compared."""
    to_queue_id: QueueId | None = None
    """Consulted queue, whose selection chose the agent of a consult; null: the owner chose the agent, or it is no consult."""
    callback_phase: CallbackPhase | None = None
    """Phase of the contact's callback; null: it is no callback, and the customer is on the line."""


class OfferAccepted(EventStruct, frozen=True, kw_only=True, tag="offer.accepted"):
    """The offer has become the assignment of the same id. In a transfer, the old owner's assignment ends with this event.

    With the role ``consult``, ``from_agent_id`` is the owner, who keeps the contact, and ``from_assignment_id`` is null.
    With ``takes_over`` as well, the contact itself was offered: the agent owns it once the customer is connected on the channel.
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
    closed_ms: int = 0
    """Time since the submit that it waited for openings and that does not count as waiting, in milliseconds."""
    takes_over: bool = False
    """Whether the agent, in the role ``consult``, was offered the contact, for a switch of its channel."""


class OfferDeclined(EventStruct, frozen=True, kw_only=True, tag="offer.declined"):
    """The agent declined the offer."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    """Reason given by the agent; ``declined`` if none was given."""
    cool_down_until_ms: int | None = None
    """Until then the contact is not offered to the agent again; null: no limit."""
    from_agent_id: AgentId | None = None
    """For a transfer or a consult: the owner, who keeps the contact."""


class OfferExpired(EventStruct, frozen=True, kw_only=True, tag="offer.expired"):
    """The agent did not answer before the deadline (RONA)."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str = "no_answer"
    """``no_answer``."""
    cool_down_until_ms: int | None = None
    """Until then the contact is not offered to the agent again; null: no limit."""
    from_agent_id: AgentId | None = None
    """For a transfer or a consult: the owner, who keeps the contact."""


class OfferRescinded(EventStruct, frozen=True, kw_only=True, tag="offer.rescinded"):
    """The router has withdrawn the offer."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    """``customer_left``, ``cancelled``, ``expired``, ``taken`` (another agent accepted), ``agent_not_ready``, ``agent_updated``
    (the agent was changed and no longer qualifies), ``moved`` (the contact was moved), ``updated`` (the contact was changed and
    the agent no longer meets its requirement), ``owner_ended`` (the owner ended the conversation), ``policy`` (the policy was
    replaced), ``step`` (the plan has moved on to other agents), ``callback``, ``suspended``, ``channel`` (the contact switches
    to another channel), ``consult_cancelled`` or ``transfer_cancelled`` (the owner has withdrawn it)."""
    from_agent_id: AgentId | None = None
    """Owner who asked for a transfer or consult, if any."""


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
    callback_phase: CallbackPhase | None = None
    """Phase of the contact's callback; null: it is no callback."""


class ParticipantJoined(EventStruct, frozen=True, kw_only=True, tag="participant.joined"):
    """A consulted agent has joined the conversation with the customer."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ParticipantLeft(EventStruct, frozen=True, kw_only=True, tag="participant.left"):
    """A consulted agent or a participant has left; the owner keeps the contact. ``members`` are those who remain."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    role: AssignmentRole
    """Role until this event."""
    reason: str
    """``left``, ``removed`` (by a supervisor), ``finished`` (the assignment was completed), ``lost_desktop``,
    ``consult_cancelled``, ``owner_changed`` (a consult ends when the owner who asked no longer owns the contact),
    ``contact_ended``, ``contact_moved`` or ``contact_suspended``."""
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""
    ended_by: EndedBy | None = None
    """With the reason ``contact_ended``: who or what ended the contact."""


class ContactHandedOver(EventStruct, frozen=True, kw_only=True, tag="contact.handed_over"):
    """Another agent of the conversation now owns the contact; ``from_agent_id`` owned it until this event."""

    contact_id: ContactId
    assignment_id: AssignmentId
    """Assignment of the new owner."""
    agent_id: AgentId
    """New owner."""
    from_assignment_id: AssignmentId
    from_agent_id: AgentId
    reason: str
    """``consult`` (a warm transfer), ``hand_over``, ``channel`` (the customer is connected with this agent on another channel),
    ``supervisor`` or ``lost_desktop``."""
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""
    queue_id: QueueId | None = None
    """Queue of the contact from now on, if the new owner was reached through another one; null: unchanged."""


class AssignmentHeld(EventStruct, frozen=True, kw_only=True, tag="assignment.held"):
    """The customer is on hold. With the reason ``consult`` the router did it, until the consult is over."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    reason: str | None = None
    """``consult``: the router did it, until the consult is over; null: the agent did it."""


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
    """When the contact ends unless it is unparked; null: never."""
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
    """End of the wrap-up, epoch milliseconds."""


class WrapUpExtended(EventStruct, frozen=True, kw_only=True, tag="assignment.wrap_up_extended"):
    """The wrap-up has been extended to a new deadline."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    deadline_ms: int
    """New end of the wrap-up, epoch milliseconds."""


class AssignmentCompleted(EventStruct, frozen=True, kw_only=True, tag="assignment.completed"):
    """The assignment is completed; emitted exactly once for each assignment."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    """``finished`` (the agent or a supervisor completed it), ``timer`` (the wrap-up time was over), ``no_wrap_up``,
    ``lost_desktop``, ``consult_ended``, ``callback_failed`` or ``owner_away`` (the parked contact was requeued, because its
    owner was not ready)."""
    disposition: str | None = None
    """Disposition code; null: none was given."""


class DispositionRecorded(EventStruct, frozen=True, kw_only=True, tag="assignment.disposition_recorded"):
    """A disposition was given after the assignment had been completed without one, usually by the end of the wrap-up time."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    disposition: str
    """Disposition code."""


class AgentUpdated(EventStruct, frozen=True, kw_only=True, tag="agent.updated"):
    """The agent's record was created or replaced; all fields hold the new values."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    """Queues that the agent serves; null: every queue whose required skills the agent has."""
    units: int | None = None
    """Capacity of the agent in capacity units; null: the policy's default."""
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[QueueId, int] = {}
    team: TeamId | None = None
    """Team of the agent; null: none, and in journals written before the field existed."""
    labels: tuple[str, ...] = ()
    """Labels of the agent in ascending order."""


class AgentRemoved(EventStruct, frozen=True, kw_only=True, tag="agent.removed"):
    """The agent was deleted."""

    agent_id: AgentId


class AgentStateChanged(EventStruct, frozen=True, kw_only=True, tag="agent.state_changed"):
    """The agent's state has changed."""

    agent_id: AgentId
    state: AgentState
    """New state."""
    from_state: AgentState
    """Previous state."""
    reason: str | None = None
    """Reason given with the command, or set by the router: ``rona`` (an offer expired), ``rona_return`` (the router has set the
    agent ready again) or ``desktop_lost``; null: none."""
    return_at_ms: int | None = None
    """When the router sets the agent ``ready`` again; null: it does not."""


class AgentNextStateSet(EventStruct, frozen=True, kw_only=True, tag="agent.next_state_set"):
    """State that the agent gets when no offers and assignments are open."""

    agent_id: AgentId
    state: AgentState | None = None
    """Next state; null: the pending change was removed."""
    reason: str | None = None
    """Reason of the next state."""


class AgentChannelsSet(EventStruct, frozen=True, kw_only=True, tag="agent.channels_set"):
    """The agent is paused on exactly these channels and gets no new offers on them."""

    agent_id: AgentId
    paused: tuple[str, ...] = ()


class DesktopConnected(EventStruct, frozen=True, kw_only=True, tag="agent.desktop_connected"):
    """A desktop session of the agent has connected."""

    agent_id: AgentId
    session_id: str


class DesktopLost(EventStruct, frozen=True, kw_only=True, tag="agent.desktop_lost"):
    """The desktop session has disconnected: no new offers. After the grace period the agent is set ``offline``."""

    agent_id: AgentId
    session_id: str
    grace_until_ms: int
    """End of the grace period, epoch milliseconds."""
