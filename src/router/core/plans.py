"""Requirement of a contact in each step of its routing plan. Pure arithmetic on requirements.

The plan in force is the contact's own (set by the entry rule) or that of its queue. The requirement of a step is that of the
queue combined with the contact's own and changed by every step up to and including this one. Agents who were eligible in an
earlier step stay eligible: where a step replaces the requirement instead of lowering it, the earlier requirement is kept as
an alternative, unless the step says otherwise (``keep_earlier``).

Which agents meet a requirement is decided by the index.
"""

from typing import Final, NamedTuple

from router.core.lines import Needs, needs_of
from router.core.state import Contact
from router.model.ids import AgentId, QueueId
from router.model.policy import Policy, Preferred, QueuePolicy, Selection, SkipIf, StepPolicy

NO_PLAN: Final[tuple[StepPolicy, ...]] = ()


class Asks(NamedTuple):
    """Properties of a contact that decide which agents may take it."""

    queue_id: QueueId
    channel: str
    skills: dict[str, int]
    plan: str | None = None
    """Plan of the contact; None selects the plan of the queue."""
    step: int = 0
    named: tuple[AgentId, ...] = ()
    last: AgentId | None = None
    reserved: AgentId | None = None
    """Agent that the contact is reserved for, regardless of the plan."""


class Stage(NamedTuple):
    """Requirement of one step of a plan, regardless of preferred agents."""

    needs: Needs
    also: tuple[Needs, ...]
    """Alternative requirements of earlier steps, whose agents stay eligible."""
    selection: Selection | None
    raised_s: int
    raised_class: int


def asks_of(contact: Contact) -> Asks:
    """Return the present routing criteria of a contact."""
    return Asks(
        contact.queue_id,
        contact.channel,
        contact.skills,
        contact.plan,
        contact.step,
        contact.preferred_agents,
        contact.last_agent_id,
        contact.preferred_agent_id,
    )


def plan_of(policy: Policy, queue_id: QueueId, own: str | None) -> tuple[StepPolicy, ...]:
    """Return the steps of the contact's own plan, else of the queue's; empty if there is none or it was removed."""
    if not policy.plans:
        return NO_PLAN
    if own is None:
        queue = policy.queues.get(queue_id)
        own = None if queue is None else queue.plan
    return NO_PLAN if own is None else policy.plans.get(own, NO_PLAN)


def stage_at(
    queue: QueuePolicy, plan: tuple[StepPolicy, ...], step: int, skills: dict[str, int]
) -> Stage:
    """Return the requirement in a step; beyond the end of the plan, that of its last step."""
    asked = dict(needs_of(queue, skills))
    also: list[dict[str, int]] = []
    selection: Selection | None = None
    raised_s = raised_class = 0
    for number, one in enumerate(plan[: step + 1]):
        before, asked = asked, _changed(asked, one)
        if not one.keep_earlier:
            also = []
        elif number:
            also.append(before)
        selection = one.selection or selection
        raised_s += one.add_priority_s
        raised_class = max(raised_class, one.strict_class)
    kept = {_in_order(needs): None for needs in also if not _covers(asked, needs)}
    return Stage(_in_order(asked), tuple(kept), selection, raised_s, raised_class)


def _changed(asked: dict[str, int], step: StepPolicy) -> dict[str, int]:
    changed = dict(asked if step.skills is None else step.skills)
    for skill in step.remove_skills:
        changed.pop(skill, None)
    for skill, level in step.levels.items():
        if skill in changed:
            changed[skill] = min(level, changed[skill])
    return changed


def _covers(weaker: dict[str, int], stronger: dict[str, int]) -> bool:
    """Return whether every agent who meets ``stronger`` also meets ``weaker``."""
    return all(stronger.get(skill, 0) >= level for skill, level in weaker.items())


def _in_order(asked: dict[str, int]) -> Needs:
    return tuple(sorted(asked.items()))


def only_of(plan: tuple[StepPolicy, ...], asks: Asks) -> tuple[AgentId, ...] | None:
    """Return the only agents who may take the contact in this step, in order of preference; None for all qualified agents."""
    if asks.reserved is not None:
        return (asks.reserved,)
    if not plan:
        return None
    step = plan[min(asks.step, len(plan) - 1)]
    if not step.prefer and not step.prefer_agents:
        return None
    wanted: list[AgentId] = []
    for kind in step.prefer:
        if kind is Preferred.NAMED:
            wanted += asks.named
        elif asks.last is not None:
            wanted.append(asks.last)
    return tuple(dict.fromkeys([*wanted, *step.prefer_agents]))


def skip_condition(step: StepPolicy) -> SkipIf:
    """Return when the step is skipped; a step with preferred agents is skipped by default if none of them is ready."""
    if step.skip_if is not None:
        return step.skip_if
    return SkipIf.NOBODY_READY if step.prefer or step.prefer_agents else SkipIf.NEVER


def requirement_of(policy: Policy, contact: Contact) -> tuple[Needs, tuple[Needs, ...]]:
    """Return the requirement of the contact in its present step, and the alternatives."""
    queue = policy.queues.get(contact.queue_id, QueuePolicy())
    plan = plan_of(policy, contact.queue_id, contact.plan)
    if not plan:
        return needs_of(queue, contact.skills), ()
    stage = stage_at(queue, plan, contact.step, contact.skills)
    return stage.needs, stage.also


def kept_for(policy: Policy, contact: Contact) -> tuple[AgentId, ...] | None:
    """Return the only agents who may take the contact now; None for all qualified agents."""
    return only_of(plan_of(policy, contact.queue_id, contact.plan), asks_of(contact))
