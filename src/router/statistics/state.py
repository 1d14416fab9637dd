"""State of the live statistics: counters of queues, the intervals of the last day, and the target of the event handlers.

Each event counts for its channel, its queue and the running interval. To keep events cheap, they are added once to pending
counters of their queue and channel, and ``flush`` copies these into all places that they belong to. It must run before the
state is read, and before a queue or an interval begins or ends.

An interval is ``[start, start + 15 min)`` of epoch time. Each event counts in the interval in which it happens: a contact that was
submitted at 8:59 and answered at 9:01 is submitted in one interval and answered in the next. Activity time is split at boundaries.
"""

from typing import Final, Protocol

from msgspec import Struct, field

from router.model.events import ContactQueued, Event
from router.model.policy import Policy
from router.statistics.contact_log import ContactLog
from router.statistics.counters import ContactCounters, add_to_all
from router.statistics.occupancy import AgentActivity, WorkforceTime, WorkTime
from router.statistics.open_records import (
    OFFERED,
    QUEUED,
    SUSPENDED,
    AgentCounters,
    LiveAssignment,
    LiveContact,
    LiveOffer,
    LostOutcome,
)
from router.statistics.service_level import WaitHistogram

FORMAT: Final = 1

INTERVAL_MS: Final = 15 * 60 * 1000
# One day plus the running interval.
INTERVALS_MAX: Final = 97
# Limit of queue and channel pairs over all intervals, about 50 MB at most. Above it, the oldest intervals are dropped.
CELLS_MAX: Final = 100_000


class QueueCounters(Struct, array_like=True):
    """Counters of a queue by channel, its service-level target, and its live contacts by state."""

    threshold_ms: int = 20_000
    short_abandon_ms: int = 5_000
    target: float = 0.8
    contacts_by_state: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0])
    """Numbers of live contacts: queued, offered, assigned, callbacks for later, suspended."""
    waits: WaitHistogram = field(default_factory=WaitHistogram)
    channels: dict[str, ContactCounters] = field(default_factory=dict)
    waiting_contact_ms: int = 0
    """Time integral of waiting contacts (queued or offered) up to ``since_ms``; divided by time it is the mean queue length."""
    since_ms: int = 0
    opened_at_ms: int = 0

    def __post_init__(self) -> None:
        """Extend snapshots older than callbacks or suspended contacts, which have fewer states."""
        while len(self.contacts_by_state) <= SUSPENDED:
            self.contacts_by_state.append(0)


class StatsInterval(Struct, array_like=True):
    """Counters of one interval by queue and channel."""

    start_ms: int
    cells: dict[str, dict[str, ContactCounters]] = field(default_factory=dict)
    time: WorkTime = field(default_factory=WorkTime)
    """Activity time of all agents."""
    cell_count: int = 0


class IntervalSeries(Struct, array_like=True):
    """Intervals of the last day; the last one is running."""

    intervals: list[StatsInterval] = field(default_factory=list)
    cell_count: int = 0
    closed_time: WorkTime = field(default_factory=WorkTime)
    """Activity time of all agents up to the start of the running interval."""

    def end_ms(self) -> int:
        """Return the end of the running interval; 0 before the first event."""
        return self.intervals[-1].start_ms + INTERVAL_MS if self.intervals else 0

    def advance(self, at_ms: int, workforce: WorkforceTime) -> None:
        """Close the intervals that are over and open the one that contains ``at_ms``."""
        start_ms = at_ms - at_ms % INTERVAL_MS
        if not self.intervals:
            self.intervals.append(StatsInterval(start_ms=start_ms))
            return
        while self.end_ms() <= start_ms:
            end_ms = self.end_ms()
            workforce.advance(end_ms)
            self.intervals[-1].time = self.running_time(workforce.time)
            self.closed_time = WorkTime(workforce.time.not_ready_ms, workforce.time.idle_ms, workforce.time.busy_ms)
            # After a long time without events, empty intervals older than a day are skipped.
            first_ms = max(end_ms, start_ms - (INTERVALS_MAX - 1) * INTERVAL_MS)
            if first_ms > end_ms:
                workforce.advance(first_ms)
                self.closed_time = WorkTime(workforce.time.not_ready_ms, workforce.time.idle_ms, workforce.time.busy_ms)
            self.intervals.append(StatsInterval(start_ms=first_ms))
            self.trim()

    def running_time(self, time: WorkTime) -> WorkTime:
        """Return the activity time within the running interval, given the total activity time."""
        return WorkTime(
            time.not_ready_ms - self.closed_time.not_ready_ms,
            time.idle_ms - self.closed_time.idle_ms,
            time.busy_ms - self.closed_time.busy_ms,
        )

    def running_counters(self, queue_id: str, channel: str) -> ContactCounters:
        """Return the counters of a queue and channel in the running interval."""
        interval = self.intervals[-1]
        cells = interval.cells.setdefault(queue_id, {})
        counters = cells.get(channel)
        if counters is None:
            counters = cells[channel] = ContactCounters()
            interval.cell_count += 1
            self.cell_count += 1
            self.trim()
        return counters

    def trim(self) -> None:
        """Drop the oldest intervals above the limits; the running interval always stays."""
        intervals = self.intervals
        while len(intervals) > 1 and (len(intervals) > INTERVALS_MAX or self.cell_count > CELLS_MAX):
            self.cell_count -= intervals.pop(0).cell_count


