"""Valid event histories for the statistics: a writer of single events, and a random generator with expected counts."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Self

from router.model.events import (
    AgentRemoved,
    AgentStateChanged,
    AgentUpdated,
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
    OfferRescinded,
    PolicyPublished,
    WrapUpStarted,
)
from router.model.policy import ChannelPolicy, Policy, QueuePolicy, ServiceLevelPolicy
from router.model.states import AgentState
from router.statistics.workspace import WorkspaceStats

SECOND = 1000
MINUTE = 60 * SECOND
POLICY = Policy(
    channels={"voice": ChannelPolicy(), "chat": ChannelPolicy()},
    queues={
        "a": QueuePolicy(service_level=ServiceLevelPolicy(threshold_s=20, short_abandon_s=5)),
        "b": QueuePolicy(service_level=ServiceLevelPolicy(threshold_s=60, short_abandon_s=10)),
    },
)


class EventHistory:
    """Writer of events in virtual time, with one method per thing that can happen."""

    def __init__(self, start_ms: int = 1_700_000_100_000) -> None:
        self.start_ms = start_ms
        self.now_ms = start_ms
        self.events: list[tuple[Event, int]] = []
        self.queue_of: dict[str, str] = {}
        self.channel_of: dict[str, str] = {}
        self._offers: Counter[str] = Counter()
        self.write(PolicyPublished(version=1, policy=POLICY))

    def write(self, event: Event) -> None:
        self.events.append((event, self.now_ms))

    def after(self, seconds: float) -> Self:
        self.now_ms += round(seconds * SECOND)
        return self

    def agent(self, agent_id: str = "ada", state: AgentState = AgentState.READY) -> None:
        self.write(AgentUpdated(agent_id=agent_id))
        self.turn(agent_id, AgentState.OFFLINE, state)

    def turn(self, agent_id: str, before: AgentState, after: AgentState) -> None:
        self.write(AgentStateChanged(agent_id=agent_id, state=after, from_state=before))

    def remove(self, agent_id: str) -> None:
        self.write(AgentRemoved(agent_id=agent_id))

    def submit(self, contact_id: str, queue_id: str = "a", channel: str = "voice") -> None:
        self.queue_of[contact_id] = queue_id
        self.channel_of[contact_id] = channel
        self.write(ContactQueued(contact_id=contact_id, channel=channel, queue_id=queue_id, requirement="", policy_version=1))

    def offer(self, contact_id: str, agent_id: str = "ada", owner: str | None = None) -> str:
        self._offers[contact_id] += 1
        offer_id = f"{contact_id}.{self._offers[contact_id]}"
        self.write(
            OfferMade(
                offer_id=offer_id,
                contact_id=contact_id,
                agent_id=agent_id,
                channel=self.channel_of[contact_id],
                queue_id=self.queue_of[contact_id],
                units=100,
                deadline_ms=0,
                requirement="",
                effective_priority_s=0,
                policy_version=1,
                reason="longest_idle",
                from_agent_id=owner,
            )
        )
        return offer_id

    def accept(self, offer_id: str, agent_id: str = "ada", owner: tuple[str, str] | None = None) -> None:
        self.write(
            OfferAccepted(
                offer_id=offer_id,
                contact_id=contact_of(offer_id),
                agent_id=agent_id,
                waited_ms=0,
                from_assignment_id=owner[0] if owner else None,
                from_agent_id=owner[1] if owner else None,
            )
        )

    def answer(self, contact_id: str, agent_id: str = "ada") -> str:
        """Offer and accept at once, and return the assignment id."""
        offer_id = self.offer(contact_id, agent_id)
        self.accept(offer_id, agent_id)
        return offer_id

    def decline(self, offer_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(offer_id)
        self.write(OfferDeclined(offer_id=offer_id, contact_id=contact_id, agent_id=agent_id, reason="declined"))

    def expire_offer(self, offer_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(offer_id)
        self.write(OfferExpired(offer_id=offer_id, contact_id=contact_id, agent_id=agent_id))

    def rescind(self, offer_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(offer_id)
        self.write(OfferRescinded(offer_id=offer_id, contact_id=contact_id, agent_id=agent_id, reason="taken"))

    def requeue(self, contact_id: str, reason: str, queue_id: str | None = None, agent_id: str | None = None) -> None:
        self.queue_of[contact_id] = queue_id or self.queue_of[contact_id]
        self.write(
            ContactRequeued(
                contact_id=contact_id,
                queue_id=self.queue_of[contact_id],
                requirement="",
                reason=reason,
                queued_seq=1,
                agent_id=agent_id,
            )
        )

    def overflow(self, contact_id: str, queue_id: str) -> None:
        before = self.queue_of[contact_id]
        self.queue_of[contact_id] = queue_id
        self.write(ContactOverflowed(contact_id=contact_id, from_queue_id=before, queue_id=queue_id, requirement=""))

    def assign(self, contact_id: str, agent_id: str = "ada") -> str:
        self._offers[contact_id] += 1
        assignment_id = f"{contact_id}.{self._offers[contact_id]}"
        self.write(ContactAssigned(contact_id=contact_id, assignment_id=assignment_id, agent_id=agent_id, units=100, waited_ms=0))
        return assignment_id

    def abandon(self, contact_id: str) -> None:
        queue_id = self.queue_of[contact_id]
        self.write(ContactAbandoned(contact_id=contact_id, queue_id=queue_id, waited_ms=0))

    def cancel(self, contact_id: str) -> None:
        queue_id = self.queue_of[contact_id]
        self.write(ContactCancelled(contact_id=contact_id, queue_id=queue_id, waited_ms=0, reason="x"))

    def expire(self, contact_id: str) -> None:
        queue_id = self.queue_of[contact_id]
        self.write(ContactExpired(contact_id=contact_id, queue_id=queue_id, waited_ms=0, reason="ttl"))

    def hold(self, assignment_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(assignment_id)
        self.write(AssignmentHeld(assignment_id=assignment_id, contact_id=contact_id, agent_id=agent_id))

    def resume(self, assignment_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(assignment_id)
        self.write(AssignmentResumed(assignment_id=assignment_id, contact_id=contact_id, agent_id=agent_id))

    def park(self, assignment_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(assignment_id)
        self.write(AssignmentParked(assignment_id=assignment_id, contact_id=contact_id, agent_id=agent_id))

    def unpark(self, assignment_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(assignment_id)
        self.write(AssignmentUnparked(assignment_id=assignment_id, contact_id=contact_id, agent_id=agent_id))

    def end(self, assignment_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(assignment_id)
        self.write(ContactEnded(contact_id=contact_id, assignment_id=assignment_id, agent_id=agent_id, reason="ended"))

    def wrap_up(self, assignment_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(assignment_id)
        self.write(WrapUpStarted(assignment_id=assignment_id, contact_id=contact_id, agent_id=agent_id, deadline_ms=0))

    def complete(self, assignment_id: str, agent_id: str = "ada") -> None:
        contact_id = contact_of(assignment_id)
        self.write(AssignmentCompleted(assignment_id=assignment_id, contact_id=contact_id, agent_id=agent_id, reason="timer"))

    def workspace_stats(self) -> WorkspaceStats:
        """Return the statistics after all events."""
        meters = WorkspaceStats()
        apply_all(meters, self.events, first_seq=1)
        return meters


def contact_of(offer_id: str) -> str:
    return offer_id.rsplit(".", 1)[0]


def apply_all(stats: WorkspaceStats, events: list[tuple[Event, int]], first_seq: int) -> None:
    for seq, (event, at_ms) in enumerate(events, first_seq):
        stats.apply(event, seq, at_ms)


class RandomHistory:
    """Random history: three agents, two queues, and everything that can happen to a contact."""

    AGENTS = ("ada", "bob", "cy")

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.history = EventHistory()
        self.waiting: set[str] = set()
        self.offered: dict[str, tuple[str, str]] = {}
        self.talking: dict[str, tuple[str, str, str]] = {}
        self.wrapping: dict[str, str] = {}
        self.began_ms: dict[str, int] = {}
        self.answer_waits: list[tuple[str, int]] = []
        self.abandon_waits: list[tuple[str, int]] = []
        self.ended = 0
        self._made = 0
        for agent_id in self.AGENTS:
            self.history.agent(agent_id)

    def step(self) -> None:
        self.history.after(self._random.choice((0, 0, 0.5, 3, 20, 70, 1200)))
        acts = [self._submit, self._submit]
        acts += [self._offer, self._leave, self._overflow] if self.waiting else []
        acts += [self._end_offer, self._end_offer] if self.offered else []
        acts += [self._talk, self._talk] if self.talking else []
        acts += [self._complete] if self.wrapping else []
        self._random.choice(acts)()

    def finish(self) -> None:
        """End all offers, contacts and assignments."""
        while self.offered:
            self._end_offer()
        while self.waiting:
            self._leave()
        while self.talking:
            self._end(min(self.talking))
        while self.wrapping:
            self._complete()

    def _submit(self) -> None:
        self._made += 1
        contact_id = f"c{self._made}"
        queue_id, channel = self._random.choice("ab"), self._random.choice(("voice", "chat"))
        self.history.submit(contact_id, queue_id, channel)
        self._wait(contact_id)

    def _wait(self, contact_id: str) -> None:
        self.waiting.add(contact_id)
        self.began_ms[contact_id] = self.history.now_ms

    def _some(self, things: "set[str] | dict[str, tuple[str, str]] | dict[str, tuple[str, str, str]]") -> str:
        return self._random.choice(sorted(things))

    def _offer(self) -> None:
        contact_id, agent_id = self._some(self.waiting), self._random.choice(self.AGENTS)
        self.waiting.remove(contact_id)
        if self._random.random() < 0.2:
            self._answered(contact_id, self.history.assign(contact_id, agent_id), agent_id)
        else:
            self.offered[contact_id] = (self.history.offer(contact_id, agent_id), agent_id)

    def _answered(self, contact_id: str, assignment_id: str, agent_id: str) -> None:
        wait_ms = self.history.now_ms - self.began_ms[contact_id]
        self.answer_waits.append((self.history.queue_of[contact_id], wait_ms))
        self.talking[contact_id] = (assignment_id, agent_id, "talk")

    def _end_offer(self) -> None:
        contact_id = self._some(self.offered)
        offer_id, agent_id = self.offered.pop(contact_id)
        match self._random.randrange(4):
            case 0:
                self.history.decline(offer_id, agent_id)
                self.history.requeue(contact_id, "declined", agent_id=agent_id)
                self.waiting.add(contact_id)
            case 1:
                self.history.expire_offer(offer_id, agent_id)
                self.history.requeue(contact_id, "rona", agent_id=agent_id)
                self.waiting.add(contact_id)
            case 2:
                self.history.rescind(offer_id, agent_id)
                self.history.requeue(contact_id, "supervisor", self._random.choice("ab"))
                self.waiting.add(contact_id)
            case _:
                self.history.accept(offer_id, agent_id)
                self._answered(contact_id, offer_id, agent_id)

    def _leave(self) -> None:
        contact_id = self._some(self.waiting)
        self.waiting.remove(contact_id)
        match self._random.randrange(4):
            case 0:
                self.history.cancel(contact_id)
            case 1:
                self.history.expire(contact_id)
            case _:
                self.history.abandon(contact_id)
                wait_ms = self.history.now_ms - self.began_ms[contact_id]
                self.abandon_waits.append((self.history.queue_of[contact_id], wait_ms))

    def _overflow(self) -> None:
        contact_id = self._some(self.waiting)
        self.history.overflow(contact_id, "a" if self.history.queue_of[contact_id] == "b" else "b")

    def _talk(self) -> None:
        contact_id = self._some(self.talking)
        assignment_id, agent_id, phase = self.talking[contact_id]
        match self._random.randrange(4):
            case 0:
                act, after = self._turn(phase)
                act(assignment_id, agent_id)
                self.talking[contact_id] = (assignment_id, agent_id, after)
            case 1:
                reason = self._random.choice(("transferred", "supervisor", "lost_desktop"))
                del self.talking[contact_id]
                self.history.requeue(contact_id, reason, self._random.choice("ab"), agent_id)
                self._wrap_up(assignment_id, agent_id)
                self._wait(contact_id)
            case _:
                self._end(contact_id)

    def _turn(self, phase: str) -> tuple[Callable[[str, str], None], str]:
        if phase == "park":
            return self.history.unpark, "talk"
        if self._random.random() < 0.4:
            return self.history.park, "park"
        if phase == "hold":
            return self.history.resume, "talk"
        return self.history.hold, "hold"

    def _end(self, contact_id: str) -> None:
        assignment_id, agent_id, _ = self.talking.pop(contact_id)
        self.history.end(assignment_id, agent_id)
        self.ended += 1
        self._wrap_up(assignment_id, agent_id)

    def _wrap_up(self, assignment_id: str, agent_id: str) -> None:
        if self._random.random() < 0.5:
            self.history.complete(assignment_id, agent_id)
        else:
            self.history.wrap_up(assignment_id, agent_id)
            self.wrapping[assignment_id] = agent_id

    def _complete(self) -> None:
        assignment_id = min(self.wrapping)
        self.history.complete(assignment_id, self.wrapping.pop(assignment_id))
