"""Policy: what routing decides by. One document a workspace, published by a command, recorded in the journal.

Durations are whole seconds (``_s``) because people write them. Cross-references (a queue's overflow, a skill's name) are
checked in ``rules/check.py``; here stand only shapes and ranges.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from router.model.ids import Ident, Name

DAY_S: Final = 86_400
Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=7 * DAY_S)]
Proficiency: TypeAlias = Annotated[int, Meta(ge=1, le=10)]
# A head start in the queue, in seconds. Negative: this contact lets others pass.
PrioritySeconds: TypeAlias = Annotated[int, Meta(ge=-DAY_S, le=DAY_S)]
# Above priority: a contact of a higher class goes first however long the others wait.
StrictClass: TypeAlias = Annotated[int, Meta(ge=0, le=9)]
# What an agent's rank of a queue is that he does not name: 1 goes before it, 9 after it.
QUEUE_RANK: Final = 5
Skills: TypeAlias = Annotated[dict[Name, Proficiency], Meta(max_length=32)]
FactValue: TypeAlias = (
    bool | Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=128)]
)
# The lookahead keeps out the trailing newline that `$` alone lets through.
SPAN_PATTERN: Final = r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)(?!\n)$"
DATE_PATTERN: Final = r"^(19|20|21)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\n)$"
ZONE_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}(?!\n)$"
Attributes: TypeAlias = Annotated[dict[Name, FactValue], Meta(max_length=64)]

# A rule expression (CEL): what it may hold is said by ``rules/tokens.py`` and ``rules/expressions.py``.
Expression: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1_000)]


class Selection(StrEnum):
    """Which of several free, eligible agents gets the contact. Ties: longest idle, then agent id."""

    LONGEST_IDLE = "longest_idle"
    LEAST_OCCUPIED = "least_occupied"
    HIGHEST_PROFICIENCY = "highest_proficiency"
    ROUND_ROBIN = "round_robin"
    LEAST_FLEXIBLE = "least_flexible"
    FEWEST_TODAY = "fewest_today"
    WEIGHTED_RANDOM = "weighted_random"
    BY_FACTS = "by_facts"


class QueueOrder(StrEnum):
    """Who goes first in a queue: the oldest or, behind all queues of the other kind, the newest."""

    FIFO = "fifo"
    LIFO = "lifo"


class AcrossQueues(StrEnum):
    """What is compared between contacts of different queues: their age, or when each is due by its queue's target."""

    AGE = "age"
    RISK = "risk"


class Direction(StrEnum):
    """Smallest or largest value first."""

    ASC = "asc"
    DESC = "desc"


class LostDesktopAction(StrEnum):
    """What becomes of an agent's live contacts when his desktop stays away longer than the grace period."""

    KEEP = "keep"
    REQUEUE = "requeue"


class FactType(StrEnum):
    """The type of a declared fact. ``enum`` lists its values; ``ident`` is an opaque id, never a person's words."""

    BOOL = "bool"
    INT = "int"
    ENUM = "enum"
    IDENT = "ident"


class WhenFull(StrEnum):
    """What happens to a submit that finds its queue at ``length_max``."""

    REFUSE = "refuse"
    OVERFLOW = "overflow"


class WhenClosed(StrEnum):
    """What happens to a submit that finds its queue closed; ``wait``: it waits in line, held back until the opening."""

    REFUSE = "refuse"
    OVERFLOW = "overflow"
    WAIT = "wait"


class AtClosing(StrEnum):
    """What becomes of those who are in line when their queue closes.

    ``serve``: they are still offered; ``wait``: they are held back until the opening.
    """

    SERVE = "serve"
    WAIT = "wait"
    EXPIRE = "expire"
    OVERFLOW = "overflow"


class WhenNobody(StrEnum):
    """What happens to a submit for which nobody who qualifies is READY (busy or free)."""

    WAIT = "wait"
    REFUSE = "refuse"
    OVERFLOW = "overflow"


class CallbackMode(StrEnum):
    """Whether the agent is there before the customer is dialled, or the other way round."""

    AGENT_FIRST = "agent_first"
    CUSTOMER_FIRST = "customer_first"


class CallbackPlace(StrEnum):
    """Where a callback with an agreed time stands when that time comes: at its old age, or as if it came then."""

    KEEP = "keep"
    AT_DUE = "at_due"


class VoicemailIs(StrEnum):
    """What a machine that answers counts as."""

    DONE = "done"
    RETRY = "retry"


class Preferred(StrEnum):
    """Whom a step keeps its contacts for."""

    LAST = "last"
    """The agent who had this customer last: the contact's own former owner, or that of the contact it continues."""
    NAMED = "named"
    """The agents whom the contact names (``preferred_agents``): the customer's owner, his list."""


