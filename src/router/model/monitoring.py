"""Views of supervisors who have joined conversations."""

from msgspec import Struct

from router.model.states import MonitorMode, SupervisorId


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
