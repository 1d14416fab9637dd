"""Which workspaces this node follows: those that it leads or would lead next, and those that its connections and requests need.

The first by rendezvous hashing among the live nodes is to lead a workspace, and ``standby_count`` further ones follow it, so that
one of them leads at once when the leader ends. Where all of them have ended, the next ones in that order begin: they load the
snapshot, read the log from there, and take the lease. A node also begins when a client needs a workspace, which waits meanwhile.
It ends ``idle_s`` after it was last needed; then nothing of the workspace is in memory.

A workspace that is not among the settings was perhaps created over the API. It is followed once, to know. Without a number of
standbys every workspace is followed, also those that other nodes create.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final, Protocol

from router.cluster.rendezvous import rank
from router.engine.engine import Engine
from router.model.errors import NotFollowed, RouterError
from router.model.states import WorkspaceId
from router.runtime.writer import Writer

if TYPE_CHECKING:
    from router.journal.redis.shared_journal import SharedRedisJournal

WAIT_S: Final = 5.0
"""Longest time for which a connection or a request waits until a workspace is followed."""
POLL_S: Final = 0.25
_DIRECTORY_S: Final = 2.0
_RETRY_S: Final = 1.0
_RETRY_S_MAX: Final = 30.0
# Workspaces opened at the same time: each takes the memory of its snapshot twice for a moment.
_OPENED_AT_ONCE: Final = 2
_LEFT_AT_ONCE: Final = 8
_SLICE: Final = 50


class FollowedParts(Protocol):
    """What the rest of the process does about workspaces that come and go."""

    async def load(self, workspace: WorkspaceId) -> None:
        """Load what belongs to a workspace that was rebuilt; its next record comes afterwards."""
        ...

    def followed(self, workspace: WorkspaceId) -> None:
        """Go on with a workspace that was loaded and is in the event feed."""
        ...

    def left(self, workspace: WorkspaceId, engine: Engine) -> None:
        """Forget a workspace, of which nothing is in use."""
        ...

    def is_in_use(self, workspace: WorkspaceId) -> bool:
        """Return whether a connection of this node needs a workspace."""
        ...


class Following:
    """Begins and ends to follow workspaces. For the event loop only."""

    def __init__(
        self,
        writer: Writer,
        journal: "SharedRedisJournal",
        *,
        standby_count: int | None,
        idle_s: float,
        settled: Collection[WorkspaceId],
        possible: Callable[[WorkspaceId], Collection[str]],
        is_busy: Callable[[WorkspaceId], bool],
        tell: Callable[[Collection[WorkspaceId]], Awaitable[None]],
        forget: Callable[[WorkspaceId], None],
    ) -> None:
        """``standby_count`` None: every workspace is followed for ever; those that the writer has are so already.

        ``settled``: workspaces of the settings. ``possible``: ids of the live nodes that may lead a workspace.

        ``is_busy``: whether this node leads a workspace or a command of its waits. ``tell`` is called with what is followed when
        that has changed, ``forget`` with each workspace that is followed no longer.
        """
        self._writer = writer
        self._journal = journal
        self._standby_count = standby_count
        self._idle_s = idle_s
        self._settled = set(settled)
        """Workspaces of which it is known where they come from."""
        self._possible = possible
        self._is_busy = is_busy
        self._tell = tell
        self._forget = forget
        self.parts: FollowedParts | None = None
        """Set before ``run``."""
        self._ready: set[WorkspaceId] = set(writer.workspaces)
        self._needed_s: dict[WorkspaceId, float] = dict.fromkeys(self._ready, time.monotonic())
        self._uses: dict[WorkspaceId, int] = {}
        self._beginning: dict[WorkspaceId, asyncio.Task[None]] = {}
        self._failed: dict[WorkspaceId, tuple[Exception, float, float]] = {}
        """Error of the last attempt, when the next one may be made, and the pause after it."""
        self._opened_at_once = asyncio.Semaphore(_OPENED_AT_ONCE)
        self._leaving = asyncio.Lock()
        self._has_looked = asyncio.Event()
        self._directory_s = float("-inf")
        self._told: frozenset[WorkspaceId] | None = None
        self.leaders: dict[WorkspaceId, str | None] = {}
        """The nodes that lead the workspaces that are not followed, as far as known; None: the lease is free."""
        self.on_trouble: Callable[[WorkspaceId, str | None], None] = lambda _workspace, _reason: None
        """Called with the reason why a workspace cannot be followed, once, and with None when it can again."""
        self.begun = 0
        """Times that a workspace was begun to be followed."""
        self.ended = 0
        """Times that it was ended."""

    # --- for connections and requests ----------------------------------------------------------

    def note_use(self, workspace: WorkspaceId) -> bool:
        """Note that a client needs a workspace; return whether it is followed."""
        self._needed_s[workspace] = time.monotonic()
        return workspace in self._ready

    async def ensure(self, workspace: WorkspaceId) -> None:
        """Return when a workspace is followed. Raises NotFollowed where that takes longer than ``WAIT_S`` or fails."""
        if self.note_use(workspace):
            return
        try:
            async with asyncio.timeout(WAIT_S):
                await asyncio.shield(self._begin(workspace))
        except TimeoutError:
            raise NotFollowed(f"this router does not follow the workspace yet, after {WAIT_S:g} s; retry") from None
        except Exception as error:
            # The reason is reported by ``on_trouble``, once for all who wait.
            raise NotFollowed("this router cannot follow the workspace at present; retry") from error

    def begin_soon(self, workspace: WorkspaceId) -> None:
        """Begin to follow a workspace that a client needs, which comes again."""
        if not self.note_use(workspace):
            self._begin(workspace)

    def enter(self, workspace: WorkspaceId) -> None:
        """Note that a request of a workspace is in progress, until ``leave``."""
        self._uses[workspace] = self._uses.get(workspace, 0) + 1

    def leave(self, workspace: WorkspaceId) -> None:
        """Note that a request of a workspace has ended."""
        self._needed_s[workspace] = time.monotonic()
        self._uses[workspace] -= 1
        if not self._uses[workspace]:
            del self._uses[workspace]

    async def make(self, workspace: WorkspaceId) -> None:
        """Create the empty history of a workspace, unless it exists, and follow it. Raises JournalError, NotFollowed."""
        await self._journal.make_workspace(workspace)
        await self.ensure(workspace)

    def unfollowed(self) -> list[WorkspaceId]:
        """Return the workspaces of the store that this node does not follow."""
        return [name for name in self._journal.known_workspaces if name not in self._ready]

    @property
    def followed(self) -> frozenset[WorkspaceId]:
        """Return the workspaces that this node follows or leads."""
        return frozenset(self._ready)

    # --- the tasks -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Begin to follow what is needed until cancelled. Raises JournalError where the store cannot be used any more."""
        assert self.parts is not None
        while True:
            now_s = time.monotonic()
            if now_s - self._directory_s >= _DIRECTORY_S:
                await self._journal.find_workspaces()
                self.leaders = await self._journal.holders_of(self.unfollowed())
                self._directory_s = now_s
            await self._look()
            self._has_looked.set()
            await self._tell_followed()
            await asyncio.sleep(POLL_S)

    async def _tell_followed(self) -> None:
        followed = self.followed
        if followed != self._told:
            self._told = followed
            await self._tell(followed)

    async def settle(self) -> None:
        """Return when what is needed at the start is followed, as far as it can be."""
        await self._has_looked.wait()
        while tasks := list(self._beginning.values()):
            await asyncio.wait(tasks)
        await self._tell_followed()

    async def stop(self) -> None:
        """End what is being begun. Idempotent."""
        tasks = list(self._beginning.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        for count, workspace in enumerate(self._journal.known_workspaces, start=1):
            if self._is_wanted(workspace):
                self._needed_s[workspace] = time.monotonic()
                if workspace not in self._ready:
                    self._begin(workspace)
            if count % _SLICE == 0:
                await asyncio.sleep(0)

    def _is_wanted(self, workspace: WorkspaceId) -> bool:
        if workspace not in self._settled or self._standby_count is None:
            return True
        first = rank(workspace, self._possible(workspace))[: 1 + self._standby_count]
        return self._journal.node_id in first

    def _begin(self, workspace: WorkspaceId) -> asyncio.Task[None]:
        """Return the task that begins to follow a workspace, which may be running already."""
        task = self._beginning.get(workspace)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._try_begin(workspace), name=f"follow {workspace}")
            self._beginning[workspace] = task
            task.add_done_callback(lambda done: self._begun(workspace, done))
        return task

    def _begun(self, workspace: WorkspaceId, task: asyncio.Task[None]) -> None:
        del self._beginning[workspace]
        if not task.cancelled():
            task.exception()  # It is noted; who waits gets it.

    async def _try_begin(self, workspace: WorkspaceId) -> None:
        failed = self._failed.get(workspace)
        if failed is not None and time.monotonic() < failed[1]:
            raise failed[0]
        async with self._leaving:
            if workspace in self._ready:
                return
        try:
            await self._open(workspace)
        except Exception as error:
            pause_s = _RETRY_S if failed is None else min(2 * failed[2], _RETRY_S_MAX)
            self._failed[workspace] = (error, time.monotonic() + pause_s, pause_s)
            if failed is None or _reason_of(failed[0]) != _reason_of(error):
                self.on_trouble(workspace, _reason_of(error))
            raise
        if self._failed.pop(workspace, None) is not None:
            self.on_trouble(workspace, None)

    async def _open(self, workspace: WorkspaceId) -> None:
        assert self.parts is not None
        async with self._opened_at_once:
            history = await self._journal.open_workspace(workspace)
            try:
                await self._writer.add_followed(history)
            except BaseException:
                await self._journal.drop(workspace)
                raise
        try:
            await self._go_on(workspace, self.parts)
        except Exception:
            await self._undo(workspace, self.parts)
            raise
        self._needed_s[workspace] = time.monotonic()
        if self._writer.publisher.last_seq(workspace):
            # Without any event it may be one whose creation was interrupted, or goes on.
            self._settled.add(workspace)
        self._ready.add(workspace)
        self.begun += 1

    async def _go_on(self, workspace: WorkspaceId, parts: FollowedParts) -> None:
        """Load what belongs to a workspace that was rebuilt, and read what has come since. Raises RouterError."""
        await parts.load(workspace)
        self._writer.feed.add_workspace(workspace)
        parts.followed(workspace)
        newest_seq = await self._journal.newest_seq(workspace)
        # Only now, so that what was loaded above is still the present state when further records come.
        archived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._journal.begin_following(workspace, archived)
        caught_up = asyncio.ensure_future(self._writer.feed.wait(workspace, newest_seq - 1))
        try:
            await asyncio.wait((caught_up, archived), return_when=asyncio.FIRST_COMPLETED)
            (archived if archived.done() else caught_up).result()
        finally:
            caught_up.cancel()
            self._journal.has_caught_up(workspace)

    async def _undo(self, workspace: WorkspaceId, parts: FollowedParts) -> None:
        """Forget a workspace whose beginning failed, so that the next attempt starts from the store. Raises RouterError."""
        while not await self._forget_state(workspace, parts, self._is_busy):  # noqa: ASYNC110  (a query of it waits)
            await asyncio.sleep(POLL_S)
        await self._journal.drop(workspace)

    async def _forget_state(self, workspace: WorkspaceId, parts: FollowedParts, is_held: Callable[[WorkspaceId], bool]) -> bool:
        return await self._writer.forget(workspace, lambda engine: parts.left(workspace, engine), lambda: is_held(workspace))

    async def leave_idle(self) -> None:
        """End to follow what was not needed for a while. Call it while no workspace is being taken or handed over."""
        assert self.parts is not None
        if self._standby_count is None:
            return
        idle = [name for name in self._ready if not self._is_held(name)]
        for workspace in idle[:_LEFT_AT_ONCE]:
            async with self._leaving:
                # A client may have come while the ones before were left.
                if workspace in self._ready and not self._is_held(workspace):
                    await self._leave(workspace, self.parts)

    def _is_held(self, workspace: WorkspaceId) -> bool:
        """Return whether a workspace is needed, was until a moment ago, or something of it is in progress."""
        assert self.parts is not None
        return (
            time.monotonic() - self._needed_s[workspace] < self._idle_s
            or bool(self._uses.get(workspace))
            or self._is_busy(workspace)
            or self.parts.is_in_use(workspace)
            or self._is_wanted(workspace)
        )

    async def _leave(self, workspace: WorkspaceId, parts: FollowedParts) -> None:
        self._ready.discard(workspace)
        self._journal.leave(workspace)
        # A request that was let in before this step is looked at again in the step that forgets the workspace.
        if await self._forget_state(workspace, parts, self._is_held):
            await self._journal.drop(workspace)
            del self._needed_s[workspace]
            self._forget(workspace)
            self.ended += 1
        else:
            # Something of it came in that moment.
            self._journal.begin_following(workspace)
            self._needed_s[workspace] = time.monotonic()
            self._ready.add(workspace)


def _reason_of(error: Exception) -> str:
    # The text of an unexpected error may contain anything.
    return str(error) if isinstance(error, RouterError) else f"unexpected {type(error).__name__}"
