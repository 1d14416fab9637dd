"""Statistics by quarter of an hour, for the last day.

An interval is ``[start, start + 15 min)`` of epoch time. Each event counts in the interval in which it happens: a contact that was
submitted at 8:59 and answered at 9:01 is submitted in one interval and answered in the next. Activity time is split at boundaries.
"""

from typing import Final

from msgspec import Struct, field

from router.statistics.counters import ContactCounters
from router.statistics.occupancy import WorkforceTime, WorkTime

INTERVAL_MS: Final = 15 * 60 * 1000
# One day plus the running interval.
INTERVALS_MAX: Final = 97
# Limit of queue and channel pairs over all intervals, about 50 MB at most. Above it, the oldest intervals are dropped.
CELLS_MAX: Final = 100_000


class StatsInterval(Struct, array_like=True):
    """Counters of one interval by queue and channel."""

    start_ms: int
    cells: dict[str, dict[str, ContactCounters]] = field(default_factory=dict)
    time: WorkTime = field(default_factory=WorkTime)
    """Activity time of all agents."""
    cell_count: int = 0


class IntervalSeries(Struct, array_like=True):
    """Intervals of the last day; the last one is running."""

    intervals: list[StatsInterval] = field(default_factory=list)
    cell_count: int = 0
    closed_time: WorkTime = field(default_factory=WorkTime)
    """Activity time of all agents up to the start of the running interval."""

    def end_ms(self) -> int:
        """Return the end of the running interval; 0 before the first event."""
        return self.intervals[-1].start_ms + INTERVAL_MS if self.intervals else 0

    def advance(self, at_ms: int, workforce: WorkforceTime) -> None:
        """Close the intervals that are over and open the one that contains ``at_ms``."""
        start_ms = at_ms - at_ms % INTERVAL_MS
        if not self.intervals:
            self.intervals.append(StatsInterval(start_ms=start_ms))
            return
        while self.end_ms() <= start_ms:
            end_ms = self.end_ms()
            workforce.advance(end_ms)
            self.intervals[-1].time = self.running_time(workforce.time)
            self.closed_time = WorkTime(
                workforce.time.not_ready_ms, workforce.time.idle_ms, workforce.time.busy_ms
            )
            # After a long time without events, empty intervals older than a day are skipped.
            first_ms = max(end_ms, start_ms - (INTERVALS_MAX - 1) * INTERVAL_MS)
            if first_ms > end_ms:
                workforce.advance(first_ms)
                self.closed_time = WorkTime(
                    workforce.time.not_ready_ms, workforce.time.idle_ms, workforce.time.busy_ms
                )
            self.intervals.append(StatsInterval(start_ms=first_ms))
            self.trim()

    def running_time(self, time: WorkTime) -> WorkTime:
        """Return the activity time within the running interval, given the total activity time."""
        return WorkTime(
            time.not_ready_ms - self.closed_time.not_ready_ms,
            time.idle_ms - self.closed_time.idle_ms,
            time.busy_ms - self.closed_time.busy_ms,
        )

    def running_counters(self, queue_id: str, channel: str) -> ContactCounters:
        """Return the counters of a queue and channel in the running interval."""
        interval = self.intervals[-1]
        cells = interval.cells.setdefault(queue_id, {})
        counters = cells.get(channel)
        if counters is None:
            counters = cells[channel] = ContactCounters()
            interval.cell_count += 1
            self.cell_count += 1
            self.trim()
        return counters

    def trim(self) -> None:
        """Drop the oldest intervals above the limits; the running interval always stays."""
        intervals = self.intervals
        while len(intervals) > 1 and (
            len(intervals) > INTERVALS_MAX or self.cell_count > CELLS_MAX
        ):
            self.cell_count -= intervals.pop(0).cell_count
