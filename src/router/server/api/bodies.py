"""Request bodies, query parameters and response bodies of the API. Views of the engine are sent unchanged."""

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from router.model.commands import TimeMs
from router.model.diagnosis import ContextHealth
from router.model.errors import Problem
from router.model.events import Event
from router.model.forecasts import ExpectedWait
from router.model.policy import (
    DAY_S,
    Attributes,
    AttributesPatch,
    PriorityClass,
    PrioritySeconds,
    Skills,
    SkillsPatch,
    SuspensionEnd,
)
from router.model.states import AgentState, CallbackOutcome, ChannelOutcome, Code, ContactState, Ident, IfUnable, Name, SubjectId
from router.model.views import ContactView, QueueView, WorkspaceView
from router.protocol.frames import PreferredAgents, WaitSeconds
from router.statistics.views import QueueStatsView

# Labels of an agent. No names of people: they are in the journal.
Labels: TypeAlias = Annotated[tuple[Name, ...], Meta(max_length=32)]

PolicyNote: TypeAlias = Annotated[
    str, Meta(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*(?!\n)$", extra={"rule": "must be one line of at most 500 characters"})
]
"""Note of a publication."""


class _Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body or query. An unknown field is an error, so that a misspelled one is noticed."""


class _Response(Struct, frozen=True, kw_only=True):
    """A response body. Fields may be added in later versions; clients must ignore unknown ones."""


# --- requests --------------------------------------------------------------------------------------


class ContactChange(_Request, frozen=True, kw_only=True):
    """Changes to a live contact, as a merge patch (RFC 7396): omitted fields stay as they are, null removes."""

    priority_s: PrioritySeconds | UnsetType | None = UNSET
    """New priority in seconds; null: 0. Omitted: unchanged."""
    priority_class: PriorityClass | UnsetType | None = UNSET
    """New priority class; null: 0. Omitted: unchanged."""
    skills: SkillsPatch | UnsetType | None = UNSET
    """Skills required by the contact itself: those named are set or, with null, removed; others are unchanged. Null: none."""
    attributes: AttributesPatch | UnsetType | None = UNSET
    """Attributes: those named are set or, with null, removed; others are unchanged. Null: none."""
    preferred_agents: PreferredAgents | UnsetType | None = UNSET
    """New preferred agents, most preferred first; null: none. Omitted: unchanged."""


class EmptyBody(_Request, frozen=True, kw_only=True):
    """An empty body; it may be omitted."""


class ReasonBody(_Request, frozen=True, kw_only=True):
    """Reason of the action; the body may be omitted."""

    reason: Code | None = None
    """Reason, an id chosen by the client; omitted: the default of the operation."""


class QueueOverride(_Request, frozen=True, kw_only=True):
    """Duration of opening or closing a queue; the body may be omitted."""

    duration_s: Annotated[int, Meta(ge=1, le=366 * DAY_S)] | None = None
    """How long the queue stays open or closed, in seconds; omitted: until the next such request."""


class SuspensionTerms(_Request, frozen=True, kw_only=True):
    """Terms of a suspension; the body may be omitted."""

    resume_by_ms: TimeMs | None = None
    """When the suspension ends unless the contact is resumed, epoch milliseconds; omitted: by the policy of the queue."""
    at_expiry: SuspensionEnd | None = None
    """What happens then: ``end`` or ``queue``; omitted: by the policy of the queue."""


class Resumption(_Request, frozen=True, kw_only=True):
    """Channel on which the customer continues; the body may be omitted."""

    channel: Name | None = None
    """Channel on which the customer is now; omitted: the contact's own."""
    reference: Ident | None = None
    """The gateway's own id on that channel, for example of the call; omitted: unchanged."""


class ChannelTarget(_Request, frozen=True, kw_only=True):
    """Channel on which a contact is to continue."""

    channel: Name
    """Channel of the policy. The present one gives up a switch in progress."""
    reference: Ident | None = None
    """The gateway's own id on that channel, for example of the call; omitted: unchanged."""
    if_unable: IfUnable = IfUnable.REFUSE
    """What happens if the agent of the contact has no capacity for the channel."""


class ChannelReport(_Request, frozen=True, kw_only=True):
    """Outcome of the switch that ``contact.channel_requested`` requested."""

    outcome: ChannelOutcome
    """Whether the customer is connected on the new channel."""


class CallbackMove(_Request, frozen=True, kw_only=True):
    """New time of a callback; the body may be omitted, the callback is then due now."""

    at_ms: TimeMs | None = None
    """New earliest time of the call, epoch milliseconds; omitted: the callback is due now."""
    until_ms: TimeMs | None = None
    """New end of the time window, with ``at_ms`` only; omitted: ``expires_after_s`` of the policy counts from ``at_ms``."""


class CallbackClaim(_Request, frozen=True, kw_only=True):
    """Claim of the call that ``callback.dial_requested`` requested."""

    claimant: Code
    """Name of the process that will dial, for example that of its pod."""
    lease_s: Annotated[int, Meta(ge=1, le=3_600)] | None = None
    """Seconds after which another process may claim the call; omitted: until the deadline of the attempt."""
    attempt: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """Attempt number from ``callback.dial_requested``; omitted: the current attempt."""


class CallbackReport(_Request, frozen=True, kw_only=True):
    """Result of the call that ``callback.dial_requested`` requested."""

    outcome: CallbackOutcome
    """Outcome of the attempt."""
    attempt: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """Attempt number from ``callback.dial_requested``; omitted: the current attempt."""


class RequeueTarget(_Request, frozen=True, kw_only=True):
    """Queue to which a contact returns; the body may be omitted."""

    queue_id: Name | None = None
    """Queue to which the contact returns; omitted: its own queue."""


class ConsultTarget(_Request, frozen=True, kw_only=True):
    """Target of a consult: exactly one of queue and agent."""

    to_queue_id: Name | None = None
    """Queue of which an agent is consulted; omitted: the target is an agent."""
    to_agent_id: SubjectId | None = None
    """Agent who is consulted; omitted: the target is a queue."""


class TransferTarget(_Request, frozen=True, kw_only=True):
    """Target of a transfer: exactly one of queue and agent."""

    to_queue_id: Name | None = None
    """Target queue; omitted: the target is an agent."""
    to_agent_id: SubjectId | None = None
    """Target agent; omitted: the target is a queue."""
    wait_s: WaitSeconds | None = None
    """How long the contact is reserved for the target agent, if the agent cannot take it now; seconds. Omitted: such a transfer
    is refused. Transfers only."""
    return_to_sender_s: WaitSeconds | None = None
    """How long the contact is then reserved for the transferring agent, before it is open to all agents; seconds. Omitted: no
    such reservation. Transfers only."""


class LeaveRequest(_Request, frozen=True, kw_only=True):
    """Participant who leaves the conversation."""

    agent_id: SubjectId | None = None
    """Agent who leaves; omitted: the requesting agent. Required for supervisors."""


class HandOverTarget(_Request, frozen=True, kw_only=True):
    """Participant who becomes the owner of the contact."""

    to_agent_id: SubjectId
    """Participant who becomes the owner."""


class AssignTarget(_Request, frozen=True, kw_only=True):
    """Agent that gets the contact."""

    agent_id: SubjectId
    """Agent that gets the contact, or joins the conversation."""


class AgentRecord(_Request, frozen=True, kw_only=True):
    """Complete record of an agent; it replaces the previous one."""

    skills: Skills = {}
    """Skills of the agent with their levels, 1 to 10."""
    queues: Annotated[tuple[Name, ...], Meta(max_length=1_000)] | None = None
    """Queues that the agent serves; omitted: every queue whose required skills the agent has."""
    units: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    """Capacity in capacity units; omitted: the default of the policy."""
    channel_max: Annotated[dict[Name, Annotated[int, Meta(ge=0, le=1_000)]], Meta(max_length=32)] = {}
    """Maximum number of concurrent contacts by channel; 0 excludes the agent from the channel."""
    attributes: Attributes = {}
    queue_ranks: Annotated[dict[Name, Annotated[int, Meta(ge=1, le=9)]], Meta(max_length=1_000)] = {}
    """Preference among queues with contacts of equal priority class: 1 (first) to 9; default 5."""
    team: Name | None = None
    """Team of the agent, an id of your own; omitted: none. Routing does not use it."""
    labels: Labels = ()
    """Labels of the agent, ids of your own, for lists and bulk acts; omitted: none. Routing does not use them."""


class AgentStateChange(_Request, frozen=True, kw_only=True):
    """New state of an agent."""

    state: AgentState
    """New state."""
    reason: Code | None = None
    """Reason, one of the policy's ``not_ready_reasons`` if it lists any; omitted: none."""
    after_work: bool = False
    """True: the change takes effect when the agent has no open offers or assignments; until then it is the agent's
    ``next_state``. False: it takes effect now. It does not mean wrap-up (after-contact work)."""


class AgentChannels(_Request, frozen=True, kw_only=True):
    """Complete set of channels on which the agent gets no new offers."""

    paused: Annotated[tuple[Name, ...], Meta(max_length=32)]
    """Paused channels; an empty list: none."""


class WrapUpExtension(_Request, frozen=True, kw_only=True):
    """Extension of the wrap-up time, in seconds."""

    extend_s: Annotated[int, Meta(ge=1, le=3600)]
    """Seconds to be added."""


class Completion(_Request, frozen=True, kw_only=True):
    """Outcome of an assignment; the body may be omitted."""

    disposition: Code | None = None
    """Disposition code, one of the policy's ``dispositions`` if it lists any; omitted: none."""


# --- queries ---------------------------------------------------------------------------------------


class EmptyQuery(_Request, frozen=True, kw_only=True):
    """An empty query string."""


class ContactsQuery(_Request, frozen=True, kw_only=True):
    """Filter and page of a contact list."""

    state: ContactState | None = None
    """Only contacts in this state."""
    queue: Name | None = None
    """Only contacts of this queue."""
    cursor: Ident | None = None
    """``next_cursor`` of the previous page; omitted: the first page."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Maximum number of contacts in the page."""


class ExpectedWaitQuery(_Request, frozen=True, kw_only=True):
    """A hypothetical contact, with the fields of a submit."""

    channel: Name | None = None
    """Channel; omitted: the one with most handled contacts in the queue."""
    skills: Annotated[
        str,
        Meta(
            pattern=r"^([a-z][a-z0-9_-]{0,63}:[0-9]{1,2}(,[a-z][a-z0-9_-]{0,63}:[0-9]{1,2}){0,31})?(?!\n)$",
            extra={"rule": "must be at most 32 pairs `skill:level`, separated by commas, with levels 1 to 10"},
        ),
    ] = ""
    """Skills required in addition to those of the queue: ``skill:level``, separated by commas."""
    priority_s: PrioritySeconds = 0
    priority_class: PriorityClass = 0


class AvailabilityQuery(_Request, frozen=True, kw_only=True):
    """Kind of contact for an availability request."""

    channel: Name | None = None
    """Channel; omitted: any."""
    skills: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z][a-z0-9_-]{0,63}(:[0-9]{1,2})?(,[a-z][a-z0-9_-]{0,63}(:[0-9]{1,2})?){0,31}(?!\n)$",
                extra={"rule": "must be at most 32 of `skill` or `skill:level`, separated by commas, with levels 1 to 10"},
            ),
        ]
        | None
    ) = None
    """Skills required in addition to those of the queue, for example ``english:5,billing``; the default level is 1."""


