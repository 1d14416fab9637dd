"""Rows of single subjects for alerts: what ``GET /v1/statistics`` shows of one queue or agent, without reading all others.

A row is added up from the cells of its subject alone, which are looked up in the spans of the period: some tens of them, whatever
the size of the centre. Nothing is held. What belongs together, such as the time that an agent has spent and the running one, is
looked up in one step, so that events between the steps of a large row count once or not yet.
"""

from collections.abc import Generator, Iterable
from typing import Final

from router.model.policy import AlertBy
from router.statistics.history import MINUTE_MS, Cells, History
from router.statistics.history_queries import RowCells, RowKey, TimeSpan, sources_now
from router.statistics.metrics import TIME_OF_ACTIVITY, TIMES, Cell, add_changes, agent_key, queue_key
from router.statistics.open_records import AgentCounters, state_times
from router.statistics.questions import SLIDING_MINUTES, Period
from router.statistics.rows import StatisticsRow, statistics_row
from router.statistics.state import StatsState

# Work of a step, counted in cells that are looked up: about a third of a millisecond.
_LOOKUPS_PER_STEP: Final = 4_096
# What it costs to add up a cell that is there, and the running time of an agent.
_LOOKUPS_PER_CELL: Final = 12
_LOOKUPS_PER_PRESENT: Final = 24
_AGENTS_PER_STEP: Final = 512
_NAMES: Final = {AlertBy.QUEUE: "queue_id", AlertBy.CHANNEL: "channel", AlertBy.AGENT: "agent_id", AlertBy.TEAM: "team"}


def span_of(history: History, period: Period, now_ms: int) -> TimeSpan:
    """Return the span of a period but yesterday, as ``GET /v1/statistics`` has it."""
    minute_ms = max(now_ms - now_ms % MINUTE_MS, history.minute_start_ms)
    if period is Period.TODAY:
        return TimeSpan(*history.day_bounds(minute_ms))
    return TimeSpan(minute_ms - SLIDING_MINUTES[period] * MINUTE_MS, minute_ms + MINUTE_MS)


class SubjectRows:
    """Rows of subjects of one kind over one period, as of now."""

    def __init__(self, state: StatsState, by: AlertBy, period: Period, now_ms: int, *, has_time: bool) -> None:
        """``has_time``: whether the time of agents is needed in the row of the workspace."""
        self._state = state
        self._by = by
        self._now_ms = now_ms
        self._has_time = has_time
        self._span = span_of(state.history, period, now_ms)
        self._sources: list[Cells] = []
        self._members: dict[str, list[str]] = {}
        self.is_counted = False
        """Whether anything was counted in the last row; ``GET /v1/statistics`` has no other rows."""
        self.lookups = 0
        """Work so far, counted in cells that were looked up."""
        self._step_end = _LOOKUPS_PER_STEP

    def prepare(self) -> Generator[None]:
        """Find the spans, and the agents of each team."""
        if self._by is AlertBy.TEAM:
            for number, (agent_id, agent) in enumerate(list(self._state.agents.items()), 1):
                if agent.team is not None:
                    self._members.setdefault(agent.team, []).append(agent_id)
                if number % _AGENTS_PER_STEP == 0:
                    yield
        self.refresh()

    def refresh(self) -> None:
        """Look up the spans again, at the beginning of a step: events may have been counted."""
        self._step_end = self.lookups + _LOOKUPS_PER_STEP
        self._sources = sources_now(self._state.history, self._span) if self._state.history.minutes else []

    def subjects(self) -> list[str]:
        """Return the ids of all teams or agents."""
        return sorted(self._members) if self._by is AlertBy.TEAM else list(self._state.agents)

    def mark(self, subject: str) -> tuple[int, ...] | None:
        """Return what changes when a row changes by more than the running time of agents; none: it is not known."""
        match self._by:
            case AlertBy.AGENT:
                keys: Iterable[str] = (agent_key(subject),)
            case AlertBy.QUEUE:
                keys = self._contact_keys(subject)
            case _:
                return None
        found, running = 0, self._state.history.running
        for key in keys:
            cell = running.get(key)
            if cell is not None:
                found += sum(cell.values())
        self.lookups += 8  # About as much work.
        agent = self._state.agents.get(subject) if self._by is AlertBy.AGENT else None
        minute_ms = max(self._now_ms - self._now_ms % MINUTE_MS, self._state.history.minute_start_ms)
        return (minute_ms, found) if agent is None else (minute_ms, found, agent.since_ms, agent.state_since_ms)

    def row(self, subject: str) -> Generator[None, None, StatisticsRow]:
        """Return the row of a subject, after steps if it is added up from many cells."""
        cell: Cell = {}
        for key in self._contact_keys(subject):
            self._add(cell, key)
            if self.lookups >= self._step_end:
                yield
                self.refresh()
        is_time_only = self._by is AlertBy.WORKSPACE
        for agent_id in self._agents(subject):
            self._add(cell, agent_key(agent_id), is_time_only=is_time_only)
            if (agent := self._state.agents.get(agent_id)) is not None:
                self._add_present(cell, agent_id, agent)
            if self.lookups >= self._step_end:
                yield
                self.refresh()
        self.is_counted = bool(cell)
        name = _NAMES.get(self._by)
        return statistics_row(RowKey(**({} if name is None else {name: subject})), self._span, RowCells(cell, {}))

    def _contact_keys(self, subject: str) -> list[str]:
        queues = self._state.queues
        match self._by:
            case AlertBy.QUEUE:
                self._state.flush_queue(subject)
                queue = queues.get(subject)
                return [] if queue is None else [queue_key(subject, channel) for channel in queue.channels]
            case AlertBy.CHANNEL:
                return [queue_key(queue_id, subject) for queue_id, queue in queues.items() if subject in queue.channels]
            case AlertBy.WORKSPACE:
                return [queue_key(queue_id, channel) for queue_id, queue in queues.items() for channel in queue.channels]
            case _:
                return []

    def _agents(self, subject: str) -> Iterable[str]:
        match self._by:
            case AlertBy.AGENT:
                return (subject,)
            case AlertBy.TEAM:
                return self._members.get(subject, ())
            case AlertBy.WORKSPACE:
                return list(self._state.agents) if self._has_time else ()
            case _:
                return ()

    def _add(self, cell: Cell, key: str, *, is_time_only: bool = False) -> None:
        self.lookups += len(self._sources)
        for cells in self._sources:
            found = cells.get(key)
            if found is not None:
                self.lookups += _LOOKUPS_PER_CELL
                changes: Iterable[tuple[int, int]] = found.items()
                if is_time_only:
                    changes = [change for change in changes if change[0] in TIMES]
                add_changes({"": cell}, "", changes)

    def _add_present(self, cell: Cell, agent_id: str, agent: AgentCounters) -> None:
        """Add the time of the present activity and state of an agent, which is counted when they end."""
        self.lookups += _LOOKUPS_PER_PRESENT
        number = TIME_OF_ACTIVITY.get(agent.activity)
        running = [] if number is None else [(number, agent.since_ms)]
        of_agent = agent_key(agent_id)
        states = state_times(agent_id, agent.state, agent.reason)
        running += [(number, agent.state_since_ms) for key, number in states if key == of_agent]
        for number, since_ms in running:
            if (passed_ms := min(self._now_ms, self._span.end_ms) - max(since_ms, self._span.start_ms)) > 0:
                cell[number] = cell.get(number, 0) + passed_ms
