"""Routing policy: one document per workspace, published by a command and recorded in the journal.

Durations are whole seconds (``_s``) because people write them. This module defines types and ranges only; references
between parts of the document (the queue of an overflow, the name of a skill) are checked by ``router.policy.checks``.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from router.model.ids import Ident, Name

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
FactValue: TypeAlias = (
    bool | Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=128)]
)
# In Python `$` also matches before a trailing newline; the lookahead excludes it.
SPAN_PATTERN: Final = r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)(?!\n)$"
DATE_PATTERN: Final = r"^(19|20|21)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\n)$"
ZONE_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}(?!\n)$"
Attributes: TypeAlias = Annotated[dict[Name, FactValue], Meta(max_length=64)]
# A rule expression (CEL). Its syntax is restricted in ``router.policy.expression_tokens``.
Expression: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1_000)]


class Selection(StrEnum):
    """Rule that chooses among several eligible agents. Ties: longest idle, then agent id."""

    LONGEST_IDLE = "longest_idle"
    LEAST_OCCUPIED = "least_occupied"
    HIGHEST_PROFICIENCY = "highest_proficiency"
    ROUND_ROBIN = "round_robin"
    LEAST_FLEXIBLE = "least_flexible"
    FEWEST_TODAY = "fewest_today"
    WEIGHTED_RANDOM = "weighted_random"
    BY_ATTRIBUTES = "by_attributes"


class QueueOrder(StrEnum):
    """Order within a queue: oldest first, or newest first. Newest-first queues are served after all others."""

    FIFO = "fifo"
    LIFO = "lifo"


class CrossQueueOrder(StrEnum):
    """Order between contacts of different queues: by priority and age, or by the time left to their service level's target."""

    PRIORITY_AND_AGE = "priority_and_age"
    SERVICE_LEVEL_RISK = "service_level_risk"


class Direction(StrEnum):
    """Sort direction."""

    ASC = "asc"
    DESC = "desc"


class LostDesktopAction(StrEnum):
    """What happens to an agent's live contacts when the desktop stays disconnected beyond the grace period."""

    KEEP = "keep"
    REQUEUE = "requeue"


class FactType(StrEnum):
    """Type of a declared fact. ``enum`` lists its values; ``ident`` is an opaque id, never free text."""

    BOOL = "bool"
    INT = "int"
    ENUM = "enum"
    IDENT = "ident"


class WhenFull(StrEnum):
    """What happens to a submit when its queue has ``length_max`` contacts."""

    REFUSE = "refuse"
    OVERFLOW = "overflow"


class WhenClosed(StrEnum):
    """What happens to a submit when its queue is closed. ``wait``: it is queued and not offered before the opening."""

    REFUSE = "refuse"
    OVERFLOW = "overflow"
    WAIT = "wait"


class AtClosing(StrEnum):
    """What happens to waiting contacts when their queue closes.

    ``serve``: they are still offered; ``wait``: they are not offered before the opening.
    """

    SERVE = "serve"
    WAIT = "wait"
    EXPIRE = "expire"
    OVERFLOW = "overflow"


class WhenNoAgentsReady(StrEnum):
    """What happens to a submit when no qualified agent is READY (busy or free)."""

    WAIT = "wait"
    REFUSE = "refuse"
    OVERFLOW = "overflow"


class CallbackMode(StrEnum):
    """Whether the agent is assigned before the customer is dialled, or after the customer has answered."""

    AGENT_FIRST = "agent_first"
    CUSTOMER_FIRST = "customer_first"


class CallbackQueuePosition(StrEnum):
    """Queue position of a callback when its agreed time comes: by its original age, or as if it was submitted then."""

    KEEP = "keep"
    FROM_DUE_TIME = "from_due_time"


class VoicemailCountsAs(StrEnum):
    """How an attempt that reaches voicemail counts."""

    DONE = "done"
    RETRY = "retry"


class PreferredAgentKind(StrEnum):
    """Kind of agents that a plan step reserves contacts for."""

    LAST = "last"
    """The customer's last agent: the former owner of the contact, or the owner of the contact that it continues."""
    NAMED = "named"
    """The agents listed in the contact's ``preferred_agents``."""


class SkipIf(StrEnum):
    """When a plan step is skipped on entry. Each condition implies the next: no agent ready implies no agent free."""

    NEVER = "never"
    NO_AGENT_QUALIFIED = "no_agent_qualified"
    """No agent qualifies, regardless of states."""
    NO_AGENT_READY = "no_agent_ready"
    """No READY agent qualifies, busy or free."""
    NO_AGENT_FREE = "no_agent_free"
    """No agent is eligible at this moment."""