class EntryRuleCounters(Struct, array_like=True):
    """Counters of an entry rule since its policy was published."""

    matched: int = 0
    failed: int = 0
    over_budget: int = 0


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
    """Counters of the entry rules of the active policy, in policy order."""
    choosing: int = 0
    """Contacts whose customers are choosing."""


class StatsObserver(Protocol):
    """Is shown each event before it is counted."""

    def before_event(self, event: Event) -> None:
        """Note what the event is going to change."""


class StatsState:
    """Snapshot content with pending counters; the target of the event handlers in a live workspace."""

    __slots__ = (
        "_pending",
        "agents",
        "assignments",
        "contact_log",
        "contacts",
        "incremental",
        "interval_end_ms",
        "offers",
        "queues",
        "snapshot",
    )

    def __init__(self, snapshot: StatsSnapshot) -> None:
        self.snapshot = snapshot
        self.queues = snapshot.queues
        self.contacts = snapshot.contacts
        self.contact_log = ContactLog(self.contacts)
        self.offers = snapshot.offers
        self.assignments = snapshot.assignments
        self.agents = snapshot.agents
        self.interval_end_ms = snapshot.series.end_ms()
        self.incremental: StatsObserver | None = None
        """The snapshot in progress, which every event is shown before it is counted."""
        self._pending: dict[str, dict[str, ContactCounters]] = {}
        """Counters since the last ``flush``, by queue and channel."""

    # --- pending counters --------------------------------------------------------------------------------------------

    def counters_for(self, contact_id: str, queue_id: str, channel: str) -> ContactCounters:
        """Return the pending counters of a queue and channel."""
        try:
            return self._pending[queue_id][channel]
        except KeyError:
            # Creates the counters in the snapshot now, so that they exist even if nothing else is counted.
            self._all_counters(queue_id, channel)
            pending = self._pending.setdefault(queue_id, {})[channel] = ContactCounters()
            return pending

    def _all_counters(self, queue_id: str, channel: str) -> list[ContactCounters]:
        """Return the counters of a queue and channel in the snapshot: of the channel, the running interval and the queue."""
        snapshot = self.snapshot
        found = [snapshot.channels.setdefault(channel, ContactCounters())]
        found.append(snapshot.series.running_counters(queue_id, channel))
        queue = snapshot.queues.get(queue_id)
        if queue is not None:
            found.append(queue.channels.setdefault(channel, ContactCounters()))
        return found

    def flush(self) -> None:
        """Add the pending counters to the snapshot content.

        O(pairs of queue and channel with an event since the last call).
        """
        for queue_id in list(self._pending):
            self.flush_queue(queue_id)

    def flush_next(self) -> bool:
        """Add the pending counters of some queue; return whether there are more."""
        for queue_id in self._pending:
            self.flush_queue(queue_id)
            break
        return bool(self._pending)

    def flush_queue(self, queue_id: str) -> None:
        """Add the pending counters of one queue to the snapshot content."""
        for channel, pending in self._pending.pop(queue_id, {}).items():
            add_to_all(pending, self._all_counters(queue_id, channel))

    def start_interval(self, at_ms: int) -> None:
        """Close the running interval and start the one that contains ``at_ms``."""
        self.flush()
        series = self.snapshot.series
        if not series.intervals:
            self.snapshot.workforce.since_ms = at_ms
        series.advance(at_ms, self.snapshot.workforce)
        self.interval_end_ms = series.end_ms()

    # --- contacts ----------------------------------------------------------------------------------------------------

    def add_contact(self, contact_id: str, contact: LiveContact) -> None:
        """Add a contact, in place of the one with the same id, if any."""
        contacts = self.contacts
        if contact_id in contacts:
            del contacts[contact_id]  # So that it is the last one, as in the log.
        contacts[contact_id] = contact
        log = self.contact_log
        log.ids.append(contact_id)
        log.records.append(contact)
        if len(log.ids) > log.length_max:
            log.trim()

    def queue(self, queue_id: str) -> QueueCounters:
        """Return the counters of a queue, creating them if needed."""
        try:
            return self.queues[queue_id]
        except KeyError:
            self.flush()
            at_ms = self.snapshot.at_ms
            queue = self.queues[queue_id] = QueueCounters(since_ms=at_ms, opened_at_ms=at_ms)
            return queue

    def move_contact(self, queue_id: str, before: int | None, after: int | None, at_ms: int) -> None:
        """Count a contact of a queue that changes its state; none: from or to outside the queue."""
        # Four times per contact: a dictionary is cheaper than the call that creates what is missing.
        queue = self.queues.get(queue_id) or self.queue(queue_id)
        numbers = queue.contacts_by_state
        if at_ms != queue.since_ms:
            waiting = numbers[QUEUED] + numbers[OFFERED]
            queue.waiting_contact_ms += waiting * (at_ms - queue.since_ms)
            queue.since_ms = at_ms
        if before is not None:
            numbers[before] -= 1
        if after is not None:
            numbers[after] += 1

    def record_choosing(self, change: int) -> None:
        """Count a contact whose customer begins or ends to choose."""
        self.snapshot.choosing += change

    def record_entry_rules(self, event: ContactQueued) -> None:
        """Count the entry rules that matched or failed for a new contact."""
        rules = self.snapshot.rules
        if event.rule is not None and event.rule in rules:
            rules[event.rule].matched += 1
        for name in event.failed_rules:
            if name in rules:
                if name == event.over_budget_rule:
                    rules[name].over_budget += 1
                else:
                    rules[name].failed += 1

    def record_answer(self, contact_id: str, contact: LiveContact, agent_id: str, wait_ms: int) -> None:
        """Count an answer in the queue in which the contact waits."""
        queue = self.queue(contact.queue_id)
        queue.waits.add(wait_ms)
        self.snapshot.waits.add(wait_ms)
        counters = self.counters_for(contact_id, contact.queue_id, contact.channel)
        counters.service.record_answer(wait_ms, queue.threshold_ms)
        counters.waits.answered_ms += wait_ms

    def record_lost(self, contact_id: str, contact: LiveContact, outcome: LostOutcome, wait_ms: int) -> None:
        """Count a contact that ended without an answer, in the queue in which it waits."""
        counters = self.counters_for(contact_id, contact.queue_id, contact.channel)
        if outcome is LostOutcome.ABANDONED:
            queue = self.queue(contact.queue_id)
            counters.service.record_abandon(wait_ms, queue.threshold_ms, queue.short_abandon_ms)
            counters.waits.abandoned_ms += wait_ms
        elif outcome is LostOutcome.CANCELLED:
            counters.flow.cancelled += 1
        else:
            counters.flow.expired += 1

    def record_end(self) -> None:
        """Count a contact whose conversation ended."""
        self.snapshot.ended += 1

    # --- agents ------------------------------------------------------------------------------------------------------

    def agent(self, agent_id: str) -> AgentCounters:
        """Return the counters of an agent, creating them if needed."""
        try:
            return self.agents[agent_id]
        except KeyError:
            agent = self.agents[agent_id] = AgentCounters(since_ms=self.snapshot.at_ms)
            self.snapshot.workforce.agents_by_activity[agent.activity] += 1
            return agent

    def record_activity(self, agent_id: str, before: AgentActivity, after: AgentActivity, at_ms: int) -> None:
        """Move an agent from one activity to another in the totals."""
        workforce = self.snapshot.workforce
        workforce.advance(at_ms)
        workforce.agents_by_activity[before] -= 1
        workforce.agents_by_activity[after] += 1

    def remove_agent(self, agent_id: str, at_ms: int) -> None:
        """Remove an agent; the totals keep the agent's time."""
        agent = self.agents.pop(agent_id)
        workforce = self.snapshot.workforce
        workforce.advance(at_ms)
        workforce.agents_by_activity[agent.activity] -= 1

    # --- policy ------------------------------------------------------------------------------------------------------

    def apply_policy(self, policy: Policy) -> None:
        """Apply targets and entry rules to later events, and remove queues that are gone and empty."""
        for queue_id, queue_policy in policy.queues.items():
            queue = self.queue(queue_id)
            level = queue_policy.service_level
            queue.threshold_ms = level.threshold_s * 1000
            queue.short_abandon_ms = level.short_abandon_s * 1000
            queue.target = level.target
        self.snapshot.rules = {rule.name: EntryRuleCounters() for rule in policy.entry}
        gone = [queue_id for queue_id in self.queues if queue_id not in policy.queues]
        for queue_id in gone:
            # A removed queue with contacts in conversation stays until the next policy.
            if not any(self.queues[queue_id].contacts_by_state):
                self.flush()
                del self.queues[queue_id]