class SkipIf(StrEnum):
    """When a step is left out on entering it. Each is weaker than the next: nobody free includes nobody ready."""

    NEVER = "never"
    NOBODY_QUALIFIED = "nobody_qualified"
    """No agent may take it, whatever he does now."""
    NOBODY_READY = "nobody_ready"
    """No READY agent may take it, busy or not."""
    NOBODY_FREE = "nobody_free"
    """No agent could take it at this moment."""


class _Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Policy structs refuse unknown keys: a typo in routing data is costly."""


class FactPolicy(_Document, frozen=True, kw_only=True):
    """A declared fact: the only attributes that a contact or an agent may carry into the core and the journal."""

    type: FactType
    values: tuple[Ident, ...] = ()
    """Allowed values of an ``enum``."""
    of: Annotated[str, Meta(pattern="^(contact|agent)$")] = "contact"
    non_personal: bool = False
    """The policy's author answers for it: no value of it is a person's data, whatever its name or its values look like."""


class CapPolicy(_Document, frozen=True, kw_only=True):
    """A fairness cap: an agent takes at most ``most`` contacts within any ``per_s`` seconds; pending offers count too.

    A supervisor's assign is not held back by it, but counts.
    """

    most: Annotated[int, Meta(ge=1, le=1_000)]
    per_s: Annotated[int, Meta(ge=60, le=DAY_S)]


class ChannelPolicy(_Document, frozen=True, kw_only=True):
    """A channel: what one item of it costs an agent, and how offers on it behave unless the queue says otherwise."""

    units: Annotated[int, Meta(ge=0, le=10_000)] = 100
    """Capacity that one item uses up, out of the agent's units."""
    per_agent_max: Annotated[int, Meta(ge=1, le=1_000)] = 1
    """Most items of this channel that one agent has at once."""
    blocks: tuple[Name, ...] = ()
    """Channels of which an agent gets no new item while he has one of this channel."""
    interrupts: tuple[Name, ...] = ()
    """Channels whose items give their capacity back while an agent has one of this channel."""
    cap: CapPolicy | None = None
    """Most contacts of this channel that one agent takes within a time; none: as many as come."""
    park_max_s: Annotated[int, Meta(ge=1, le=30 * DAY_S)] | None = None
    """A contact parked for longer ends; none: it may be parked for ever."""
    unpark_away: LostDesktopAction = LostDesktopAction.KEEP
    """The customer of a parked conversation writes while its agent is not READY: it waits there for him, or is requeued."""
    wrap_up_holds_capacity: bool = True
    auto_accept: bool = False
    offer_timeout_s: Annotated[int, Meta(ge=1, le=DAY_S)] = 15
    wrap_up_s: Seconds = 0
    wrap_up_max_s: Seconds = 600
    """Extensions never take a wrap-up beyond this, counted from its start."""
    lost_desktop: LostDesktopAction = LostDesktopAction.KEEP
    lost_desktop_prefer_s: Seconds = 30
    """After a requeue, the time for which only the same agent may have the contact back."""
    consult_holds: bool = True
    """The customer is put on hold when a consult is accepted, and taken off it when the consult is over."""
    participants_max: Annotated[int, Meta(ge=1, le=10)] = 3
    """Most agents in one conversation beside its owner, the consulted one and a pending consult included."""


class ServiceLevelPolicy(_Document, frozen=True, kw_only=True):
    """The target and how it is counted; the formula stands in ``stats/service_level.py``."""

    target: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.8
    threshold_s: Seconds = 20
    short_abandon_s: Seconds = 5


class RonaPolicy(_Document, frozen=True, kw_only=True):
    """Redirection on no answer: what an expired offer does to the agent (never for broadcast offers)."""

    not_ready: bool = True
    return_after_s: Seconds | None = None
    """Automatic return to READY; none: the agent returns by himself."""


class FactOrder(_Document, frozen=True, kw_only=True):
    """One step of ``selection: by_facts``. Agents without the fact come last either way."""

    fact: Name
    """A declared fact of agents that has an order: ``bool`` (false first), ``int``, ``enum`` (by its place in ``values``)."""
    direction: Direction = Direction.ASC


class CallbackPolicy(_Document, frozen=True, kw_only=True):
    """Callbacks from a queue: the customer hangs up and keeps his place in line."""

    mode: CallbackMode = CallbackMode.AGENT_FIRST
    """Unless the request names one."""
    channel: Name | None = None
    """The channel that a callback uses, unless the request names one; none: the contact's own."""
    attempts_max: Annotated[int, Meta(ge=1, le=10)] = 3
    retry_after_s: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=7 * DAY_S)], ...], Meta(min_length=1, max_length=9)
    ] = (300,)
    """The pause after the first attempt, the second …; the last one repeats."""
    ring_s: Annotated[int, Meta(ge=1, le=3_600)] = 45
    """The gateway has so long to report an attempt's outcome; silence counts as no answer."""
    voicemail_is: VoicemailIs = VoicemailIs.RETRY
    schedule_max_s: Annotated[int, Meta(ge=0, le=30 * DAY_S)] = 7 * DAY_S
    """How far ahead a time may be agreed; 0: no agreed times."""
    place: CallbackPlace = CallbackPlace.KEEP
    expires_after_s: Annotated[int, Meta(ge=60, le=60 * DAY_S)] | None = DAY_S
    """Counted from the request, or from the agreed time; none: never. In place of ``ttl_s`` and ``wait_max_s``."""


