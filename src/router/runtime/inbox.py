"""The inbox: what waits for the writer's turn. Bounded, fair between workspaces, and full means *said at once*.

Each workspace has its own line and its own bound; the writer takes one item of each in turn. A workspace that floods the
router fills its own line and waits for its own turns; the others keep theirs. Within a workspace order is kept.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from router.model.errors import InboxFull
from router.model.ids import WorkspaceId

T = TypeVar("T")

# A second's work or so: what waits longer is answered too late anyway, and better told so now.
COUNT_MAX: Final = 10_000
# All workspaces together may have so many times as much waiting as one.
_WORKSPACES_AT_FULL: Final = 4


class Inbox(Generic[T]):
    """Items by workspace; many put, one takes."""

    def __init__(self, *, count_max: int = COUNT_MAX) -> None:
        """``count_max``: of one workspace."""
        self._count_max = count_max
        self._lines: dict[WorkspaceId, deque[T]] = {}
        self._turns: deque[WorkspaceId] = deque()
        """Workspaces with something waiting; the first has the next turn."""
        self._count = 0
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return self._count

    def put(self, workspace: WorkspaceId, item: T, *, beyond_bound: bool = False) -> None:
        """Line up. Raises InboxFull at a bound; ``beyond_bound`` is for what the router owes itself after a start."""
        line = self._lines.get(workspace)
        if not beyond_bound and (
            self._count >= self._count_max * _WORKSPACES_AT_FULL
            or (line is not None and len(line) >= self._count_max)
        ):
            raise InboxFull("too many commands are waiting")
        if line is None:
            line = self._lines[workspace] = deque()
            self._turns.append(workspace)
        line.append(item)
        self._count += 1
        self.wake()

    def pop(self) -> tuple[WorkspaceId, T] | None:
        """The next item: the first of the workspace whose turn it is; none where nothing waits."""
        if not self._turns:
            return None
        workspace = self._turns[0]
        line = self._lines[workspace]
        item = line.popleft()
        self._count -= 1
        if not line:
            # A workspace without work costs nothing.
            del self._lines[workspace]
            self._turns.popleft()
        elif len(self._turns) > 1:
            self._turns.rotate(-1)
        return workspace, item

    def take(self, count_max: int) -> list[tuple[WorkspaceId, T]]:
        """At most so many items, a turn each."""
        return [item for _, item in zip(range(count_max), iter(self.pop, None), strict=False)]

    def drain(self) -> Iterator[T]:
        """Everything, for those who will not be served any more."""
        while (popped := self.pop()) is not None:
            yield popped[1]

    def wake(self) -> None:
        """Let the one who waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout_s: float | None) -> None:
        """Until something is there, somebody calls ``wake``, or the time is over."""
        if self._count or (timeout_s is not None and timeout_s <= 0):
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        alarm = None if timeout_s is None else loop.call_later(timeout_s, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if alarm is not None:
                alarm.cancel()
