"""Skill coverage: which agent groups qualify for a requirement class, regardless of the agents' current state.

The rules are those of ``matching.eligibility``, plus one more: whether an item of the channel fits the capacity of an agent at
all. Sets of agent groups are integers used as bit masks (bit i = group with index i), as in the index, so intersecting
conditions is one operation on integers and the cost depends on the number of groups and requirement classes, not on the number
of agents times contacts. All masks are computed once (``fill``); the object does not follow later changes of the state.

A contact whose plan relaxes its requirement is examined by the requirement after the last step (``final_requirement``), because
until then a later step may still find an agent.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent, AgentGroup
from router.engine.state.contact import requirement_key
from router.engine.state.plan_stages import effective_plan, stage_requirement
from router.engine.state.records import RequirementKey
from router.model.policy import Policy
from router.model.states import QueueId
from router.model.views import UnmetCondition

_AGENTS_PER_STEP: Final = 60
_GROUPS_PER_STEP: Final = 2
_NO_OWN_SKILLS: Final[dict[str, int]] = {}


class FinalRequirement(NamedTuple):
    """The requirement after the last step of a plan, in which queue it applies, and the alternatives that are accepted as well."""

    queue_id: QueueId
    requirement: RequirementKey
    alternatives: tuple[RequirementKey, ...] = ()


def final_requirement(policy: Policy, queue_id: QueueId, own_plan: str | None, skills: dict[str, int]) -> FinalRequirement:
    """Return the requirement that no later step relaxes; without a plan, the requirement at submit."""
    plan = effective_plan(policy, queue_id, own_plan)
    for step in plan:
        queue_id = step.queue or queue_id
    stage = stage_requirement(policy.queues[queue_id], plan, len(plan) - 1, skills)
    return FinalRequirement(queue_id, stage.requirement, stage.alternatives)


class SkillCoverage:
    """The agent groups of a workspace by skill, queue, attribute condition, channel and capacity, under the active policy."""

    def __init__(self, state: RoutingState, policy: Policy) -> None:
        self.policy = policy
        self.channels = tuple(policy.channels)
        self.ready_groups = 0
        """Mask of the groups with at least one READY agent, busy or free."""
        self.best_levels: dict[str, int] = {}
        """Highest level of each declared skill that any agent has."""
        self._index = state.index
        self._all_groups = 0
        self._max_units_by_group: dict[int, int] = {}
        """Largest capacity of a member, by group index. Members of a group differ in nothing else that matters here."""
        self._groups_by_skill_level: dict[str, dict[int, int]] = {}
        """Masks of the groups that have exactly this level, by skill and level."""
        self._groups_by_queue: dict[QueueId, int] = dict.fromkeys(policy.queues, 0)
        self._groups_of_every_queue = 0
        self._groups_by_channel = dict.fromkeys(self.channels, 0)
        self._groups_with_capacity = dict.fromkeys(self.channels, 0)
        self._groups_by_requirement: dict[RequirementKey, int] = {}
        self._base_requirements = {name: requirement_key(queue, _NO_OWN_SKILLS) for name, queue in policy.queues.items()}
        self._groups_by_agents_when = {
            name: state.index.qualification.groups_meeting_condition(name)
            for name, queue in policy.queues.items()
            if queue.agents_when is not None
        }
        """Masks of the groups that meet ``agents_when``, by queue that has such a condition."""
        self._queue_by_base_requirement = {
            (self._base_requirements[name], queue.agents_when): name for name, queue in policy.queues.items()
        }
        self._groups_skilled_for_any = 0
        self._unmet_by_group: dict[int, tuple[UnmetCondition, ...]] = {}

    def fill(self, state: RoutingState) -> Iterator[None]:
        """Compute the masks, in steps between which agents may change; the result must not be used before the end."""
        for place, agent in enumerate(list(state.agents.values())):
            if agent.group is not None:
                index = agent.group.index
                self._max_units_by_group[index] = max(agent.capacity.units, self._max_units_by_group.get(index, 0))
            if place % _AGENTS_PER_STEP == 0:
                yield
        for place, group in enumerate(list(state.index.qualification.groups.values())):
            if group.index in self._max_units_by_group:
                self._add_group(group)
            if place % _GROUPS_PER_STEP == 0:
                yield
        for (requirement, _), queue_id in self._queue_by_base_requirement.items():
            self._groups_skilled_for_any |= self._groups_with_skills(requirement) & self._groups_meeting_agents_when(queue_id)
            yield

    def _add_group(self, group: AgentGroup) -> None:
        bit = group.bit
        self._all_groups |= bit
        if group.ready_count:
            self.ready_groups |= bit
        for skill, level in group.skills.items():
            by_level = self._groups_by_skill_level.setdefault(skill, {})
            by_level[level] = by_level.get(level, 0) | bit
            self.best_levels[skill] = max(level, self.best_levels.get(skill, 0))
        if group.queues is None:
            self._groups_of_every_queue |= bit
        for queue_id in sorted(group.queues or ()):
            self._groups_by_queue[queue_id] = self._groups_by_queue.get(queue_id, 0) | bit
        for name in self.channels:
            if name not in group.barred_channels:
                self._groups_by_channel[name] |= bit
                if self.policy.channels[name].units <= self._max_units_by_group[group.index]:
                    self._groups_with_capacity[name] |= bit

    # --- groups by requirement --------------------------------------------------------------------
    def base_requirement(self, queue_id: QueueId) -> RequirementKey:
        """Return the minimum requirement of every contact of a declared queue."""
        return self._base_requirements[queue_id]

    def qualified_groups(self, queue_id: QueueId, channels: Sequence[str], requirement: RequirementKey) -> int:
        """Return the mask of the groups that have the queue, the skills and at least one of the channels."""
        return (
            self._groups_with_skills(requirement)
            & self._groups_serving(queue_id)
            & self._groups_meeting_agents_when(queue_id)
            & _union(self._groups_by_channel, channels)
        )

    def capable_groups(self, queue_id: QueueId, channels: Sequence[str], requirement: RequirementKey) -> int:
        """Return the mask of the qualified groups in which an item of one of these channels also fits an agent's capacity."""
        return (
            self._groups_with_skills(requirement)
            & self._groups_serving(queue_id)
            & self._groups_meeting_agents_when(queue_id)
            & _union(self._groups_with_capacity, channels)
        )

    def _groups_serving(self, queue_id: QueueId) -> int:
        return self._groups_of_every_queue | self._groups_by_queue.get(queue_id, 0)

    def _groups_meeting_agents_when(self, queue_id: QueueId) -> int:
        """Return the mask of the groups that meet the queue's ``agents_when``; all groups if it has none."""
        return self._groups_by_agents_when.get(queue_id, self._all_groups)

    def _groups_with_skills(self, requirement: RequirementKey) -> int:
        found = self._groups_by_requirement.get(requirement)
        if found is None:
            found = self._all_groups
            for skill, level in requirement:
                found &= self._groups_with_level(skill, level)
            self._groups_by_requirement[requirement] = found
        return found

    def _groups_with_level(self, skill: str, level: int) -> int:
        found = 0
        for has, mask in self._groups_by_skill_level.get(skill, {}).items():
            if has >= level:
                found |= mask
        return found

    # --- unmet conditions -------------------------------------------------------------------------
    def unmet_conditions(
        self, queue_id: QueueId, channels: Sequence[str], requirement: RequirementKey
    ) -> tuple[tuple[UnmetCondition, ...], int]:
        """Return the conditions that no agent meets, and 0.

        If each condition is met by some agent, return the conditions that the nearest agents miss, and the number of these
        agents. Must only be called for a requirement without ``capable_groups``.
        """
        found: list[UnmetCondition] = []
        if not self._groups_serving(queue_id):
            found.append(UnmetCondition(code="queue"))
        if not self._groups_meeting_agents_when(queue_id) and self._all_groups:
            found.append(UnmetCondition(code="attributes"))
        best = self.best_levels
        found += [_level_condition(skill, best.get(skill), level) for skill, level in requirement if best.get(skill, 0) < level]
        if not _union(self._groups_by_channel, channels):
            found.append(_channel_condition(channels))
        most = max(self._max_units_by_group.values(), default=0)
        lightest = min(self.policy.channels[name].units for name in channels)
        if most < lightest:
            found.append(UnmetCondition(code="capacity", has=most, needs=lightest))
        if found or not self._all_groups:
            return tuple(found), 0
        return self._unmet_by_nearest(queue_id, channels, requirement)

    def _unmet_by_nearest(
        self, queue_id: QueueId, channels: Sequence[str], requirement: RequirementKey
    ) -> tuple[tuple[UnmetCondition, ...], int]:
        agents: dict[tuple[UnmetCondition, ...], int] = {}
        for group in self._present_groups(self._groups_missing_fewest(queue_id, channels, requirement)):
            found = [] if _serves_queue(group, queue_id) else [UnmetCondition(code="queue")]
            if not self._groups_meeting_agents_when(queue_id) & group.bit:
                found.append(UnmetCondition(code="attributes"))
            found += _unmet_skills(group, requirement)
            if not self._has_any_channel(group, channels):
                found.append(_channel_condition(channels))
            elif self._units_min(group, channels) > self._max_units_by_group[group.index]:
                has = self._max_units_by_group[group.index]
                found.append(self._capacity_condition(group, has, channels))
            agents[tuple(found)] = agents.get(tuple(found), 0) + group.agent_count
        if not agents:
            return (), 0
        # Group indexes depend on the order in which agents were added, so ties are broken by the conditions themselves.
        unmet = min(agents, key=lambda unmet: (-agents[unmet], str(unmet)))
        return unmet, agents[unmet]

    def _present_groups(self, mask: int) -> Iterator[AgentGroup]:
        """Yield those groups of a mask that still exist and were there when the masks were computed."""
        by_index = self._index.qualification.groups_by_index
        while mask:
            bit = mask & -mask
            mask ^= bit
            group = by_index[bit.bit_length() - 1]
            if group is not None and group.index in self._max_units_by_group:
                yield group

    def _groups_missing_fewest(self, queue_id: QueueId, channels: Sequence[str], requirement: RequirementKey) -> int:
        """Return the mask of the groups that miss the smallest number of conditions.

        ``missing[n]`` is the mask of the groups that miss exactly n of the conditions seen so far.
        """
        conditions = [self._groups_with_level(skill, level) for skill, level in requirement]
        conditions += [self._groups_serving(queue_id), _union(self._groups_with_capacity, channels)]
        conditions.append(self._groups_meeting_agents_when(queue_id))
        missing = [self._all_groups]
        for condition in conditions:
            kept = [mask & condition for mask in missing]
            lost = [mask & ~condition for mask in missing]
            missing = [a | b for a, b in zip((*kept, 0), (0, *lost), strict=True)]
        return next(mask for mask in missing if mask)

    def agent_unmet_conditions(self, agent: Agent) -> tuple[UnmetCondition, ...]:
        """Return the conditions that keep this agent from every contact of every queue.

        Empty if there is any contact that the agent could take.
        """
        group = _group_of(agent)
        if group.index not in self._unmet_by_group:
            self._unmet_by_group[group.index] = self._group_unmet_conditions(group)
        found = self._unmet_by_group[group.index]
        if self._has_any_channel(group, self.channels) and agent.capacity.units < self._units_min(group, self.channels):
            found = (*found, self._capacity_condition(group, agent.capacity.units, self.channels))
        return found

    def _group_unmet_conditions(self, group: AgentGroup) -> tuple[UnmetCondition, ...]:
        found: tuple[UnmetCondition, ...] = ()
        if not self._has_any_channel(group, self.channels):
            found = (UnmetCondition(code="channel"),)
        if group.queues is None:
            served = list(self._queue_by_base_requirement.values())
        else:
            served = [name for name in sorted(group.queues) if name in self._base_requirements]
        if not served:
            return (*found, UnmetCondition(code="queue"))
        is_skilled = (
            self._groups_skilled_for_any & group.bit
            if group.queues is None
            else any(
                self._groups_with_skills(self._base_requirements[name]) & self._groups_meeting_agents_when(name) & group.bit
                for name in served
            )
        )
        if is_skilled:
            return found
        unmet_by_queue = (
            (
                *(() if self._groups_meeting_agents_when(name) & group.bit else (UnmetCondition(code="attributes"),)),
                *_unmet_skills(group, self._base_requirements[name]),
            )
            for name in served
        )
        return found + min(unmet_by_queue, key=lambda unmet: (len(unmet), str(unmet)))

    # --- channels ---------------------------------------------------------------------------------
    @staticmethod
    def _has_any_channel(group: AgentGroup, channels: Iterable[str]) -> bool:
        return any(name not in group.barred_channels for name in channels)

    def _units_min(self, group: AgentGroup, channels: Iterable[str]) -> int:
        return min(self.policy.channels[n].units for n in channels if n not in group.barred_channels)

    def _capacity_condition(self, group: AgentGroup, has: int, channels: Iterable[str]) -> UnmetCondition:
        return UnmetCondition(code="capacity", has=has, needs=self._units_min(group, channels))


