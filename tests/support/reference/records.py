"""Records of the event model: contacts, callbacks, offers, assignments and agents as plain data, and the events that end them."""

from dataclasses import dataclass, field

from router.model import events as e
from router.model.policy import CallbackMode, CallbackQueuePosition, FactValue
from router.model.states import AgentState, AssignmentRole, AssignmentState, ContactState, OfferState, Presence


@dataclass
class RefCallback:
    """State of a contact that is a callback."""

    mode: CallbackMode
    place: CallbackQueuePosition
    expires_at_ms: int | None
    scheduled_at_ms: int | None = None
    due_at_ms: int | None = None
    dialling: bool = False
    for_agent_id: str | None = None
    attempts: int = 0
    is_connected: bool = False
    has_window: bool = False


@dataclass
class RefSuspension:
    """A suspension and the age that the contact had when it began."""

    age_ms: int
    began_ms: int
    resume_by_ms: int
    warning_ms: int | None
    ttl_left_ms: int | None


@dataclass
class RefContact:
    """A contact as the events describe it."""

    contact_id: str
    channel: str
    queue_id: str
    queued_at_ms: int
    queued_seq: int
    skills: dict[str, int]
    priority_s: int
    priority_class: int
    ttl_at_ms: int | None
    wait_until_ms: int | None
    state: ContactState = ContactState.QUEUED
    owner_assignment_id: str | None = None
    callback: RefCallback | None = None
    participants: dict[str, AssignmentRole] = field(default_factory=dict)
    """Assignments of consulted agents and participants, the owner's not included."""
    preferred_agent_id: str | None = None
    overflow_count: int = 0
    waiting_for_opening: bool = False
    closed_since_ms: int = 0
    closed_ms: int = 0
    """Time that it has waited for openings and that moves its due date."""
    was_returned: bool = False
    """Returned without its owner or after an ended offer: it keeps its position even in a closed queue."""
    plan: str | None = None
    step: int = 0
    step_until_ms: int | None = None
    preferred_agents: tuple[str, ...] = ()
    last_agent_id: str | None = None
    answered_at_ms: int = 0
    suspension: RefSuspension | None = None
    switches_to: str | None = None
    """Channel of a switch in progress."""
    switch_consults: bool = False
    """Whether another agent is consulted for that switch, rather than offered the contact."""
    switch_waits: bool = False
    """Whether that switch waits for an agent."""
    passes_to: str | None = None
    """Assignment whose agent owns the contact once the customer is connected there; None: the owner's."""
    customer_facts: dict[str, FactValue] = field(default_factory=dict)

    @property
    def awaits_customer(self) -> bool:
        """Return whether it is a callback whose customer has not been reached."""
        return self.callback is not None and not self.callback.is_connected


@dataclass
class RefOffer:
    """An offer and how it ended."""

    offer_id: str
    contact_id: str
    agent_id: str
    channel: str
    units: int
    deadline_ms: int
    from_agent_id: str | None
    role: AssignmentRole = AssignmentRole.OWNER
    to_queue_id: str | None = None
    state: OfferState = OfferState.PENDING
    end_seq: int = 0


@dataclass
class RefAssignment:
    """An agent's work on a contact; ``units`` is the cost of one item."""

    assignment_id: str
    contact_id: str
    agent_id: str
    channel: str
    units: int
    state: AssignmentState = AssignmentState.ACTIVE
    wrap_up_started_at_ms: int | None = None
    wrap_up_deadline_ms: int | None = None
    holds_capacity: bool = True
    held_for_consult: bool = False
    parked_until_ms: int | None = None
    held: "RefHold | None" = None


@dataclass
class RefHold:
    """Capacity that is held for the switch of a conversation to another channel."""

    channel: str
    units: int


@dataclass
class RefAgent:
    """An agent's record, state and idle number."""

    agent_id: str
    skills: dict[str, int] = field(default_factory=dict)
    queues: tuple[str, ...] | None = None
    units: int | None = None
    channel_max: dict[str, int] = field(default_factory=dict)
    state: AgentState = AgentState.OFFLINE
    reason: str | None = None
    presence: Presence = Presence.NONE
    next_state: AgentState | None = None
    paused: tuple[str, ...] = ()
    recent_contact_times: dict[str, list[int]] = field(default_factory=dict)
    """Times of contacts taken, by capped channel; ``all`` for the cap over all channels."""
    idle_number: int = 0
    last_offer_seqs: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, FactValue] = field(default_factory=dict)
    queue_ranks: dict[str, int] = field(default_factory=dict)
    team: str | None = None
    labels: tuple[str, ...] = ()
    contacts_today: int = 0


TERMINAL = {
    e.ContactAbandoned: ContactState.ABANDONED,
    e.ContactCancelled: ContactState.CANCELLED,
    e.ContactExpired: ContactState.EXPIRED,
    e.ContactEnded: ContactState.ENDED,
}

OFFER_ENDS = {
    e.OfferAccepted: OfferState.ACCEPTED,
    e.OfferDeclined: OfferState.DECLINED,
    e.OfferExpired: OfferState.EXPIRED,
    e.OfferRescinded: OfferState.RESCINDED,
}
