"""What connections leave behind when they are lost: done a few at a time, for a cut cable takes ten thousand with it at once.

It is the router's own work, so it can wait, and those who are still there do not have to. To forget a connection is quick and
done within a second or so; a desktop's loss is a command like others and goes to the writer at a pace, a few unanswered at a
time. Until then its agent counts as attached, so his grace begins a few seconds late; one who is back sooner was never away:
the engine passes over the loss of a session that is not the agent's any more.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from router.model.commands import LoseDesktop
from router.model.errors import InboxFull, RouterError
from router.runtime.writer import Reply, Writer

# Of one loop tick: well below a millisecond.
_FORGOTTEN_AT_ONCE: Final = 50
# Some 1,500 a second: a seventh of a core, and 10,000 within half of the shortest grace that is usual.
_UNANSWERED_MAX: Final = 20
_GAP_S: Final = 0.01
# While the writer's inbox is full.
_RETRY_S: Final = 0.2
# At the end: how long a full inbox is waited for.
_FINISH_S: Final = 5.0


class Departures:
    """The line of what is still to be done. For the writer it is who waits for an answer to a ``LoseDesktop``."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._gone: deque[Callable[[], None]] = deque()
        self._lost: deque[tuple[str, LoseDesktop]] = deque()
        self._unanswered = 0
        self._pause: asyncio.TimerHandle | None = None
        self._finishing = False

    # --- connections ------------------------------------------------------------------------------
    def forget(self, what: Callable[[], None]) -> None:
        """Call it soon: all that there is to do about a connection that is no more."""
        if not self._gone:
            asyncio.get_running_loop().call_soon(self._forget_some)
        self._gone.append(what)

    def _forget_some(self) -> None:
        try:
            for _ in range(min(_FORGOTTEN_AT_ONCE, len(self._gone))):
                self._gone.popleft()()
        finally:
            # What one raises is the loop's to report: the others go, too.
            if self._gone:
                asyncio.get_running_loop().call_soon(self._forget_some)

    # --- desktops ---------------------------------------------------------------------------------
    def lose_desktop(self, workspace: str, agent_id: str, session_id: str) -> None:
        """See to it that the journal learns that this desktop is gone. In order, and none is left out."""
        self._lost.append((workspace, LoseDesktop(agent_id=agent_id, session_id=session_id)))
        if self._pause is None:
            self._put()

    def _put(self) -> None:
        self._pause = None
        while self._lost and (self._unanswered < _UNANSWERED_MAX or self._finishing):
            workspace, command = self._lost[0]
            try:
                self._writer.submit(workspace, command, actor="router", reply=self)
            except InboxFull:
                self._put_after(_RETRY_S)
                return
            except RouterError:
                # The process is ending: the next start finds the sessions attached and loses them then.
                self._lost.clear()
                return
            self._unanswered += 1
            self._lost.popleft()

    def _put_after(self, delay_s: float) -> None:
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(delay_s, self._put)

    def done(self) -> bool:
        """Each answer is waited for: it makes room for the next."""
        return False

    def set_result(self, result: Reply) -> None:
        self._unanswered -= 1
        if not self._unanswered and self._lost:
            self._put_after(_GAP_S)

    def set_exception(self, exception: Exception) -> None:
        self._unanswered -= 1

    # --- the end ----------------------------------------------------------------------------------
    async def finish(self) -> None:
        """Do at once what is left, and from now on without delay."""
        self._finishing = True
        while self._gone:  # noqa: ASYNC110  (each tick does some)
            await asyncio.sleep(0)
        if self._pause is not None:
            self._pause.cancel()
        self._put()
        loop = asyncio.get_running_loop()
        patience_ends_s = loop.time() + _FINISH_S
        while self._lost and loop.time() < patience_ends_s:
            await asyncio.sleep(_RETRY_S / 10)
            if self._pause is not None:
                self._pause.cancel()
            self._put()
        if self._pause is not None:
            self._pause.cancel()