class _PolicyStruct(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Base of the policy structs. Unknown keys are refused, so that a misspelt key is found."""


class FactPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """A declared fact. Contacts and agents may have attributes only for declared facts."""

    type: FactType
    values: tuple[Ident, ...] = ()
    """Allowed values of an ``enum``."""
    applies_to: Annotated[str, Meta(pattern="^(contact|agent)$")] = "contact"
    non_personal: bool = False
    """Declares that no value is personal data, which disables the check of its name and values."""


class RateCapPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Rate cap: an agent gets at most ``contacts_max`` contacts within any ``window_s`` seconds, pending offers included.

    It does not limit a supervisor's assignments, but these count.
    """

    contacts_max: Annotated[int, Meta(ge=1, le=1_000)]
    window_s: Annotated[int, Meta(ge=60, le=DAY_S)]


class ChannelPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """A channel: the capacity that an item uses, and the defaults of its offers, which a queue may override."""

    units: Annotated[int, Meta(ge=0, le=10_000)] = 100
    """Capacity that one item uses, of the agent's units."""
    per_agent_max: Annotated[int, Meta(ge=1, le=1_000)] = 1
    """Maximum number of concurrent items of this channel per agent."""
    blocks: tuple[Name, ...] = ()
    """Channels on which an agent gets no new item while handling one of this channel."""
    interrupts: tuple[Name, ...] = ()
    """Channels whose items release their capacity while the agent handles one of this channel."""
    rate_cap: RateCapPolicy | None = None
    """Rate cap of this channel for each agent; none: unlimited."""
    park_max_s: Annotated[int, Meta(ge=1, le=30 * DAY_S)] | None = None
    """Maximum time a contact stays parked; then it ends. None: unlimited."""
    unpark_when_not_ready: LostDesktopAction = LostDesktopAction.KEEP
    """What happens when the customer of a parked contact writes and its agent is not READY: it stays or is requeued."""
    wrap_up_holds_capacity: bool = True
    auto_accept: bool = False
    offer_timeout_s: Annotated[int, Meta(ge=1, le=DAY_S)] = 15
    wrap_up_s: Seconds = 0
    wrap_up_max_s: Seconds = 600
    """Maximum duration of a wrap-up with its extensions, from its start."""
    lost_desktop: LostDesktopAction = LostDesktopAction.KEEP
    lost_desktop_prefer_s: Seconds = 30
    """After a requeue, the time for which the contact is reserved for the same agent."""
    hold_during_consult: bool = True
    """Whether the customer is on hold from the acceptance of a consult until its end."""
    participants_max: Annotated[int, Meta(ge=1, le=10)] = 3
    """Maximum number of agents in a conversation besides its owner, including running and pending consults."""


class ServiceLevelPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Service level target and its thresholds; the formula is in ``statistics/service_level.py``."""

    target: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.8
    threshold_s: Seconds = 20
    short_abandon_s: Seconds = 5


class RonaPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Redirection on no answer: effect of an expired offer on the agent. Does not apply to broadcast offers."""

    not_ready: bool = True
    return_after_s: Seconds | None = None
    """Time after which the router sets the agent READY again; none: the agent must do it."""


class AttributeOrder(_PolicyStruct, frozen=True, kw_only=True):
    """One sort key of ``selection: by_attributes``. Agents without the fact come last in either direction."""

    fact: Name
    """A declared fact of agents with an order: ``bool`` (false first), ``int``, ``enum`` (in the order of its ``values``)."""
    direction: Direction = Direction.ASC


class CallbackPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Callbacks from a queue: the customer hangs up and keeps the position in the queue."""

    mode: CallbackMode = CallbackMode.AGENT_FIRST
    """Default for requests that name no mode."""
    channel: Name | None = None
    """Channel of a callback whose request names none; none: the contact's own."""
    attempts_max: Annotated[int, Meta(ge=1, le=10)] = 3
    retry_after_s: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=7 * DAY_S)], ...], Meta(min_length=1, max_length=9)
    ] = (300,)
    """Pauses after the first attempt, the second, …; the last value repeats."""
    ring_timeout_s: Annotated[int, Meta(ge=1, le=3_600)] = 45
    """Time for the gateway to report an attempt's outcome; without a report it counts as no answer."""
    voicemail_counts_as: VoicemailCountsAs = VoicemailCountsAs.RETRY
    schedule_max_s: Annotated[int, Meta(ge=0, le=30 * DAY_S)] = 7 * DAY_S
    """How far ahead a call may be agreed; 0: no agreed times."""
    queue_position: CallbackQueuePosition = CallbackQueuePosition.KEEP
    expires_after_s: Annotated[int, Meta(ge=60, le=60 * DAY_S)] | None = DAY_S
    """Lifetime from the request or the agreed time; none: unlimited. Replaces ``ttl_s`` and ``wait_max_s``."""


class StepPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """One step of a plan: its duration and its changes to the requirement of the step before it.

    Changes accumulate from step to step, including those of skipped steps. ``prefer`` applies to its own step only.
    """

    duration_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] | None = None
    """Duration; none: unlimited, for the last step only."""
    skills: Skills | None = None
    """Complete requirement from this step on; replaces the earlier one, including the queue's."""
    remove_skills: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()
    """Skills no longer required."""
    lower_levels: Skills = {}
    """Upper limits of required levels. A skill that is not required is not added."""
    keep_earlier_agents: bool = True
    """Whether agents who qualified in earlier steps still qualify where ``skills`` would exclude them."""
    prefer: Annotated[tuple[PreferredAgentKind, ...], Meta(max_length=2)] = ()
    prefer_agents: Annotated[tuple[Ident, ...], Meta(max_length=32)] = ()
    """Agents that the step reserves the contact for, in addition to those of ``prefer``."""
    add_priority_s: PrioritySeconds = 0
    """Seconds of priority added to the contact from this step on; may be negative."""
    priority_class: PriorityClass = 0
    """Minimum priority class from this step on."""
    queue: Name | None = None
    """Queue to which the contact moves; it keeps its age."""
    selection: Selection | None = None
    """Selection from this step on; none: unchanged."""
    skip_if: SkipIf | None = None
    """When to skip it; none: ``no_agent_ready`` for a step that prefers agents, else ``never``. The last step is never skipped."""


Plan: TypeAlias = Annotated[tuple[StepPolicy, ...], Meta(min_length=1, max_length=16)]


class QueuePolicy(_PolicyStruct, frozen=True, kw_only=True):
    """A queue of waiting contacts and its rules."""

    requires: Skills = {}
    """Skills required by every contact of this queue, in addition to its own."""
    selection: Selection = Selection.LONGEST_IDLE
    plan: Name | None = None
    """Plan whose steps its contacts pass while they wait."""
    priority_s: PrioritySeconds = 0
    """Seconds added to the contact's own priority."""
    priority_class: PriorityClass = 0
    """Minimum priority class of its contacts."""
    agents_when: Expression | None = None
    """Expression over agents' facts: an agent qualifies for this queue only if it is true."""
    offer_timeout_s: Annotated[int, Meta(ge=1, le=DAY_S)] | None = None
    auto_accept: bool | None = None
    broadcast: Annotated[int, Meta(ge=1, le=100)] = 1
    """Number of simultaneous offers of a contact; the first accept wins."""
    wrap_up_s: dict[Name, Seconds] = {}
    """Wrap-up time by channel; default: the channel's own."""
    length_max: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    when_full: WhenFull = WhenFull.REFUSE
    wait_max_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] | None = None
    """Maximum wait; then the contact overflows, or expires if there is no ``overflow_to``."""
    overflow_to: Name | None = None
    hours: Name | None = None
    """Calendar by which the queue opens and closes; none: always open, unless a supervisor closes it."""
    when_closed: WhenClosed = WhenClosed.REFUSE
    at_closing: AtClosing = AtClosing.SERVE
    when_no_agents_ready: WhenNoAgentsReady = WhenNoAgentsReady.WAIT
    cool_down_s: Seconds = 30
    """Time after a decline or RONA for which the contact is not offered to that agent again."""
    rona: RonaPolicy = RonaPolicy()
    service_level: ServiceLevelPolicy = ServiceLevelPolicy()
    order: QueueOrder = QueueOrder.FIFO
    order_by: Annotated[tuple[AttributeOrder, ...], Meta(max_length=8)] = ()
    """Sort keys of ``selection: by_attributes``, most significant first; ties go to the longest idle."""
    weight_fact: Name | None = None
    """``int`` fact of agents for ``selection: weighted_random``; missing or below 1 counts as 1, above 1,000 as 1,000."""
    callback: CallbackPolicy | None = None
    """Terms of callbacks; none: the queue offers none."""
    expected_handle_s: Annotated[int, Meta(ge=1, le=DAY_S)] = 300
    """Initial estimate of the handling time of a contact, used by expected waits until contacts have been handled."""


TimeSpan: TypeAlias = Annotated[str, Meta(pattern=SPAN_PATTERN)]
TimeSpans: TypeAlias = Annotated[tuple[TimeSpan, ...], Meta(max_length=12)]
CalendarDate: TypeAlias = Annotated[str, Meta(pattern=DATE_PATTERN)]


class WeekPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Opening times by weekday, in local time; a weekday without times is closed."""

    mon: TimeSpans = ()
    tue: TimeSpans = ()
    wed: TimeSpans = ()
    thu: TimeSpans = ()
    fri: TimeSpans = ()
    sat: TimeSpans = ()
    sun: TimeSpans = ()


class HolidaysPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Public holidays: an ISO 3166 country, and optionally a subdivision in the notation of the ``holidays`` library."""

    country: Annotated[str, Meta(pattern="^[A-Z]{2,3}(?!\\n)$")]
    subdivision: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class CalendarPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Opening hours. ``dates`` override ``holidays``, and ``holidays`` override ``week``.

    A time span belongs to the day on which it begins, even if it ends after midnight (``22:00-06:00``).
    """

    zone: Annotated[str, Meta(pattern=ZONE_PATTERN)]
    """IANA time zone."""
    week: WeekPolicy = WeekPolicy()
    holidays: HolidaysPolicy | None = None
    holiday_hours: TimeSpans = ()
    """Opening times on public holidays; empty: closed."""
    dates: Annotated[dict[CalendarDate, TimeSpans], Meta(max_length=1_000)] = {}
    """Opening times of single dates (``2026-12-24``), regardless of weekday and holidays; empty: closed."""


class EntryCondition(_PolicyStruct, frozen=True, kw_only=True):
    """Conditions of an entry rule; all must hold. A missing attribute does not match."""

    channel: Name | None = None
    attributes: Attributes = {}


class EntryRule(_PolicyStruct, frozen=True, kw_only=True):
    """Rule that chooses the queue of a contact submitted without one. The first matching rule decides."""

    name: Name
    when: EntryCondition | Expression = EntryCondition()
    """Equality conditions, or an expression over the facts of the contact and the queues."""
    queue: Name
    priority_s: PrioritySeconds = 0
    priority_class: PriorityClass = 0
    skills: Skills = {}
    plan: Name | None = None
    """Plan of its contacts, in place of the queue's."""


class AgentsPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Defaults for all agents; an agent's record may override them."""

    units: Annotated[int, Meta(ge=0, le=100_000)] = 100
    rate_cap: RateCapPolicy | None = None
    """Rate cap over all channels for each agent; none: unlimited."""
    desktop_grace_s: Annotated[int, Meta(ge=0, le=3_600)] = 15
    rescind_when_not_ready: bool = True
    """Whether pending offers are rescinded when the agent goes not ready; false: they stay until answered or expired."""


class RetentionPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """How long terminal contacts and idempotency keys stay in memory. The journal keeps the events longer."""

    ended_contacts_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 20_000
    ended_contacts_s: Annotated[int, Meta(ge=0, le=30 * DAY_S)] = DAY_S
    idempotency_s: Annotated[int, Meta(ge=DAY_S, le=7 * DAY_S)] = DAY_S


class Policy(_PolicyStruct, frozen=True, kw_only=True):
    """The complete policy of a workspace."""

    channels: Annotated[dict[Name, ChannelPolicy], Meta(min_length=1, max_length=32)]
    queues: Annotated[dict[Name, QueuePolicy], Meta(min_length=1, max_length=10_000)]
    skills: Annotated[tuple[Name, ...], Meta(max_length=10_000)] = ()
    calendars: Annotated[dict[Name, CalendarPolicy], Meta(max_length=200)] = {}
    """Opening hours by name, referred to by queues."""
    overflow_count_max: Annotated[int, Meta(ge=1, le=100)] = 10
    """Maximum number of overflows of a contact."""
    plans: Annotated[dict[Name, Plan], Meta(max_length=1_000)] = {}
    """Plans by name: steps that relax the requirement of a waiting contact."""
    facts: Annotated[dict[Name, FactPolicy], Meta(max_length=256)] = {}
    entry: Annotated[tuple[EntryRule, ...], Meta(max_length=1_000)] = ()
    default_queue: Name | None = None
    """Queue of contacts that name no queue and match no entry rule; none: they are refused."""
    dispositions: Annotated[tuple[Ident, ...], Meta(max_length=1_000)] = ()
    """Disposition codes for completing an assignment; empty: any id."""
    not_ready_reasons: Annotated[tuple[Ident, ...], Meta(max_length=100)] = ()
    """Allowed reasons for NOT_READY; empty: any id."""
    agents: AgentsPolicy = AgentsPolicy()
    retention: RetentionPolicy = RetentionPolicy()
    cross_queue_order: CrossQueueOrder = CrossQueueOrder.PRIORITY_AND_AGE
    zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    """IANA time zone that defines the workspace's days."""
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """Seed of the pseudo-random choice of ``selection: weighted_random``."""


def selections_of(policy: Policy) -> frozenset[Selection]:
    """Return all selections of a policy's queues and plans."""
    of_queues = {queue.selection for queue in policy.queues.values()}
    return frozenset(of_queues | selections_of_plans(policy))


def selections_of_plans(policy: Policy) -> frozenset[Selection]:
    """Return the selections of all plan steps, which may apply to contacts of any queue."""
    return frozenset(
        step.selection
        for plan in policy.plans.values()
        for step in plan
        if step.selection is not None
    )
