"""Timers inside the core: a heap of (due, kind, id, other). A deadline that has moved or gone is not taken out; it is seen to be
stale when it comes up, because its record says another time. When there are many, stale ones are taken out a few at a time."""

from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

from router.core.state import RoutingState
from router.model.states import AgentState, ContactState, Presence

Entry: TypeAlias = tuple[int, int, str, str]


class TimerKind(IntEnum):
    """What is due. The order breaks ties of time. ``WRAP_UP`` is an assignment's: the end of wrap-up, or of being parked."""

    OFFER = 1
    WRAP_UP = 2
    TTL = 3
    WAIT = 4
    PREFERRED = 5
    COOL_DOWN = 6
    RETURN = 7
    GRACE = 8
    CAP = 9
    DAY = 10
    HOURS = 11
    CALLBACK = 12
    STEP = 13


# Bound once: to look a member up on its class takes longer than most of what is done with it.
_ASSIGNED: Final = ContactState.ASSIGNED
_CALLBACK: Final = TimerKind.CALLBACK
_CAP: Final = TimerKind.CAP
_COOL_DOWN: Final = TimerKind.COOL_DOWN
_DAY: Final = TimerKind.DAY
_GRACE: Final = TimerKind.GRACE
_HOURS: Final = TimerKind.HOURS
_LOST: Final = Presence.LOST
_NOT_READY: Final = AgentState.NOT_READY
_OFFER: Final = TimerKind.OFFER
_PREFERRED: Final = TimerKind.PREFERRED
_QUEUED: Final = ContactState.QUEUED
_RETURN: Final = TimerKind.RETURN
_STEP: Final = TimerKind.STEP
_TTL: Final = TimerKind.TTL
_WAIT: Final = TimerKind.WAIT
_WRAP_UP: Final = TimerKind.WRAP_UP
_OF_AGENTS: Final = frozenset({TimerKind.RETURN, TimerKind.GRACE, TimerKind.CAP})
_SLACK: Final = 10_000
_SWEPT_AT_ONCE: Final = 4


