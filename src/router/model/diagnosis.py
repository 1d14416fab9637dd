"""What ``router doctor`` finds: codes, how bad each is, and what to do about it. Found by ``core/doctor.py``, sent as it is."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from router.model.views import Lack


class Severity(StrEnum):
    """How bad a finding is. An error harms customers now; a warning will when somebody comes; a note is worth a look."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class FindingCode(StrEnum):
    """What was found."""

    BROKEN_INVARIANT = "broken_invariant"
    NO_POLICY = "no_policy"
    CONTACTS_NOBODY_QUALIFIED = "contacts_nobody_qualified"
    CONTACTS_TOO_HEAVY = "contacts_too_heavy"
    CONTACTS_NOBODY_READY = "contacts_nobody_ready"
    CONTACTS_NEAR_THEIR_END = "contacts_near_their_end"
    CONTACTS_QUEUE_CLOSED = "contacts_queue_closed"
    CONTACTS_STAY = "contacts_stay"
    NO_AGENTS = "no_agents"
    QUEUE_WITHOUT_AGENTS = "queue_without_agents"
    RULE_WITHOUT_AGENTS = "rule_without_agents"
    STEP_WITHOUT_AGENTS = "step_without_agents"
    RULE_NEVER_REACHED = "rule_never_reached"
    RULE_FAILS_OFTEN = "rule_fails_often"
    RULE_NEVER_MATCHED = "rule_never_matched"
    SKILL_NOBODY_HAS = "skill_nobody_has"
    AGENTS_WITHOUT_WORK = "agents_without_work"
    SKILL_NOT_DECLARED = "skill_not_declared"
    QUEUE_NOT_DECLARED = "queue_not_declared"
    QUEUE_NEVER_OPENS = "queue_never_opens"
    TARGET_BELOW_OFFER_TIMEOUT = "target_below_offer_timeout"
    POLICY_ADVICE = "policy_advice"


ADVICE: Final[dict[FindingCode, str]] = {
    FindingCode.BROKEN_INVARIANT: "a fault of the router: keep the journal, run router verify on it, report it",
    FindingCode.NO_POLICY: "publish a policy: until then every contact is refused",
    FindingCode.CONTACTS_NOBODY_QUALIFIED: "give an agent what lacks, or change the requirement or queue of these contacts",
    FindingCode.CONTACTS_TOO_HEAVY: "raise the agents' units, or lower the channel's",
    FindingCode.CONTACTS_NOBODY_READY: "somebody who is qualified must go ready",
    FindingCode.CONTACTS_NEAR_THEIR_END: "they expire soon: assign them, or move them to a queue with free agents",
    FindingCode.CONTACTS_QUEUE_CLOSED: "open the queue, or move them to one that is open",
    FindingCode.CONTACTS_STAY: "assign them, or move them; raise overflow_hops_max, or shorten the chain of overflows",
    FindingCode.NO_AGENTS: "put agents: PUT /v1/agents/{agent_id}",
    FindingCode.QUEUE_WITHOUT_AGENTS: "give an agent what lacks, lower what the queue requires, or remove it",
    FindingCode.RULE_WITHOUT_AGENTS: "give an agent what lacks, or lower what the rule asks for",
    FindingCode.STEP_WITHOUT_AGENTS: "give an agent what lacks, let the step ask for less, or take it out: it only costs time",
    FindingCode.RULE_NEVER_REACHED: "move the rule before those, or remove it",
    FindingCode.RULE_FAILS_OFTEN: "ask `known.FACT` first where a fact may be missing, or have the gateway send it",
    FindingCode.RULE_NEVER_MATCHED: "try it with a contact that it is meant for: router policy try",
    FindingCode.SKILL_NOBODY_HAS: "give it to an agent, or remove it from the policy",
    FindingCode.AGENTS_WITHOUT_WORK: "give them a skill, queue, channel or units that a queue has use for",
    FindingCode.SKILL_NOT_DECLARED: "declare it in the policy, or take it from the agents: it counts for nothing",
    FindingCode.QUEUE_NOT_DECLARED: "put the queue back into the policy, or take it from the agents",
    FindingCode.TARGET_BELOW_OFFER_TIMEOUT: "shorten offer_timeout_s: one offer without an answer misses the target",
    FindingCode.QUEUE_NEVER_OPENS: "open it, or give its calendar hours",
    FindingCode.POLICY_ADVICE: "allowed, but hardly meant",
}


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is not as it should be. Times are epoch milliseconds, durations milliseconds."""

    code: FindingCode
    severity: Severity
    subject: str = ""
    """What it is about: a requirement class, queue, skill or entry rule, or a place in the policy."""
    message: str
    advice: str
    contacts: int = 0
    """How many it concerns."""
    contact_ids: tuple[str, ...] = ()
    """The first twenty of them by id."""
    oldest_wait_ms: int | None = None
    soonest_end_at_ms: int | None = None
    agents: int = 0
    agent_ids: tuple[str, ...] = ()
    """The first twenty of them by id."""
    lacks: tuple[Lack, ...] = ()
    """What no agent has (``has``: the most there is), or with ``nearest_agents`` what those agents lack."""
    nearest_agents: int = 0
    """Not 0: everything is had by somebody, but not by one agent; so many come nearest."""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """All findings, the worst first, as of one event."""

    as_of_seq: int
    at_ms: int
    policy_version: int
    errors: int
    warnings: int
    notes: int
    findings: tuple[Finding, ...]
    left_out: int = 0
    """Findings beyond the first thousand; they are counted above."""
