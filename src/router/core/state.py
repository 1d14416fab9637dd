"""What is true now. Plain mutable records, changed by ``apply`` only, read by everybody in this room.

Each record has primary fields, which a snapshot keeps and the digest covers, and derived ones (marked), which are rebuilt
from the primary ones: places in lines, capacity used, room.

Derived fields stand last: a snapshot has a record as an array of its primary fields, in this order.
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
    """What makes a contact a callback."""

    mode: CallbackMode
    place: CallbackPlace
    phase: CallbackPhase = CallbackPhase.WAITING
    attempts: int = 0
    """Begun so far."""
    scheduled_at_ms: int | None = None
    """The agreed time."""
    due_at_ms: int | None = None
    """What its timer waits for: the agreed time, the next try, the end of the time for a report."""
    expires_at_ms: int | None = None
    for_agent_id: AgentId | None = None
    """While dialling without an owner: whose turn it was."""
    outcome: str | None = None
    outcome_seq: int = 0
    """How the last attempt went, and the event that says so."""


class Contact(Struct, array_like=True, gc=False):
    """A contact, live or ended within retention."""

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
    """How often it has overflowed."""
    held: bool = False
    """It waits for its queue to open: nobody is offered it before."""
    offers_made: int = 0
    offers: tuple[OfferId, ...] = ()
    """Live ones."""
    agent_id: AgentId | None = None
    assignment_id: AssignmentId | None = None
    """The owner and his work; kept after the end."""
    parties: tuple[AssignmentId, ...] = ()
    """Work of those who are in the conversation beside the owner, first come first."""
    answered_seq: int = 0
    """The event that gave it to the owner."""
    preferred_agent_id: AgentId | None = None
    preferred_until_ms: int | None = None
    back_agent_id: AgentId | None = None
    back_ms: int | None = None
    """Who may have it next, and for how long, when the preferred agent has not taken it."""
    plan: str | None = None
    """Its own plan; none: the queue's."""
    step: int = 0
    step_until_ms: int | None = None
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    cool_downs: dict[AgentId, int] | None = None
    gone: dict[OfferId, tuple[OfferState, int, AgentId]] | None = None
    """How its other offers ended, at which event, and whose they were."""
    ended_seq: int = 0
    reason: str | None = None
    rule: str | None = None
    failed_rules: tuple[str, ...] = ()
    """The entry rule that decided, and those that failed for it."""
    callback: Callback | None = None
    line: Line | None = None
    """Derived: the line it waits in (or will return to while offered)."""
    key: int = 0
    """Derived: its place in that line; 0 = not waiting there now."""
    raised_s: int = 0
    """Derived: the credit that its plan has added."""
    raised_class: int = 0
    """Derived: the least strict class that its plan asks for."""

    @property
    def nobody_on_the_line(self) -> bool:
        """A callback whose customer has not been reached yet: he hears nothing of where it waits, and how long."""
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
    """What the agent is to the contact once he accepts."""
    turn: Turn | None = None
    others: int = 0
    values: dict[str, FactValue] | None = None


class Assignment(Struct, array_like=True, gc=False):
    """Work in an agent's hands, until it is completed."""

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
    """Whether it uses up capacity now, interruptions apart."""
    role: AssignmentRole = AssignmentRole.OWNER
    """What the agent is to the contact, or was when he left it."""
    held_for_consult: bool = False
    """The customer is on hold because of a consult, not because the owner said so."""
    parked_until_ms: int | None = None
    was_parked: bool = False
    reason: str = ""
    turn: Turn | None = None
    others: int = 0
    values: dict[str, FactValue] | None = None


class Agent(Struct, kw_only=True, array_like=True):
    """An agent's record, state and work."""

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
    """His place in the idle order: smaller = idle longer."""
    idle_since_ms: int | None = None
    last_offer_seq: int = 0
    paused: tuple[str, ...] = ()
    """Channels of which he takes nothing new for the time being."""
    recent: dict[str, tuple[int, ...]] = {}
    """When he took his latest contacts, by capped channel (and ``caps.EVERYTHING``): as many as the cap asks for."""
    queue_ranks: dict[QueueId, int] = {}
    contacts_today: int = 0
    """Given to him since the day began; counted only while a day is known."""
    offers: dict[OfferId, Offer] = field(default_factory=dict)
    """Derived."""
    assignments: dict[AssignmentId, Assignment] = field(default_factory=dict)
    """Derived."""
    hands: Hands = NO_HANDS
    """Derived: his capacity and what he holds of it, shared with all who are alike in that."""
    closed: int = 0
    """Derived: bits of the channels that he has paused or whose cap he has reached."""
    cap_until_ms: int | None = None
    """Derived: when time alone opens one of the capped ones again."""
    room: int = 0
    """Derived: bits of the channels of which he could be offered an item now."""
    joined_no: int = 0
    """Derived: how many agents were put on record before him, and he."""
    counted_ready: bool = False
    """Derived: whether his profile counts him among its READY agents."""
    profile: Profile | None = None
    """Derived: the agents who may take the same lines."""


