"""Execution of shadow policies in parallel with the writer: at most one shadow per workspace, fed with durable records.

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

from router.engine.shadow import Shadow
from router.engine.shadow.shadow import ShadowCounters
from router.journal.records import Record
from router.model.commands import EnqueueContact
from router.model.errors import CommandQueueFull, JournalUnavailable, Stopping
from router.model.events import ShadowPolicyCleared, ShadowPolicySet
from router.model.results import RefusalCode
from router.model.shadow import Difference, ShadowReport
from router.model.states import WorkspaceId
from router.runtime.publisher import PublishedRecord
from router.runtime.snapshots import join_parts
from router.runtime.writer import Writer

BACKLOG_MAX: Final = 10_000
_SHADOW_EVENTS: Final[frozenset[type]] = frozenset({ShadowPolicySet, ShadowPolicyCleared})
_TIME_SLICE_S: Final = 0.002
# Limits the shadows to a fifth of the time of the event loop.
_PAUSE_S: Final = 4 * _TIME_SLICE_S
_RETRY_S: Final = 1.0
# Least time before a shadow restarts: a snapshot of the live state is expensive.
RESTART_S: Final = 10.0


class _RefusedSubmit(Struct, frozen=True):
    """A submit refused by the active policy."""

    command: EnqueueContact
    code: RefusalCode
    at_ms: int


_Item: TypeAlias = Record | _RefusedSubmit


class ShadowObserver(Protocol):
    """Receives the findings of the shadows. Called on the event loop, so it must be quick."""

    def on_difference(self, workspace: WorkspaceId, difference: Difference) -> None:
        """Handle one difference."""
        ...

    def on_failure(self, workspace: WorkspaceId, error: Exception) -> None:
        """Handle the error that stopped a shadow."""
        ...

    def on_events_skipped(self, workspace: WorkspaceId, events_missed: int) -> None:
        """Handle the number of events that a shadow has skipped."""
        ...


class _WorkspaceShadow:
    """The shadow of one workspace with its backlog and counters."""

    def __init__(self, policy_seq: int) -> None:
        self.policy_seq = policy_seq
        self.not_before_s = 0.0
        """Earliest restart, on the clock of the event loop."""
        self.shadow: Shadow | None = None
        self.counters: ShadowCounters | None = None
        self.backlog: deque[_Item] = deque()
        self.events_missed = 0
        self.restarts = 0
        self.failure: str | None = None

    def drop_backlog(self) -> None:
        """Drop the backlog and the shadow, which then restarts from a snapshot."""
        self.events_missed += sum(len(item.events) for item in self.backlog if isinstance(item, Record))
        self.backlog.clear()
        self.shadow = None

    def report(self) -> ShadowReport:
        """Return the findings and the state of the shadow."""
        report = ShadowReport() if self.counters is None else self.counters.report_copy()
        report.policy_seq = self.policy_seq
        report.events_missed, report.restarts = self.events_missed, self.restarts
        report.failure = self.failure
        if self.failure is not None:
            report.state = "stopped"
        elif self.shadow is None:
            report.state = "starting" if self.counters is None else "behind"
        return report


class ShadowRunner:
    """Run the shadows of all workspaces. Call ``start`` after the writer has recovered and is running, then ``run`` as a task."""

    def __init__(
        self, writer: Writer, *, observer: ShadowObserver, backlog_max: int = BACKLOG_MAX, restart_s: float = RESTART_S
    ) -> None:
        """``backlog_max`` limits the backlog of a shadow in records; ``restart_s`` is the least delay before a restart."""
        self._writer = writer
        self._backlog_max = backlog_max
        self._restart_s = restart_s
        self._observer = observer
        self._shadows: dict[WorkspaceId, _WorkspaceShadow] = {}
        self._work = asyncio.Event()
        self._progress = asyncio.Event()

    async def start(self) -> None:
        """Start the shadows that are set in the journal and subscribe to new records."""
        self._subscription = self._writer.feed.subscribe_inline("shadow", self._on_record)
        self._writer.on_refused_submit = self._on_refused_submit
        for workspace in self._writer.workspaces:
            await self.load_workspace(workspace)

    async def load_workspace(self, workspace: WorkspaceId) -> None:
        """Start the shadow of a workspace, where one is set."""
        result = await self._writer.query(workspace, lambda engine: engine.shadow_seq)
        if result.value and workspace not in self._shadows:
            self._shadows[workspace] = _WorkspaceShadow(result.value)
        self._choose_events()
        self._work.set()

    def forget_workspace(self, workspace: WorkspaceId) -> None:
        """End the shadow of a workspace that is not followed any more."""
        self._shadows.pop(workspace, None)
        self._choose_events()

    def _choose_events(self) -> None:
        """Request every record while there is a shadow, otherwise only those that may begin one."""
        self._subscription.event_types = None if self._shadows else _SHADOW_EVENTS

    # --- the callbacks: quick, and they raise nothing -------------------------------------------------
    def _on_record(self, published: PublishedRecord) -> None:
        record, workspace = published.record, published.workspace
        for seq, event in enumerate(record.events, start=record.first_seq):
            if type(event) is ShadowPolicySet:
                self._shadows[workspace] = _WorkspaceShadow(seq)
            elif type(event) is ShadowPolicyCleared:
                self._shadows.pop(workspace, None)
        self._enqueue(workspace, record)
        self._choose_events()

    def _on_refused_submit(self, workspace: WorkspaceId, command: EnqueueContact, code: RefusalCode, at_ms: int) -> None:
        self._enqueue(workspace, _RefusedSubmit(command, code, at_ms))

    def _enqueue(self, workspace: WorkspaceId, item: _Item) -> None:
        follower = self._shadows.get(workspace)
        if follower is None or follower.failure is not None:
            return
        if len(follower.backlog) >= self._backlog_max:
            self._restart_later(workspace, follower)
        follower.backlog.append(item)
        self._work.set()

    def _restart_later(self, workspace: WorkspaceId, follower: _WorkspaceShadow) -> None:
        """Drop the backlog of a shadow that cannot keep up and restart it later."""
        missed_before = follower.events_missed
        follower.drop_backlog()
        loop = asyncio.get_running_loop()
        follower.not_before_s = loop.time() + self._restart_s
        loop.call_later(self._restart_s, self._work.set)
        self._observer.on_events_skipped(workspace, follower.events_missed - missed_before)

    # --- the task -------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Process the backlogs until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while any(self._has_work(one) for one in list(self._shadows.values())):
                for workspace, follower in list(self._shadows.items()):
                    if self._has_work(follower):
                        await self._process(workspace, follower)
                await asyncio.sleep(_PAUSE_S)

    @staticmethod
    def _has_work(follower: _WorkspaceShadow) -> bool:
        if follower.failure is not None:
            return False
        if follower.shadow is None:
            return asyncio.get_running_loop().time() >= follower.not_before_s
        return bool(follower.backlog)

    async def _process(self, workspace: WorkspaceId, follower: _WorkspaceShadow) -> None:
        try:
            if follower.shadow is None:
                await self._start_shadow(workspace, follower)
            else:
                self._process_backlog(workspace, follower)
        except (CommandQueueFull, Stopping, JournalUnavailable):
            # The live router is overloaded or stopping: try again later.
            await asyncio.sleep(_RETRY_S)
        except Exception as error:
            # An error of the shadow, whatever it is, must not affect routing.
            follower.failure = type(error).__name__
            follower.backlog.clear()
            self._observer.on_failure(workspace, error)
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    async def _start_shadow(self, workspace: WorkspaceId, follower: _WorkspaceShadow) -> None:
        """Start the shadow from a snapshot of the live state."""
        image = await self._writer.capture_state(workspace)
        policy = image.shadow_policy
        if policy is None or image.shadow_seq != follower.policy_seq:
            # The shadow policy was replaced or cleared meanwhile; the event that says so is about to arrive.
            return
        data = await join_parts(image.parts)
        # Decoding a large state takes long, so it runs on a thread.
        shadow = await asyncio.to_thread(Shadow.from_snapshot, data, policy, counters=follower.counters)
        if follower.counters is None:
            self._notify(workspace, shadow.compare_current_state())
        else:
            follower.restarts += 1
        follower.shadow, follower.counters = shadow, shadow.counters
        while follower.backlog and _is_in_snapshot(follower.backlog[0], image.seq):
            follower.backlog.popleft()

    def _process_backlog(self, workspace: WorkspaceId, follower: _WorkspaceShadow) -> None:
        shadow = follower.shadow
        assert shadow is not None
        until_s = time.perf_counter() + _TIME_SLICE_S
        while follower.backlog and time.perf_counter() < until_s:
            item = follower.backlog.popleft()
            if isinstance(item, _RefusedSubmit):
                self._notify(workspace, shadow.judge_refusal(item.command, item.code, item.at_ms))
            elif item.first_seq != shadow.state.seq + 1:
                # Records between the snapshot and this one were dropped.
                self._restart_later(workspace, follower)
                return
            else:
                differences = shadow.apply_record(item.events, item.first_seq, item.at_ms, cause=item.cause)
                self._notify(workspace, differences)

    def _notify(self, workspace: WorkspaceId, differences: list[Difference]) -> None:
        for difference in differences:
            self._observer.on_difference(workspace, difference)

    # --- reports --------------------------------------------------------------------------------------
    def report(self, workspace: WorkspaceId) -> ShadowReport | None:
        """Return the report of the shadow of a workspace, None where it has no shadow."""
        follower = self._shadows.get(workspace)
        return None if follower is None else follower.report()

    def reports(self) -> dict[WorkspaceId, ShadowReport]:
        """Return all reports by workspace. Safe to call from another thread."""
        return {name: follower.report() for name, follower in list(self._shadows.items())}

    async def wait_until_caught_up(self, workspace: WorkspaceId, *, timeout_s: float) -> None:
        """Wait until the shadow has processed all events durable now, has stopped, or the timeout ends."""
        seq = self._writer.publisher.last_seq(workspace)
        try:
            async with asyncio.timeout(timeout_s):
                while self._is_behind(workspace, seq):
                    await self._progress.wait()
        except TimeoutError:
            return

    def _is_behind(self, workspace: WorkspaceId, seq: int) -> bool:
        follower = self._shadows.get(workspace)
        if follower is None or follower.failure is not None:
            return False
        return follower.shadow is None or follower.shadow.state.seq < seq or bool(follower.backlog)


def _is_in_snapshot(item: _Item, seq: int) -> bool:
    """Return whether the snapshot includes the item.

    A refusal at the front of the backlog is older than the first record that the snapshot does not include.
    """
    return not isinstance(item, Record) or item.last_seq <= seq