class EventsQuery(_Request, frozen=True, kw_only=True):
    """Start and size of a page of events."""

    after: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z0-9]{1,64}:[0-9]{1,16}(?!\n)$",
                extra={"rule": "must be `history_id:seq`, the `next` of an earlier page"},
            ),
        ]
        | None
    ) = None
    """``history_id:seq`` of the last event seen; omitted: from the beginning."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Maximum number of events in the page."""
    contact: Ident | None = None
    """Only events of this contact."""
    agent: SubjectId | None = None
    """Only events that concern this agent."""
    type: Annotated[str, Meta(pattern=r"^[a-z_]{1,32}\.[a-z_]{1,32}(?!\n)$", extra={"rule": "must be a type of events"})] | None = (
        None
    )
    """Only events of this type, such as ``contact.ended``."""
    actor: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """Only events that this author caused, such as ``agent:ada``; ``router``: those of timers."""
    from_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    """Only events at this time or later, epoch milliseconds."""
    to_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    """Only events before this time, epoch milliseconds."""

    @property
    def is_filtered(self) -> bool:
        """Return whether only some of the events are asked for."""
        return any(value is not None for value in (self.contact, self.agent, self.type, self.actor, self.from_ms, self.to_ms))


class StateQuery(_Request, frozen=True, kw_only=True):
    """Minimum freshness of the state."""

    min_seq: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """Sequence number that the state must include; an older state is answered with ``event_not_reached``."""


