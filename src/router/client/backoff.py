"""How long to wait before coming back: full jitter, so that a crowd does not come back as a crowd."""

import random
from collections.abc import Callable
from typing import Final

BASE_S: Final = 1.0
LONGEST_S: Final = 30.0
# A connection that held so long was a good one: the next outage starts from the beginning.
STABLE_S: Final = 5.0


class Backoff:
    """``random(0, min(30 s, 1 s × 2^n))`` for the n-th attempt since the last good connection."""

    def __init__(
        self,
        *,
        base_s: float = BASE_S,
        longest_s: float = LONGEST_S,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._base_s = base_s
        self._longest_s = longest_s
        self._uniform = uniform
        self._attempts = 0

    def next_s(self, hint_s: float | None = None) -> float:
        """The time until the next attempt. ``hint_s``: what the server asked for; it is waited for in any case."""
        # 2^30 is beyond every limit; a counter that grows for days must not overflow a float.
        longest = min(self._longest_s, self._base_s * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return (hint_s or 0.0) + self._uniform(0.0, longest)

    def held(self, for_s: float) -> None:
        """A connection was live for so long."""
        if for_s >= STABLE_S:
            self._attempts = 0
