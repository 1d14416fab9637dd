"""Live records of contacts, offers, assignments and agents, and the target that the event handlers write to.

A record exists until the last event of its contact, offer or assignment. The handlers of ``contact_events`` and ``agent_events``
are the only code that interprets events for statistics. They keep these records up to date and report every change that counts to
a ``StatsTarget``. Two targets exist: the statistics of a live workspace (by queue, channel and interval), and those of a simulated
run (by arrival). Both therefore agree on when a wait starts and ends, what is handle time, and when an agent is busy.
"""

from enum import IntEnum, StrEnum
from typing import Protocol

from msgspec import Struct, field

from router.model.events import ContactQueued, GoalChanged
from router.model.policy import Policy
from router.model.states import AgentState
from router.statistics.counters import ContactCounters, HandlingCounts, OfferCounts
from router.statistics.metrics import STATE_NOT_READY_MS, STATE_READY_MS, agent_key, reason_key
from router.statistics.occupancy import AgentActivity, WorkTime, activity_of

# States of a live contact. Plain integers, because a snapshot may contain a million of them.
QUEUED, OFFERED, ASSIGNED, CALLBACK, SUSPENDED = 0, 1, 2, 3, 4
# Its customer is choosing among options: it is in no queue yet and counts nowhere else.
CHOOSING = 5


class AssignmentPhase(IntEnum):
    """Phase of an open assignment."""

    TALKING = 0
    ON_HOLD = 1
    WRAP_UP = 2
    PARKED = 3


_TALKING, _ON_HOLD, _PARKED = (AssignmentPhase.TALKING, AssignmentPhase.ON_HOLD, AssignmentPhase.PARKED)


class LiveContact(Struct, array_like=True, gc=False):
    """Contact that has not ended."""

    queue_id: str
    channel: str
    waiting_since_ms: int
    """Start of the present wait."""
    state: int = QUEUED
    is_callback: bool = False
    """Whether the customer is not on the line, so that the wait counts as that of a callback."""
    closed_ms: int = 0
    """Time that did not count as waiting before the present wait."""
    waited_ms: int = 0
    """Part of the present wait before the contact was suspended."""
    first_queue_id: str = ""
    """Queue in which the present wait began, if it has overflowed to another one since."""

    def wait_ms(self, at_ms: int, closed_ms: int) -> int:
        """Return the present wait without the time that it was suspended or waited for openings.

        ``closed_ms`` counts since the submit.
        """
        if self.state == SUSPENDED:
            return self.waited_ms
        return self.waited_ms + at_ms - self.waiting_since_ms - max(0, closed_ms - self.closed_ms)


class LiveOffer(Struct, array_like=True, gc=False):
    """Pending offer with the queue and channel to count its end for; its contact may have ended by then."""

    queue_id: str
    channel: str


class LiveAssignment(Struct, array_like=True, gc=False):
    """Assignment that is not completed."""

    agent_id: str
    queue_id: str
    channel: str
    since_ms: int
    """Start of the present phase."""
    talk_ms: int = 0
    hold_ms: int = 0
    wrap_up_ms: int = 0
    phase: AssignmentPhase = _TALKING
    is_secondary: bool = False
    """Whether the agent is beside the owner: consulted, or a participant."""
    parked_ms: int = 0

    def enter_phase(self, phase: AssignmentPhase, at_ms: int) -> None:
        """End the present phase and start another one, or the same again."""
        duration_ms = at_ms - self.since_ms
        if self.phase is _TALKING:
            self.talk_ms += duration_ms
        elif self.phase is _ON_HOLD:
            self.hold_ms += duration_ms
        elif self.phase is _PARKED:
            self.parked_ms += duration_ms
        else:
            self.wrap_up_ms += duration_ms
        self.since_ms = at_ms
        self.phase = phase


class AgentCounters(Struct, array_like=True):
    """Counters of an agent, and the present activity."""

    state: AgentState = AgentState.OFFLINE
    assignments: int = 0
    """Open assignments without the parked ones."""
    activity: AgentActivity = AgentActivity.OFFLINE
    """Present activity, derived from the two fields above."""
    since_ms: int = 0
    """Start of the present activity."""
    time: WorkTime = field(default_factory=WorkTime)
    offers: OfferCounts = field(default_factory=OfferCounts)
    handling: HandlingCounts = field(default_factory=HandlingCounts)
    parked: int = 0
    """Parked assignments."""
    state_since_ms: int = 0
    """Start of the present state with its reason."""
    reason: str | None = None
    """Reason of the present state."""
    team: str | None = None
    """Present team."""

    def __post_init__(self) -> None:
        """Complete records of snapshots that are older than ``state_since_ms``."""
        self.state_since_ms = self.state_since_ms or self.since_ms


