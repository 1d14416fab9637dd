"""Occupancy: the share of an agent's available time spent on assignments.

An agent's activity is always one of: **busy** (at least one assignment in talk, hold or wrap-up, in any agent state), **idle**
(READY with no assignment; a ringing offer is still idle), **not ready** (NOT_READY with no assignment), or offline. Parked
assignments do not count: the agent waits for the customer and can do other work.

    occupancy   = busy / (busy + idle)                 handling / (handling + available)
    utilisation = busy / (busy + idle + not ready)     handling / signed in

Time with three chats at once counts once, so that occupancy never exceeds 1. ``concurrency`` = handle time / busy is the mean
number of simultaneous contacts. Sources: ICMI glossary (occupancy, utilisation); Gans, Koole and Mandelbaum (2003).
"""

from enum import IntEnum

from msgspec import Struct, field

from router.model.states import AgentState
from router.statistics.service_level import ratio


class AgentActivity(IntEnum):
    """Activity of an agent."""

    OFFLINE = 0
    """OFFLINE without open assignments; not counted in any time."""
    NOT_READY = 1
    """NOT_READY without open assignments."""
    IDLE = 2
    """READY without open assignments."""
    BUSY = 3
    """At least one open assignment that is not parked."""


# An attribute lookup on an enum costs more than the comparison; these constants are used on the hot path.
_NOT_READY, _IDLE, _BUSY = AgentActivity.NOT_READY, AgentActivity.IDLE, AgentActivity.BUSY
_IS_READY, _IS_NOT_READY = AgentState.READY, AgentState.NOT_READY


def activity_of(state: AgentState, assignments: int) -> AgentActivity:
    """Return the activity for a state and a number of assignments; open assignments mean busy in any state."""
    if assignments:
        return _BUSY
    if state is _IS_READY:
        return _IDLE
    return _NOT_READY if state is _IS_NOT_READY else AgentActivity.OFFLINE


class WorkTime(Struct, gc=False):
    """Milliseconds by activity, without offline time."""

    not_ready_ms: int = 0
    idle_ms: int = 0
    busy_ms: int = 0

    def add(self, activity: AgentActivity, duration_ms: int) -> None:
        """Add time of an activity; offline time is ignored."""
        if activity is _BUSY:
            self.busy_ms += duration_ms
        elif activity is _IDLE:
            self.idle_ms += duration_ms
        elif activity is _NOT_READY:
            self.not_ready_ms += duration_ms


class WorkforceTime(Struct, array_like=True):
    """Number of agents by activity, and the sum of their time up to ``since_ms``, kept without a loop over agents."""

    agents_by_activity: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Number of agents by activity, indexed by its value."""
    time: WorkTime = field(default_factory=WorkTime)
    """Sum of the agents' time by activity."""
    since_ms: int = 0
    """Time up to which ``time`` is counted."""

    def advance(self, at_ms: int) -> None:
        """Add the time since the last call; no activity has changed meanwhile."""
        duration_ms = at_ms - self.since_ms
        if duration_ms:
            _, not_ready, idle, busy = self.agents_by_activity
            self.time.not_ready_ms += not_ready * duration_ms
            self.time.idle_ms += idle * duration_ms
            self.time.busy_ms += busy * duration_ms
            self.since_ms = at_ms


def occupancy(time: WorkTime) -> float | None:
    """Return busy / (busy + idle); none without such time."""
    return ratio(time.busy_ms, time.busy_ms + time.idle_ms)


def utilisation(time: WorkTime) -> float | None:
    """Return busy / (busy + idle + not ready); none without such time."""
    return ratio(time.busy_ms, time.busy_ms + time.idle_ms + time.not_ready_ms)


def concurrency(handle_ms: int, time: WorkTime) -> float | None:
    """Return the mean number of simultaneous contacts while busy.

    Handle time is counted at completion, so that open assignments are at most in the busy time.
    """
    return ratio(handle_ms, time.busy_ms)
