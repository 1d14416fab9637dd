"""Qualification: which agent groups qualify for which waiting lines, as bit masks.

Every line and every group has a bit. ``AgentGroup.line_mask`` holds the lines that a group qualifies for and
``WaitingLine.group_mask`` the groups that qualify for a line; both are updated together here and nowhere else.

For a new line the masks are computed from ``GroupMasks``: for each skill level, queue and channel the bits of the groups that
have it, so that the groups need not be checked one by one. For a new group each line is checked.

Lines that are reserved for certain agents are not part of the relation. They are listed by agent instead, and whether such an
agent qualifies is checked when the line is used.
"""

from collections.abc import Iterable
from typing import Final

from router.engine.state.agent import AgentGroup, AgentGroupKey
from router.engine.state.contact import WaitingLine
from router.engine.state.records import RequirementKey
from router.model.policy import Policy
from router.model.states import AgentId, QueueId
from router.policy.customer_classes import CustomerClass
from router.policy.facts import AgentConditions

# Number of (skill, level) pairs whose mask is cached.
_SKILLS_MAX: Final = 10_000
_NO_POLICY: Final = Policy(channels={}, queues={})


class QualificationIndex:
    """Waiting lines and agent groups, and the relation between them."""

    def __init__(self) -> None:
        self.conditions = AgentConditions(_NO_POLICY)
        """Compiled attribute conditions of the queues."""
        self.declared_skills: frozenset[str] = frozenset()
        self.lines_by_index: list[WaitingLine | None] = []
        self.reserved_lines: dict[AgentId, list[WaitingLine]] = {}
        self.groups: dict[AgentGroupKey, AgentGroup] = {}
        self.groups_by_index: list[AgentGroup | None] = []
        self.changes = 0
        """Increases whenever a group is added, dropped or gets other skills."""
        self._free_line_indexes: list[int] = []
        self._free_group_indexes: list[int] = []
        self._masks = GroupMasks(self.conditions)

    def reset(self, policy: Policy) -> None:
        """Drop all lines and groups, and adopt the skills and conditions of a policy."""
        self.conditions = AgentConditions(policy)
        self.declared_skills = frozenset(policy.skills)
        self.lines_by_index, self._free_line_indexes = [], []
        self.reserved_lines = {}
        self.groups, self.groups_by_index, self._free_group_indexes = {}, [], []
        self._masks = GroupMasks(self.conditions)

    # --- lines --------------------------------------------------------------------------------------
    def all_lines(self) -> list[WaitingLine]:
        """Return every line, including those of contacts that wait for their queue to open."""
        return [line for line in self.lines_by_index if line is not None]

    def new_line_index(self) -> int:
        """Return a free index for a line; ``add_line`` must follow."""
        if self._free_line_indexes:
            return self._free_line_indexes.pop()
        self.lines_by_index.append(None)
        return len(self.lines_by_index) - 1

    def add_line(self, line: WaitingLine) -> None:
        """Add a new line at its index."""
        self.lines_by_index[line.index] = line
        if line.reserved_for is None or line.waiting_for_opening:
            self.update_lines((line,))
            return
        for agent_id in line.reserved_for:
            self.reserved_lines.setdefault(agent_id, []).append(line)

    def drop_line(self, line: WaitingLine) -> None:
        """Remove a line; its index becomes free."""
        for group in self.groups_in(line.group_mask):
            group.line_mask &= ~line.bit
        self.lines_by_index[line.index] = None
        self._free_line_indexes.append(line.index)
        if line.waiting_for_opening or line.reserved_for is None:
            return
        for agent_id in line.reserved_for:
            lines = self.reserved_lines[agent_id]
            lines.remove(line)
            if not lines:
                del self.reserved_lines[agent_id]

    def groups_for(
        self,
        queue_id: QueueId,
        channel: str,
        requirements: Iterable[RequirementKey],
        *,
        has_condition: bool,
        customer: CustomerClass | None = None,
    ) -> int:
        """Return the bits of the groups that serve the queue and channel and meet one of the requirements.

        ``has_condition``: whether the queue has a condition on attributes of agents. ``customer``: the class of the customer; None:
        the groups that qualify for contacts of any class.
        """
        return self._masks.groups_for(queue_id, channel, requirements, has_condition=has_condition, customer=customer)

    def groups_meeting_condition(self, queue_id: QueueId) -> int:
        """Return the bits of the groups that meet the condition of a queue that has one, for customers of any class."""
        return self._masks.groups_meeting_condition(queue_id, None)

    def update_lines(self, lines: Iterable[WaitingLine]) -> None:
        """Update which groups qualify for lines that are new or have another requirement."""
        toggled: dict[int, int] = {}
        for line in lines:
            before, after = line.group_mask, self._masks.groups_for_line(line)
            if before != after:
                line.group_mask = after
                # Most of very many lines change for the same groups: visit each set of groups once.
                toggled[before ^ after] = toggled.get(before ^ after, 0) | line.bit
        for changed, bits in toggled.items():
            for group in self.groups_in(changed):
                group.line_mask ^= bits

    # --- groups -------------------------------------------------------------------------------------
    def new_group_index(self) -> int:
        """Return a free index for a group; ``add_group`` must follow."""
        if self._free_group_indexes:
            return self._free_group_indexes.pop()
        self.groups_by_index.append(None)
        return len(self.groups_by_index) - 1

    def add_group(self, group: AgentGroup) -> None:
        """Add a new group at its index."""
        self.changes += 1
        self.groups_by_index[group.index] = group
        self.groups[group.key] = group
        self._masks.add(group)
        for line in self._related_lines():
            _relate(group, line)

    def drop_group(self, group: AgentGroup) -> None:
        """Remove a group that has no agents left; its index becomes free."""
        self.changes += 1
        del self.groups[group.key]
        self._masks.remove(group)
        self.groups_by_index[group.index] = None
        self._free_group_indexes.append(group.index)
        for line in self.all_lines():
            line.group_mask &= ~group.bit
            line.cached_group_mask, line.cached_groups = 0, []

    def set_declared_skills(self, skills: frozenset[str]) -> list[AgentGroup]:
        """Set the skills that the policy declares; return the groups for which that makes a difference."""
        self.changes += 1
        self.declared_skills = skills
        self._masks.clear_skill_masks()
        lines = self._related_lines()
        changed = [group for group in self.groups.values() if group.set_declared_skills(skills)]
        for group in changed:
            for line in lines:
                _relate(group, line)
        return changed

    def groups_in(self, mask: int) -> list[AgentGroup]:
        """Return the agent groups of a mask."""
        found: list[AgentGroup] = []
        groups = self.groups_by_index
        while mask:
            bit = mask & -mask
            mask ^= bit
            group = groups[bit.bit_length() - 1]
            assert group is not None
            found.append(group)
        return found

    def open_groups(self, line: WaitingLine, mask: int) -> list[AgentGroup]:
        """Return the agent groups of a mask; the last result is cached on the line, since it rarely changes."""
        if mask != line.cached_group_mask:
            line.cached_group_mask, line.cached_groups = mask, self.groups_in(mask)
        return line.cached_groups

    def _related_lines(self) -> list[WaitingLine]:
        return [
            line for line in self.lines_by_index if line is not None and (line.reserved_for is None or line.waiting_for_opening)
        ]


