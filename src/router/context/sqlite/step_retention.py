"""Retention of steps by their type: types that the settings name are kept for a time of their own.

Steps are packed and sealed per customer, so a step is deleted by writing the journey of its customer again. The journeys are
visited in the order of their rows, some in each slice, once a day: a step of a named type is gone at the latest a day, and the time
of one round, after the end of its time. What is in the tail is folded into the journey first (``JourneyTable``).
"""

import sqlite3
from collections.abc import Mapping
from typing import Final

from router.context.journey import Step
from router.context.sqlite.journeys import UNREADABLE, JourneyTable, log_unreadable

ROUND_MS: Final = 24 * 3_600_000
"""Time from the beginning of one round to that of the next."""


class StepRetention:
    """The rounds over all journeys. Confined to the thread of its connection; without named types it does nothing."""

    def __init__(self, connection: sqlite3.Connection, journeys: JourneyTable, kept_ms: Mapping[str, int]) -> None:
        """``kept_ms``: time for which steps of a type are kept; other types have none."""
        self._connection = connection
        self._journeys = journeys
        self._kept_ms = dict(kept_ms)
        self._next_row = 0
        self._began_ms: int | None = None
        """Beginning of the present round; None: none has begun since the start."""
        self._is_idle = False

    def expire(self, *, now_ms: int, limit: int) -> list[tuple[int, int]]:
        """Visit at most ``limit`` journeys; return workspace number and row of the customers who have lost steps."""
        if not self._kept_ms:
            return []
        if self._began_ms is None or (self._is_idle and now_ms >= self._began_ms + ROUND_MS):
            self._next_row, self._began_ms, self._is_idle = 0, now_ms, False
        if self._is_idle:
            return []
        found = self._connection.execute(
            "SELECT journey.row, customer.workspace FROM journey JOIN customer ON customer.row = journey.row"
            " WHERE journey.row >= ? ORDER BY journey.row LIMIT ?",
            (self._next_row, limit),
        ).fetchall()
        self._is_idle = len(found) < limit
        if found:
            self._next_row = found[-1][0] + 1
        return [(number, row) for row, number in found if self._drop_old(row, now_ms)]

    def _drop_old(self, row: int, now_ms: int) -> bool:
        try:
            steps = self._journeys.steps(row)
        except UNREADABLE as error:
            # One damaged value must not end the store for all others, nor the round.
            log_unreadable(row, error)
            return False
        kept = [step for step in steps if not self._is_over(step, now_ms)]
        if len(kept) == len(steps):
            return False
        self._journeys.replace(row, kept)
        return True

    def _is_over(self, step: Step, now_ms: int) -> bool:
        kept_ms = self._kept_ms.get(step.type)
        return kept_ms is not None and step.at_ms < now_ms - kept_ms
