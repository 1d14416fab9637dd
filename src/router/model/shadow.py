"""What a shadow policy would have done otherwise: the differences and the report. Words only."""

from enum import StrEnum

from msgspec import Struct

from router.model.ids import AgentId, ContactId, QueueId


class DifferenceKind(StrEnum):
    """How the shadow policy differs from what has happened."""

    QUEUE = "queue"
    """A contact would wait in another queue."""
    REQUIREMENT = "requirement"
    """It would need other skills or levels."""
    PRIORITY = "priority"
    """It would have another head start or strict class."""
    REFUSED = "refused"
    """A submit that was taken would be refused; ``why`` has the refusal's code."""
    TAKEN = "taken"
    """A submit that was refused would be taken; ``why`` has the code of the refusal."""
    OTHER_AGENT = "other_agent"
    """The contact would have gone to another agent."""
    OTHER_CONTACT = "other_contact"
    """The agent would have got another contact."""
    NOT_ELIGIBLE = "not_eligible"
    """The agent could not take the contact at that moment; ``why`` has the codes of what he lacks."""
    SOONER = "sooner"
    """Both were free for each other, and would have been brought together at once; told once for each wait."""
    OVERFLOW = "overflow"
    """One overflows the contact and the other does not, or to another queue."""
    STEP = "step"
    """One goes on to another step of the contact's plan and the other does not, or to another one."""
    EXPIRY = "expiry"
    """One lets the contact expire after its longest wait and the other does not."""


class Difference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One case. Ids alone: the rest is told by the event ``seq`` and by ``why`` of a running router."""

    kind: DifferenceKind
    seq: int
    """The event at which it showed; for what the shadow alone would have done: the last one before."""
    at_ms: int
    contact_id: ContactId
    queue_id: QueueId = ""
    """Where it is in reality."""
    agent_id: AgentId | None = None
    """Who got the offer in reality."""
    shadow_queue_id: QueueId | None = None
    shadow_agent_id: AgentId | None = None
    """Whom the shadow policy would have chosen; none: nobody."""
    shadow_contact_id: ContactId | None = None
    """What that agent would have got instead; none: nothing."""
    why: tuple[str, ...] = ()


class ShadowQueue(Struct, kw_only=True):
    """One queue's totals, by the queue that the contacts are in in reality."""

    submits: int = 0
    offers: int = 0
    same: int = 0
    differences: dict[str, int] = {}


class ShadowReport(Struct, kw_only=True):
    """What a shadow policy has seen, and where it differs."""

    state: str = "following"
    """``starting``, ``following``, ``behind`` (it has skipped events and begins anew) or ``stopped`` (it failed)."""
    policy_seq: int = 0
    """The event that set the policy."""
    since_seq: int = 0
    since_ms: int = 0
    """Counted from here on: from the policy's setting, or the process's start."""
    as_of_seq: int = 0
    as_of_ms: int = 0
    submits: int = 0
    """New contacts that were judged, those that were refused counted."""
    offers: int = 0
    """Offers of the matcher; those of a transfer are a person's choice."""
    same: int = 0
    """Of these: the shadow would have made the same one."""
    overdue: int = 0
    """Of these: the shadow would have made one before; told as ``sooner``, or older than the shadow."""
    not_judged: int = 0
    """Of these: of contacts that the shadow would not have."""
    differences: dict[str, int] = {}
    """By kind; a submit can be in several."""
    queues: dict[QueueId, ShadowQueue] = {}
    examples: dict[str, tuple[Difference, ...]] = {}
    """The newest of each kind, oldest first."""
    events_missed: int = 0
    """Events that it has skipped because it could not keep up."""
    restarts: int = 0
    """How often it has begun anew from the live state."""
    failure: str | None = None
    """The kind of the error that has stopped it; the log has the rest."""
