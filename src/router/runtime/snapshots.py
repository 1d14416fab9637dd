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

from router.engine.snapshots.incremental import IncrementalSnapshot
from router.journal.port import Journal, Snapshot
from router.model.errors import JournalError, JournalUnavailable
from router.model.policy import Policy
from router.runtime.recovery import StatsImage
from router.runtime.workspace import WorkspaceRuntime

# About one second of replay.
SNAPSHOT_EVENT_COUNT: Final = 50_000
SNAPSHOT_IDLE_MS: Final = 5_000

# Encoding runs in slices with pauses in between: at most a fifth of the time of the event loop.
_TIME_SLICE_S: Final = 0.0005
_PAUSE_S: Final = 4 * _TIME_SLICE_S
# Interrupted attempts after which an image is made in one blocking step.
_INTERRUPTIONS_MAX: Final = 5
# Shorter images are joined on the event loop, longer ones on a thread.
_JOIN_INLINE_BYTES_MAX: Final = 1 << 20


class SnapshotSchedule(Struct, frozen=True, kw_only=True):
    """The rule for when a workspace is due: after a number of events, after fewer when it is idle, and at an orderly stop.

    A workspace whose state has more records than ``events`` is due after as many events as it has records, because encoding a
    record costs about as much as replaying an event.
    """

    events: int = SNAPSHOT_EVENT_COUNT
    """Events since the last snapshot after which a workspace is due."""
    events_when_idle: int = SNAPSHOT_EVENT_COUNT // 10
    """Events after which a workspace is due once it has been idle for ``idle_ms``."""
    idle_ms: int = SNAPSHOT_IDLE_MS

    def is_due(self, *, events: int, idle_ms: int, records: int = 0) -> bool:
        """Return whether a snapshot is due, given events since the last one, idle time, and records in the state."""
        if events >= max(self.events, records):
            return True
        return idle_ms >= self.idle_ms and events >= max(self.events_when_idle, records // 10)


class StateImage(Struct, frozen=True):
    """The state of a workspace after the durable event ``seq``, as bytes in parts."""

    seq: int
    at_ms: int
    parts: list[bytes]
    shadow_policy: Policy | None
    shadow_seq: int

    @property
    def decisive_parts(self) -> list[bytes]:
        """The parts that the digest covers: without the last one, the history of the policy, which decides nothing."""
        return self.parts[:-1]


class SnapshotScheduler:
    """Make snapshots and requested images, one at a time, while the writer continues.

    The writer calls ``start_next`` between two batches, so every image represents the state after a durable event.
    """

    def __init__(self, journal: Journal, schedule: SnapshotSchedule, *, wake: Callable[[], None] = lambda: None) -> None:
        """``wake`` makes the writer call ``start_next`` soon."""
        self._journal = journal
        self._schedule = schedule
        self._wake = wake
        self._due: deque[WorkspaceRuntime] = deque()
        self._requested: deque[tuple[WorkspaceRuntime, asyncio.Future[StateImage]]] = deque()
        self._interruptions: dict[str, int] = {}
        """Consecutive interrupted images by workspace."""
        self._prepared: WorkspaceRuntime | None = None
        """A workspace whose snapshot begins at the next call of ``start_next``."""
        self._checked_at_ms = 0
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    def count_events(self, workspace: WorkspaceRuntime, *, events: int, at_ms: int) -> None:
        """Count durable events of a workspace."""
        before = workspace.events_since_snapshot
        workspace.events_since_snapshot += events
        workspace.quiet_since_ms = at_ms
        if before < self._schedule.events <= workspace.events_since_snapshot:
            self._due.append(workspace)

    def request_image(self, workspace: WorkspaceRuntime, image: "asyncio.Future[StateImage]") -> None:
        """Request an image of the state as of the next gap between two batches."""
        self._requested.append((workspace, image))
        self._wake()

    def start_next(self, workspaces: Iterable[WorkspaceRuntime], *, now_ms: int) -> None:
        """Start the next image where one is due and none is in progress. Raises the error of the previous one."""
        if self._task is not None:
            if not self._task.done():
                return
            self._task.result()
            self._task = None
        if now_ms - self._checked_at_ms >= self._schedule.idle_ms:
            # Only once per idle_ms, because this scans all workspaces.
            self._checked_at_ms = now_ms
            self._due.extend(workspace for workspace in workspaces if self._is_due(workspace, now_ms))
        while self._requested:
            workspace, future = self._requested.popleft()
            if not future.done():
                self._start(self._deliver_image(workspace, future, self._begin_image(workspace)))
                return
        if self._prepared is not None:
            workspace, self._prepared = self._prepared, None
            self._start(self._save(workspace))
            return
        while self._due:
            workspace = self._due.popleft()
            if self._is_due(workspace, now_ms):
                self._start(self._prepare(workspace) if workspace.stats.prepare_snapshot() else self._save(workspace))
                return

    @property
    def has_work(self) -> bool:
        """Whether ``start_next`` may begin an image, which takes some milliseconds in a large workspace."""
        return (self._task is None or self._task.done()) and bool(self._requested or self._due or self._prepared)

    async def _prepare(self, workspace: WorkspaceRuntime) -> None:
        """Do what can be done before the image begins."""
        await self._advance(workspace.stats.prepare_snapshot)
        self._prepared = workspace

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(lambda _: self._wake())

    async def save_all(self, workspaces: Iterable[WorkspaceRuntime]) -> None:
        """Take a snapshot of every workspace that has changed, at an orderly stop."""
        self._is_stopping = True
        if self._task is not None:
            await self._task
        for workspace in workspaces:
            if workspace.is_led and workspace.events_since_snapshot:
                await self._save(workspace)

    async def cancel(self) -> None:
        """Cancel the image in progress and fail the requests; an incomplete snapshot is never used."""
        for _, future in self._requested:
            if not future.done():
                future.set_exception(JournalUnavailable("the writer has ended"))
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with suppress(asyncio.CancelledError, JournalError):
                await self._task

    def _is_due(self, workspace: WorkspaceRuntime, now_ms: int) -> bool:
        return workspace.is_led and self._schedule.is_due(
            events=workspace.events_since_snapshot, idle_ms=now_ms - workspace.quiet_since_ms, records=workspace.engine.record_count
        )

    def _begin_image(self, workspace: WorkspaceRuntime) -> IncrementalSnapshot:
        image = workspace.engine.incremental_snapshot()
        if self._interruptions.get(workspace.workspace, 0) >= _INTERRUPTIONS_MAX:
            while image.advance():
                pass
        return image

    async def _complete_image(self, workspace: WorkspaceRuntime, image: IncrementalSnapshot) -> StateImage | None:
        """Encode the image and return it, None where an event has invalidated it."""
        try:
            await self._advance(image.advance)
        finally:
            image.cancel()
        if not image.is_done:
            self._interruptions[workspace.workspace] = self._interruptions.get(workspace.workspace, 0) + 1
            return None
        self._interruptions.pop(workspace.workspace, None)
        return StateImage(
            seq=image.seq, at_ms=image.at_ms, parts=image.parts(), shadow_policy=image.shadow_policy, shadow_seq=image.shadow_seq
        )

    async def _advance(self, advance: Callable[[], bool]) -> None:
        """Encode one piece after the other, with pauses."""
        until_s = time.perf_counter() + _TIME_SLICE_S
        while advance():
            if time.perf_counter() > until_s:
                await asyncio.sleep(0 if self._is_stopping else _PAUSE_S)
                until_s = time.perf_counter() + _TIME_SLICE_S

    async def _deliver_image(
        self, workspace: WorkspaceRuntime, future: "asyncio.Future[StateImage]", image: IncrementalSnapshot
    ) -> None:
        try:
            made = await self._complete_image(workspace, image)
        except asyncio.CancelledError:
            if not future.done():
                future.set_exception(JournalUnavailable("the writer has ended"))
            raise
        if made is None:
            self._requested.appendleft((workspace, future))
        elif not future.done():
            future.set_result(made)

    def _save(self, workspace: WorkspaceRuntime) -> Coroutine[Any, Any, None]:
        events = workspace.events_since_snapshot
        workspace.events_since_snapshot = 0
        return self._write(workspace, self._begin_image(workspace), events, workspace.stats.incremental_snapshot())

    async def _write(self, workspace: WorkspaceRuntime, image: IncrementalSnapshot, events: int, stats: StatsImage) -> None:
        try:
            made = await self._complete_image(workspace, image)
            if made is not None:
                await self._advance(stats.advance)
        finally:
            stats.cancel()
        if made is None or not stats.is_done:
            workspace.events_since_snapshot += events
            self._due.append(workspace)
            return
        core, counted = await join_parts(made.parts), await join_parts(stats.parts())
        snapshot = Snapshot(seq=made.seq, at_ms=made.at_ms, engine_state=core, stats_state=counted)
        await self._journal.save_snapshot(workspace.workspace, snapshot)


async def join_parts(parts: list[bytes]) -> bytes:
    """Return the concatenated parts."""
    if sum(map(len, parts)) < _JOIN_INLINE_BYTES_MAX:
        return b"".join(parts)
    return await asyncio.to_thread(b"".join, parts)
