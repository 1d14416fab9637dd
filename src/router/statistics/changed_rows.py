"""Rows of queues or agents that have changed since they were read, without reading the others.

A row changes when something is counted for its subject in the running minute, or when its agent enters another state or activity.
What is counted late, for an earlier minute, and what only time changes, is not seen here: a reader reads all rows at times.
"""

from collections.abc import Generator
from typing import Final

from router.model.policy import AlertBy
from router.statistics.alert_rows import SubjectRows, span_of
from router.statistics.history_queries import Dimension, TimeSpan
from router.statistics.questions import Period
from router.statistics.rows import StatisticsRow
from router.statistics.state import StatsState

_SUBJECTS_PER_STEP: Final = 128
_ROWS_PER_STEP: Final = 8
_KINDS: Final = {Dimension.QUEUE: AlertBy.QUEUE, Dimension.AGENT: AlertBy.AGENT}


class ChangedRows:
    """What was read of each subject; one object for each reader."""

    def __init__(self, by: Dimension, period: Period) -> None:
        self._by = _KINDS.get(by)
        self._period = None if period is Period.YESTERDAY else period
        self._span: TimeSpan | None = None
        self._marks: dict[str, tuple[int, ...] | None] = {}

    @property
    def is_possible(self) -> bool:
        """Whether changes of such rows can be told; else all rows are to be read each time."""
        return self._by is not None and self._period is not None

    def is_begun(self, state: StatsState, now_ms: int) -> bool:
        """Return whether all rows of the running span were read: the span of a sliding window is another one each minute."""
        return self._period is not None and self._span == span_of(state.history, self._period, now_ms)

    def note_all(self, state: StatsState, now_ms: int) -> Generator[None]:
        """Note what all subjects are before their rows are read."""
        if self._by is AlertBy.QUEUE:
            yield from state.flush_in_steps()
        rows = self._begin(state, now_ms)
        self._span = None if self._period is None else span_of(state.history, self._period, now_ms)
        self._marks = {}
        for number, subject in enumerate(self._subjects(state), 1):
            self._marks[subject] = rows.mark(subject)
            if number % _SUBJECTS_PER_STEP == 0:
                yield

    def read(self, state: StatsState, now_ms: int) -> Generator[None, None, list[StatisticsRow]]:
        """Return the rows that have changed; events may be counted between the steps."""
        if self._by is AlertBy.QUEUE:
            yield from state.flush_in_steps()
        rows = self._begin(state, now_ms)
        found: list[StatisticsRow] = []
        for number, subject in enumerate(self._subjects(state), 1):
            if number % _SUBJECTS_PER_STEP == 0:
                yield
                rows.refresh()
            mark = rows.mark(subject)
            if self._marks.get(subject) == mark:
                continue
            self._marks[subject] = mark
            row = yield from rows.row(subject)
            if rows.is_counted:
                found.append(row)
            if len(found) % _ROWS_PER_STEP == 0:
                yield
                rows.refresh()
        return found

    def _begin(self, state: StatsState, now_ms: int) -> SubjectRows:
        assert self._by is not None and self._period is not None
        rows = SubjectRows(state, self._by, self._period, now_ms, has_time=True)
        rows.refresh()
        return rows

    def _subjects(self, state: StatsState) -> list[str]:
        return list(state.queues if self._by is AlertBy.QUEUE else state.agents)
