"""Turns in which statistics are computed: when a computation may begin, and how many are in progress."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from router.statistics.history import History

RUNNING_MAX: Final = 2
"""Answers of a workspace that are computed and encoded at a time: each may take tens of megabytes."""
WAITING_MAX: Final = 32
"""Requests that wait for their turn; more are refused."""

# Computations in progress take a few seconds at most, and so does a snapshot's beginning.
_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 0.01


async def until_readable(history: History) -> None:
    """Wait while readers should let go of the history, but not for ever: a snapshot may never begin when the router stops."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + _PATIENCE_S
    while history.has_to_be_released and loop.time() < until_s:  # noqa: ASYNC110  (counting is without events of asyncio)
        await asyncio.sleep(_PAUSE_S)


class TooManyWaiting(Exception):
    """``WAITING_MAX`` requests wait already."""


class _Turns:
    def __init__(self) -> None:
        self.running = asyncio.Semaphore(RUNNING_MAX)
        self.count = 0
        """Requests that run or wait."""


class StatisticsTurns:
    """Turns of the requests for statistics, by workspace."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turns] = {}

    @asynccontextmanager
    async def turn(self, workspace: str) -> AsyncIterator[None]:
        """Wait for a turn. Raises TooManyWaiting."""
        turns = self._turns.setdefault(workspace, _Turns())
        if turns.count >= RUNNING_MAX + WAITING_MAX:
            raise TooManyWaiting
        turns.count += 1
        try:
            async with turns.running:
                yield
        finally:
            turns.count -= 1
            if not turns.count:
                del self._turns[workspace]
