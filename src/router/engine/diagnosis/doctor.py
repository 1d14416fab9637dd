"""Doctor: find what cannot work in a workspace before a customer waits for it.

``diagnose`` reads the state and changes nothing. It visits each waiting contact, agent and entry rule once, in slices between which
commands are executed, and compares requirement classes with agent groups (``coverage.py``).

One thing cannot be checked in advance: whether gateways ever set an attribute that an entry rule asks for. Such a rule shows in
its counts, once enough contacts have been classified.
"""

from collections.abc import Collection, Iterator
from typing import Final

from router.engine.commands.policy_schedule import schedule_refusal
from router.engine.diagnosis.coverage import FinalRequirement, SkillCoverage, final_requirement, satisfiable_requirement
from router.engine.diagnosis.findings import build_finding, describe_unmet, list_names
from router.engine.diagnosis.invariants import broken_invariants, orphan_steps
from router.engine.diagnosis.waiting_contacts import (
    WaitingContacts,
    closed_queue_findings,
    expiring_findings,
    overflow_limit_findings,
    unserved_findings,
    waiting_contacts,
)
from router.engine.queries.slices import Slices, WorkMeter
from router.engine.routing_state import RoutingState
from router.engine.state.plan_stages import effective_plan, stage_requirement
from router.model.diagnosis import Diagnosis, Finding, FindingCode, Severity
from router.model.policy import Policy, QueuePolicy, SkipIf
from router.model.states import AgentId, QueueId
from router.model.views import UnmetCondition
from router.policy.checks.advice import advice_steps
from router.policy.entry_rules import reachability_steps, required_channel
from router.policy.rule_costs import AGENT_CONDITIONS_COST_MAX, ENTRY_RULES_COST_MAX

_FINDINGS_MAX: Final = 1_000
_ATTEMPTS_MAX: Final = 3
_AGENTS_PER_STEP: Final = 16
# Costs in units of ``slices``. A step visits some contacts or agents, or one queue or rule.
_STEP_COST: Final = 45
_FINDING_COST: Final = 40
# An entry rule is reported if it matched none of this many contacts, or failed at least so often and for one contact in twenty.
_CLASSIFIED_MIN: Final = 1_000
_FAILURES_MIN: Final = 20
_FAILURE_SHARE_DIVISOR: Final = 20

_SORT_ORDER: Final = {name: place for place, name in enumerate((*Severity, *FindingCode))}


def diagnose(state: RoutingState, *, at_ms: int | None = None, thorough: bool = False) -> Slices[Diagnosis]:
    """Return all findings, most severe first; ``thorough`` also checks every invariant of the state, in one turn.

    Each finding is as of the turn that made it. If the policy or the groups of agents change meanwhile, the diagnosis begins
    again, a limited number of times.
    """
    meter = WorkMeter()
    for _ in range(_ATTEMPTS_MAX):
        version = _version(state)
        found: list[Finding] = []
        for finding in _findings(state, at_ms, thorough=thorough):
            if finding is not None:
                found.append(finding)
            if meter.add(_FINDING_COST if finding is not None else _STEP_COST):
                yield
        if _version(state) == version:
            break
    found.sort(key=lambda finding: (_SORT_ORDER[finding.severity], _SORT_ORDER[finding.code], finding.subject, finding.message))
    counts = dict.fromkeys(Severity, 0)
    for finding in found:
        counts[finding.severity] += 1
    return Diagnosis(
        as_of_seq=state.seq,
        at_ms=state.at_ms if at_ms is None else max(at_ms, state.at_ms),
        policy_version=state.policy_version,
        errors=counts[Severity.ERROR],
        warnings=counts[Severity.WARNING],
        notes=counts[Severity.NOTE],
        findings=tuple(found[:_FINDINGS_MAX]),
        omitted=max(0, len(found) - _FINDINGS_MAX),
    )


def _version(state: RoutingState) -> tuple[int, int]:
    """Return a number that changes with the policy, and one that changes with the groups of agents."""
    return state.policy_version, state.index.qualification.changes


