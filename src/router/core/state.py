"""Records of one workspace: contacts, offers, assignments, agents, and the state that holds them.

All records are plain mutable structs. Only the event handlers (``engine/events``) change them; commands, matching and queries
read them.

Each record has primary and derived fields. Primary fields are written to a snapshot and covered by the digest. Derived fields
(marked as such) are recomputed from the primary ones after a restart: the position in a waiting line, used capacity, open
channels. Derived fields stand last, because a snapshot stores a record as an array of its primary fields, in this order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from router.core.hands import NO_HANDS, Hands
from router.core.pace import Learned
from router.core.rule_counts import RuleCounts
from router.model.callbacks import CallbackPhase
from router.model.ids import AgentId, AssignmentId, ContactId, OfferId, QueueId
from router.model.policy import CallbackMode, CallbackPlace, FactValue, Policy, QueuePolicy
from router.model.states import (
    TERMINAL,
    AgentState,
    AssignmentRole,
    AssignmentState,
    ContactState,
    OfferState,
    Presence,
    Turn,
)

if TYPE_CHECKING:
    from router.core.imaging import Imaging
    from router.core.index import Index
    from router.core.lines import Line
    from router.core.profiles import Profile
    from router.core.timers import Timers
    from router.rules.calendar import Calendar


class Callback(Struct, kw_only=True, gc=False):
    """Progress of a contact that is a callback."""

    mode: CallbackMode
    place: CallbackPlace
    phase: CallbackPhase = CallbackPhase.WAITING
    attempts: int = 0
    """Number of attempts started so far."""
    scheduled_at_ms: int | None = None
    """Time agreed with the customer, epoch milliseconds."""
    due_at_ms: int | None = None
    """When its timer fires: at the agreed time, at the next attempt, or when the report of an attempt is overdue."""
    expires_at_ms: int | None = None
    for_agent_id: AgentId | None = None
    """Agent that gets the customer being dialled, while the contact has no owner."""
    outcome: str | None = None
    outcome_seq: int = 0
    """Result of the last attempt, and the ``seq`` of the event that recorded it."""


class Contact(Struct, array_like=True, gc=False):
    """A contact: live, or ended within the retention period."""

    contact_id: ContactId
    channel: str
    queue_id: QueueId
    state: ContactState
    queued_at_ms: int
    changed_at_ms: int
    orig_seq: int
    skills: dict[str, int] = {}
    priority_s: int = 0
    strict_class: int = 0
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    gateway_id: str = ""
    ttl_at_ms: int | None = None
    wait_until_ms: int | None = None
    hops: int = 0
    """Number of overflows so far."""
    held: bool = False
    """Whether it waits for its queue to open; until then it is offered to no agent."""
    offers_made: int = 0
    offers: tuple[OfferId, ...] = ()
    """Ids of its pending offers."""
    agent_id: AgentId | None = None
    assignment_id: AssignmentId | None = None
    """Owner and the owner's assignment; kept after the contact has ended."""
    parties: tuple[AssignmentId, ...] = ()
    """Assignments of the consulted agents and participants, in joining order; the owner's is not among them."""
    answered_seq: int = 0
    """``seq`` of the event that gave the contact to its owner."""
    preferred_agent_id: AgentId | None = None
    preferred_until_ms: int | None = None
    back_agent_id: AgentId | None = None
    back_ms: int | None = None
    """Agent who is preferred next, and for how many milliseconds, if the preferred agent does not take the contact."""
    plan: str | None = None
    """Name of its own plan; None: the queue's plan applies."""
    step: int = 0
    step_until_ms: int | None = None
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    cool_downs: dict[AgentId, int] | None = None
    gone: dict[OfferId, tuple[OfferState, int, AgentId]] | None = None
    """Final state, ``seq`` of the final event and agent of each offer that has ended."""
    ended_seq: int = 0
    reason: str | None = None
    rule: str | None = None
    failed_rules: tuple[str, ...] = ()
    """Entry rule that classified the contact, and the rules that failed to evaluate before it."""
    callback: Callback | None = None
    line: Line | None = None
    """Derived: the waiting line it is in, or returns to when its offer ends."""
    key: int = 0
    """Derived: its sort key within that line; 0: it is not in the line now."""
    raised_s: int = 0
    """Derived: priority credit added by its plan, in seconds."""
    raised_class: int = 0
    """Derived: the least priority class that its plan demands."""

    @property
    def nobody_on_the_line(self) -> bool:
        """Return whether it is a callback whose customer is not connected; such a customer gets no position or wait estimate."""
        callback = self.callback
        return callback is not None and callback.phase is not CallbackPhase.CONNECTED


