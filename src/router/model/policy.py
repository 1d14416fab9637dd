"""Routing policy: one document per workspace, published by a command and recorded in the journal.

Durations are whole seconds (``_s``) because people write them. This module defines types and ranges only; references
between parts of the document (the queue of an overflow, the name of a skill) are checked by ``router.policy.checks``.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from router.model.states import CallbackInClosedHours, Ident, Name, SubjectId

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


class _PolicyStruct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of the policy structs. Unknown keys are refused, so that a misspelt key is found."""


class FactPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Declaration of an attribute (fact). Contacts and agents may have only declared attributes."""

    type: FactType
    """Type of the values."""
    values: tuple[Ident, ...] = ()
    """Allowed values of an ``enum``."""
    applies_to: Annotated[str, Meta(pattern="^(contact|agent)$")] = "contact"
    """Whose attribute it is: ``contact`` or ``agent``."""
    non_personal: bool = False
    """Declares that no value is personal data, which disables the check of its name and values."""


class RateCapPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Rate cap: an agent gets at most ``contacts_max`` contacts within any ``window_s`` seconds, pending offers included.

    It does not limit a supervisor's assignments, but these count.
    """

    contacts_max: Annotated[int, Meta(ge=1, le=1_000)]
    """Maximum number of contacts within the window."""
    window_s: Annotated[int, Meta(ge=60, le=DAY_S)]
    """Length of the window in seconds."""


class ChannelPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """A channel: the capacity that a contact uses while offered or assigned, and defaults, which a queue may override."""

    units: Annotated[int, Meta(ge=0, le=10_000)] = 100
    """Capacity units that one contact uses, of the agent's ``units``."""
    per_agent_max: Annotated[int, Meta(ge=1, le=1_000)] = 1
    """Maximum number of concurrent contacts of this channel per agent."""
    blocks: tuple[Name, ...] = ()
    """Channels on which an agent gets no new contact while handling one of this channel."""
    interrupts: tuple[Name, ...] = ()
    """Channels whose contacts release their capacity while the agent handles one of this channel."""
    rate_cap: RateCapPolicy | None = None
    """Rate cap of this channel for each agent; null: unlimited."""
    park_max_s: Annotated[int, Meta(ge=1, le=30 * DAY_S)] | None = None
    """Maximum time a contact stays parked; then it ends. Null: unlimited."""
    unpark_when_not_ready: LostDesktopAction = LostDesktopAction.KEEP
    """What happens when the customer of a parked contact writes and its agent is not ``ready``: ``keep``, or ``requeue``."""
    wrap_up_holds_capacity: bool = True
    """Whether the wrap-up uses the capacity of the conversation."""
    auto_accept: bool = False
    """Whether offers are accepted at once, without an answer of the agent."""
    offer_timeout_s: Annotated[int, Meta(ge=1, le=DAY_S)] = 15
    """Time for the agent to answer an offer, in seconds."""
    wrap_up_s: Seconds = 0
    """Duration of the wrap-up (after-contact work) in seconds; 0: none."""
    wrap_up_max_s: Seconds = 600
    """Maximum duration of a wrap-up with its extensions, from its start."""
    lost_desktop: LostDesktopAction = LostDesktopAction.KEEP
    """What happens to an agent's live contacts when the desktop stays disconnected beyond the grace period."""
    lost_desktop_prefer_s: Seconds = 30
    """After a requeue, the time for which the contact is reserved for the same agent."""
    hold_during_consult: bool = True
    """Whether the customer is on hold from the acceptance of a consult until its end."""
    participants_max: Annotated[int, Meta(ge=1, le=10)] = 3
    """Maximum number of agents in a conversation besides its owner, including running and pending consults."""


class ServiceLevelPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Service level target and its thresholds.

    Service level: answered within the threshold / (answered + abandoned - abandoned short).
    """

    target: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.8
    """Share of contacts that should be answered within the threshold, 0 to 1."""
    threshold_s: Seconds = 20
    """Threshold in seconds; an answer after exactly this wait is within it."""
    short_abandon_s: Seconds = 5
    """A customer who leaves earlier does not count against the service level."""


class RonaPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Redirection on no answer: effect of an expired offer on the agent. Does not apply to broadcast offers."""

    not_ready: bool = True
    """Whether the agent is set ``not_ready``."""
    return_after_s: Seconds | None = None
    """Time after which the router sets the agent ``ready`` again; null: the agent must do it."""


class AttributeOrder(_PolicyStruct, frozen=True, kw_only=True):
    """One sort key of ``selection: by_attributes``. Agents without the attribute come last in either direction."""

    fact: Name
    """A declared attribute of agents with an order: ``bool`` (false first), ``int``, ``enum`` (in the order of its ``values``)."""
    direction: Direction = Direction.ASC
    """Sort direction."""


class CallbackPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Callbacks from a queue: the customer disconnects and keeps the position in the queue."""

    mode: CallbackMode = CallbackMode.AGENT_FIRST
    """Default for requests that name no mode."""
    channel: Name | None = None
    """Channel of a callback whose request names none; null: the contact's own."""
    attempts_max: Annotated[int, Meta(ge=1, le=10)] = 3
    """Maximum number of attempts."""
    retry_after_s: Annotated[tuple[Annotated[int, Meta(ge=1, le=7 * DAY_S)], ...], Meta(min_length=1, max_length=9)] = (300,)
    """Delays before the second attempt, the third, …; the last value repeats."""
    ring_timeout_s: Annotated[int, Meta(ge=1, le=3_600)] = 45
    """Time for the gateway to report an attempt's outcome; without a report it counts as no answer."""
    voicemail_counts_as: VoicemailCountsAs = VoicemailCountsAs.RETRY
    """How an attempt that reaches voicemail counts."""
    schedule_max_s: Annotated[int, Meta(ge=0, le=30 * DAY_S)] = 7 * DAY_S
    """How far ahead a call may be agreed; 0: no agreed times."""
    queue_position: CallbackQueuePosition = CallbackQueuePosition.KEEP
    """Queue position when the agreed time comes."""
    expires_after_s: Annotated[int, Meta(ge=60, le=60 * DAY_S)] | None = DAY_S
    """Lifetime from the request or the agreed time; null: unlimited. Replaces ``ttl_s`` and ``wait_max_s``."""
    in_closed_hours: CallbackInClosedHours = CallbackInClosedHours.ADJUST
    """What happens to an agreed time at which the queue is closed by its calendar."""


class StepPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """One step of a plan: its duration and its changes to the requirement of the step before it.

    Changes accumulate from step to step, including those of skipped steps. ``prefer`` applies to its own step only.
    """

    duration_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] | None = None
    """Duration; null: unlimited, for the last step only."""
    skills: Skills | None = None
    """Complete requirement from this step on; replaces the earlier one, including the queue's."""
    remove_skills: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()
    """Skills no longer required."""
    lower_levels: Skills = {}
    """Highest level still required, by skill: a higher one is reduced to it. Skills that are not required are not added."""
    keep_earlier_agents: bool = True
    """Whether agents who qualified in earlier steps still qualify where ``skills`` would exclude them."""
    prefer: Annotated[tuple[PreferredAgentKind, ...], Meta(max_length=2)] = ()
    """Agents that the step reserves the contact for, by kind."""
    prefer_agents: Annotated[tuple[SubjectId, ...], Meta(max_length=32)] = ()
    """Agents that the step reserves the contact for, in addition to those of ``prefer``."""
    add_priority_s: PrioritySeconds = 0
    """Seconds of priority added to the contact from this step on; may be negative."""
    priority_class: PriorityClass = 0
    """Minimum priority class from this step on."""
    queue: Name | None = None
    """Queue to which the contact moves; it keeps its age."""
    selection: Selection | None = None
    """Selection from this step on; null: unchanged."""
    skip_if: SkipIf | None = None
    """When to skip it; null: ``no_agent_ready`` for a step that prefers agents, else ``never``. The last step is never skipped."""


Plan: TypeAlias = Annotated[tuple[StepPolicy, ...], Meta(min_length=1, max_length=16)]


