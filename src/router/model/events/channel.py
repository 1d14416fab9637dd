"""Events of a contact that changes its channel, and the gateway that serves it."""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

from router.model.events.workspace import EventStruct
from router.model.policy import FactValue
from router.model.states import AgentId, AssignmentId, AssignmentRole, ContactId, GatewayId, IfUnable, QueueId


class ContactChannelRequested(EventStruct, frozen=True, kw_only=True, tag="contact.channel_requested"):
    """A conversation is to continue on another channel; the old one stands until the customer is connected there.

    With ``deadline_ms`` the gateway must connect the customer now and report the outcome: with the owner, or with the agent
    ``to_agent_id``, who then owns the contact. Without it the agent has no capacity for the channel: the switch waits until the
    agent has, or another agent accepts the contact, or a consult, on the channel. A switch in progress also ends, without an event
    of its own, when the contact ends, waits again, is suspended or gets another owner.
    """

    contact_id: ContactId
    from_channel: str
    """Present channel."""
    channel: str
    """Channel on which the customer is to be connected."""
    assignment_id: AssignmentId
    agent_id: AgentId
    """Owner of the contact."""
    held_units: int
    """Capacity units that the agent needs beyond those of the present channel; they are held from now on."""
    deadline_ms: int | None = None
    """Time by which the outcome must be reported, epoch milliseconds; null: the switch waits for an agent."""
    reference: str | None = None
    gateway_id: GatewayId = ""
    members: dict[AgentId, AssignmentRole] | None = None
    if_unable: IfUnable | None = None
    """While the switch waits: whether another agent is offered the contact (``queue``, also if null) or a consult (``consult``)."""
    to_gateway_id: GatewayId = ""
    """Gateway that serves the new channel and is to connect the customer; empty: the contact's own."""
    to_assignment_id: AssignmentId | None = None
    """Assignment of ``to_agent_id``, which is on the new channel; null: the owner's goes on there."""
    to_agent_id: AgentId | None = None
    """Agent in the conversation who owns the contact once the customer is connected with them; null: the present owner."""


class ContactChannelSwitched(EventStruct, frozen=True, kw_only=True, tag="contact.channel_switched"):
    """The contact continues on another channel: in its place in the queue, or with its agent and in the same assignment."""

    contact_id: ContactId
    queue_id: QueueId
    from_channel: str
    """Channel until this event."""
    channel: str
    """Channel from now on."""
    requirement: str
    units: int
    """Capacity units that the conversation uses from now on."""
    reference: str | None = None
    assignment_id: AssignmentId | None = None
    """Assignment of the owner; null: the contact waits."""
    agent_id: AgentId | None = None
    """Owner of the contact; null: it waits."""
    gateway_id: GatewayId = ""
    members: dict[AgentId, AssignmentRole] | None = None
    offered_to: tuple[AgentId, ...] = ()
    """Agents with a pending offer of the contact."""


class ContactChannelFailed(EventStruct, frozen=True, kw_only=True, tag="contact.channel_failed"):
    """A switch to another channel was given up; the conversation continues on the old channel."""

    contact_id: ContactId
    channel: str
    """Channel that was wanted."""
    reason: str
    """``failed`` (reported by the gateway), ``timeout`` (no report in time), ``cancelled`` or ``replaced`` (by another switch)."""
    assignment_id: AssignmentId | None = None
    agent_id: AgentId | None = None
    """Owner of the contact."""
    gateway_id: GatewayId = ""
    members: dict[AgentId, AssignmentRole] | None = None
    to_gateway_id: GatewayId = ""
    """Gateway that was to connect the customer; empty: the contact's own."""


class ContactGatewayChanged(EventStruct, frozen=True, kw_only=True, tag="contact.gateway_changed"):
    """The contact continues on a channel that another gateway serves, which has it from now on; the former one has it no more.

    What the new gateway needs of the contact stands in the event.
    """

    contact_id: ContactId
    gateway_id: GatewayId
    """Gateway that has the contact from now on."""
    from_gateway_id: GatewayId
    """Gateway that had it until now."""
    channel: str
    queue_id: QueueId
    skills: dict[str, int] = {}
    priority_s: int = 0
    priority_class: int = 0
    attributes: dict[str, FactValue] = {}
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer."""
    customer_id: str | None = None
    reference: str | None = None
    owner_agent_id: AgentId | None = None
    """Agent who owns the contact; null: it waits."""
    assignment_id: AssignmentId | None = None
    """Assignment of the owner; null: it waits."""
    participants: dict[AgentId, AssignmentRole] | None = None
    """All agents in the conversation, if the owner is not alone."""
