"""Findings of ``router doctor``: codes, severities and advice. Built by ``router.engine.diagnosis``, sent unchanged by the API."""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from router.model.views import UnmetCondition


class Severity(StrEnum):
    """Severity of a finding."""

    ERROR = "error"
    """Harms customers now."""
    WARNING = "warning"
    """Will harm customers as soon as a contact is affected."""
    NOTE = "note"
    """Should be reviewed."""


class FindingCode(StrEnum):
    """Kind of a finding."""

    BROKEN_INVARIANT = "broken_invariant"
    """The state contradicts itself: an error in the router."""
    NO_POLICY = "no_policy"
    """No policy has been published."""
    SCHEDULED_POLICY_REFUSED = "scheduled_policy_refused"
    """A scheduled policy was due and could not be published."""
    SCHEDULED_POLICY_OUTDATED = "scheduled_policy_outdated"
    """A scheduled policy would be refused now: another one was published since, or contacts use what it removes."""
    CONTACTS_NO_AGENT_QUALIFIED = "contacts_no_agent_qualified"
    """Contacts wait for which no agent qualifies."""
    CONTACTS_EXCEED_CAPACITY = "contacts_exceed_capacity"
    """Contacts wait that use more capacity than any qualified agent has."""
    CONTACTS_NO_AGENT_READY = "contacts_no_agent_ready"
    """Contacts wait, and no qualified agent is ready."""
    CONTACTS_EXPIRING = "contacts_expiring"
    """Waiting contacts expire soon."""
    CONTACTS_WAITING_FOR_OPENING = "contacts_waiting_for_opening"
    """Contacts wait for the opening of their queue."""
    CONTACTS_OVERFLOW_LIMIT = "contacts_overflow_limit"
    """Contacts have reached the limit of overflows."""
    NO_AGENTS = "no_agents"
    """The workspace has no agents."""
    QUEUE_WITHOUT_AGENTS = "queue_without_agents"
    """No agent qualifies for the queue."""
    RULE_WITHOUT_AGENTS = "rule_without_agents"
    """No agent qualifies for the contacts of an entry rule."""
    STEP_WITHOUT_AGENTS = "step_without_agents"
    """No agent qualifies in a step of a plan, or the step prefers agents that do not exist."""
    RULE_UNREACHABLE = "rule_unreachable"
    """Earlier entry rules match everything that this rule matches."""
    RULE_FAILS_OFTEN = "rule_fails_often"
    """An entry rule often cannot be evaluated."""
    RULE_OVER_BUDGET = "rule_over_budget"
    """An entry rule, or a queue's condition on agents, is too expensive and is not evaluated."""
    RULE_NEVER_MATCHED = "rule_never_matched"
    """An entry rule has never matched."""
    SKILL_WITHOUT_AGENTS = "skill_without_agents"
    """No agent has the skill."""
    AGENTS_NEVER_ELIGIBLE = "agents_never_eligible"
    """Agents qualify for no queue."""
    SKILL_NOT_DECLARED = "skill_not_declared"
    """Agents have a skill that the policy does not declare."""
    QUEUE_NOT_DECLARED = "queue_not_declared"
    """Agents serve a queue that the policy does not declare."""
    QUEUE_NEVER_OPENS = "queue_never_opens"
    """A closed queue has no opening within a year."""
    TARGET_BELOW_OFFER_TIMEOUT = "target_below_offer_timeout"
    """The service-level threshold is shorter than the time to answer an offer."""
    REFERENCES_IN_JOURNAL = "references_in_journal"
    """The journal holds references of contacts, which cannot be erased there."""
    CLOCK_DRIFT = "clock_drift"
    """The router's time differs from the clock of its machine."""
    CUSTOMER_CONTEXT_FAILED = "customer_context_failed"
    """The customer context cannot be used, or does not answer."""
    POLICY_ADVICE = "policy_advice"
    """The policy is valid, but probably not as intended."""


ADVICE: Final[dict[FindingCode, str]] = {
    FindingCode.BROKEN_INVARIANT: "a bug in the router: keep the journal, run router verify on it, report it",
    FindingCode.NO_POLICY: "publish a policy: until then every contact is refused",
    FindingCode.SCHEDULED_POLICY_REFUSED: "publish or schedule it again, or cancel it (DELETE /v1/policy/scheduled)",
    FindingCode.SCHEDULED_POLICY_OUTDATED: "schedule it again on the present policy (PUT /v1/policy/scheduled), or cancel it",
    FindingCode.CONTACTS_NO_AGENT_QUALIFIED: "give an agent the missing skills, queue or channel, or change the contacts",
    FindingCode.CONTACTS_EXCEED_CAPACITY: "raise the agents' units, or lower the channel's",
    FindingCode.CONTACTS_NO_AGENT_READY: "a qualified agent must go ready",
    FindingCode.CONTACTS_EXPIRING: "they expire soon: assign them, or move them to a queue with free agents",
    FindingCode.CONTACTS_WAITING_FOR_OPENING: "open the queue, or move them to one that is open",
    FindingCode.CONTACTS_OVERFLOW_LIMIT: "assign them, or move them; raise overflow_count_max, or shorten the chain of overflows",
    FindingCode.NO_AGENTS: "create agents with PUT /v1/agents/{agent_id}",
    FindingCode.QUEUE_WITHOUT_AGENTS: "give an agent the missing skills, require fewer, or remove the queue",
    FindingCode.RULE_WITHOUT_AGENTS: "give an agent the missing skills, queue or channel, or require fewer",
    FindingCode.STEP_WITHOUT_AGENTS: "give an agent the missing skills, require fewer, or remove the step: it only adds delay",
    FindingCode.RULE_UNREACHABLE: "move the rule before the rules that cover it, or remove it",
    FindingCode.RULE_FAILS_OFTEN: "test `known.FACT` first where an attribute may be missing, or let the gateway send it",
    FindingCode.RULE_OVER_BUDGET: "shorten its patterns and lists, or use fewer facts of queues; see router policy check",
    FindingCode.RULE_NEVER_MATCHED: "test it with a contact that it should match: router policy try",
    FindingCode.SKILL_WITHOUT_AGENTS: "give the skill to an agent, or remove it from the policy",
    FindingCode.AGENTS_NEVER_ELIGIBLE: "give these agents a skill, queue, channel or capacity that a queue requires",
    FindingCode.SKILL_NOT_DECLARED: "declare the skill in the policy, or remove it from the agents: it has no effect",
    FindingCode.QUEUE_NOT_DECLARED: "add the queue to the policy, or remove it from the agents",
    FindingCode.TARGET_BELOW_OFFER_TIMEOUT: "shorten offer_timeout_s: one offer without an answer misses the target",
    FindingCode.QUEUE_NEVER_OPENS: "open the queue, or add hours to its calendar",
    FindingCode.REFERENCES_IN_JOURNAL: "stop the router and move them to the customer context: router journal redact",
    FindingCode.CLOCK_DRIFT: "set the machine's clock; if it is right, it was wrong before: router journal reset-clock",
    FindingCode.CUSTOMER_CONTEXT_FAILED: "see the log for the cause, and repair the disk; the files are opened again by themselves",
    FindingCode.POLICY_ADVICE: "valid, but probably not intended",
}


