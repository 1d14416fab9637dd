"""Findings of ``router doctor``: codes, severities and advice. Built by ``router.engine.diagnosis``, sent unchanged by the API."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from router.model.views import UnmetCondition


class Severity(StrEnum):
    """Severity of a finding.

    An ``error`` harms customers now, a ``warning`` will as soon as a contact is affected, a ``note`` deserves a check.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class FindingCode(StrEnum):
    """Kind of a finding."""

    BROKEN_INVARIANT = "broken_invariant"
    NO_POLICY = "no_policy"
    CONTACTS_NO_AGENT_QUALIFIED = "contacts_no_agent_qualified"
    CONTACTS_EXCEED_CAPACITY = "contacts_exceed_capacity"
    CONTACTS_NO_AGENT_READY = "contacts_no_agent_ready"
    CONTACTS_EXPIRING = "contacts_expiring"
    CONTACTS_WAITING_FOR_OPENING = "contacts_waiting_for_opening"
    CONTACTS_OVERFLOW_LIMIT = "contacts_overflow_limit"
    NO_AGENTS = "no_agents"
    QUEUE_WITHOUT_AGENTS = "queue_without_agents"
    RULE_WITHOUT_AGENTS = "rule_without_agents"
    STEP_WITHOUT_AGENTS = "step_without_agents"
    RULE_UNREACHABLE = "rule_unreachable"
    RULE_FAILS_OFTEN = "rule_fails_often"
    RULE_NEVER_MATCHED = "rule_never_matched"
    SKILL_WITHOUT_AGENTS = "skill_without_agents"
    AGENTS_NEVER_ELIGIBLE = "agents_never_eligible"
    SKILL_NOT_DECLARED = "skill_not_declared"
    QUEUE_NOT_DECLARED = "queue_not_declared"
    QUEUE_NEVER_OPENS = "queue_never_opens"
    TARGET_BELOW_OFFER_TIMEOUT = "target_below_offer_timeout"
    POLICY_ADVICE = "policy_advice"


ADVICE: Final[dict[FindingCode, str]] = {
    FindingCode.BROKEN_INVARIANT: "a bug in the router: keep the journal, run router verify on it, report it",
    FindingCode.NO_POLICY: "publish a policy: until then every contact is refused",
    FindingCode.CONTACTS_NO_AGENT_QUALIFIED: "give an agent what is missing, or change the requirement or queue of these contacts",
    FindingCode.CONTACTS_EXCEED_CAPACITY: "raise the agents' units, or lower the channel's",
    FindingCode.CONTACTS_NO_AGENT_READY: "a qualified agent must go ready",
    FindingCode.CONTACTS_EXPIRING: "they expire soon: assign them, or move them to a queue with free agents",
    FindingCode.CONTACTS_WAITING_FOR_OPENING: "open the queue, or move them to one that is open",
    FindingCode.CONTACTS_OVERFLOW_LIMIT: "assign them, or move them; raise overflow_count_max, or shorten the chain of overflows",
    FindingCode.NO_AGENTS: "put agents: PUT /v1/agents/{agent_id}",
    FindingCode.QUEUE_WITHOUT_AGENTS: "give an agent what is missing, lower what the queue requires, or remove the queue",
    FindingCode.RULE_WITHOUT_AGENTS: "give an agent what is missing, or lower what the rule requires",
    FindingCode.STEP_WITHOUT_AGENTS: "give an agent what is missing, lower its requirement, or remove it: it only adds delay",
    FindingCode.RULE_UNREACHABLE: "move the rule before the rules that cover it, or remove it",
    FindingCode.RULE_FAILS_OFTEN: "test `known.FACT` first where a fact may be missing, or let the gateway send it",
    FindingCode.RULE_NEVER_MATCHED: "test it with a contact that it should match: router policy try",
    FindingCode.SKILL_WITHOUT_AGENTS: "give the skill to an agent, or remove it from the policy",
    FindingCode.AGENTS_NEVER_ELIGIBLE: "give them a skill, queue, channel or units that some queue needs",
    FindingCode.SKILL_NOT_DECLARED: "declare the skill in the policy, or remove it from the agents: it has no effect",
    FindingCode.QUEUE_NOT_DECLARED: "add the queue to the policy, or remove it from the agents",
    FindingCode.TARGET_BELOW_OFFER_TIMEOUT: "shorten offer_timeout_s: one offer without an answer misses the target",
    FindingCode.QUEUE_NEVER_OPENS: "open the queue, or add hours to its calendar",
    FindingCode.POLICY_ADVICE: "valid, but probably not intended",
}


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finding. Times are epoch milliseconds, durations milliseconds."""

    code: FindingCode
    severity: Severity
    subject: str = ""
    """Object of the finding: a requirement class, queue, skill, entry rule, or a path in the policy."""
    message: str
    advice: str
    contacts: int = 0
    """Number of contacts concerned."""
    contact_ids: tuple[str, ...] = ()
    """The first twenty of them, by id."""
    oldest_wait_ms: int | None = None
    soonest_end_at_ms: int | None = None
    agents: int = 0
    agent_ids: tuple[str, ...] = ()
    """The first twenty of them, by id."""
    unmet_conditions: tuple[UnmetCondition, ...] = ()
    """Conditions that no agent meets (``has``: the best value), or with ``nearest_agents`` those that these agents do not meet."""
    nearest_agents: int = 0
    """If not 0: each condition is met by some agent, but no agent meets all; so many agents come nearest."""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """All findings as of one event, the most severe first."""

    as_of_seq: int
    at_ms: int
    policy_version: int
    errors: int
    warnings: int
    notes: int
    findings: tuple[Finding, ...]
    omitted: int = 0
    """Number of findings beyond the first thousand; they are included in the counts above."""
