"""The bodies of the API: what requests may hold and what answers look like. Views of the core are sent as they are."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from router.model.callbacks import CallbackOutcome
from router.model.errors import Problem
from router.model.events import Event
from router.model.forecasts import ExpectedWait
from router.model.ids import Ident, Name
from router.model.policy import DAY_S, Attributes, PrioritySeconds, Skills, StrictClass
from router.model.states import AgentState, ContactState
from router.model.views import AgentView, ContactView, QueueView, WorkspaceView
from router.stats.figures import QueueFigures
from router.wire.frames import PreferredAgents, WaitSeconds


class _Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients send. An unknown field is an error: a typo must not pass silently."""


class _Response(Struct, frozen=True, kw_only=True):
    """What the router sends. Fields may be added: clients ignore what they do not know."""


# --- requests --------------------------------------------------------------------------------------


class ContactChange(_Request, frozen=True, kw_only=True):
    """Changes of a live contact; what is left out stays."""

    priority_s: PrioritySeconds | UnsetType = UNSET
    strict_class: StrictClass | UnsetType = UNSET
    skills: Skills | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    preferred_agents: PreferredAgents | UnsetType = UNSET


class Nothing(_Request, frozen=True, kw_only=True):
    """No field; the body may be left out."""


class Reason(_Request, frozen=True, kw_only=True):
    """Why, as an id; the body may be left out."""

    reason: Ident | None = None


class QueueTurn(_Request, frozen=True, kw_only=True):
    """For how long; the body may be left out: until the next such request."""

    for_s: Annotated[int, Meta(ge=1, le=366 * DAY_S)] | None = None


class CallbackResult(_Request, frozen=True, kw_only=True):
    """How the call went that ``callback.due`` asked for."""

    outcome: CallbackOutcome
    attempt: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """The number in ``callback.due``; none: the attempt under way."""


class RequeueTarget(_Request, frozen=True, kw_only=True):
    """Where a contact waits again; left out: its own queue."""

    queue_id: Name | None = None


class TransferTarget(_Request, frozen=True, kw_only=True):
    """Where a contact goes: exactly one of the two."""

    to_queue_id: Name | None = None
    to_agent_id: Ident | None = None
    wait_s: WaitSeconds | None = None
    """For an agent who cannot take it now: it waits so long for him alone."""
    back_s: WaitSeconds | None = None
    """And then so long for the one who passed it on, before everybody."""


class LeaveTarget(_Request, frozen=True, kw_only=True):
    """Who leaves the conversation; left out: the agent who asks. A supervisor names one."""

    agent_id: Ident | None = None


class HandOverTarget(_Request, frozen=True, kw_only=True):
    """The participant who owns the contact from then on."""

    to_agent_id: Ident


class AssignTarget(_Request, frozen=True, kw_only=True):
    """The agent who gets the contact."""

    agent_id: Ident


class AgentRecord(_Request, frozen=True, kw_only=True):
    """An agent's record; it replaces the one before as a whole."""

    skills: Skills = {}
    queues: Annotated[tuple[Name, ...], Meta(max_length=1_000)] | None = None
    """The queues he serves; left out: every queue whose skills he has."""
    units: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    """His capacity; left out: the policy's default."""
    channel_max: Annotated[
        dict[Name, Annotated[int, Meta(ge=0, le=1_000)]], Meta(max_length=32)
    ] = {}
    """Most items at once, by channel; 0 takes the channel from him."""
    attributes: Attributes = {}
    queue_ranks: Annotated[
        dict[Name, Annotated[int, Meta(ge=1, le=9)]], Meta(max_length=1_000)
    ] = {}
    """Which queues he serves first when he becomes free, below the strict class: 1 (first) to 9; not named: 5."""


class AgentStateChange(_Request, frozen=True, kw_only=True):
    """The state that an agent goes to."""

    state: AgentState
    reason: Ident | None = None
    after_work: bool = False
    """True: once the work in hand is done."""


class AgentChannels(_Request, frozen=True, kw_only=True):
    """The channels of which the agent takes nothing new: the whole set."""

    paused: Annotated[tuple[Name, ...], Meta(max_length=32)]


class WrapUpExtension(_Request, frozen=True, kw_only=True):
    """More time for wrap-up."""

    extend_s: Annotated[int, Meta(ge=1, le=3600)]


class Completion(_Request, frozen=True, kw_only=True):
    """How an assignment ends; the body may be left out."""

    disposition: Ident | None = None


# --- queries ---------------------------------------------------------------------------------------


class NoQuery(_Request, frozen=True, kw_only=True):
    """No query parameter."""