def _relate(group: AgentGroup, line: WaitingLine) -> None:
    if group.qualifies_for(line):
        group.line_mask |= line.bit
        line.group_mask |= group.bit
    else:
        group.line_mask &= ~line.bit
        line.group_mask &= ~group.bit


class GroupMasks:
    """Bits of the agent groups by skill level, queue, barred channel and condition.

    Those of conditions are kept for every queue that has one, and for every class of customers that it tells apart, because
    evaluating it for all groups takes too long for the arrival of a contact. The others are computed on first use, then updated.
    """

    def __init__(self, conditions: AgentConditions) -> None:
        self._customers = customers = conditions.customers
        self._groups: dict[int, AgentGroup] = {}
        """Groups by bit."""
        self._all_groups = 0
        self._masks_by_skill: dict[tuple[str, int], int] = {}
        self._masks_by_queue: dict[QueueId, int] = {}
        self._masks_by_barred_channel: dict[str, int] = {}
        self._masks_by_condition: dict[tuple[QueueId, CustomerClass], int] = {
            (queue_id, one): 0 for queue_id in conditions.queue_ids for one in customers.classes_of_condition(queue_id)
        }

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

    def groups_for_line(self, line: WaitingLine) -> int:
        """Return the bits of the groups that qualify for the line; the same answer as ``AgentGroup.qualifies_for``."""
        requirements = (line.requirement, *line.alternatives)
        has_condition = line.queue.agents_when is not None
        return self.groups_for(line.queue_id, line.channel, requirements, has_condition=has_condition, customer=line.customer)

    def groups_for(
        self,
        queue_id: QueueId,
        channel: str,
        requirements: Iterable[RequirementKey],
        *,
        has_condition: bool,
        customer: CustomerClass | None,
    ) -> int:
        """Return the bits of the groups that serve the queue and channel and meet one of the requirements."""
        found = 0
        for requirement in requirements:
            mask = self._all_groups
            for skill, level in requirement:
                mask &= self._with_skill(skill, level)
            found |= mask
        found &= self._with_queue(queue_id) & ~self._without_channel(channel)
        return found & self.groups_meeting_condition(queue_id, customer) if has_condition else found

    def groups_meeting_condition(self, queue_id: QueueId, customer: CustomerClass | None) -> int:
        """Return the bits of the groups whose attributes meet the queue's condition; none if it is not evaluated."""
        masks, customers = self._masks_by_condition, self._customers
        if customer is not None:
            return masks.get((queue_id, customers.class_of_condition(queue_id, customer)), 0)
        found = 0
        for one in customers.classes_of_condition(queue_id):
            found |= masks.get((queue_id, one), 0)
        return found

    def _bits(self, answers: Iterable[bool]) -> int:
        return sum(bit for bit, answer in zip(self._groups, answers, strict=True) if answer)

    def _with_skill(self, skill: str, level: int) -> int:
        mask = self._masks_by_skill.get((skill, level))
        if mask is None:
            if len(self._masks_by_skill) >= _SKILLS_MAX:
                self._masks_by_skill.clear()
            groups = self._groups.values()
            mask = self._bits(group.skills.get(skill, 0) >= level for group in groups)
            self._masks_by_skill[skill, level] = mask
        return mask

    def _with_queue(self, queue_id: QueueId) -> int:
        mask = self._masks_by_queue.get(queue_id)
        if mask is None:
            mask = self._bits(_serves_queue(group, queue_id) for group in self._groups.values())
            self._masks_by_queue[queue_id] = mask
        return mask

    def _without_channel(self, channel: str) -> int:
        mask = self._masks_by_barred_channel.get(channel)
        if mask is None:
            mask = self._bits(channel in group.barred_channels for group in self._groups.values())
            self._masks_by_barred_channel[channel] = mask
        return mask

    def _update_masks(self, group: AgentGroup, *, is_there: bool) -> None:
        bit, skills = group.bit, group.skills
        for (skill, level), mask in self._masks_by_skill.items():
            has = is_there and skills.get(skill, 0) >= level
            self._masks_by_skill[skill, level] = mask | bit if has else mask & ~bit
        for queue_id, mask in self._masks_by_queue.items():
            has = is_there and _serves_queue(group, queue_id)
            self._masks_by_queue[queue_id] = mask | bit if has else mask & ~bit
        for (queue_id, customer), mask in self._masks_by_condition.items():
            has = is_there and group.attributes_qualify(queue_id, customer)
            self._masks_by_condition[queue_id, customer] = mask | bit if has else mask & ~bit
        for channel, mask in self._masks_by_barred_channel.items():
            has = is_there and channel in group.barred_channels
            self._masks_by_barred_channel[channel] = mask | bit if has else mask & ~bit


def _serves_queue(group: AgentGroup, queue_id: QueueId) -> bool:
    return group.queues is None or queue_id in group.queues