def _schedule_findings(state: RoutingState) -> Iterator[Finding]:
    scheduled = state.scheduled_policy
    if scheduled is None:
        return
    if scheduled.refused_at_ms is not None:
        message = f"was due and was refused: {scheduled.refused}: {scheduled.refused_detail}"
        yield build_finding(FindingCode.SCHEDULED_POLICY_REFUSED, Severity.ERROR, message, subject="policy")
    elif (refused := schedule_refusal(state, scheduled)) is not None:
        message = f"would be refused now: {refused.code.name.lower()}: {refused.detail}"
        yield build_finding(FindingCode.SCHEDULED_POLICY_OUTDATED, Severity.WARNING, message, subject="policy")


def _findings(state: RoutingState, at_ms: int | None, *, thorough: bool) -> Iterator[Finding | None]:
    """Yield the findings, and None after each step without one."""
    for sentence in broken_invariants(state) if thorough else orphan_steps(state):
        yield None if sentence is None else build_finding(FindingCode.BROKEN_INVARIANT, Severity.ERROR, sentence)
    policy = state.policy
    if policy is None:
        yield build_finding(FindingCode.NO_POLICY, Severity.ERROR, "no policy is active")
        return
    yield from _schedule_findings(state)
    at_ms = state.at_ms if at_ms is None else max(at_ms, state.at_ms)
    coverage = SkillCoverage(state, policy)
    yield from coverage.fill(state)
    waiting = yield from waiting_contacts(state, coverage, policy, at_ms)
    yield from unserved_findings(coverage, policy, waiting, at_ms)
    yield from expiring_findings(waiting)
    yield from closed_queue_findings(state, at_ms)
    yield from overflow_limit_findings(state, policy, at_ms)
    yield from _never_opening_findings(state, policy)
    if state.agents:
        yield from _queue_findings(coverage, policy)
        yield from _entry_rule_findings(coverage, policy)
        yield from _step_findings(state, coverage, policy)
        yield from _skill_findings(coverage, policy, waiting)
        yield from _agent_findings(state, coverage)
        yield from _undeclared_name_findings(state, policy)
    else:
        yield build_finding(FindingCode.NO_AGENTS, Severity.WARNING, "there are no agents")
    unreachable: set[str] = set()
    for found in reachability_steps(policy):
        if found is None:
            yield None
            continue
        rule, names = found
        unreachable.add(rule.name)
        yield build_finding(
            FindingCode.RULE_UNREACHABLE,
            Severity.WARNING,
            f"never matches: the rules before it ({list_names(names)}) match every contact that it would match",
            subject=rule.name,
        )
    yield from _rule_count_findings(state, policy, unreachable)
    yield from _condition_findings(state)
    for queue_id, queue in policy.queues.items():
        yield from _service_level_findings(policy, queue_id, queue)
    for problem in advice_steps(policy):
        yield (
            None
            if problem is None
            else build_finding(FindingCode.POLICY_ADVICE, Severity.NOTE, problem.message, subject=problem.path)
        )


# --- queues, entry rules and skills without agents ------------------------------------------------------------------------
def _queue_findings(coverage: SkillCoverage, policy: Policy) -> Iterator[Finding | None]:
    for queue_id in policy.queues:
        yield None
        final = final_requirement(policy, queue_id, None, {})
        requirement = satisfiable_requirement(coverage, final, coverage.channels)
        if final.queue_id == queue_id and not coverage.capable_groups(queue_id, coverage.channels, requirement):
            unmet, nearest = coverage.unmet_conditions(queue_id, coverage.channels, requirement)
            yield build_finding(
                FindingCode.QUEUE_WITHOUT_AGENTS,
                Severity.WARNING,
                f"no agent can take its contacts: {describe_unmet(unmet, nearest)}",
                subject=queue_id,
                unmet=unmet,
                nearest_agents=nearest,
            )


def _entry_rule_findings(coverage: SkillCoverage, policy: Policy) -> Iterator[Finding | None]:
    for rule in policy.entry:
        yield None
        only = required_channel(rule.when)
        channels = coverage.channels if only is None else (only,)
        final = final_requirement(policy, rule.queue, rule.plan, rule.skills)
        requirement = satisfiable_requirement(coverage, final, channels)
        if final.queue_id != rule.queue or coverage.capable_groups(rule.queue, channels, requirement):
            continue
        if not coverage.capable_groups(rule.queue, coverage.channels, coverage.base_requirement(rule.queue)):
            continue  # Already reported for the queue.
        unmet, nearest = coverage.unmet_conditions(rule.queue, channels, requirement)
        yield build_finding(
            FindingCode.RULE_WITHOUT_AGENTS,
            Severity.WARNING,
            f"no agent can take the contacts that it admits: {describe_unmet(unmet, nearest)}",
            subject=rule.name,
            unmet=unmet,
            nearest_agents=nearest,
        )


