"""Reconnect policy: the delay before the next attempt, and the token to use for it.

Delays follow exponential backoff with full jitter, so that clients that were disconnected together do not reconnect together.
"""

import random
from collections.abc import Callable
from typing import Final

BASE_S: Final = 1.0
LONGEST_S: Final = 30.0
# A connection that lasted this long resets the backoff: the next outage starts with the shortest delay.
STABLE_S: Final = 5.0


class Backoff:
    """Exponential backoff with full jitter.

    The delay of the n-th attempt (from 0) since the last stable connection is ``random(0, min(max_s, base_s × 2^n))``.
    ``uniform`` is the random source, replaced in tests.
    """

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
        """Return the delay in seconds before the next attempt, and count the attempt.

        ``hint_s`` is the delay that the server requested (``Retry-After``); the random delay is added to it.
        """
        # The exponent is capped: 2^30 exceeds every limit, and a long outage must not overflow a float.
        longest = min(self._longest_s, self._base_s * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return (hint_s or 0.0) + self._uniform(0.0, longest)

    def held(self, for_s: float) -> None:
        """Reset the backoff if the connection that has just ended lasted at least ``STABLE_CONNECTION_S`` seconds."""
        if for_s >= STABLE_S:
            self._attempts = 0
