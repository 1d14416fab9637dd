"""The policy document, with its attributes, calendars, entry rules and the defaults of the workspace."""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

from typing import Annotated, TypeAlias

from msgspec import Meta

from router.model.policy.alerts import ALERTS_MAX, AlertPolicy
from router.model.policy.customer_facts import DerivePolicy
from router.model.policy.goals import GoalsPolicy
from router.model.policy.queues import ChannelPolicy, MonitoringPolicy, Plan, QueuePolicy, RateCapPolicy
from router.model.policy.requests import RequestPolicy
from router.model.policy.values import (
    DATE_PATTERN,
    DAY_S,
    SPAN_PATTERN,
    ZONE_PATTERN,
    Attributes,
    CrossQueueOrder,
    Expression,
    FactType,
    PolicyStruct,
    PriorityClass,
    PrioritySeconds,
    Selection,
    Skills,
)
from router.model.states import Ident, Name


class FactPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Declaration of a fact: an attribute of contacts or agents, or something that the router derives about customers.

    Contacts and agents may have only declared attributes.
    """

    type: FactType
    """Type of the values."""
    values: tuple[Ident, ...] = ()
    """Allowed values of an ``enum``."""
    applies_to: Annotated[
        str, Meta(pattern="^(contact|agent|customer)$", extra={"rule": "must be one of contact, agent, customer"})
    ] = "contact"
    """Whose fact it is: ``contact``, ``agent`` or ``customer``."""
    non_personal: bool = False
    """Declares that no value is personal data, which disables the check of its name and values."""
    derive: DerivePolicy | None = None
    """Where a fact of customers comes from; null for facts of contacts and agents, which clients set."""
    refresh_while_waiting: bool = False
    """Whether a change of this fact of customers reaches contacts that wait; false: it stays as it was at the submit."""


TimeSpan: TypeAlias = Annotated[str, Meta(pattern=SPAN_PATTERN)]
TimeSpans: TypeAlias = Annotated[tuple[TimeSpan, ...], Meta(max_length=12)]
CalendarDate: TypeAlias = Annotated[str, Meta(pattern=DATE_PATTERN)]


class WeekPolicy(PolicyStruct, frozen=True, kw_only=True):
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


class HolidaysPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Public holidays: an ISO 3166 country, and optionally a subdivision in the notation of the ``holidays`` library."""

    country: Annotated[
        str,
        Meta(
            pattern="^[A-Z]{2,3}(?!\\n)$",
            extra={"rule": "must be a country in two or three capital letters (ISO 3166), such as CH"},
        ),
    ]
    """Country code (ISO 3166)."""
    subdivision: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """State or province in the notation of the ``holidays`` library; null: only national holidays."""


class CalendarPolicy(PolicyStruct, frozen=True, kw_only=True):
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


class EntryCondition(PolicyStruct, frozen=True, kw_only=True):
    """Conditions of an entry rule; all must hold. A missing attribute does not match."""

    channel: Name | None = None
    """Required channel; null: any."""
    attributes: Attributes = {}
    """Required values, by attribute."""
    customer: Attributes = {}
    """Required values of facts of the customer, by name."""


class EntryRule(PolicyStruct, frozen=True, kw_only=True):
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
    offer_channels: Annotated[tuple[Name, ...], Meta(max_length=32)] | None = None
    """Channels offered to their customers, in place of those of the channel; null: those of the channel."""
    goal: Name | None = None
    """Goal of its contacts, unless the submit names another one; null: ``goals.default``."""


class AgentsPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Defaults for all agents; an agent's record may override them."""

    units: Annotated[int, Meta(ge=0, le=100_000)] = 100
    """Capacity of an agent in capacity units."""
    rate_cap: RateCapPolicy | None = None
    """Rate cap over all channels for each agent; null: unlimited."""
    desktop_grace_s: Annotated[int, Meta(ge=0, le=3_600)] = 15
    """Time for a lost desktop to reconnect, in seconds."""
    rescind_when_not_ready: bool = True
    """Whether pending offers are rescinded when the agent goes ``not_ready``; false: they stay until answered or expired."""


class RetentionPolicy(PolicyStruct, frozen=True, kw_only=True):
    """How many suspended and terminal contacts and idempotency keys stay in memory. The journal keeps the events longer."""

    ended_contacts_max: Annotated[int, Meta(ge=0, le=10_000_000)] = 20_000
    """Maximum number of terminal contacts in memory."""
    ended_contacts_s: Annotated[int, Meta(ge=0, le=30 * DAY_S)] = DAY_S
    """Time for which terminal contacts stay in memory, in seconds."""
    suspended_contacts_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 100_000
    """Maximum number of suspended contacts; beyond it no contact is suspended."""
    suspended_per_customer_max: Annotated[int, Meta(ge=0, le=1_000)] = 20
    """Maximum number of suspended contacts of one customer, where the router knows the customer."""
    idempotency_s: Annotated[int, Meta(ge=DAY_S, le=7 * DAY_S)] = DAY_S
    """Time for which idempotency keys are stored, in seconds."""
    idempotency_keys_max: Annotated[int, Meta(ge=1_000, le=50_000_000)] = 1_000_000
    """Maximum number of stored idempotency keys, about 350 bytes each. Beyond it a new key replaces an old one before its time: the
    oldest of the same client, if that client holds more than an equal share, else the oldest of all."""


class Policy(PolicyStruct, frozen=True, kw_only=True):
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
    """Declared attributes of contacts and agents, and facts of customers, by name."""
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
    monitoring: MonitoringPolicy = MonitoringPolicy()
    """Terms on which supervisors join conversations."""
    requests: RequestPolicy = RequestPolicy()
    """Options of customers who ask for an agent from an app."""
    alerts: Annotated[dict[Name, AlertPolicy], Meta(max_length=ALERTS_MAX)] = {}
    """Thresholds over statistics, by name."""
    goals: GoalsPolicy = GoalsPolicy()
    """What customers come for, and when it is done."""


def selections_of(policy: Policy) -> frozenset[Selection]:
    """Return all selections of a policy's queues and plans."""
    of_queues = {queue.selection for queue in policy.queues.values()}
    return frozenset(of_queues | selections_of_plans(policy))


def selections_of_plans(policy: Policy) -> frozenset[Selection]:
    """Return the selections of all plan steps, which may apply to contacts of any queue."""
    return frozenset(step.selection for plan in policy.plans.values() for step in plan if step.selection is not None)
