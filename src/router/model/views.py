"""What can be seen: plain answers to questions, built by the core from its state and sent as they are.

Times are epoch milliseconds, durations milliseconds. ``as_of_seq`` says which event the answer includes.
"""

from msgspec import Struct

from router.model.callbacks import CallbackPhase
from router.model.forecasts import ExpectedWait, ForecastAccuracy
from router.model.ids import AgentId, AssignmentId, ContactId, GatewayId, OfferId, QueueId
from router.model.policy import CallbackMode, FactValue
from router.model.states import (
    AgentState,
    AssignmentRole,
    AssignmentState,
    ContactState,
    Presence,
    Turn,
)


class _View(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class OfferView(_View, frozen=True, kw_only=True):
    """A pending offer, with what the desktop needs to decide."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    channel: str
    queue_id: QueueId
    made_at_ms: int
    deadline_ms: int
    waited_ms: int
    units: int
    reason: str
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    from_agent_id: AgentId | None = None
    role: AssignmentRole = AssignmentRole.OWNER
    """What he is to the contact once he accepts."""
    interrupted: bool = False
    """It uses no capacity: an item of a channel that interrupts this one has taken its place."""
    turn: Turn | None = None
    others: int = 0
    values: dict[str, FactValue] = {}


class AssignmentView(_View, frozen=True, kw_only=True):
    """Work in an agent's hands."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    state: AssignmentState
    channel: str
    queue_id: QueueId
    started_at_ms: int
    units: int
    """Capacity it uses up now; 0 while it is parked or interrupted."""
    interrupted: bool = False
    """An item of a channel that interrupts this one has taken its place for the time being."""
    parked_until_ms: int | None = None
    """Parked: when the contact ends by itself."""
    wrap_up_deadline_ms: int | None = None
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    role: AssignmentRole = AssignmentRole.OWNER
    members: dict[AgentId, AssignmentRole] = {}
    """Everybody in the conversation, himself included; empty: nobody but the owner, or he has left it."""
    reason: str = ""
    """Why this agent: that of the offer, or ``supervisor``."""
    turn: Turn | None = None
    others: int = 0
    values: dict[str, FactValue] = {}


class ParticipantView(_View, frozen=True, kw_only=True):
    """An agent who is in a conversation beside its owner."""

    agent_id: AgentId
    assignment_id: AssignmentId
    role: AssignmentRole
    since_ms: int


class CallbackView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """A contact as a callback."""

    mode: CallbackMode
    phase: CallbackPhase
    attempts: int
    """Begun so far."""
    scheduled_at_ms: int | None
    """The agreed time."""
    due_at_ms: int | None
    """The next moment at which time alone changes something: the agreed time, the next try, the end of dialling."""
    expires_at_ms: int | None
    outcome: str | None
    """Of the last attempt whose outcome is known."""


class ContactView(_View, frozen=True, kw_only=True):
    """A contact as the gateway and the supervisor see it."""

    contact_id: ContactId
    state: ContactState
    channel: str
    queue_id: QueueId
    req: str
    queued_at_ms: int
    changed_at_ms: int
    orig_seq: int
    priority_s: int
    strict_class: int
    skills: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    gateway_id: GatewayId = ""
    position: int | None = None
    """1 = next, among those waiting in its queue."""
    expected_wait: ExpectedWait | None = None
    """How much longer it waits; none: it does not wait any more, or it is one of a list."""
    agent_id: AgentId | None = None
    assignment_id: AssignmentId | None = None
    participants: tuple[ParticipantView, ...] = ()
    """Who is in the conversation beside the owner, first come first."""
    offers: tuple[OfferView, ...] = ()
    offers_made: int = 0
    ttl_at_ms: int | None = None
    wait_until_ms: int | None = None
    hops: int = 0
    """How often it has overflowed."""
    held: bool = False
    """It waits for its queue to open."""
    preferred_agent_id: AgentId | None = None
    parked: bool = False
    """Its agent waits for the customer."""
    plan: str | None = None
    """The plan it goes through: its own or the queue's."""
    step: int | None = None
    """The step it is in, counted from 0."""
    step_until_ms: int | None = None
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    reason: str | None = None
    """Of the terminal state."""
    rule: str | None = None
    """The entry rule that gave it its queue; none: its gateway named the queue, or no rule held."""
    failed_rules: tuple[str, ...] = ()
    """Entry rules before that one which could not be asked: a fact was missing, a number overflowed."""
    callback: CallbackView | None = None


class AgentView(_View, frozen=True, kw_only=True):
    """An agent, with the items that use his capacity."""

    agent_id: AgentId
    state: AgentState
    presence: Presence
    units: int
    units_used: int
    can_take: tuple[str, ...]
    """Channels of which he could be offered an item right now."""
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    channel_max: dict[str, int] = {}
    paused: tuple[str, ...] = ()
    """Channels of which he takes nothing new for the time being."""
    attributes: dict[str, FactValue] = {}
    reason: str | None = None
    state_since_ms: int = 0
    idle_since_ms: int | None = None
    return_at_ms: int | None = None
    next_state: AgentState | None = None
    next_reason: str | None = None
    offers: tuple[OfferView, ...] = ()
    assignments: tuple[AssignmentView, ...] = ()
    queue_ranks: dict[QueueId, int] = {}
    contacts_today: int | None = None
    """Contacts given to him in the workspace's day; none where no queue asks for it."""


class QueueView(_View, frozen=True, kw_only=True):
    """A queue now."""

    queue_id: QueueId
    is_open: bool
    changes_at_ms: int | None = None
    """When it closes or opens, as far as is known; none: not within a year."""
    closed_reason: str | None = None
    """Of a closed queue: ``hours``, ``holiday`` or ``supervisor``."""
    waiting: int
    offered: int
    assigned: int
    oldest_queued_at_ms: int | None = None
    agents_ready: int = 0
    """READY agents who may take at least one requirement class of this queue."""
    agents_available: int = 0
    """Those of them who could be offered a contact right now."""
    callbacks: int = 0
    """Callbacks that wait for their time, for another try, or for the customer to answer."""
    expected_wait: ExpectedWait | None = None
    """Of a newcomer of its most common class; left out in the figures of the whole workspace."""
    forecasts: ForecastAccuracy | None = None
    """How good its forecasts have been; left out like ``expected_wait``."""


class AvailabilityView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """What a contact would find in a queue now. It promises nothing: the next one may be faster."""

    queue_id: QueueId
    as_of_seq: int
    is_open: bool
    changes_at_ms: int | None
    """When it closes or opens, as far as is known."""
    agents_ready: int
    """READY agents who qualify, busy or free: 0 means that nobody is there."""
    agents_free: int
    """Those of them who could take it now."""
    waiting: int
    """Contacts that wait in the queue."""
    takes: bool
    """Whether it would be taken now, in this queue or along its overflows."""
    refusal: str | None
    """The code with which it would be refused."""
    goes_to: QueueId | None
    """The queue it would wait in."""


class Counts(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Conservation: ``submitted`` is the sum of all the others."""

    submitted: int
    queued: int
    offered: int
    assigned: int
    callback_scheduled: int
    ended: int
    abandoned: int
    cancelled: int
    expired: int


class WorkspaceView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """The whole of a workspace in figures, as of one event."""

    as_of_seq: int
    at_ms: int
    policy_version: int
    counts: Counts
    agents: int
    agents_by_state: dict[str, int]
    offers_pending: int
    assignments_open: int
    queues: tuple[QueueView, ...]


class Lack(_View, frozen=True, kw_only=True):
    """One thing that keeps an agent from taking a contact.

    ``code``: ``state``, ``presence``, ``next_state``, ``queue``, ``facts`` (the queue's ``agents_when`` does not hold for his
    facts, or fails), ``skill``, ``level``, ``channel``, ``capacity``, ``channel_max``, ``blocked``,
    ``interrupted`` (an item of his interrupts the channel), ``paused`` (he takes nothing new of the channel),
    ``cap`` (``has``: the most that he takes within a time; ``channel`` none: of all together), ``cool_down``, ``preferred``,
    ``offered``, ``owner``, ``participant`` (he is in the conversation beside its owner), ``closed`` (the queue is closed, and the
    contact waits for the opening), ``dialling`` (a customer is being called for him already; callbacks ``customer_first`` only),
    ``not_waiting`` (the contact is
    offered elsewhere or somebody's already).
    """

    code: str
    skill: str | None = None
    has: int | None = None
    needs: int | None = None
    channel: str | None = None
    until_ms: int | None = None
    items: tuple[str, ...] = ()
    """Ids of the offers and assignments that use the capacity."""


class AgentWhy(_View, frozen=True, kw_only=True):
    """Why this agent does or does not get this contact. ``could_take_now`` is true exactly when nothing is lacking."""

    contact_id: ContactId
    agent_id: AgentId
    as_of_seq: int
    could_take_now: bool
    lacks: tuple[Lack, ...] = ()


class Chosen(_View, frozen=True, kw_only=True):
    """Why this agent has or was offered the contact, and why then."""

    agent_id: AgentId
    rule: str
    """The queue's selection, ``preferred``, ``transfer`` or ``supervisor``."""
    at_ms: int
    """When it was offered or, once he has it, given to him."""
    turn: Turn | None = None
    """``agent``: he had become free and this was the first contact for him, whatever the rule. ``contact``: it looked for an agent
    and the rule chose him."""
    others: int = 0
    """How many other agents could have taken it then; -1: too many kinds of them to count."""
    values: dict[str, FactValue] = {}
    """What was compared, as it was for him: ``levels``, ``contacts_today``, ``weight``, ``queue_rank``…"""


class StepWhy(_View, frozen=True, kw_only=True):
    """A step of a waiting contact's plan: what it asks for, and of how many."""

    step: int
    req: str
    qualified: int
    ready: int
    """READY ones among them, busy or not."""
    until_ms: int | None = None
    priority_s: int = 0
    """What the plan has added to the contact's credit."""


class ContactWhy(_View, frozen=True, kw_only=True):
    """Why a contact is where it is."""

    contact_id: ContactId
    as_of_seq: int
    state: ContactState
    reason: str
    """``waiting_for_agent``, ``nobody_qualified``, ``queue_closed`` (it waits for the opening),
    ``offered``, ``assigned``, ``callback_scheduled``, ``callback_retry``, ``callback_dialling`` or the terminal reason."""
    req: str = ""
    position: int | None = None
    expected_wait: ExpectedWait | None = None
    could_take_now: tuple[AgentId, ...] = ()
    qualified: int = 0
    """Agents with the skills, queue and channel for it, whatever they do now."""
    lacking: dict[str, int] = {}
    """For the qualified agents: how many lack what."""
    agents: tuple[AgentWhy, ...] = ()
    """The first hundred agents, qualified ones first."""
    next_change_at_ms: int | None = None
    next_change: str | None = None
    chosen: tuple[Chosen, ...] = ()
    """Of an offered or assigned contact: each agent who has it, and why he."""
    stays: bool = False
    """It has overflowed as often as it may: it stays in this queue without a limit of its wait."""
    step: StepWhy | None = None
    next_step: StepWhy | None = None
    """What its plan asks for when this step is over."""
    rule: str | None = None
    """The entry rule that decided, as in ``ContactView``."""
    failed_rules: tuple[str, ...] = ()


class RuleView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """An entry rule and what it has done since the policy came into force."""

    name: str
    matched: int
    """Contacts that it gave their queue."""
    failed: int
    """Contacts for which it could not be asked."""


class RulesView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """The entry rules of the policy in force, in their order, and the contacts that they classified."""

    as_of_seq: int
    policy_version: int
    since_ms: int
    """When this policy was published."""
    classified: int
    """Contacts that named no queue and were queued."""
    by_default: int
    """Those of them for which no rule held."""
    rules: tuple[RuleView, ...]
