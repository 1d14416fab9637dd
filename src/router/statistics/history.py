"""The history of a workspace: its counters by minute, quarter of an hour and local day.

Theory of operation. Each event adds to the *cells* of the running minute: one for its queue and channel, one for its agent, one for
the disposition. Minutes are kept for an hour, for sliding windows; quarters of an hour for eight days; days for 400 days. A closed
minute is added to its quarter cell by cell, and a quarter that has been over for an hour is packed, in compressed chunks, and added
to its day. ``work`` does a small part of that with each event, so that no event takes long.

**What is added to the longer span is marked as such in the same step**: a cell of a minute moves from ``cells`` to ``merged``, a
cell of a quarter from ``cells`` to a chunk. So a quarter is always its own chunks and cells and the ``cells`` of its minutes, and a
day its own and the ``cells`` of its quarters and their minutes, whatever has been done so far. What is counted late (a correction,
time that an agent spent in one state since hours ago) is simply added to ``cells`` of the shortest span that is still kept.

**A chunk is read only where it may count.** Its cells are in order of their keys, and its first and last key are kept beside it: a
question about one queue unpacks a chunk of each span and not those of all agents.

**Readers and snapshots see one moment.** While one is in progress, ``hold`` keeps all spans as they are: what is counted goes to a
layer above, by minute, which is added afterwards. A query that takes many turns of the event loop therefore adds up exactly. One
that begins while another is in progress reads the layers that there are, without a copy, as counting goes on in a new one.

**Readers let go.** Readers that overlap would hold the spans for ever, and what was counted would grow in the layers. So new ones
wait while a snapshot is due, which begins when nothing holds the spans, and where they have been held for more than a minute.

An event counts in the span in which it happens. Time of agents is split at the boundaries.
"""

import zlib
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable
from sys import intern
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field

from router.statistics.metrics import Cell, add_changes

MINUTE_MS: Final = 60_000
QUARTER_MS: Final = 15 * MINUTE_MS
# A window of an hour before the running minute, which begins up to a minute late.
MINUTES_MAX: Final = 62
# Eight days and the running quarter: a day can be compared with the same day of the week before.
QUARTERS_MAX: Final = 8 * 96 + 1
DAYS_MAX: Final = 400
# Of the compressed chunks. Above it the oldest quarters are dropped first.
PACKED_BYTES_MAX: Final = 32 * 1024 * 1024
# Quarters that stay when the limit is reached: a day of up to 25 hours.
QUARTERS_MIN: Final = 101
# Conversations that end late change quarters that are over; an hour later nearly all have ended.
PACKED_AFTER_MS: Final = 60 * MINUTE_MS
# Cells in a chunk, which is packed or read at once: about a third of a millisecond.
CHUNK_CELLS: Final = 128
# Cells that are merged with one event: about ten microseconds.
_CELLS_PER_STEP: Final = 16

DayOf: TypeAlias = Callable[[str, int], tuple[int, int]]
"""Returns start and end of the local day of a time zone that contains a point in time."""

Cells: TypeAlias = dict[str, Cell]

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_cells: Final = msgspec.msgpack.Decoder(dict[str, dict[int, int]]).decode

_DAY_MS: Final = 86_400_000


def utc_day(zone: str, at_ms: int) -> tuple[int, int]:
    """Return start and end of the day in UTC."""
    start_ms = at_ms - at_ms % _DAY_MS
    return start_ms, start_ms + _DAY_MS


class Span(Struct, array_like=True):
    """Cells of one minute, quarter of an hour or day."""

    start_ms: int
    end_ms: int
    cells: Cells = field(default_factory=dict)
    """Cells that are in no longer span yet."""
    merged: Cells = field(default_factory=dict)
    """Of a minute: cells that its quarter contains too."""
    chunks: list[bytes] = field(default_factory=list)
    """Packed cells, of a quarter those that its day contains too."""
    bounds: list[str] = field(default_factory=list)
    """First and last key of each chunk; empty texts for those that an earlier release packed, at the front."""

    def add_chunk(self, cells: Cells) -> bytes:
        """Pack cells, which are in order of their keys, and return the chunk."""
        packed = zlib.compress(_encode(cells), 1)
        self.bounds += [""] * (2 * len(self.chunks) - len(self.bounds))
        self.chunks.append(packed)
        # Interned: the same keys bound the chunks of all days.
        self.bounds += [intern(next(iter(cells))), intern(next(reversed(cells)))] if cells else ["", ""]
        return packed

    def chunks_with(self, prefixes: tuple[str, ...]) -> list[bytes]:
        """Return the chunks that may have a key that begins with one of these texts."""
        if len(self.bounds) < 2 * len(self.chunks):
            return self.chunks  # All of them are of an earlier release.
        found = zip(self.chunks, self.bounds[::2], self.bounds[1::2], strict=True)
        return [chunk for chunk, first, last in found if not first or _may_have(first, last, prefixes)]


