"""The inbox: what waits for the writer's turn. Bounded, fair between workspaces, and full means *said at once*.

Each workspace has its own line and its own bound; the writer takes one item of each in turn. A workspace that floods the
router fills its own line and waits for its own turns; the others keep theirs.

Within a workspace order is kept, until so many **submits** wait that it is overloaded (``SUBMITS_SPARED``). Then everything else
goes before them: an offer that nobody can accept in time is work thrown away, and what agents do is bounded by what has been
let in. Submits get one turn in ``SUBMIT_TURN`` even so. And submits are the one thing that overload refuses: when that many
wait and the oldest has waited too long, the next one is told so at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from msgspec import Struct

from router.model.errors import InboxFull
from router.model.ids import WorkspaceId

T = TypeVar("T")

# A second's work or so: what waits longer is answered too late anyway, and better told so now.
COUNT_MAX: Final = 10_000
# All workspaces together may have so many times as much waiting as one.
_WORKSPACES_AT_FULL: Final = 4
# A lifecycle is one submit and at least two commands of agents: at most one turn in three is asked for.
SUBMIT_TURN: Final = 4
SUBMIT_WAIT_MS_MAX: Final = 50
# So few are no overload, however long a slow disk lets them wait.
SUBMITS_SPARED: Final = 128


class _Line(Struct, Generic[T]):
    """What waits of one workspace."""

    others: deque[tuple[int, T]]
    submits: deque[tuple[int, T, float]]
    """With the number of its arrival, and the time of a submit's."""
    arrivals: int = 0
    passed: int = 0
    """Items that went before submits under overload since the last submit."""

    def __len__(self) -> int:
        return len(self.others) + len(self.submits)

    def pop(self) -> T:
        """The next item."""
        if self.submits and (not self.others or self._is_submits_turn()):
            self.passed = 0
            return self.submits.popleft()[1]
        return self.others.popleft()[1]

    def _is_submits_turn(self) -> bool:
        if len(self.submits) < SUBMITS_SPARED:
            return self.submits[0][0] < self.others[0][0]
        self.passed += 1
        return self.passed >= SUBMIT_TURN


class Inbox(Generic[T]):
    """Items by workspace; many put, one takes."""

    def __init__(
        self,
        *,
        count_max: int = COUNT_MAX,
        is_submit: Callable[[T], bool] = lambda _: False,
        submit_wait_ms_max: int = SUBMIT_WAIT_MS_MAX,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``count_max``: of one workspace; submits may be half of it. ``now_s``: for tests."""
        self._count_max = count_max
        self._submits_max = max(1, count_max // 2)
        self._submits_spared = min(SUBMITS_SPARED, self._submits_max)
        self._is_submit = is_submit
        self._submit_wait_s_max = submit_wait_ms_max / 1000
        self._now_s = now_s
        self._lines: dict[WorkspaceId, _Line[T]] = {}
        self._turns: deque[WorkspaceId] = deque()
        """Workspaces with something waiting; the first has the next turn."""
        self._count = 0
        self.refused_submits = 0
        """Submits that were told to come again, since the start."""
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
        is_submit = self._is_submit(item)
        if is_submit:
            self.admit_submit(workspace)
        if line is None:
            line = self._lines[workspace] = _Line(deque(), deque())
            self._turns.append(workspace)
        line.arrivals += 1
        if is_submit:
            line.submits.append((line.arrivals, item, self._now_s()))
        else:
            line.others.append((line.arrivals, item))
        self._count += 1
        self.wake()

    def admit_submit(self, workspace: WorkspaceId) -> None:
        """Raises InboxFull where a submit of that workspace would be refused now: to be asked before it is decoded."""
        if self.refuses_submit(workspace):
            raise InboxFull("too many contacts are being submitted")

    def refuses_submit(self, workspace: WorkspaceId) -> bool:
        """Likewise, without raising. Who is told so has been refused, and counts."""
        line = self._lines.get(workspace)
        if line is None or (waiting := len(line.submits)) < self._submits_spared:
            return False
        if waiting < self._submits_max:
            oldest_s = self._now_s() - line.submits[0][2]
            if oldest_s <= self._submit_wait_s_max:
                return False
        self.refused_submits += 1
        return True

    def pop(self) -> tuple[WorkspaceId, T] | None:
        """The next item of the workspace whose turn it is; none where nothing waits."""
        if not self._turns:
            return None
        workspace = self._turns[0]
        line = self._lines[workspace]
        item = line.pop()
        self._count -= 1
        if not (line.others or line.submits):
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
