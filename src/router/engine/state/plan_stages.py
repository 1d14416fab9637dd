"""Requirement of a contact in each step of its routing plan. Pure arithmetic on requirements.

The active plan is the contact's own (set by the entry rule) or that of its queue. The requirement of a step is that of the
queue combined with the contact's own and changed by every step up to and including this one. Agents who were eligible in an
earlier step stay eligible: where a step replaces the requirement instead of lowering it, the earlier requirement is kept as
an alternative, unless the step says otherwise (``keep_earlier_agents``).

Steps whose ``when`` does not hold for the customer change nothing, and are skipped. Which these are is decided by
``policy.customer_classes``.

Which agents meet a requirement is decided by the index.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from router.engine.state.contact import Contact, requirement_key
from router.engine.state.records import RequirementKey
from router.model.policy import FactValue, Policy, PreferredAgentKind, QueuePolicy, Selection, SkipIf, StepPolicy
from router.model.states import AgentId, QueueId
from router.policy.customer_classes import NO_CUSTOMER_FACTS, NO_STEPS, CustomerClasses

NO_PLAN: Final[tuple[StepPolicy, ...]] = ()


class RoutingCriteria(NamedTuple):
    """Properties of a contact that decide which agents may take it."""

    queue_id: QueueId
    channel: str
    skills: dict[str, int]
    plan: str | None = None
    """Plan of the contact; None selects the plan of the queue."""
    step: int = 0
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    reserved_agent_id: AgentId | None = None
    """Agent that the contact is reserved for, regardless of the plan."""
    customer_facts: Mapping[str, FactValue] = NO_CUSTOMER_FACTS
    """Facts of its customer."""


class PlanStage(NamedTuple):
    """Requirement of one step of a plan, regardless of preferred agents."""

    requirement: RequirementKey
    alternatives: tuple[RequirementKey, ...]
    """Alternative requirements of earlier steps, whose agents stay eligible."""
    selection: Selection | None
    added_priority_s: int
    priority_class: int


def routing_criteria(contact: Contact) -> RoutingCriteria:
    """Return the present routing criteria of a contact."""
    return RoutingCriteria(
        contact.queue_id,
        contact.channel,
        contact.skills,
        contact.plan,
        contact.step,
        contact.preferred_agents,
        contact.last_agent_id,
        contact.preferred_agent_id,
        contact.customer_facts,
    )


def effective_plan(policy: Policy, queue_id: QueueId, own_plan: str | None) -> tuple[StepPolicy, ...]:
    """Return the steps of the contact's own plan, else of the queue's; empty if there is none or it was removed."""
    if not policy.plans:
        return NO_PLAN
    name = effective_plan_name(policy, queue_id, own_plan)
    return NO_PLAN if name is None else policy.plans.get(name, NO_PLAN)


def effective_plan_name(policy: Policy, queue_id: QueueId, own_plan: str | None) -> str | None:
    """Return the name of the contact's own plan, else of the queue's; it may have been removed."""
    if own_plan is not None:
        return own_plan
    queue = policy.queues.get(queue_id)
    return None if queue is None else queue.plan


def stage_requirement(
    queue: QueuePolicy, plan: tuple[StepPolicy, ...], step: int, skills: dict[str, int], inapplicable: frozenset[int] = NO_STEPS
) -> PlanStage:
    """Return the requirement in a step; beyond the end of the plan, that of its last step.

    ``inapplicable``: numbers of the steps that change nothing, because their ``when`` does not hold for the customer.
    """
    requirement = dict(requirement_key(queue, skills))
    alternatives: list[dict[str, int]] = []
    selection: Selection | None = None
    added_priority_s = priority_class = 0
    applied = [one for number, one in enumerate(plan[: step + 1]) if number not in inapplicable]
    for number, plan_step in enumerate(applied):
        before, requirement = requirement, _apply_step(requirement, plan_step)
        if not plan_step.keep_earlier_agents:
            alternatives = []
        elif number:
            alternatives.append(before)
        selection = plan_step.selection or selection
        added_priority_s += plan_step.add_priority_s
        priority_class = max(priority_class, plan_step.priority_class)
    distinct = {_sorted_requirement(other): None for other in alternatives if not _is_weaker(requirement, other)}
    return PlanStage(_sorted_requirement(requirement), tuple(distinct), selection, added_priority_s, priority_class)


def _apply_step(requirement: dict[str, int], step: StepPolicy) -> dict[str, int]:
    changed = dict(requirement if step.skills is None else step.skills)
    for skill in step.remove_skills:
        changed.pop(skill, None)
    for skill, level in step.lower_levels.items():
        if skill in changed:
            changed[skill] = min(level, changed[skill])
    return changed


def _is_weaker(weaker: dict[str, int], stronger: dict[str, int]) -> bool:
    """Return whether every agent who meets ``stronger`` also meets ``weaker``."""
    return all(stronger.get(skill, 0) >= level for skill, level in weaker.items())


def _sorted_requirement(requirement: dict[str, int]) -> RequirementKey:
    return tuple(sorted(requirement.items()))


def exclusive_agents(
    plan: tuple[StepPolicy, ...], criteria: RoutingCriteria, inapplicable: frozenset[int] = NO_STEPS
) -> tuple[AgentId, ...] | None:
    """Return the only agents who may take the contact in this step, in order of preference; None for all qualified agents."""
    if criteria.reserved_agent_id is not None:
        return (criteria.reserved_agent_id,)
    if not plan:
        return None
    number = min(criteria.step, len(plan) - 1)
    step = plan[number]
    if (not step.prefer and not step.prefer_agents) or number in inapplicable:
        return None
    preferred: list[AgentId] = []
    for kind in step.prefer:
        if kind is PreferredAgentKind.NAMED:
            preferred += criteria.preferred_agents
        elif criteria.last_agent_id is not None:
            preferred.append(criteria.last_agent_id)
    return tuple(dict.fromkeys([*preferred, *step.prefer_agents]))


def skip_condition(step: StepPolicy) -> SkipIf:
    """Return when the step is skipped; a step with preferred agents is skipped by default if none of them is ready."""
    if step.skip_if is not None:
        return step.skip_if
    return SkipIf.NO_AGENT_READY if step.prefer or step.prefer_agents else SkipIf.NEVER


def _inapplicable_steps(policy: Policy, contact: Contact, customers: CustomerClasses) -> frozenset[int]:
    name = effective_plan_name(policy, contact.queue_id, contact.plan)
    return customers.inapplicable_steps(name, contact.customer_facts)


def contact_requirement(
    policy: Policy, contact: Contact, customers: CustomerClasses
) -> tuple[RequirementKey, tuple[RequirementKey, ...]]:
    """Return the requirement of the contact in its present step, and the alternatives."""
    queue = policy.queues.get(contact.queue_id, QueuePolicy())
    plan = effective_plan(policy, contact.queue_id, contact.plan)
    if not plan:
        return requirement_key(queue, contact.skills), ()
    inapplicable = _inapplicable_steps(policy, contact, customers)
    stage = stage_requirement(queue, plan, contact.step, contact.skills, inapplicable)
    return stage.requirement, stage.alternatives


def exclusive_agents_of(policy: Policy, contact: Contact, customers: CustomerClasses) -> tuple[AgentId, ...] | None:
    """Return the only agents who may take the contact now; None for all qualified agents."""
    plan = effective_plan(policy, contact.queue_id, contact.plan)
    return exclusive_agents(plan, routing_criteria(contact), _inapplicable_steps(policy, contact, customers))
