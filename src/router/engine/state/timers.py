"""Timers of one workspace: a heap of (due time, kind, id, other id).

A deadline that is moved or cancelled is not removed from the heap. When its entry comes up, the record it belongs to is
checked, and the entry is dropped if the record no longer has that deadline. So setting and cancelling deadlines needs no search.
When the heap has grown beyond twice the number of current entries, stale ones are removed a few at a time, with each addition,
so that no single command pays for a full clean-up. The heap is derived: after a restart it is rebuilt from the records.

Deadlines fire in the order of (due time, kind, id), which makes the order independent of how the heap was built.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

from router.engine.state.agent import Agent
from router.engine.state.clocks import TimerKind, is_clock_stopped
from router.engine.state.contact import Contact
from router.engine.state.workspace import WorkspaceRecords
from router.model.states import AgentState, ContactState, Presence

TimerEntry: TypeAlias = tuple[int, int, str, str]


# Bound once: an attribute lookup on the enum class costs more than the comparisons it serves.
_ASSIGNED: Final = ContactState.ASSIGNED
_CALLBACK: Final = TimerKind.CALLBACK
_CAP: Final = TimerKind.CAP
_CHOOSE: Final = TimerKind.CHOOSE
_COOL_DOWN: Final = TimerKind.COOL_DOWN
_DAY: Final = TimerKind.DAY
_GRACE: Final = TimerKind.GRACE
_HOURS: Final = TimerKind.HOURS
_LEAVE: Final = TimerKind.LEAVE
_LOST: Final = Presence.LOST
_MONITOR: Final = TimerKind.MONITOR
_NOT_READY: Final = AgentState.NOT_READY
_NO_AGENTS: Final = TimerKind.NO_AGENTS
_OFFER: Final = TimerKind.OFFER
_OPENING: Final = TimerKind.OPENING
_PREFERRED: Final = TimerKind.PREFERRED
_PUBLICATION: Final = TimerKind.PUBLICATION
_QUEUED: Final = ContactState.QUEUED
_RETURN: Final = TimerKind.RETURN
_STEP: Final = TimerKind.STEP
_SUSPENDED: Final = ContactState.SUSPENDED
_SUSPENSION: Final = TimerKind.SUSPENSION
_SWITCH: Final = TimerKind.SWITCH
_TTL: Final = TimerKind.TTL
_WAIT: Final = TimerKind.WAIT
_WRAP_UP: Final = TimerKind.WRAP_UP
_AGENT_KINDS: Final = frozenset({TimerKind.RETURN, TimerKind.GRACE, TimerKind.CAP})
_AT_ONCE: Final = "at_once"
_SLACK: Final = 10_000
_SWEEP_BATCH: Final = 4


class Timers:
    """Pending deadlines of one workspace."""

    def __init__(self, records: WorkspaceRecords) -> None:
        self._records = records
        self.heap: list[TimerEntry] = []
        """The heap; always the same list object, because the engine reads its first entry before every command."""
        self._caps: list[tuple[int, str]] = []
        self._openings: dict[str, int] = {}
        """Open queues with contacts that still wait for the opening, each with the time at which the next ones are admitted."""
        self._checks: dict[str, int] = {}
        """Queues without a READY agent, each with the time at which its waiting contacts are looked at next."""
        self.opened_at_ms = -1
        """When contacts of such a queue were admitted last."""
        self._limit = _SLACK
        self._sweep_position = -1
        """Index of the next entry to check in the current clean-up round; below 0: no round is active."""
        self._current_count = 0
        """Number of current entries found in this round."""

    def add(self, due_ms: int, kind: TimerKind, subject: str, other: str = "") -> None:
        """Add a deadline."""
        heap = self.heap
        heappush(heap, (due_ms, kind, subject, other))
        if len(heap) > self._limit or self._sweep_position >= 0:
            self._sweep()

    def add_cap(self, due_ms: int, agent_id: str) -> None:
        """Add the time at which a capped channel opens to an agent; no event records it, so a replay computes it as well."""
        self.pop_opened_caps(self._records.at_ms)
        heappush(self._caps, (due_ms, agent_id))
        self.add(due_ms, _CAP, agent_id)

    def add_opening(self, due_ms: int, queue_id: str) -> None:
        """Add the time at which further contacts of an open queue stop waiting for the opening."""
        self._openings[queue_id] = due_ms
        self.add(due_ms, _OPENING, queue_id)

    def add_check(self, queue_id: str) -> None:
        """Add the next time at which the contacts of a queue without a READY agent are looked at; it replaces the former one."""
        due_ms = next_check_ms(self._records, queue_id)
        if due_ms:
            self._checks[queue_id] = due_ms
            self.add(due_ms, _NO_AGENTS, queue_id)

    def add_check_at(self, due_ms: int, queue_id: str) -> None:
        """Add a further time at which those contacts are looked at: one has just entered, or more are left than leave at once."""
        self.add(due_ms, _NO_AGENTS, queue_id, _AT_ONCE)

    def is_check_due(self, queue_id: str, at_ms: int) -> bool:
        """Return whether the regular check of a queue without a READY agent is due."""
        return self._checks.get(queue_id, at_ms + 1) <= at_ms

    def end_opening(self, queue_id: str) -> None:
        """Forget that contacts of a queue still wait for the opening. Idempotent."""
        self._openings.pop(queue_id, None)

    def is_opening(self, queue_id: str) -> bool:
        """Return whether contacts of an open queue still wait for the opening."""
        return queue_id in self._openings

    def pop_opened_caps(self, at_ms: int) -> list[str]:
        """Return the agents with a capped channel that has opened by ``at_ms`` since the last call."""
        caps, found = self._caps, []
        while caps and caps[0][0] <= at_ms:
            due_ms, agent_id = heappop(caps)
            if self._is_current_for_agent(agent_id, _CAP, due_ms):
                found.append(agent_id)
        return found

    def pop_due(self, at_ms: int) -> TimerEntry | None:
        """Remove and return the first current deadline that is due; None: there is none."""
        heap = self.heap
        while heap and heap[0][0] <= at_ms:
            entry = heappop(heap)
            if self._is_current(entry):
                return entry
        return None

    def next_deadline_ms(self) -> int | None:
        """Return the time of the next current deadline; None: there is none."""
        heap = self.heap
        while heap:
            if self._is_current(heap[0]):
                return heap[0][0]
            heappop(heap)
        return None

    def rebuild(self) -> None:
        """Rebuild all deadlines from the records."""
        records = self._records
        heap: list[TimerEntry] = [(offer.deadline_ms, _OFFER, offer.offer_id, "") for offer in records.offers.values()]
        heap.extend(
            (due_ms, _WRAP_UP, work.assignment_id, "")
            for work in records.assignments.values()
            for due_ms in (work.wrap_up_deadline_ms, work.parked_until_ms)
            if due_ms is not None
        )
        self._openings.clear()
        for contact in records.contacts.values():
            if not contact.state.is_terminal:
                heap.extend(_contact_entries(contact))
                if contact.waiting_for_opening and not records.is_closed(contact.queue_id):
                    self._openings[contact.queue_id] = records.at_ms + 1
        heap.extend((due_ms, _OPENING, queue_id, "") for queue_id, due_ms in self._openings.items())
        for agent in records.agents.values():
            heap.extend(_agent_entries(agent))
        if records.day_until_ms is not None:
            heap.append((records.day_until_ms, _DAY, "", ""))
        if records.scheduled_policy is not None:
            heap.append((records.scheduled_policy.publish_at_ms, _PUBLICATION, "", ""))
        for queue_id, hours in records.hours.items():
            if hours.next_check_at_ms is not None:
                heap.append((hours.next_check_at_ms, _HOURS, queue_id, ""))
        self._checks = {name: due_ms for name in records.no_agents_since if (due_ms := next_check_ms(records, name))}
        heap.extend((due_ms, _NO_AGENTS, name, "") for name, due_ms in self._checks.items())
        heap = [entry for entry in heap if self._is_current(entry)]
        heapify(heap)
        self._caps = sorted((due_ms, name) for due_ms, kind, name, _ in heap if kind == _CAP)
        self.heap[:] = heap
        self._limit = 2 * len(heap) + _SLACK

    def _sweep(self) -> None:
        """Check a few entries, from the end of the heap on, and remove the stale ones."""
        heap, place = self.heap, self._sweep_position
        if place < 0:
            place, self._current_count = len(heap) - 1, 0
        for _ in range(_SWEEP_BATCH):
            if place < len(heap):
                if self._is_current(heap[place]):
                    self._current_count += 1
                else:
                    _remove_at(heap, place)
            place -= 1
            if place < 0:
                # Twice the current entries: as many additions happen before the next round.
                self._limit = 2 * self._current_count + _SLACK
                break
        self._sweep_position = place

    def _is_current(self, entry: TimerEntry) -> bool:
        due, kind, subject, other = entry
        if kind == _OFFER:
            offer = self._records.offers.get(subject)
            return offer is not None and offer.deadline_ms == due
        if kind == _WRAP_UP:
            work = self._records.assignments.get(subject)
            return work is not None and due in (work.wrap_up_deadline_ms, work.parked_until_ms)
        if kind == _DAY:  # A timer of the workspace itself has no subject.
            return self._records.day_until_ms == due
        if kind == _PUBLICATION:
            scheduled = self._records.scheduled_policy
            return scheduled is not None and scheduled.publish_at_ms == due and scheduled.refused_at_ms is None
        if kind == _HOURS:
            hours = self._records.hours.get(subject)
            return hours is not None and hours.next_check_at_ms == due
        if kind == _OPENING:
            return self._openings.get(subject) == due
        if kind == _NO_AGENTS:
            return (other == _AT_ONCE or self._checks.get(subject) == due) and is_without_agents(self._records, subject, due)
        if kind in _AGENT_KINDS:
            return self._is_current_for_agent(subject, kind, due)
        return self._is_current_for_contact(subject, kind, due, other)

    def _is_current_for_agent(self, agent_id: str, kind: int, due: int) -> bool:
        agent = self._records.agents.get(agent_id)
        if agent is None:
            return False
        if kind == _RETURN:
            return agent.return_at_ms == due and agent.state is _NOT_READY
        if kind == _CAP:
            return agent.cap_opens_at_ms == due
        return agent.grace_until_ms == due and agent.presence is _LOST

    def _is_current_for_contact(self, contact_id: str, kind: int, due: int, other: str) -> bool:
        contact = self._records.contacts.get(contact_id)
        if contact is None or contact.state.is_terminal:
            return False
        if contact.waiting_for_opening and is_clock_stopped(self._records, contact, kind):
            return False
        if kind == _TTL:
            return contact.ttl_at_ms == due and contact.state is not _ASSIGNED
        if kind == _WAIT:
            return contact.wait_until_ms == due and contact.state is _QUEUED
        if kind == _CALLBACK:
            return contact.callback is not None and contact.callback.due_at_ms == due
        if kind == _SUSPENSION:
            return contact.state is _SUSPENDED and contact.suspension is not None and contact.suspension.due_ms == due
        if kind == _CHOOSE:
            return contact.request is not None and contact.request.choose_until_ms == due
        if kind == _LEAVE:
            return contact.request is not None and contact.request.leave_until_ms == due and contact.waits_live
        if kind == _MONITOR:
            return any(one.supervisor_id == other and due in (one.deadline_ms, one.until_ms) for one in contact.monitors)
        if kind == _SWITCH:
            return contact.switch is not None and contact.switch.deadline_ms == due
        if kind == _STEP:
            return contact.step_until_ms == due and contact.awaits_offers
        if kind == _PREFERRED:
            return contact.preferred_until_ms == due and contact.order_key != 0
        seeks_agents = contact.order_key != 0 or (contact.switch is not None and contact.switch.deadline_ms is None)
        return seeks_agents and (contact.cool_downs or {}).get(other) == due


def _contact_entries(contact: Contact) -> Iterator[TimerEntry]:
    name, callback, request = contact.contact_id, contact.callback, contact.request
    deadlines = (
        (contact.ttl_at_ms, _TTL),
        (contact.wait_until_ms, _WAIT),
        (contact.preferred_until_ms, _PREFERRED),
        (None if callback is None else callback.due_at_ms, _CALLBACK),
        (contact.step_until_ms, _STEP),
        (None if contact.suspension is None else contact.suspension.due_ms, _SUSPENSION),
        (None if request is None else request.choose_until_ms, _CHOOSE),
        (None if request is None else request.leave_until_ms, _LEAVE),
        (None if contact.switch is None else contact.switch.deadline_ms, _SWITCH),
    )
    for due_ms, kind in deadlines:
        if due_ms is not None:
            yield due_ms, kind, name, ""
    for agent_id, until_ms in (contact.cool_downs or {}).items():
        yield until_ms, _COOL_DOWN, name, agent_id
    for monitor in contact.monitors:
        for due_ms in (monitor.deadline_ms, monitor.until_ms):
            if due_ms is not None:
                yield due_ms, _MONITOR, name, monitor.supervisor_id


def _agent_entries(agent: Agent) -> Iterator[TimerEntry]:
    deadlines = ((agent.return_at_ms, _RETURN), (agent.grace_until_ms, _GRACE), (agent.cap_opens_at_ms, _CAP))
    for due_ms, kind in deadlines:
        if due_ms is not None:
            yield due_ms, kind, agent.agent_id, ""


def is_without_agents(records: WorkspaceRecords, queue_id: str, at_ms: int) -> bool:
    """Return whether by then no agent of the queue has been READY for ``no_agents_for_s``."""
    since_ms, after_s = records.no_agents_since.get(queue_id), records.queue_policy(queue_id).no_agents_for_s
    return since_ms is not None and after_s is not None and since_ms + 1000 * after_s <= at_ms


def next_check_ms(records: WorkspaceRecords, queue_id: str) -> int:
    """Return when the waiting contacts of a queue without ready agents are looked at next: every ``no_agents_for_s``.

    The times depend on nothing but the records, so that a restored engine looks when the live one does.
    """
    since_ms, after_s = records.no_agents_since.get(queue_id), records.queue_policy(queue_id).no_agents_for_s
    if since_ms is None or after_s is None:
        return 0
    return since_ms + 1000 * after_s * (1 + max(0, records.at_ms - since_ms) // (1000 * after_s))


def _remove_at(heap: list[TimerEntry], index: int) -> None:
    """Remove the entry at an index: the last entry replaces it and is sifted up or down."""
    last = heap.pop()
    if index == len(heap):
        return
    while index and last < heap[above := (index - 1) // 2]:
        heap[index] = heap[above]
        index = above
    while (below := 2 * index + 1) < len(heap):
        if below + 1 < len(heap) and heap[below + 1] < heap[below]:
            below += 1
        if not heap[below] < last:
            break
        heap[index] = heap[below]
        index = below
    heap[index] = last
