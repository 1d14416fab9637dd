"""Profiles: agents who may take the same lines, and for each channel those of them with room, longest idle first."""

from bisect import insort
from collections import deque
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Final, TypeAlias

from router.core.lines import Line, Needs
from router.core.state import Agent
from router.model.ids import QueueId

ProfileKey: TypeAlias = tuple[Needs, tuple[QueueId, ...] | None, Needs]

# Stale entries that an order may hold beyond as many as it has agents.
_STALE_MAX: Final = 64


class IdleOrder:
    """Agents with room for one channel, by idle number.

    Almost everybody joins at the end; those who come back to an old place (an offer of theirs ended without an accept) stand
    in a short sorted list beside it. Who leaves is not taken out: that his entry is stale is seen when it comes up, because
    he has another number, no room, or another profile. So leaving costs nothing, however many wait.
    """

    __slots__ = ("_back", "_bit", "_last", "_main", "_profile", "_size")

    def __init__(self, channel_index: int, profile: "Profile | None" = None) -> None:
        self._bit = 1 << channel_index
        self._profile = profile
        self._main: deque[tuple[int, Agent]] = deque()
        self._back: list[tuple[int, Agent]] = []
        self._last = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, agent: Agent) -> None:
        """Let him stand at his idle number. His ``room`` says already that he does."""
        self._size += 1
        number = agent.idle_no
        if number >= self._last:
            self._main.append((number, agent))
            self._last = number
        else:
            insort(self._back, (number, agent), key=_number)
        if len(self._main) + len(self._back) > 2 * self._size + _STALE_MAX:
            self._main = deque(entry for entry in self._main if self._stands(entry))
            self._back = [entry for entry in self._back if self._stands(entry)]

    def remove(self, agent: Agent) -> None:
        """He has gone. His ``room`` says so already."""
        self._size -= 1

    def first(self) -> Agent:
        """The longest idle. Only when not empty."""
        self._trim()
        main, back = self._main, self._back
        if back and (not main or back[0][0] < main[0][0]):
            return back[0][1]
        return main[0][1]

    def _trim(self) -> None:
        main, back = self._main, self._back
        while main and not self._stands(main[0]):
            main.popleft()
        while back and not self._stands(back[0]):
            del back[0]

    def near_the_front(self, entries_max: int) -> Iterator[Agent]:
        """The longest idle in order, as far as they are found among so many entries, stale ones counted."""
        self._trim()
        entries = merge(self._main, self._back, key=_number) if self._back else self._main
        for entry in islice(entries, entries_max):
            if self._stands(entry):
                yield entry[1]

    def __iter__(self) -> Iterator[Agent]:
        self._trim()
        entries = merge(self._main, self._back, key=_number) if self._back else self._main
        last = 0
        for entry in entries:
            # Who left and came back to his place may stand here twice.
            if entry[0] != last and self._stands(entry):
                last = entry[0]
                yield entry[1]

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
        self.idle = [IdleOrder(i, self) for i in range(channels)]

    def serves(self, line: Line) -> bool:
        """Whether these agents are qualified for the line, a reservation apart."""
        if self.queues is not None and line.queue_id not in self.queues:
            return False
        if line.channel in self.barred:
            return False
        return self._has(line.needs) or any(self._has(needs) for needs in line.also)

    def _has(self, needs: Needs) -> bool:
        skills = self.skills
        return all(skills.get(skill, 0) >= level for skill, level in needs)

    def proficiency(self, line: Line) -> int:
        """The sum of the levels in the line's skills; who came in by another requirement may lack some."""
        return sum(self.skills.get(skill, 0) for skill, _ in line.needs)


def profile_key(agent: Agent) -> ProfileKey:
    """What makes two agents alike."""
    barred = tuple((channel, 0) for channel, most in sorted(agent.channel_max.items()) if most == 0)
    return tuple(sorted(agent.skills.items())), agent.queues, barred
