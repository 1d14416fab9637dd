"""Qualification masks: for each skill level, queue and channel the bits of the agent groups that have it.

The groups that qualify for a waiting line are the intersection of a few masks, so the groups need not be checked one by one.
A mask is computed on first use and then updated as groups are added and removed.
"""

from collections.abc import Iterable
from typing import Final

from router.engine.state.agent import AgentGroup
from router.engine.state.contact import WaitingLine
from router.model.ids import QueueId

# Number of (skill, level) pairs whose mask is cached.
_SKILLS_MAX: Final = 10_000


class GroupQualification:
    """Agent groups by skill level, queue and barred channel."""

    def __init__(self) -> None:
        self._groups: dict[int, AgentGroup] = {}
        """Groups by bit."""
        self._all_groups = 0
        self._masks_by_skill: dict[tuple[str, int], int] = {}
        self._masks_by_queue: dict[QueueId, int] = {}
        self._masks_by_barred_channel: dict[str, int] = {}

    def add(self, group: AgentGroup) -> None:
        """Add a new group to all masks."""
        self._groups[group.bit] = group
        self._all_groups |= group.bit
        self._update_masks(group, is_there=True)

    def remove(self, group: AgentGroup) -> None:
        """Remove a group that has no agents left."""
        del self._groups[group.bit]
        self._all_groups &= ~group.bit
        self._update_masks(group, is_there=False)

    def clear_skill_masks(self) -> None:
        """Drop the cached skill masks, because the declared skills have changed."""
        self._masks_by_skill = {}

    def groups_for(self, line: WaitingLine) -> int:
        """Return the bits of the groups that qualify for the line; the same answer as ``AgentGroup.qualifies_for``."""
        if line.queue.agents_when is not None:
            return self._bits(profile.qualifies_for(line) for profile in self._groups.values())
        found = 0
        for needs in (line.requirement, *line.alternatives):
            mask = self._all_groups
            for skill, level in needs:
                mask &= self._with_skill(skill, level)
            found |= mask
        return found & self._with_queue(line.queue_id) & ~self._without_channel(line.channel)

    def _bits(self, answers: Iterable[bool]) -> int:
        return sum(bit for bit, answer in zip(self._groups, answers, strict=True) if answer)

    def _with_skill(self, skill: str, level: int) -> int:
        mask = self._masks_by_skill.get((skill, level))
        if mask is None:
            if len(self._masks_by_skill) >= _SKILLS_MAX:
                self._masks_by_skill.clear()
            profiles = self._groups.values()
            mask = self._bits(profile.skills.get(skill, 0) >= level for profile in profiles)
            self._masks_by_skill[skill, level] = mask
        return mask

    def _with_queue(self, queue_id: QueueId) -> int:
        mask = self._masks_by_queue.get(queue_id)
        if mask is None:
            mask = self._bits(_serves_queue(profile, queue_id) for profile in self._groups.values())
            self._masks_by_queue[queue_id] = mask
        return mask

    def _without_channel(self, channel: str) -> int:
        mask = self._masks_by_barred_channel.get(channel)
        if mask is None:
            mask = self._bits(
                channel in profile.barred_channels for profile in self._groups.values()
            )
            self._masks_by_barred_channel[channel] = mask
        return mask

    def _update_masks(self, profile: AgentGroup, *, is_there: bool) -> None:
        bit, skills = profile.bit, profile.skills
        for (skill, level), mask in self._masks_by_skill.items():
            has = is_there and skills.get(skill, 0) >= level
            self._masks_by_skill[skill, level] = mask | bit if has else mask & ~bit
        for queue_id, mask in self._masks_by_queue.items():
            has = is_there and _serves_queue(profile, queue_id)
            self._masks_by_queue[queue_id] = mask | bit if has else mask & ~bit
        for channel, mask in self._masks_by_barred_channel.items():
            has = is_there and channel in profile.barred_channels
            self._masks_by_barred_channel[channel] = mask | bit if has else mask & ~bit


def _serves_queue(profile: AgentGroup, queue_id: QueueId) -> bool:
    return profile.queues is None or queue_id in profile.queues
