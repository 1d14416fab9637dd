"""Findings about plans, and the requirement that is left of a contact when its plan has run to the end."""

from collections.abc import Iterator
from typing import NamedTuple

from router.core.lines import Needs
from router.core.plans import plan_of, stage_at
from router.core.reach import Reach
from router.core.state import RoutingState
from router.core.wording import lacking
from router.model.diagnosis import ADVICE, Finding, FindingCode, Severity
from router.model.ids import QueueId
from router.model.policy import Policy, SkipIf


class AtLast(NamedTuple):
    """The requirement after the last step of a plan, in which queue it applies, and the alternatives that are accepted as well."""

    queue_id: QueueId
    needs: Needs
    also: tuple[Needs, ...] = ()


def at_last(policy: Policy, queue_id: QueueId, own: str | None, skills: dict[str, int]) -> AtLast:
    """Return the requirement that no later step relaxes; without a plan, the requirement at submit."""
    plan = plan_of(policy, queue_id, own)
    for step in plan:
        queue_id = step.queue or queue_id
    stage = stage_at(policy.queues[queue_id], plan, len(plan) - 1, skills)
    return AtLast(queue_id, stage.needs, stage.also)


def best_of(reach: Reach, wanted: AtLast, channels: tuple[str, ...]) -> Needs:
    """Return the first of the accepted requirements that some agent meets; if there is none, the primary requirement."""
    for needs in (wanted.needs, *wanted.also):
        if reach.takers(wanted.queue_id, channels, needs):
            return needs
    return wanted.needs


def step_findings(state: RoutingState, reach: Reach, policy: Policy) -> Iterator[Finding]:
    """Yield a finding for each plan step in which no agent could take a contact that has no requirement of its own."""
    for queue_id, queue in policy.queues.items():
        plan = plan_of(policy, queue_id, None)
        for number, step in enumerate(plan):
            path = f"{queue_id}, step {number} of {queue.plan}"
            undefined = [name for name in step.prefer_agents if name not in state.agents]
            if undefined:
                yield _finding(
                    f"prefers {len(undefined)} agents who are not defined", path, agents=len(undefined)
                )
            if step.queue is not None:
                break
            if step.skip_if is SkipIf.NOBODY_QUALIFIED:
                continue
            stage = stage_at(queue, plan, number, {})
            wanted = AtLast(queue_id, stage.needs, stage.also)
            needs = best_of(reach, wanted, reach.channels)
            if not reach.takers(queue_id, reach.channels, needs):
                lacks, nearest = reach.lacks(queue_id, reach.channels, needs)
                yield _finding(
                    f"no agent can take a contact in this step: {lacking(lacks, nearest)}",
                    path,
                    lacks=lacks,
                    nearest_agents=nearest,
                )


def _finding(message: str, subject: str, **more: object) -> Finding:
    code = FindingCode.STEP_WITHOUT_AGENTS
    return Finding(
        code=code,
        severity=Severity.WARNING,
        message=message,
        subject=subject,
        advice=ADVICE[code],
        **more,  # type: ignore[arg-type]
    )