class PublishQuery(_Request, frozen=True, kw_only=True):
    """Target queues for contacts in queues that the new policy removes."""

    drain_to: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9_:,-]{0,8192}(?!\n)$",
            extra={"rule": "must be at most 8,192 characters of pairs `removed_queue:target_queue`, separated by commas"},
        ),
    ] = ""
    """``removed_queue:target_queue``, separated by commas; required for each removed queue with waiting contacts."""
    note: PolicyNote = ""
    """Why it is published, for the list of versions: at most 500 characters without personal data."""


# --- responses -------------------------------------------------------------------------------------


class _Receipt(_Response, frozen=True, kw_only=True):
    """Receipt of a durable command: the resulting state and the position of the event that caused it."""

    state: str
    """State of the object after the command."""
    history_id: str
    epoch: int
    seq: int
    """Sequence number of the event that the command caused."""
    durability: str | UnsetType = UNSET
    """With a store: what has confirmed the command (``leader``, ``fsync``, ``replica`` or ``replica_fsync``). Omitted with a
    journal in files, which is always on the disk."""


class ContactReceipt(_Receipt, frozen=True, kw_only=True):
    """Receipt of a durable command on a contact."""

    contact_id: str
    due_at_ms: int | UnsetType = UNSET
    """Agreed time of a callback, epoch milliseconds; it is the next opening if the queue is closed at the requested time."""


