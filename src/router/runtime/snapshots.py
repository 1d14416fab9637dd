"""Scheduling and incremental creation of engine snapshots.

Snapshots bound the duration of a start; they are never needed for correctness. A snapshot of a large workspace takes longer than
the event loop may be blocked, so it is made incrementally. Between two batches the writer begins an image, which represents the
state after the newest durable event. A task then encodes the image in slices of ``_TIME_SLICE_S`` while commands continue to
change the state; a record that is about to change is encoded before the change. Events that change very many records (a new
policy) invalidate an unfinished image, which is then started again; after ``_INTERRUPTIONS_MAX`` interruptions it is made in one
blocking step.

One image is made at a time for all workspaces. Images requested by others (``request_image``) come before snapshots.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct

from router.core.imaging import Imaging
from router.journal.port import Journal, Snapshot
from router.model.errors import JournalUnavailable
from router.model.policy import Policy
from router.runtime.lane import Lane

# About one second of replay.
EVENTS: Final = 50_000
IDLE_MS: Final = 5_000

# Encoding runs in slices with pauses in between: at most a fifth of the time of the event loop.
_HELPING_S: Final = 0.001
_PAUSE_S: Final = 4 * _HELPING_S
# Interrupted attempts after which an image is made in one blocking step.
_BROKEN_MAX: Final = 5
# Shorter images are joined on the event loop, longer ones on a thread.
_JOINED_AT_ONCE_BYTES: Final = 1 << 20


class SnapshotSchedule(Struct, frozen=True, kw_only=True):
    """The rule for when a workspace is due: after a number of events, after fewer when it is idle, and at an orderly stop.

    A workspace whose state has more records than ``events`` is due after as many events as it has records, because encoding a
    record costs about as much as replaying an event.
    """

    events: int = EVENTS
    """Events since the last snapshot after which a workspace is due."""
    events_when_idle: int = EVENTS // 10
    """Events after which a workspace is due once it has been idle for ``idle_ms``."""
    idle_ms: int = IDLE_MS

    def is_due(self, *, events: int, idle_ms: int, records: int = 0) -> bool:
        """Return whether a snapshot is due, given events since the last one, idle time, and records in the state."""
        if events >= max(self.events, records):
            return True
        return idle_ms >= self.idle_ms and events >= max(self.events_when_idle, records // 10)


class Imaged(Struct, frozen=True):
    """The state of a workspace after the durable event ``seq``, as bytes in parts."""

    seq: int
    at_ms: int
    parts: list[bytes]
    shadow_policy: Policy | None
    shadow_seq: int


class Snapshotting:
    """Make snapshots and requested images, one at a time, while the writer continues.

    The writer calls ``start_next`` between two batches, so every image represents the state after a durable event.
    """

    def __init__(
        self,
        journal: Journal,
        schedule: SnapshotSchedule,
        *,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """``wake`` makes the writer call ``start_next`` soon."""
        self._journal = journal
        self._schedule = schedule
        self._wake = wake
        self._due: deque[Lane] = deque()
        self._wanted: deque[tuple[Lane, asyncio.Future[Imaged]]] = deque()
        self._broken: dict[str, int] = {}
        """Consecutive interrupted images by workspace."""
        self._swept_at_ms = 0
        self._working: asyncio.Task[None] | None = None
        self._hurries = False

    def note(self, lane: Lane, *, events: int, at_ms: int) -> None:
        """Count durable events of a workspace."""
        before = lane.events_since_snapshot
        lane.events_since_snapshot += events
        lane.quiet_since_ms = at_ms
        if before < self._schedule.events <= lane.events_since_snapshot:
            self._due.append(lane)

    def want(self, lane: Lane, image: "asyncio.Future[Imaged]") -> None:
        """Request an image of the state as of the next gap between two batches."""
        self._wanted.append((lane, image))
        self._wake()

    def proceed(self, lanes: Iterable[Lane], *, now_ms: int) -> None:
        """Start the next image where one is due and none is in progress. Raises the error of the previous one."""
        if self._working is not None:
            if not self._working.done():
                return
            self._working.result()
            self._working = None
        if now_ms - self._swept_at_ms >= self._schedule.idle_ms:
            # Only once per idle_ms, because this scans all workspaces.
            self._swept_at_ms = now_ms
            self._due.extend(lane for lane in lanes if self._is_due(lane, now_ms))
        while self._wanted:
            lane, wanted = self._wanted.popleft()
            if not wanted.done():
                self._begin(self._give(lane, wanted, self._image(lane)))
                return
        while self._due:
            lane = self._due.popleft()
            if self._is_due(lane, now_ms):
                self._begin(self._save(lane))
                return

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._working = asyncio.create_task(work)
        self._working.add_done_callback(lambda _: self._wake())

    async def save_all(self, lanes: Iterable[Lane]) -> None:
        """Take a snapshot of every workspace that has changed, at an orderly stop."""
        self._hurries = True
        if self._working is not None:
            await self._working
        for lane in lanes:
            if lane.events_since_snapshot:
                await self._save(lane)

    async def end(self) -> None:
        """Cancel the image in progress and fail the requests; an incomplete snapshot is never used."""
        for _, wanted in self._wanted:
            if not wanted.done():
                wanted.set_exception(JournalUnavailable("the writer has ended"))
        if self._working is not None and not self._working.done():
            self._working.cancel()
            with suppress(asyncio.CancelledError, JournalUnavailable):
                await self._working

    def _is_due(self, lane: Lane, now_ms: int) -> bool:
        return self._schedule.is_due(
            events=lane.events_since_snapshot,
            idle_ms=now_ms - lane.quiet_since_ms,
            records=lane.engine.records,
        )

    def _image(self, lane: Lane) -> Imaging:
        image = lane.engine.image()
        if self._broken.get(lane.workspace, 0) >= _BROKEN_MAX:
            while image.proceed():
                pass
        return image

    async def _made(self, lane: Lane, image: Imaging) -> Imaged | None:
        """Encode the image and return it, None where an event has invalidated it."""
        try:
            until_s = time.perf_counter() + _HELPING_S
            while image.proceed():
                if time.perf_counter() > until_s:
                    await asyncio.sleep(0 if self._hurries else _PAUSE_S)
                    until_s = time.perf_counter() + _HELPING_S
        finally:
            image.give_up()
        if not image.is_done:
            self._broken[lane.workspace] = self._broken.get(lane.workspace, 0) + 1
            return None
        self._broken.pop(lane.workspace, None)
        return Imaged(
            seq=image.seq,
            at_ms=image.at_ms,
            parts=image.parts(),
            shadow_policy=image.shadow_policy,
            shadow_seq=image.shadow_seq,
        )

    async def _give(self, lane: Lane, wanted: "asyncio.Future[Imaged]", image: Imaging) -> None:
        try:
            made = await self._made(lane, image)
        except asyncio.CancelledError:
            if not wanted.done():
                wanted.set_exception(JournalUnavailable("the writer has ended"))
            raise
        if made is None:
            self._wanted.appendleft((lane, wanted))
        elif not wanted.done():
            wanted.set_result(made)

    def _save(self, lane: Lane) -> Coroutine[Any, Any, None]:
        events, meters = lane.events_since_snapshot, lane.meters.snapshot()
        lane.events_since_snapshot = 0
        return self._write(lane, self._image(lane), events, meters)

    async def _write(self, lane: Lane, image: Imaging, events: int, meters: bytes) -> None:
        made = await self._made(lane, image)
        if made is None:
            lane.events_since_snapshot += events
            self._due.append(lane)
            return
        core = await joined(made.parts)
        snapshot = Snapshot(seq=made.seq, at_ms=made.at_ms, core=core, meters=meters)
        await self._journal.save_snapshot(lane.workspace, snapshot)


async def joined(parts: list[bytes]) -> bytes:
    """Return the concatenated parts."""
    if sum(map(len, parts)) < _JOINED_AT_ONCE_BYTES:
        return b"".join(parts)
    return await asyncio.to_thread(b"".join, parts)