class Offer(Struct, array_like=True, gc=False):
    """A pending offer."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    channel: str
    queue_id: QueueId
    units: int
    made_at_ms: int
    deadline_ms: int
    waited_ms: int
    reason: str
    state: OfferState = OfferState.PENDING
    from_agent_id: AgentId | None = None
    broadcast: bool = False
    role: AssignmentRole = AssignmentRole.OWNER
    """Role that the agent takes in the conversation on accept."""
    turn: Turn | None = None
    others: int = 0
    values: dict[str, FactValue] | None = None


class Assignment(Struct, array_like=True, gc=False):
    """An agent's work on one contact, until it is completed."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    channel: str
    queue_id: QueueId
    state: AssignmentState
    units: int
    started_at_ms: int
    wrap_up_started_at_ms: int | None = None
    wrap_up_deadline_ms: int | None = None
    holds: bool = True
    """Whether it uses capacity now, interruptions left aside."""
    role: AssignmentRole = AssignmentRole.OWNER
    """Role of the agent in the conversation; the last one, if the agent has left."""
    held_for_consult: bool = False
    """Whether the hold was set by a consult rather than by the owner."""
    parked_until_ms: int | None = None
    was_parked: bool = False
    reason: str = ""
    turn: Turn | None = None
    others: int = 0
    values: dict[str, FactValue] | None = None


class Agent(Struct, kw_only=True, array_like=True):
    """An agent: record, presence, state and current work."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    own_units: int | None = None
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    state: AgentState = AgentState.OFFLINE
    reason: str | None = None
    state_since_ms: int = 0
    return_at_ms: int | None = None
    presence: Presence = Presence.NONE
    session_id: str | None = None
    grace_until_ms: int | None = None
    next_state: AgentState | None = None
    next_reason: str | None = None
    idle_no: int = 0
    """Position in the idle order; a smaller number has been idle longer."""
    idle_since_ms: int | None = None
    last_offer_seq: int = 0
    paused: tuple[str, ...] = ()
    """Channels on which the agent currently accepts no new contacts."""
    recent: dict[str, tuple[int, ...]] = {}
    """Times of the latest contacts taken, by capped channel (and ``ALL_CHANNELS``); no more of them than the cap needs."""
    queue_ranks: dict[QueueId, int] = {}
    contacts_today: int = 0
    """Contacts taken since the workspace's day began; counted only while the policy needs a day."""
    offers: dict[OfferId, Offer] = field(default_factory=dict)
    """Derived: pending offers."""
    assignments: dict[AssignmentId, Assignment] = field(default_factory=dict)
    """Derived: assignments that are not completed."""
    hands: Hands = NO_HANDS
    """Derived: total and used capacity, one object shared by all agents with the same values."""
    closed: int = 0
    """Derived: bits of the channels that are paused or whose rate cap is reached."""
    cap_until_ms: int | None = None
    """Derived: earliest time at which a capped channel opens without any event; None: no such time."""
    room: int = 0
    """Derived: bits of the channels on which the agent can be offered an item now."""
    joined_no: int = 0
    """Derived: running number of the agent's registration, starting at 1."""
    counted_ready: bool = False
    """Derived: whether the agent is included in the READY count of the agent group."""
    profile: Profile | None = None
    """Derived: group of agents who qualify for the same waiting lines."""


