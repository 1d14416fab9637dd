"""Presence of customers: tells the engine whose app is connected, for the time of grace of channels (``leave_grace_s``).

Theory of operation. A customer is here while a socket is open or a long poll waits, and for ``ABSENT_AFTER_S`` after the last of
them and after any other request: so an app that reconnects, or polls at least that often, is never away, and no event is written
for it. What the engine is told is the state at that moment, in the order of the loop, a few commands at a time: five thousand
customers whose network fails at once do not fill the command queue. The engine counts the time that has passed already.

After a restart the writer reports all customers as away, so nothing is kept here. With several nodes each says which start of a
node (``run``) it speaks for: what a node says of a customer who has connected to another one meanwhile changes nothing, and a node
whose customer is reported as away by another one says again that the customer is here.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from router.model.commands import SetCustomerPresence
from router.model.errors import CommandQueueFull, RouterError
from router.model.states import ContactId, WorkspaceId
from router.runtime.workspace import Reply
from router.runtime.writer import Writer

ABSENT_AFTER_S: Final = 10.0
"""Time without a connection after which a customer is away; not above the shortest ``leave_grace_s``."""
_UNANSWERED_MAX: Final = 20
_GAP_S: Final = 0.01
# Delay while the command queue is full.
_RETRY_S: Final = 0.2

_Key: TypeAlias = tuple[WorkspaceId, ContactId]


class _Told:
    """What the engine was told of a customer, and the reply object of that."""

    __slots__ = ("_presence", "key", "since_s")

    def __init__(self, presence: "CustomerPresence", key: _Key, since_s: float | None) -> None:
        """``since_s``: since when the customer is away; None: the customer is here."""
        self._presence = presence
        self.key = key
        self.since_s = since_s

    def done(self) -> bool:
        """Return False: every reply is needed, since it permits the next command."""
        return False

    def set_result(self, reply: Reply, /) -> None:
        self._presence.on_answered()

    def set_exception(self, error: Exception, /) -> None:
        self._presence.on_failed(self)


class CustomerPresence:
    """Connections of customers by request; for the event loop only."""

    def __init__(self, writer: Writer, *, run: str = "", absent_after_s: float = ABSENT_AFTER_S) -> None:
        """``run``: name of this start of the node; empty: there is one node."""
        self._writer = writer
        self._run = run
        self._absent_after_s = absent_after_s
        self._connections: dict[_Key, int] = {}
        self._absent_since_s: dict[_Key, float] = {}
        """Customers without a connection, the one who is so for the longest time first."""
        self._untold: dict[_Key, None] = {}
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @contextmanager
    def connected(self, workspace: WorkspaceId, contact_id: ContactId) -> Iterator[None]:
        """Count a connection of the customer of a request while the block runs."""
        leave = self.enter(workspace, contact_id)
        try:
            yield
        finally:
            leave()

    def enter(self, workspace: WorkspaceId, contact_id: ContactId) -> Callable[[], None]:
        """Count a connection of the customer of a request; return how to end it."""
        key = (workspace, contact_id)
        count = self._connections.get(key, 0)
        self._connections[key] = count + 1
        if not count and self._absent_since_s.pop(key, None) is None:
            self._untold[key] = None
            self._tell()

        def leave() -> None:
            self._connections[key] -= 1
            if not self._connections[key]:
                del self._connections[key]
                self._absent_since_s[key] = self._now_s()
                self._wake_after(self._absent_after_s)

        return leave

    def note_request(self, workspace: WorkspaceId, contact_id: ContactId) -> None:
        """Note a request of the customer, who is connected at this moment."""
        self.enter(workspace, contact_id)()

    def note_away(self, workspace: WorkspaceId, contact_id: ContactId) -> None:
        """Note that the engine takes the customer for away; it is told again where that is wrong."""
        key = (workspace, contact_id)
        if self._is_here(key):
            self._untold[key] = None
            self._tell()

    def is_concerned(self, workspace: WorkspaceId) -> bool:
        """Return whether a customer of a workspace is connected, or the engine is to be told of one."""
        return any(key[0] == workspace for keys in (self._connections, self._absent_since_s, self._untold) for key in keys)

    def close(self) -> None:
        """Tell nothing any more: the connections that end now are ended by the router."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    # --- telling the engine ------------------------------------------------------------------------------------------
    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def _wake_after(self, delay_s: float) -> None:
        """Go on after this time, or earlier."""
        if self._is_closed:
            return
        at_s = self._now_s() + delay_s
        if self._timer is not None:
            if self._timer.when() <= at_s:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for key in self._absent_since_s:
            if self._is_here(key) or len(self._untold) >= _UNANSWERED_MAX:
                break
            self._untold[key] = None
        self._tell()

    def _is_here(self, key: _Key) -> bool:
        since_s = self._absent_since_s.get(key)
        return key in self._connections or (since_s is not None and self._now_s() < since_s + self._absent_after_s)

    def _tell(self) -> None:
        """Tell the engine what it does not know, as far as it has answered what it was told before."""
        while self._untold and self._unanswered < _UNANSWERED_MAX and not self._is_closed:
            key = next(iter(self._untold))
            is_here, since_s = self._is_here(key), self._absent_since_s.get(key)
            away_ms = 0 if is_here or since_s is None else int(1000 * (self._now_s() - since_s))
            command = SetCustomerPresence(contact_id=key[1], is_here=is_here, away_ms=away_ms, run=self._run)
            told = _Told(self, key, None if is_here else since_s)
            try:
                self._writer.submit(key[0], command, actor="router", reply=told)
            except CommandQueueFull:
                self._wake_after(_RETRY_S)
                return
            except RouterError:
                self.close()  # The process is shutting down.
                return
            self._unanswered += 1
            del self._untold[key]
            if not is_here:
                self._absent_since_s.pop(key, None)
        if self._absent_since_s and not self._untold:
            first_s = next(iter(self._absent_since_s.values()))
            self._wake_after(max(_GAP_S, first_s + self._absent_after_s - self._now_s()))

    def on_failed(self, told: _Told) -> None:
        """Tell the engine again, which may or may not have been told: what is then the state, and away since when."""
        self._unanswered -= 1
        if told.since_s is not None and not self._is_here(told.key):
            # The first, as the others have been absent for a shorter time.
            self._absent_since_s = {told.key: told.since_s} | self._absent_since_s
        self._untold[told.key] = None
        self._wake_after(_RETRY_S)

    def on_answered(self) -> None:
        """Go on: the engine was told."""
        self._unanswered -= 1
        if not self._unanswered and self._untold:
            self._wake_after(_GAP_S)
