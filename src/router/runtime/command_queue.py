"""The command queue: bounded, fair between workspaces, refusing at once when full.

Every workspace has its own queue with its own limit, and the writer takes one item of each workspace in turn (round-robin). A
workspace that floods the router therefore fills only its own queue and does not delay the others.

Within a workspace items are served in order of arrival until so many **submits** are queued that the workspace counts as
overloaded (``OVERLOAD_SUBMIT_COUNT``). From then on all other items are served first: an offer that is not accepted in time is
wasted work, and the number of agent commands is bounded by the number of admitted contacts. Submits still get one turn in
``SUBMIT_SHARE``, so they are never starved.

Back-pressure applies to submits only. When the workspace is overloaded and the oldest submit has waited longer than the limit,
or when submits fill half of the queue, the next submit is refused immediately instead of queued. Other items are refused only
at the limit of the queue. All operations take constant time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from msgspec import Struct

from router.model.errors import CommandQueueFull
from router.model.ids import WorkspaceId

T = TypeVar("T")

# About one second of work: a reply that comes later is of little use, so refuse at once.
COUNT_MAX: Final = 10_000
# Limit of all workspaces together, as a multiple of the limit of one.
_TOTAL_FACTOR: Final = 4
# The life of a contact is one submit and at least two agent commands, so submits need at most one turn in three.
SUBMIT_SHARE: Final = 4
SUBMIT_WAIT_MS_MAX: Final = 50
# Fewer queued submits are not overload, however long a slow disk makes them wait.
OVERLOAD_SUBMIT_COUNT: Final = 128


class _WorkspaceQueue(Struct, Generic[T]):
    """The queued items of one workspace."""

    other_items: deque[tuple[int, T]]
    submits: deque[tuple[int, T, float]]
    """Submits with arrival number and arrival time in seconds."""
    arrivals: int = 0
    bypassed: int = 0
    """Items served ahead of submits under overload since the last submit."""

    def __len__(self) -> int:
        return len(self.other_items) + len(self.submits)

    def pop(self) -> T:
        """Remove and return the next item."""
        if self.submits and (not self.other_items or self._is_submit_next()):
            self.bypassed = 0
            return self.submits.popleft()[1]
        return self.other_items.popleft()[1]

    def _is_submit_next(self) -> bool:
        if len(self.submits) < OVERLOAD_SUBMIT_COUNT:
            return self.submits[0][0] < self.other_items[0][0]
        self.bypassed += 1
        return self.bypassed >= SUBMIT_SHARE


class CommandQueue(Generic[T]):
    """Queues of items by workspace, for many producers and one consumer on the same event loop."""

    def __init__(
        self,
        *,
        count_max: int = COUNT_MAX,
        is_submit: Callable[[T], bool] = lambda _: False,
        submit_wait_ms_max: int = SUBMIT_WAIT_MS_MAX,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``count_max`` limits the items of one workspace; submits can use half of it. ``now_s`` is replaced in tests."""
        self._count_max = count_max
        self._submits_max = max(1, count_max // 2)
        self._overload_submit_count = min(OVERLOAD_SUBMIT_COUNT, self._submits_max)
        self._is_submit = is_submit
        self._submit_wait_s_max = submit_wait_ms_max / 1000
        self._now_s = now_s
        self._queues: dict[WorkspaceId, _WorkspaceQueue[T]] = {}
        self._order: deque[WorkspaceId] = deque()
        """Workspaces with queued items, in round-robin order; the first is served next."""
        self._count = 0
        self.refused_submits = 0
        """Number of submits refused since the start."""
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return self._count

    def put(self, workspace: WorkspaceId, item: T, *, ignore_limit: bool = False) -> None:
        """Append an item. Raises CommandQueueFull at a limit.

        ``ignore_limit`` is for commands that the router issues itself after a start.
        """
        queue = self._queues.get(workspace)
        if not ignore_limit and (
            self._count >= self._count_max * _TOTAL_FACTOR
            or (queue is not None and len(queue) >= self._count_max)
        ):
            raise CommandQueueFull("the command queue is full; retry later")
        is_submit = self._is_submit(item)
        if is_submit:
            self.admit_submit(workspace)
        if queue is None:
            queue = self._queues[workspace] = _WorkspaceQueue(deque(), deque())
            self._order.append(workspace)
        queue.arrivals += 1
        if is_submit:
            queue.submits.append((queue.arrivals, item, self._now_s()))
        else:
            queue.other_items.append((queue.arrivals, item))
        self._count += 1
        self.wake()

    def admit_submit(self, workspace: WorkspaceId) -> None:
        """Raise CommandQueueFull where a submit would be refused now; check this before decoding it."""
        if self.is_submit_refused(workspace):
            raise CommandQueueFull("too many submits are queued; retry later")

    def is_submit_refused(self, workspace: WorkspaceId) -> bool:
        """Return whether a submit is refused now, without raising; a true result is counted as a refusal."""
        queue = self._queues.get(workspace)
        if queue is None or (waiting := len(queue.submits)) < self._overload_submit_count:
            return False
        if waiting < self._submits_max:
            oldest_s = self._now_s() - queue.submits[0][2]
            if oldest_s <= self._submit_wait_s_max:
                return False
        self.refused_submits += 1
        return True

    def pop(self) -> tuple[WorkspaceId, T] | None:
        """Remove and return the next item in round-robin order; None where all queues are empty."""
        if not self._order:
            return None
        workspace = self._order[0]
        queue = self._queues[workspace]
        item = queue.pop()
        self._count -= 1
        if not (queue.other_items or queue.submits):
            # An idle workspace keeps no queue.
            del self._queues[workspace]
            self._order.popleft()
        elif len(self._order) > 1:
            self._order.rotate(-1)
        return workspace, item

    def pop_many(self, count_max: int) -> list[tuple[WorkspaceId, T]]:
        """Remove and return at most ``count_max`` items in round-robin order."""
        return [item for _, item in zip(range(count_max), iter(self.pop, None), strict=False)]

    def drain(self) -> Iterator[T]:
        """Remove and return all items, which will not be served."""
        while (popped := self.pop()) is not None:
            yield popped[1]

    def wake(self) -> None:
        """Wake the consumer."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout_s: float | None) -> None:
        """Wait until an item is queued, ``wake`` is called, or the timeout ends."""
        if self._count or (timeout_s is not None and timeout_s <= 0):
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None if timeout_s is None else loop.call_later(timeout_s, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
