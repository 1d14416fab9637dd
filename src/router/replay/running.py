"""Tasks that nobody awaits one by one: a failure of one ends all, and all can be sent home at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class RunningTasks:
    """A task group that can be emptied. Every task is referenced until it is done."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it beside everything else."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Send everybody home."""
        for task in tuple(self._tasks):
            task.cancel()
