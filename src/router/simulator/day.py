"""Plan of a simulated day: everything that happens independently of the router's decisions.

``formats`` and ``workload`` produce a ``Day``, ``simulation`` runs it. Points in time are milliseconds on the day's own clock,
durations are milliseconds.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct, structs

from router.model.errors import RouterError
from router.model.policy import CallbackMode, FactValue, Policy
from router.model.states import AgentId, ContactId, IfUnable, QueueId


class WorkloadInvalid(RouterError):
    """A log or a workload cannot be used; the message has the file and the line, column or path, never a value."""


class DayWindow(Struct, frozen=True):
    """Part of a recording, ``[from_ms, to_ms)``; none: no limit."""

    from_ms: int | None = None
    to_ms: int | None = None

    def contains(self, at_ms: int) -> bool:
        """Return whether a point in time is within the window."""
        return (self.from_ms is None or at_ms >= self.from_ms) and not self.is_over(at_ms)

    def is_over(self, at_ms: int) -> bool:
        """Return whether a point in time is at or after the end."""
        return self.to_ms is not None and at_ms >= self.to_ms


class RecordedOutcome(StrEnum):
    """What became of a recorded contact."""

    ANSWERED = "answered"
    """An agent accepted it while the customer waited."""
    CALLED_BACK = "called_back"
    """The customer was called back and spoke with an agent."""
    ABANDONED = "abandoned"
    """The customer left before an answer."""
    CANCELLED = "cancelled"
    """The gateway or a supervisor withdrew it before an answer."""
    EXPIRED = "expired"
    """Its time to live or its maximum wait was over."""
    OPEN = "open"
    """Nothing of it: it still waited at the end of the recording."""


class PlannedCallback(Struct, frozen=True, kw_only=True, gc=False):
    """Callback request of a customer, refused where the policy does not allow it."""

    after_ms: int
    """Wait after which the customer asks to be called back."""
    mode: CallbackMode | None = None
    """Callback mode; none: the policy's."""
    reached_share: float = 1.0
    """Probability that an attempt reaches the customer; other attempts end by the report timeout."""
    answer_mean_ms: int = 0
    """Mean of the exponential time until the customer picks up; 0: at once."""


class PlannedSuspension(Struct, frozen=True, kw_only=True, gc=False):
    """A suspension in the middle of the conversation, and the return."""

    away_ms: int
    """Time from the suspension to the return."""
    channel: str | None = None
    """Channel on which the customer returns; none: the same."""


class PlannedSwitch(Struct, frozen=True, kw_only=True, gc=False):
    """A switch to another channel in the conversation."""

    channel: str
    """Channel on which the customer wants to go on."""
    connect_ms: int = 0
    """Time that the gateway takes to connect them; one that is too long fails by the timeout."""
    if_unable: IfUnable = IfUnable.REFUSE
    """What happens where the agent has no capacity for it: nothing, or the switch waits for this agent or another."""
    consult_ms: int = 60_000
    """Time after which the conversation is passed to an agent who is consulted for the switch."""


