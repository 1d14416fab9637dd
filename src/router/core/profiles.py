"""Profiles: agents who may take the same lines, and for each channel those of them with room, longest idle first."""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator
from heapq import merge
from typing import TypeAlias

from router.core.lines import Line, Needs
from router.core.state import Agent
from router.model.ids import QueueId

ProfileKey: TypeAlias = tuple[Needs, tuple[QueueId, ...] | None, Needs]


class IdleOrder:
    """Agents by idle number. Almost everybody joins at the end, so that costs nothing; those who come back to an old place
    (an offer of theirs ended without an accept) stand in a short sorted list beside it."""

    __slots__ = ("_back", "_last", "_main")

    def __init__(self) -> None:
        self._main: OrderedDict[int, Agent] = OrderedDict()
        self._back: list[tuple[int, Agent]] = []
        self._last = 0

    def __len__(self) -> int:
        return len(self._main) + len(self._back)

    def add(self, agent: Agent) -> None:
        """Let him stand at his idle number."""
        number = agent.idle_no
        if number >= self._last:
            self._main[number] = agent
            self._last = number
        else:
            insort(self._back, (number, agent), key=_number)

    def remove(self, agent: Agent) -> None:
        """Take him out."""
        if self._main.pop(agent.idle_no, None) is None:
            del self._back[bisect_left(self._back, agent.idle_no, key=_number)]

    def first(self) -> Agent:
        """The longest idle. Only when not empty."""
        if not self._main:
            return self._back[0][1]
        number = next(iter(self._main))
        if self._back and self._back[0][0] < number:
            return self._back[0][1]
        return self._main[number]

    def __iter__(self) -> Iterator[Agent]:
        if not self._back:
            yield from self._main.values()
            return
        for _, agent in merge(self._main.items(), self._back, key=_number):
            yield agent


def _number(entry: tuple[int, Agent]) -> int:
    return entry[0]


class Profile:
    """Agents with the same skills, queues and channels taken from them."""

    __slots__ = (
        "agents",
        "barred",
        "bit",
        "flexibility",
        "idle",
        "index",
        "key",
        "mask",
        "queues",
        "ready",
        "skills",
    )

    def __init__(
        self, key: ProfileKey, *, index: int, channels: int, declared: frozenset[str]
    ) -> None:
        self.key = key
        skills, queues, barred = key
        self.index = index
        self.bit = 1 << index
        self.skills = {skill: level for skill, level in skills if skill in declared}
        self.queues = None if queues is None else frozenset(queues)
        self.barred = frozenset(channel for channel, _ in barred)
        self.flexibility = len(self.skills)
        self.mask = 0
        """Bits of the lines that these agents may take."""
        self.agents = 0
        self.ready = 0
        """How many of them are READY, busy or not."""
        self.idle = [IdleOrder() for _ in range(channels)]

    def serves(self, line: Line) -> bool:
        """Whether these agents are qualified for the line, a reservation apart."""
        if self.queues is not None and line.queue_id not in self.queues:
            return False
        if line.channel in self.barred:
            return False
        skills = self.skills
        return all(skills.get(skill, 0) >= level for skill, level in line.needs)

    def proficiency(self, line: Line) -> int:
        """The sum of the levels in the line's skills."""
        return sum(self.skills[skill] for skill, _ in line.needs)


def profile_key(agent: Agent) -> ProfileKey:
    """What makes two agents alike."""
    barred = tuple((channel, 0) for channel, most in sorted(agent.channel_max.items()) if most == 0)
    return tuple(sorted(agent.skills.items())), agent.queues, barred
