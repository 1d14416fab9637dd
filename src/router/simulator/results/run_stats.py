"""Statistics of a run: counts by batch, stream and queue, and time integrals of waiting contacts and busy agents.

The events are interpreted by the handlers of ``router.statistics``, the same that count in a live router. A live workspace
counts an event for the queue and the interval in which it happens. A run counts it for the *arrival*: all events of a contact
count in the batch in which it arrived, for its arrival stream and for the queue it was submitted to, and its waits are judged
by the target of that queue. Only the first answer of a contact counts, and waits are kept exactly. Time counts in the batch in
which it passes.

Contacts that arrive outside the window are followed like all others, but their counts are discarded.
"""

from array import array
from collections.abc import Callable
from typing import Any, Final

from router.model.commands import Command, EnqueueContact
from router.model.events import Event, GoalChanged
from router.model.events.agent import AssignmentCompleted, OfferAccepted, ParticipantAdded
from router.model.events.contact import CallbackConnected, ContactAssigned, ContactQueued
from router.model.policy import Policy, QueuePolicy, ServiceLevelPolicy
from router.model.results import Outcome, Refused
from router.simulator.day import Day, PlannedContact
from router.statistics.counters import ContactCounters, add_to_all
from router.statistics.event_handlers import EVENT_HANDLERS
from router.statistics.occupancy import AgentActivity
from router.statistics.open_records import QUEUED, AgentCounters, LiveAssignment, LiveContact, LiveOffer, LostOutcome
from router.statistics.service_level import ServiceLevelCounts

_BUSY: Final = AgentActivity.BUSY
_ON_DUTY: Final = (AgentActivity.IDLE, AgentActivity.BUSY)


class RunCounts:
    """Sums over the contacts of one stream and queue in one batch. Waits are in milliseconds."""

    __slots__ = (
        "answered_by_agent",
        "answered_by_group",
        "blocked",
        "called_back",
        "contacts",
        "counters",
        "wait_all_ms",
        "waited",
        "waits",
    )

    def __init__(self) -> None:
        self.contacts = self.blocked = 0
        self.called_back = 0
        """Contacts served by a callback that an agent accepted before the customer was called."""
        self.waited = 0
        """Admitted contacts that were not answered in the millisecond of their arrival."""
        self.wait_all_ms = 0
        self.counters = ContactCounters()
        self.waits = array("q")
        """Waits of the answered contacts."""
        self.answered_by_group: dict[str, int] = {}
        self.answered_by_agent: dict[str, int] = {}

    @property
    def service(self) -> ServiceLevelCounts:
        """The counters of the service level."""
        return self.counters.service

    @property
    def answered(self) -> int:
        """The number of contacts that an agent accepted."""
        return self.counters.service.answered

    @property
    def abandoned(self) -> int:
        """The number of customers who left before an answer."""
        return self.counters.service.abandoned

    @property
    def expired(self) -> int:
        """The number of contacts whose maximum wait or time to live was over."""
        return self.counters.flow.expired

    @property
    def cancelled(self) -> int:
        """The number of contacts withdrawn before an answer."""
        return self.counters.flow.cancelled

    @property
    def declined(self) -> int:
        """The number of declined offers."""
        return self.counters.offers.declined

    @property
    def missed(self) -> int:
        """The number of offers that expired without an answer."""
        return self.counters.offers.expired

    @property
    def admitted(self) -> int:
        """The number of admitted contacts that were answered or have ended."""
        return self.answered + self.abandoned + self.expired + self.cancelled

    def add(self, other: "RunCounts") -> None:
        """Add the sums and waits of other counts."""
        self.contacts += other.contacts
        self.blocked += other.blocked
        self.called_back += other.called_back
        self.waited += other.waited
        self.wait_all_ms += other.wait_all_ms
        add_to_all(other.counters, (self.counters,))
        self.waits.extend(other.waits)
        for group, count in other.answered_by_group.items():
            self.answered_by_group[group] = self.answered_by_group.get(group, 0) + count
        for agent_id, count in other.answered_by_agent.items():
            self.answered_by_agent[agent_id] = self.answered_by_agent.get(agent_id, 0) + count