class ContactsQuery(_Request, frozen=True, kw_only=True):
    """Which contacts."""

    state: ContactState | None = None
    queue: Name | None = None
    cursor: Ident | None = None
    """``next_cursor`` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100


class ExpectedWaitQuery(_Request, frozen=True, kw_only=True):
    """The contact that may come: as it would be submitted."""

    channel: Name | None = None
    """Left out: the channel of which the queue has handled most."""
    skills: Annotated[
        str,
        Meta(
            pattern=r"^([a-z][a-z0-9_-]{0,63}:[0-9]{1,2}(,[a-z][a-z0-9_-]{0,63}:[0-9]{1,2}){0,31})?(?!\n)$"
        ),
    ] = ""
    """``skill:level``, several divided by commas."""
    priority_s: PrioritySeconds = 0
    strict_class: StrictClass = 0


class AgentsQuery(_Request, frozen=True, kw_only=True):
    """Which agents."""

    cursor: Ident | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100


class AvailabilityQuery(_Request, frozen=True, kw_only=True):
    """For what kind of contact."""

    channel: Name | None = None
    """Left out: any channel."""
    skills: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z][a-z0-9_-]{0,63}(:[0-9]{1,2})?(,[a-z][a-z0-9_-]{0,63}(:[0-9]{1,2})?){0,31}(?!\n)$"
            ),
        ]
        | None
    ) = None
    """``english:5,billing``; a skill without a level is asked for at level 1."""


class EventsQuery(_Request, frozen=True, kw_only=True):
    """From where on."""

    after: Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{1,64}:[0-9]{1,16}(?!\n)$")] | None = None
    """``gen:seq`` of the last event seen; left out: from the beginning."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100


class StateQuery(_Request, frozen=True, kw_only=True):
    """How new the answer must be."""

    min_seq: Annotated[int, Meta(ge=0, le=2**53)] = 0


class PublishQuery(_Request, frozen=True, kw_only=True):
    """What becomes of contacts in queues that the new policy lacks."""

    drain_to: Annotated[str, Meta(pattern=r"^[a-z0-9_:,-]{0,8192}(?!\n)$")] = ""
    """``removed:target``, several divided by commas."""


# --- answers ---------------------------------------------------------------------------------------


class _Receipt(_Response, frozen=True, kw_only=True):
    """A command that was carried out: its place in the history (the event that effected it)."""

    state: str
    gen: str
    epoch: int
    seq: int


class ContactReceipt(_Receipt, frozen=True, kw_only=True):
    """What was done to a contact, durably."""

    contact_id: str


class AgentReceipt(_Receipt, frozen=True, kw_only=True):
    """What was done to an agent, durably."""

    agent_id: str


class QueueReceipt(_Receipt, frozen=True, kw_only=True):
    """What was done to a queue, durably."""

    queue_id: str


class OfferReceipt(_Receipt, frozen=True, kw_only=True):
    """What was done to an offer, durably. An accepted offer's assignment has the same id."""

    offer_id: str


class AssignmentReceipt(_Receipt, frozen=True, kw_only=True):
    """What was done to an assignment, durably."""

    assignment_id: str


class PolicyReceipt(_Response, frozen=True, kw_only=True):
    """A policy that is in force."""

    version: int
    gen: str
    epoch: int
    seq: int


class ShadowReceipt(_Receipt, frozen=True, kw_only=True):
    """A shadow policy was set or cleared, durably."""


class PolicyChecked(_Response, frozen=True, kw_only=True):
    """A policy document that could be published."""

    valid: bool = True
    advice: tuple[Problem, ...] = ()
    removed_queues_waiting: dict[str, int] = {}
    """Queues that it lacks and how many contacts wait there now: publishing it needs ``drain_to`` for each."""


class ContactList(_Response, frozen=True, kw_only=True):
    """One page of contacts, by ascending id."""

    contacts: tuple[ContactView, ...]
    as_of_seq: int
    next_cursor: str | None = None
    """Ask on with this; none: that was all."""


class AgentList(_Response, frozen=True, kw_only=True):
    """One page of agents, by ascending id."""

    agents: tuple[AgentView, ...]
    as_of_seq: int
    next_cursor: str | None = None


class QueueStatus(_Response, frozen=True, kw_only=True):
    """A queue now, and what it has done."""

    queue: QueueView
    longest_wait_ms: int | None = None
    """Of those who wait now."""
    figures: QueueFigures | None = None
    """Since the meters began; the formulas stand in ``stats/``. None: nothing has happened in it yet."""


class QueueList(_Response, frozen=True, kw_only=True):
    """All queues, by ascending id."""

    queues: tuple[QueueStatus, ...]
    as_of_seq: int
    at_ms: int


class ExpectedWaitDocument(_Response, frozen=True, kw_only=True):
    """How long a contact would wait that came now."""

    queue_id: str
    expected_wait: ExpectedWait
    as_of_seq: int
    at_ms: int


class EventEnvelope(_Response, frozen=True, kw_only=True):
    """The place and time of an event; the event's own fields stand beside these."""

    gen: str
    epoch: int
    seq: int
    ts: int
    """Milliseconds since 1970."""
    actor: str
    """Who caused it: ``agent:ada``, ``gateway:web``… or ``router`` for timers."""


class EventList(_Response, frozen=True, kw_only=True):
    """One page of the history: every event, none left out."""

    gen: str
    events: tuple[Event, ...]
    next: str
    """``gen:seq`` of the last event of the page: ask on with it."""
    more: bool
    """True: further events are there already."""


class StateDocument(_Response, frozen=True, kw_only=True):
    """The workspace in figures as of one event."""

    gen: str
    epoch: int
    state: WorkspaceView


class DigestDocument(_Response, frozen=True, kw_only=True):
    """A hash over the whole state; equal for every replay of the same history."""

    gen: str
    epoch: int
    seq: int
    digest: str


class TicketDocument(_Response, frozen=True, kw_only=True):
    """A single-use ticket for a socket's ``hello``."""

    ticket: str
    expires_in_s: int


class HealthDocument(_Response, frozen=True, kw_only=True):
    """The process lives; ``ready`` says whether it takes work."""

    status: str
