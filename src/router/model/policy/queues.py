"""Channels and queues of a policy: capacity, offers, plans, callbacks, and when contacts are admitted and leave."""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

from typing import Annotated, TypeAlias

from msgspec import Meta

from router.model.policy.values import (
    DAY_S,
    AtClosing,
    AtNoAgents,
    CallbackMode,
    CallbackQueuePosition,
    ContactClock,
    Direction,
    Expression,
    LostDesktopAction,
    PolicyStruct,
    PreferredAgentKind,
    PriorityClass,
    PrioritySeconds,
    QueueOrder,
    ResumePlace,
    Seconds,
    Selection,
    Skills,
    SkipIf,
    SuspensionEnd,
    VoicemailCountsAs,
    WhenClosed,
    WhenFull,
    WhenNoAgentsReady,
)
from router.model.states import CallbackInClosedHours, Ident, MonitorMode, Name, SubjectId


class RateCapPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Rate cap: an agent gets at most ``contacts_max`` contacts within any ``window_s`` seconds, pending offers included.

    It does not limit a supervisor's assignments, but these count.
    """

    contacts_max: Annotated[int, Meta(ge=1, le=1_000)]
    """Maximum number of contacts within the window."""
    window_s: Annotated[int, Meta(ge=60, le=DAY_S)]
    """Length of the window in seconds."""


class ChannelPolicy(PolicyStruct, frozen=True, kw_only=True):
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
    leave_grace_s: Annotated[int, Meta(ge=10, le=DAY_S)] | None = None
    """Time for a waiting customer whose app is no longer connected to return (see requests); then the contact is abandoned.
    Null: a lost connection is no hang-up."""
    connect_timeout_s: Annotated[int, Meta(ge=1, le=600)] = 30
    """Time for the gateway to connect the customer of a conversation that switches to this channel."""
    gateway: SubjectId | None = None
    """Gateway that serves this channel, by the subject of its credential; a contact that continues on the channel is passed to it.
    Null: the gateway that has the contact serves this channel as well."""
    offer_channels: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()
    """Channels on which a customer of this one may go on if they wish, by a link (``POST /v1/contacts/{id}/link``)."""
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


class ServiceLevelPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Service level target and its thresholds.

    Service level: answered within the threshold / (answered + abandoned - abandoned short).
    """

    target: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.8
    """Share of contacts that should be answered within the threshold, 0 to 1."""
    threshold_s: Seconds = 20
    """Threshold in seconds; an answer after exactly this wait is within it."""
    short_abandon_s: Seconds = 5
    """A customer who leaves earlier does not count against the service level."""


class RonaPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Redirection on no answer: effect of an expired offer on the agent. Does not apply to broadcast offers."""

    not_ready: bool = True
    """Whether the agent is set ``not_ready``."""
    return_after_s: Seconds | None = None
    """Time after which the router sets the agent ``ready`` again; null: the agent must do it."""


class AttributeOrder(PolicyStruct, frozen=True, kw_only=True):
    """One sort key of ``selection: by_attributes``. Agents without the attribute come last in either direction."""

    fact: Name
    """A declared attribute of agents with an order: ``bool`` (false first), ``int``, ``enum`` (in the order of its ``values``)."""
    direction: Direction = Direction.ASC
    """Sort direction."""
    same_as: Name | None = None
    """Fact of customers: agents whose attribute equals it come first; without effect where it is not known."""
    when: Expression | None = None
    """Expression over facts of customers: the key counts only for contacts for whose customer it is true; null: for all."""


class CallbackPolicy(PolicyStruct, frozen=True, kw_only=True):
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


class SuspensionPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Contacts of a queue that are suspended and resumed later, on any channel."""

    place: ResumePlace = ResumePlace.KEEP_AGE
    """Place in the queue when the contact is resumed."""
    credit_s: Seconds = 300
    """Age with which a contact is resumed, in seconds, with ``place: credit``."""
    prefer_last_agent_s: Seconds = 30
    """Time for which a resumed contact is reserved for its last agent, if that agent is ``ready`` and qualifies; 0: not at all."""
    resume_within_s: Annotated[int, Meta(ge=60, le=60 * DAY_S)] = 7 * DAY_S
    """Time to resume a contact whose suspension names none."""
    resume_max_s: Annotated[int, Meta(ge=60, le=60 * DAY_S)] = 30 * DAY_S
    """How far ahead ``resume_by_ms`` of a request may be."""
    warn_before_s: Seconds = 3_600
    """Time before the end at which ``contact.resume_due`` warns; 0, or longer than the suspension: no warning."""
    at_expiry: SuspensionEnd = SuspensionEnd.END
    """What happens to a contact that is not resumed in time, if its suspension does not say."""
    task_channel: Name | None = None
    """Channel on which a contact is queued with ``at_expiry: queue``; null: its own."""


class MonitoringPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Supervisors who join a conversation: ``listen``, ``whisper`` and ``barge``."""

    modes: Annotated[tuple[MonitorMode, ...], Meta(max_length=3)] = (MonitorMode.LISTEN, MonitorMode.WHISPER, MonitorMode.BARGE)
    """Modes that are permitted; empty: none, and supervisors cannot join conversations."""
    agent_sees: bool = True
    """Whether the agent of the contact is told which supervisors have joined, and in which mode."""
    monitors_max: Annotated[int, Meta(ge=1, le=10)] = 3
    """Maximum number of supervisors who have joined one conversation at a time."""
    contacts_max: Annotated[int, Meta(ge=1, le=100)] = 5
    """Maximum number of conversations that one supervisor has joined at a time."""
    connect_timeout_s: Annotated[int, Meta(ge=1, le=600)] = 30
    """Time for the gateway to connect the supervisor, or to change the mode, and to report it."""
    duration_max_s: Annotated[int, Meta(ge=60, le=DAY_S)] = 4 * 3_600
    """Maximum time for which a supervisor stays in one conversation; the expiry of their token ends it earlier."""


class StepPolicy(PolicyStruct, frozen=True, kw_only=True):
    """One step of a plan: its duration and its changes to the requirement of the step before it.

    Changes accumulate from step to step, including those of skipped steps, but not of those whose ``when`` is not true. ``prefer``
    applies to its own step only.
    """

    duration_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] | None = None
    """Duration; null: unlimited, for the last step only."""
    when: Expression | None = None
    """Expression over facts of customers: where it is not true the step is skipped and changes nothing; null: for all contacts."""
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


class QueuePolicy(PolicyStruct, frozen=True, kw_only=True):
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
    """Expression over attributes of agents and facts of the customer: an agent qualifies for a contact of this queue only if it is
    true; null: no condition."""
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
    suspension: SuspensionPolicy = SuspensionPolicy()
    """Terms of suspending and resuming contacts."""
    monitoring: MonitoringPolicy | None = None
    """Terms on which supervisors join conversations of this queue; null: as in the policy."""
    expected_handle_s: Annotated[int, Meta(ge=1, le=DAY_S)] = 300
    """Initial estimate of the handling time of a contact in seconds, used by expected waits until contacts have been handled."""
