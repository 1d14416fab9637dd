"""Turns in which statistics are computed: when a computation may begin."""

import asyncio
from typing import Final

from router.statistics.history import History

# Computations in progress take a few seconds at most, and so does a snapshot's beginning.
_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 0.01


async def until_readable(history: History) -> None:
    """Wait while readers should let go of the history, but not for ever: a snapshot may never begin when the router stops."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + _PATIENCE_S
    while history.has_to_be_released and loop.time() < until_s:  # noqa: ASYNC110  (counting is without events of asyncio)
        await asyncio.sleep(_PAUSE_S)
