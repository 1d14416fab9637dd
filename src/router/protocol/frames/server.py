"""Server frames: the state, events, statistics and replies that the server sends."""

from typing import TypeAlias

from msgspec import Struct

from router.context.cards import Card, CardContact, CardCustomer, CardNote, CardStatus, CardStep, ContactContext
from router.context.identities import Assurance
from router.model.events import Event
from router.model.forecasts import ExpectedWait
from router.model.request_views import RequestView
from router.model.views import AgentView, ContactView, QueueView, WorkspaceView
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period
from router.statistics.rows import StatisticsRow


class _ServerFrame(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Base of server frames."""


class WelcomeFrame(_ServerFrame, frozen=True, kw_only=True, tag="welcome"):
    """Full state visible to this client, as of the event ``seq``; later events follow."""

    role: str
    """Role of the credential."""
    workspace: str
    """Workspace of the session."""
    history_id: str
    epoch: int
    seq: int
    """Sequence number of the last event in this state."""
    at_ms: int
    heartbeat_s: int
    """Interval of the server's WebSocket pings, in seconds."""
    session_id: str
    """Id of the session."""
    leader_url: str | None = None
    """With several routers: what the one that leads the workspace advertises (`store.advertise_url`), this one or another; null:
    not known, or the router is alone. A client may repeat it in the header `Router-Leader` when it connects again."""
    state_page_count: int = 0
    """Number of ``state_page`` frames that follow before the first event, with the rest of ``contacts`` and ``agents``."""
    agent: AgentView | None = None
    """Desktop: the agent, with offers and assignments; null for other roles."""
    contacts: tuple[ContactView, ...] = ()
    """Gateway: its live contacts."""
    stats: WorkspaceView | None = None
    """Supervisor: totals of the workspace (live counts); null for other roles."""
    agents: tuple[AgentView, ...] = ()
    """Supervisor: all agents."""


class StatePageFrame(_ServerFrame, frozen=True, kw_only=True, tag="state_page"):
    """Continuation of a welcome that is too long for one frame."""

    contacts: tuple[ContactView, ...] = ()
    """Gateway: further live contacts."""
    agents: tuple[AgentView, ...] = ()
    """Supervisor: further agents."""


class ResumedFrame(_ServerFrame, frozen=True, kw_only=True, tag="resumed"):
    """Successful resume: the events after ``seq`` up to ``until_seq`` follow, then live events."""

    role: str
    """Role of the credential."""
    workspace: str
    """Workspace of the session."""
    history_id: str
    epoch: int
    seq: int
    """Position from which the session resumes."""
    until_seq: int
    """Sequence number of the last missed event; live events follow it."""
    heartbeat_s: int
    """Interval of the server's WebSocket pings, in seconds."""
    session_id: str
    """Id of the session."""
    leader_url: str | None = None
    """As in `welcome`."""


class EventFrame(_ServerFrame, frozen=True, kw_only=True, tag="event"):
    """An event visible to this client. ``seq`` never decreases on a connection; it has gaps, since other events are not sent."""

    seq: int
    """Sequence number of the event."""
    at_ms: int
    """Time of the event, epoch milliseconds."""
    event: Event
    """The event."""
    card: Card | None = None
    """Desktop: what is known about the customer of an ``offer.made`` to this agent; null for other events and clients, and where
    no contact has had a customer or a context yet."""


class CardFrame(_ServerFrame, frozen=True, kw_only=True, tag="card"):
    """Desktop: the card of a contact that this agent has, or that is offered to them. It replaces an earlier one.

    Sent after an offer whose card was ``late``, after a contact came without an offer, after ``welcome`` and ``resumed``, and when
    the status of a card changes. Supervisor: the card of a contact that the connection watches (``watch_card``).
    """

    contact_id: str
    card: Card
    """The card."""


class CardChangedFrame(_ServerFrame, frozen=True, kw_only=True, tag="card_changed"):
    """Desktop, supervisor: parts of a card that have changed, at most twice a second per contact.

    ``parts`` names them; others stay. A part that is named and absent is empty now.
    """

    contact_id: str
    version: int
    """Version of the card."""
    status: CardStatus
    """Status of the card, which is unchanged."""
    parts: tuple[str, ...]
    """Names of the parts that have changed."""
    assurance: Assurance | None = None
    """How the customer of this contact is known."""
    customer: CardCustomer | None = None
    """The customer."""
    now: ContactContext | None = None
    """Where the customer is and what they want."""
    steps: tuple[CardStep, ...] = ()
    """Last steps of the journey."""
    contacts: tuple[CardContact, ...] = ()
    """Last contacts that are over."""
    agents: tuple[str, ...] = ()
    """Agents who had these contacts."""
    open_work: tuple[CardContact, ...] = ()
    """Other contacts that are not over."""
    notes: tuple[CardNote, ...] = ()
    """Notes."""
    hidden: tuple[str, ...] = ()
    """Fields and types of steps that are shown once the customer is verified."""


class StatsFrame(_ServerFrame, frozen=True, kw_only=True, tag="stats"):
    """Supervisor: statistics of queues that changed, at most once per ``stats_interval_ms``."""

    seq: int
    """Sequence number of the last event that the counts include."""
    at_ms: int
    queues: tuple[QueueView, ...]
    """Live counts of the queues that changed."""


class StatisticsFrame(_ServerFrame, frozen=True, kw_only=True, tag="statistics"):
    """Supervisor: rows of statistics that the connection watches (``watch_statistics``), at most one update a second.

    A row replaces the one of the same subject. It comes when something was counted for it, and every 15 seconds with the times.
    """

    by: Dimension
    """What a row is about."""
    period: Period
    """Time that is counted."""
    seq: int
    """Sequence number of an event that the rows include."""
    at_ms: int
    whole: bool
    """True: the rows that came before, of the same ``by`` and ``period``, are void; more may follow."""
    rows: tuple[StatisticsRow, ...]
    """Rows, as those of ``GET /v1/statistics``."""


class OkFrame(_ServerFrame, frozen=True, kw_only=True, tag="ok"):
    """The command of frame ``id`` was carried out and is durable."""

    id: str
    seq: int = 0
    """Sequence number of the event that the command caused; 0: none."""
    subject: str = ""
    """Id of the object that the command concerned: a contact, offer, assignment, agent or queue."""
    state: str = ""
    """State of the object after the command."""
    replayed: bool = False
    """True: the command had taken effect before; this frame changed nothing."""
    tag: str | None = None
    """Entity tag of the contact or agent after the command, for a later ``if_match``: in the reply to changes of a contact or of an
    agent's channels, and to every frame with an ``idempotency_key`` or an ``if_match``; null: the object has none."""
    due_at_ms: int | None = None
    """Agreed time of a callback, epoch milliseconds; it is the next opening if the queue is closed at the requested time."""
    expected_wait: ExpectedWait | None = None
    """Result of an ``expected_wait`` query; null for other frames."""


class ErrorFrame(_ServerFrame, frozen=True, kw_only=True, tag="error", omit_defaults=True):
    """The command of frame ``id`` failed."""

    code: str
    """Stable code of the problem, as in the problem documents of the HTTP API."""
    title: str
    """Short text of the problem."""
    id: str | None = None
    """Id of the client's frame; null: the frame could not be decoded."""
    detail: str = ""
    """Which limit or condition was not met, or what would be valid. Never repeats input."""
    action: str = ""
    """What to do about it."""
    field: str | None = None
    """Path of the invalid field in the frame, for example ``contact.skills.english``; null: none."""
    state: str | None = None
    """Present state of the object; null: the problem does not depend on it."""
    allowed: tuple[str, ...] = ()
    """States or commands that would be allowed."""
    seq: int | None = None
    """Sequence number of the event that led to the refusal; null: none."""
    temporary: bool = False
    """Whether the same command may succeed later."""
    applied: str = "no"
    """``no``, or ``unknown`` if the router cannot tell whether the command took effect."""
    retry_after_ms: int | None = None
    """Milliseconds after which to try again; null: a retry does not help."""
    opens_at_ms: int | None = None
    """Next opening of a closed queue, epoch milliseconds; null: not known, or the queue is not closed."""


class StateFrame(_ServerFrame, frozen=True, kw_only=True, tag="state"):
    """Customer: the request as it is now. Sent after ``hello`` and whenever something in it has changed."""

    request: RequestView
    """The request: options while the customer is to choose, place and expected wait while they wait, and how it ended."""


class ScopeFrame(_ServerFrame, frozen=True, kw_only=True, tag="scope"):
    """Supervisor with a scope, in place of events and ``stats``: what has changed in it. Each view replaces the former one."""

    seq: int
    """Sequence number of the last event in these views."""
    at_ms: int
    agents: tuple[AgentView, ...] = ()
    """Agents of the scope that have changed or are new in it, without the work of other queues."""
    queues: tuple[QueueView, ...] = ()
    """Queues of the scope that have changed."""
    removed_agents: tuple[str, ...] = ()
    """Agents that are in the scope no more."""
    removed_queues: tuple[str, ...] = ()
    """Queues that do not exist any more."""


class PongFrame(_ServerFrame, frozen=True, kw_only=True, tag="pong"):
    """Response to ``ping``. All events up to ``seq`` that this client may see have been sent; it can resume from there."""

    id: str
    at_ms: int
    seq: int = 0
    """Position up to which all events have been sent."""


class ReconnectFrame(_ServerFrame, frozen=True, kw_only=True, tag="reconnect"):
    """Request to reconnect after ``after_ms`` (already jittered), because the process is shutting down."""

    after_ms: int
    """Delay before reconnecting, in milliseconds."""


ServerFrame: TypeAlias = (
    WelcomeFrame
    | StatePageFrame
    | ResumedFrame
    | EventFrame
    | CardFrame
    | CardChangedFrame
    | StatsFrame
    | StatisticsFrame
    | ScopeFrame
    | OkFrame
    | ErrorFrame
    | PongFrame
    | ReconnectFrame
    | StateFrame
)
