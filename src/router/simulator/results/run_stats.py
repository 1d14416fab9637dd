"""Statistics of a run: counts by batch, stream and queue, and time integrals of waiting contacts and busy agents.

A run listener that keeps only sums and the waits of answered contacts. A contact counts in the batch in which it arrived, time in
the batch in which it passed. The report defines each statistic, the estimates compute its confidence interval.

Accumulators of a run: sums over contacts, and time integrals of step functions.
"""

from array import array
from collections.abc import Callable
from typing import Final

from router.model.commands import Command, EnqueueContact
from router.model.events import Event
from router.model.events.agent import (
    AgentStateChanged,
    AgentUpdated,
    AssignmentCompleted,
    AssignmentParked,
    AssignmentUnparked,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    ParticipantAdded,
    WrapUpStarted,
)
from router.model.events.contact import (
    CallbackConnected,
    CallbackDialRequested,
    CallbackRequested,
    CallbackScheduled,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
)
from router.model.policy import Policy
from router.model.results import Outcome, Refused
from router.model.states import AgentState
from router.simulator.day import Day, PlannedContact
from router.statistics.service_level import ServiceLevelCounts


class RunCounts:
    """Sums over the contacts of one stream and queue in one batch. Waits are in milliseconds."""

    __slots__ = (
        "answered_by_agent", "answered_by_group", "blocked", "called_back", "cancelled", "contacts", "declined", "expired",
        "handle_ms", "missed", "service", "wait_all_ms", "wait_answered_ms", "waited", "waits", "wrap_up_ms",
    )  # fmt: skip

    def __init__(self) -> None:
        self.contacts = self.blocked = self.expired = self.cancelled = 0
        self.declined = self.missed = 0
        self.called_back = 0
        """Contacts served by a callback that an agent accepted before the customer was called."""
        self.service = ServiceLevelCounts()
        self.waited = 0
        """Admitted contacts that were not answered in the millisecond of their arrival."""
        self.wait_answered_ms = self.wait_all_ms = 0
        self.handle_ms = self.wrap_up_ms = 0
        self.waits = array("q")
        """Waits of the answered contacts."""
        self.answered_by_group: dict[str, int] = {}
        self.answered_by_agent: dict[str, int] = {}

    @property
    def answered(self) -> int:
        """The number of contacts that an agent accepted."""
        return self.service.answered

    @property
    def abandoned(self) -> int:
        """The number of customers who left before an answer."""
        return self.service.abandoned

    def add(self, other: "RunCounts") -> None:
        """Add the sums and waits of other counts."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ServiceLevelCounts.__struct_fields__:
            mine, theirs = getattr(self.service, name), getattr(other.service, name)
            setattr(self.service, name, mine + theirs)
        self.waits.extend(other.waits)
        for group, count in other.answered_by_group.items():
            self.answered_by_group[group] = self.answered_by_group.get(group, 0) + count
        for agent_id, count in other.answered_by_agent.items():
            self.answered_by_agent[agent_id] = self.answered_by_agent.get(agent_id, 0) + count


class _LiveRun:
    """Live contact."""

    __slots__ = (
        "accepted_at_ms",
        "is_callback",
        "offers",
        "parked_ms",
        "plan",
        "queue_id",
        "queued_at_ms",
        "tally",
        "waits_in",
    )

    def __init__(self, plan: PlannedContact, tally: RunCounts | None, at_ms: int) -> None:
        self.plan = plan
        self.tally = tally
        self.queued_at_ms = at_ms
        self.accepted_at_ms: int | None = None
        self.is_callback = False
        self.queue_id = plan.queue_id
        self.waits_in: TimeIntegral | None = None
        self.offers = self.parked_ms = 0


class _AgentDuty:
    """Readiness and open work of an agent."""

    __slots__ = ("agent_id", "group", "on_duty", "ready", "work")

    def __init__(self, agent_id: str, group: str) -> None:
        self.agent_id = agent_id
        self.group = group
        self.ready = False
        self.work = 0
        self.on_duty = False


class RunStats:
    """Run listener; call ``close`` after the run, then read the counts and the time integrals."""

    def __init__(self, day: Day) -> None:
        batches = day.batches
        width_ms = max(1, (day.window_to_ms - day.window_from_ms) // batches)
        self.cuts = tuple(day.window_from_ms + n * width_ms for n in range(batches + 1))
        self.batches = batches
        self.counts: dict[tuple[int, str, str], RunCounts] = {}
        """Counts by batch, stream and the queue in which the contact arrived."""
        self.waiting: dict[str, TimeIntegral] = {}
        """Contacts that wait without an offer, by queue."""
        self.handling: dict[str, TimeIntegral] = {}
        """Agents with open work (talk, hold, wrap-up), by group."""
        self.on_duty: dict[str, TimeIntegral] = {}
        """Agents who are ready or have open work, by group."""
        self.agents_seen_on_duty: set[str] = set()
        """Agents who were ready or had open work at some time."""
        self.events = 0
        self.agents_by_group: dict[str, int] = {}
        self._policy: Policy = day.policy
        self._groups = {agent.agent_id: agent.group for agent in day.agents}
        for group in self._groups.values():
            self.agents_by_group[group] = self.agents_by_group.get(group, 0) + 1
        self._agents: dict[str, _AgentDuty] = {}
        self._live: dict[str, _LiveRun] = {}
        self._wrap_ups: dict[str, tuple[RunCounts | None, int]] = {}
        self._parked: dict[str, int] = {}
        """Start times of the parked assignments, by assignment id."""
        self._at_ms = day.start_ms
        self._handlers: dict[type[Event], Callable[[Event], None]] = {
            ContactQueued: self._queued,
            OfferMade: self._offer_made,
            OfferAccepted: self._answered,
            ContactAssigned: self._answered,
            OfferDeclined: self._offer_failed,
            OfferExpired: self._offer_failed,
            ContactRequeued: self._requeued,
            ContactOverflowed: self._overflowed,
            ContactAbandoned: self._lost,
            ContactCancelled: self._lost,
            ContactExpired: self._lost,
            ContactEnded: self._ended,
            AssignmentParked: self._park,
            AssignmentUnparked: self._unpark,
            WrapUpStarted: self._wrap_up_started,
            AssignmentCompleted: self._completed,
            AgentStateChanged: self._agent_state,
            AgentUpdated: self._agent_updated,
            CallbackRequested: self._callback_requested,
            CallbackScheduled: self._callback_stopped_waiting,
            CallbackDialRequested: self._callback_stopped_waiting,
            CallbackConnected: self._callback_connected,
            ParticipantAdded: self._participant_added,
        }

    # --- the listener --------------------------------------------------------------------------------------------

    def on_arrival(self, plan: PlannedContact) -> None:
        """Count an arrival; its outcome shows whether it is admitted."""
        tally = self._counts_of(plan)
        if tally is not None:
            tally.contacts += 1
        self._live[plan.contact_id] = _LiveRun(plan, tally, plan.at_ms)

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Count the events of an outcome."""
        self._at_ms = outcome.at_ms
        self.events += len(outcome.events)
        for event in outcome.events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
        if isinstance(outcome.result, Refused) and isinstance(command, EnqueueContact):
            live = self._live.get(command.contact_id)
            if live is not None and live.waits_in is None and live.accepted_at_ms is None:
                del self._live[live.plan.contact_id]
                if live.tally is not None:
                    live.tally.blocked += 1

    def close(self) -> None:
        """Extend the time integrals to the end of the window."""
        for areas in (self.waiting, self.handling, self.on_duty):
            for area in areas.values():
                area.change(max(self._at_ms, self.cuts[-1]), 0)

    # --- contacts ------------------------------------------------------------------------------------------------

    def _counts_of(self, plan: PlannedContact) -> RunCounts | None:
        """Return the counts that an arrival belongs to; none outside the window."""
        batch = (plan.at_ms - self.cuts[0]) // (self.cuts[1] - self.cuts[0])
        if plan.at_ms < self.cuts[0] or batch >= self.batches:
            return None
        key = (batch, plan.stream or plan.queue_id, plan.queue_id)
        tally = self.counts.get(key)
        if tally is None:
            tally = self.counts[key] = RunCounts()
        return tally

    def _start_waiting(self, live: _LiveRun, queue_id: str) -> None:
        area = self.waiting.get(queue_id)
        if area is None:
            area = self.waiting[queue_id] = TimeIntegral(self.cuts)
        area.change(self._at_ms, 1)
        live.waits_in = area
        live.queue_id = queue_id

    def _stop_waiting(self, live: _LiveRun) -> None:
        if live.waits_in is not None:
            live.waits_in.change(self._at_ms, -1)
            live.waits_in = None

    def _queued(self, event: Event) -> None:
        assert isinstance(event, ContactQueued)
        live = self._live[event.contact_id]
        live.queued_at_ms = self._at_ms
        self._start_waiting(live, event.queue_id)

    def _offer_made(self, event: Event) -> None:
        assert isinstance(event, OfferMade)
        live = self._live[event.contact_id]
        live.offers += 1
        self._stop_waiting(live)

    def _offer_failed(self, event: Event) -> None:
        assert isinstance(event, (OfferDeclined, OfferExpired))
        tally = self._live[event.contact_id].tally
        if tally is not None:
            if isinstance(event, OfferDeclined):
                tally.declined += 1
            else:
                tally.missed += 1

    def _requeued(self, event: Event) -> None:
        assert isinstance(event, ContactRequeued)
        live = self._live[event.contact_id]
        self._stop_waiting(live)
        self._start_waiting(live, event.queue_id)

    def _overflowed(self, event: Event) -> None:
        assert isinstance(event, ContactOverflowed)
        live = self._live[event.contact_id]
        self._stop_waiting(live)
        self._start_waiting(live, event.queue_id)

    def _answered(self, event: Event) -> None:
        assert isinstance(event, (OfferAccepted, ContactAssigned))
        live = self._live[event.contact_id]
        self._stop_waiting(live)
        agent = self._agents[event.agent_id]
        self._add_work(agent, 1)
        if live.accepted_at_ms is not None or live.is_callback:
            return
        live.accepted_at_ms = self._at_ms
        tally = live.tally
        if tally is None:
            return
        wait_ms = self._at_ms - live.queued_at_ms
        level = self._policy.queues[live.plan.queue_id].service_level
        tally.service.record_answer(wait_ms, level.threshold_s * 1000)
        tally.waited += wait_ms > 0
        tally.wait_answered_ms += wait_ms
        tally.wait_all_ms += wait_ms
        tally.waits.append(wait_ms)
        by_group = tally.answered_by_group
        by_group[agent.group] = by_group.get(agent.group, 0) + 1
        by_agent = tally.answered_by_agent
        by_agent[agent.agent_id] = by_agent.get(agent.agent_id, 0) + 1

    def _participant_added(self, event: Event) -> None:
        assert isinstance(event, ParticipantAdded)
        self._add_work(self._agents[event.agent_id], 1)

    def _lost(self, event: Event) -> None:
        live = self._live.pop(event.contact_id)  # type: ignore[union-attr]
        self._stop_waiting(live)
        tally = live.tally
        if tally is None or live.accepted_at_ms is not None:
            return
        if live.is_callback:
            tally.expired += isinstance(event, ContactExpired)
            tally.cancelled += not isinstance(event, ContactExpired)
            return
        wait_ms = self._at_ms - live.queued_at_ms
        tally.wait_all_ms += wait_ms
        tally.waited += 1
        if isinstance(event, ContactAbandoned):
            level = self._policy.queues[live.plan.queue_id].service_level
            tally.service.record_abandon(
                wait_ms, level.threshold_s * 1000, level.short_abandon_s * 1000
            )
        elif isinstance(event, ContactExpired):
            tally.expired += 1
        else:
            tally.cancelled += 1

    def _ended(self, event: Event) -> None:
        assert isinstance(event, ContactEnded)
        live = self._live.pop(event.contact_id)
        if live.tally is not None and live.accepted_at_ms is not None:
            live.tally.handle_ms += self._at_ms - live.accepted_at_ms - live.parked_ms
            live.tally.handle_ms -= self._at_ms - self._parked.get(event.assignment_id, self._at_ms)
        self._wrap_ups[event.assignment_id] = (live.tally, self._at_ms)

    def _park(self, event: Event) -> None:
        assert isinstance(event, AssignmentParked)
        self._parked[event.assignment_id] = self._at_ms
        self._add_work(self._agents[event.agent_id], -1)

    def _unpark(self, event: Event) -> None:
        assert isinstance(event, AssignmentUnparked)
        self._end_parking(event.assignment_id, event.contact_id)
        self._add_work(self._agents[event.agent_id], 1)

    def _end_parking(self, assignment_id: str, contact_id: str) -> bool:
        """End a parking, add its duration to a live contact, and return whether the assignment was parked."""
        since_ms = self._parked.pop(assignment_id, None)
        live = self._live.get(contact_id)
        if since_ms is not None and live is not None:
            live.parked_ms += self._at_ms - since_ms
        return since_ms is not None

    # --- callbacks: without a customer on the line, their waits are not counted ---------------------------------------------

    def _callback_requested(self, event: Event) -> None:
        assert isinstance(event, CallbackRequested)
        live = self._live[event.contact_id]
        live.is_callback = True
        self._stop_waiting(live)
        self._start_waiting(live, event.queue_id)

    def _callback_stopped_waiting(self, event: Event) -> None:
        assert isinstance(event, CallbackScheduled | CallbackDialRequested)
        self._stop_waiting(self._live[event.contact_id])

    def _callback_connected(self, event: Event) -> None:
        assert isinstance(event, CallbackConnected)
        live = self._live[event.contact_id]
        if event.agent_id is not None:
            if live.tally is not None:
                live.tally.called_back += 1
            return
        # The customer is on the line now: a new wait begins.
        live.is_callback = False
        live.queued_at_ms = self._at_ms
        self._start_waiting(live, event.queue_id)

    # --- agents --------------------------------------------------------------------------------------------------

    def _wrap_up_started(self, event: Event) -> None:
        assert isinstance(event, WrapUpStarted)
        if self._end_parking(event.assignment_id, event.contact_id):
            self._add_work(self._agents[event.agent_id], 1)
        tally, _ = self._wrap_ups.get(event.assignment_id, (None, 0))
        self._wrap_ups[event.assignment_id] = (tally, self._at_ms)

    def _completed(self, event: Event) -> None:
        assert isinstance(event, AssignmentCompleted)
        tally, since_ms = self._wrap_ups.pop(event.assignment_id, (None, self._at_ms))
        if tally is not None:
            tally.wrap_up_ms += self._at_ms - since_ms
        if not self._end_parking(event.assignment_id, event.contact_id):
            self._add_work(self._agents[event.agent_id], -1)

    def _agent_updated(self, event: Event) -> None:
        assert isinstance(event, AgentUpdated)
        if event.agent_id not in self._agents:
            group = self._groups.get(event.agent_id, "agents")
            self._agents[event.agent_id] = _AgentDuty(event.agent_id, group)
            self.handling.setdefault(group, TimeIntegral(self.cuts))
            self.on_duty.setdefault(group, TimeIntegral(self.cuts))

    def _agent_state(self, event: Event) -> None:
        assert isinstance(event, AgentStateChanged)
        agent = self._agents[event.agent_id]
        agent.ready = event.state is AgentState.READY
        self._update_duty(agent)

    def _add_work(self, agent: _AgentDuty, change: int) -> None:
        before, agent.work = agent.work, agent.work + change
        if (before > 0) != (agent.work > 0):
            self.handling[agent.group].change(self._at_ms, change)
        self._update_duty(agent)

    def _update_duty(self, agent: _AgentDuty) -> None:
        on_duty = agent.ready or agent.work > 0
        if on_duty != agent.on_duty:
            agent.on_duty = on_duty
            self.agents_seen_on_duty.add(agent.agent_id)
            self.on_duty[agent.group].change(self._at_ms, 1 if on_duty else -1)


_SUMS: Final = tuple(
    n
    for n in RunCounts.__slots__
    if n not in ("waits", "answered_by_agent", "answered_by_group", "service")
)


class TimeIntegral:
    """Time integral of a step function, by batch, in units of its value times milliseconds."""

    __slots__ = ("_at_ms", "_cuts", "by_batch", "height")

    def __init__(self, cuts: tuple[int, ...]) -> None:
        self._cuts = cuts
        self._at_ms = cuts[0]
        self.height = 0
        self.by_batch = [0] * (len(cuts) - 1)

    def change(self, at_ms: int, change: int) -> None:
        """Change the value of the function at a point in time."""
        if at_ms > self._at_ms:
            if self.height:
                self._fill(at_ms)
            self._at_ms = at_ms
        self.height += change

    def _fill(self, to_ms: int) -> None:
        cuts, start = self._cuts, self._at_ms
        width = cuts[1] - cuts[0]
        batch = (start - cuts[0]) // width
        while batch < len(self.by_batch) and start < to_ms:
            end = min(to_ms, cuts[batch + 1])
            self.by_batch[batch] += self.height * (end - start)
            start, batch = end, batch + 1
