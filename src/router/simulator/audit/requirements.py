"""What a waiting contact requires in its plan step, read from the section "Plans" of ``docs/reference/routing.md``.

A second implementation, independent of the engine. It lists the requirement of every step up to the present one. An agent qualifies
with any of them, beginning with the latest step that does not keep earlier agents.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from router.model.policy import FactValue, Policy, PreferredAgentKind, QueuePolicy, StepPolicy

SkillLevels: TypeAlias = tuple[tuple[str, int], ...]
"""Least level by skill, in the order of the names."""

LineRank: TypeAlias = tuple[int, int, int, int]
"""Position in line: priority class (negated), 1 in LIFO queues else 0, time in ms, sequence number. The smallest is first."""


class AuditRequirement(Struct, frozen=True, kw_only=True):
    """Requirement class: contacts that exactly the same agents are qualified for."""

    queue_id: str
    channel: str
    alternatives: tuple[SkillLevels, ...]
    """Requirements of which an agent must meet at least one."""
    customer_facts: tuple[tuple[str, FactValue], ...] = ()
    """Facts of the customer, by which the queue may choose agents."""


class StepEffect(NamedTuple):
    """Effect of a plan up to and including a step; without a plan, that of the queue alone."""

    alternatives: tuple[SkillLevels, ...]
    added_priority_s: int
    priority_class: int
    """Least priority class set by the steps; 0: none."""
    reserved_for: tuple[str, ...] | None
    """Agents that the step reserves the contact for; none: all qualified agents."""


def plan_in_force(policy: Policy, queue_id: str, own: str | None) -> tuple[StepPolicy, ...]:
    """Return the steps of the contact's own plan or that of its queue; empty without a plan or for a removed one."""
    queue = policy.queues.get(queue_id)
    name = own if own is not None else queue.plan if queue is not None else None
    return () if name is None else policy.plans.get(name, ())


def step_effect(
    queue: QueuePolicy,
    plan: tuple[StepPolicy, ...],
    step: int,
    skills: dict[str, int],
    *,
    named_agents: tuple[str, ...] = (),
    last_agent_id: str | None = None,
    applies: Callable[[StepPolicy], bool] = lambda _: True,
) -> StepEffect:
    """Return the effect of a plan in a step; after its last step, that of the last one.

    ``applies``: whether a step has any effect for the customer of the contact.
    """
    levels = combined_levels(queue.requires, skills)
    present = plan[min(step, len(plan) - 1)] if plan else None
    entered = [one for one in plan[: step + 1] if applies(one)]
    if present is None or not entered:
        return StepEffect((_sorted(levels),), 0, 0, None)
    by_step: list[SkillLevels] = []
    for one in entered:
        levels = _levels_after(levels, one)
        by_step.append(_sorted(levels))
    first = max((n for n, one in enumerate(entered) if not one.keep_earlier_agents), default=0)
    return StepEffect(
        alternatives=tuple(dict.fromkeys(by_step[first:])),
        added_priority_s=sum(one.add_priority_s for one in entered),
        priority_class=max(one.priority_class for one in entered),
        reserved_for=_reserved_for(present, named_agents, last_agent_id) if applies(present) else None,
    )


def combined_levels(requires: dict[str, int], skills: dict[str, int]) -> dict[str, int]:
    """Return the higher level of each skill that the queue or the contact requires."""
    return {skill: max(requires.get(skill, 0), skills.get(skill, 0)) for skill in {**requires, **skills}}


def _levels_after(levels: dict[str, int], step: StepPolicy) -> dict[str, int]:
    """Return the required levels after the changes of a step."""
    required = levels if step.skills is None else step.skills
    return {
        skill: min(level, step.lower_levels.get(skill, level))
        for skill, level in required.items()
        if skill not in step.remove_skills
    }


def _reserved_for(step: StepPolicy, named_agents: tuple[str, ...], last_agent_id: str | None) -> tuple[str, ...] | None:
    """Return the agents that a step reserves the contact for; empty if it prefers agents that do not exist."""
    if not step.prefer and not step.prefer_agents:
        return None
    found = list(step.prefer_agents)
    if PreferredAgentKind.NAMED in step.prefer:
        found += named_agents
    if PreferredAgentKind.LAST in step.prefer and last_agent_id is not None:
        found.append(last_agent_id)
    return tuple(found)


def _sorted(levels: dict[str, int]) -> SkillLevels:
    return tuple(sorted(levels.items()))
