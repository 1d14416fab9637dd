"""Queries of the history: what was counted in spans of time, added up by queue, agent or another dimension.

A query is a generator that yields between small parts of the work and returns its result at the end. It holds the history
meanwhile, so that the result is as of its first step, with the running minute and the present states of agents up to then. The
time of each span is covered by days, quarters of an hour and minutes, the longest ones that fit and are kept.
"""

from collections.abc import Generator, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from router.model.states import AgentState
from router.statistics.history import MINUTE_MS, QUARTER_MS, Cells, History, Span, unpack
from router.statistics.metrics import AGENT_PREFIX, REASON_PREFIX, TIME_OF_ACTIVITY, TIMES, Cell, add_changes, agent_key
from router.statistics.occupancy import AgentActivity
from router.statistics.open_records import AgentCounters, state_times

# Cells that are added up in a step, about a quarter of a millisecond.
_CELLS_PER_STEP: Final = 128


class Dimension(StrEnum):
    """What the rows of statistics are about."""

    WORKSPACE = "workspace"
    """The whole workspace."""
    QUEUE = "queue"
    """Each queue."""
    CHANNEL = "channel"
    """Each channel."""
    QUEUE_CHANNEL = "queue_channel"
    """Each channel of each queue."""
    AGENT = "agent"
    """Each agent."""
    TEAM = "team"
    """Each team, with the agents who belong to it now."""
    DISPOSITION = "disposition"
    """Each disposition of completed assignments, over all queues."""
    GOAL = "goal"
    """Each goal of contacts, over all queues."""


class RowKey(NamedTuple):
    """What a row is about; none: not that."""

    queue_id: str | None = None
    channel: str | None = None
    agent_id: str | None = None
    team: str | None = None
    disposition: str | None = None
    goal: str | None = None


class RowFilter(NamedTuple):
    """What counts; none: everything."""

    queue_id: str | None = None
    channel: str | None = None
    agent_id: str | None = None


class TimeSpan(NamedTuple):
    """Time from a point up to another one, without it."""

    start_ms: int
    end_ms: int


class RowCells(NamedTuple):
    """What a row has counted."""

    cell: Cell
    reasons: dict[str, int]
    """Time not ready by reason, in milliseconds."""


Rows = dict[RowKey, RowCells]


EVERYTHING: Final = RowFilter()


class TooManyRows(ValueError):
    """A query with more rows than its limit."""


class Grouping:
    """Rows to which cells belong, by their keys."""

    def __init__(
        self, dimension: Dimension, kept: RowFilter, agents: Mapping[str, AgentCounters], rows_max: int | None = None
    ) -> None:
        """``agents`` tell the present team of each agent, to which all of the agent's work counts."""
        self._dimension = dimension
        self._filter = kept
        self._agents = agents
        self._known: dict[str, tuple[RowKey | None, str, bool]] = {}
        self._rows_max = rows_max
        self._row_count = 0

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the keys that belong to rows begin with; others may begin so too."""
        kept = self._filter
        found: list[str] = []
        if self._dimension is Dimension.DISPOSITION:
            found.append("d " if kept.queue_id is None else f"d {kept.queue_id} ")
        elif self._dimension is Dimension.GOAL:
            found.append("g " if kept.queue_id is None else f"g {kept.queue_id} {kept.channel or ''}")
        elif self._dimension not in (Dimension.AGENT, Dimension.TEAM):
            found.append("q " if kept.queue_id is None else f"q {kept.queue_id} {kept.channel or ''}")
        if self.has_agents:
            found += [prefix + (kept.agent_id or "") for prefix in (AGENT_PREFIX, REASON_PREFIX)]
        return tuple(found)

    @property
    def has_agents(self) -> bool:
        """Whether rows have time of agents."""
        is_of_contacts = self._filter.queue_id or self._filter.channel
        return self._dimension in (Dimension.WORKSPACE, Dimension.AGENT, Dimension.TEAM) and not is_of_contacts

    def new_row(self) -> RowCells:
        """Return an empty row. Raises TooManyRows for the first one above the limit, before more memory is taken."""
        self._row_count += 1
        if self._rows_max is not None and self._row_count > self._rows_max:
            raise TooManyRows
        return RowCells({}, {})

    def place_of(self, key: str) -> tuple[RowKey | None, str, bool]:
        """Return the row of a key, if any, its reason, if it is of one, and whether only time counts."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._place(key)
        return found

    def _place(self, key: str) -> tuple[RowKey | None, str, bool]:
        kind, first, *others = key.split(" ")
        second = others[0] if others else ""
        match kind:
            case "q":
                return self._of_queue(first, second), "", False
            case "d":
                return self._of_disposition(first, second), "", False
            case "g":
                return self._of_goal(first, second, others[1]), "", False
            case _:
                return self._of_agent(first), second, self._dimension is Dimension.WORKSPACE

    def _of_queue(self, queue_id: str, channel: str) -> RowKey | None:
        if self._filter.queue_id not in (None, queue_id) or self._filter.channel not in (None, channel):
            return None
        match self._dimension:
            case Dimension.WORKSPACE:
                return RowKey() if self._filter.agent_id is None else None
            case Dimension.QUEUE:
                return RowKey(queue_id=queue_id)
            case Dimension.CHANNEL:
                return RowKey(channel=channel)
            case Dimension.QUEUE_CHANNEL:
                return RowKey(queue_id=queue_id, channel=channel)
            case _:
                return None

    def _of_agent(self, agent_id: str) -> RowKey | None:
        if self._filter.agent_id not in (None, agent_id) or self._filter.queue_id or self._filter.channel:
            return None
        match self._dimension:
            case Dimension.WORKSPACE:
                return RowKey()
            case Dimension.AGENT:
                return RowKey(agent_id=agent_id)
            case Dimension.TEAM:
                agent = self._agents.get(agent_id)
                return None if agent is None or agent.team is None else RowKey(team=agent.team)
            case _:
                return None

    def _of_disposition(self, queue_id: str, disposition: str) -> RowKey | None:
        if self._dimension is not Dimension.DISPOSITION or self._filter.queue_id not in (None, queue_id):
            return None
        return RowKey(disposition=disposition)

    def _of_goal(self, queue_id: str, channel: str, goal: str) -> RowKey | None:
        if self._dimension is not Dimension.GOAL:
            return None
        if self._filter.queue_id not in (None, queue_id) or self._filter.channel not in (None, channel):
            return None
        return RowKey(goal=goal)


