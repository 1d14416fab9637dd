"""Views: answers to queries, built by the engine from its state and sent unchanged by the APIs.

Times are epoch milliseconds, durations milliseconds. ``as_of_seq`` is the last event that the answer includes.
"""

from msgspec import UNSET, Struct, UnsetType

from router.model.events.monitoring import MonitorView
from router.model.forecasts import ExpectedWait, ForecastAccuracy
from router.model.policy import CallbackMode, FactValue, SuspensionEnd
from router.model.states import (
    AgentId,
    AgentState,
    AssignmentId,
    AssignmentRole,
    AssignmentState,
    CallbackPhase,
    ContactId,
    ContactState,
    EndedBy,
    GatewayId,
    IfUnable,
    MatchTrigger,
    MonitorMode,
    OfferId,
    Presence,
    QueueId,
    SupervisorId,
    TeamId,
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
    """Time of the offer."""
    deadline_ms: int
    """Time by which the agent must answer."""
    waited_ms: int
    units: int
    """Capacity units that the offer reserves."""
    reason: str
    """Why this agent was chosen: the queue's selection, ``preferred``, ``transfer`` or ``consult``."""
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    from_agent_id: AgentId | None = None
    """Owner who asked for a transfer or a consult; null: neither."""
    role: AssignmentRole = AssignmentRole.OWNER
    """Role of the agent after accepting."""
    callback_phase: CallbackPhase | None = None
    """Phase of the contact's callback; null: it is no callback, and the customer is on the line."""
    interrupted: bool = False
    """True while it uses no capacity, because the agent has a contact of a channel that interrupts this one."""
    match_trigger: MatchTrigger | None = None
    """What caused the match; null: a transfer, a consult or an assignment by a supervisor."""
    other_candidates: int = 0
    """Number of other agents eligible then, if ``match_trigger`` is set; -1: not counted (too many agent groups)."""
    selection_inputs: dict[str, FactValue] = {}
    """Values of this agent that the selection compared."""


class PendingOfferView(_View, frozen=True, kw_only=True):
    """A transfer or consult that the owner of a conversation has asked for and that the other agent has not answered."""

    offer_id: OfferId
    agent_id: AgentId
    """Agent who is asked."""
    kind: str
    """``transfer`` or ``consult``."""
    made_at_ms: int
    """Time of the offer."""
    deadline_ms: int
    """Time by which the agent must answer."""
    to_queue_id: QueueId | None = None
    """Consulted queue; null: the owner chose the agent."""


class AssignmentView(_View, frozen=True, kw_only=True):
    """An assignment of an agent."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    state: AssignmentState
    """State of the assignment."""
    channel: str
    queue_id: QueueId
    started_at_ms: int
    """Time of the accept, or of the assignment by a supervisor."""
    units: int
    """Capacity units used now; 0 while it is parked or interrupted."""
    interrupted: bool = False
    """True while the agent has a contact of a channel that interrupts this one."""
    parked_until_ms: int | None = None
    """End of the parking time, when the contact ends."""
    wrap_up_deadline_ms: int | None = None
    """End of the wrap-up; null: it has not begun."""
    wrap_up_started_at_ms: int | None = None
    """Beginning of the wrap-up, from which its longest duration counts; null: it has not begun."""
    attributes: dict[str, FactValue] = {}
    """Attributes of the contact; in wrap-up, as they were when the agent left the conversation."""
    reference: str | None = None
    held_for_consult: bool = False
    """True while the customer is on hold because of a consult, until it is over."""
    held_channel: str | None = None
    """Channel on which the gateway connects the customer now; null: none."""
    passes_to: AgentId | None = None
    """Agent who owns the contact once the customer is connected with them on ``held_channel``; null: this one."""
    pending_offer: PendingOfferView | None = None
    """Transfer or consult of this conversation that is not answered yet; null: none."""
    callback_phase: CallbackPhase | None = None
    """Phase of the contact's callback; null: it is no callback, or this agent has left the conversation."""
    role: AssignmentRole = AssignmentRole.OWNER
    """Role of the agent in the conversation."""
    members: dict[AgentId, AssignmentRole] = {}
    """All agents of the conversation with their roles; empty: only the owner, or this agent has left."""
    monitors: dict[SupervisorId, MonitorMode] = {}
    """Supervisors in the conversation and their modes, for its owner; empty also where the policy hides them."""
    allowed: tuple[str, ...] = ()
    """Operations on the assignment and its contact that the state allows its agent now, named like the frames of the WebSocket
    protocol. The target or a limit of the policy may still prevent one."""
    reason: str = ""
    """Reason of the offer, or ``supervisor``."""
    match_trigger: MatchTrigger | None = None
    """What caused the match; null: a transfer, a consult or an assignment by a supervisor."""
    other_candidates: int = 0
    """Number of other agents eligible then, if ``match_trigger`` is set; -1: not counted (too many agent groups)."""
    selection_inputs: dict[str, FactValue] = {}
    """Values of this agent that the selection compared."""


class ParticipantView(_View, frozen=True, kw_only=True):
    """An agent in a conversation besides its owner."""

    agent_id: AgentId
    assignment_id: AssignmentId
    role: AssignmentRole
    """Role in the conversation."""
    since_ms: int
    """Time of joining."""


class CallbackView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """The callback of a contact."""

    mode: CallbackMode
    """Order of assigning an agent and dialling."""
    phase: CallbackPhase
    """Phase of the callback."""
    attempts: int
    """Number of attempts begun."""
    scheduled_at_ms: int | None
    """Agreed time of the call; null: as soon as an agent is available."""
    due_at_ms: int | None
    """Next deadline: the agreed time, the next attempt or the end of dialling; null: none."""
    expires_at_ms: int | None
    """When the callback expires; null: never, or its time stands still until its queue opens."""
    outcome: str | None
    """Outcome of the last completed attempt; null: none yet."""
    claimed_by: str | None = None
    """Process of the gateway that has claimed the present call; null: none."""
    claimed_until_ms: int | None = None
    """End of that claim; null: none."""


class SuspensionView(_View, frozen=True, kw_only=True):
    """Suspension of a contact."""

    suspended_at_ms: int
    """When it was suspended, epoch milliseconds."""
    resume_by_ms: int
    """When the suspension ends unless the contact is resumed, epoch milliseconds."""
    at_expiry: SuspensionEnd
    """What happens then: ``end`` (the contact expires) or ``queue`` (it is queued as a task)."""
    age_ms: int
    """Age of the contact, which stands still while it is suspended."""


class SwitchView(_View, frozen=True, kw_only=True):
    """Switch of a conversation to another channel, in progress."""

    channel: str
    """Channel on which the customer is to be connected."""
    deadline_ms: int | None = None
    """Time by which the gateway must report the outcome; null: the switch waits for an agent with capacity for the channel."""
    if_unable: IfUnable | None = None
    """While it waits: whether another agent is offered the contact (``queue``) or a consult (``consult``)."""
    to_agent_id: AgentId | None = None
    """Agent who owns the contact once the customer is connected with them; null: the present owner."""


class ContactView(_View, frozen=True, kw_only=True):
    """A contact as shown to gateways and supervisors."""

    contact_id: ContactId
    state: ContactState
    """State of the contact."""
    channel: str
    queue_id: QueueId
    requirement: str
    queued_at_ms: int
    """Start of its age: the submit, or the agreed time of a callback with ``from_due_time``."""
    changed_at_ms: int
    """Time of the last change."""
    queued_seq: int
    """Sequence number of its ``contact.queued``; breaks ties between equal priorities."""
    priority_s: int
    priority_class: int
    skills: dict[str, int] = {}
    """Skills required by the contact itself, in addition to those of its queue."""
    attributes: dict[str, FactValue] = {}
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer that the policy declares, as they were known at the submit or when they were refreshed."""
    customer_id: str | None = None
    """Customer, as known at the submit; `GET /v1/customers/{id}` answers for the customer it was merged into. Null: not known."""
    reference: str | None = None
    gateway_id: GatewayId = ""
    position: int | None = None
    """Position among the contacts waiting in its queue; 1 is the next. Null: it is not waiting."""
    expected_wait: ExpectedWait | None = None
    """Expected remaining wait; null: it is not waiting, or the view is part of a list."""
    agent_id: AgentId | None = None
    """Owner of the contact; null: none."""
    assignment_id: AssignmentId | None = None
    """Assignment of the owner; null: none."""
    participants: tuple[ParticipantView, ...] = ()
    """Agents in the conversation besides the owner, in the order in which they joined."""
    offers: tuple[OfferView, ...] = ()
    """Pending offers of the contact."""
    offers_made: int = 0
    """Number of offers so far."""
    ttl_at_ms: int | None = None
    wait_until_ms: int | None = None
    overflow_count: int = 0
    """Number of overflows so far."""
    waiting_for_opening: bool = False
    """True while it waits for its queue to open."""
    preferred_agent_id: AgentId | None = None
    """Agent that the contact is reserved for; null: none."""
    parked: bool = False
    """True while its agent waits for the customer."""
    plan: str | None = None
    """Plan in effect: its own or the queue's; null: none."""
    step: int | None = None
    """Current step of the plan, counted from 0; null: no plan."""
    step_until_ms: int | None = None
    """End of the current step; null: it is the last one, or there is no plan."""
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    reason: str | None = None
    """Reason of the terminal state; null: it is not terminal."""
    ended_by: EndedBy | None = None
    """Who or what ended it; null: it is not terminal, or ended before the router recorded this."""
    rule: str | None = None
    """Entry rule that chose the queue; null: the gateway named a queue, or no rule matched."""
    failed_rules: tuple[str, ...] = ()
    """Entry rules before it that could not be evaluated (missing attribute, integer overflow)."""
    callback: CallbackView | None = None
    """Its callback; null: it is not a callback."""
    suspension: SuspensionView | None = None
    """Its suspension; null: it is not suspended."""
    switch: SwitchView | None = None
    """Its switch to another channel, in progress; null: none."""
    monitors: tuple[MonitorView, ...] = ()
    """Supervisors who have joined the conversation, or are to; an agent is shown those that the policy lets them see."""


class AgentView(_View, frozen=True, kw_only=True):
    """An agent, with offers and assignments."""

    agent_id: AgentId
    state: AgentState
    """State that the agent has chosen."""
    presence: Presence
    """Whether a desktop is connected (not the agent's availability)."""
    units: int
    """Capacity of the agent in capacity units."""
    units_used: int
    """Capacity units in use, by offers and assignments."""
    available_channels: tuple[str, ...]
    """Channels on which the agent could get an offer now."""
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    """Queues that the agent serves; null: every queue whose required skills the agent has."""
    channel_max: dict[str, int] = {}
    paused: tuple[str, ...] = ()
    """Channels on which the agent is paused."""
    attributes: dict[str, FactValue] = {}
    reason: str | None = None
    """Reason of the state; null: none."""
    state_since_ms: int = 0
    """Time of the last change of the state."""
    idle_since_ms: int | None = None
    """Start of the idle time that ``longest_idle`` compares: the agent became ``ready``, or has just been busy; null: the agent
    is not ``ready``."""
    return_at_ms: int | None = None
    """When the router sets the agent ``ready`` again after an expired offer; null: it does not."""
    next_state: AgentState | None = None
    """State that follows when the agent has no open offers and assignments; null: none."""
    next_reason: str | None = None
    """Reason of the next state."""
    offers: tuple[OfferView, ...] = ()
    """Pending offers of the agent."""
    assignments: tuple[AssignmentView, ...] = ()
    """Open assignments of the agent."""
    queue_ranks: dict[QueueId, int] = {}
    contacts_today: int | None = None
    """Contacts that the agent got on the workspace's current day; null: no queue uses the count."""
    team: TeamId | None = None
    """Team of the agent; null: none."""
    labels: tuple[str, ...] = ()
    """Labels of the agent in ascending order."""


class WaitingView(_View, frozen=True, kw_only=True):
    """A contact that waits in a queue, with its place and its expected remaining wait."""

    contact_id: ContactId
    position: int
    """Position among the contacts waiting in the queue; 1 is the next."""
    channel: str
    requirement: str
    priority_s: int
    """Priority in seconds: its own, and those of the queue and of its plan."""
    priority_class: int
    """Highest of its own class, that of the queue and that of its plan."""
    queued_at_ms: int
    """Start of its age: the submit, or the agreed time of a callback with ``from_due_time``."""
    waited_ms: int
    expected_wait: ExpectedWait
    """Expected remaining wait."""
    state: ContactState = ContactState.QUEUED
    """``queued``; ``offered`` in a broadcast, which waits for further offers."""
    reserved_for: tuple[AgentId, ...] = ()
    """Agents that it is reserved for now; empty: it is open to every qualified agent."""
    waiting_for_opening: bool = False
    """Whether it waits for its queue to open; until then it is offered to no agent."""
    callback_phase: CallbackPhase | None = None
    """Phase of its callback; null: it is no callback, and the customer is on the line."""


class QueueView(_View, frozen=True, kw_only=True):
    """The present state of a queue."""

    queue_id: QueueId
    is_open: bool
    """Whether the queue accepts contacts now."""
    changes_at_ms: int | None = None
    """Next time at which it closes or opens, epoch milliseconds; null: not within a year, or not known."""
    closed_reason: str | None = None
    """Why the queue is closed: ``hours``, ``holiday`` or ``supervisor``; null: it is open."""
    waiting: int
    """Contacts that wait, without those offered to an agent now."""
    offered: int
    """Contacts that are offered to an agent now (ringing); not the volume of offered contacts."""
    assigned: int
    """Contacts that an agent has."""
    oldest_queued_at_ms: int | None = None
    """Submit of the oldest waiting contact, later by the time that it has waited for openings; null: none waits."""
    agents_ready: int = 0
    """``ready`` agents who qualify for at least one requirement class of this queue."""
    agents_available: int = 0
    """Those of them who could get an offer now."""
    callbacks: int = 0
    """Callbacks that wait for their time, for the next attempt, or for the customer to answer."""
    suspended: int = 0
    """Contacts that are suspended until they are resumed."""
    expected_wait: ExpectedWait | None = None
    """Expected wait of an arriving contact of the most common requirement class; omitted in the view of the workspace."""
    forecasts: ForecastAccuracy | None = None
    """Accuracy of its forecasts; omitted in the view of the workspace."""


class AvailabilityView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Availability of a queue for an arriving contact. It reserves nothing: other contacts may arrive first."""

    queue_id: QueueId
    as_of_seq: int
    is_open: bool
    """Whether the queue accepts contacts now."""
    changes_at_ms: int | None
    """Next time at which it closes or opens, epoch milliseconds; null: not within a year, or not known."""
    agents_ready: int
    """Qualified ``ready`` agents, busy or free."""
    agents_free: int
    """Those of them who could take the contact now."""
    waiting: int
    """Number of contacts waiting in the queue."""
    accepts_contacts: bool
    """Whether the contact would be accepted now, in this queue or by overflow."""
    refusal: str | None
    """Code with which the contact would be refused; null: it would be accepted."""
    target_queue_id: QueueId | None
    """Queue in which the contact would wait; null: it would be refused."""


class WorkspaceCounts(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Numbers of contacts by state. ``submitted`` is the sum of all others but ``choosing``."""

    submitted: int
    """All contacts."""
    queued: int
    """Waiting in a queue."""
    offered: int
    """Offered to an agent now (ringing)."""
    assigned: int
    """With an agent."""
    callback_scheduled: int
    """Callbacks that wait for their time, for the next attempt, or for the customer to answer."""
    ended: int
    """Ended."""
    abandoned: int
    """Abandoned."""
    cancelled: int
    """Cancelled."""
    expired: int
    """Expired."""
    suspended: int = 0
    """Suspended until they are resumed."""
    choosing: int = 0
    """Customers who are choosing how to reach an agent; each counts as submitted when an option is chosen."""


class WorkspaceView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Totals of a workspace as of one event."""

    as_of_seq: int
    at_ms: int
    policy_version: int
    """Version of the active policy; 0: none has been published."""
    counts: WorkspaceCounts
    """Numbers of contacts by state."""
    agents: int
    """Number of agents."""
    agents_by_state: dict[str, int]
    """Number of agents by state."""
    offers_pending: int
    """Number of pending offers."""
    assignments_open: int
    """Number of open assignments."""
    queues: tuple[QueueView, ...]
    """All queues, by ascending id."""


class UnmetCondition(_View, frozen=True, kw_only=True):
    """A condition for a match that is not met by an agent and a contact."""

    code: str
    """``state``, ``presence``, ``next_state``, ``queue``, ``attributes`` (the queue's ``agents_when`` is false for the
    agent or cannot be evaluated), ``skill``, ``level``, ``channel``, ``capacity``, ``channel_max``, ``blocked``,
    ``interrupted`` (a contact of the agent interrupts the channel), ``paused`` (the agent is paused on the channel),
    ``rate_cap`` (``has``: the limit; ``channel`` null: over all channels), ``cool_down``, ``preferred`` (reserved for others),
    ``offered``, ``owner``, ``participant`` (the agent is in the conversation already), ``closed`` (the queue is closed, and the
    contact waits for the opening), ``dialling`` (a customer is being called for the agent; ``customer_first`` callbacks only),
    ``not_waiting`` (the contact is offered or assigned to another agent).
    """
    skill: str | None = None
    """Skill that is missing or whose level is too low."""
    has: int | None = None
    """Present value, for example the agent's level."""
    needs: int | None = None
    """Required value."""
    channel: str | None = None
    """Channel concerned."""
    until_ms: int | None = None
    """When the condition ends by time, epoch milliseconds; null: not by time, or not known."""
    items: tuple[str, ...] = ()
    """Ids of the offers and assignments that use the capacity."""


class AgentWhy(_View, frozen=True, kw_only=True):
    """Whether an agent is eligible for a contact now, and which conditions are not met."""

    contact_id: ContactId
    agent_id: AgentId
    as_of_seq: int
    eligible_now: bool
    """Whether the agent could get the contact now."""
    unmet_conditions: tuple[UnmetCondition, ...] = ()
    """Conditions that are not met; empty if the agent is eligible."""


class ChosenAgent(_View, frozen=True, kw_only=True):
    """Why the contact was offered or assigned to this agent."""

    agent_id: AgentId
    reason: str
    """The queue's selection, ``preferred``, ``transfer``, ``consult`` or ``supervisor``."""
    at_ms: int
    """Time of the offer or, after acceptance, of the assignment."""
    match_trigger: MatchTrigger | None = None
    """``agent``: the agent became available and this was the first contact in order, whatever the selection. ``contact``: the
    contact entered a queue and the selection chose the agent."""
    other_candidates: int = 0
    """Number of other agents eligible then; -1: not counted (too many agent groups)."""
    selection_inputs: dict[str, FactValue] = {}
    """Values of the agent that were compared: ``levels``, ``contacts_today``, ``weight``, ``queue_rank``, …"""


class StepWhy(_View, frozen=True, kw_only=True):
    """A step of a waiting contact's plan: its requirement, and how many agents qualify."""

    step: int
    """Number of the step, counted from 0."""
    requirement: str
    qualified: int
    """Number of agents who qualify, regardless of their state."""
    ready: int
    """``ready`` agents among them, busy or free."""
    until_ms: int | None = None
    """End of the step; null: it is the last one, or it has not begun."""
    priority_s: int = 0
    """Seconds of priority that the plan has added to the contact."""


class ContactWhy(_View, frozen=True, kw_only=True):
    """Why a contact is in its present state, and which agents could take it."""

    contact_id: ContactId
    as_of_seq: int
    state: ContactState
    """State of the contact."""
    reason: str
    """``waiting_for_agent``, ``no_agent_qualified``, ``queue_closed`` (the contact waits for the opening), ``offered``,
    ``assigned``, ``callback_scheduled``, ``callback_retry``, ``callback_dialling``, or the reason of the terminal state."""
    requirement: str = ""
    """Requirement class as text; for display only."""
    position: int | None = None
    """Position in its queue; null: it is not waiting."""
    expected_wait: ExpectedWait | None = None
    """Expected remaining wait; null: it is not waiting."""
    eligible_now: tuple[AgentId, ...] = ()
    """Agents who could get the contact now."""
    qualified: int = 0
    """Number of agents with the required skills, queue and channel, regardless of their state."""
    unmet_conditions: dict[str, int] = {}
    """Number of qualified agents who do not meet a condition, by its code."""
    agents: tuple[AgentWhy, ...] = ()
    """The first hundred agents, qualified ones first."""
    next_change_at_ms: int | None = None
    """Next time at which a deadline changes something for the contact; null: none."""
    next_change: str | None = None
    """What changes then: ``opening``, ``ttl``, ``callback_expired``, ``overflow``, ``wait_max``, ``callback`` (agreed time, next
    attempt or end of dialling), ``preferred`` (end of a reservation), ``step`` (end of the step), ``offer_timeout``, or the
    code of an unmet condition that ends then (``state``, ``presence``, ``rate_cap``, ``cool_down``, ``dialling``); null:
    nothing."""
    chosen: tuple[ChosenAgent, ...] = ()
    """Agents that have an offer or assignment of the contact, with the reasons; after the end of an answered contact its last
    owner."""
    overflow_impossible: bool = False
    """True if it has reached the limit of overflows; it stays in its queue without a maximum wait."""
    step: StepWhy | None = None
    """Current step of its plan; null: no plan, or it is assigned."""
    next_step: StepWhy | None = None
    """Next step of its plan; null: none."""
    rule: str | None = None
    """Entry rule that chose the queue, as in ``ContactView``."""
    failed_rules: tuple[str, ...] = ()
    """Entry rules before it that could not be evaluated, as in ``ContactView``."""


class RuleView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Counters of an entry rule since the policy was published."""

    name: str
    """Name of the rule."""
    matched: int
    """Number of contacts whose queue it chose."""
    failed: int
    """Number of contacts for which it could not be evaluated."""
    over_budget: int | UnsetType = UNSET
    """Number of contacts for which it would have exceeded the budget of all rules; they went to the default queue. Absent: none."""


class RulesView(_View, frozen=True, kw_only=True, omit_defaults=False):
    """Counters of the entry rules of the active policy, in their order."""

    as_of_seq: int
    policy_version: int
    """Version of the active policy; 0: none has been published."""
    since_ms: int
    """Time at which the policy was published, epoch milliseconds."""
    classified: int
    """Number of queued contacts that named no queue."""
    default_queue_count: int
    """Number of them for which no rule matched."""
    rules: tuple[RuleView, ...]
    """The rules in the order of the policy."""
