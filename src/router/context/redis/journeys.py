"""Steps in Redis: a tail of sealed steps, folded into one compressed journey.

The tables and the sealing are those of the SQLite backend, but nothing of them is remembered between two operations: another node
may have written meanwhile. Steps are folded sooner than in files, where rewriting the journey costs a page of the disk.
"""

import sqlite3
from collections.abc import Callable
from typing import Final

from router.context.journey import IDS_MAX, Step, merge_steps, recent_ids
from router.context.journey_codec import pack_step, unpack_step
from router.context.keys import DataKey, SealBroken
from router.context.redis.rows import RowBuffer
from router.context.sqlite.journeys import (
    JOURNEY_COLUMN,
    TAIL_COLUMN,
    UNREADABLE,
    UNREADABLE_AGAIN_MS,
    JourneyTable,
    log_unreadable,
)

SHARED_FOLD_STEPS: Final = 16
"""Steps of one customer in the tail before they are folded."""
_TOUCHED: Final = "tail.touched"


class SharedJourneys(JourneyTable):
    """The steps of customers that several nodes share. Confined to the thread of its connection."""

    def __init__(self, connection: sqlite3.Connection, buffer: RowBuffer, *, key_of: Callable[[int], DataKey | None]) -> None:
        self._buffer = buffer
        self._ids_of: dict[int, dict[str, int]] = {}
        """Remembered step ids of the customers of the present operation."""
        super().__init__(connection, key_of=key_of)

    def reload(self) -> None:
        """Forget what the operation has read."""
        self._ids_of.clear()

    def _ids(self, row: int, now_ms: int) -> dict[str, int]:
        found = self._ids_of.get(row)
        if found is None:
            found = self._ids_of[row] = recent_ids(self.steps(row), now_ms=now_ms)
        return found

    def append(self, row: int, step: Step, key: DataKey | None, *, now_ms: int) -> None:
        """Store a step that is no repeat. Raises SealBroken."""
        if key is None:
            raise SealBroken("the customer was erased")
        if step.id is not None:
            ids = self._ids(row, now_ms)
            ids[step.id] = now_ms
            if len(ids) > IDS_MAX:
                ids.pop(next(iter(ids)))
        self._connection.execute("INSERT INTO tail (row, step) VALUES (?, ?)", (row, key.seal(TAIL_COLUMN, pack_step(step))))
        self._buffer.score(_TOUCHED, str(row).encode(), now_ms)
        [(length,)] = self._connection.execute("SELECT count(*) FROM tail WHERE row = ?", (row,)).fetchall()
        if length >= SHARED_FOLD_STEPS:
            self.fold(row)

    def steps_of(self, row: int, key: DataKey | None) -> list[Step]:
        """Return the steps of one customer, oldest first, with the key of the row; None: erased. Raises SealBroken."""
        if key is None:
            return []
        found = self._connection.execute("SELECT steps FROM journey WHERE row = ?", (row,)).fetchone()
        kept = [] if found is None else self._codec.unpack(key.open(JOURNEY_COLUMN, found[0]))
        tail = self._connection.execute("SELECT step FROM tail WHERE row = ? ORDER BY number", (row,)).fetchall()
        return merge_steps(kept, [unpack_step(key.open(TAIL_COLUMN, sealed)) for (sealed,) in tail])

    def fold(self, row: int) -> None:
        """Fold the tail of a customer."""
        key = self._key_of(row)
        if key is not None:
            self._write(row, key, self.steps(row))

    def fold_idle_row(self, row: int, *, now_ms: int) -> None:
        """Fold the tail of a customer without new steps; steps that cannot be read stay as they are."""
        try:
            self.fold(row)
        except UNREADABLE as error:
            log_unreadable(row, error)
            self._buffer.score(_TOUCHED, str(row).encode(), now_ms + UNREADABLE_AGAIN_MS)

    def idle_rows(self, *, before_ms: int, limit: int) -> list[int]:
        """Return customers with steps that are not folded, and none since ``before_ms``."""
        first = next(self._buffer.scan(_TOUCHED, None, before_ms))
        return [int(member) for member, _ in first[:limit]]

    def _delete_tail(self, row: int) -> None:
        self._connection.execute("DELETE FROM tail WHERE row = ?", (row,))
        self._buffer.score(_TOUCHED, str(row).encode(), None)