def _step_findings(state: RoutingState, coverage: SkillCoverage, policy: Policy) -> Iterator[Finding | None]:
    """Yield findings for plan steps that prefer undefined agents, or in which no agent could take a contact.

    Only the requirement of the queue and the step counts, not that of single contacts.
    """
    for queue_id, queue in policy.queues.items():
        plan = effective_plan(policy, queue_id, None)
        for number, step in enumerate(plan):
            yield None
            path = f"{queue_id}, step {number} of {queue.plan}"
            undefined = [name for name in step.prefer_agents if name not in state.agents]
            if undefined:
                yield build_finding(
                    FindingCode.STEP_WITHOUT_AGENTS,
                    Severity.WARNING,
                    f"prefers {len(undefined)} agents who are not defined",
                    subject=path,
                    agents=len(undefined),
                )
            if step.queue is not None:
                break
            if step.skip_if is SkipIf.NO_AGENT_QUALIFIED:
                continue
            stage = stage_requirement(queue, plan, number, {})
            final = FinalRequirement(queue_id, stage.requirement, stage.alternatives)
            requirement = satisfiable_requirement(coverage, final, coverage.channels)
            if not coverage.capable_groups(queue_id, coverage.channels, requirement):
                unmet, nearest = coverage.unmet_conditions(queue_id, coverage.channels, requirement)
                yield build_finding(
                    FindingCode.STEP_WITHOUT_AGENTS,
                    Severity.WARNING,
                    f"no agent can take a contact in this step: {describe_unmet(unmet, nearest)}",
                    subject=path,
                    unmet=unmet,
                    nearest_agents=nearest,
                )


def _rule_count_findings(state: RoutingState, policy: Policy, unreachable: Collection[str]) -> Iterator[Finding | None]:
    """Yield findings from the counts since the policy was published; a small number of contacts yields none.

    ``unreachable``: rules that are reported in any case, because earlier rules cover them.
    """
    counts = state.rule_counts
    classified = counts.classified
    for rule in policy.entry:
        yield None
        failed = counts.failed.get(rule.name, 0)
        if failed >= _FAILURES_MIN and failed * _FAILURE_SHARE_DIVISOR >= classified:
            yield build_finding(
                FindingCode.RULE_FAILS_OFTEN,
                Severity.WARNING,
                f"it could not be evaluated for {failed:,} of {classified:,} contacts: "
                "a fact was missing, or a number was out of range",
                subject=rule.name,
            )
        over_budget = counts.over_budget_count(rule.name)
        if over_budget:
            yield build_finding(
                FindingCode.RULE_OVER_BUDGET,
                Severity.ERROR,
                f"with it, the rules exceeded the budget of {ENTRY_RULES_COST_MAX:,} units for {over_budget:,} contacts, "
                "which went to the default queue",
                subject=rule.name,
            )
        matched = counts.matched.get(rule.name, 0)
        if classified >= _CLASSIFIED_MIN and not matched and rule.name not in unreachable:
            yield build_finding(
                FindingCode.RULE_NEVER_MATCHED,
                Severity.NOTE,
                f"it matched none of the {classified:,} contacts classified since the policy was published",
                subject=rule.name,
            )


def _condition_findings(state: RoutingState) -> Iterator[Finding]:
    """Yield one finding per queue whose ``agents_when`` is not evaluated."""
    for queue_id in sorted(state.index.qualification.conditions.over_budget):
        yield build_finding(
            FindingCode.RULE_OVER_BUDGET,
            Severity.ERROR,
            f"agents_when is not evaluated, so no agent qualifies: with it, the conditions exceed the budget of "
            f"{AGENT_CONDITIONS_COST_MAX:,} units for one agent",
            subject=queue_id,
        )


