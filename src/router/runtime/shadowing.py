"""Execution of shadow policies beside the writer: at most one shadow per workspace, fed with durable records.

A callback appends each record to a bounded backlog and returns. One task processes the backlogs in slices of ``_TIME_SLICE_S``
with pauses in between, so that the shadows use at most a fifth of the event loop and routing never waits for them. A shadow that
cannot keep up drops its backlog, counts the skipped events, and restarts from a snapshot of the live state, at most once per
``RESTART_S``. An error in a shadow stops that shadow only.
"""

import asyncio
import time
from collections import deque
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from router.core.shadow import Shadow
from router.core.shadow.book import Book
from router.journal.port import Record
from router.model.commands import EnqueueContact
from router.model.errors import InboxFull, JournalUnavailable, Stopping
from router.model.events import ShadowPolicyCleared, ShadowPolicySet
from router.model.ids import WorkspaceId
from router.model.refusals import RefusalCode
from router.model.shadow import Difference, ShadowReport
from router.runtime.publisher import Published
from router.runtime.snapshots import joined
from router.runtime.writer import Writer

BACKLOG_MAX: Final = 10_000
_HELPING_S: Final = 0.002
# Limits the shadows to a fifth of the time of the event loop.
_PAUSE_S: Final = 4 * _HELPING_S
_RETRY_S: Final = 1.0
# Least time before a shadow restarts: a snapshot of the live state is expensive.
RESTART_S: Final = 10.0


class _Refusal(Struct, frozen=True):
    """A submit refused by the live policy."""

    command: EnqueueContact
    code: RefusalCode
    at_ms: int


_Item: TypeAlias = Record | _Refusal


class Watcher(Protocol):
    """Receives the findings of the shadows. Called on the event loop, so it must be quick."""

    def differs(self, workspace: WorkspaceId, difference: Difference) -> None:
        """Handle one difference."""
        ...

    def failed(self, workspace: WorkspaceId, error: Exception) -> None:
        """Handle the error that stopped a shadow."""
        ...

    def lagged(self, workspace: WorkspaceId, events_missed: int) -> None:
        """Handle the number of events that a shadow has skipped."""
        ...


class _Follower:
    """The shadow of one workspace with its backlog and counters."""

    def __init__(self, policy_seq: int) -> None:
        self.policy_seq = policy_seq
        self.not_before_s = 0.0
        """Earliest restart, on the clock of the event loop."""
        self.shadow: Shadow | None = None
        self.book: Book | None = None
        self.backlog: deque[_Item] = deque()
        self.events_missed = 0
        self.restarts = 0
        self.failure: str | None = None

    def forget_backlog(self) -> None:
        """Drop the backlog and the shadow, which then restarts from a snapshot."""
        self.events_missed += sum(
            len(item.events) for item in self.backlog if isinstance(item, Record)
        )
        self.backlog.clear()
        self.shadow = None

    def report(self) -> ShadowReport:
        """Return the findings and the state of the shadow."""
        report = ShadowReport() if self.book is None else self.book.copy()
        report.policy_seq = self.policy_seq
        report.events_missed, report.restarts = self.events_missed, self.restarts
        report.failure = self.failure
        if self.failure is not None:
            report.state = "stopped"
        elif self.shadow is None:
            report.state = "starting" if self.book is None else "behind"
        return report


