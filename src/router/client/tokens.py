"""Where a client's token comes from, and when the next one is due."""

import base64
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]
# A fresh token is fetched when this share of the old one's life is over.
_REFRESH_SHARE: Final = 0.8
_SOONEST_S: Final = 0.5


class _Claims(msgspec.Struct):
    exp: float | None = None
    iat: float | None = None


class TokenSource:
    """One token for ever, or a provider that is asked for a fresh one before each connection and in time before its end."""

    def __init__(self, token: str | TokenProvider) -> None:
        self._token = token

    @property
    def is_renewable(self) -> bool:
        """False where there is one token and no other."""
        return not isinstance(self._token, str)

    async def fetch(self) -> str:
        """A token that holds now."""
        if isinstance(self._token, str):
            return self._token
        fresh = self._token()
        return await fresh if inspect.isawaitable(fresh) else fresh


def refresh_after_s(token: str) -> float | None:
    """When to fetch the next token, counted from the fetch of this one; none where it does not say how long it lives.

    Its life is what the token says, not what a clock says: this machine's may be wrong. The signature is not looked at: the
    token is our own, and only the router has to believe it.
    """
    try:
        body = token.split(".")[1]
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        claims = msgspec.json.decode(raw, type=_Claims)
    except (IndexError, ValueError, msgspec.DecodeError):
        return None
    if claims.exp is None or claims.iat is None:
        return None
    # Both are whole seconds, so a life may be shorter by one than it looks.
    return max(_SOONEST_S, (claims.exp - claims.iat - 1) * _REFRESH_SHARE)