class QueuePolicy(_PolicyStruct, frozen=True, kw_only=True):
    """A queue of waiting contacts and its rules."""

    requires: Skills = {}
    """Skills required by every contact of this queue, in addition to its own."""
    selection: Selection = Selection.LONGEST_IDLE
    """Rule that chooses among several eligible agents."""
    plan: Name | None = None
    """Plan whose steps its contacts pass while they wait; null: none."""
    priority_s: PrioritySeconds = 0
    """Seconds added to the contact's own priority."""
    priority_class: PriorityClass = 0
    """Minimum priority class of its contacts."""
    agents_when: Expression | None = None
    """Expression over agents' attributes: an agent qualifies for this queue only if it is true; null: no condition."""
    offer_timeout_s: Annotated[int, Meta(ge=1, le=DAY_S)] | None = None
    """Time for the agent to answer an offer; null: as in the channel."""
    auto_accept: bool | None = None
    """Whether offers are accepted at once; null: as in the channel."""
    broadcast: Annotated[int, Meta(ge=1, le=100)] = 1
    """Number of simultaneous offers of a contact; the first accept wins."""
    wrap_up_s: dict[Name, Seconds] = {}
    """Wrap-up time by channel; default: the channel's own."""
    dispositions: Annotated[tuple[Ident, ...], Meta(max_length=1_000)] | None = None
    """Disposition codes for completing an assignment of this queue; empty: any id; null: as in the policy."""
    length_max: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    """Maximum number of waiting contacts; null: unlimited."""
    when_full: WhenFull = WhenFull.REFUSE
    """What happens to a contact that is to enter the queue when it is full."""
    wait_max_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] | None = None
    """Maximum wait; then the contact overflows, or expires if there is no ``overflow_to``. Null: unlimited."""
    overflow_to: Name | None = None
    """Queue to which contacts overflow; null: none."""
    hours: Name | None = None
    """Calendar by which the queue opens and closes; null: always open, unless a supervisor closes it."""
    when_closed: WhenClosed = WhenClosed.REFUSE
    """What happens to a contact that is to enter the queue when it is closed."""
    at_closing: AtClosing = AtClosing.SERVE
    """What happens to waiting contacts when the queue closes."""
    clocks_while_closed: Annotated[tuple[ContactClock, ...], Meta(max_length=6)] = (ContactClock.TTL,)
    """Clocks that run while a contact waits for the opening; the others stand still."""
    when_no_agents_ready: WhenNoAgentsReady = WhenNoAgentsReady.WAIT
    """What happens to a contact that is to enter the queue when no qualified agent is ``ready``."""
    no_agents_for_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] | None = None
    """Time without a ``ready`` agent of the queue after which waiting contacts leave it; null: they wait on."""
    at_no_agents: AtNoAgents = AtNoAgents.OVERFLOW
    """What happens to waiting contacts after that time."""
    cool_down_s: Seconds = 30
    """Time after a decline or RONA for which the contact is not offered to that agent again."""
    rona: RonaPolicy = RonaPolicy()
    """Effect of an expired offer on the agent."""
    service_level: ServiceLevelPolicy = ServiceLevelPolicy()
    """Service level target and thresholds."""
    order: QueueOrder = QueueOrder.FIFO
    """Order of the contacts within the queue."""
    order_by: Annotated[tuple[AttributeOrder, ...], Meta(max_length=8)] = ()
    """Sort keys of agents for ``selection: by_attributes``, most significant first; ties go to the longest idle."""
    weight_fact: Name | None = None
    """``int`` attribute of agents for ``selection: weighted_random``; missing or below 1 counts as 1, above 1,000 as 1,000."""
    callback: CallbackPolicy | None = None
    """Terms of callbacks; null: the queue accepts none."""
    expected_handle_s: Annotated[int, Meta(ge=1, le=DAY_S)] = 300
    """Initial estimate of the handling time of a contact in seconds, used by expected waits until contacts have been handled."""


TimeSpan: TypeAlias = Annotated[str, Meta(pattern=SPAN_PATTERN)]
TimeSpans: TypeAlias = Annotated[tuple[TimeSpan, ...], Meta(max_length=12)]
CalendarDate: TypeAlias = Annotated[str, Meta(pattern=DATE_PATTERN)]


class WeekPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Opening times by weekday, in local time; a weekday without times is closed."""

    mon: TimeSpans = ()
    """Opening times on Mondays, for example ``["09:00-12:00", "13:00-17:00"]``."""
    tue: TimeSpans = ()
    """Opening times on Tuesdays, for example ``["09:00-12:00", "13:00-17:00"]``."""
    wed: TimeSpans = ()
    """Opening times on Wednesdays, for example ``["09:00-12:00", "13:00-17:00"]``."""
    thu: TimeSpans = ()
    """Opening times on Thursdays, for example ``["09:00-12:00", "13:00-17:00"]``."""
    fri: TimeSpans = ()
    """Opening times on Fridays, for example ``["09:00-12:00", "13:00-17:00"]``."""
    sat: TimeSpans = ()
    """Opening times on Saturdays, for example ``["09:00-12:00", "13:00-17:00"]``."""
    sun: TimeSpans = ()
    """Opening times on Sundays, for example ``["09:00-12:00", "13:00-17:00"]``."""


class HolidaysPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Public holidays: an ISO 3166 country, and optionally a subdivision in the notation of the ``holidays`` library."""

    country: Annotated[str, Meta(pattern="^[A-Z]{2,3}(?!\\n)$")]
    """Country code (ISO 3166)."""
    subdivision: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """State or province in the notation of the ``holidays`` library; null: only national holidays."""


class CalendarPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Opening hours. ``dates`` override ``holidays``, and ``holidays`` override ``week``.

    A time span belongs to the day on which it begins, even if it ends after midnight (``22:00-06:00``).
    """

    zone: Annotated[str, Meta(pattern=ZONE_PATTERN)]
    """IANA time zone of the opening times."""
    week: WeekPolicy = WeekPolicy()
    """Opening times by weekday."""
    holidays: HolidaysPolicy | None = None
    """Public holidays; null: none."""
    holiday_hours: TimeSpans = ()
    """Opening times on public holidays; empty: closed."""
    dates: Annotated[dict[CalendarDate, TimeSpans], Meta(max_length=1_000)] = {}
    """Opening times of single dates (``2026-12-24``), regardless of weekday and holidays; empty: closed."""


class EntryCondition(_PolicyStruct, frozen=True, kw_only=True):
    """Conditions of an entry rule; all must hold. A missing attribute does not match."""

    channel: Name | None = None
    """Required channel; null: any."""
    attributes: Attributes = {}
    """Required values, by attribute."""


class EntryRule(_PolicyStruct, frozen=True, kw_only=True):
    """Rule that chooses the queue of a contact submitted without one. The first matching rule decides."""

    name: Name
    """Name of the rule, unique within the policy."""
    when: EntryCondition | Expression = EntryCondition()
    """Equality conditions, or an expression over the attributes of the contact and the metrics of the queues."""
    queue: Name
    """Queue of the contacts that match."""
    priority_s: PrioritySeconds = 0
    """Seconds of priority added to its contacts."""
    priority_class: PriorityClass = 0
    """Minimum priority class of its contacts."""
    skills: Skills = {}
    """Skills required in addition to those of the contact and the queue."""
    plan: Name | None = None
    """Plan of its contacts, in place of the queue's; null: the queue's."""


class AgentsPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """Defaults for all agents; an agent's record may override them."""

    units: Annotated[int, Meta(ge=0, le=100_000)] = 100
    """Capacity of an agent in capacity units."""
    rate_cap: RateCapPolicy | None = None
    """Rate cap over all channels for each agent; null: unlimited."""
    desktop_grace_s: Annotated[int, Meta(ge=0, le=3_600)] = 15
    """Time for a lost desktop to reconnect, in seconds."""
    rescind_when_not_ready: bool = True
    """Whether pending offers are rescinded when the agent goes ``not_ready``; false: they stay until answered or expired."""


class RetentionPolicy(_PolicyStruct, frozen=True, kw_only=True):
    """How long terminal contacts and idempotency keys stay in memory. The journal keeps the events longer."""

    ended_contacts_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 20_000
    """Maximum number of terminal contacts in memory."""
    ended_contacts_s: Annotated[int, Meta(ge=0, le=30 * DAY_S)] = DAY_S
    """Time for which terminal contacts stay in memory, in seconds."""
    idempotency_s: Annotated[int, Meta(ge=DAY_S, le=7 * DAY_S)] = DAY_S
    """Time for which idempotency keys are stored, in seconds."""
    idempotency_keys_max: Annotated[int, Meta(ge=1_000, le=50_000_000)] = 1_000_000
    """Maximum number of stored idempotency keys, about 350 bytes each. Beyond it a new key replaces an old one before its time: the
    oldest of the same client, if that client holds more than an equal share, else the oldest of all."""


class Policy(_PolicyStruct, frozen=True, kw_only=True):
    """The complete policy of a workspace."""

    channels: Annotated[dict[Name, ChannelPolicy], Meta(min_length=1, max_length=32)]
    """Channels by name."""
    queues: Annotated[dict[Name, QueuePolicy], Meta(min_length=1, max_length=10_000)]
    """Queues by name."""
    skills: Annotated[tuple[Name, ...], Meta(max_length=10_000)] = ()
    """Declared skills."""
    calendars: Annotated[dict[Name, CalendarPolicy], Meta(max_length=200)] = {}
    """Opening hours by name, referred to by queues."""
    overflow_count_max: Annotated[int, Meta(ge=1, le=100)] = 10
    """Maximum number of overflows of a contact."""
    plans: Annotated[dict[Name, Plan], Meta(max_length=1_000)] = {}
    """Plans by name: steps that relax the requirement of a waiting contact."""
    facts: Annotated[dict[Name, FactPolicy], Meta(max_length=256)] = {}
    """Declared attributes of contacts and agents, by name."""
    entry: Annotated[tuple[EntryRule, ...], Meta(max_length=1_000)] = ()
    """Entry rules; the first that matches chooses the queue of a contact submitted without one."""
    default_queue: Name | None = None
    """Queue of contacts that name no queue and match no entry rule; null: they are refused."""
    dispositions: Annotated[tuple[Ident, ...], Meta(max_length=1_000)] = ()
    """Disposition codes for completing an assignment; empty: any id."""
    not_ready_reasons: Annotated[tuple[Ident, ...], Meta(max_length=100)] = ()
    """Allowed reasons for ``not_ready``; empty: any id."""
    agents: AgentsPolicy = AgentsPolicy()
    """Defaults for all agents."""
    retention: RetentionPolicy = RetentionPolicy()
    """Retention in memory."""
    cross_queue_order: CrossQueueOrder = CrossQueueOrder.PRIORITY_AND_AGE
    """Order between contacts of different queues."""
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
    return frozenset(step.selection for plan in policy.plans.values() for step in plan if step.selection is not None)
