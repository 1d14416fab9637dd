"""Qualification masks: for each skill level, queue and channel the bits of the agent groups that have it.

The groups that qualify for a waiting line are the intersection of a few masks, so the groups need not be checked one by one.
A mask is computed on first use and then updated as groups are added and removed.
"""

from collections.abc import Iterable
from typing import Final

from router.core.lines import Line
from router.core.profiles import Profile
from router.model.ids import QueueId

# Number of (skill, level) pairs whose mask is cached.
_SKILLS_MAX: Final = 10_000


class Traits:
    """Agent groups by skill level, queue and barred channel."""

    def __init__(self) -> None:
        self._profiles: dict[int, Profile] = {}
        """Groups by bit."""
        self._everybody = 0
        self._skilled: dict[tuple[str, int], int] = {}
        self._queued: dict[QueueId, int] = {}
        self._barred: dict[str, int] = {}

    def add(self, profile: Profile) -> None:
        """Add a new group to all masks."""
        self._profiles[profile.bit] = profile
        self._everybody |= profile.bit
        self._note(profile, is_there=True)

    def remove(self, profile: Profile) -> None:
        """Remove a group that has no agents left."""
        del self._profiles[profile.bit]
        self._everybody &= ~profile.bit
        self._note(profile, is_there=False)

    def forget_skills(self) -> None:
        """Drop the cached skill masks, because the declared skills have changed."""
        self._skilled = {}

    def serving(self, line: Line) -> int:
        """Return the bits of the groups that qualify for the line; the same answer as ``AgentGroup.qualifies_for``."""
        if line.queue.agents_when is not None:
            return self._bits(profile.serves(line) for profile in self._profiles.values())
        found = 0
        for needs in (line.needs, *line.also):
            mask = self._everybody
            for skill, level in needs:
                mask &= self._with_skill(skill, level)
            found |= mask
        return found & self._with_queue(line.queue_id) & ~self._without_channel(line.channel)

    def _bits(self, answers: Iterable[bool]) -> int:
        return sum(bit for bit, answer in zip(self._profiles, answers, strict=True) if answer)

    def _with_skill(self, skill: str, level: int) -> int:
        mask = self._skilled.get((skill, level))
        if mask is None:
            if len(self._skilled) >= _SKILLS_MAX:
                self._skilled.clear()
            profiles = self._profiles.values()
            mask = self._bits(profile.skills.get(skill, 0) >= level for profile in profiles)
            self._skilled[skill, level] = mask
        return mask

    def _with_queue(self, queue_id: QueueId) -> int:
        mask = self._queued.get(queue_id)
        if mask is None:
            mask = self._bits(_works_in(profile, queue_id) for profile in self._profiles.values())
            self._queued[queue_id] = mask
        return mask

    def _without_channel(self, channel: str) -> int:
        mask = self._barred.get(channel)
        if mask is None:
            mask = self._bits(channel in profile.barred for profile in self._profiles.values())
            self._barred[channel] = mask
        return mask

    def _note(self, profile: Profile, *, is_there: bool) -> None:
        bit, skills = profile.bit, profile.skills
        for (skill, level), mask in self._skilled.items():
            has = is_there and skills.get(skill, 0) >= level
            self._skilled[skill, level] = mask | bit if has else mask & ~bit
        for queue_id, mask in self._queued.items():
            has = is_there and _works_in(profile, queue_id)
            self._queued[queue_id] = mask | bit if has else mask & ~bit
        for channel, mask in self._barred.items():
            has = is_there and channel in profile.barred
            self._barred[channel] = mask | bit if has else mask & ~bit


def _works_in(profile: Profile, queue_id: QueueId) -> bool:
    return profile.queues is None or queue_id in profile.queues
