"""State of the live statistics: counters of queues, the history by time, and the target of the event handlers.

Each event counts for its channel, its queue and the running minute of the history. To keep events cheap, they are added once to
pending counters of their queue and channel, and ``flush`` copies these into all places that they belong to. It must run before the
state is read, and before a queue begins or ends.
"""

from bisect import bisect_left
from collections.abc import Generator
from typing import Any, Final, Protocol

from msgspec import Struct, field

from router.model.events import ContactQueued, Event, GoalChanged
from router.model.policy import Policy
from router.statistics.contact_log import ContactLog
from router.statistics.counters import ContactCounters, add_to_all
from router.statistics.goals import record_goal
from router.statistics.history import DayOf, History, HistorySnapshot, utc_day
from router.statistics.metrics import (
    AGENT_PREFIX,
    CORRECTED_AT_MS,
    CORRECTIONS,
    FIRST_WAIT,
    LONGEST_WAIT_MS,
    TIME_OF_ACTIVITY,
    add_changes,
    agent_key,
    changes_of,
    disposition_key,
    number_of,
    queue_key,
)
from router.statistics.occupancy import AgentActivity, WorkforceTime
from router.statistics.open_records import (
    OFFERED,
    QUEUED,
    SUSPENDED,
    AgentCounters,
    LiveAssignment,
    LiveContact,
    LiveOffer,
    LostOutcome,
    state_times,
)
from router.statistics.service_level import WAIT_BUCKETS_MS, WaitHistogram

FORMAT: Final = 1

# Completed assignments whose disposition may still be given and then counts in the interval of their completion.
UNDISPOSED_MAX: Final = 20_000


_ANSWERED: Final = number_of("service", "answered")
_ANSWERED_WITHIN: Final = number_of("service", "answered_within")
_ANSWERED_MS: Final = number_of("waits", "answered_ms")
_HANDLED: Final = number_of("handling", "handled")
_WORK: Final = tuple((number_of("handling", name), name) for name in ("talk_ms", "hold_ms", "wrap_up_ms", "parked_ms"))


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


class Undisposed(Struct, array_like=True, frozen=True, gc=False):
    """Completed assignment without a disposition, which may still be given."""

    completed_at_ms: int
    queue_id: str
    work: tuple[tuple[int, int], ...]
    """What it has counted: numbers and values."""


class EntryRuleCounters(Struct, array_like=True):
    """Counters of an entry rule since its policy was published."""

    matched: int = 0
    failed: int = 0
    over_budget: int = 0


class AlertCounters(Struct, array_like=True):
    """Counters of an alert while its policy names it."""

    raised: int = 0
    """How often it was raised, over all subjects."""
    active: int = 0
    """Subjects of which it is raised now."""


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
    series: Any = ()
    """Intervals of versions without ``history``; ignored."""
    rules: dict[str, EntryRuleCounters] = field(default_factory=dict)
    """Counters of the entry rules of the active policy, in policy order."""
    choosing: int = 0
    """Contacts whose customers are choosing."""
    history: HistorySnapshot = field(default_factory=HistorySnapshot)
    undisposed: dict[str, Undisposed] = field(default_factory=dict)
    """Completed assignments without a disposition, in order of their completion."""
    alerts: dict[str, AlertCounters] = field(default_factory=dict)
    """Counters of the alerts of the active policy, by name."""


class StatsObserver(Protocol):
    """Is shown each event before it is counted."""

    def before_event(self, event: Event) -> None:
        """Note what the event is going to change."""