class _Sources(NamedTuple):
    """Cells of a span: minutes and quarters as they are, and packed chunks."""

    cells: list[Cells]
    chunks: list[bytes]


def read(
    history: History, agents: dict[str, AgentCounters], spans: list[TimeSpan], grouping: Grouping, now_ms: int
) -> Generator[None, None, list[Rows]]:
    """Return the rows of each span, after steps between which events may be counted. Raises TooManyRows."""
    results: list[Rows] = [{} for _ in spans]
    # The first step takes everything that changes: present states. What was counted above the spans changes no more once held.
    present = _present(agents) if grouping.has_agents else []
    history.hold()
    above = [(minute_ms, cells) for layer in history.earlier_layers for minute_ms, cells in layer.items() if cells]
    try:
        until_ms = history.minute_end_ms
        yield from _add_present(present, spans, results, grouping, max(now_ms, history.minute_start_ms))
        for rows, span in zip(results, spans, strict=True):
            found = _sources(history, span, until_ms, grouping.prefixes)
            found.cells.extend(cells for minute_ms, cells in above if span.start_ms <= minute_ms < span.end_ms)
            for cells in found.cells:
                yield from _add_cells(rows, cells, grouping)
            for chunk in found.chunks:
                yield from _add_cells(rows, unpack(chunk), grouping)
    finally:
        history.release()
    return results


class _Present(NamedTuple):
    """Activity and state of an agent at one moment."""

    agent_id: str
    activity: AgentActivity
    since_ms: int
    state: AgentState
    reason: str | None
    state_since_ms: int


def _present(agents: dict[str, AgentCounters]) -> list[_Present]:
    """Return the activities and states of all agents; half a microsecond each."""
    return [
        _Present(agent_id, one.activity, one.since_ms, one.state, one.reason, one.state_since_ms)
        for agent_id, one in agents.items()
    ]


def _add_present(
    agents: list[_Present], spans: list[TimeSpan], results: list[Rows], grouping: Grouping, now_ms: int
) -> Generator[None]:
    """Add the time of the present activities and states of agents, which is counted when they end."""
    done = 0
    for agent in agents:
        done += 1
        if done >= _CELLS_PER_STEP:
            done = 0
            yield
        key = agent_key(agent.agent_id)
        if grouping.place_of(key)[0] is None:
            continue
        number = TIME_OF_ACTIVITY.get(agent.activity)
        running = [] if number is None else [(key, number, agent.since_ms)]
        states = state_times(agent.agent_id, agent.state, agent.reason)
        running += [(key, number, agent.state_since_ms) for key, number in states]
        for key, number, since_ms in running:
            for span, rows in zip(reversed(spans), reversed(results), strict=True):
                if span.end_ms <= since_ms:
                    break
                if (passed_ms := min(now_ms, span.end_ms) - max(since_ms, span.start_ms)) > 0:
                    _add(rows, key, ((number, passed_ms),), grouping)
                done += 1  # Of all agents, states and spans together: there may be hundreds of spans.
                if done >= _CELLS_PER_STEP:
                    done = 0
                    yield


