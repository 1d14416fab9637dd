"""What the meters remember of things that are still going on. Gone with the thing's last event."""

from enum import IntEnum

from msgspec import Struct, field

from router.model.states import AgentState
from router.stats.handling import Handling
from router.stats.occupancy import Activity, WorkTime
from router.stats.offers import OfferCounts
from router.stats.tally import Tally
from router.stats.waiting import Waits

# Where a live contact is. Numbers, because a million of them are written into every snapshot.
QUEUED, OFFERED, ASSIGNED, CALLBACK = 0, 1, 2, 3


class Phase(IntEnum):
    """What an agent does with an assignment."""

    TALKING = 0
    ON_HOLD = 1
    WRAP_UP = 2
    PARKED = 3


_TALKING, _ON_HOLD, _PARKED = Phase.TALKING, Phase.ON_HOLD, Phase.PARKED


class LiveContact(Struct, array_like=True, gc=False):
    """A contact that has not ended."""

    queue_id: str
    channel: str
    waiting_since_ms: int
    """When the present wait began."""
    state: int = QUEUED
    is_callback: bool = False
    """The customer is not on the line: his wait counts as a callback's."""


class LiveOffer(Struct, array_like=True, gc=False):
    """A pending offer: whose figures its end belongs to, though the contact may be gone by then."""

    queue_id: str
    channel: str


class LiveWork(Struct, array_like=True, gc=False):
    """An assignment that is not completed."""

    agent_id: str
    queue_id: str
    channel: str
    since_ms: int
    """When the present phase began."""
    talk_ms: int = 0
    hold_ms: int = 0
    wrap_up_ms: int = 0
    phase: Phase = _TALKING
    beside: bool = False
    """Beside the contact's owner: consulted, or a participant."""
    parked_ms: int = 0

    def enter(self, phase: Phase, at_ms: int) -> None:
        """The present phase has lasted until now; another one, or the same, begins."""
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
    """An agent's counts, and what he does now."""

    state: AgentState = AgentState.OFFLINE
    assignments: int = 0
    """Those that keep him at work: without the parked ones."""
    doing: Activity = Activity.OFFLINE
    """What he does now: follows from the two above."""
    since_ms: int = 0
    """When he began it."""
    time: WorkTime = field(default_factory=WorkTime)
    offers: OfferCounts = field(default_factory=OfferCounts)
    handling: Handling = field(default_factory=Handling)
    parked: int = 0
    """Assignments of his that wait for the customer."""


class QueueMeter(Struct, array_like=True):
    """A queue's counts by channel, its targets, and how many contacts are where now."""

    threshold_ms: int = 20_000
    short_abandon_ms: int = 5_000
    target: float = 0.8
    heads: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Live contacts that are queued, offered, assigned, callbacks for later."""
    waits: Waits = field(default_factory=Waits)
    channels: dict[str, Tally] = field(default_factory=dict)
    waiting_area_ms: int = 0
    """Contact-milliseconds spent waiting (queued or offered) up to ``since_ms``: the mean queue length is this over time."""
    since_ms: int = 0
    opened_at_ms: int = 0

    def __post_init__(self) -> None:
        """Snapshots from before there were callbacks count three kinds of heads."""
        if len(self.heads) == CALLBACK:
            self.heads.append(0)

    def move(self, before: int | None, after: int | None, at_ms: int) -> None:
        """A contact of this queue went from one place to another; none: it came from, or goes, elsewhere."""
        heads = self.heads
        if at_ms != self.since_ms:
            self.waiting_area_ms += (heads[QUEUED] + heads[OFFERED]) * (at_ms - self.since_ms)
            self.since_ms = at_ms
        if before is not None:
            heads[before] -= 1
        if after is not None:
            heads[after] += 1