def _skill_findings(coverage: SkillCoverage, policy: Policy, waiting: WaitingContacts) -> Iterator[Finding]:
    required = {skill for queue in policy.queues.values() for skill in queue.requires}
    required.update(skill for rule in policy.entry for skill in rule.skills)
    required.update(skill for _, _, requirement in waiting.by_requirement for skill, _ in requirement)
    for skill in policy.skills:
        if skill not in coverage.best_levels:
            is_required = skill in required
            yield build_finding(
                FindingCode.SKILL_WITHOUT_AGENTS,
                Severity.WARNING if is_required else Severity.NOTE,
                "no agent has it" + (", and it is required" if is_required else ""),
                subject=skill,
            )


def _never_opening_findings(state: RoutingState, policy: Policy) -> Iterator[Finding]:
    """Yield one finding per queue that is closed and has no known opening time."""
    for queue_id, hours in list(state.hours.items()):
        if hours.is_open or hours.changes_at_ms is not None or queue_id not in policy.queues:
            continue
        by = "a supervisor closed it" if hours.is_supervisor_override else "its calendar has no hours"
        yield build_finding(
            FindingCode.QUEUE_NEVER_OPENS,
            Severity.WARNING,
            f"it is closed and has no opening within a year: {by}",
            subject=queue_id,
        )


# --- agents -----------------------------------------------------------------------------------------------------------
def _agent_findings(state: RoutingState, coverage: SkillCoverage) -> Iterator[Finding | None]:
    idle: dict[tuple[UnmetCondition, ...], list[AgentId]] = {}
    for place, agent in enumerate(list(state.agents.values())):
        if place % _AGENTS_PER_STEP == 0:
            yield None
        if agent.group is None:
            continue
        unmet = coverage.agent_unmet_conditions(agent)
        if unmet:
            idle.setdefault(unmet, []).append(agent.agent_id)
    for unmet, agent_ids in idle.items():
        yield build_finding(
            FindingCode.AGENTS_NEVER_ELIGIBLE,
            Severity.WARNING,
            f"they can take no contact of any queue: {describe_unmet(unmet, len(agent_ids))}",
            agent_ids=agent_ids,
            unmet=unmet,
        )


def _undeclared_name_findings(state: RoutingState, policy: Policy) -> Iterator[Finding | None]:
    declared = frozenset(policy.skills)
    skills: dict[str, list[AgentId]] = {}
    queues: dict[QueueId, list[AgentId]] = {}
    for place, agent in enumerate(list(state.agents.values())):
        if place % _AGENTS_PER_STEP == 0:
            yield None
        for skill in agent.skills:
            if skill not in declared:
                skills.setdefault(skill, []).append(agent.agent_id)
        for queue_id in dict.fromkeys((*(agent.queues or ()), *agent.queue_ranks)):
            if queue_id not in policy.queues:
                queues.setdefault(queue_id, []).append(agent.agent_id)
    for code, what, by_name in (
        (FindingCode.SKILL_NOT_DECLARED, "skill", skills),
        (FindingCode.QUEUE_NOT_DECLARED, "queue", queues),
    ):
        for name, agent_ids in by_name.items():
            yield build_finding(
                code,
                Severity.WARNING,
                f"agents have this {what}, but the policy does not declare it",
                subject=name,
                agent_ids=agent_ids,
            )


# --- the policy -------------------------------------------------------------------------------------------------------
def _service_level_findings(policy: Policy, queue_id: QueueId, queue: QueuePolicy) -> Iterator[Finding]:
    """Yield a note if the service level's threshold is below the shortest offer timeout of every channel of the queue."""
    ringing = [
        channel
        for channel in policy.channels.values()
        if not (channel.auto_accept if queue.auto_accept is None else queue.auto_accept)
    ]
    timeouts_s = [queue.offer_timeout_s or channel.offer_timeout_s for channel in ringing]
    if timeouts_s and queue.service_level.threshold_s < min(timeouts_s):
        yield build_finding(
            FindingCode.TARGET_BELOW_OFFER_TIMEOUT,
            Severity.NOTE,
            f"the service level counts answers within {queue.service_level.threshold_s} s, "
            f"but an offer may ring for {min(timeouts_s)} s",
            subject=queue_id,
        )