class ResumeReceipt(ContactReceipt, frozen=True, kw_only=True):
    """Receipt of a resumed contact, with its place in the queue."""

    position: int | UnsetType = UNSET
    """Position among the contacts waiting in its queue, 1 is the next; omitted: it is offered or assigned already."""
    expected_wait: ExpectedWait | UnsetType = UNSET
    """Expected remaining wait; omitted: it does not wait."""


class AgentReceipt(_Receipt, frozen=True, kw_only=True):
    """Receipt of a durable command on an agent."""

    agent_id: str


class QueueReceipt(_Receipt, frozen=True, kw_only=True):
    """Receipt of a durable command on a queue."""

    queue_id: str


class OfferReceipt(_Receipt, frozen=True, kw_only=True):
    """Receipt of a durable command on an offer. The assignment of an accepted offer has the same id."""

    offer_id: str


class AssignmentReceipt(_Receipt, frozen=True, kw_only=True):
    """Receipt of a durable command on an assignment."""

    assignment_id: str


class PolicyReceipt(_Response, frozen=True, kw_only=True):
    """Receipt of a published policy, with its version and the position of its event."""

    version: int
    """Version of the published policy."""
    history_id: str
    epoch: int
    seq: int
    """Sequence number of its event."""
    durability: str | UnsetType = UNSET
    """With a store: what has confirmed the command (``leader``, ``fsync``, ``replica`` or ``replica_fsync``). Omitted with a
    journal in files, which is always on the disk."""


class ShadowReceipt(_Receipt, frozen=True, kw_only=True):
    """Receipt of setting or clearing the shadow policy."""


class PolicyCheckResult(_Response, frozen=True, kw_only=True):
    """Result of a successful check of a policy document."""

    valid: bool = True
    """Always true; an invalid document gets the problem ``invalid_policy``."""
    advice: tuple[Problem, ...] = ()
    """Parts that are valid, but probably not as intended."""
    removed_queues_waiting: dict[str, int] = {}
    """Contacts now waiting in queues that the policy removes; publishing it requires ``drain_to`` for each of them."""


