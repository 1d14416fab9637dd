"""Events of supervisors who join conversations, and the view of one: who listened to which agent, how, and when.

``owner_agent_id`` always names the agent, for the record. ``agent_id`` names the agent only where the policy lets them see who has
joined (``agent_sees``), because it decides who receives an event.
"""

from msgspec import Struct

from router.model.events.workspace import EventStruct
from router.model.filters import SupervisorScope
from router.model.states import AgentId, AssignmentId, ContactId, GatewayId, MonitorMode, SupervisorId


class ContactMonitorRequested(EventStruct, frozen=True, kw_only=True, tag="contact.monitor_requested"):
    """A supervisor is to join the conversation, or to be in it in another mode; the gateway must do it and report the outcome.

    A request replaces one of the same supervisor that is not answered yet.
    """

    contact_id: ContactId
    supervisor_id: SupervisorId
    mode: MonitorMode
    """Mode in which the supervisor is to be connected."""
    deadline_ms: int
    """Time by which the outcome must be reported, epoch milliseconds."""
    owner_agent_id: AgentId
    assignment_id: AssignmentId
    present_mode: MonitorMode | None = None
    """Mode in which the supervisor is in the conversation, and stays if this fails; null: not in it yet."""
    until_ms: int | None = None
    """Time at which the router ends it, epoch milliseconds."""
    is_hidden: bool = False
    """Whether the agent does not see the supervisor once they have joined."""
    scope: SupervisorScope | None = None
    """Queues and teams to which the supervisor is limited; null: unlimited."""
    gateway_id: GatewayId = ""


class ContactMonitorJoined(EventStruct, frozen=True, kw_only=True, tag="contact.monitor_joined"):
    """A supervisor is in the conversation in this mode from now on."""

    contact_id: ContactId
    supervisor_id: SupervisorId
    mode: MonitorMode
    """Mode from now on."""
    owner_agent_id: AgentId
    from_mode: MonitorMode | None = None
    """Mode until now; null: the supervisor was not in the conversation."""
    gateway_id: GatewayId = ""
    agent_id: AgentId | None = None
    """Owner of the contact, if the owner sees it; null: hidden by the policy."""


class ContactMonitorFailed(EventStruct, frozen=True, kw_only=True, tag="contact.monitor_failed"):
    """A supervisor was not connected in the mode that was requested; an earlier mode stands."""

    contact_id: ContactId
    supervisor_id: SupervisorId
    mode: MonitorMode
    """Mode that was requested."""
    reason: str
    """``failed`` (reported by the gateway), ``timeout`` (no report in time), or as in ``contact.monitor_left``."""
    owner_agent_id: AgentId
    present_mode: MonitorMode | None = None
    """Mode in which the supervisor is in the conversation; null: not in it."""
    gateway_id: GatewayId = ""


class ContactMonitorRenewed(EventStruct, frozen=True, kw_only=True, tag="contact.monitor_renewed"):
    """The time for which a supervisor may be in the conversation has moved: they have repeated the request with a newer token."""

    contact_id: ContactId
    supervisor_id: SupervisorId
    until_ms: int
    """Time at which the router ends it, epoch milliseconds."""
    scope: SupervisorScope | None = None
    """Queues and teams to which the supervisor is limited now; null: unlimited."""


class ContactMonitorLeft(EventStruct, frozen=True, kw_only=True, tag="contact.monitor_left"):
    """A supervisor is in the conversation no more; the gateway must disconnect them if it has not."""

    contact_id: ContactId
    supervisor_id: SupervisorId
    mode: MonitorMode
    """Mode until now."""
    reason: str
    """``left``, ``removed`` (by another supervisor), ``disconnected`` (reported by the gateway), ``expired`` (the token, or
    ``duration_max_s`` of the policy), ``contact_ended``, ``owner_changed`` (the agent no longer has it), ``channel_changed``,
    ``out_of_scope`` or ``policy`` (a new policy does not permit it)."""
    owner_agent_id: AgentId
    """Agent whose conversation it was."""
    joined_at_ms: int
    """When the supervisor joined it, epoch milliseconds."""
    gateway_id: GatewayId = ""
    agent_id: AgentId | None = None
    """That agent, if the agent saw it; null: hidden by the policy."""


class MonitorView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A supervisor who has joined a conversation, or is to join it."""

    supervisor_id: SupervisorId
    requested_at_ms: int
    """When the supervisor asked for it first."""
    mode: MonitorMode | None = None
    """Mode in which the supervisor is in the conversation; null: not yet."""
    joined_at_ms: int | None = None
    """When the supervisor joined it; null: not yet."""
    wanted: MonitorMode | None = None
    """Mode in which the gateway is to connect the supervisor now; null: nothing is requested."""
    deadline_ms: int | None = None
    """Time by which the gateway must report that; null: nothing is requested."""
    until_ms: int | None = None
    """Time at which the router ends it."""
    is_hidden: bool = False
    """Whether the agent does not see the supervisor."""
