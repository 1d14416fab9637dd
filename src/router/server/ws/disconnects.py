"""Disconnect queue: cleanup after lost connections, a few at a time.

A network failure can disconnect ten thousand clients at once. Cleanup is internal work that can wait, so it is spread to
keep the loop free for the remaining clients. Removing connections takes about a second in total. The loss of a desktop is a
command like any other and is submitted to the writer at a limited rate, with a few unanswered commands at a time. Until its
command is executed the agent counts as connected, so the agent's grace period may start a few seconds late. An agent who
reconnects sooner was never absent: the engine ignores the loss of a session that is no longer the agent's current one. So a loss
whose answer does not come, because the leader of several nodes died or the store is away, is submitted again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from router.model.commands import LoseDesktop
from router.model.errors import CommandQueueFull, RouterError
from router.runtime.writer import Reply, Writer

# Connections cleaned up per loop iteration: well below 1 ms.
_CLEANUPS_PER_ITERATION: Final = 50
# About 1,500 commands per second: a seventh of a core, and 10,000 within half of the usual shortest grace period.
_UNANSWERED_MAX: Final = 20
_GAP_S: Final = 0.01
# Delay while the command queue is full.
_RETRY_S: Final = 0.2
# At shutdown: how long to wait for a full command queue.
_FINISH_S: Final = 5.0


class _LostDesktop:
    """The loss of a desktop session, and the reply object of its command."""

    __slots__ = ("_queue", "command", "workspace")

    def __init__(self, queue: "DisconnectQueue", workspace: str, command: LoseDesktop) -> None:
        self._queue = queue
        self.workspace = workspace
        self.command = command

    def done(self) -> bool:
        """Return False: every reply is needed, since it permits the next command."""
        return False

    def set_result(self, result: Reply, /) -> None:
        self._queue.on_answered()

    def set_exception(self, exception: Exception, /) -> None:
        self._queue.on_failed(self)


class DisconnectQueue:
    """Queue of pending cleanups, and of lost desktops."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._cleanups: deque[Callable[[], None]] = deque()
        self._lost: deque[_LostDesktop] = deque()
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._finishing = False

    # --- connections ------------------------------------------------------------------------------
    def schedule_cleanup(self, cleanup: Callable[[], None]) -> None:
        """Schedule the cleanup of a lost connection."""
        if not self._cleanups:
            asyncio.get_running_loop().call_soon(self._run_some)
        self._cleanups.append(cleanup)

    def _run_some(self) -> None:
        try:
            for _ in range(min(_CLEANUPS_PER_ITERATION, len(self._cleanups))):
                self._cleanups.popleft()()
        finally:
            # An exception goes to the loop's handler; the remaining cleanups still run.
            if self._cleanups:
                asyncio.get_running_loop().call_soon(self._run_some)

    # --- desktops ---------------------------------------------------------------------------------
    def add_lost_desktop(self, workspace: str, agent_id: str, session_id: str) -> None:
        """Submit the loss of a desktop session to the writer. None is dropped before it is carried out."""
        self._lost.append(_LostDesktop(self, workspace, LoseDesktop(agent_id=agent_id, session_id=session_id)))
        if self._timer is None:
            self._submit_lost()

    def is_concerned(self, workspace: str) -> bool:
        """Return whether the loss of a desktop of a workspace waits."""
        return any(lost.workspace == workspace for lost in self._lost)

    def _submit_lost(self) -> None:
        self._timer = None
        while self._lost and (self._unanswered < _UNANSWERED_MAX or self._finishing):
            lost = self._lost[0]
            try:
                self._writer.submit(lost.workspace, lost.command, actor="router", reply=lost)
            except CommandQueueFull:
                self._submit_lost_after(_RETRY_S)
                return
            except RouterError:
                # The process is shutting down: after the next start the sessions are found connected and lost then.
                self._lost.clear()
                return
            self._unanswered += 1
            self._lost.popleft()

    def _submit_lost_after(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._submit_lost)

    def on_answered(self) -> None:
        """Go on: a loss was carried out."""
        self._unanswered -= 1
        if not self._unanswered and self._lost:
            self._submit_lost_after(_GAP_S)

    def on_failed(self, lost: _LostDesktop) -> None:
        """Submit a loss again that may or may not have been carried out; a second time it has no effect."""
        self._unanswered -= 1
        self._lost.append(lost)
        self._submit_lost_after(_RETRY_S)

    # --- shutdown --------------------------------------------------------------------------------
    async def drain(self) -> None:
        """Process everything that is queued, and from now on without delay."""
        self._finishing = True
        while self._cleanups:  # noqa: ASYNC110  (each iteration processes some)
            await asyncio.sleep(0)
        if self._timer is not None:
            self._timer.cancel()
        self._submit_lost()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _FINISH_S
        while self._lost and loop.time() < deadline_s:
            await asyncio.sleep(_RETRY_S / 10)
            if self._timer is not None:
                self._timer.cancel()
            self._submit_lost()
        if self._timer is not None:
            self._timer.cancel()
