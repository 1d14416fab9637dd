"""Figures by quarter of an hour: a bounded past.

An interval is ``[start, start + 15 min)`` of epoch time. What is counted goes into the interval in which it happened: a contact
that was submitted at 8:59 and answered at 9:01 is submitted in one and answered in the next. Working time is cut at the boundary.
"""

from typing import Final

from msgspec import Struct, field

from router.stats.occupancy import Workforce, WorkTime
from router.stats.tally import Tally

INTERVAL_MS: Final = 15 * 60 * 1000
# A day and the running interval.
INTERVALS_MAX: Final = 97
# Queue and channel pairs over all intervals: some 50 MB at worst. Beyond it the oldest intervals go first.
CELLS_MAX: Final = 100_000


class Interval(Struct, array_like=True):
    """What was counted in one interval, by queue and channel."""

    start_ms: int
    cells: dict[str, dict[str, Tally]] = field(default_factory=dict)
    time: WorkTime = field(default_factory=WorkTime)
    """Of all agents together."""
    cell_count: int = 0


class Series(Struct, array_like=True):
    """The last day, the running interval last."""

    intervals: list[Interval] = field(default_factory=list)
    cell_count: int = 0
    counted: WorkTime = field(default_factory=WorkTime)
    """The workforce's time that is in closed intervals (or in none any more)."""

    def end_ms(self) -> int:
        """When the running interval ends; 0 before the first."""
        return self.intervals[-1].start_ms + INTERVAL_MS if self.intervals else 0

    def advance(self, at_ms: int, workforce: Workforce) -> None:
        """Close what is over and open the interval that holds ``at_ms``."""
        start_ms = at_ms - at_ms % INTERVAL_MS
        if not self.intervals:
            self.intervals.append(Interval(start_ms=start_ms))
            return
        while self.end_ms() <= start_ms:
            end_ms = self.end_ms()
            workforce.advance(end_ms)
            self.intervals[-1].time = self.running(workforce.time)
            self.counted = WorkTime(
                workforce.time.not_ready_ms, workforce.time.idle_ms, workforce.time.busy_ms
            )
            # After a long silence the empty intervals before the last day are not made at all.
            first_ms = max(end_ms, start_ms - (INTERVALS_MAX - 1) * INTERVAL_MS)
            if first_ms > end_ms:
                workforce.advance(first_ms)
                self.counted = WorkTime(
                    workforce.time.not_ready_ms, workforce.time.idle_ms, workforce.time.busy_ms
                )
            self.intervals.append(Interval(start_ms=first_ms))
            self.forget()

    def running(self, time: WorkTime) -> WorkTime:
        """The workforce's time in the running interval, from its time in all."""
        return WorkTime(
            time.not_ready_ms - self.counted.not_ready_ms,
            time.idle_ms - self.counted.idle_ms,
            time.busy_ms - self.counted.busy_ms,
        )

    def cell(self, queue_id: str, channel: str) -> Tally:
        """The running interval's counts of a queue and channel."""
        interval = self.intervals[-1]
        cells = interval.cells.setdefault(queue_id, {})
        tally = cells.get(channel)
        if tally is None:
            tally = cells[channel] = Tally()
            interval.cell_count += 1
            self.cell_count += 1
            self.forget()
        return tally

    def forget(self) -> None:
        """Keep to the limits; the running interval always stays."""
        intervals = self.intervals
        while len(intervals) > 1 and (
            len(intervals) > INTERVALS_MAX or self.cell_count > CELLS_MAX
        ):
            self.cell_count -= intervals.pop(0).cell_count