class Shadowing:
    """Run the shadows of all workspaces. Call ``start`` after the writer has recovered and is running, then ``run`` as a task."""

    def __init__(
        self,
        writer: Writer,
        *,
        watcher: Watcher,
        backlog_max: int = BACKLOG_MAX,
        restart_s: float = RESTART_S,
    ) -> None:
        """``backlog_max`` limits the backlog of a shadow in records; ``restart_s`` is the least delay before a restart."""
        self._writer = writer
        self._backlog_max = backlog_max
        self._restart_s = restart_s
        self._watcher = watcher
        self._followers: dict[WorkspaceId, _Follower] = {}
        self._work = asyncio.Event()
        self._progress = asyncio.Event()

    async def begin(self) -> None:
        """Start the shadows that are set in the journal and subscribe to new records."""
        self._writer.publisher.subscribe(self._hear)
        self._writer.on_refused_submit = self._hear_refusal
        for workspace in self._writer.workspaces:
            answered = await self._writer.ask(workspace, lambda engine: engine.shadow_seq)
            if answered.value and workspace not in self._followers:
                self._followers[workspace] = _Follower(answered.value)
        self._work.set()

    # --- the callbacks: quick, and they raise nothing -------------------------------------------------
    def _hear(self, published: Published) -> None:
        record, workspace = published.record, published.workspace
        for seq, event in enumerate(record.events, start=record.first_seq):
            if type(event) is ShadowPolicySet:
                self._followers[workspace] = _Follower(seq)
            elif type(event) is ShadowPolicyCleared:
                self._followers.pop(workspace, None)
        self._put(workspace, record)

    def _hear_refusal(
        self, workspace: WorkspaceId, command: EnqueueContact, code: RefusalCode, at_ms: int
    ) -> None:
        self._put(workspace, _Refusal(command, code, at_ms))

    def _put(self, workspace: WorkspaceId, item: _Item) -> None:
        follower = self._followers.get(workspace)
        if follower is None or follower.failure is not None:
            return
        if len(follower.backlog) >= self._backlog_max:
            self._skip(workspace, follower)
        follower.backlog.append(item)
        self._work.set()

    def _skip(self, workspace: WorkspaceId, follower: _Follower) -> None:
        """Drop the backlog of a shadow that cannot keep up and restart it later."""
        missed_before = follower.events_missed
        follower.forget_backlog()
        loop = asyncio.get_running_loop()
        follower.not_before_s = loop.time() + self._restart_s
        loop.call_later(self._restart_s, self._work.set)
        self._watcher.lagged(workspace, follower.events_missed - missed_before)

    # --- the task -------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Process the backlogs until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while any(self._has_work(one) for one in list(self._followers.values())):
                for workspace, follower in list(self._followers.items()):
                    if self._has_work(follower):
                        await self._serve(workspace, follower)
                await asyncio.sleep(_PAUSE_S)

    @staticmethod
    def _has_work(follower: _Follower) -> bool:
        if follower.failure is not None:
            return False
        if follower.shadow is None:
            return asyncio.get_running_loop().time() >= follower.not_before_s
        return bool(follower.backlog)

    async def _serve(self, workspace: WorkspaceId, follower: _Follower) -> None:
        try:
            if follower.shadow is None:
                await self._seed(workspace, follower)
            else:
                self._follow(workspace, follower)
        except (InboxFull, Stopping, JournalUnavailable):
            # The live router is overloaded or stopping: try again later.
            await asyncio.sleep(_RETRY_S)
        except Exception as error:
            # An error of the shadow, whatever it is, must not affect routing.
            follower.failure = type(error).__name__
            follower.backlog.clear()
            self._watcher.failed(workspace, error)
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    async def _seed(self, workspace: WorkspaceId, follower: _Follower) -> None:
        """Start the shadow from a snapshot of the live state."""
        image = await self._writer.image(workspace)
        policy = image.shadow_policy
        if policy is None or image.shadow_seq != follower.policy_seq:
            # The shadow policy was replaced or cleared meanwhile; the event that says so is about to arrive.
            return
        data = await joined(image.parts)
        # Decoding a large state takes long, so it runs on a thread.
        shadow = await asyncio.to_thread(Shadow.from_snapshot, data, policy, book=follower.book)
        if follower.book is None:
            self._tell(workspace, shadow.look())
        else:
            follower.restarts += 1
        follower.shadow, follower.book = shadow, shadow.book
        while follower.backlog and _is_known(follower.backlog[0], image.seq):
            follower.backlog.popleft()

    def _follow(self, workspace: WorkspaceId, follower: _Follower) -> None:
        shadow = follower.shadow
        assert shadow is not None
        until_s = time.perf_counter() + _HELPING_S
        while follower.backlog and time.perf_counter() < until_s:
            item = follower.backlog.popleft()
            if isinstance(item, _Refusal):
                self._tell(workspace, shadow.refused(item.command, item.code, item.at_ms))
            elif item.first_seq != shadow.state.seq + 1:
                # Records between the snapshot and this one were dropped.
                self._skip(workspace, follower)
                return
            else:
                differences = shadow.follow(
                    item.events, item.first_seq, item.at_ms, cause=item.cause
                )
                self._tell(workspace, differences)

    def _tell(self, workspace: WorkspaceId, differences: list[Difference]) -> None:
        for difference in differences:
            self._watcher.differs(workspace, difference)

    # --- reports --------------------------------------------------------------------------------------
    def report(self, workspace: WorkspaceId) -> ShadowReport | None:
        """Return the report of the shadow of a workspace, None where it has no shadow."""
        follower = self._followers.get(workspace)
        return None if follower is None else follower.report()

    def totals(self) -> dict[WorkspaceId, ShadowReport]:
        """Return all reports by workspace. Safe to call from another thread."""
        return {name: follower.report() for name, follower in list(self._followers.items())}

    async def caught_up(self, workspace: WorkspaceId, *, timeout_s: float) -> None:
        """Wait until the shadow has processed all events durable now, has stopped, or the timeout ends."""
        seq = self._writer.publisher.last_seq(workspace)
        try:
            async with asyncio.timeout(timeout_s):
                while self._is_behind(workspace, seq):
                    await self._progress.wait()
        except TimeoutError:
            return

    def _is_behind(self, workspace: WorkspaceId, seq: int) -> bool:
        follower = self._followers.get(workspace)
        if follower is None or follower.failure is not None:
            return False
        return follower.shadow is None or follower.shadow.state.seq < seq or bool(follower.backlog)


def _is_known(item: _Item, seq: int) -> bool:
    """Return whether the snapshot includes the item.

    A refusal at the front of the backlog is older than the first record that the snapshot does not include.
    """
    return not isinstance(item, Record) or item.last_seq <= seq
