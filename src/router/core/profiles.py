"""Profiles: agents who may take the same lines, and for each channel those of them with room, longest idle first."""

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

# So many kinds of agents are looked at one by one; beyond it an order over all of them is kept.
FEW_PROFILES: Final = 16
# Stale entries that an order may hold beyond as many as it has agents.
_STALE_MAX: Final = 64


class IdleOrder:
    """Agents with room for one channel, by idle number.

    Almost everybody joins at the end; those who come back to an old place (an offer of theirs ended without an accept) stand
    in a short sorted list beside it. Who leaves is not taken out: that his entry is stale is seen when it comes up, because
    he has another number, no room, or another profile. So leaving costs nothing, however many wait.
    """

    __slots__ = ("_agents", "_back", "_bit", "_last", "_numbers", "_profile", "size")

    def __init__(self, channel_index: int, profile: "Profile | None" = None) -> None:
        self._bit = 1 << channel_index
        self._profile = profile
        # Side by side: a pair for each entry would be one more object that the garbage collector has to look at.
        self._numbers: deque[int] = deque()
        self._agents: deque[Agent] = deque()
        self._back: list[tuple[int, Agent]] = []
        self._last = 0
        self.size = 0
        """How many stand here: who leaves is counted off, and nothing else."""

    def __len__(self) -> int:
        return self.size

    def add(self, agent: Agent) -> None:
        """Let him stand at his idle number. His ``room`` says already that he does."""
        numbers, agents, back = self._numbers, self._agents, self._back
        if not self.size:
            # Whoever is still written down here has left.
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
        # Each number once: who came back to his place again and again stands here as often.
        main = {entry[0]: entry[1] for entry in self._main() if self._stands(entry)}
        back = {entry[0]: entry[1] for entry in self._back if self._stands(entry)}
        self._numbers, self._agents = deque(main), deque(main.values())
        self._back = [entry for entry in back.items() if entry[0] not in main]

    def first(self) -> Agent:
        """The longest idle. Only when not empty."""
        numbers, agents, back = self._numbers, self._agents, self._back
        bit, profile = self._bit, self._profile
        while numbers:
            agent = agents[0]
            # ``_stands``, written out.
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
        """The longest idle in order, as far as they are found among so many entries, stale ones counted."""
        self._trim()
        for entry in islice(self._entries(), entries_max):
            if self._stands(entry):
                yield entry[1]

    def __iter__(self) -> Iterator[Agent]:
        self._trim()
        last = 0
        for entry in self._entries():
            # Who left and came back to his place may stand here twice.
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
    """Agents with the same skills, queues, channels taken from them, facts that qualify or order them, and ranks of queues."""

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
        """The facts that order agents, as whole numbers."""
        self.ranks = dict(ranks)
        """Which queues these agents serve first; empty: they follow the total order alone."""
        self.mask = 0
        """Bits of the lines that these agents may take."""
        self.agents = 0
        self.ready = 0
        """How many of them are READY, busy or not."""
        self.idle = [IdleOrder(i, self) for i in range(channels)]
        self.declare(declared)

    def declare(self, skills: frozenset[str]) -> bool:
        """Only these count from now on; whether that makes a difference for these agents."""
        before = self.skills
        self.skills = {skill: level for skill, level in self.key[0] if skill in skills}
        self.flexibility = len(self.skills)
        return self.skills != before

    def serves(self, line: Line) -> bool:
        """Whether these agents are qualified for the line, a reservation apart."""
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
        """Whether these agents' facts are what the queue asks for; remembered, so nothing is evaluated twice."""
        return self.qualification.fits(queue_id, self.facts)

    def proficiency(self, line: Line) -> int:
        """The sum of the levels in the line's skills; who came in by another requirement may lack some."""
        return sum(self.skills.get(skill, 0) for skill, _ in line.needs)


def profile_key(agent: Agent, qualification: Qualification, ordering: OrderingFacts) -> ProfileKey:
    """What makes two agents alike."""
    barred = tuple((channel, 0) for channel, most in sorted(agent.channel_max.items()) if most == 0)
    facts = qualification.key(agent.attributes)
    places = fact_places(ordering, agent.attributes) if ordering else ()
    ranks = tuple(sorted(agent.queue_ranks.items()))
    return tuple(sorted(agent.skills.items())), agent.queues, barred, facts, places, ranks
