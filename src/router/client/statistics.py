"""Watched statistics, as the client of a supervisor keeps them: the newest row of each subject, by view."""

import asyncio
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from router.protocol import frames as f
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period
from router.statistics.rows import StatisticsRow

# Frames that nothing has read yet; the oldest are dropped, and their rows are in the mapping all the same.
_FRAMES_MAX: Final = 1_000


class Subject(NamedTuple):
    """What a row is about; none: not that."""

    queue_id: str | None = None
    channel: str | None = None
    agent_id: str | None = None
    team: str | None = None
    disposition: str | None = None
    goal: str | None = None


_View: TypeAlias = tuple[Dimension, Period]


class CachedStatistics:
    """Rows of the statistics that a supervisor watches."""

    def __init__(self) -> None:
        self._rows: dict[_View, dict[Subject, StatisticsRow]] = {}
        self.by_view: Mapping[_View, Mapping[Subject, StatisticsRow]] = MappingProxyType(self._rows)
        """Rows by view and subject, as of the last frame."""
        self._frames: deque[tuple[StatisticsRow, ...]] = deque(maxlen=_FRAMES_MAX)
        self._has_frames = asyncio.Event()

    def apply(self, frame: f.StatisticsFrame) -> None:
        """Follow a frame of the router."""
        view = (frame.by, frame.period)
        if frame.whole or view not in self._rows:
            self._rows[view] = {}
        for row in frame.rows:
            subject = Subject(row.queue_id, row.channel, row.agent_id, row.team, row.disposition, row.goal)
            self._rows[view][subject] = row
        self._frames.append(frame.rows)
        self._has_frames.set()

    async def next_rows(self) -> tuple[StatisticsRow, ...]:
        """Return the rows of the next frame."""
        while not self._frames:
            self._has_frames.clear()
            await self._has_frames.wait()
        return self._frames.popleft()

    def forget(self, by: Dimension, period: Period) -> None:
        """Drop the rows of a view that is not wanted any more."""
        self._rows.pop((by, period), None)

    def clear(self) -> None:
        """Drop all rows: the connection is a new one."""
        self._rows.clear()
