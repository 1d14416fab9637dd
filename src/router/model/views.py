"""Views: answers to queries, built by the engine from its state and sent unchanged by the APIs.

Times are epoch milliseconds, durations milliseconds. ``as_of_seq`` is the last event that the answer includes.
"""

from msgspec import Struct

from router.model.forecasts import ExpectedWait, ForecastAccuracy
from router.model.ids import AgentId, AssignmentId, ContactId, GatewayId, OfferId, QueueId
from router.model.policy import CallbackMode, FactValue
from router.model.states import (
    AgentState,
    AssignmentRole,
    AssignmentState,
    CallbackPhase,
    ContactState,
    MatchTrigger,
    Presence,
)


class _View(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class OfferView(_View, frozen=True, kw_only=True):
    """A pending offer, with the information that a desktop shows."""

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
    """Role of the agent after accepting."""
    interrupted: bool = False
    """True while it uses no capacity, because the agent has an item of a channel that interrupts this one."""
    match_trigger: MatchTrigger | None = None
    other_candidates: int = 0
    selection_inputs: dict[str, FactValue] = {}


class AssignmentView(_View, frozen=True, kw_only=True):
    """An assignment of an agent."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    state: AssignmentState
    channel: str
    queue_id: QueueId
    started_at_ms: int
    units: int
    """Capacity used now; 0 while it is parked or interrupted."""
    interrupted: bool = False
    """True while the agent has an item of a channel that interrupts this one."""
    parked_until_ms: int | None = None
    """End of the parking time, when the contact ends."""
    wrap_up_deadline_ms: int | None = None
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    role: AssignmentRole = AssignmentRole.OWNER
    members: dict[AgentId, AssignmentRole] = {}
    """All agents of the conversation with their roles; empty: only the owner, or this agent has left."""
    reason: str = ""
    """Reason of the offer, or ``supervisor``."""
    match_trigger: MatchTrigger | None = None
    other_candidates: int = 0
    selection_inputs: dict[str, FactValue] = {}


class ParticipantView(_View, frozen=True, kw_only=True):
    """An agent in a conversation besides its owner."""

    agent_id: AgentId
    assignment_id: AssignmentId
    role: AssignmentRole
    since_ms: int


class CallbackView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """The callback of a contact."""

    mode: CallbackMode
    phase: CallbackPhase
    attempts: int
    """Number of attempts begun."""
    scheduled_at_ms: int | None
    """Agreed time of the call."""
    due_at_ms: int | None
    """Next deadline: the agreed time, the next attempt or the end of dialling."""
    expires_at_ms: int | None
    outcome: str | None
    """Outcome of the last completed attempt."""


class ContactView(_View, frozen=True, kw_only=True):
    """A contact as shown to gateways and supervisors."""

    contact_id: ContactId
    state: ContactState
    channel: str
    queue_id: QueueId
    requirement: str
    queued_at_ms: int
    changed_at_ms: int
    queued_seq: int
    priority_s: int
    priority_class: int
    skills: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    gateway_id: GatewayId = ""
    position: int | None = None
    """Position among the contacts waiting in its queue; 1 is the next."""
    expected_wait: ExpectedWait | None = None
    """Expected remaining wait; none: it is not waiting, or the view is part of a list."""
    agent_id: AgentId | None = None
    assignment_id: AssignmentId | None = None
    participants: tuple[ParticipantView, ...] = ()
    """Agents in the conversation besides the owner, in the order in which they joined."""
    offers: tuple[OfferView, ...] = ()
    offers_made: int = 0
    ttl_at_ms: int | None = None
    wait_until_ms: int | None = None
    overflow_count: int = 0
    """Number of overflows so far."""
    waiting_for_opening: bool = False
    """True while it waits for its queue to open."""
    preferred_agent_id: AgentId | None = None
    parked: bool = False
    """True while its agent waits for the customer."""
    plan: str | None = None
    """Plan in effect: its own or the queue's."""
    step: int | None = None
    """Current step of the plan, counted from 0."""
    step_until_ms: int | None = None
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    reason: str | None = None
    """Reason of the terminal state."""
    rule: str | None = None
    """Entry rule that chose the queue; none: the gateway named a queue, or no rule matched."""
    failed_rules: tuple[str, ...] = ()
    """Entry rules before it that could not be evaluated (missing fact, integer overflow)."""
    callback: CallbackView | None = None


class AgentView(_View, frozen=True, kw_only=True):
    """An agent, with offers and assignments."""

    agent_id: AgentId
    state: AgentState
    presence: Presence
    units: int
    units_used: int
    available_channels: tuple[str, ...]
    """Channels on which the agent could get an offer now."""
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    channel_max: dict[str, int] = {}
    paused: tuple[str, ...] = ()
    """Channels on which the agent is paused."""
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
    """Contacts that the agent got on the workspace's current day; none: no queue uses the count."""


class QueueView(_View, frozen=True, kw_only=True):
    """The present state of a queue."""

    queue_id: QueueId
    is_open: bool
    changes_at_ms: int | None = None
    """Next time at which it closes or opens, if known; none: not within a year."""
    closed_reason: str | None = None
    """Why the queue is closed: ``hours``, ``holiday`` or ``supervisor``."""
    waiting: int
    offered: int
    assigned: int
    oldest_queued_at_ms: int | None = None
    agents_ready: int = 0
    """READY agents who qualify for at least one requirement class of this queue."""
    agents_available: int = 0
    """Those of them who could get an offer now."""
    callbacks: int = 0
    """Callbacks that wait for their time, for the next attempt, or for the customer to answer."""
    expected_wait: ExpectedWait | None = None
    """Expected wait of an arriving contact of the most common requirement class; omitted in the view of the workspace."""
    forecasts: ForecastAccuracy | None = None
    """Accuracy of its forecasts; omitted in the view of the workspace."""


class AvailabilityView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Availability of a queue for an arriving contact. It reserves nothing: other contacts may arrive first."""

    queue_id: QueueId
    as_of_seq: int
    is_open: bool
    changes_at_ms: int | None
    """Next time at which it closes or opens, if known."""
    agents_ready: int
    """Qualified READY agents, busy or free."""
    agents_free: int
    """Those of them who could take the contact now."""
    waiting: int
    """Number of contacts waiting in the queue."""
    accepts_contacts: bool
    """Whether the contact would be accepted now, in this queue or by overflow."""
    refusal: str | None
    """Code with which the contact would be refused."""
    target_queue_id: QueueId | None
    """Queue in which the contact would wait."""


class WorkspaceCounts(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Numbers of contacts by state. ``submitted`` is the sum of all others."""

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
    """Totals of a workspace as of one event."""

    as_of_seq: int
    at_ms: int
    policy_version: int
    counts: WorkspaceCounts
    agents: int
    agents_by_state: dict[str, int]
    offers_pending: int
    assignments_open: int
    queues: tuple[QueueView, ...]


class UnmetCondition(_View, frozen=True, kw_only=True):
    """A condition for a match that is not met by an agent and a contact.

    ``code``: ``state``, ``presence``, ``next_state``, ``queue``, ``attributes`` (the queue's ``agents_when`` is false for the
    agent or cannot be evaluated), ``skill``, ``level``, ``channel``, ``capacity``, ``channel_max``, ``blocked``,
    ``interrupted`` (an item of the agent interrupts the channel), ``paused`` (the agent is paused on the channel),
    ``rate_cap`` (``has``: the limit; ``channel`` none: over all channels), ``cool_down``, ``preferred`` (reserved for others),
    ``offered``, ``owner``, ``participant`` (the agent is in the conversation already), ``closed`` (the queue is closed, and the
    contact waits for the opening), ``dialling`` (a customer is being called for the agent; ``customer_first`` callbacks only),
    ``not_waiting`` (the contact is offered or assigned to another agent).
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
    """Whether an agent is eligible for a contact now, and which conditions are not met."""

    contact_id: ContactId
    agent_id: AgentId
    as_of_seq: int
    eligible_now: bool
    unmet_conditions: tuple[UnmetCondition, ...] = ()


class ChosenAgent(_View, frozen=True, kw_only=True):
    """Why the contact was offered or assigned to this agent."""

    agent_id: AgentId
    reason: str
    """The queue's selection, ``preferred``, ``transfer`` or ``supervisor``."""
    at_ms: int
    """Time of the offer or, after acceptance, of the assignment."""
    match_trigger: MatchTrigger | None = None
    """``agent``: the agent became available and this was the first contact in order, whatever the selection. ``contact``: the
    contact entered a queue and the selection chose the agent."""
    other_candidates: int = 0
    """Number of other agents eligible then; -1: not counted (too many agent groups)."""
    selection_inputs: dict[str, FactValue] = {}
    """Values of the agent that were compared: ``levels``, ``contacts_today``, ``weight``, ``queue_rank``…"""


class StepWhy(_View, frozen=True, kw_only=True):
    """A step of a waiting contact's plan: its requirement, and how many agents qualify."""

    step: int
    requirement: str
    qualified: int
    ready: int
    """READY agents among them, busy or free."""
    until_ms: int | None = None
    priority_s: int = 0
    """Seconds of priority that the plan has added to the contact."""


class ContactWhy(_View, frozen=True, kw_only=True):
    """Why a contact is in its present state, and which agents could take it."""

    contact_id: ContactId
    as_of_seq: int
    state: ContactState
    reason: str
    """``waiting_for_agent``, ``no_agent_qualified``, ``queue_closed`` (the contact waits for the opening),
    ``offered``, ``assigned``, ``callback_scheduled``, ``callback_retry``, ``callback_dialling`` or the terminal reason."""
    requirement: str = ""
    position: int | None = None
    expected_wait: ExpectedWait | None = None
    eligible_now: tuple[AgentId, ...] = ()
    qualified: int = 0
    """Number of agents with the required skills, queue and channel, regardless of their state."""
    unmet_conditions: dict[str, int] = {}
    """Number of qualified agents who do not meet a condition, by its code."""
    agents: tuple[AgentWhy, ...] = ()
    """The first hundred agents, qualified ones first."""
    next_change_at_ms: int | None = None
    next_change: str | None = None
    chosen: tuple[ChosenAgent, ...] = ()
    """Agents that have an offer or assignment of the contact, with the reasons."""
    overflow_impossible: bool = False
    """True if it has reached the limit of overflows; it stays in its queue without a maximum wait."""
    step: StepWhy | None = None
    next_step: StepWhy | None = None
    """Next step of its plan."""
    rule: str | None = None
    """Entry rule that chose the queue, as in ``ContactView``."""
    failed_rules: tuple[str, ...] = ()


class RuleView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Counters of an entry rule since the policy was published."""

    name: str
    matched: int
    """Number of contacts whose queue it chose."""
    failed: int
    """Number of contacts for which it could not be evaluated."""


class RulesView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Counters of the entry rules of the active policy, in their order."""

    as_of_seq: int
    policy_version: int
    since_ms: int
    """Time at which the policy was published."""
    classified: int
    """Number of queued contacts that named no queue."""
    default_queue_count: int
    """Number of them for which no rule matched."""
    rules: tuple[RuleView, ...]