class LostOutcome(StrEnum):
    """End of a contact without an answer."""

    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class StatsTarget(Protocol):
    """Statistics that the event handlers update."""

    contacts: dict[str, LiveContact]
    offers: dict[str, LiveOffer]
    assignments: dict[str, LiveAssignment]

    def add_contact(self, contact_id: str, contact: LiveContact) -> None:
        """Add a contact, in place of the one with the same id, if any."""

    def agent(self, agent_id: str) -> AgentCounters:
        """Return the counters of an agent, creating them if needed."""

    def counters_for(self, contact_id: str, queue_id: str, channel: str) -> ContactCounters:
        """Return the counters in which an event of this contact, queue and channel counts."""

    def move_contact(self, queue_id: str, before: int | None, after: int | None, at_ms: int) -> None:
        """Count a contact of a queue that changes its state; none: from or to outside the queue."""

    def record_choosing(self, change: int) -> None:
        """Count a contact whose customer begins to choose (1), or has chosen or ended (-1)."""

    def record_entry_rules(self, event: ContactQueued) -> None:
        """Count the entry rules that matched or failed for a new contact."""

    def record_answer(self, contact_id: str, contact: LiveContact, agent_id: str, wait_ms: int) -> None:
        """Count the end of a wait by an answer; never called for the wait of a callback."""

    def record_lost(self, contact_id: str, contact: LiveContact, outcome: LostOutcome, wait_ms: int) -> None:
        """Count a contact that ended without an answer."""

    def record_end(self) -> None:
        """Count a contact whose conversation ended."""

    def record_activity(self, agent_id: str, before: AgentActivity, after: AgentActivity, at_ms: int) -> None:
        """Count an agent whose activity changes."""

    def record_time(self, agent_id: str, agent: AgentCounters, at_ms: int) -> None:
        """Count the time of the present activity of an agent, which ends."""

    def record_state_time(self, agent_id: str, agent: AgentCounters, at_ms: int) -> None:
        """Count the time of the present state and reason of an agent, which end."""

    def count_for_agent(self, agent_id: str, number: int, value: int = 1) -> None:
        """Count something that an agent did; ``number`` is that of the counter in ``metrics``."""

    def record_completed(self, assignment_id: str, done: LiveAssignment, disposition: str | None, at_ms: int) -> None:
        """Count a completed assignment for its agent and its disposition."""

    def record_disposition(self, assignment_id: str, disposition: str, at_ms: int) -> None:
        """Count a disposition that was given after the assignment had been completed."""

    def record_goal(self, event: GoalChanged, at_ms: int) -> None:
        """Count the goal of a contact that is over, in place of what was counted for it before."""

    def remove_agent(self, agent_id: str, at_ms: int) -> None:
        """Remove an agent."""

    def record_alert(self, name: str, *, is_raised: bool) -> None:
        """Count an alert that is raised or cleared."""

    def apply_policy(self, policy: Policy) -> None:
        """Apply the service-level targets and entry rules of a policy to later events."""


def state_times(agent_id: str, state: AgentState, reason: str | None) -> tuple[tuple[str, int], ...]:
    """Return the keys and counters to which the time of an agent's state belongs."""
    if state is AgentState.READY:
        return ((agent_key(agent_id), STATE_READY_MS),)
    if state is not AgentState.NOT_READY:
        return ()
    of_agent = (agent_key(agent_id), STATE_NOT_READY_MS)
    return (of_agent,) if reason is None else (of_agent, (reason_key(agent_id, reason), STATE_NOT_READY_MS))


def update_agent(target: StatsTarget, agent_id: str, at_ms: int, *, state: AgentState | None = None, work: int = 0) -> None:
    """Change an agent's state (none: unchanged) or number of assignments, and add the time of an activity that ends."""
    agent = target.agent(agent_id)
    before = agent.activity
    if state is not None:
        agent.state = state
    agent.assignments += work
    after = activity_of(agent.state, agent.assignments)
    if before is after:
        return
    target.record_time(agent_id, agent, at_ms)
    agent.activity = after
    agent.time.add(before, at_ms - agent.since_ms)
    agent.since_ms = at_ms
    target.record_activity(agent_id, before, after, at_ms)