def _group_of(agent: Agent) -> AgentGroup:
    assert agent.group is not None, "an agent has a group as soon as there is a policy"
    return agent.group


def _union(masks: dict[str, int], names: Sequence[str]) -> int:
    found = 0
    for name in names:
        found |= masks[name]
    return found


def _serves_queue(group: AgentGroup, queue_id: QueueId) -> bool:
    return group.queues is None or queue_id in group.queues


def _unmet_skills(group: AgentGroup, requirement: RequirementKey) -> list[UnmetCondition]:
    skills = group.skills
    return [_level_condition(skill, skills.get(skill), level) for skill, level in requirement if skills.get(skill, 0) < level]


def _level_condition(skill: str, has: int | None, needs: int) -> UnmetCondition:
    if has is None:
        return UnmetCondition(code="skill", skill=skill, needs=needs)
    return UnmetCondition(code="level", skill=skill, has=has, needs=needs)


def _channel_condition(channels: Sequence[str]) -> UnmetCondition:
    return UnmetCondition(code="channel", channel=channels[0] if len(channels) == 1 else None)


def satisfiable_requirement(coverage: SkillCoverage, final: FinalRequirement, channels: tuple[str, ...]) -> RequirementKey:
    """Return the first of the accepted requirements that some agent meets; if there is none, the primary requirement."""
    for requirement in (final.requirement, *final.alternatives):
        if coverage.capable_groups(final.queue_id, channels, requirement):
            return requirement
    return final.requirement
