"""Numbers of the counters in cells, and cells as counters.

A cell is a sparse vector: the counters of one key in one span of time, by number, without those that are zero. Thousands of cells
are kept, most with few counters, so that a cell takes far less than a ``ContactCounters``. Cells are kept in snapshots for more
than a year: **a number never changes its meaning**, and a counter that is added gets a number of its own. The fields of each part
of ``ContactCounters`` have consecutive numbers, so that a new field is added at the end of its part.

Cells add up, number by number, except those from ``MAXIMA`` on, of which the greater one counts.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from router.statistics.counters import ContactCounters
from router.statistics.occupancy import AgentActivity, WorkTime
from router.statistics.service_level import WAIT_BUCKETS_MS, WaitHistogram

Cell: TypeAlias = dict[int, int]

# First number of each part of the counters.
_FIRST: Final[dict[str, int]] = {
    "flow": 0,
    "service": 20,
    "waits": 30,
    "offers": 40,
    "handling": 50,
    "callbacks": 60,
    "switches": 70,
    "consults": 80,
    "after_overflow": 90,
}

BUSY_MS: Final = 100
IDLE_MS: Final = 101
NOT_READY_MS: Final = 102
"""Time of agents by activity."""
STATE_READY_MS: Final = 103
STATE_NOT_READY_MS: Final = 104
"""Time of agents in their state, with or without work."""
CORRECTIONS: Final = 110
"""Late corrections of the cell. From 120 to 149: counters of goals, see ``goals``."""
FIRST_WAIT: Final = 200
"""Answered contacts with a wait in the first bucket of the histogram; the other buckets follow."""
MAXIMA: Final = 1000
LONGEST_WAIT_MS: Final = 1000
CORRECTED_AT_MS: Final = 1001

TIMES: Final = frozenset({BUSY_MS, IDLE_MS, NOT_READY_MS, STATE_READY_MS, STATE_NOT_READY_MS})
"""Counters of agents alone; the others count contacts and their work, for a queue as for an agent."""

TIME_OF_ACTIVITY: Final[dict[AgentActivity, int]] = {
    AgentActivity.BUSY: BUSY_MS,
    AgentActivity.IDLE: IDLE_MS,
    AgentActivity.NOT_READY: NOT_READY_MS,
}

_EMPTY: Final = ContactCounters()
_NUMBERS: Final[dict[tuple[str, str], int]] = {
    (part, name): first + place
    for part, first in _FIRST.items()
    for place, name in enumerate(getattr(_EMPTY, part).__struct_fields__)
}
_NAMES: Final[dict[int, tuple[str, str]]] = {number: names for names, number in _NUMBERS.items()}
_PARTS: Final = tuple((part, first, getattr(_EMPTY, part).__struct_fields__) for part, first in _FIRST.items())


def number_of(part: str, name: str) -> int:
    """Return the number of a field of a part of ``ContactCounters``."""
    return _NUMBERS[part, name]


def changes_of(counters: ContactCounters) -> list[tuple[int, int]]:
    """Return numbers and values of all counters that are not zero."""
    found: list[tuple[int, int]] = []
    for part, first, names in _PARTS:
        counted = getattr(counters, part)
        for place, name in enumerate(names, first):
            if value := getattr(counted, name):
                found.append((place, value))
    return found


def add_changes(cells: dict[str, Cell], key: str, changes: Iterable[tuple[int, int]]) -> None:
    """Add values to the cell of a key, which is created if needed."""
    cell = cells.get(key)
    if cell is None:
        cell = cells[key] = {}
    for number, value in changes:
        if number < MAXIMA:
            cell[number] = cell.get(number, 0) + value
        elif value > cell.get(number, 0):
            cell[number] = value


def queue_key(queue_id: str, channel: str) -> str:
    """Return the key of the cells of a queue and channel. No id contains a space."""
    return f"q {queue_id} {channel}"


AGENT_PREFIX: Final = "a "
"""What the keys of the cells of agents begin with."""


REASON_PREFIX: Final = "r "
"""What the keys of the cells of reasons begin with."""


def agent_key(agent_id: str) -> str:
    """Return the key of the cells of an agent."""
    return AGENT_PREFIX + agent_id


def disposition_key(queue_id: str, disposition: str | None) -> str:
    """Return the key of the cells of a disposition in a queue; none: of assignments without one."""
    return f"d {queue_id} {disposition or ''}"


def goal_key(queue_id: str, channel: str, goal: str) -> str:
    """Return the key of the cells of a goal in a queue and channel."""
    return f"g {queue_id} {channel} {goal}"


def reason_key(agent_id: str, reason: str) -> str:
    """Return the key of the cells of a reason for which an agent was not ready."""
    return f"{REASON_PREFIX}{agent_id} {reason}"


def counters_of(cell: Mapping[int, int]) -> ContactCounters:
    """Return the counters of a cell."""
    counters = ContactCounters()
    for number, value in cell.items():
        names = _NAMES.get(number)
        if names is not None:
            setattr(getattr(counters, names[0]), names[1], value)
    return counters


def work_time_of(cell: Mapping[int, int]) -> WorkTime:
    """Return the time by activity of a cell."""
    return WorkTime(cell.get(NOT_READY_MS, 0), cell.get(IDLE_MS, 0), cell.get(BUSY_MS, 0))


def waits_of(cell: Mapping[int, int]) -> WaitHistogram:
    """Return the histogram of waits of a cell."""
    counters = counters_of(cell)
    buckets = [cell.get(FIRST_WAIT + place, 0) for place in range(len(WAIT_BUCKETS_MS) + 1)]
    return WaitHistogram(sum(buckets), counters.waits.answered_ms, cell.get(LONGEST_WAIT_MS, 0), buckets)
