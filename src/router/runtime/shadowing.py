"""Shadows beside the corridor: one a workspace, fed with durable records, in small helpings, and never waited for.

A listener puts each record into a bounded backlog and goes on; one task works the backlog off, a few milliseconds at a time with
pauses between, so the event loop has others to serve. A shadow that cannot keep up drops its backlog, says how many events it has
missed, and begins anew from a snapshot of the live state. What goes wrong in a shadow stops that shadow and nobody else.
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
# Of each stretch of time the shadows get a fifth at most.
_PAUSE_S: Final = 4 * _HELPING_S
_RETRY_S: Final = 1.0
# An image of the live state costs something: not again and again.
RESTART_S: Final = 10.0


class _Refusal(Struct, frozen=True):
    """A submit that the live policy has refused."""

    command: EnqueueContact
    code: RefusalCode
    at_ms: int


_Item: TypeAlias = Record | _Refusal


class Watcher(Protocol):
    """Hears what the shadows find. Called on the event loop; must be quick."""

    def differs(self, workspace: WorkspaceId, difference: Difference) -> None:
        """One difference."""
        ...

    def failed(self, workspace: WorkspaceId, error: Exception) -> None:
        """A shadow has stopped because of this."""
        ...

    def lagged(self, workspace: WorkspaceId, events_missed: int) -> None:
        """A shadow has skipped so many events."""
        ...


class _Follower:
    """The shadow of one workspace, with what waits for it."""

    def __init__(self, policy_seq: int) -> None:
        self.policy_seq = policy_seq
        self.not_before_s = 0.0
        """On the loop's clock: when it may begin anew."""
        self.shadow: Shadow | None = None
        self.book: Book | None = None
        self.backlog: deque[_Item] = deque()
        self.events_missed = 0
        self.restarts = 0
        self.failure: str | None = None

    def forget_backlog(self) -> None:
        """Skip what waits, and begin anew."""
        self.events_missed += sum(
            len(item.events) for item in self.backlog if isinstance(item, Record)
        )
        self.backlog.clear()
        self.shadow = None

    def report(self) -> ShadowReport:
        """What it has found, and how it is."""
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
    """All shadows of the process. ``begin`` once the writer has recovered; ``run`` beside it for ever."""

    def __init__(
        self,
        writer: Writer,
        *,
        watcher: Watcher,
        backlog_max: int = BACKLOG_MAX,
        restart_s: float = RESTART_S,
    ) -> None:
        """``restart_s``: after it could not keep up, a shadow begins anew this long after at the earliest."""
        self._writer = writer
        self._backlog_max = backlog_max
        self._restart_s = restart_s
        self._watcher = watcher
        self._followers: dict[WorkspaceId, _Follower] = {}
        self._work = asyncio.Event()
        self._progress = asyncio.Event()

    async def begin(self) -> None:
        """Take up the shadows that the journal says are set, and listen from now on."""
        self._writer.publisher.subscribe(self._hear)
        self._writer.on_refused_submit = self._hear_refusal
        for workspace in self._writer.workspaces:
            answered = await self._writer.ask(workspace, lambda engine: engine.shadow_seq)
            if answered.value and workspace not in self._followers:
                self._followers[workspace] = _Follower(answered.value)
        self._work.set()

    # --- the listener: quick, and it raises nothing --------------------------------------------------
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
        """It cannot keep up: begin anew, a little later."""
        missed_before = follower.events_missed
        follower.forget_backlog()
        loop = asyncio.get_running_loop()
        follower.not_before_s = loop.time() + self._restart_s
        loop.call_later(self._restart_s, self._work.set)
        self._watcher.lagged(workspace, follower.events_missed - missed_before)

    # --- the task -------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Work the backlogs off, for ever."""
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
            # The live router has no time for it, or is about to end.
            await asyncio.sleep(_RETRY_S)
        except Exception as error:
            # Whatever it is, it is the shadow's own: routing goes on.
            follower.failure = type(error).__name__
            follower.backlog.clear()
            self._watcher.failed(workspace, error)
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    async def _seed(self, workspace: WorkspaceId, follower: _Follower) -> None:
        """Begin from the live state as it is now."""
        image = await self._writer.image(workspace)
        policy = image.shadow_policy
        if policy is None or image.shadow_seq != follower.policy_seq:
            # Replaced or ended meanwhile: the event of that is on its way here.
            return
        data = await joined(image.parts)
        # A large state takes a while to read: not on the loop.
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
                # Some were dropped between the snapshot and here.
                self._skip(workspace, follower)
                return
            else:
                told = shadow.follow(item.events, item.first_seq, item.at_ms, cause=item.cause)
                self._tell(workspace, told)

    def _tell(self, workspace: WorkspaceId, differences: list[Difference]) -> None:
        for difference in differences:
            self._watcher.differs(workspace, difference)

    # --- questions ------------------------------------------------------------------------------------
    def report(self, workspace: WorkspaceId) -> ShadowReport | None:
        """The report of a workspace's shadow; none where it has none."""
        follower = self._followers.get(workspace)
        return None if follower is None else follower.report()

    def totals(self) -> dict[WorkspaceId, ShadowReport]:
        """All reports, by workspace. Safe to call from another thread."""
        return {name: follower.report() for name, follower in list(self._followers.items())}

    async def caught_up(self, workspace: WorkspaceId, *, timeout_s: float) -> None:
        """Wait until the shadow has taken in what is durable now, or has stopped, or the time is over."""
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
    """Whether the snapshot has it already. A refusal that comes first is older than the first record that it has not."""
    return not isinstance(item, Record) or item.last_seq <= seq
