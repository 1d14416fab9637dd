"""Values that occur in policies: numbers with their ranges, patterns, and the words of each setting.

Durations are whole seconds (``_s``) because people write them.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from router.model.states import Name

DAY_S: Final = 86_400
Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=7 * DAY_S)]
Proficiency: TypeAlias = Annotated[int, Meta(ge=1, le=10)]
# Seconds of priority: a contact ranks as if it had waited that much longer. Negative: it ranks behind contacts of the same age.
PrioritySeconds: TypeAlias = Annotated[int, Meta(ge=-DAY_S, le=DAY_S)]
# A contact of a higher priority class is always served first, however long the others have waited.
PriorityClass: TypeAlias = Annotated[int, Meta(ge=0, le=9)]
# Rank of a queue that an agent's record does not rank; 1 is the first, 9 the last.
QUEUE_RANK_DEFAULT: Final = 5
Skills: TypeAlias = Annotated[dict[Name, Proficiency], Meta(max_length=32)]
FactValue: TypeAlias = bool | Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=128)]
# In Python `$` also matches before a trailing newline; the lookahead excludes it.
SPAN_PATTERN: Final = r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)(?!\n)$"
DATE_PATTERN: Final = r"^(19|20|21)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\n)$"
ZONE_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}(?!\n)$"
Attributes: TypeAlias = Annotated[dict[Name, FactValue], Meta(max_length=64)]
# Merge patches (RFC 7396) of the two: null removes an entry.
SkillsPatch: TypeAlias = Annotated[dict[Name, Proficiency | None], Meta(max_length=64)]
AttributesPatch: TypeAlias = Annotated[dict[Name, FactValue | None], Meta(max_length=128)]
# A rule expression (CEL). Its syntax is restricted in ``router.policy.expression_tokens``.
Expression: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1_000)]


class Selection(StrEnum):
    """Rule that chooses among several eligible agents. Ties: longest idle, then agent id."""

    LONGEST_IDLE = "longest_idle"
    """The agent who has been idle longest."""
    LEAST_OCCUPIED = "least_occupied"
    """The agent with the smallest share of the capacity in use."""
    HIGHEST_PROFICIENCY = "highest_proficiency"
    """The agent with the largest sum of levels in the required skills."""
    ROUND_ROBIN = "round_robin"
    """The agent whose last offer is longest ago."""
    LEAST_FLEXIBLE = "least_flexible"
    """The agent with the fewest skills."""
    FEWEST_TODAY = "fewest_today"
    """The agent with the fewest contacts of the current day."""
    WEIGHTED_RANDOM = "weighted_random"
    """A pseudo-random agent, with the probabilities of ``weight_fact``."""
    BY_ATTRIBUTES = "by_attributes"
    """The first agent in the order of ``order_by``."""


class QueueOrder(StrEnum):
    """Order of the contacts within a queue."""

    FIFO = "fifo"
    """Oldest first."""
    LIFO = "lifo"
    """Newest first. Such queues are served after all others."""


class CrossQueueOrder(StrEnum):
    """Order between contacts of different queues."""

    PRIORITY_AND_AGE = "priority_and_age"
    """By priority and age."""
    SERVICE_LEVEL_RISK = "service_level_risk"
    """By the time left until the service-level threshold."""


class Direction(StrEnum):
    """Sort direction."""

    ASC = "asc"
    """Smallest value first."""
    DESC = "desc"
    """Largest value first."""


class LostDesktopAction(StrEnum):
    """Whether live contacts stay with their agent, or return to their queue."""

    KEEP = "keep"
    """The agent keeps them."""
    REQUEUE = "requeue"
    """They return to their queue."""


class FactType(StrEnum):
    """Type of a declared attribute (fact)."""

    BOOL = "bool"
    """true or false."""
    INT = "int"
    """An integer."""
    ENUM = "enum"
    """One of the declared ``values``."""
    IDENT = "ident"
    """An opaque id, never free text."""


class WhenFull(StrEnum):
    """What happens to a contact that is to enter a queue with ``length_max`` contacts."""

    REFUSE = "refuse"
    """It is refused with ``queue_full``."""
    OVERFLOW = "overflow"
    """It enters the queue ``overflow_to``."""


class WhenClosed(StrEnum):
    """What happens to a contact that is to enter a closed queue."""

    REFUSE = "refuse"
    """It is refused with ``queue_closed``."""
    OVERFLOW = "overflow"
    """It enters the queue ``overflow_to``."""
    WAIT = "wait"
    """It is queued, and not offered before the opening."""


class AtClosing(StrEnum):
    """What happens to waiting contacts when their queue closes."""

    SERVE = "serve"
    """They are still offered."""
    WAIT = "wait"
    """They are not offered before the opening."""
    EXPIRE = "expire"
    """They expire with the reason ``closed``."""
    OVERFLOW = "overflow"
    """They move to the queue ``overflow_to``."""


class ContactClock(StrEnum):
    """Clock of a contact that may stand still while the contact waits for its queue to open."""

    TTL = "ttl"
    """Time to live of a contact that is not a callback (``ttl_s``)."""
    CALLBACK_EXPIRY = "callback_expiry"
    """Lifetime of a callback (``expires_after_s``)."""
    WAIT_MAX = "wait_max"
    """Maximum wait (``wait_max_s``)."""
    PLAN = "plan"
    """Steps of the plan."""
    RESERVATION = "reservation"
    """Reservation for an agent after a transfer or a lost desktop."""
    SERVICE_LEVEL = "service_level"
    """Wait in statistics, rules and forecasts, and the due date."""


class WhenNoAgentsReady(StrEnum):
    """What happens to a contact that is to enter a queue while no qualified agent is ``ready`` (busy or free)."""

    WAIT = "wait"
    """It is queued."""
    REFUSE = "refuse"
    """It is refused with ``no_agents_ready``."""
    OVERFLOW = "overflow"
    """It enters the queue ``overflow_to``."""


class AtNoAgents(StrEnum):
    """What happens to waiting contacts when no agent of their queue has been ``ready`` for ``no_agents_for_s``."""

    OVERFLOW = "overflow"
    """They move to the queue ``overflow_to``; where no queue admits them, they wait on."""
    EXPIRE = "expire"
    """They expire with the reason ``no_agents_ready``."""


class CallbackMode(StrEnum):
    """Order of assigning an agent and dialling the customer."""

    AGENT_FIRST = "agent_first"
    """The agent is assigned, then the customer is dialled."""
    CUSTOMER_FIRST = "customer_first"
    """The customer is dialled, and assigned to an agent after answering."""


class CallbackQueuePosition(StrEnum):
    """Queue position of a callback when its agreed time comes."""

    KEEP = "keep"
    """By its original age."""
    FROM_DUE_TIME = "from_due_time"
    """As if it had been submitted at the agreed time."""


class VoicemailCountsAs(StrEnum):
    """How an attempt that reaches voicemail counts."""

    DONE = "done"
    """As a completed callback."""
    RETRY = "retry"
    """As an attempt that failed."""


class ResumePlace(StrEnum):
    """Place of a resumed contact in its queue."""

    KEEP_AGE = "keep_age"
    """By the age that it had when it was suspended; the time that it was suspended does not count."""
    CREDIT = "credit"
    """As if it had been submitted ``credit_s`` before it is resumed."""
    FRESH = "fresh"
    """As if it were submitted when it is resumed."""


class SuspensionEnd(StrEnum):
    """What happens to a suspended contact that is not resumed in time."""

    END = "end"
    """It expires."""
    QUEUE = "queue"
    """It is queued as a task: an agent looks after it without the customer."""


class PreferredAgentKind(StrEnum):
    """Kind of agents that a plan step reserves contacts for."""

    LAST = "last"
    """The customer's last agent: the former owner of the contact, or the owner of the contact that it continues."""
    NAMED = "named"
    """The agents listed in the contact's ``preferred_agents``."""


class SkipIf(StrEnum):
    """When a plan step is skipped on entry. Each condition implies the next: no agent ready implies no agent free."""

    NEVER = "never"
    """The step is always entered."""
    NO_AGENT_QUALIFIED = "no_agent_qualified"
    """No agent qualifies, regardless of states."""
    NO_AGENT_READY = "no_agent_ready"
    """No ``ready`` agent qualifies, busy or free."""
    NO_AGENT_FREE = "no_agent_free"
    """No agent is eligible at this moment."""


class PolicyStruct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of the policy structs. Unknown keys are refused, so that a misspelt key is found."""
