"""Findings about waiting contacts: without a suitable agent, about to expire, held by a closed queue, or at the overflow limit."""

from collections.abc import Iterator
from typing import Final, TypeAlias

from router.engine.diagnosis.coverage import SkillCoverage, final_requirement, satisfiable_requirement
from router.engine.diagnosis.findings import build_finding, describe_unmet
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.records import RequirementKey, format_requirement
from router.model.diagnosis import Finding, FindingCode, Severity
from router.model.policy import Policy
from router.model.states import ContactState, QueueId
from router.model.views import UnmetCondition

_EXPIRES_WITHIN_MS: Final = 60_000

WaitingByRequirement: TypeAlias = dict[tuple[QueueId, str, RequirementKey], list[Contact]]
"""Waiting contacts by queue, channel and the requirement that is left to them in the end."""


def waiting_by_requirement(state: RoutingState, coverage: SkillCoverage, policy: Policy) -> WaitingByRequirement:
    """Return the waiting contacts by the requirement that is left to them in the end.

    Reservations expire and plans relax requirements step by step, so only the requirement after the last step says whether a
    contact can ever be taken.
    """
    found: WaitingByRequirement = {}
    for line in state.index.lines.by_key.values():
        by_plan: dict[tuple[str | None, RequirementKey], list[Contact]] = {}
        for contact in line.contacts_by_key.values():
            own = tuple(sorted(contact.skills.items()))
            by_plan.setdefault((contact.plan, own), []).append(contact)
        for (plan, own), contacts in by_plan.items():
            final = final_requirement(policy, line.queue_id, plan, dict(own))
            requirement = satisfiable_requirement(coverage, final, (line.channel,))
            found.setdefault((final.queue_id, line.channel, requirement), []).extend(contacts)
    return found


def unserved_findings(coverage: SkillCoverage, policy: Policy, waiting: WaitingByRequirement, at_ms: int) -> Iterator[Finding]:
    """Yield one finding per requirement for which no agent is ready, no agent qualifies, or capacity is too small."""
    for (queue_id, channel, requirement), contacts in waiting.items():
        capable = coverage.capable_groups(queue_id, (channel,), requirement)
        if capable & coverage.ready_groups:
            continue
        severity = Severity.WARNING
        unmet: tuple[UnmetCondition, ...] = ()
        nearest = 0
        if capable:
            code = FindingCode.CONTACTS_NO_AGENT_READY
            message = "no qualified agent is ready"
        else:
            if not _all_overflow_in_time(policy, queue_id, contacts):
                severity = Severity.ERROR
            unmet, nearest = coverage.unmet_conditions(queue_id, (channel,), requirement)
            code = FindingCode.CONTACTS_NO_AGENT_QUALIFIED
            if coverage.qualified_groups(queue_id, (channel,), requirement):
                code = FindingCode.CONTACTS_EXCEED_CAPACITY
            message = f"no agent can ever take them: {describe_unmet(unmet, nearest)}"
        yield build_finding(
            code,
            severity,
            message,
            subject=format_requirement(queue_id, channel, requirement),
            contacts=contacts,
            waiting_at_ms=at_ms,
            unmet=unmet,
            nearest_agents=nearest,
        )


def _all_overflow_in_time(policy: Policy, queue_id: QueueId, contacts: list[Contact]) -> bool:
    """Return whether every one of these contacts overflows into another queue before its time to live ends."""
    queue = policy.queues.get(queue_id)
    if queue is None or queue.overflow_to is None:
        return False
    return all(
        contact.wait_until_ms is not None and (contact.ttl_at_ms is None or contact.wait_until_ms < contact.ttl_at_ms)
        for contact in contacts
    )


def expiring_findings(state: RoutingState, waiting: WaitingByRequirement, at_ms: int) -> Iterator[Finding]:
    """Yield one finding per queue with contacts that expire within a minute, by time to live or maximum wait."""
    expiring: dict[QueueId, list[tuple[int, Contact]]] = {}
    for (queue_id, _, _), contacts in waiting.items():
        overflows = state.queue_policy(queue_id).overflow_to is not None
        for contact in contacts:
            ends = [contact.ttl_at_ms, None if overflows else contact.wait_until_ms]
            end_ms = min((end for end in ends if end is not None), default=None)
            if end_ms is not None and end_ms <= at_ms + _EXPIRES_WITHIN_MS:
                expiring.setdefault(queue_id, []).append((end_ms, contact))
    for queue_id, found in expiring.items():
        yield build_finding(
            FindingCode.CONTACTS_EXPIRING,
            Severity.WARNING,
            "they wait and expire within a minute",
            subject=queue_id,
            contacts=[contact for _, contact in found],
            soonest_end_at_ms=min(end_ms for end_ms, _ in found),
        )


def closed_queue_findings(state: RoutingState, at_ms: int) -> Iterator[Finding]:
    """Yield one finding per closed queue in which contacts wait for the opening."""
    waiting: dict[QueueId, list[Contact]] = {}
    for line in state.index.lines.awaiting_opening.values():
        if line.contacts_by_key:
            waiting.setdefault(line.queue_id, []).extend(line.contacts_by_key.values())
    for queue_id, contacts in waiting.items():
        hours = state.hours.get(queue_id)
        opens_at_ms = None if hours is None else hours.changes_at_ms
        yield build_finding(
            FindingCode.CONTACTS_WAITING_FOR_OPENING,
            Severity.WARNING if opens_at_ms is None else Severity.NOTE,
            "they wait for their queue to open" + (", and no opening time is known" if opens_at_ms is None else ""),
            subject=queue_id,
            contacts=contacts,
            waiting_at_ms=at_ms,
        )


def overflow_limit_findings(state: RoutingState, policy: Policy, at_ms: int) -> Iterator[Finding]:
    """Yield one finding per queue whose contacts have reached ``overflow_count_max`` and so wait without limit."""
    found: dict[QueueId, list[Contact]] = {}
    for line in state.index.qualification.all_lines():
        if state.queue_policy(line.queue_id).overflow_to is None:
            continue
        for contact in line.contacts_by_key.values():
            if contact.overflow_count >= policy.overflow_count_max and contact.state is ContactState.QUEUED:
                found.setdefault(line.queue_id, []).append(contact)
    for queue_id, contacts in found.items():
        yield build_finding(
            FindingCode.CONTACTS_OVERFLOW_LIMIT,
            Severity.WARNING,
            f"they have overflowed {policy.overflow_count_max} times, the maximum, and stay in this queue",
            subject=queue_id,
            contacts=contacts,
            waiting_at_ms=at_ms,
        )
