"""Counters of queues and agents, and records of live contacts, offers and assignments.

A record is removed with the last event of its contact, offer or assignment.
"""

from enum import IntEnum

from msgspec import Struct, field

from router.model.states import AgentState
from router.stats.handling import Handling
from router.stats.occupancy import Activity, WorkTime
from router.stats.offers import OfferCounts
from router.stats.tally import Tally
from router.stats.waiting import Waits

# States of a live contact. Plain integers, because a snapshot may contain a million of them.
QUEUED, OFFERED, ASSIGNED, CALLBACK = 0, 1, 2, 3


class Phase(IntEnum):
    """Phase of an open assignment."""

    TALKING = 0
    ON_HOLD = 1
    WRAP_UP = 2
    PARKED = 3


_TALKING, _ON_HOLD, _PARKED = Phase.TALKING, Phase.ON_HOLD, Phase.PARKED


class LiveContact(Struct, array_like=True, gc=False):
    """Contact that has not ended."""

    queue_id: str
    channel: str
    waiting_since_ms: int
    """Start of the present wait."""
    state: int = QUEUED
    is_callback: bool = False
    """Whether the customer is not on the line, so that the wait counts as that of a callback."""


class LiveOffer(Struct, array_like=True, gc=False):
    """Pending offer with the queue and channel to count its end for; its contact may have ended by then."""

    queue_id: str
    channel: str


class LiveWork(Struct, array_like=True, gc=False):
    """Assignment that is not completed."""

    agent_id: str
    queue_id: str
    channel: str
    since_ms: int
    """Start of the present phase."""
    talk_ms: int = 0
    hold_ms: int = 0
    wrap_up_ms: int = 0
    phase: Phase = _TALKING
    beside: bool = False
    """Whether the agent is beside the owner: consulted, or a participant."""
    parked_ms: int = 0

    def enter(self, phase: Phase, at_ms: int) -> None:
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


class AgentMeter(Struct, array_like=True):
    """Counters of an agent, and the present activity."""

    state: AgentState = AgentState.OFFLINE
    assignments: int = 0
    """Open assignments without the parked ones."""
    doing: Activity = Activity.OFFLINE
    """Present activity, derived from the two fields above."""
    since_ms: int = 0
    """Start of the present activity."""
    time: WorkTime = field(default_factory=WorkTime)
    offers: OfferCounts = field(default_factory=OfferCounts)
    handling: Handling = field(default_factory=Handling)
    parked: int = 0
    """Parked assignments."""


class QueueMeter(Struct, array_like=True):
    """Counters of a queue by channel, its service-level target, and its live contacts by state."""

    threshold_ms: int = 20_000
    short_abandon_ms: int = 5_000
    target: float = 0.8
    heads: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Numbers of live contacts: queued, offered, assigned, callbacks for later."""
    waits: Waits = field(default_factory=Waits)
    channels: dict[str, Tally] = field(default_factory=dict)
    waiting_area_ms: int = 0
    """Time integral of waiting contacts (queued or offered) up to ``since_ms``; divided by time it is the mean queue length."""
    since_ms: int = 0
    opened_at_ms: int = 0

    def __post_init__(self) -> None:
        """Extend snapshots older than callbacks, which have only three states."""
        if len(self.heads) == CALLBACK:
            self.heads.append(0)

    def move(self, before: int | None, after: int | None, at_ms: int) -> None:
        """Move a contact from one state to another; none: from or to outside the queue."""
        heads = self.heads
        if at_ms != self.since_ms:
            self.waiting_area_ms += (heads[QUEUED] + heads[OFFERED]) * (at_ms - self.since_ms)
            self.since_ms = at_ms
        if before is not None:
            heads[before] -= 1
        if after is not None:
            heads[after] += 1
