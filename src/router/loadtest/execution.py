"""Execution of a load test: the scaled clock of the day, the group of running tasks, and the error that ends a run.

Two clocks are involved: the event loop of this process, by which customers and agents act, and the router's clock, which stamps
events. They are synchronized once, at the start of the day. Times of the day are milliseconds of the day, as in the simulator.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

from router.client.errors import ClientError
from router.model.errors import RouterError


class DayClock:
    """Clock of the simulated day, running at ``speed`` times real time from the call of ``start``."""

    def __init__(self, *, start_ms: int, speed: float) -> None:
        self.start_ms = start_ms
        self.speed = speed
        self._started_at_s: float | None = None
        self._router_started_at_ms = 0

    def start(self, *, router_now_ms: int) -> None:
        """Start the day now; ``router_now_ms`` is the present time of the router's clock (Unix milliseconds)."""
        self._started_at_s = asyncio.get_running_loop().time()
        self._router_started_at_ms = router_now_ms

    @property
    def has_started(self) -> bool:
        """Whether the day has started."""
        return self._started_at_s is not None

    @property
    def elapsed_s(self) -> float:
        """Wall-clock seconds since the start of the day; 0 before it."""
        if self._started_at_s is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._started_at_s

    @property
    def now_ms(self) -> int:
        """Present time of the day in milliseconds."""
        return self.start_ms + round(self.elapsed_s * 1000 * self.speed)

    def to_day_ms(self, at_ms: int) -> int:
        """Convert the router's timestamp of an event to a time of the day."""
        return self.start_ms + round((at_ms - self._router_started_at_ms) * self.speed)

    def to_wall_s(self, duration_ms: float) -> float:
        """Convert a duration of the day (milliseconds) to wall-clock seconds."""
        return duration_ms / 1000 / self.speed

    def lateness_s(self, at_ms: int) -> float:
        """Return the wall-clock seconds since a time of the day; negative if it is in the future."""
        return self.elapsed_s - self.to_wall_s(at_ms - self.start_ms)

    async def sleep_until(self, at_ms: int) -> None:
        """Sleep until a time of the day; return at once if it has passed."""
        early_s = -self.lateness_s(at_ms)
        if early_s > 0:
            await asyncio.sleep(early_s)

    async def sleep(self, duration_ms: float) -> None:
        """Sleep for a duration of the day (milliseconds)."""
        await asyncio.sleep(self.to_wall_s(duration_ms))


class LoadTestFailed(RouterError):
    """Load test that cannot run: no router answers, the policy does not fit, or a connection was closed permanently."""


def failure_from_group(error: BaseException) -> RouterError | None:
    """Return the error in a group that the user can correct, or None if the group contains only programming errors."""
    for leaf in _leaf_errors(error):
        if isinstance(leaf, RouterError):
            return leaf
    for leaf in _leaf_errors(error):
        if isinstance(leaf, ClientError):
            return LoadTestFailed(f"{type(leaf).__name__}: {leaf}")
    return None


def _leaf_errors(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaf_errors(inner)
    else:
        yield error


class TaskPool:
    """Background tasks in a task group: a failure of one ends all, and all can be cancelled at once.

    Every task is referenced until it is done.
    """

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a background task and return it."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel_all(self) -> None:
        """Cancel all running tasks."""
        for task in tuple(self._tasks):
            task.cancel()
