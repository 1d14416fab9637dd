"""Agent groups: agents who qualify for the same waiting lines, with one idle order for each channel.

A group is keyed by everything that qualifies or ranks an agent: skills, queues, barred channels, attributes that conditions or
orders use, queue ranks. Whether a group qualifies for a waiting line is decided once and kept as a bit, in ``line_mask`` of the
group and in ``group_mask`` of the line. For each channel a group keeps its agents with an open channel in idle order, so the
longest idle agent of a group is found in constant time.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Final, TypeAlias

from router.core.fact_order import FactPlaces, OrderingFacts, fact_places
from router.core.lines import Line, Needs
from router.core.state import Agent
from router.model.ids import QueueId
from router.rules.qualification import FactKey, Qualification

Ranks: TypeAlias = tuple[tuple[QueueId, int], ...]
ProfileKey: TypeAlias = tuple[Needs, tuple[QueueId, ...] | None, Needs, FactKey, FactPlaces, Ranks]

# Up to this many groups are compared one by one; beyond it an idle order over all groups is kept as well.
FEW_PROFILES: Final = 16
# Stale entries that an order may hold in addition to one for each current entry.
_STALE_MAX: Final = 64


class IdleOrder:
    """Agents with one channel open, by idle number.

    Almost every agent is appended at the end. An agent who returns to an earlier number (its offer ended without an accept) goes
    into a short sorted list beside the main one. An agent who leaves is not removed: its entry has become stale, because the idle
    number, the open channels or the group differ, and is dropped when it reaches the front. So leaving costs O(1), adding costs
    O(1) or, for a returning agent, an insertion into the short list. When stale entries outnumber current ones, both lists are
    compacted.
    """

    __slots__ = ("_agents", "_back", "_bit", "_last", "_numbers", "_profile", "size")

    def __init__(self, channel_index: int, profile: "Profile | None" = None) -> None:
        self._bit = 1 << channel_index
        self._profile = profile
        # Two parallel deques: a tuple for each entry would be one more object for the garbage collector to visit.
        self._numbers: deque[int] = deque()
        self._agents: deque[Agent] = deque()
        self._back: list[tuple[int, Agent]] = []
        self._last = 0
        self.size = 0
        """Number of current entries; leaving only decrements it."""

    def __len__(self) -> int:
        return self.size

    def add(self, agent: Agent) -> None:
        """Add an agent at its idle number; its open channels must already include this one."""
        numbers, agents, back = self._numbers, self._agents, self._back
        if not self.size:
            # All remaining entries are stale.
            numbers.clear()
            agents.clear()
            if back:
                back.clear()
        self.size += 1
        number = agent.idle_no
        if number >= self._last:
            numbers.append(number)
            agents.append(agent)
            self._last = number
        else:
            insort(back, (number, agent), key=_number)
        if len(numbers) + len(back) > 2 * self.size + _STALE_MAX:
            self._compact()

    def _compact(self) -> None:
        # Keep each number once: an agent who has returned repeatedly has several entries.
        main = {entry[0]: entry[1] for entry in self._main() if self._stands(entry)}
        back = {entry[0]: entry[1] for entry in self._back if self._stands(entry)}
        self._numbers, self._agents = deque(main), deque(main.values())
        self._back = [entry for entry in back.items() if entry[0] not in main]

    def first(self) -> Agent:
        """Return the longest idle agent; the order must not be empty."""
        numbers, agents, back = self._numbers, self._agents, self._back
        bit, profile = self._bit, self._profile
        while numbers:
            agent = agents[0]
            # ``_is_current``, inlined.
            if (
                agent.idle_no == numbers[0]
                and agent.room & bit
                and (profile is None or agent.profile is profile)
            ):
                if not back:
                    return agent
                break
            numbers.popleft()
            agents.popleft()
        self._trim()
        if back and (not numbers or back[0][0] < numbers[0]):
            return back[0][1]
        return agents[0]

    def _trim(self) -> None:
        numbers, agents, back = self._numbers, self._agents, self._back
        while numbers and not self._stands((numbers[0], agents[0])):
            numbers.popleft()
            agents.popleft()
        while back and not self._stands(back[0]):
            del back[0]

    def near_the_front(self, entries_max: int) -> Iterator[Agent]:
        """Yield the longest idle agents in order, examining at most ``entries_max`` entries, stale ones included."""
        self._trim()
        for entry in islice(self._entries(), entries_max):
            if self._stands(entry):
                yield entry[1]

    def __iter__(self) -> Iterator[Agent]:
        self._trim()
        last = 0
        for entry in self._entries():
            # An agent who left and returned may have two entries.
            if entry[0] != last and self._stands(entry):
                last = entry[0]
                yield entry[1]

    def _main(self) -> Iterator[tuple[int, Agent]]:
        return zip(self._numbers, self._agents, strict=True)

    def _entries(self) -> Iterator[tuple[int, Agent]]:
        main = self._main()
        return merge(main, self._back, key=_number) if self._back else main

    def _stands(self, entry: tuple[int, Agent]) -> bool:
        number, agent = entry
        return (
            agent.idle_no == number
            and agent.room & self._bit != 0
            and (self._profile is None or agent.profile is self._profile)
        )


def _number(entry: tuple[int, Agent]) -> int:
    return entry[0]


class Profile:
    """Agents with the same skills, queues, barred channels, relevant attributes and queue ranks."""

    __slots__ = (
        "agents",
        "barred",
        "bit",
        "facts",
        "flexibility",
        "idle",
        "index",
        "key",
        "mask",
        "places",
        "qualification",
        "queues",
        "ranks",
        "ready",
        "skills",
    )

    def __init__(
        self,
        key: ProfileKey,
        *,
        index: int,
        channels: int,
        declared: frozenset[str],
        qualification: Qualification,
    ) -> None:
        self.key = key
        _, queues, barred, self.facts, places, ranks = key
        self.qualification = qualification
        self.index = index
        self.bit = 1 << index
        self.skills: dict[str, int] = {}
        self.queues = None if queues is None else frozenset(queues)
        self.barred = frozenset(channel for channel, _ in barred)
        self.flexibility = 0
        self.places = dict(places)
        """Attributes that rank agents, as integers."""
        self.ranks = dict(ranks)
        """Queue ranks, which come before the total order of contacts; empty: the total order alone decides."""
        self.mask = 0
        """Bits of the waiting lines for which these agents qualify."""
        self.agents = 0
        self.ready = 0
        """Number of READY agents, busy or free."""
        self.idle = [IdleOrder(i, self) for i in range(channels)]
        self.declare(declared)

    def declare(self, skills: frozenset[str]) -> bool:
        """Set the skills that the policy declares; return whether that changes these agents' skills."""
        before = self.skills
        self.skills = {skill: level for skill, level in self.key[0] if skill in skills}
        self.flexibility = len(self.skills)
        return self.skills != before

    def serves(self, line: Line) -> bool:
        """Return whether these agents qualify for the waiting line, reservations left aside."""
        if self.queues is not None and line.queue_id not in self.queues:
            return False
        if line.channel in self.barred:
            return False
        if line.queue.agents_when is not None and not self.facts_fit(line.queue_id):
            return False
        return self._has(line.needs) or any(self._has(needs) for needs in line.also)

    def _has(self, needs: Needs) -> bool:
        skills = self.skills
        return all(skills.get(skill, 0) >= level for skill, level in needs)

    def facts_fit(self, queue_id: QueueId) -> bool:
        """Return whether these agents' attributes meet the queue's condition; results are cached."""
        return self.qualification.fits(queue_id, self.facts)

    def proficiency(self, line: Line) -> int:
        """Return the sum of the levels in the line's skills; agents who qualify by an alternative may lack some."""
        return sum(self.skills.get(skill, 0) for skill, _ in line.needs)


def profile_key(agent: Agent, qualification: Qualification, ordering: OrderingFacts) -> ProfileKey:
    """Return the key that agents of the same group share."""
    barred = tuple((channel, 0) for channel, most in sorted(agent.channel_max.items()) if most == 0)
    facts = qualification.key(agent.attributes)
    places = fact_places(ordering, agent.attributes) if ordering else ()
    ranks = tuple(sorted(agent.queue_ranks.items()))
    return tuple(sorted(agent.skills.items())), agent.queues, barred, facts, places, ranks