class ContextHealth(StrEnum):
    """Whether the customer context can be used."""

    AVAILABLE = "available"
    """It can be used."""
    STALLED = "stalled"
    """Its disk has not answered for some seconds."""
    FAILED = "failed"
    """Its files cannot be used."""


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finding. Times are epoch milliseconds, durations milliseconds."""

    code: FindingCode
    """Kind of the finding."""
    severity: Severity
    """Severity of the finding."""
    subject: str = ""
    """Object of the finding: a requirement class, queue, skill, entry rule, or a path in the policy. Empty: the whole workspace.
    Object of the finding: a requirement class, queue, skill, entry rule, or a path in the policy. Empty: the whole workspace."""
    message: str
    """What was found."""
    advice: str
    """What to do about it."""
    contacts: int = 0
    """Number of contacts concerned."""
    contact_ids: tuple[str, ...] = ()
    """The first twenty of them, by id."""
    oldest_wait_ms: int | None = None
    """Time since the submit of the oldest of these contacts, in milliseconds; null: none."""
    soonest_end_at_ms: int | None = None
    """When the first of these contacts expires, epoch milliseconds; null: none does."""
    agents: int = 0
    """Number of agents concerned."""
    agent_ids: tuple[str, ...] = ()
    """The first twenty of them, by id."""
    unmet_conditions: tuple[UnmetCondition, ...] = ()
    """Conditions that no agent meets (``has``: the best value), or with ``nearest_agents`` those that these agents do not meet."""
    nearest_agents: int = 0
    """Number of agents with the fewest unmet conditions; 0 if some condition is met by no agent."""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """All findings as of one event, the most severe first."""

    as_of_seq: int
    at_ms: int
    policy_version: int
    """Version of the active policy; 0: none has been published."""
    errors: int
    """Number of findings of severity ``error``."""
    warnings: int
    """Number of findings of severity ``warning``."""
    notes: int
    """Number of findings of severity ``note``."""
    findings: tuple[Finding, ...]
    """The findings, at most a thousand."""
    omitted: int = 0
    """Number of findings beyond the first thousand; they are included in the counts above."""


def with_journal_references(diagnosis: Diagnosis, contacts: int, *, is_counted: bool) -> Diagnosis:
    """Add a warning where the journal holds references of contacts. ``is_counted``: they were all counted."""
    if not contacts:
        return diagnosis
    count = f"{'' if is_counted else 'at least '}{contacts:,} contact{'' if contacts == 1 else 's'}"
    return _with_warning(
        diagnosis,
        FindingCode.REFERENCES_IN_JOURNAL,
        f"the journal holds the references of {count}, as earlier versions wrote them; they cannot be erased there",
    )


def with_clock_drift(diagnosis: Diagnosis, drift_ms: int, *, tolerance_ms: int) -> Diagnosis:
    """Add a warning where the router's time is further from the machine's clock than the tolerance, after the errors."""
    if abs(drift_ms) < tolerance_ms:
        return diagnosis
    direction = "ahead of" if drift_ms > 0 else "behind"
    message = (
        f"the router's time is {abs(drift_ms) / 1000:,.0f} s {direction} the clock of its machine; "
        "opening hours and agreed times are wrong by as much"
    )
    return _with_warning(diagnosis, FindingCode.CLOCK_DRIFT, message)


def with_failed_context(diagnosis: Diagnosis, state: ContextHealth | None) -> Diagnosis:
    """Add a warning where the customer context cannot be used or does not answer, after the errors."""
    if state is None or state is ContextHealth.AVAILABLE:
        return diagnosis
    what = "cannot be used" if state is ContextHealth.FAILED else "does not answer"
    message = f"the customer context {what}: contacts are routed without their customers, and cards are unavailable"
    return _with_warning(diagnosis, FindingCode.CUSTOMER_CONTEXT_FAILED, message)


def _with_warning(diagnosis: Diagnosis, code: FindingCode, message: str) -> Diagnosis:
    finding = Finding(code=code, severity=Severity.WARNING, message=message, advice=ADVICE[code])
    findings = (*diagnosis.findings[: diagnosis.errors], finding, *diagnosis.findings[diagnosis.errors :])
    return replace(diagnosis, warnings=diagnosis.warnings + 1, findings=findings)