class Timers:
    """The deadlines of one workspace."""

    def __init__(self, state: RoutingState) -> None:
        self._state = state
        self.heap: list[Entry] = []
        """The same list for good: the engine looks at its first entry before every command; ``due`` takes it out if it stands."""
        self._caps: list[tuple[int, str]] = []
        self._limit = _SLACK
        self._swept_to = -1
        """The next entry to look at in a round of cleaning up; below 0: none is under way."""
        self._found = 0
        """Entries that stand, in this round."""

    def add(self, due_ms: int, kind: TimerKind, subject: str, other: str = "") -> None:
        """Remember a deadline."""
        heap = self.heap
        heappush(heap, (due_ms, kind, subject, other))
        if len(heap) > self._limit or self._swept_to >= 0:
            self._sweep()

    def add_cap(self, due_ms: int, agent_id: str) -> None:
        """Remember when time alone opens a channel to an agent. No event will say so, so a replay has to know by itself."""
        self.caps_over(self._state.at_ms)
        heappush(self._caps, (due_ms, agent_id))
        self.add(due_ms, _CAP, agent_id)

    def caps_over(self, at_ms: int) -> list[str]:
        """Agents to whom a channel has been opened by then, since this was asked for last."""
        caps, found = self._caps, []
        while caps and caps[0][0] <= at_ms:
            due_ms, agent_id = heappop(caps)
            if self._agent_stands(agent_id, _CAP, due_ms):
                found.append(agent_id)
        return found

    def due(self, at_ms: int) -> Entry | None:
        """Take out the first deadline that is due and still stands."""
        heap = self.heap
        while heap and heap[0][0] <= at_ms:
            entry = heappop(heap)
            if self._stands(entry):
                return entry
        return None

    def next_ms(self) -> int | None:
        """The next deadline that stands."""
        heap = self.heap
        while heap:
            if self._stands(heap[0]):
                return heap[0][0]
            heappop(heap)
        return None

    def rebuild(self) -> None:
        """All deadlines, from the records."""
        state = self._state
        heap: list[Entry] = [
            (offer.deadline_ms, _OFFER, offer.offer_id, "") for offer in state.offers.values()
        ]
        heap.extend(
            (work.wrap_up_deadline_ms, _WRAP_UP, work.assignment_id, "")
            for work in state.assignments.values()
            if work.wrap_up_deadline_ms is not None
        )
        heap.extend(
            (work.parked_until_ms, _WRAP_UP, work.assignment_id, "")
            for work in state.assignments.values()
            if work.parked_until_ms is not None
        )
        for contact in state.contacts.values():
            name = contact.contact_id
            if contact.state.is_terminal:
                continue
            if contact.ttl_at_ms is not None:
                heap.append((contact.ttl_at_ms, _TTL, name, ""))
            if contact.wait_until_ms is not None:
                heap.append((contact.wait_until_ms, _WAIT, name, ""))
            if contact.preferred_until_ms is not None:
                heap.append((contact.preferred_until_ms, _PREFERRED, name, ""))
            if contact.callback is not None and contact.callback.due_at_ms is not None:
                heap.append((contact.callback.due_at_ms, _CALLBACK, name, ""))
            if contact.step_until_ms is not None:
                heap.append((contact.step_until_ms, _STEP, name, ""))
            for agent_id, until_ms in (contact.cool_downs or {}).items():
                heap.append((until_ms, _COOL_DOWN, name, agent_id))
        for agent in state.agents.values():
            if agent.return_at_ms is not None:
                heap.append((agent.return_at_ms, _RETURN, agent.agent_id, ""))
            if agent.grace_until_ms is not None:
                heap.append((agent.grace_until_ms, _GRACE, agent.agent_id, ""))
            if agent.cap_until_ms is not None:
                heap.append((agent.cap_until_ms, _CAP, agent.agent_id, ""))
        if state.day_until_ms is not None:
            heap.append((state.day_until_ms, _DAY, "", ""))
        for queue_id, hours in state.hours.items():
            if hours.look_at_ms is not None:
                heap.append((hours.look_at_ms, _HOURS, queue_id, ""))
        heap = [entry for entry in heap if self._stands(entry)]
        heapify(heap)
        self._caps = sorted((due_ms, name) for due_ms, kind, name, _ in heap if kind == _CAP)
        self.heap[:] = heap
        self._limit = 2 * len(heap) + _SLACK

    def _sweep(self) -> None:
        """Look at some entries from the end on and take out the stale ones: no single command pays for all of them."""
        heap, place = self.heap, self._swept_to
        if place < 0:
            place, self._found = len(heap) - 1, 0
        for _ in range(_SWEPT_AT_ONCE):
            if place < len(heap):
                if self._stands(heap[place]):
                    self._found += 1
                else:
                    _take_out(heap, place)
            place -= 1
            if place < 0:
                # Twice what stands: the next round is paid for by as many additions.
                self._limit = 2 * self._found + _SLACK
                break
        self._swept_to = place

    def _stands(self, entry: Entry) -> bool:
        due, kind, subject, other = entry
        if kind == _OFFER:
            offer = self._state.offers.get(subject)
            return offer is not None and offer.deadline_ms == due
        if kind == _WRAP_UP:
            work = self._state.assignments.get(subject)
            return work is not None and due in (work.wrap_up_deadline_ms, work.parked_until_ms)
        if kind == _DAY:  # Of the workspace itself: its subject is empty.
            return self._state.day_until_ms == due
        if kind == _HOURS:
            hours = self._state.hours.get(subject)
            return hours is not None and hours.look_at_ms == due
        if kind in _OF_AGENTS:
            return self._agent_stands(subject, kind, due)
        return self._contact_stands(subject, kind, due, other)

    def _agent_stands(self, agent_id: str, kind: int, due: int) -> bool:
        agent = self._state.agents.get(agent_id)
        if agent is None:
            return False
        if kind == _RETURN:
            return agent.return_at_ms == due and agent.state is _NOT_READY
        if kind == _CAP:
            return agent.cap_until_ms == due
        return agent.grace_until_ms == due and agent.presence is _LOST

    def _contact_stands(self, contact_id: str, kind: int, due: int, other: str) -> bool:
        contact = self._state.contacts.get(contact_id)
        if contact is None or contact.state.is_terminal:
            return False
        if kind == _TTL:
            return contact.ttl_at_ms == due and contact.state is not _ASSIGNED
        if kind == _WAIT:
            return contact.wait_until_ms == due and contact.state is _QUEUED
        if kind == _CALLBACK:
            return contact.callback is not None and contact.callback.due_at_ms == due
        if kind == _STEP:
            return contact.step_until_ms == due and contact.state is _QUEUED
        if kind == _PREFERRED:
            return contact.preferred_until_ms == due and contact.key != 0
        return contact.key != 0 and (contact.cool_downs or {}).get(other) == due


def _take_out(heap: list[Entry], place: int) -> None:
    """The last entry takes its place, and goes up or down from there."""
    last = heap.pop()
    if place == len(heap):
        return
    while place and last < heap[above := (place - 1) // 2]:
        heap[place] = heap[above]
        place = above
    while (below := 2 * place + 1) < len(heap):
        if below + 1 < len(heap) and heap[below + 1] < heap[below]:
            below += 1
        if not heap[below] < last:
            break
        heap[place] = heap[below]
        place = below
    heap[place] = last
