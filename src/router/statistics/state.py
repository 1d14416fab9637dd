"""State of the statistics: counters of queues and agents, and records of live contacts, offers and assignments.

A record is removed with the last event of its contact, offer or assignment.

Each event counts for its channel, its queue and the running interval. To keep events cheap, they are added once to pending
counters of their queue and channel, and ``flush`` copies these into all places that they belong to. It must run before the
state is read, and before a queue or an interval begins or ends.
"""

from enum import IntEnum
from typing import Final

from msgspec import Struct, field

from router.model.states import AgentState
from router.statistics.counters import ContactCounters, HandlingCounts, OfferCounts, add_to_all
from router.statistics.intervals import IntervalSeries
from router.statistics.occupancy import AgentActivity, WorkforceTime, WorkTime, activity_of
from router.statistics.service_level import WaitHistogram

# States of a live contact. Plain integers, because a snapshot may contain a million of them.
QUEUED, OFFERED, ASSIGNED, CALLBACK = 0, 1, 2, 3


class AssignmentPhase(IntEnum):
    """Phase of an open assignment."""

    TALKING = 0
    ON_HOLD = 1
    WRAP_UP = 2
    PARKED = 3


_TALKING, _ON_HOLD, _PARKED = (
    AssignmentPhase.TALKING,
    AssignmentPhase.ON_HOLD,
    AssignmentPhase.PARKED,
)


class LiveContact(Struct, array_like=True, gc=False):
    """Contact that has not ended."""

    queue_id: str
    channel: str
    waiting_since_ms: int
    """Start of the present wait."""
    state: int = QUEUED
    is_callback: bool = False
    """Whether the customer is not on the line, so that the wait counts as that of a callback."""


class LiveOffer(Struct, array_like=True, gc=False):
    """Pending offer with the queue and channel to count its end for; its contact may have ended by then."""

    queue_id: str
    channel: str


class LiveAssignment(Struct, array_like=True, gc=False):
    """Assignment that is not completed."""

    agent_id: str
    queue_id: str
    channel: str
    since_ms: int
    """Start of the present phase."""
    talk_ms: int = 0
    hold_ms: int = 0
    wrap_up_ms: int = 0
    phase: AssignmentPhase = _TALKING
    is_secondary: bool = False
    """Whether the agent is beside the owner: consulted, or a participant."""
    parked_ms: int = 0

    def enter_phase(self, phase: AssignmentPhase, at_ms: int) -> None:
        """End the present phase and start another one, or the same again."""
        duration_ms = at_ms - self.since_ms
        if self.phase is _TALKING:
            self.talk_ms += duration_ms
        elif self.phase is _ON_HOLD:
            self.hold_ms += duration_ms
        elif self.phase is _PARKED:
            self.parked_ms += duration_ms
        else:
            self.wrap_up_ms += duration_ms
        self.since_ms = at_ms
        self.phase = phase


class AgentCounters(Struct, array_like=True):
    """Counters of an agent, and the present activity."""

    state: AgentState = AgentState.OFFLINE
    assignments: int = 0
    """Open assignments without the parked ones."""
    activity: AgentActivity = AgentActivity.OFFLINE
    """Present activity, derived from the two fields above."""
    since_ms: int = 0
    """Start of the present activity."""
    time: WorkTime = field(default_factory=WorkTime)
    offers: OfferCounts = field(default_factory=OfferCounts)
    handling: HandlingCounts = field(default_factory=HandlingCounts)
    parked: int = 0
    """Parked assignments."""


