"""When a snapshot is due. It bounds how long a start takes; it is never needed for correctness."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct

from router.journal.port import Journal, Snapshot
from router.model.errors import JournalUnavailable
from router.runtime.lane import Lane

# About a second of replay.
EVENTS: Final = 50_000
IDLE_MS: Final = 5_000


class SnapshotSchedule(Struct, frozen=True, kw_only=True):
    """A workspace is due after so many events, or fewer when it has been quiet; and at an orderly stop."""

    events: int = EVENTS
    """As a rule."""
    events_when_idle: int = EVENTS // 10
    """Enough when nothing has happened for ``idle_ms``: then it disturbs nobody."""
    idle_ms: int = IDLE_MS

    def is_due(self, *, events: int, idle_ms: int) -> bool:
        """``events`` since the last snapshot, ``idle_ms`` since the last event."""
        if events >= self.events:
            return True
        return idle_ms >= self.idle_ms and events >= self.events_when_idle


class Snapshotting:
    """Takes the snapshots: one at a time, written while the corridor goes on.

    The engine's bytes are made in the corridor's own turn, between two batches: they are the state after a durable event.
    """

    def __init__(self, journal: Journal, schedule: SnapshotSchedule) -> None:
        self._journal = journal
        self._schedule = schedule
        self._due: deque[Lane] = deque()
        self._swept_at_ms = 0
        self._saving: asyncio.Task[None] | None = None

    def note(self, lane: Lane, *, events: int, at_ms: int) -> None:
        """So many events of that workspace have become durable."""
        before = lane.events_since_snapshot
        lane.events_since_snapshot += events
        lane.quiet_since_ms = at_ms
        if before < self._schedule.events <= lane.events_since_snapshot:
            self._due.append(lane)

    def proceed(self, lanes: Iterable[Lane], *, now_ms: int) -> None:
        """Start the next snapshot where one is due and none is under way. Raises what the last one failed with."""
        if self._saving is not None:
            if not self._saving.done():
                return
            self._saving.result()
            self._saving = None
        if now_ms - self._swept_at_ms >= self._schedule.idle_ms:
            # Now and then, not with every batch: this looks at every workspace.
            self._swept_at_ms = now_ms
            self._due.extend(lane for lane in lanes if self._is_due(lane, now_ms))
        while self._due:
            lane = self._due.popleft()
            if self._is_due(lane, now_ms):
                self._saving = asyncio.create_task(self._save(lane))
                return

    async def save_all(self, lanes: Iterable[Lane]) -> None:
        """An orderly end: a snapshot of whatever has moved."""
        if self._saving is not None:
            await self._saving
        for lane in lanes:
            if lane.events_since_snapshot:
                await self._save(lane)

    async def end(self) -> None:
        """Break off what is under way; a snapshot that is not whole does not count."""
        if self._saving is not None and not self._saving.done():
            self._saving.cancel()
            with suppress(asyncio.CancelledError, JournalUnavailable):
                await self._saving

    def _is_due(self, lane: Lane, now_ms: int) -> bool:
        return self._schedule.is_due(
            events=lane.events_since_snapshot, idle_ms=now_ms - lane.quiet_since_ms
        )

    def _save(self, lane: Lane) -> Coroutine[Any, Any, None]:
        engine = lane.engine
        snapshot = Snapshot(
            seq=engine.seq,
            at_ms=engine.at_ms,
            core=engine.snapshot(),
            meters=lane.meters.snapshot(),
        )
        lane.events_since_snapshot = 0
        return self._journal.save_snapshot(lane.workspace, snapshot)