class TimeIntegral:
    """Time integral of a step function, by batch, in units of its value times milliseconds."""

    __slots__ = ("_at_ms", "_cuts", "_end_ms", "by_batch", "value")

    def __init__(self, cuts: tuple[int, ...], end_ms: int | None = None) -> None:
        """Start with the value 0; the integral stops at ``end_ms``, by default at the last cut."""
        self._cuts = cuts
        self._end_ms = cuts[-1] if end_ms is None else end_ms
        self._at_ms = cuts[0]
        self.value = 0
        self.by_batch = [0] * (len(cuts) - 1)

    def change(self, at_ms: int, change: int) -> None:
        """Change the value of the function at a point in time."""
        if at_ms > self._at_ms:
            if self.value:
                self._fill(min(at_ms, self._end_ms))
            self._at_ms = at_ms
        self.value += change

    def _fill(self, to_ms: int) -> None:
        cuts, start_ms = self._cuts, self._at_ms
        batch = (start_ms - cuts[0]) // (cuts[1] - cuts[0])
        while batch < len(self.by_batch) and start_ms < to_ms:
            end_ms = min(to_ms, cuts[batch + 1])
            self.by_batch[batch] += self.value * (end_ms - start_ms)
            start_ms, batch = end_ms, batch + 1


class _Arrival:
    """Contact that has arrived, until it is lost or its last assignment is completed."""

    __slots__ = ("counts", "is_answered", "level", "open_assignments")

    def __init__(self, counts: RunCounts, level: ServiceLevelPolicy) -> None:
        self.counts = counts
        self.level = level
        self.is_answered = False
        self.open_assignments = 0


