"""Ids that nobody guesses, drawn from the system's own chance by the hundred.

A system call for each would cost as much as the rest of a submit's way through the door.
"""

import secrets
from typing import Final

_DRAW_BYTES: Final = 4096


class RandomIds:
    """Random ids of one length. For one thread; a forked process must make its own."""

    def __init__(self, size_bytes: int) -> None:
        """``size_bytes``: of chance in each id, which has twice as many hexadecimal digits."""
        self._digits = size_bytes * 2
        self._count = _DRAW_BYTES // size_bytes
        self._ready: list[str] = []

    def next(self) -> str:
        """One that was not given before."""
        if not self._ready:
            digits, drawn = self._digits, secrets.token_hex(self._digits // 2 * self._count)
            self._ready = [drawn[at : at + digits] for at in range(0, len(drawn), digits)]
        return self._ready.pop()