class StepPolicy(_Document, frozen=True, kw_only=True):
    """One step of a plan: for how long, and what it changes in the requirement of the step before it.

    Changes add up from step to step, those of skipped steps included; ``prefer`` holds for its own step only.
    """

    for_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] | None = None
    """How long it lasts; none: to the end, for the last step only."""
    skills: Skills | None = None
    """The whole requirement from here on, the queue's included: replaces what was asked for before."""
    remove_skills: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()
    """No longer asked for."""
    levels: Skills = {}
    """No more than this level is asked for any longer; a skill that is not asked for stays so."""
    keep_earlier: bool = True
    """Agents of the steps before may still take it, where ``skills`` would shut them out."""
    prefer: Annotated[tuple[Preferred, ...], Meta(max_length=2)] = ()
    prefer_agents: Annotated[tuple[Ident, ...], Meta(max_length=32)] = ()
    """With either of these: only these agents may take it in this step."""
    add_priority_s: PrioritySeconds = 0
    """Added to the contact's credit from here on; negative lets others pass."""
    strict_class: StrictClass = 0
    """The least strict class from here on."""
    queue: Name | None = None
    """It moves to this queue, at its age."""
    selection: Selection | None = None
    """The rule by which agents are chosen from here on; none: as before."""
    skip_if: SkipIf | None = None
    """None: ``nobody_ready`` for a step that prefers agents, else ``never``. The last step is never skipped."""


Plan: TypeAlias = Annotated[tuple[StepPolicy, ...], Meta(min_length=1, max_length=16)]


class QueuePolicy(_Document, frozen=True, kw_only=True):
    """A queue: where contacts wait under one policy."""

    requires: Skills = {}
    """Skills that every contact of this queue needs, besides its own."""
    selection: Selection = Selection.LONGEST_IDLE
    plan: Name | None = None
    """The steps that its contacts go through while they wait."""
    priority_s: PrioritySeconds = 0
    """Added to the contact's own priority."""
    strict_class: StrictClass = 0
    """The least strict class of a contact in this queue."""
    agents_when: Expression | None = None
    """An expression over agents' facts: only those for whom it holds are qualified here."""
    offer_timeout_s: Annotated[int, Meta(ge=1, le=DAY_S)] | None = None
    auto_accept: bool | None = None
    broadcast: Annotated[int, Meta(ge=1, le=100)] = 1
    """Offer to this many agents at once; the first accept wins."""
    wrap_up_s: dict[Name, Seconds] = {}
    """Wrap-up by channel; a channel not named here takes its own default."""
    length_max: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    when_full: WhenFull = WhenFull.REFUSE
    wait_max_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] | None = None
    """After this wait the contact overflows, or expires where there is no ``overflow_to``."""
    overflow_to: Name | None = None
    hours: Name | None = None
    """The calendar by which it opens and closes; none: always open, unless a supervisor closes it."""
    when_closed: WhenClosed = WhenClosed.REFUSE
    at_closing: AtClosing = AtClosing.SERVE
    when_nobody: WhenNobody = WhenNobody.WAIT
    cool_down_s: Seconds = 30
    """After a decline or RONA the contact is not offered to that agent again for this long."""
    rona: RonaPolicy = RonaPolicy()
    service_level: ServiceLevelPolicy = ServiceLevelPolicy()
    order: QueueOrder = QueueOrder.FIFO
    order_by: Annotated[tuple[FactOrder, ...], Meta(max_length=8)] = ()
    """For ``selection: by_facts``: the first fact decides, then the next, then the longest idle."""
    weight_fact: Name | None = None
    """For ``selection: weighted_random``: an ``int`` fact of agents; missing or below 1 counts 1, above 1,000 counts 1,000."""
    callback: CallbackPolicy | None = None
    """Callbacks; none: this queue offers none."""
    expected_handle_s: Annotated[int, Meta(ge=1, le=DAY_S)] = 300
    """What one contact is thought to take an agent until some have been handled: expected waits begin with it."""


Span: TypeAlias = Annotated[str, Meta(pattern=SPAN_PATTERN)]
Spans: TypeAlias = Annotated[tuple[Span, ...], Meta(max_length=12)]
CalendarDate: TypeAlias = Annotated[str, Meta(pattern=DATE_PATTERN)]