class _RunTarget:
    """Target of the event handlers that counts by arrival."""

    def __init__(self, day: Day, cuts: tuple[int, ...], end_ms: int) -> None:
        self.contacts: dict[str, LiveContact] = {}
        self.offers: dict[str, LiveOffer] = {}
        self.assignments: dict[str, LiveAssignment] = {}
        self.at_ms = day.start_ms
        self.arrivals: dict[str, _Arrival] = {}
        self.waiting: dict[str, TimeIntegral] = {}
        self.handling: dict[str, TimeIntegral] = {}
        self.on_duty: dict[str, TimeIntegral] = {}
        self.agents_seen_on_duty: set[str] = set()
        self._groups = {agent.agent_id: agent.group for agent in day.agents}
        self._agents: dict[str, AgentCounters] = {}
        self._cuts = cuts
        self._end_ms = end_ms
        self._discarded = ContactCounters()

    # --- contacts ----------------------------------------------------------------------------------------------------

    def counters_for(self, contact_id: str, queue_id: str, channel: str) -> ContactCounters:
        """Return the counters of the contact's arrival; an offer that ends after its contact is lost counts nowhere."""
        arrival = self.arrivals.get(contact_id)
        return self._discarded if arrival is None else arrival.counts.counters

    def move_contact(self, queue_id: str, before: int | None, after: int | None, at_ms: int) -> None:
        """Count the contacts that wait without an offer."""
        if before == QUEUED or after == QUEUED:
            waiting = self.waiting.get(queue_id)
            if waiting is None:
                waiting = self.waiting[queue_id] = TimeIntegral(self._cuts, self._end_ms)
            waiting.change(at_ms, (after == QUEUED) - (before == QUEUED))

    def record_choosing(self, change: int) -> None:
        """Ignore the change; a run has no requests of customers."""

    def record_entry_rules(self, event: ContactQueued) -> None:
        """Ignore the event; a run has no statistics of entry rules."""

    def record_answer(self, contact_id: str, contact: LiveContact, agent_id: str, wait_ms: int) -> None:
        """Count the first answer of a contact."""
        arrival = self.arrivals[contact_id]
        if arrival.is_answered:
            return
        arrival.is_answered = True
        counts = arrival.counts
        counts.counters.service.record_answer(wait_ms, arrival.level.threshold_s * 1000)
        counts.counters.waits.answered_ms += wait_ms
        counts.waited += wait_ms > 0
        counts.wait_all_ms += wait_ms
        counts.waits.append(wait_ms)
        group = self._group(agent_id)
        counts.answered_by_group[group] = counts.answered_by_group.get(group, 0) + 1
        counts.answered_by_agent[agent_id] = counts.answered_by_agent.get(agent_id, 0) + 1

    def record_lost(self, contact_id: str, contact: LiveContact, outcome: LostOutcome, wait_ms: int) -> None:
        """Count a contact that was never answered; without a customer on the line, its wait does not count."""
        arrival = self.arrivals[contact_id]
        if not arrival.open_assignments:
            del self.arrivals[contact_id]
        if arrival.is_answered:
            return
        counters = arrival.counts.counters
        if outcome is LostOutcome.EXPIRED:
            counters.flow.expired += 1
        elif outcome is LostOutcome.CANCELLED or contact.is_callback:
            counters.flow.cancelled += 1
        else:
            threshold_ms = arrival.level.threshold_s * 1000
            short_ms = arrival.level.short_abandon_s * 1000
            counters.service.record_abandon(wait_ms, threshold_ms, short_ms)
            counters.waits.abandoned_ms += wait_ms
        if not contact.is_callback:
            arrival.counts.waited += 1
            arrival.counts.wait_all_ms += wait_ms

    def record_end(self) -> None:
        """Count nothing: answers and handle time are counted elsewhere."""

    # --- agents ------------------------------------------------------------------------------------------------------

    def add_contact(self, contact_id: str, contact: LiveContact) -> None:
        """Add a contact, in place of the one with the same id, if any."""
        self.contacts[contact_id] = contact

    def agent(self, agent_id: str) -> AgentCounters:
        """Return the counters of an agent, creating them and the integrals of the agent's group if needed."""
        try:
            return self._agents[agent_id]
        except KeyError:
            agent = self._agents[agent_id] = AgentCounters(since_ms=self.at_ms)
            group = self._group(agent_id)
            self.handling.setdefault(group, TimeIntegral(self._cuts, self._end_ms))
            self.on_duty.setdefault(group, TimeIntegral(self._cuts, self._end_ms))
            return agent

    def record_activity(self, agent_id: str, before: AgentActivity, after: AgentActivity, at_ms: int) -> None:
        """Count the agents of a group with open work, and those on duty: ready or with open work."""
        group = self._group(agent_id)
        if after is _BUSY:
            self.handling[group].change(at_ms, 1)
        elif before is _BUSY:
            self.handling[group].change(at_ms, -1)
        on_duty = (after in _ON_DUTY) - (before in _ON_DUTY)
        if on_duty:
            self.agents_seen_on_duty.add(agent_id)
            self.on_duty[group].change(at_ms, on_duty)

    def record_time(self, agent_id: str, agent: AgentCounters, at_ms: int) -> None:
        """Ignore the time; it is counted by group in ``record_activity``."""

    def record_state_time(self, agent_id: str, agent: AgentCounters, at_ms: int) -> None:
        """Ignore the time; a run has no statistics of states."""

    def count_for_agent(self, agent_id: str, number: int, value: int = 1) -> None:
        """Ignore the count; a run has no statistics of single agents."""

    def record_completed(self, assignment_id: str, done: LiveAssignment, disposition: str | None, at_ms: int) -> None:
        """Ignore the assignment; its work is counted for the arrival."""

    def record_disposition(self, assignment_id: str, disposition: str, at_ms: int) -> None:
        """Ignore the disposition; a run has no statistics of them."""

    def record_goal(self, event: GoalChanged, at_ms: int) -> None:
        """Ignore the goal; a run has no statistics of them."""

    def remove_agent(self, agent_id: str, at_ms: int) -> None:
        """Remove an agent."""
        del self._agents[agent_id]

    def _group(self, agent_id: str) -> str:
        return self._groups.get(agent_id, "agents")

    # --- policy ------------------------------------------------------------------------------------------------------

    def record_alert(self, name: str, *, is_raised: bool) -> None:
        """Ignore alerts."""

    def apply_policy(self, policy: Policy) -> None:
        """Ignore the event; the targets are those of the day's policy."""


def _assignment_started(target: _RunTarget, event: ContactAssigned | OfferAccepted | ParticipantAdded, at_ms: int) -> None:
    EVENT_HANDLERS[type(event)](target, event, at_ms)
    target.arrivals[event.contact_id].open_assignments += 1


