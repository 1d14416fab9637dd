"""Findings about waiting contacts: without a suitable agent, about to expire, held by a closed queue, or at the overflow limit.

Contacts are visited in steps (``Steps``) of ``_CONTACTS_PER_STEP``, between which they may change: a contact that no longer waits
when its turn comes is left out.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from router.engine.diagnosis.coverage import SkillCoverage, final_requirement, satisfiable_requirement
from router.engine.diagnosis.findings import ContactTally, build_finding, describe_unmet
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact, WaitingLine
from router.engine.state.records import RequirementKey, format_requirement
from router.model.diagnosis import Finding, FindingCode, Severity
from router.model.policy import Policy
from router.model.states import ContactState, QueueId
from router.model.views import UnmetCondition

_EXPIRES_WITHIN_MS: Final = 60_000
_CONTACTS_PER_STEP: Final = 16

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""A computation in steps of about twenty microseconds; it yields after each and returns its result."""


class WaitingContacts:
    """Waiting contacts by queue, channel and the requirement that is left to them in the end, and those that expire soon."""

    def __init__(self) -> None:
        self.by_requirement: dict[tuple[QueueId, str, RequirementKey], ContactTally] = {}
        self.without_overflow: set[tuple[QueueId, str, RequirementKey]] = set()
        """Requirements with a contact that does not overflow before its time to live ends."""
        self.expiring: dict[QueueId, ContactTally] = {}
        self.first_end_at_ms: dict[QueueId, int] = {}
        """When the first of the expiring contacts of a queue expires."""

    def add(self, key: tuple[QueueId, str, RequirementKey], contact: Contact, *, overflows: bool, at_ms: int) -> None:
        """Count a contact. ``overflows``: whether its queue overflows after the maximum wait."""
        tally = self.by_requirement.get(key)
        if tally is None:
            tally = self.by_requirement[key] = ContactTally()
        tally.add(contact)
        wait_until_ms, ttl_at_ms = contact.wait_until_ms, contact.ttl_at_ms
        if not overflows or wait_until_ms is None or (ttl_at_ms is not None and wait_until_ms >= ttl_at_ms):
            self.without_overflow.add(key)
        end_ms = ttl_at_ms if overflows or wait_until_ms is None else min(wait_until_ms, ttl_at_ms or wait_until_ms)
        if end_ms is not None and end_ms <= at_ms + _EXPIRES_WITHIN_MS:
            queue_id = key[0]
            self.expiring.setdefault(queue_id, ContactTally()).add(contact)
            self.first_end_at_ms[queue_id] = min(end_ms, self.first_end_at_ms.get(queue_id, end_ms))


def waiting_contacts(state: RoutingState, coverage: SkillCoverage, policy: Policy, at_ms: int) -> Steps[WaitingContacts]:
    """Return the waiting contacts by the requirement that is left to them in the end.

    Reservations expire and plans relax requirements step by step, so only the requirement after the last step says whether a
    contact can ever be taken.
    """
    found = WaitingContacts()
    for line in list(state.index.lines.by_key.values()):
        keys: dict[tuple[str | None, RequirementKey], tuple[QueueId, str, RequirementKey]] = {}
        for contact in _contacts_of(line):
            if contact is None:
                yield
                continue
            own = tuple(sorted(contact.skills.items()))
            key = keys.get((contact.plan, own))
            if key is None:
                final = final_requirement(policy, line.queue_id, contact.plan, contact.skills)
                requirement = satisfiable_requirement(coverage, final, (line.channel,))
                key = keys[contact.plan, own] = (final.queue_id, line.channel, requirement)
            queue = policy.queues.get(key[0])
            found.add(key, contact, overflows=queue is not None and queue.overflow_to is not None, at_ms=at_ms)
        yield
    return found


def _contacts_of(line: WaitingLine) -> Iterator[Contact | None]:
    """Yield the contacts of a line that are still in it, and None at the end of a step."""
    contacts = list(line.contacts_by_key.values())
    for start in range(0, len(contacts), _CONTACTS_PER_STEP):
        yield from (one for one in contacts[start : start + _CONTACTS_PER_STEP] if one.order_key and one.waiting_line is line)
        yield None


def unserved_findings(coverage: SkillCoverage, policy: Policy, waiting: WaitingContacts, at_ms: int) -> Iterator[Finding | None]:
    """Yield one finding per requirement for which no agent is ready, no agent qualifies, or capacity is too small."""
    for key, contacts in waiting.by_requirement.items():
        yield None
        queue_id, channel, requirement = key
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
            if key in waiting.without_overflow:
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


def expiring_findings(waiting: WaitingContacts) -> Iterator[Finding]:
    """Yield one finding per queue with contacts that expire within a minute, by time to live or maximum wait."""
    for queue_id, contacts in waiting.expiring.items():
        yield build_finding(
            FindingCode.CONTACTS_EXPIRING,
            Severity.WARNING,
            "they wait and expire within a minute",
            subject=queue_id,
            contacts=contacts,
            soonest_end_at_ms=waiting.first_end_at_ms[queue_id],
        )


def closed_queue_findings(state: RoutingState, at_ms: int) -> Iterator[Finding | None]:
    """Yield one finding per closed queue in which contacts wait for the opening."""
    waiting = yield from _tally_by_queue(state.index.lines.awaiting_opening.values(), lambda _: True)
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


def overflow_limit_findings(state: RoutingState, policy: Policy, at_ms: int) -> Iterator[Finding | None]:
    """Yield one finding per queue whose contacts have reached ``overflow_count_max`` and so wait without limit."""
    lines = [line for line in state.index.qualification.all_lines() if line.queue.overflow_to is not None]
    most = policy.overflow_count_max
    found = yield from _tally_by_queue(lines, lambda one: one.overflow_count >= most and one.state is ContactState.QUEUED)
    for queue_id, contacts in found.items():
        yield build_finding(
            FindingCode.CONTACTS_OVERFLOW_LIMIT,
            Severity.WARNING,
            f"they have overflowed {policy.overflow_count_max} times, the maximum, and stay in this queue",
            subject=queue_id,
            contacts=contacts,
            waiting_at_ms=at_ms,
        )


def _tally_by_queue(
    lines: Iterable[WaitingLine], is_concerned: Callable[[Contact], bool]
) -> Generator[None, None, dict[QueueId, ContactTally]]:
    found: dict[QueueId, ContactTally] = {}
    for line in list(lines):
        for contact in _contacts_of(line):
            if contact is None:
                yield
            elif is_concerned(contact):
                found.setdefault(line.queue_id, ContactTally()).add(contact)
    return found
