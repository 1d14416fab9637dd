"""Statistics of a run by subject and span of time: the rows of ``GET /v1/statistics``, counted by the code of a live router."""

import csv
import io
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from rich.table import Table

from router.engine.queries.slices import run_to_end
from router.model.commands import TIME_MAX_MS, Command
from router.model.results import Outcome
from router.policy.calendar import local_day_bounds
from router.simulator.day import Day, PlannedContact, WorkloadInvalid
from router.simulator.simulation import RunListener
from router.statistics.history_queries import Dimension
from router.statistics.questions import Interval, StatisticsQuestion, TooManySpans
from router.statistics.rows import COLUMNS, StatisticsRow, csv_values
from router.statistics.workspace import WorkspaceStats

_SHOWN: Final = ("submitted", "answered", "abandoned", "service_level", "asa_ms", "longest_wait_ms", "aht_ms", "occupancy")


class StatisticsListener:
    """Counts the events of a run as a live router does."""

    def __init__(self) -> None:
        self.stats = WorkspaceStats(local_day_bounds)

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore an arrival: its event follows."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Count the events of an outcome."""
        for number, event in enumerate(outcome.events):
            self.stats.apply(event, outcome.first_seq + number, outcome.at_ms)


class RowsOfRun:
    """Rows of the first replication of a run."""

    def __init__(self, by: str, interval: str) -> None:
        self._question = StatisticsQuestion(Dimension(by), Interval(interval), to_ms=TIME_MAX_MS)
        self._first: StatisticsListener | None = None
        self._rows: list[StatisticsRow] | None = None

    def listener(self, day: Day) -> RunListener:
        """Return a listener of a replication."""
        made = StatisticsListener()
        self._first = self._first or made
        return made

    @property
    def rows(self) -> list[StatisticsRow]:
        """The rows, by time, then by subject. Raises WorkloadInvalid for too many spans of time."""
        assert self._first is not None, "the run is over"
        if self._rows is None:
            stats = self._first.stats
            # Up to the last event: what would follow is no part of the run.
            try:
                self._rows = run_to_end(stats.rows(self._question, stats.at_ms))
            except TooManySpans:
                raise WorkloadInvalid("the run is too long for intervals of this length: give --interval day") from None
        return self._rows

    def encoded(self, suffix: str) -> bytes:
        """Return the rows as CSV, as a JSON array, or as lines of JSON, by the suffix of a file."""
        if suffix == ".csv":
            text = io.StringIO()
            csv.writer(text).writerows([COLUMNS, *map(csv_values, self.rows)])
            return text.getvalue().encode()
        if suffix == ".json":
            return msgspec.json.format(msgspec.json.encode(self.rows), indent=2) + b"\n"
        return msgspec.json.Encoder().encode_lines(self.rows)

    def table(self) -> Table:
        """Return the most important columns as a table for a terminal."""
        table = Table()
        by_time = self._question.interval is not Interval.TOTAL
        for name in (self._question.by.value, *(["from"] if by_time else []), *_SHOWN):
            table.add_column(name.replace("_ms", " s").replace("_", " "), justify="left" if name not in _SHOWN else "right")
        zone = ZoneInfo(self._first.stats.history.zone) if self._first is not None else None
        for row in self.rows:
            subject = " ".join(part for part in (row.queue_id, row.channel, row.agent_id, row.team, row.disposition) if part)
            start = [datetime.fromtimestamp(row.from_ms / 1000, zone).strftime("%Y-%m-%d %H:%M")] if by_time else []
            table.add_row(subject or "–", *start, *(_shown(name, getattr(row, name)) for name in _SHOWN))
        return table


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name.endswith("_ms"):
        return f"{value / 1000:,.1f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