class StatsState:
    """Snapshot content with pending counters; the target of the event handlers in a live workspace."""

    __slots__ = (
        "_behind",
        "_pending",
        "agents",
        "assignments",
        "contact_log",
        "contacts",
        "history",
        "incremental",
        "offers",
        "queues",
        "snapshot",
        "undisposed",
    )

    def __init__(self, snapshot: StatsSnapshot, day_of: DayOf = utc_day) -> None:
        snapshot.series = ()
        self.history = History(snapshot.history, day_of)
        self.undisposed = snapshot.undisposed
        self.snapshot = snapshot
        self.queues = snapshot.queues
        self.contacts = snapshot.contacts
        self.contact_log = ContactLog(self.contacts)
        self.offers = snapshot.offers
        self.assignments = snapshot.assignments
        self.agents = snapshot.agents
        self.incremental: StatsObserver | None = None
        """The snapshot in progress, which every event is shown before it is counted."""
        self._pending: dict[str, dict[str, ContactCounters]] = {}
        """Counters since the last ``flush`` in the running minute, by queue and channel."""
        self._behind: list[tuple[int, dict[str, dict[str, ContactCounters]]]] = []
        """The same of earlier minutes, with their starts."""

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
        """Return the counters of a queue and channel in the snapshot: of the channel, and of the queue."""
        snapshot = self.snapshot
        found = [snapshot.channels.setdefault(channel, ContactCounters())]
        queue = snapshot.queues.get(queue_id)
        if queue is not None:
            found.append(queue.channels.setdefault(channel, ContactCounters()))
        return found

    def flush(self) -> None:
        """Add the pending counters to the snapshot content and the history.

        O(pairs of queue and channel with an event since the last call).
        """
        while self._behind or self._pending:
            self._flush_some()

    def flush_in_steps(self) -> Generator[None]:
        """Add the pending counters, after steps between which events may be counted; what these count, with the last step."""
        for _ in range(len(self._pending) + sum(len(pending) for _, pending in self._behind)):
            if self._behind or self._pending:
                self._flush_some()
                yield
        self.flush()

    def flush_next(self) -> bool:
        """Add the pending counters of some queue, or do some work of the history; return whether there is more."""
        if self._behind or self._pending:
            self._flush_some()
        elif self.history.has_work:
            self.history.work()
        return bool(self._behind or self._pending or self.history.has_work)

    def _flush_some(self) -> None:
        if self._behind:
            minute_ms, pending = self._behind[0]
            self._add_pending(minute_ms, pending, next(iter(pending), ""))
            if not pending:
                del self._behind[0]
        else:
            self._add_pending(self.history.minute_start_ms, self._pending, next(iter(self._pending)))

    def flush_queue(self, queue_id: str) -> None:
        """Add the pending counters of one queue to the snapshot content."""
        for minute_ms, pending in self._behind:
            self._add_pending(minute_ms, pending, queue_id)
        self._add_pending(self.history.minute_start_ms, self._pending, queue_id)

    def _add_pending(self, minute_ms: int, pending: dict[str, dict[str, ContactCounters]], queue_id: str) -> None:
        for channel, counters in pending.pop(queue_id, {}).items():
            add_to_all(counters, self._all_counters(queue_id, channel))
            if changes := changes_of(counters):
                self.history.add(minute_ms, queue_key(queue_id, channel), changes)

    def step(self) -> None:
        """Do a small part of what remains of earlier minutes, if anything does."""
        if self._behind:
            self._flush_some()
            return
        history = self.history
        # ``has_work`` without a call, as this is done for every event.
        if history.closed or history.layer or history.earlier_layers or history.packing:
            history.work()

    def start_minute(self, at_ms: int) -> None:
        """Close the running minute and start the one that contains ``at_ms``."""
        if not self.history.minutes:
            self.snapshot.workforce.since_ms = at_ms
        while self._behind:  # Nothing under load: it was added with the events since.
            self._flush_some()
        if self._pending:
            self._behind.append((self.history.minute_start_ms, self._pending))
            self._pending = {}
        self.history.start_minute(at_ms)

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
        is_within = wait_ms <= queue.threshold_ms
        self._add_answer(queue_key(contact.queue_id, contact.channel), wait_ms, is_within=is_within, is_of_agent=False)
        self._add_answer(agent_key(agent_id), wait_ms, is_within=is_within, is_of_agent=True)
        if contact.first_queue_id not in ("", contact.queue_id):  # Back in its first queue, it counts there only once.
            first = self.queue(contact.first_queue_id)
            counters = self.counters_for(contact_id, contact.first_queue_id, contact.channel)
            counters.after_overflow.record_answer(wait_ms, first.threshold_ms)

    def _add_answer(self, key: str, wait_ms: int, *, is_within: bool, is_of_agent: bool) -> None:
        """Add a wait to the histogram of a key in the running minute; for an agent, the answer too."""
        cells = self.history.running
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = {}
        bucket = FIRST_WAIT + bisect_left(WAIT_BUCKETS_MS, wait_ms)
        cell[bucket] = cell.get(bucket, 0) + 1
        if wait_ms > cell.get(LONGEST_WAIT_MS, 0):
            cell[LONGEST_WAIT_MS] = wait_ms
        if is_of_agent:
            cell[_ANSWERED] = cell.get(_ANSWERED, 0) + 1
            cell[_ANSWERED_MS] = cell.get(_ANSWERED_MS, 0) + wait_ms
            if is_within:
                cell[_ANSWERED_WITHIN] = cell.get(_ANSWERED_WITHIN, 0) + 1

    def record_lost(self, contact_id: str, contact: LiveContact, outcome: LostOutcome, wait_ms: int) -> None:
        """Count a contact that ended without an answer, in the queue in which it waits."""
        counters = self.counters_for(contact_id, contact.queue_id, contact.channel)
        if outcome is LostOutcome.ABANDONED:
            queue = self.queue(contact.queue_id)
            counters.service.record_abandon(wait_ms, queue.threshold_ms, queue.short_abandon_ms)
            counters.waits.abandoned_ms += wait_ms
            if contact.first_queue_id not in ("", contact.queue_id):
                first = self.queue(contact.first_queue_id)
                counters = self.counters_for(contact_id, contact.first_queue_id, contact.channel)
                counters.after_overflow.record_abandon(wait_ms, first.threshold_ms, first.short_abandon_ms)
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
            agent = self.agents[agent_id] = AgentCounters(since_ms=self.snapshot.at_ms, state_since_ms=self.snapshot.at_ms)
            self.snapshot.workforce.agents_by_activity[agent.activity] += 1
            return agent

    def record_activity(self, agent_id: str, before: AgentActivity, after: AgentActivity, at_ms: int) -> None:
        """Move an agent from one activity to another in the totals."""
        workforce = self.snapshot.workforce
        workforce.advance(at_ms)
        workforce.agents_by_activity[before] -= 1
        workforce.agents_by_activity[after] += 1

    def record_time(self, agent_id: str, agent: AgentCounters, at_ms: int) -> None:
        """Count the time of the present activity of an agent, which ends."""
        number = TIME_OF_ACTIVITY.get(agent.activity)
        if number is not None:
            self.history.add_time(agent_key(agent_id), (number,), agent.since_ms, at_ms)

    def record_state_time(self, agent_id: str, agent: AgentCounters, at_ms: int) -> None:
        """Count the time of the present state and reason of an agent, which end."""
        for key, number in state_times(agent_id, agent.state, agent.reason):
            self.history.add_time(key, (number,), agent.state_since_ms, at_ms)

    def count_for_agent(self, agent_id: str, number: int, value: int = 1) -> None:
        """Count something that an agent did."""
        cells = self.history.running
        # Without a call of ``agent_key``, as this is done for every offer.
        key = AGENT_PREFIX + agent_id
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = {}
        cell[number] = cell.get(number, 0) + value

    def record_completed(self, assignment_id: str, done: LiveAssignment, disposition: str | None, at_ms: int) -> None:
        """Count a completed assignment for its agent and its disposition."""
        work = ((_HANDLED, 1), *((number, getattr(done, name)) for number, name in _WORK if getattr(done, name)))
        add_changes(self.history.running, agent_key(done.agent_id), work)
        if done.is_secondary and disposition is None:
            return  # Only the owner is asked for one.
        add_changes(self.history.running, disposition_key(done.queue_id, disposition), work)
        if disposition is None:
            undisposed = self.undisposed
            undisposed[assignment_id] = Undisposed(at_ms, done.queue_id, work)
            if len(undisposed) > UNDISPOSED_MAX:
                del undisposed[next(iter(undisposed))]

    def record_disposition(self, assignment_id: str, disposition: str, at_ms: int) -> None:
        """Count a disposition that was given late, in the interval in which the assignment was completed."""
        done = self.undisposed.pop(assignment_id, None)
        if done is None:
            return  # Too long ago: the assignment stays one without a disposition.
        correction = ((CORRECTIONS, 1), (CORRECTED_AT_MS, at_ms))
        without = [(number, -value) for number, value in done.work]
        self.history.add(done.completed_at_ms, disposition_key(done.queue_id, None), (*without, *correction))
        self.history.add(done.completed_at_ms, disposition_key(done.queue_id, disposition), (*done.work, *correction))

    def record_goal(self, event: GoalChanged, at_ms: int) -> None:
        """Count the goal of a contact that is over, in place of what was counted for it before."""
        record_goal(self.history, event, at_ms)

    def remove_agent(self, agent_id: str, at_ms: int) -> None:
        """Remove an agent; the totals keep the agent's time."""
        agent = self.agents.pop(agent_id)
        self.record_time(agent_id, agent, at_ms)
        self.record_state_time(agent_id, agent, at_ms)
        workforce = self.snapshot.workforce
        workforce.advance(at_ms)
        workforce.agents_by_activity[agent.activity] -= 1

    # --- alerts ------------------------------------------------------------------------------------------------------

    def record_alert(self, name: str, *, is_raised: bool) -> None:
        """Count an alert that is raised or cleared."""
        counters = self.snapshot.alerts.get(name)
        if counters is not None:
            counters.active += 1 if is_raised else -1
            counters.raised += is_raised

    # --- policy ------------------------------------------------------------------------------------------------------

    def apply_policy(self, policy: Policy) -> None:
        """Apply targets and entry rules to later events, and remove queues that are gone and empty."""
        self.history.set_zone(policy.zone)
        for queue_id, queue_policy in policy.queues.items():
            queue = self.queue(queue_id)
            level = queue_policy.service_level
            queue.threshold_ms = level.threshold_s * 1000
            queue.short_abandon_ms = level.short_abandon_s * 1000
            queue.target = level.target
        alerts = self.snapshot.alerts
        self.snapshot.alerts = {name: alerts.get(name) or AlertCounters() for name in policy.alerts}
        self.snapshot.rules = {rule.name: EntryRuleCounters() for rule in policy.entry}
        gone = [queue_id for queue_id in self.queues if queue_id not in policy.queues]
        for queue_id in gone:
            # A removed queue with contacts in conversation stays until the next policy.
            if not any(self.queues[queue_id].contacts_by_state):
                self.flush()
                del self.queues[queue_id]