class HistorySnapshot(Struct, array_like=True):
    """Content of the history in a snapshot."""

    minutes: list[Span] = field(default_factory=list)
    quarters: list[Span] = field(default_factory=list)
    days: list[Span] = field(default_factory=list)
    zone: str = "UTC"


class History:
    """Spans of a workspace, and what is counted now."""

    def __init__(self, kept: HistorySnapshot, day_of: DayOf = utc_day) -> None:
        self.minutes = {span.start_ms: span for span in kept.minutes}
        self.quarters = {span.start_ms: span for span in kept.quarters}
        self.days = kept.days
        """In order of time, without gaps."""
        self.zone = kept.zone
        self.running: Cells = kept.minutes[-1].cells if kept.minutes else {}
        """Where events count now."""
        self.minute_start_ms = kept.minutes[-1].start_ms if kept.minutes else 0
        self.minute_end_ms = kept.minutes[-1].end_ms if kept.minutes else 0
        self.layer: dict[int, Cells] = {}
        """What was counted since the last ``hold``, by the start of its minute."""
        self.earlier_layers: list[dict[int, Cells]] = []
        """What was counted between earlier ``hold``; nothing changes them while the spans are held."""
        self._held_from_ms = 0
        self._is_snapshot_due = False
        for span in (*kept.quarters, *kept.days):
            span.bounds = [intern(key) for key in span.bounds]
        self.packed_bytes = sum(len(chunk) for span in (*kept.quarters, *kept.days) for chunk in span.chunks)
        self._day_of = day_of
        self._holders = 0
        self.closed: dict[int, None] = {}
        """Minutes with cells that are not in their quarter yet."""
        self.packing: dict[tuple[int, int], Generator[None]] = {}
        """Packing in progress or to be done, by start and end of the span."""

    # --- counting ----------------------------------------------------------------------------------------------------

    def add(self, at_ms: int, key: str, changes: Iterable[tuple[int, int]]) -> None:
        """Add values to a cell of the shortest span that is kept of a time; nothing where none is kept any more."""
        add_changes(self._cells_at(at_ms), key, changes)

    def add_time(self, key: str, numbers: tuple[int, ...], from_ms: int, to_ms: int) -> None:
        """Add the time between two points to the spans in which it passed, back to the oldest one."""
        if from_ms >= self.minute_start_ms:
            if to_ms > from_ms:
                add_changes(self.running, key, [(number, to_ms - from_ms) for number in numbers])
            return
        end_ms = to_ms
        while end_ms > from_ms:
            start_ms = self._start_at(end_ms - 1)
            if start_ms is None:
                return
            part_ms = end_ms - max(start_ms, from_ms)
            add_changes(self._cells_at(end_ms - 1), key, [(number, part_ms) for number in numbers])
            end_ms = start_ms

    def _start_at(self, at_ms: int) -> int | None:
        """Return the start of the shortest span that is kept of a time."""
        minute_ms, quarter_ms = at_ms - at_ms % MINUTE_MS, at_ms - at_ms % QUARTER_MS
        if minute_ms in self.minutes:
            return minute_ms
        if quarter_ms in self.quarters:
            return quarter_ms
        day = self.day_at(at_ms)
        return None if day is None else day.start_ms

    def _cells_at(self, at_ms: int) -> Cells:
        minute_ms = at_ms - at_ms % MINUTE_MS
        if minute_ms == self.minute_start_ms:
            return self.running
        return self.layer.setdefault(minute_ms, {}) if self._holders else self._base_cells(minute_ms)

    def _base_cells(self, minute_ms: int) -> Cells:
        """Return the cells of the shortest span below the layer that is kept of a minute."""
        if (span := self.minutes.get(minute_ms)) is not None:
            if minute_ms != self.minute_start_ms:
                self.closed[minute_ms] = None
            return span.cells
        if (span := self.quarters.get(minute_ms - minute_ms % QUARTER_MS)) is not None:
            return span.cells
        day = self.day_at(minute_ms)
        return {} if day is None else day.cells

    def day_at(self, at_ms: int) -> Span | None:
        """Return the day that contains a time; none if it is not kept."""
        place = bisect_right(self.days, at_ms, key=lambda day: day.start_ms) - 1
        return self.days[place] if place >= 0 and at_ms < self.days[place].end_ms else None

    def day_bounds(self, at_ms: int) -> tuple[int, int]:
        """Return start and end of the local day that contains a time, also where nothing is kept of it."""
        day = self.day_at(at_ms)
        return self._day_of(self.zone, at_ms) if day is None else (day.start_ms, day.end_ms)

    @property
    def days_from_ms(self) -> int:
        """Start of the first day that is kept; without any, the end of time."""
        return self.days[0].start_ms if self.days else 1 << 62

    @property
    def quarters_from_ms(self) -> int:
        """Start of the first quarter of an hour that is kept; without any, the end of time."""
        return next(iter(self.quarters), 1 << 62)

    # --- spans -------------------------------------------------------------------------------------------------------

    def start_minute(self, at_ms: int) -> None:
        """Close the running minute and start the one that contains ``at_ms``, with the spans between that had no events."""
        minute_ms = at_ms - at_ms % MINUTE_MS
        if self.minutes:
            self.closed[self.minute_start_ms] = None
        first_ms = max(self.minute_end_ms or minute_ms, minute_ms - (MINUTES_MAX - 1) * MINUTE_MS)
        for start_ms in range(first_ms, minute_ms + 1, MINUTE_MS):
            self.minutes[start_ms] = Span(start_ms, start_ms + MINUTE_MS)
        is_new_quarter = self._start_quarters(minute_ms)
        self._start_days(minute_ms)
        self.minute_start_ms, self.minute_end_ms = minute_ms, minute_ms + MINUTE_MS
        self.running = self.layer.setdefault(minute_ms, {}) if self._holders else self.minutes[minute_ms].cells
        self._trim_minutes()
        if is_new_quarter:
            self._trim()
            self._pack_old(minute_ms)

    def _start_quarters(self, minute_ms: int) -> bool:
        quarter_ms = minute_ms - minute_ms % QUARTER_MS
        if quarter_ms in self.quarters:
            return False
        last = next(reversed(self.quarters.values()), None)
        first_ms = quarter_ms if last is None else max(last.end_ms, quarter_ms - (QUARTERS_MAX - 1) * QUARTER_MS)
        for start_ms in range(first_ms, quarter_ms + 1, QUARTER_MS):
            self.quarters[start_ms] = Span(start_ms, start_ms + QUARTER_MS)
        return True

    def _start_days(self, at_ms: int) -> None:
        if not self.days:
            self.days.append(Span(*self._day_of(self.zone, at_ms)))
        while self.days[-1].end_ms <= at_ms:
            start_ms = self.days[-1].end_ms
            self.days.append(Span(start_ms, self._day_of(self.zone, start_ms)[1]))

    def set_zone(self, zone: str) -> None:
        """Set the time zone of the days to come; the running day ends as it would have, unless nothing came before it."""
        if zone == self.zone:
            return
        self.zone = zone
        if len(self.days) == 1 and not self._holders and not self.days[0].cells and not self.days[0].chunks:
            self.days[0] = Span(*self._day_of(zone, self.minute_start_ms))

    def _trim_minutes(self) -> None:
        for start_ms in list(self.minutes)[: max(0, len(self.minutes) - MINUTES_MAX)]:
            if self._holders and self.minutes[start_ms].cells:
                break
            self._merge_minute(start_ms, len(self.minutes[start_ms].cells))
            del self.minutes[start_ms]

    def _trim(self) -> None:
        """Drop the oldest quarters and days above the limits."""
        if self._holders:
            return  # The next quarter will.
        quarters = self.quarters
        while len(quarters) > QUARTERS_MAX or (self.packed_bytes > PACKED_BYTES_MAX and len(quarters) > QUARTERS_MIN):
            span = quarters.pop(next(iter(quarters)))
            if (day := self.day_at(span.start_ms)) is not None:
                for key, cell in span.cells.items():
                    add_changes(day.cells, key, cell.items())
            span.cells.clear()  # It may wait to be packed.
            self.packed_bytes -= sum(map(len, span.chunks))
        while len(self.days) > DAYS_MAX or (self.packed_bytes > PACKED_BYTES_MAX and len(self.days) > 1):
            self.packed_bytes -= sum(map(len, self.days.pop(0).chunks))

    def _pack_old(self, now_ms: int) -> None:
        """Pack the quarters and days that are over, and those that have received many cells since."""
        until_ms = now_ms - PACKED_AFTER_MS
        for span in self.quarters.values():
            if span.end_ms > until_ms:
                break
            if span.cells and (not span.chunks or len(span.cells) >= CHUNK_CELLS):
                self.packing.setdefault((span.start_ms, span.end_ms), self._pack(span, self.day_at(span.start_ms)))
        for span in self.days:
            # Its last quarter is packed with the quarter that begins now or before.
            if span.end_ms > until_ms - 2 * QUARTER_MS:
                break
            if span.cells and (not span.chunks or len(span.cells) >= CHUNK_CELLS):
                self.packing.setdefault((span.start_ms, span.end_ms), self._pack(span, None))

    def _pack(self, span: Span, longer: Span | None) -> Generator[None]:
        keys = sorted(span.cells)
        for start in range(0, len(keys), CHUNK_CELLS):
            if start:
                yield
            chunk = {key: sorted_cell(span.cells.pop(key)) for key in keys[start : start + CHUNK_CELLS] if key in span.cells}
            self.packed_bytes += len(span.add_chunk(chunk))
            if longer is not None:
                for key, cell in chunk.items():
                    add_changes(longer.cells, key, cell.items())

    # --- work in small steps -----------------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether ``work`` has something to do now."""
        return not self._holders and bool(self.closed or self.layer or self.earlier_layers or self.packing)

    def work(self) -> None:
        """Do a small part of what remains to be added to longer spans."""
        if self._holders:
            return
        if self.earlier_layers:
            self._merge_layer(self.earlier_layers[0], _CELLS_PER_STEP)
            if not self.earlier_layers[0]:
                del self.earlier_layers[0]
            return
        if self.layer:
            self._merge_layer(self.layer, _CELLS_PER_STEP)
            return
        count = _CELLS_PER_STEP
        while self.closed and count > 0:
            start_ms = next(iter(self.closed))
            size = len(self.minutes[start_ms].cells) if start_ms in self.minutes else 0
            self._merge_minute(start_ms, count)
            count -= size + 1
        # Both: where events are rare, each of them may close more minutes than it merges.
        if self.packing:
            bounds, steps = next(iter(self.packing.items()))
            if next(steps, self) is self:
                del self.packing[bounds]

    def finish(self) -> None:
        """Do all of it, unless a reader holds the spans."""
        while self.has_work:
            self.work()

    def _merge_layer(self, layer: dict[int, Cells], count: int) -> None:
        minute_ms, cells = next(iter(layer.items()))
        target = self._base_cells(minute_ms)
        for _ in range(min(count, len(cells))):
            key, cell = cells.popitem()
            add_changes(target, key, cell.items())
        if not cells:
            del layer[minute_ms]

    def _merge_minute(self, start_ms: int, count: int) -> None:
        span = self.minutes.get(start_ms)
        cells = {} if span is None else span.cells
        if span is not None and cells:
            quarter = self.quarters.get(start_ms - start_ms % QUARTER_MS)
            longer = {} if quarter is None else quarter.cells
            for _ in range(min(count, len(cells))):
                key, cell = cells.popitem()
                add_changes(longer, key, cell.items())
                if key in span.merged:
                    add_changes(span.merged, key, cell.items())
                else:
                    span.merged[key] = cell
        if not cells:
            self.closed.pop(start_ms, None)

    # --- readers and snapshots ---------------------------------------------------------------------------------------

    @property
    def is_held(self) -> bool:
        """Whether a reader or a snapshot holds the spans."""
        return self._holders > 0

    @property
    def has_layer(self) -> bool:
        """Whether something was counted above the spans that is not part of them yet."""
        return any(self.layer.values()) or bool(self.earlier_layers)

    @property
    def has_to_be_released(self) -> bool:
        """Whether new readers should wait: a snapshot is due, or the spans have been held for more than a minute."""
        return self._is_snapshot_due or (self.is_held and self.minute_start_ms - self._held_from_ms > MINUTE_MS)

    def expect_snapshot(self) -> bool:
        """Let new readers wait until a snapshot has begun; return whether it has to wait for those in progress."""
        self._is_snapshot_due = True
        return self.is_held

    def hold_for_snapshot(self) -> None:
        """Hold the spans for a snapshot, which begins now."""
        self._is_snapshot_due = False
        self.hold()

    def hold(self) -> None:
        """Keep all spans as they are until ``release``; what is counted meanwhile goes to the layer above them."""
        if not self._holders:
            self._held_from_ms = self.minute_start_ms
        self._holders += 1
        if any(self.layer.values()):
            self.earlier_layers.append(self.layer)
            self.layer = {}
        self.running = self.layer.setdefault(self.minute_start_ms, {})

    def release(self) -> None:
        """End a ``hold``; with the last one, what was counted meanwhile may be added to the spans."""
        self._holders -= 1
        if not self._holders and self.minutes:
            self.running = self.minutes[self.minute_start_ms].cells

    def content(self) -> HistorySnapshot:
        """Return everything in the order of a snapshot: the same events give the same content. O(everything)."""
        minutes, quarters, days = list(self.minutes.values()), list(self.quarters.values()), self.days
        if not self.has_layer and not self.closed and not self.packing:
            minutes, quarters, days = ([_sorted_span(span) for span in spans] for spans in (minutes, quarters, days))
            return HistorySnapshot(minutes, quarters, days, self.zone)
        # A copy, in which the remaining work can be done.
        kept = msgspec.msgpack.decode(_encode(HistorySnapshot(minutes, quarters, days, self.zone)), type=HistorySnapshot)
        copied = History(kept, self._day_of)
        copied.earlier_layers = [_copy(layer) for layer in (*self.earlier_layers, self.layer) if layer]
        copied.closed = dict.fromkeys(start_ms for start_ms in self.minutes if start_ms != self.minute_start_ms)
        copied._pack_old(self.minute_start_ms)
        copied.finish()
        return copied.content()