class QueueHours(Struct, array_like=True, gc=False):
    """Opening state of a queue with opening hours. A queue without such a record is always open."""

    is_open: bool
    changes_at_ms: int | None
    """When the opening state changes next, as far as known."""
    look_at_ms: int | None
    """When the calendar is evaluated again; at most one year ahead, the horizon of ``changes_at_ms``."""
    reason: str

    @property
    def by_supervisor(self) -> bool:
        """Return whether a supervisor set the state; the calendar is then ignored."""
        return self.reason == "supervisor"


class Dedupe(Struct, frozen=True, array_like=True, gc=False):
    """First answer to an idempotency key."""

    fingerprint: bytes
    contact_id: ContactId
    seq: int
    at_ms: int


class RoutingState:
    """State of one workspace; event handlers write it, everything else reads it."""

    index: Index
    timers: Timers

    def __init__(self) -> None:
        self.seq = 0
        self.at_ms = 0
        self.event_at_ms = 0
        """Time of the last event. A step without events changes ``at_ms`` only."""
        self.policy: Policy | None = None
        self.policy_version = 0
        self.rule_counts = RuleCounts()
        self.shadow_policy: Policy | None = None
        """Policy that is evaluated for comparison and decides nothing."""
        self.shadow_seq = 0
        """``seq`` of the event that set the shadow policy; 0: none is set."""
        self.idle_counter = 0
        self.day: str | None = None
        """Local date of the workspace, while the selection of some queue needs it."""
        self.day_until_ms: int | None = None
        self.contacts: dict[ContactId, Contact] = {}
        """Contacts in order of arrival."""
        self.contact_log: list[Contact] = []
        """Derived: the contacts in order of arrival, for incremental iteration; may still hold contacts already forgotten."""
        self.ended: deque[tuple[ContactId, int]] = deque()
        self.offers: dict[OfferId, Offer] = {}
        self.assignments: dict[AssignmentId, Assignment] = {}
        self.agents: dict[AgentId, Agent] = {}
        """Agents in order of registration."""
        self.agent_log: list[Agent] = []
        """Derived: the agents in order of registration; may still hold agents already removed."""
        self.agents_joined = 0
        """Derived: number of registrations since the process started."""
        self.dedupe: dict[bytes, Dedupe] = {}
        self.dedupe_order: deque[bytes] = deque()
        self.ended_counts: dict[ContactState, int] = dict.fromkeys(TERMINAL, 0)
        """Number of ended contacts by final state."""
        self.submitted = 0
        self.hours: dict[QueueId, QueueHours] = {}
        """Opening state of the queues that open and close."""
        self.calendars: dict[str, Calendar] = {}
        """Derived: calendars of the policy, compiled on first use."""
        self.imaging: Imaging | None = None
        """Derived: the incremental snapshot in progress; it receives every event before the event is applied."""
        self.tallies: dict[QueueId, dict[ContactState, int]] = {}
        self.learned = Learned()

    @property
    def counts(self) -> dict[ContactState, int]:
        """Return the number of contacts by state; live states are summed over the queues on each call."""
        counts = dict.fromkeys(ContactState, 0)
        for tally in self.tallies.values():
            for name, count in tally.items():
                counts[name] += count
        return counts | self.ended_counts

    def tally(self, queue_id: QueueId) -> dict[ContactState, int]:
        """Return the queue's contacts by state, also for a removed queue; only the live states are meaningful."""
        tally = self.tallies.get(queue_id)
        if tally is None:
            tally = self.tallies[queue_id] = dict.fromkeys(ContactState, 0)
        return tally

    def is_closed(self, queue_id: QueueId) -> bool:
        """Return whether the queue is closed now. Check first that ``hours`` is not empty, to save the lookup."""
        hours = self.hours.get(queue_id)
        return hours is not None and not hours.is_open

    def queue_policy(self, queue_id: QueueId) -> QueuePolicy:
        """Return the queue's policy; the default policy for a queue that has been removed."""
        if self.policy is None:
            return NO_QUEUE_POLICY
        return self.policy.queues.get(queue_id, NO_QUEUE_POLICY)


NO_QUEUE_POLICY: Final = QueuePolicy()