class WeekPolicy(_Document, frozen=True, kw_only=True):
    """Open spans by weekday, in local time; a day that is not named is closed."""

    mon: Spans = ()
    tue: Spans = ()
    wed: Spans = ()
    thu: Spans = ()
    fri: Spans = ()
    sat: Spans = ()
    sun: Spans = ()


class HolidaysPolicy(_Document, frozen=True, kw_only=True):
    """Whose public holidays count: an ISO 3166 country, and a subdivision of it as the ``holidays`` library names it."""

    country: Annotated[str, Meta(pattern="^[A-Z]{2,3}(?!\\n)$")]
    subdivision: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class CalendarPolicy(_Document, frozen=True, kw_only=True):
    """Opening hours. ``dates`` win over ``holidays``, and these over ``week``.

    A span belongs to the day on which it begins, also where it goes over midnight (``22:00-06:00``).
    """

    zone: Annotated[str, Meta(pattern=ZONE_PATTERN)]
    """An IANA time zone."""
    week: WeekPolicy = WeekPolicy()
    holidays: HolidaysPolicy | None = None
    holiday_hours: Spans = ()
    """Open spans of a public holiday; none: closed."""
    dates: Annotated[dict[CalendarDate, Spans], Meta(max_length=1_000)] = {}
    """Open spans of single days (``2026-12-24``), whatever weekday or holiday they are; none: closed."""


class EntryWhen(_Document, frozen=True, kw_only=True):
    """What an entry rule asks; every line must hold. A missing attribute is no match."""

    channel: Name | None = None
    attributes: Attributes = {}


class EntryRule(_Document, frozen=True, kw_only=True):
    """Classifies a contact that names no queue. The first rule that holds decides."""

    name: Name
    when: EntryWhen | Expression = EntryWhen()
    """Lines that must hold, or an expression over the contact's and the queues' facts."""
    queue: Name
    priority_s: PrioritySeconds = 0
    strict_class: StrictClass = 0
    skills: Skills = {}
    plan: Name | None = None
    """The steps that its contacts go through, in place of the queue's."""


class AgentsPolicy(_Document, frozen=True, kw_only=True):
    """What holds for every agent unless his own record says otherwise."""

    units: Annotated[int, Meta(ge=0, le=100_000)] = 100
    cap: CapPolicy | None = None
    """Most contacts of all channels together that one agent takes within a time; none: as many as come."""
    desktop_grace_s: Annotated[int, Meta(ge=0, le=3_600)] = 15
    rescind_when_not_ready: bool = True
    """An agent who goes not ready loses his open offers at once; false lets them run to their end."""


class RetentionPolicy(_Document, frozen=True, kw_only=True):
    """How long finished things can be asked for. The event log keeps them beyond this."""

    ended_contacts_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 20_000
    ended_contacts_s: Annotated[int, Meta(ge=0, le=30 * DAY_S)] = DAY_S
    idempotency_s: Annotated[int, Meta(ge=DAY_S, le=7 * DAY_S)] = DAY_S


class Policy(_Document, frozen=True, kw_only=True):
    """The whole document of a workspace."""

    channels: Annotated[dict[Name, ChannelPolicy], Meta(min_length=1, max_length=32)]
    queues: Annotated[dict[Name, QueuePolicy], Meta(min_length=1, max_length=10_000)]
    skills: Annotated[tuple[Name, ...], Meta(max_length=10_000)] = ()
    calendars: Annotated[dict[Name, CalendarPolicy], Meta(max_length=200)] = {}
    """Opening hours by name; queues refer to them."""
    overflow_hops_max: Annotated[int, Meta(ge=1, le=100)] = 10
    """A contact that has overflowed so often stays where it is."""
    plans: Annotated[dict[Name, Plan], Meta(max_length=1_000)] = {}
    """Steps by name: how a requirement is relaxed while a contact waits."""
    facts: Annotated[dict[Name, FactPolicy], Meta(max_length=256)] = {}
    entry: Annotated[tuple[EntryRule, ...], Meta(max_length=1_000)] = ()
    default_queue: Name | None = None
    """Where a contact goes that names no queue and matches no entry rule; none refuses it."""
    dispositions: Annotated[tuple[Ident, ...], Meta(max_length=1_000)] = ()
    """Codes an assignment may be completed with; empty: any id."""
    not_ready_reasons: Annotated[tuple[Ident, ...], Meta(max_length=100)] = ()
    """Reasons an agent may give for NOT_READY; empty: any id."""
    agents: AgentsPolicy = AgentsPolicy()
    retention: RetentionPolicy = RetentionPolicy()
    across_queues: AcrossQueues = AcrossQueues.AGE
    zone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"
    """The IANA time zone of the workspace's days."""
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """Of ``selection: weighted_random``: another seed, other draws."""