def _copy(layer: dict[int, Cells]) -> dict[int, Cells]:
    return {minute_ms: {key: dict(cell) for key, cell in cells.items()} for minute_ms, cells in layer.items()}


def sorted_cell(cell: Cell) -> Cell:
    """Return a cell in order of its numbers, in which it is kept."""
    return dict(sorted(cell.items()))


def sorted_cells(cells: Cells) -> Cells:
    """Return cells in the order in which they are kept."""
    return {key: sorted_cell(cells[key]) for key in sorted(cells)}


def _sorted_span(span: Span) -> Span:
    return Span(span.start_ms, span.end_ms, sorted_cells(span.cells), sorted_cells(span.merged), span.chunks, span.bounds)


def _may_have(first: str, last: str, prefixes: tuple[str, ...]) -> bool:
    """Return whether a key from the first to the last one may begin with one of these texts."""
    return any(last >= prefix and (first <= prefix or first.startswith(prefix)) for prefix in prefixes)


def unpack(chunk: bytes) -> Cells:
    """Return the cells of a chunk."""
    return _decode_cells(zlib.decompress(chunk))


def realign(kept: HistorySnapshot) -> None:
    """Restore the boundaries of spans whose starts were moved by a reset of the clock; days keep their length."""
    for spans, length_ms in ((kept.minutes, MINUTE_MS), (kept.quarters, QUARTER_MS)):
        for span in spans:
            span.start_ms -= span.start_ms % length_ms
            span.end_ms = span.start_ms + length_ms
    followers: list[Span | None] = [*kept.days[1:], None]
    for span, after in zip(kept.days, followers, strict=False):
        span.start_ms -= span.start_ms % QUARTER_MS
        span.end_ms = span.start_ms + _DAY_MS if after is None else after.start_ms - after.start_ms % QUARTER_MS
