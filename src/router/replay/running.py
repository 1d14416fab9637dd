"""Group of background tasks that can be cancelled together."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class RunningTasks:
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

    def cancel(self) -> None:
        """Cancel all running tasks."""
        for task in tuple(self._tasks):
            task.cancel()
