"""The builder of findings, and the texts for unmet conditions in their messages.

Every finding of the doctor is made by ``build_finding``: it looks up the advice, counts what the finding concerns, and limits
the lists of ids, so that a finding of a large workspace stays small. Contacts are counted one by one (``ContactTally``), because
there may be very many.
"""

from bisect import insort
from collections.abc import Collection, Sequence
from typing import Final

from router.engine.state.contact import Contact
from router.model.diagnosis import ADVICE, Finding, FindingCode, Severity
from router.model.states import AgentId, ContactId
from router.model.views import UnmetCondition

IDS_MAX: Final = 20
"""Maximum number of ids or names that a finding lists."""


class ContactTally:
    """The contacts that a finding concerns, counted one by one: their number, the first ids and the oldest submit."""

    __slots__ = ("_first_ids", "count", "oldest_at_ms")

    def __init__(self) -> None:
        self.count = 0
        self.oldest_at_ms: int | None = None
        self._first_ids: list[ContactId] = []

    def add(self, contact: Contact) -> None:
        """Count a contact."""
        self.count += 1
        if self.oldest_at_ms is None or contact.queued_at_ms < self.oldest_at_ms:
            self.oldest_at_ms = contact.queued_at_ms
        ids, contact_id = self._first_ids, contact.contact_id
        if len(ids) < IDS_MAX:
            insort(ids, contact_id)
        elif contact_id < ids[-1]:
            ids.pop()
            insort(ids, contact_id)

    @property
    def first_ids(self) -> tuple[ContactId, ...]:
        """Return the first ids in ascending order, at most ``IDS_MAX``."""
        return tuple(self._first_ids)


def build_finding(
    code: FindingCode,
    severity: Severity,
    message: str,
    *,
    subject: str = "",
    contacts: ContactTally | None = None,
    waiting_at_ms: int | None = None,
    soonest_end_at_ms: int | None = None,
    agent_ids: Collection[AgentId] = (),
    agents: int | None = None,
    unmet: Sequence[UnmetCondition] = (),
    nearest_agents: int = 0,
) -> Finding:
    """Return a finding with the advice of its code.

    Args:
        code: what was found.
        severity: how severe it is; not fixed by the code.
        message: text without the subject.
        subject: queue, skill, entry rule, requirement class or policy path.
        contacts: the contacts concerned; their number and the first ids are reported.
        waiting_at_ms: present time, if the longest wait of ``contacts`` is to be reported.
        soonest_end_at_ms: when the first of ``contacts`` expires.
        agent_ids: the agents concerned; the first ids are reported.
        agents: number of agents concerned, if it is not that of ``agent_ids``.
        unmet: conditions that no agent meets, or those that the nearest agents do not meet.
        nearest_agents: number of the nearest agents, 0 if ``unmet`` holds for all agents.
    """
    oldest_wait_ms = None
    if waiting_at_ms is not None and contacts is not None and contacts.oldest_at_ms is not None:
        oldest_wait_ms = max(0, waiting_at_ms - contacts.oldest_at_ms)
    return Finding(
        code=code,
        severity=severity,
        subject=subject,
        message=message,
        advice=ADVICE[code],
        contacts=0 if contacts is None else contacts.count,
        contact_ids=() if contacts is None else contacts.first_ids,
        oldest_wait_ms=oldest_wait_ms,
        soonest_end_at_ms=soonest_end_at_ms,
        agents=len(agent_ids) if agents is None else agents,
        agent_ids=tuple(sorted(agent_ids)[:IDS_MAX]),
        unmet_conditions=tuple(unmet),
        nearest_agents=nearest_agents,
    )


def list_names(names: Sequence[str]) -> str:
    """Return the names separated by commas, shortened to ``IDS_MAX``."""
    shown = ", ".join(names[:IDS_MAX])
    return shown if len(names) <= IDS_MAX else f"{shown} …"


def describe_unmet(unmet: Sequence[UnmetCondition], nearest_agents: int = 0) -> str:
    """Return the unmet conditions as text.

    Without ``nearest_agents`` the conditions are those that no agent meets (``no agent has the skill loans; …``); with it they
    are what that many agents lack (``2 agents lack the queue``).
    """
    if not nearest_agents:
        return "; ".join(_unmet_by_all(condition) for condition in unmet) or "there are no agents"
    agents = "1 agent lacks" if nearest_agents == 1 else f"{nearest_agents:,} agents lack"
    return f"{agents} {' and '.join(_unmet_by_some(condition) for condition in unmet)}"


def _unmet_by_all(condition: UnmetCondition) -> str:
    match condition.code:
        case "queue":
            return "no agent serves the queue"
        case "attributes":
            return "no agent's attributes meet agents_when of the queue"
        case "skill":
            return f"no agent has the skill {condition.skill}"
        case "level":
            return f"no agent has {condition.skill} {condition.needs}, the highest level is {condition.has}"
        case "capacity":
            return f"one item uses {condition.needs} units, but no agent has more than {condition.has}"
        case _:
            return f"{_channel_text(condition)} is disabled for all agents"


def _unmet_by_some(condition: UnmetCondition) -> str:
    match condition.code:
        case "queue":
            return "the queue"
        case "attributes":
            return "attributes that meet agents_when of the queue"
        case "skill":
            return f"the skill {condition.skill}"
        case "level":
            return f"{condition.skill} {condition.needs} (has {condition.has})"
        case "capacity":
            return f"{condition.needs} units (has {condition.has})"
        case _:
            return _channel_text(condition)


def _channel_text(condition: UnmetCondition) -> str:
    return "every channel" if condition.channel is None else f"the channel {condition.channel}"
