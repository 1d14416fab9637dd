"""Findings about opening hours and overflow.

Reports contacts that wait for their queue to open, contacts that may not overflow again, and queues that never open.
"""

from collections.abc import Iterator
from typing import Final

from router.engine.state.contact import Contact
from router.engine.state.state import RoutingState
from router.model.diagnosis import ADVICE, Finding, FindingCode, Severity
from router.model.ids import QueueId
from router.model.policy import Policy
from router.model.states import ContactState

_IDS_MAX: Final = 20


def closed_queue_findings(state: RoutingState, at_ms: int) -> Iterator[Finding]:
    """Yield one finding per closed queue in which contacts wait for the opening."""
    waiting: dict[QueueId, list[Contact]] = {}
    for line in state.index.lines_awaiting_opening.values():
        if line.contacts_by_key:
            waiting.setdefault(line.queue_id, []).extend(line.contacts_by_key.values())
    for queue_id, contacts in waiting.items():
        hours = state.hours.get(queue_id)
        opens_at_ms = None if hours is None else hours.changes_at_ms
        yield _contacts_finding(
            FindingCode.CONTACTS_WAITING_FOR_OPENING,
            Severity.WARNING if opens_at_ms is None else Severity.NOTE,
            "they wait for their queue to open"
            + (", and no opening time is known" if opens_at_ms is None else ""),
            queue_id,
            contacts,
            at_ms,
        )


def overflow_limit_findings(state: RoutingState, policy: Policy, at_ms: int) -> Iterator[Finding]:
    """Yield one finding per queue whose contacts have reached ``overflow_count_max`` and so wait without limit."""
    found: dict[QueueId, list[Contact]] = {}
    for line in state.index.all_lines():
        if state.queue_policy(line.queue_id).overflow_to is None:
            continue
        for contact in line.contacts_by_key.values():
            if (
                contact.overflow_count >= policy.overflow_count_max
                and contact.state is ContactState.QUEUED
            ):
                found.setdefault(line.queue_id, []).append(contact)
    for queue_id, contacts in found.items():
        yield _contacts_finding(
            FindingCode.CONTACTS_OVERFLOW_LIMIT,
            Severity.WARNING,
            f"they have overflowed {policy.overflow_count_max} times, the maximum, and stay in this queue",
            queue_id,
            contacts,
            at_ms,
        )


def never_opening_findings(state: RoutingState, policy: Policy) -> Iterator[Finding]:
    """Yield one finding per queue that is closed and has no known opening time."""
    for queue_id, hours in state.hours.items():
        if hours.is_open or hours.changes_at_ms is not None or queue_id not in policy.queues:
            continue
        by = (
            "a supervisor closed it"
            if hours.is_supervisor_override
            else "its calendar has no hours"
        )
        yield Finding(
            code=FindingCode.QUEUE_NEVER_OPENS,
            severity=Severity.WARNING,
            message=f"it is closed and has no opening within a year: {by}",
            advice=ADVICE[FindingCode.QUEUE_NEVER_OPENS],
            subject=queue_id,
        )


def _contacts_finding(
    code: FindingCode,
    severity: Severity,
    message: str,
    queue_id: QueueId,
    contacts: list[Contact],
    at_ms: int,
) -> Finding:
    return Finding(
        code=code,
        severity=severity,
        message=message,
        advice=ADVICE[code],
        subject=queue_id,
        contacts=len(contacts),
        contact_ids=tuple(sorted(contact.contact_id for contact in contacts)[:_IDS_MAX]),
        oldest_wait_ms=max(0, at_ms - min(contact.queued_at_ms for contact in contacts)),
    )
