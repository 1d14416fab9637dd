"""Checks of plans: references to skills and queues, durations of steps, and cycles of moves between queues."""

from collections.abc import Collection, Iterator

from router.model.errors import Problem
from router.model.policy import Policy, QueuePolicy, StepPolicy
from router.rules.names import repeated, unknown


def plan_problems(policy: Policy, skills: Collection[str]) -> Iterator[Problem]:
    """Yield the problems of all plans in the document's order, cycles last."""
    for name, plan in policy.plans.items():
        for number, step in enumerate(plan):
            path = f"plans.{name}[{number}]"
            yield from _step(policy, path, step, skills)
            yield from _duration(path, step, is_last=number + 1 == len(plan))
            if number + 1 == len(plan) and (step.prefer or step.prefer_agents):
                yield Problem(
                    path=f"{path}.prefer",
                    message="not allowed in the last step, which must be open to all qualified agents: add a step after it",
                )
            if step.queue is not None and not number:
                yield Problem(path=f"{path}.queue", message="not allowed in the first step")
    yield from _circles(policy)


def plan_reference(policy: Policy, path: str, name: str | None) -> Iterator[Problem]:
    """Yield a problem if the plan that a queue or entry rule names is not declared."""
    if name is not None and name not in policy.plans:
        yield unknown(f"{path}.plan", "plan", name, policy.plans)


def _step(
    policy: Policy, path: str, step: StepPolicy, skills: Collection[str]
) -> Iterator[Problem]:
    named = [(f"{path}.skills.{skill}", skill) for skill in step.skills or {}]
    named += [(f"{path}.remove_skills[{i}]", skill) for i, skill in enumerate(step.remove_skills)]
    named += [(f"{path}.levels.{skill}", skill) for skill in step.levels]
    for place, skill in named:
        if skill not in skills:
            yield unknown(place, "skill", skill, policy.skills)
    yield from repeated(f"{path}.prefer", step.prefer)
    yield from repeated(f"{path}.prefer_agents", step.prefer_agents)
    if step.queue is not None and step.queue not in policy.queues:
        yield unknown(f"{path}.queue", "queue", step.queue, policy.queues)


def _duration(path: str, step: StepPolicy, *, is_last: bool) -> Iterator[Problem]:
    if is_last and step.for_s is not None:
        yield Problem(
            path=f"{path}.for_s",
            message="not allowed in the last step, which has no end: omit it, or add a step after it ({} changes nothing)",
        )
    if not is_last and step.for_s is None:
        yield Problem(
            path=f"{path}.for_s",
            message="required: without it the steps after this one are never reached",
        )


def moves(policy: Policy, queue: QueuePolicy) -> list[str]:
    """Return the queues to which contacts of a queue may move while they wait."""
    steps = policy.plans.get(queue.plan, ()) if queue.plan is not None else ()
    targets = [step.queue for step in steps if step.queue is not None]
    return [*targets, queue.overflow_to] if queue.overflow_to is not None else targets


def _circles(policy: Policy) -> Iterator[Problem]:
    """Yield the queues whose plans and overflows lead back to them; cycles of overflows alone are checked elsewhere."""
    if not any(step.queue for plan in policy.plans.values() for step in plan):
        return
    for name, queue in policy.queues.items():
        if queue.plan is None or all(to == queue.overflow_to for to in moves(policy, queue)):
            continue
        seen: set[str] = set()
        ahead = moves(policy, queue)
        while ahead:
            target = ahead.pop()
            if target not in seen and target in policy.queues:
                seen.add(target)
                ahead += moves(policy, policy.queues[target])
        if name in seen:
            yield Problem(
                path=f"queues.{name}.plan",
                message="its steps and overflows lead back to this queue",
            )
