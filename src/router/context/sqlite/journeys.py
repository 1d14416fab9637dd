"""Steps in the SQLite backend: a sequential tail, and per customer a compressed journey into which the tail is folded.

Appending a step to the journey of its customer would rewrite a page of 4 KiB per step. Steps are therefore appended to the
``tail`` table, which is written sequentially, and folded later: after ``FOLD_STEPS`` steps of a customer, or when the customer has
been idle. The index of the tail by customer is in memory and rebuilt at the start.

The steps of the tail themselves are in memory too, of the customers with the latest steps (``PLAIN_STEPS_MAX``): a card or a fold
then reads one row instead of thirty. They go with their customer, before an erasure is acknowledged.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from router.context.journey import ID_WINDOW_MS, IDS_MAX, Step, merge_steps, recent_ids
from router.context.journey_codec import JourneyCodec, pack_step, unpack_step
from router.context.keys import DataKey, SealBroken

FOLD_STEPS: Final = 32
"""Steps of one customer in the tail before they are folded."""

_ROWS_PER_INSERT: Final = (16, 4, 1)
"""Rows of one statement, each of which gives up the interpreter lock."""
PLAIN_STEPS_MAX: Final = 50_000
"""Unfolded steps in memory, some 600 bytes each."""
UNREADABLE: Final = (SealBroken, ValueError)
"""Raised where the stored steps of a customer cannot be opened or decoded."""
UNREADABLE_AGAIN_MS: Final = 24 * 3_600_000
"""Time after which steps that could not be read are folded, if they can be read then."""
TAIL_COLUMN: Final = "tail.step"
JOURNEY_COLUMN: Final = "journey.steps"
_log = structlog.get_logger(__name__)


def log_unreadable(row: int, error: Exception) -> None:
    """Log that the steps of one customer cannot be read, by the number of the row; those of others are not concerned."""
    action = "journey_unreadable"
    _log.error(
        "the stored steps of a customer cannot be read; they are left as they are",
        action=action,
        row=row,
        error=type(error).__name__,
    )


class _Tail:
    """The unfolded steps of one customer."""

    __slots__ = ("ids", "numbers", "plain", "touched_ms")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.plain: list[Step] | None = None
        """The steps themselves; None: they are not in memory."""
        self.ids: dict[str, int] | None = None
        """Remembered step ids with the times of their steps; None: not loaded."""
        self.touched_ms = 0


class JourneyTable:
    """The tables ``tail`` and ``journey``. Confined to the thread of its connection."""

    def __init__(self, connection: sqlite3.Connection, *, key_of: Callable[[int], DataKey | None]) -> None:
        """``key_of`` returns the data key of a customer's row, None where the customer was erased."""
        self._connection = connection
        self._key_of = key_of
        self._codec = JourneyCodec()
        self._tails: dict[int, _Tail] = {}
        self._plain: OrderedDict[int, None] = OrderedDict()
        """Customers whose unfolded steps are in memory, those with the latest step at the end."""
        self._plain_steps = 0
        self._pending: list[tuple[int, _Tail, Step, DataKey]] = []
        """Steps that the next ``flush`` writes."""
        self._pending_rows: set[int] = set()
        self.reload()

    def seen_at_ms(self, row: int, step: Step, *, now_ms: int) -> int | None:
        """Return when the id of a step was seen, within a day, or of which time that step is; None: the step is new.

        When a step arrived is remembered in memory alone. One that is older than the window is a repeat for as long as the same
        step is kept, so that a late batch that is sent again after a restart counts once too.
        """
        if step.id is None:
            return None
        seen_ms = self._ids(row, now_ms).get(step.id)
        if seen_ms is not None and seen_ms > now_ms - ID_WINDOW_MS:
            return seen_ms
        is_late = step.at_ms <= now_ms - ID_WINDOW_MS
        is_kept = is_late and any(kept.id == step.id and kept.at_ms == step.at_ms for kept in self.steps(row))
        return step.at_ms if is_kept else None

    def _ids(self, row: int, now_ms: int) -> dict[str, int]:
        """Return the remembered step ids of a customer, loaded where they are not in memory."""
        tail = self._tails.get(row)
        if tail is None:
            tail = self._tails[row] = _Tail()
            tail.touched_ms = now_ms
        if tail.ids is None:
            tail.ids = recent_ids(self.steps(row), now_ms=now_ms)
        return tail.ids

    def append(self, row: int, step: Step, key: DataKey | None, *, now_ms: int) -> None:
        """Store a step that is no repeat with the next ``flush``, sealed with the key of its row. Raises SealBroken. O(1)."""
        if key is None:
            raise SealBroken("the customer was erased")
        tail = self._tails.get(row)
        if tail is None:
            tail = self._tails[row] = _Tail()
        if step.id is not None:
            ids = self._ids(row, now_ms)
            ids[step.id] = now_ms
            if len(ids) > IDS_MAX:
                ids.pop(next(iter(ids)))
        tail.touched_ms = now_ms
        self._pending.append((row, tail, step, key))
        self._pending_rows.add(row)

    @property
    def has_pending(self) -> bool:
        """Return whether steps are to be written."""
        return bool(self._pending)

    def flush(self) -> None:
        """Write the steps that were appended, by few statements, and fold what is long enough."""
        if not self._pending:
            return
        sealed = DataKey.seal_all(TAIL_COLUMN, [(key, pack_step(step)) for _, _, step, key in self._pending])
        numbers = self._insert([(row, value) for (row, _, _, _), value in zip(self._pending, sealed, strict=True)])
        touched = {}
        for (row, tail, step, _), number in zip(self._pending, numbers, strict=True):
            self._remember(row, tail, step)
            tail.numbers.append(number)
            touched[row] = tail
        self._pending.clear()
        self._pending_rows.clear()
        for row, tail in touched.items():
            if len(tail.numbers) >= FOLD_STEPS:
                self._fold(row, tail)

    def _insert(self, rows: Sequence[tuple[int, bytes]]) -> list[int]:
        """Append rows to the tail and return their numbers; those of one statement follow each other."""
        numbers: list[int] = []
        while len(numbers) < len(rows):
            start = len(numbers)
            size = next(size for size in _ROWS_PER_INSERT if size <= len(rows) - start)
            values = [value for row in rows[start : start + size] for value in row]
            last = self._connection.execute(f"INSERT INTO tail (row, step) VALUES {', '.join(['(?, ?)'] * size)}", values).lastrowid
            assert last is not None
            numbers += range(last - size + 1, last + 1)
        return numbers

    def _remember(self, row: int, tail: _Tail, step: Step) -> None:
        """Keep a step that is about to be the last of a tail, as long as those before it are in memory."""
        if tail.plain is None:
            if tail.numbers:
                return
            tail.plain = []
        tail.plain.append(step)
        self._plain[row] = None
        self._plain.move_to_end(row)
        self._plain_steps += 1
        while self._plain_steps > PLAIN_STEPS_MAX:
            oldest = next(iter(self._plain))
            self._forget_plain(oldest, self._tails.get(oldest))

    def _forget_plain(self, row: int, tail: _Tail | None) -> None:
        self._plain.pop(row, None)
        if tail is not None and tail.plain is not None:
            self._plain_steps -= len(tail.plain)
            tail.plain = None

    def steps(self, row: int) -> list[Step]:
        """Return the steps of one customer, oldest first. Raises SealBroken."""
        return self.steps_of(row, self._key_of(row))

    def steps_of(self, row: int, key: DataKey | None) -> list[Step]:
        """Return the steps of one customer, as ``steps``, with the key of the row; None: erased."""
        if key is None:
            return []
        if row in self._pending_rows:
            self.flush()
        found = self._connection.execute("SELECT steps FROM journey WHERE row = ?", (row,)).fetchone()
        kept = [] if found is None else self._codec.unpack(key.open(JOURNEY_COLUMN, found[0]))
        tail = self._tails.get(row)
        return kept if tail is None else merge_steps(kept, tail.plain or self._tail_steps(key, tail))

    def _tail_steps(self, key: DataKey, tail: _Tail) -> list[Step]:
        if not tail.numbers:
            return []
        places = ",".join("?" * len(tail.numbers))
        found = self._connection.execute(
            f"SELECT step FROM tail WHERE number IN ({places}) ORDER BY number", tail.numbers
        ).fetchall()
        return [unpack_step(key.open(TAIL_COLUMN, sealed)) for (sealed,) in found]

    def replace(self, row: int, steps: Sequence[Step]) -> None:
        """Replace all steps of a customer; for retention and import."""
        key = self._key_of(row)
        if key is not None:
            self._write(row, key, steps)

    def fold_idle(self, *, before_ms: int, limit: int) -> int:
        """Fold the tails of at most ``limit`` customers without a step since ``before_ms``; return how many.

        Steps that cannot be read stay as they are.
        """
        self.flush()
        idle = [row for row, tail in self._tails.items() if tail.touched_ms < before_ms][:limit]
        for row in idle:
            tail = self._tails[row]
            try:
                if tail.numbers:
                    self._fold(row, tail)
            except UNREADABLE as error:
                log_unreadable(row, error)
                tail.touched_ms = before_ms + UNREADABLE_AGAIN_MS
                continue
            self._forget_plain(row, tail)
            del self._tails[row]
        return len(idle)

    def _fold(self, row: int, tail: _Tail) -> None:
        key = self._key_of(row)
        if key is not None:
            self._write(row, key, self.steps(row))

    def _write(self, row: int, key: DataKey, steps: Sequence[Step]) -> None:
        self._delete_tail(row)
        if steps:
            sealed = key.seal(JOURNEY_COLUMN, self._codec.pack(steps))
            self._connection.execute("INSERT OR REPLACE INTO journey VALUES (?, ?)", (row, sealed))
        else:
            self._connection.execute("DELETE FROM journey WHERE row = ?", (row,))

    def _delete_tail(self, row: int) -> None:
        if row in self._pending_rows:
            self.flush()
        tail = self._tails.get(row)
        if tail is not None:
            for start in range(0, len(tail.numbers), FOLD_STEPS):
                part = tail.numbers[start : start + FOLD_STEPS]
                self._connection.execute(f"DELETE FROM tail WHERE number IN ({','.join('?' * len(part))})", part)
            tail.numbers.clear()
            self._forget_plain(row, tail)

    def delete(self, row: int) -> None:
        """Delete all steps of a customer."""
        self._delete_tail(row)
        self._tails.pop(row, None)
        self._connection.execute("DELETE FROM journey WHERE row = ?", (row,))

    def reload(self) -> None:
        """Rebuild the index of the tail from the file, after a rollback."""
        self._pending.clear()
        self._pending_rows.clear()
        self._tails.clear()
        self._plain.clear()
        self._plain_steps = 0
        for number, row in self._connection.execute("SELECT number, row FROM tail ORDER BY number"):
            self._tails.setdefault(row, _Tail()).numbers.append(number)

    @property
    def tail_length(self) -> int:
        """Return the number of steps that are not folded yet."""
        return sum(len(tail.numbers) for tail in self._tails.values())