class ContactList(_Response, frozen=True, kw_only=True):
    """Page of contacts by ascending id."""

    contacts: tuple[ContactView, ...]
    """Contacts of the page."""
    as_of_seq: int
    next_cursor: str | None = None
    """Cursor of the next page; null on the last page."""


class QueueStatus(_Response, frozen=True, kw_only=True):
    """Live counts and statistics of a queue."""

    queue: QueueView
    """Live counts."""
    longest_wait_ms: int | None = None
    """Time since the submit of the oldest contact waiting now, in milliseconds; null: none waits. It includes earlier time with
    an agent, and not the time that it has waited for openings, unless the policy says so."""
    stats: QueueStatsView | None = None
    """Statistics since their start; null: the queue has had no events yet. The formulas are documented in
    docs/reference/metrics.md."""


class QueueList(_Response, frozen=True, kw_only=True):
    """All queues by ascending id."""

    queues: tuple[QueueStatus, ...]
    """All queues."""
    as_of_seq: int
    at_ms: int


class ExpectedWaitDocument(_Response, frozen=True, kw_only=True):
    """Expected wait of a contact that would arrive now."""

    queue_id: str
    expected_wait: ExpectedWait
    """Expected wait of the contact."""
    as_of_seq: int
    at_ms: int


class EventEnvelope(_Response, frozen=True, kw_only=True):
    """Position, time and author of an event; the event's own fields are members of the same object."""

    history_id: str
    epoch: int
    seq: int
    """Sequence number of the event."""
    ts: int
    """Time of the event, epoch milliseconds."""
    actor: str
    """Author of the event: ``agent:ada``, ``gateway:web``, …, or ``router`` for timers."""


class EventList(_Response, frozen=True, kw_only=True):
    """Page of the history, complete and in order."""

    history_id: str
    events: tuple[Event, ...]
    """Events of the page."""
    next: str
    """``history_id:seq`` of the last event of the page: the ``after`` of the next request."""
    more: bool
    """Whether further events exist already."""


class StateDocument(_Response, frozen=True, kw_only=True):
    """Totals of the workspace as of one event."""

    history_id: str
    epoch: int
    state: WorkspaceView
    """The totals."""


class DigestDocument(_Response, frozen=True, kw_only=True):
    """Hash of the complete state; equal for every replay of the same history."""

    history_id: str
    epoch: int
    seq: int
    """Sequence number of the last event in the state."""
    digest: str
    """Hash of the state, hexadecimal."""


class TicketDocument(_Response, frozen=True, kw_only=True):
    """Single-use ticket for the ``hello`` frame of a WebSocket."""

    ticket: str
    """The ticket."""
    expires_in_s: int
    """Lifetime of the ticket in seconds."""


class SubscriptionHealth(_Response, frozen=True, kw_only=True):
    """State of an internal subscription to the event log, for example ``sockets``."""

    name: str
    """Name of the subscription."""
    state: str
    """``live``, ``catching_up``, ``retrying`` or ``closed``."""
    lag_events: int
    """Number of published events that are not delivered yet."""


class HealthDocument(_Response, frozen=True, kw_only=True):
    """Result of a probe: ``ok`` from the liveness probe, ``ready`` from the readiness probe."""

    status: str
    """``ok`` or ``ready``."""
    subscriptions: tuple[SubscriptionHealth, ...] = ()
    """Readiness probe only: subscriptions to the event log. A failing one does not make the router unready."""
    clock_drift_ms: int = 0
    """Readiness probe only: the router's time minus the clock of its machine, milliseconds. Opening hours are off by as much."""
    customer_context: ContextHealth | None = None
    """Readiness probe only: whether the customer context can be used; null: it is switched off. Routing does not depend on it."""
    durability: str = ""
    """What confirms a command before it is acknowledged: ``fsync`` (the disk of this machine), ``none`` (a journal in memory), or
    with a store its level: ``leader``, ``fsync``, ``replica`` or ``replica_fsync``."""
    journal_problem: str | UnsetType = UNSET
    """Why commands wait for the journal at this moment, or why it is in danger; omitted: all is well."""
