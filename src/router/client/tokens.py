"""Access tokens of a client: where they come from and when to fetch the next one."""

import base64
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]
# A fresh token is fetched after this share of the lifetime of the present one.
_REFRESH_SHARE: Final = 0.8
_SOONEST_S: Final = 0.5


class _Claims(msgspec.Struct):
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
        claims = msgspec.json.decode(raw, type=_Claims)
    except (IndexError, ValueError, msgspec.DecodeError):
        return None
    if claims.exp is None or claims.iat is None:
        return None
    # Both claims are whole seconds, so the true lifetime may be shorter by one second.
    return max(_SOONEST_S, (claims.exp - claims.iat - 1) * _REFRESH_SHARE)
