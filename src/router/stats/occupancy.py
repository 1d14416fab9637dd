"""Occupancy: what part of an agent's available time he works.

An agent is at each moment one of: **busy** (at least one assignment: talking, on hold or in wrap-up, whatever his state), **idle**
(READY with no assignment; an offer that rings is still idle), **not ready** (NOT_READY with no assignment), or offline. A parked
assignment is none for this: he waits for the customer and can do other things.

    occupancy   = busy / (busy + idle)                 handling / (handling + available)
    utilisation = busy / (busy + idle + not ready)     handling / signed in

Time with three chats at once is counted once: a person cannot be more than fully occupied. ``concurrency`` = handle time / busy
says how many at once. Sources: ICMI's glossary (occupancy, utilisation); Gans, Koole and Mandelbaum (2003).
"""

from enum import IntEnum

from msgspec import Struct, field

from router.model.states import AgentState
from router.stats.ratio import ratio


class Activity(IntEnum):
    """What an agent does, for the meters."""

    OFFLINE = 0
    NOT_READY = 1
    IDLE = 2
    BUSY = 3


# Looking a member up on its enum costs more than the comparison; these stand on the hot path.
_NOT_READY, _IDLE, _BUSY = Activity.NOT_READY, Activity.IDLE, Activity.BUSY
_IS_READY, _IS_NOT_READY = AgentState.READY, AgentState.NOT_READY


def activity(state: AgentState, assignments: int) -> Activity:
    """Work in hand outweighs what he says of himself."""
    if assignments:
        return _BUSY
    if state is _IS_READY:
        return _IDLE
    return _NOT_READY if state is _IS_NOT_READY else Activity.OFFLINE


class WorkTime(Struct, gc=False):
    """Milliseconds by activity; offline time is nobody's."""

    not_ready_ms: int = 0
    idle_ms: int = 0
    busy_ms: int = 0

    def add(self, doing: Activity, duration_ms: int) -> None:
        """More of one activity."""
        if doing is _BUSY:
            self.busy_ms += duration_ms
        elif doing is _IDLE:
            self.idle_ms += duration_ms
        elif doing is _NOT_READY:
            self.not_ready_ms += duration_ms


class Workforce(Struct, array_like=True):
    """All agents together: how many do what, and the sum of their times up to ``since_ms``. No loop over agents is needed."""

    heads: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """How many agents are at each Activity."""
    time: WorkTime = field(default_factory=WorkTime)
    since_ms: int = 0

    def advance(self, at_ms: int) -> None:
        """Nobody has changed what he does until then."""
        duration_ms = at_ms - self.since_ms
        if duration_ms:
            _, not_ready, idle, busy = self.heads
            self.time.not_ready_ms += not_ready * duration_ms
            self.time.idle_ms += idle * duration_ms
            self.time.busy_ms += busy * duration_ms
            self.since_ms = at_ms


def occupancy(time: WorkTime) -> float | None:
    """Busy of busy and idle."""
    return ratio(time.busy_ms, time.busy_ms + time.idle_ms)


def utilisation(time: WorkTime) -> float | None:
    """Busy of all the time signed in."""
    return ratio(time.busy_ms, time.busy_ms + time.idle_ms + time.not_ready_ms)


def concurrency(handle_ms: int, time: WorkTime) -> float | None:
    """How many contacts at once, on average, while busy. Work that still runs is in neither or in the second only."""
    return ratio(handle_ms, time.busy_ms)