class QueueCounters(Struct, array_like=True):
    """Counters of a queue by channel, its service-level target, and its live contacts by state."""

    threshold_ms: int = 20_000
    short_abandon_ms: int = 5_000
    target: float = 0.8
    contacts_by_state: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Numbers of live contacts: queued, offered, assigned, callbacks for later."""
    waits: WaitHistogram = field(default_factory=WaitHistogram)
    channels: dict[str, ContactCounters] = field(default_factory=dict)
    waiting_contact_ms: int = 0
    """Time integral of waiting contacts (queued or offered) up to ``since_ms``; divided by time it is the mean queue length."""
    since_ms: int = 0
    opened_at_ms: int = 0

    def __post_init__(self) -> None:
        """Extend snapshots older than callbacks, which have only three states."""
        if len(self.contacts_by_state) == CALLBACK:
            self.contacts_by_state.append(0)

    def move_contact(self, before: int | None, after: int | None, at_ms: int) -> None:
        """Move a contact from one state to another; none: from or to outside the queue."""
        heads = self.contacts_by_state
        if at_ms != self.since_ms:
            self.waiting_contact_ms += (heads[QUEUED] + heads[OFFERED]) * (at_ms - self.since_ms)
            self.since_ms = at_ms
        if before is not None:
            heads[before] -= 1
        if after is not None:
            heads[after] += 1


FORMAT: Final = 1


class EntryRuleCounters(Struct, array_like=True):
    """Counters of an entry rule since its policy came into force."""

    matched: int = 0
    failed: int = 0


class StatsSnapshot(Struct, array_like=True):
    """Content of a snapshot."""

    format: int = FORMAT
    seq: int = 0
    at_ms: int = 0
    ended: int = 0
    """Number of ended contacts."""
    queues: dict[str, QueueCounters] = field(default_factory=dict)
    channels: dict[str, ContactCounters] = field(default_factory=dict)
    """Counters of the whole workspace by channel, including removed queues."""
    waits: WaitHistogram = field(default_factory=WaitHistogram)
    contacts: dict[str, LiveContact] = field(default_factory=dict)
    offers: dict[str, LiveOffer] = field(default_factory=dict)
    assignments: dict[str, LiveAssignment] = field(default_factory=dict)
    agents: dict[str, AgentCounters] = field(default_factory=dict)
    workforce: WorkforceTime = field(default_factory=WorkforceTime)
    series: IntervalSeries = field(default_factory=IntervalSeries)
    rules: dict[str, EntryRuleCounters] = field(default_factory=dict)
    """Counters of the entry rules of the policy in force, in policy order."""


class StatsState:
    """Snapshot content with pending counters and the operations of the event handlers."""

    __slots__ = (
        "_sheets",
        "agents",
        "contacts",
        "interval_end_ms",
        "offers",
        "pages",
        "queues",
        "work",
    )

    def __init__(self, pages: StatsSnapshot) -> None:
        self.pages = pages
        self.queues = pages.queues
        self.contacts = pages.contacts
        self.offers = pages.offers
        self.work = pages.assignments
        self.agents = pages.agents
        self.interval_end_ms = pages.series.end_ms()
        self._sheets: dict[str, dict[str, tuple[ContactCounters, ...]]] = {}
        """Pending counters since the last ``flush``, by queue and channel."""

    def counters_for(self, queue_id: str, channel: str) -> tuple[ContactCounters, ...]:
        """Return the pending counters of a queue and channel, which ``flush`` copies to all places they belong to."""
        try:
            return self._sheets[queue_id][channel]
        except KeyError:
            return self._open_pending(queue_id, channel)

    def _open_pending(self, queue_id: str, channel: str) -> tuple[ContactCounters, ...]:
        self._all_counters(queue_id, channel)
        sheet = self._sheets.setdefault(queue_id, {})[channel] = (ContactCounters(),)
        return sheet

    def _all_counters(self, queue_id: str, channel: str) -> list[ContactCounters]:
        """Return the counters of a queue and channel in the snapshot: of the channel, the running interval and the queue."""
        pages = self.pages
        places = [pages.channels.setdefault(channel, ContactCounters())]
        places.append(pages.series.running_counters(queue_id, channel))
        queue = pages.queues.get(queue_id)
        if queue is not None:
            places.append(queue.channels.setdefault(channel, ContactCounters()))
        return places

    def flush(self) -> None:
        """Add the pending counters to the snapshot content.

        O(pairs of queue and channel with an event since the last call).
        """
        for queue_id, sheets in self._sheets.items():
            for channel, (sheet,) in sheets.items():
                add_to_all(sheet, self._all_counters(queue_id, channel))
        self._sheets.clear()

    def queue(self, queue_id: str) -> QueueCounters:
        """Return the counters of a queue, creating them if needed."""
        queue = self.queues.get(queue_id)
        if queue is None:
            self.flush()
            at_ms = self.pages.at_ms
            queue = self.queues[queue_id] = QueueCounters(since_ms=at_ms, opened_at_ms=at_ms)
        return queue

    def remove_queue(self, queue_id: str) -> None:
        """Remove a queue; the workspace totals keep its counts."""
        self.flush()
        del self.queues[queue_id]

    def agent(self, agent_id: str) -> AgentCounters:
        """Return the counters of an agent, creating them if needed."""
        agent = self.agents.get(agent_id)
        if agent is None:
            agent = self.agents[agent_id] = AgentCounters(since_ms=self.pages.at_ms)
            self.pages.workforce.agents_by_activity[agent.activity] += 1
        return agent

    def update_agent(
        self, agent: AgentCounters, at_ms: int, *, state: AgentState, work: int
    ) -> None:
        """Change an agent's state or number of assignments, and add the time of an activity that ends."""
        before = agent.activity
        agent.state = state
        agent.assignments += work
        after = activity_of(state, agent.assignments)
        if before is after:
            return
        agent.activity = after
        agent.time.add(before, at_ms - agent.since_ms)
        agent.since_ms = at_ms
        workforce = self.pages.workforce
        workforce.advance(at_ms)
        workforce.agents_by_activity[before] -= 1
        workforce.agents_by_activity[after] += 1

    def start_interval(self, at_ms: int) -> None:
        """Close the running interval and start the one that contains ``at_ms``."""
        self.flush()
        series = self.pages.series
        if not series.intervals:
            self.pages.workforce.since_ms = at_ms
        series.advance(at_ms, self.pages.workforce)
        self.interval_end_ms = series.end_ms()
