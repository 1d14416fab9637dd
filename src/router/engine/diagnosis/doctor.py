"""Doctor: find what cannot work in a workspace before a customer waits for it.

``diagnose`` reads the state and changes nothing. It visits each waiting contact, agent and entry rule once and compares requirement
classes with agent groups (``coverage.py``), so it is fast enough for a live router.

One thing cannot be checked in advance: whether gateways ever set an attribute that an entry rule asks for. Such a rule shows in its
counts, once enough contacts have been classified.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from router.engine.diagnosis.coverage import (
    SkillCoverage,
    final_requirement,
    satisfiable_requirement,
    step_findings,
)
from router.engine.diagnosis.findings import describe_unmet
from router.engine.diagnosis.invariants import broken_invariants, orphaned_records
from router.engine.diagnosis.waiting_contacts import (
    closed_queue_findings,
    never_opening_findings,
    overflow_limit_findings,
)
from router.engine.state.contact import Contact
from router.engine.state.records import RequirementKey, format_requirement
from router.engine.state.state import RoutingState
from router.model.diagnosis import ADVICE, Diagnosis, Finding, FindingCode, Severity
from router.model.ids import AgentId, QueueId
from router.model.policy import Policy, QueuePolicy
from router.model.views import UnmetCondition
from router.policy.checks.advice import policy_advice
from router.policy.entry_rules import required_channel, unreachable_rules

_FINDINGS_MAX: Final = 1_000
_IDS_MAX: Final = 20
_EXPIRES_WITHIN_MS: Final = 60_000
# An entry rule is reported if it matched none of this many contacts, or failed at least so often and for one contact in twenty.
_CLASSIFIED_MIN: Final = 1_000
_FAILURES_MIN: Final = 20
_FAILURE_SHARE_DIVISOR: Final = 20

_WaitingByRequirement: TypeAlias = dict[tuple[QueueId, str, RequirementKey], list[Contact]]
_SORT_ORDER: Final = {name: place for place, name in enumerate((*Severity, *FindingCode))}


def diagnose(state: RoutingState, *, at_ms: int | None = None, thorough: bool = False) -> Diagnosis:
    """Return all findings, most severe first; ``thorough`` also checks every invariant of the state."""
    at_ms = state.at_ms if at_ms is None else max(at_ms, state.at_ms)
    found = [*_invariant_findings(state, thorough=thorough), *_policy_findings(state, at_ms)]
    found.sort(
        key=lambda finding: (
            _SORT_ORDER[finding.severity],
            _SORT_ORDER[finding.code],
            finding.subject,
            finding.message,
        )
    )
    counts = dict.fromkeys(Severity, 0)
    for finding in found:
        counts[finding.severity] += 1
    return Diagnosis(
        as_of_seq=state.seq,
        at_ms=at_ms,
        policy_version=state.policy_version,
        errors=counts[Severity.ERROR],
        warnings=counts[Severity.WARNING],
        notes=counts[Severity.NOTE],
        findings=tuple(found[:_FINDINGS_MAX]),
        omitted=max(0, len(found) - _FINDINGS_MAX),
    )


def _build_finding(code: FindingCode, severity: Severity, message: str, **more: Any) -> Finding:
    return Finding(code=code, severity=severity, message=message, advice=ADVICE[code], **more)


def _invariant_findings(state: RoutingState, *, thorough: bool) -> Iterator[Finding]:
    for sentence in broken_invariants(state) if thorough else orphaned_records(state):
        yield _build_finding(FindingCode.BROKEN_INVARIANT, Severity.ERROR, sentence)


def _policy_findings(state: RoutingState, at_ms: int) -> Iterator[Finding]:
    policy = state.policy
    if policy is None:
        yield _build_finding(FindingCode.NO_POLICY, Severity.ERROR, "no policy is in force")
        return
    reach = SkillCoverage(state, policy)
    waiting = _waiting_by_requirement(state, reach, policy)
    yield from _unserved_findings(reach, policy, waiting, at_ms)
    yield from _expiring_findings(state, policy, waiting, at_ms)
    yield from closed_queue_findings(state, at_ms)
    yield from overflow_limit_findings(state, policy, at_ms)
    yield from never_opening_findings(state, policy)
    if state.agents:
        yield from _queue_findings(reach, policy)
        yield from _entry_rule_findings(reach, policy)
        yield from step_findings(state, reach, policy)
        yield from _skill_findings(reach, policy, waiting)
        yield from _agent_findings(state, reach)
        yield from _undeclared_name_findings(state, policy)
    else:
        yield _build_finding(FindingCode.NO_AGENTS, Severity.WARNING, "there are no agents")
    for rule, names in unreachable_rules(policy):
        yield _build_finding(
            FindingCode.RULE_UNREACHABLE,
            Severity.WARNING,
            f"never matches: the rules before it ({_shown_names(names)}) match every contact that it would match",
            subject=rule.name,
        )
    yield from _rule_count_findings(state, policy)
    for queue_id, queue in policy.queues.items():
        yield from _service_level_findings(policy, queue_id, queue)
    for problem in policy_advice(policy):
        yield _build_finding(
            FindingCode.POLICY_ADVICE, Severity.NOTE, problem.message, subject=problem.path
        )


# --- waiting contacts -------------------------------------------------------------------------------------------------
def _waiting_by_requirement(
    state: RoutingState, reach: SkillCoverage, policy: Policy
) -> _WaitingByRequirement:
    """Return the waiting contacts by the requirement that is left to them in the end.

    Reservations expire and plans relax requirements step by step, so only the requirement after the last step says whether a
    contact can ever be taken.
    """
    classes: _WaitingByRequirement = {}
    for line in state.index.lines.values():
        by_plan: dict[tuple[str | None, RequirementKey], list[Contact]] = {}
        for contact in line.contacts_by_key.values():
            own = tuple(sorted(contact.skills.items()))
            by_plan.setdefault((contact.plan, own), []).append(contact)
        for (plan, own), contacts in by_plan.items():
            wanted = final_requirement(policy, line.queue_id, plan, dict(own))
            needs = satisfiable_requirement(reach, wanted, (line.channel,))
            classes.setdefault((wanted.queue_id, line.channel, needs), []).extend(contacts)
    return classes


def _unserved_findings(
    reach: SkillCoverage, policy: Policy, waiting: _WaitingByRequirement, at_ms: int
) -> Iterator[Finding]:
    for (queue_id, channel, needs), contacts in waiting.items():
        takers = reach.capable_groups(queue_id, (channel,), needs)
        if takers & reach.ready_groups:
            continue
        severity = Severity.WARNING
        lacks: tuple[UnmetCondition, ...] = ()
        nearest = 0
        if takers:
            code = FindingCode.CONTACTS_NO_AGENT_READY
            message = "no qualified agent is ready"
        else:
            if not _all_overflow_in_time(policy, queue_id, contacts):
                severity = Severity.ERROR
            lacks, nearest = reach.unmet_conditions(queue_id, (channel,), needs)
            is_heavy = bool(reach.qualified_groups(queue_id, (channel,), needs))
            code = (
                FindingCode.CONTACTS_EXCEED_CAPACITY
                if is_heavy
                else FindingCode.CONTACTS_NO_AGENT_QUALIFIED
            )
            message = f"no agent can ever take them: {describe_unmet(lacks, nearest)}"
        yield _build_finding(
            code,
            severity,
            message,
            subject=format_requirement(queue_id, channel, needs),
            contacts=len(contacts),
            contact_ids=_first_ids(contact.contact_id for contact in contacts),
            oldest_wait_ms=max(0, at_ms - min(contact.queued_at_ms for contact in contacts)),
            lacks=lacks,
            nearest_agents=nearest,
        )


def _all_overflow_in_time(policy: Policy, queue_id: QueueId, contacts: list[Contact]) -> bool:
    """Return whether every one of these contacts overflows into another queue before its time to live ends."""
    queue = policy.queues.get(queue_id)
    if queue is None or queue.overflow_to is None:
        return False
    return all(
        contact.wait_until_ms is not None
        and (contact.ttl_at_ms is None or contact.wait_until_ms < contact.ttl_at_ms)
        for contact in contacts
    )


def _expiring_findings(
    state: RoutingState, policy: Policy, waiting: _WaitingByRequirement, at_ms: int
) -> Iterator[Finding]:
    ends: dict[QueueId, list[tuple[int, str]]] = {}
    for (queue_id, _, _), contacts in waiting.items():
        overflows = state.queue_policy(queue_id).overflow_to is not None
        for contact in contacts:
            moments = [contact.ttl_at_ms, None if overflows else contact.wait_until_ms]
            end_ms = min((moment for moment in moments if moment is not None), default=None)
            if end_ms is not None and end_ms <= at_ms + _EXPIRES_WITHIN_MS:
                ends.setdefault(queue_id, []).append((end_ms, contact.contact_id))
    for queue_id, near in ends.items():
        yield _build_finding(
            FindingCode.CONTACTS_EXPIRING,
            Severity.WARNING,
            "they wait and expire within a minute",
            subject=queue_id,
            contacts=len(near),
            contact_ids=_first_ids(contact_id for _, contact_id in near),
            soonest_end_at_ms=min(near)[0],
        )


# --- queues, entry rules and skills without agents ------------------------------------------------------------------------
def _queue_findings(reach: SkillCoverage, policy: Policy) -> Iterator[Finding]:
    for queue_id in policy.queues:
        wanted = final_requirement(policy, queue_id, None, {})
        needs = satisfiable_requirement(reach, wanted, reach.channels)
        if wanted.queue_id == queue_id and not reach.capable_groups(
            queue_id, reach.channels, needs
        ):
            lacks, nearest = reach.unmet_conditions(queue_id, reach.channels, needs)
            yield _build_finding(
                FindingCode.QUEUE_WITHOUT_AGENTS,
                Severity.WARNING,
                f"no agent can take its contacts: {describe_unmet(lacks, nearest)}",
                subject=queue_id,
                lacks=lacks,
                nearest_agents=nearest,
            )


def _entry_rule_findings(reach: SkillCoverage, policy: Policy) -> Iterator[Finding]:
    for rule in policy.entry:
        only = required_channel(rule.when)
        channels = reach.channels if only is None else (only,)
        wanted = final_requirement(policy, rule.queue, rule.plan, rule.skills)
        needs = satisfiable_requirement(reach, wanted, channels)
        if wanted.queue_id != rule.queue or reach.capable_groups(rule.queue, channels, needs):
            continue
        if not reach.capable_groups(rule.queue, reach.channels, reach.base_requirement(rule.queue)):
            continue  # Already reported for the queue.
        lacks, nearest = reach.unmet_conditions(rule.queue, channels, needs)
        yield _build_finding(
            FindingCode.RULE_WITHOUT_AGENTS,
            Severity.WARNING,
            f"no agent can take the contacts that it admits: {describe_unmet(lacks, nearest)}",
            subject=rule.name,
            lacks=lacks,
            nearest_agents=nearest,
        )


def _rule_count_findings(state: RoutingState, policy: Policy) -> Iterator[Finding]:
    """Yield findings from the counts since the policy came into force; a small number of contacts yields none."""
    counts = state.rule_counts
    classified = counts.classified
    covered = {rule.name for rule, _ in unreachable_rules(policy)}
    for rule in policy.entry:
        failed = counts.failed.get(rule.name, 0)
        if failed >= _FAILURES_MIN and failed * _FAILURE_SHARE_DIVISOR >= classified:
            yield _build_finding(
                FindingCode.RULE_FAILS_OFTEN,
                Severity.WARNING,
                f"it could not be evaluated for {failed:,} of {classified:,} contacts: "
                "a fact was missing, or a number was out of range",
                subject=rule.name,
            )
        matched = counts.matched.get(rule.name, 0)
        if classified >= _CLASSIFIED_MIN and not matched and rule.name not in covered:
            yield _build_finding(
                FindingCode.RULE_NEVER_MATCHED,
                Severity.NOTE,
                f"it matched none of the {classified:,} contacts classified since the policy was published",
                subject=rule.name,
            )


def _skill_findings(
    reach: SkillCoverage, policy: Policy, waiting: _WaitingByRequirement
) -> Iterator[Finding]:
    required = {skill for queue in policy.queues.values() for skill in queue.requires}
    required.update(skill for rule in policy.entry for skill in rule.skills)
    required.update(skill for _, _, needs in waiting for skill, _ in needs)
    for skill in policy.skills:
        if skill not in reach.best_levels:
            is_required = skill in required
            yield _build_finding(
                FindingCode.SKILL_WITHOUT_AGENTS,
                Severity.WARNING if is_required else Severity.NOTE,
                "no agent has it" + (", and it is required" if is_required else ""),
                subject=skill,
            )


# --- agents -----------------------------------------------------------------------------------------------------------
def _agent_findings(state: RoutingState, reach: SkillCoverage) -> Iterator[Finding]:
    idle: dict[tuple[UnmetCondition, ...], list[AgentId]] = {}
    for agent in state.agents.values():
        lacks = reach.agent_unmet_conditions(agent)
        if lacks:
            idle.setdefault(lacks, []).append(agent.agent_id)
    for lacks, agent_ids in idle.items():
        yield _build_finding(
            FindingCode.AGENTS_NEVER_ELIGIBLE,
            Severity.WARNING,
            f"they can take no contact of any queue: {describe_unmet(lacks, len(agent_ids))}",
            agents=len(agent_ids),
            agent_ids=_first_ids(agent_ids),
            lacks=lacks,
        )


def _undeclared_name_findings(state: RoutingState, policy: Policy) -> Iterator[Finding]:
    declared = frozenset(policy.skills)
    skills: dict[str, list[AgentId]] = {}
    queues: dict[QueueId, list[AgentId]] = {}
    for agent in state.agents.values():
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
            yield _build_finding(
                code,
                Severity.WARNING,
                f"agents have this {what}, but the policy does not declare it",
                subject=name,
                agents=len(agent_ids),
                agent_ids=_first_ids(agent_ids),
            )


# --- the policy -------------------------------------------------------------------------------------------------------
def _service_level_findings(
    policy: Policy, queue_id: QueueId, queue: QueuePolicy
) -> Iterator[Finding]:
    """Yield a note if the service level's threshold is below the shortest offer timeout of every channel of the queue."""
    ringing = [
        channel
        for channel in policy.channels.values()
        if not (channel.auto_accept if queue.auto_accept is None else queue.auto_accept)
    ]
    timeouts_s = [queue.offer_timeout_s or channel.offer_timeout_s for channel in ringing]
    if timeouts_s and queue.service_level.threshold_s < min(timeouts_s):
        yield _build_finding(
            FindingCode.TARGET_BELOW_OFFER_TIMEOUT,
            Severity.NOTE,
            f"the service level counts answers within {queue.service_level.threshold_s} s, "
            f"but an offer may ring for {min(timeouts_s)} s",
            subject=queue_id,
        )


def _first_ids(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(ids)[:_IDS_MAX])


def _shown_names(names: list[str]) -> str:
    shown = ", ".join(names[:_IDS_MAX])
    return shown if len(names) <= _IDS_MAX else f"{shown} …"
