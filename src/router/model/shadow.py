"""Report of a shadow policy: the decisions in which it differs from the active policy.

A shadow policy decides on the same events as the active policy and changes nothing. Each of its decisions is compared with
what has happened: the queue, requirement and priority of a submit; the agent and the time of an offer; overflows, steps of
plans and expiries. The report counts the differences and keeps the latest ones of each kind as examples.
"""

from enum import StrEnum

from msgspec import Struct

from router.model.states import AgentId, ContactId, QueueId


class DifferenceKind(StrEnum):
    """Kind of difference between the shadow policy and what has happened."""

    QUEUE = "queue"
    """The contact would wait in another queue."""
    REQUIREMENT = "requirement"
    """The contact would need other skills or levels."""
    PRIORITY = "priority"
    """The contact would have another priority or priority class."""
    REFUSED = "refused"
    """A submit that was accepted would be refused; ``why`` contains the refusal's code."""
    TAKEN = "taken"
    """A submit that was refused would be accepted; ``why`` contains the refusal's code."""
    OTHER_AGENT = "other_agent"
    """The contact would have been offered to another agent."""
    OTHER_CONTACT = "other_contact"
    """The agent would have been offered another contact."""
    NOT_ELIGIBLE = "not_eligible"
    """The agent would not have been eligible then; ``why`` contains the codes of the unmet conditions."""
    SOONER = "sooner"
    """Contact and agent would have been matched earlier; reported once for each wait."""
    OVERFLOW = "overflow"
    """Only one of the policies overflows the contact, or they choose different queues."""
    STEP = "step"
    """Only one of the policies enters another step of the contact's plan, or they choose different steps."""
    EXPIRY = "expiry"
    """Only one of the policies lets the contact expire after its maximum wait."""


class Difference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference. Contains ids only; details are in the event ``seq`` and in the answers of ``why``."""

    kind: DifferenceKind
    """Kind of the difference."""
    seq: int
    """Event at which the difference appeared; for a decision of the shadow alone, the last event before it."""
    at_ms: int
    contact_id: ContactId
    queue_id: QueueId = ""
    """Actual queue of the contact."""
    agent_id: AgentId | None = None
    """Agent who actually got the offer; null: none."""
    shadow_queue_id: QueueId | None = None
    """Queue chosen by the shadow policy; null: none, or the same."""
    shadow_agent_id: AgentId | None = None
    """Agent chosen by the shadow policy; null: no agent."""
    shadow_contact_id: ContactId | None = None
    """Contact that the agent would have been offered instead; null: no contact."""
    why: tuple[str, ...] = ()
    """Codes that explain the difference: of a refusal, or of unmet conditions."""


class ShadowQueue(Struct, kw_only=True):
    """Totals of one queue, by the actual queue of the contacts."""

    submits: int = 0
    """Submits compared, including refused ones."""
    offers: int = 0
    """Offers made by matching."""
    same: int = 0
    """Offers that the shadow would have made identically."""
    differences: dict[str, int] = {}
    """Counts by kind."""


class ShadowReport(Struct, kw_only=True):
    """Totals and examples of a shadow policy."""

    state: str = "active"
    """``starting``, ``active``, ``behind`` (it has skipped events and restarts) or ``stopped`` (it failed)."""
    policy_seq: int = 0
    """Event that set the policy."""
    since_seq: int = 0
    """Event after which the counts begin."""
    since_ms: int = 0
    """Start of the counts, epoch milliseconds: when the policy was set or the process started."""
    as_of_seq: int = 0
    as_of_ms: int = 0
    """Time of the last event that the report includes, epoch milliseconds."""
    submits: int = 0
    """Number of submits compared, including refused ones."""
    offers: int = 0
    """Number of offers made by matching; offers of transfers are excluded, since a person chose the agent."""
    same: int = 0
    """Offers that the shadow would have made identically."""
    overdue: int = 0
    """Offers that the shadow would have made earlier; reported as ``sooner`` unless the wait began before the shadow."""
    not_judged: int = 0
    """Offers of contacts that the shadow would not have in its queues."""
    differences: dict[str, int] = {}
    """Counts by kind; one submit can count in several."""
    queues: dict[QueueId, ShadowQueue] = {}
    """Totals by queue."""
    examples: dict[str, tuple[Difference, ...]] = {}
    """Latest differences of each kind, oldest first."""
    events_missed: int = 0
    """Number of events skipped because the shadow could not keep up."""
    restarts: int = 0
    """Number of restarts from the live state."""
    failure: str | None = None
    """Type of the error that stopped it; details are in the log. Null: it runs."""