def _sources(history: History, span: TimeSpan, until_ms: int, prefixes: tuple[str, ...]) -> _Sources:
    """Return the cells of the spans that cover a time: the longest ones that fit. Nothing is counted from ``until_ms`` on.

    Chunks without a key that begins with one of ``prefixes`` are left out.
    """
    found = _Sources([], [])
    at_ms, last_ms = span.start_ms, min(span.end_ms, until_ms)
    while at_ms < last_ms:
        day = history.day_at(at_ms)
        if day is not None and day.start_ms == at_ms and (day.end_ms <= last_ms or last_ms == until_ms):
            _add_span(found, day, prefixes)
            for quarter in _quarters(history, day):
                found.cells.append(quarter.cells)
            _add_open_minutes(history, found, day.start_ms, day.end_ms)
            at_ms = day.end_ms
            continue
        quarter_ms = at_ms - at_ms % QUARTER_MS
        kept = history.quarters.get(quarter_ms)
        if quarter_ms == at_ms and (kept is None or kept.end_ms <= last_ms or last_ms == until_ms):
            if kept is not None:
                _add_span(found, kept, prefixes)
                _add_open_minutes(history, found, kept.start_ms, kept.end_ms)
            at_ms += QUARTER_MS
            continue
        minute = history.minutes.get(at_ms - at_ms % MINUTE_MS)
        if minute is not None:
            found.cells.extend((minute.cells, minute.merged))
        at_ms += MINUTE_MS - at_ms % MINUTE_MS
    return found


def sources_now(history: History, span: TimeSpan) -> list[Cells]:
    """Return the cells of all spans that cover a time, with the layers above them, to look up single keys in.

    Nothing is held: events change the cells, and what is looked up together must be looked up before the next event.
    """
    found = _sources(history, span, history.minute_end_ms, ("q ", AGENT_PREFIX))
    for layer in (*history.earlier_layers, history.layer):
        found.cells.extend(cells for minute_ms, cells in layer.items() if span.start_ms <= minute_ms < span.end_ms)
    found.cells.extend(unpack(chunk) for chunk in found.chunks)
    return found.cells  # Also empty ones: what is counted next may be counted there.


def _quarters(history: History, day: Span) -> Iterable[Span]:
    for start_ms in range(day.start_ms, day.end_ms, QUARTER_MS):
        if (quarter := history.quarters.get(start_ms)) is not None and quarter.cells:
            yield quarter


def _add_span(found: _Sources, span: Span, prefixes: tuple[str, ...]) -> None:
    found.cells.append(span.cells)
    found.chunks.extend(span.chunks_with(prefixes))


def _add_open_minutes(history: History, found: _Sources, start_ms: int, end_ms: int) -> None:
    """Add the cells of minutes that are not in their quarter yet."""
    if end_ms <= next(iter(history.minutes)):
        return
    for minute in reversed(history.minutes.values()):
        if minute.end_ms <= start_ms:
            break
        if minute.start_ms < end_ms and minute.cells:
            found.cells.append(minute.cells)


def _add_cells(rows: Rows, cells: Cells, grouping: Grouping) -> Generator[None]:
    for place, (key, cell) in enumerate(cells.items(), 1):
        _add(rows, key, cell.items(), grouping)
        if place % _CELLS_PER_STEP == 0:
            yield
    yield


def _add(rows: Rows, key: str, changes: Iterable[tuple[int, int]], grouping: Grouping) -> None:
    row_key, reason, is_time_only = grouping.place_of(key)
    if row_key is None:
        return
    row = rows.get(row_key)
    if row is None:
        row = rows[row_key] = grouping.new_row()
    if reason:
        row.reasons[reason] = row.reasons.get(reason, 0) + sum(value for _, value in changes)
    elif is_time_only:
        add_changes({"": row.cell}, "", [change for change in changes if change[0] in TIMES])
    else:
        add_changes({"": row.cell}, "", changes)