def _assignment_completed(target: _RunTarget, event: AssignmentCompleted, at_ms: int) -> None:
    EVENT_HANDLERS[AssignmentCompleted](target, event, at_ms)
    arrival = target.arrivals[event.contact_id]
    arrival.open_assignments -= 1
    if not arrival.open_assignments and event.contact_id not in target.contacts:
        del target.arrivals[event.contact_id]


def _callback_connected(target: _RunTarget, event: CallbackConnected, at_ms: int) -> None:
    EVENT_HANDLERS[CallbackConnected](target, event, at_ms)
    if event.agent_id is not None:
        target.arrivals[event.contact_id].counts.called_back += 1


_HANDLERS: Final[dict[type[Event], Callable[[_RunTarget, Any, int], None]]] = {
    **EVENT_HANDLERS,
    ContactAssigned: _assignment_started,
    OfferAccepted: _assignment_started,
    ParticipantAdded: _assignment_started,
    AssignmentCompleted: _assignment_completed,
    CallbackConnected: _callback_connected,
}


class RunStats:
    """Run listener; call ``close`` after the run, then read the counts and the time integrals."""

    def __init__(self, day: Day, *, end_ms: int | None = None) -> None:
        """Count the window of a day; arrivals and time from ``end_ms`` on do not count (default: the end of the window)."""
        width_ms = max(1, (day.window_to_ms - day.window_from_ms) // day.batches)
        self.cuts = tuple(day.window_from_ms + n * width_ms for n in range(day.batches + 1))
        self.batches = day.batches
        self.counts: dict[tuple[int, str, str], RunCounts] = {}
        """Counts by batch, stream and the queue in which the contact arrived."""
        self.events = 0
        self.agents_by_group: dict[str, int] = {}
        for agent in day.agents:
            self.agents_by_group[agent.group] = self.agents_by_group.get(agent.group, 0) + 1
        self._end_ms = self.cuts[-1] if end_ms is None else end_ms
        self._policy = day.policy
        self._outside = RunCounts()
        self._target = target = _RunTarget(day, self.cuts, self._end_ms)
        self.waiting = target.waiting
        """Contacts that wait without an offer, by queue."""
        self.handling = target.handling
        """Agents with open work (talk, hold, wrap-up), by group."""
        self.on_duty = target.on_duty
        """Agents who are ready or have open work, by group."""
        self.agents_seen_on_duty = target.agents_seen_on_duty
        """Agents who were ready or had open work at some time."""

    def on_arrival(self, plan: PlannedContact) -> None:
        """Count an arrival; its outcome shows whether it is admitted."""
        assert plan.queue_id is not None, "a listener learns of a contact once its queue is known"
        counts = self._counts_of(plan, plan.queue_id)
        counts.contacts += 1
        queue = self._policy.queues.get(plan.queue_id, QueuePolicy())
        self._target.arrivals[plan.contact_id] = _Arrival(counts, queue.service_level)

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Count the events of an outcome."""
        target, at_ms = self._target, outcome.at_ms
        target.at_ms = at_ms
        self.events += len(outcome.events)
        for event in outcome.events:
            handler = _HANDLERS.get(type(event))
            if handler is not None:
                handler(target, event, at_ms)
        if isinstance(outcome.result, Refused) and isinstance(command, EnqueueContact):
            arrival = target.arrivals.get(command.contact_id)
            is_new = command.contact_id not in target.contacts
            if arrival is not None and is_new and not arrival.open_assignments:
                del target.arrivals[command.contact_id]
                arrival.counts.blocked += 1

    def close(self) -> None:
        """Extend the time integrals to the end of the window."""
        for integrals in (self.waiting, self.handling, self.on_duty):
            for integral in integrals.values():
                integral.change(max(self._target.at_ms, self.cuts[-1]), 0)

    def _counts_of(self, plan: PlannedContact, queue_id: str) -> RunCounts:
        """Return the counts that an arrival belongs to; those of arrivals outside the window are discarded."""
        batch = (plan.at_ms - self.cuts[0]) // (self.cuts[1] - self.cuts[0])
        if not self.cuts[0] <= plan.at_ms < self._end_ms or batch >= self.batches:
            return self._outside
        key = (batch, plan.stream or queue_id, queue_id)
        counts = self.counts.get(key)
        if counts is None:
            counts = self.counts[key] = RunCounts()
        return counts
