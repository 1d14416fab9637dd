"""Reconnect policy: the delay before the next attempt, and the access token to use for it.

Delays follow exponential backoff with full jitter, so that clients that were disconnected together do not reconnect together.
"""

import base64
import inspect
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

BACKOFF_BASE_S: Final = 1.0
BACKOFF_MAX_S: Final = 30.0
# A connection that lasted this long resets the backoff: the next outage starts with the shortest delay.
STABLE_CONNECTION_S: Final = 5.0


class Backoff:
    """Exponential backoff with full jitter.

    The delay of the n-th attempt (from 0) since the last stable connection is ``random(0, min(max_s, base_s × 2^n))``.
    ``uniform`` is the random source, replaced in tests.
    """

    def __init__(
        self,
        *,
        base_s: float = BACKOFF_BASE_S,
        max_s: float = BACKOFF_MAX_S,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._base_s = base_s
        self._max_s = max_s
        self._uniform = uniform
        self._attempts = 0

    def next_delay_s(self, retry_after_s: float | None = None) -> float:
        """Return the delay in seconds before the next attempt, and count the attempt.

        ``retry_after_s`` is the delay that the server requested (``Retry-After``); the random delay is added to it.
        """
        # The exponent is capped: 2^30 exceeds every limit, and a long outage must not overflow a float.
        longest = min(self._max_s, self._base_s * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return (retry_after_s or 0.0) + self._uniform(0.0, longest)

    def connection_lasted(self, duration_s: float) -> None:
        """Reset the backoff if the connection that has just ended lasted at least ``STABLE_CONNECTION_S`` seconds."""
        if duration_s >= STABLE_CONNECTION_S:
            self.reset()

    def reset(self) -> None:
        """Begin with the shortest delay again."""
        self._attempts = 0


TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]

# A fresh token is fetched after this share of the lifetime of the present one.
_REFRESH_SHARE: Final = 0.8

_REFRESH_MIN_S: Final = 0.5


class _TokenLifetime(msgspec.Struct):
    exp: float | None = None
    iat: float | None = None


class TokenSource:
    """Source of tokens: a fixed string, or a provider called before each connection and before the present token expires."""

    def __init__(self, token: str | TokenProvider) -> None:
        self._token = token

    @property
    def is_renewable(self) -> bool:
        """Whether the source can deliver a fresh token."""
        return not isinstance(self._token, str)

    async def fetch(self) -> str:
        """Return a valid token."""
        if isinstance(self._token, str):
            return self._token
        fresh = self._token()
        return await fresh if inspect.isawaitable(fresh) else fresh


def refresh_after_s(token: str) -> float | None:
    """Return the seconds from the fetch of a token to the fetch of the next one; None if the token has no ``iat`` and ``exp``.

    The lifetime is computed from the token's own claims and not from this machine's clock, which may be wrong. The signature is
    not verified: only the router has to trust the token.
    """
    try:
        body = token.split(".")[1]
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        claims = msgspec.json.decode(raw, type=_TokenLifetime)
    except (IndexError, ValueError, msgspec.DecodeError):
        return None
    if claims.exp is None or claims.iat is None:
        return None
    # Both claims are whole seconds, so the true lifetime may be shorter by one second.
    return max(_REFRESH_MIN_S, (claims.exp - claims.iat - 1) * _REFRESH_SHARE)