class PlannedContact(Struct, frozen=True, kw_only=True, gc=False):
    """Contact that will arrive, with its handle time and patience, which the router does not know."""

    contact_id: ContactId
    at_ms: int
    queue_id: QueueId | None
    """Queue that the contact names; none: the entry rules of the policy choose it."""
    handle_ms: int
    """Time from the accept to the end of the conversation."""
    patience_ms: int | None = None
    """Wait after which the customer abandons; none: never."""
    waited_ms: int | None = None
    """Wait of the contact in the log, if it was served there; none: not served, or unknown."""
    served_by: AgentId | None = None
    """Agent of the log whose handle time this is; none: unknown, or not from a log."""
    wrap_up_ms: int | None = None
    """Work after the conversation in the log; none: unknown. A simulation takes that of the policy."""
    channel: str = "voice"
    skills: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer that the policy declares; others are ignored."""
    preferred_agents: tuple[AgentId, ...] = ()
    ttl_s: int | None = None
    """Time to live; none: as in the policy."""
    priority_s: int = 0
    priority_class: int = 0
    callback: PlannedCallback | None = None
    suspension: PlannedSuspension | None = None
    switch: PlannedSwitch | None = None
    redial_after_ms: int | None = None
    """Time from the abandonment to a second contact of the customer, the same again; none: no second contact."""
    stream: str = ""
    """Arrival stream in the report; empty: the queue."""
    outcome: RecordedOutcome | None = None
    """What became of it in the log; none: answered if it waited there, else abandoned."""


class Shift(Struct, frozen=True, kw_only=True, gc=False):
    """Time on duty; an agent with work at its end finishes that work first."""

    from_ms: int
    to_ms: int | None = None
    """End of the shift; none: the end of the run."""


class AgentBehaviour(Struct, frozen=True, kw_only=True, gc=False):
    """Behaviour of an agent towards offers without automatic accept. Shares are probabilities, 0 to 1."""

    answer_mean_ms: int = 0
    """Mean of the exponential delay before the accept or the decline; 0: at once."""
    decline_share: float = 0.0
    no_answer_share: float = 0.0
    ready_again_ms: int = 60_000
    """Delay before the agent goes ready after a missed offer, unless the policy returns the agent automatically."""


class PlannedAgent(Struct, frozen=True, kw_only=True):
    """Agent of the day. Without shifts, the group's staffing levels determine the shifts."""

    agent_id: AgentId
    group: str = "agents"
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    units: int | None = None
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[str, int] = {}
    shifts: tuple[Shift, ...] = ()
    behaviour: AgentBehaviour = AgentBehaviour()
    handle_factor: float = 1.0
    """Multiple of a contact's handle time that this agent takes."""

    def handle_ms(self, contact: PlannedContact) -> int:
        """Return how long the agent takes for a contact."""
        return contact.handle_ms if self.handle_factor == 1.0 else round(contact.handle_ms * self.handle_factor)


class StaffLevel(Struct, frozen=True, kw_only=True, gc=False):
    """Number of agents of a group on duty from a point in time on. Idle agents leave first; busy ones finish their work."""

    at_ms: int
    group: str
    count: int


class Day(Struct, frozen=True, kw_only=True):
    """Complete input of one run. ``contacts`` are in order of ``at_ms`` and are read once."""

    name: str
    policy: Policy
    contacts: Iterable[PlannedContact]
    contacts_expected: int
    """Estimated number of contacts, for progress display only."""
    agents: tuple[PlannedAgent, ...]
    levels: tuple[StaffLevel, ...] = ()
    start_ms: int = 0
    window_from_ms: int
    """Start of the measured window; earlier arrivals are the warm-up and are not counted."""
    window_to_ms: int
    """End of the measured window (exclusive), for arrivals and for time-weighted statistics."""
    notes: tuple[str, ...] = ()
    """Remarks that a reader of the results must know, such as entry rules that are never evaluated."""
    batches: int = 1
    """Number of equal parts of the window, for the confidence intervals of a single run."""
    behaviour_seed: int = 0

    def shifted(self, offset_ms: int) -> "Day":
        """Return the same day moved by an offset in milliseconds; only opening hours depend on the absolute time."""
        if not offset_ms:
            return self
        return structs.replace(
            self,
            contacts=(structs.replace(c, at_ms=c.at_ms + offset_ms) for c in self.contacts),
            agents=tuple(
                structs.replace(
                    agent,
                    shifts=tuple(
                        Shift(from_ms=shift.from_ms + offset_ms, to_ms=None if shift.to_ms is None else shift.to_ms + offset_ms)
                        for shift in agent.shifts
                    ),
                )
                for agent in self.agents
            ),
            levels=tuple(structs.replace(one, at_ms=one.at_ms + offset_ms) for one in self.levels),
            start_ms=self.start_ms + offset_ms,
            window_from_ms=self.window_from_ms + offset_ms,
            window_to_ms=self.window_to_ms + offset_ms,
        )
