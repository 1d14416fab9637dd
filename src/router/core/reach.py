"""Skill coverage: which agent groups qualify for a requirement class, regardless of the agents' current state.

The rules are those of ``matching.eligibility``, plus one more: whether an item of the channel fits the capacity of an
agent at all. Sets of agent groups are integers used as bit masks (bit i = group with index i), as in the index, so intersecting
conditions is one operation on integers and the cost depends on the number of groups and requirement classes, not on the number of
agents times contacts. All masks are computed once, when the object is made; it does not follow later changes of the state.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from router.core.lines import Needs, needs_of
from router.core.profiles import Profile
from router.core.state import Agent, RoutingState
from router.model.ids import QueueId
from router.model.policy import Policy
from router.model.views import Lack

_NO_SKILLS: Final[dict[str, int]] = {}


class Reach:
    """The agent groups of a workspace by skill, queue, attribute condition, channel and capacity, under the policy in force."""

    def __init__(self, state: RoutingState, policy: Policy) -> None:
        self.policy = policy
        self.channels = tuple(policy.channels)
        self.ready = 0
        """Mask of the groups with at least one READY agent, busy or free."""
        self.best_levels: dict[str, int] = {}
        """Highest level of each declared skill that any agent has."""
        self._index = state.index
        self._all = 0
        self._most_units: dict[int, int] = {}
        """Largest capacity of a member, by group index. Members of a group differ in nothing else that matters here."""
        self._levels: dict[str, dict[int, int]] = {}
        """Masks of the groups that have exactly this level, by skill and level."""
        self._serving: dict[QueueId, int] = dict.fromkeys(policy.queues, 0)
        self._serving_all = 0
        self._open = dict.fromkeys(self.channels, 0)
        self._fitting = dict.fromkeys(self.channels, 0)
        for agent in state.agents.values():
            index = _profile_of(agent).index
            self._most_units[index] = max(agent.hands.units, self._most_units.get(index, 0))
        for profile in state.index.profile_list:
            if profile is not None:
                self._take(profile)
        self._skilled: dict[Needs, int] = {}
        self._base = {name: needs_of(queue, _NO_SKILLS) for name, queue in policy.queues.items()}
        self._factual = {
            name: self._with_facts(name)
            for name, queue in policy.queues.items()
            if queue.agents_when is not None
        }
        """Masks of the groups that meet ``agents_when``, by queue that has such a condition."""
        self._bases = {
            (self._base[name], queue.agents_when): name for name, queue in policy.queues.items()
        }
        self._skilled_for_any = 0
        for (needs, _), queue_id in self._bases.items():
            self._skilled_for_any |= self._with_skills(needs) & self._fitting_facts(queue_id)
        self._agent_lacks: dict[int, tuple[Lack, ...]] = {}

    def _take(self, profile: Profile) -> None:
        bit = profile.bit
        self._all |= bit
        if profile.ready:
            self.ready |= bit
        for skill, level in profile.skills.items():
            by_level = self._levels.setdefault(skill, {})
            by_level[level] = by_level.get(level, 0) | bit
            self.best_levels[skill] = max(level, self.best_levels.get(skill, 0))
        if profile.queues is None:
            self._serving_all |= bit
        for queue_id in sorted(profile.queues or ()):
            self._serving[queue_id] = self._serving.get(queue_id, 0) | bit
        for name in self.channels:
            if name not in profile.barred:
                self._open[name] |= bit
                if self.policy.channels[name].units <= self._most_units[profile.index]:
                    self._fitting[name] |= bit

    # --- groups by requirement --------------------------------------------------------------------
    def base(self, queue_id: QueueId) -> Needs:
        """Return the minimum requirement of every contact of a declared queue."""
        return self._base[queue_id]

    def qualified(self, queue_id: QueueId, channels: Sequence[str], needs: Needs) -> int:
        """Return the mask of the groups that have the queue, the skills and at least one of the channels."""
        return (
            self._with_skills(needs)
            & self._with_queue(queue_id)
            & self._fitting_facts(queue_id)
            & _any_of(self._open, channels)
        )

    def takers(self, queue_id: QueueId, channels: Sequence[str], needs: Needs) -> int:
        """Return the mask of the qualified groups in which an item of one of these channels also fits an agent's capacity."""
        return (
            self._with_skills(needs)
            & self._with_queue(queue_id)
            & self._fitting_facts(queue_id)
            & _any_of(self._fitting, channels)
        )

    def _with_queue(self, queue_id: QueueId) -> int:
        return self._serving_all | self._serving.get(queue_id, 0)

    def _with_facts(self, queue_id: QueueId) -> int:
        found = 0
        for profile in self._index.profile_list:
            if profile is not None and profile.facts_fit(queue_id):
                found |= profile.bit
        return found

    def _fitting_facts(self, queue_id: QueueId) -> int:
        """Return the mask of the groups that meet the queue's ``agents_when``; all groups if it has none."""
        return self._factual.get(queue_id, self._all)

    def _with_skills(self, needs: Needs) -> int:
        found = self._skilled.get(needs)
        if found is None:
            found = self._all
            for skill, level in needs:
                found &= self._with_level(skill, level)
            self._skilled[needs] = found
        return found

    def _with_level(self, skill: str, level: int) -> int:
        found = 0
        for has, mask in self._levels.get(skill, {}).items():
            if has >= level:
                found |= mask
        return found

    # --- unmet conditions -------------------------------------------------------------------------
    def lacks(
        self, queue_id: QueueId, channels: Sequence[str], needs: Needs
    ) -> tuple[tuple[Lack, ...], int]:
        """Return the conditions that no agent meets, and 0.

        If each condition is met by some agent, return the conditions that the nearest agents miss, and the number of these
        agents. Must only be called for a requirement without ``capable_groups``.
        """
        found: list[Lack] = []
        if not self._with_queue(queue_id):
            found.append(Lack(code="queue"))
        if not self._fitting_facts(queue_id) and self._all:
            found.append(Lack(code="facts"))
        best = self.best_levels
        found += [
            _level_lack(skill, best.get(skill), level)
            for skill, level in needs
            if best.get(skill, 0) < level
        ]
        if not _any_of(self._open, channels):
            found.append(_channel_lack(channels))
        most = max(self._most_units.values(), default=0)
        lightest = min(self.policy.channels[name].units for name in channels)
        if most < lightest:
            found.append(Lack(code="capacity", has=most, needs=lightest))
        if found or not self._all:
            return tuple(found), 0
        return self._nearest(queue_id, channels, needs)

    def _nearest(
        self, queue_id: QueueId, channels: Sequence[str], needs: Needs
    ) -> tuple[tuple[Lack, ...], int]:
        agents: dict[tuple[Lack, ...], int] = {}
        for profile in self._index.profiles_in(self._lacking_fewest(queue_id, channels, needs)):
            found = [] if _serves_queue(profile, queue_id) else [Lack(code="queue")]
            if not self._fitting_facts(queue_id) & profile.bit:
                found.append(Lack(code="facts"))
            found += _skills_lacking(profile, needs)
            if not self._has_channel(profile, channels):
                found.append(_channel_lack(channels))
            elif self._lightest(profile, channels) > self._most_units[profile.index]:
                has = self._most_units[profile.index]
                found.append(self._capacity_lack(profile, has, channels))
            agents[tuple(found)] = agents.get(tuple(found), 0) + profile.agents
        # Group indexes depend on the order in which agents were added, so ties are broken by the conditions themselves.
        lacks = min(agents, key=lambda lacks: (-agents[lacks], str(lacks)))
        return lacks, agents[lacks]

    def _lacking_fewest(self, queue_id: QueueId, channels: Sequence[str], needs: Needs) -> int:
        """Return the mask of the groups that miss the smallest number of conditions.

        ``missing[n]`` is the mask of the groups that miss exactly n of the conditions seen so far.
        """
        conditions = [self._with_level(skill, level) for skill, level in needs]
        conditions += [self._with_queue(queue_id), _any_of(self._fitting, channels)]
        conditions.append(self._fitting_facts(queue_id))
        missing = [self._all]
        for condition in conditions:
            kept = [mask & condition for mask in missing]
            lost = [mask & ~condition for mask in missing]
            missing = [a | b for a, b in zip((*kept, 0), (0, *lost), strict=True)]
        return next(mask for mask in missing if mask)

    def agent_lacks(self, agent: Agent) -> tuple[Lack, ...]:
        """Return the conditions that keep this agent from every contact of every queue.

        Empty if there is any contact that the agent could take.
        """
        profile = _profile_of(agent)
        if profile.index not in self._agent_lacks:
            self._agent_lacks[profile.index] = self._profile_lacks(profile)
        found = self._agent_lacks[profile.index]
        if self._has_channel(profile, self.channels) and agent.hands.units < self._lightest(
            profile, self.channels
        ):
            found = (*found, self._capacity_lack(profile, agent.hands.units, self.channels))
        return found

    def _profile_lacks(self, profile: Profile) -> tuple[Lack, ...]:
        found: tuple[Lack, ...] = ()
        if not self._has_channel(profile, self.channels):
            found = (Lack(code="channel"),)
        if profile.queues is None:
            served = list(self._bases.values())
        else:
            served = [name for name in sorted(profile.queues) if name in self._base]
        if not served:
            return (*found, Lack(code="queue"))
        is_skilled = (
            self._skilled_for_any & profile.bit
            if profile.queues is None
            else any(
                self._with_skills(self._base[name]) & self._fitting_facts(name) & profile.bit
                for name in served
            )
        )
        if is_skilled:
            return found
        lacking = (
            (
                *(() if self._fitting_facts(name) & profile.bit else (Lack(code="facts"),)),
                *_skills_lacking(profile, self._base[name]),
            )
            for name in served
        )
        return found + min(lacking, key=lambda lacks: (len(lacks), str(lacks)))

    # --- channels ---------------------------------------------------------------------------------
    @staticmethod
    def _has_channel(profile: Profile, channels: Iterable[str]) -> bool:
        return any(name not in profile.barred for name in channels)

    def _lightest(self, profile: Profile, channels: Iterable[str]) -> int:
        return min(self.policy.channels[n].units for n in channels if n not in profile.barred)

    def _capacity_lack(self, profile: Profile, has: int, channels: Iterable[str]) -> Lack:
        return Lack(code="capacity", has=has, needs=self._lightest(profile, channels))


def _profile_of(agent: Agent) -> Profile:
    assert agent.profile is not None, "an agent has a profile as soon as there is a policy"
    return agent.profile


def _any_of(masks: dict[str, int], names: Sequence[str]) -> int:
    found = 0
    for name in names:
        found |= masks[name]
    return found


def _serves_queue(profile: Profile, queue_id: QueueId) -> bool:
    return profile.queues is None or queue_id in profile.queues


def _skills_lacking(profile: Profile, needs: Needs) -> list[Lack]:
    skills = profile.skills
    return [
        _level_lack(skill, skills.get(skill), level)
        for skill, level in needs
        if skills.get(skill, 0) < level
    ]


def _level_lack(skill: str, has: int | None, needs: int) -> Lack:
    if has is None:
        return Lack(code="skill", skill=skill, needs=needs)
    return Lack(code="level", skill=skill, has=has, needs=needs)


def _channel_lack(channels: Sequence[str]) -> Lack:
    return Lack(code="channel", channel=channels[0] if len(channels) == 1 else None)