class QueueHours(Struct, array_like=True, gc=False):
    """Whether a queue is open, of which that is not always so. A queue without such a record is open for good."""

    is_open: bool
    changes_at_ms: int | None
    """When that changes, as far as is known."""
    look_at_ms: int | None
    """When it is decided anew; later than a year, the horizon of ``changes_at_ms``, never."""
    reason: str

    @property
    def by_supervisor(self) -> bool:
        """A supervisor has said so: the calendar does not count."""
        return self.reason == "supervisor"


class Dedupe(Struct, frozen=True, array_like=True, gc=False):
    """The first answer to an idempotency key."""

    fingerprint: bytes
    contact_id: ContactId
    seq: int
    at_ms: int


class RoutingState:
    """One workspace. ``apply`` writes; ``decide``, ``matching`` and the views read."""

    index: Index
    timers: Timers

    def __init__(self) -> None:
        self.seq = 0
        self.at_ms = 0
        self.event_at_ms = 0
        """When the last event happened; steps without events move ``at_ms`` only."""
        self.policy: Policy | None = None
        self.policy_version = 0
        self.rule_counts = RuleCounts()
        self.shadow_policy: Policy | None = None
        """The one that runs beside it and decides nothing."""
        self.shadow_seq = 0
        """The event that set it."""
        self.idle_counter = 0
        self.day: str | None = None
        """The workspace's local date, while a queue's selection asks for it."""
        self.day_until_ms: int | None = None
        self.contacts: dict[ContactId, Contact] = {}
        """In the order in which they came."""
        self.contact_log: list[Contact] = []
        """Derived: the same contacts in the same order, so that they can be gone through in pieces; some have been forgotten."""
        self.ended: deque[tuple[ContactId, int]] = deque()
        self.offers: dict[OfferId, Offer] = {}
        self.assignments: dict[AssignmentId, Assignment] = {}
        self.agents: dict[AgentId, Agent] = {}
        """In the order in which they were put on record."""
        self.agent_log: list[Agent] = []
        """Derived: the same agents in the same order, and some who have been removed."""
        self.agents_joined = 0
        """Derived: how many have been put on record since the start."""
        self.dedupe: dict[bytes, Dedupe] = {}
        self.dedupe_order: deque[bytes] = deque()
        self.ended_counts: dict[ContactState, int] = dict.fromkeys(TERMINAL, 0)
        """Of all contacts that have ended so far, by their last state."""
        self.submitted = 0
        self.hours: dict[QueueId, QueueHours] = {}
        """Queues that open and close."""
        self.calendars: dict[str, Calendar] = {}
        """Derived: the policy's calendars, made ready as ``decide`` asks for them."""
        self.imaging: Imaging | None = None
        """Derived: the snapshot that is being made in pieces; it hears of every event before it is applied."""
        self.tallies: dict[QueueId, dict[ContactState, int]] = {}
        self.learned = Learned()

    @property
    def counts(self) -> dict[ContactState, int]:
        """All contacts so far by state: those who live are added up over their queues when somebody asks."""
        counts = dict.fromkeys(ContactState, 0)
        for tally in self.tallies.values():
            for name, count in tally.items():
                counts[name] += count
        return counts | self.ended_counts

    def tally(self, queue_id: QueueId) -> dict[ContactState, int]:
        """The queue's contacts by state (the live states only mean anything): also of a removed queue."""
        tally = self.tallies.get(queue_id)
        if tally is None:
            tally = self.tallies[queue_id] = dict.fromkeys(ContactState, 0)
        return tally

    def is_closed(self, queue_id: QueueId) -> bool:
        """Whether the queue takes nobody now. Ask only where ``hours`` is not empty: it costs a look-up."""
        hours = self.hours.get(queue_id)
        return hours is not None and not hours.is_open

    def queue_policy(self, queue_id: QueueId) -> QueuePolicy:
        """The queue's policy; the defaults where the queue has been removed meanwhile."""
        if self.policy is None:
            return NO_QUEUE_POLICY
        return self.policy.queues.get(queue_id, NO_QUEUE_POLICY)


NO_QUEUE_POLICY: Final = QueuePolicy()
