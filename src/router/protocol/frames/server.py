"""Server frames: the state, events, statistics and replies that the server sends."""

from typing import TypeAlias

from msgspec import Struct

from router.model.events import Event
from router.model.forecasts import ExpectedWait
from router.model.views import AgentView, ContactView, QueueView, WorkspaceView


class _ServerFrame(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Base of server frames."""


class WelcomeFrame(_ServerFrame, frozen=True, kw_only=True, tag="welcome"):
    """Full state visible to this client, as of the event ``seq``; later events follow."""

    role: str
    workspace: str
    history_id: str
    epoch: int
    seq: int
    at_ms: int
    heartbeat_s: int
    session_id: str
    state_page_count: int = 0
    """Number of ``state_page`` frames that follow before the first event, with the rest of ``contacts`` and ``agents``."""
    agent: AgentView | None = None
    """Desktop: the agent, with offers and assignments."""
    contacts: tuple[ContactView, ...] = ()
    """Gateway: its live contacts."""
    stats: WorkspaceView | None = None
    """Supervisor: totals of the workspace."""
    agents: tuple[AgentView, ...] = ()
    """Supervisor: all agents."""


class StatePageFrame(_ServerFrame, frozen=True, kw_only=True, tag="state_page"):
    """Continuation of a welcome that is too long for one frame."""

    contacts: tuple[ContactView, ...] = ()
    agents: tuple[AgentView, ...] = ()


class ResumedFrame(_ServerFrame, frozen=True, kw_only=True, tag="resumed"):
    """Successful resume: the events after ``seq`` up to ``until_seq`` follow, then live events."""

    role: str
    workspace: str
    history_id: str
    epoch: int
    seq: int
    until_seq: int
    heartbeat_s: int
    session_id: str


class EventFrame(_ServerFrame, frozen=True, kw_only=True, tag="event"):
    """An event visible to this client. ``seq`` never decreases on a connection; it has gaps, since other events are not sent."""

    seq: int
    at_ms: int
    event: Event


class StatsFrame(_ServerFrame, frozen=True, kw_only=True, tag="stats"):
    """Supervisor: statistics of queues that changed, at most once per ``stats_interval_ms``."""

    seq: int
    at_ms: int
    queues: tuple[QueueView, ...]


class OkFrame(_ServerFrame, frozen=True, kw_only=True, tag="ok"):
    """The command of frame ``id`` was carried out and is durable."""

    id: str
    seq: int = 0
    subject: str = ""
    state: str = ""
    replayed: bool = False
    expected_wait: ExpectedWait | None = None
    """Result of an ``expected_wait`` query."""


class ErrorFrame(_ServerFrame, frozen=True, kw_only=True, tag="error", omit_defaults=True):
    """The command of frame ``id`` failed. ``applied`` is ``no``, or ``unknown`` if the router cannot tell."""

    code: str
    title: str
    id: str | None = None
    detail: str = ""
    field: str | None = None
    state: str | None = None
    allowed: tuple[str, ...] = ()
    seq: int | None = None
    temporary: bool = False
    applied: str = "no"
    retry_after_ms: int | None = None
    opens_at_ms: int | None = None
    """Next opening of a closed queue, if known."""


class PongFrame(_ServerFrame, frozen=True, kw_only=True, tag="pong"):
    """Response to ``ping``. All events up to ``seq`` that this client may see have been sent; it can resume from there."""

    id: str
    at_ms: int
    seq: int = 0


class ReconnectFrame(_ServerFrame, frozen=True, kw_only=True, tag="reconnect"):
    """Request to reconnect after ``after_ms`` (already jittered), because the process is shutting down."""

    after_ms: int


ServerFrame: TypeAlias = (
    WelcomeFrame
    | StatePageFrame
    | ResumedFrame
    | EventFrame
    | StatsFrame
    | OkFrame
    | ErrorFrame
    | PongFrame
    | ReconnectFrame
)
