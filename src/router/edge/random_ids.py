"""Unguessable ids from the operating system's random source, drawn in blocks to save system calls."""

import secrets
from typing import Final

_DRAW_BYTES: Final = 4096


class RandomIds:
    """Generator of random hexadecimal ids. Not thread-safe; a forked process must create its own."""

    def __init__(self, size_bytes: int) -> None:
        """``size_bytes``: random bytes in each id, which has twice as many hexadecimal digits."""
        self._digits = size_bytes * 2
        self._count = _DRAW_BYTES // size_bytes
        self._ready: list[str] = []

    def next(self) -> str:
        """Return a fresh id."""
        if not self._ready:
            digits, drawn = self._digits, secrets.token_hex(self._digits // 2 * self._count)
            self._ready = [drawn[at : at + digits] for at in range(0, len(drawn), digits)]
        return self._ready.pop()
