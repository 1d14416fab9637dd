"""Why a socket was closed. 4000–4499: come back. 4500–4999: do not, before something has changed."""

from enum import IntEnum
from typing import Final


class CloseCode(IntEnum):
    """The codes that the server sends, beside those of RFC 6455."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    """A text frame on a MessagePack connection, or the other way round."""
    INVALID_TEXT = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013

    TOKEN_EXPIRED = 4401
    """Come back with a fresh token."""
    SLOW_CONSUMER = 4408
    """The outbox was full; resume from the last seq."""
    HISTORY_RESET = 4410
    """The generation is another; a fresh welcome awaits."""
    RATE_LIMITED = 4429
    """Too many frames; come back after the time that the last frame named."""

    BAD_MESSAGE = 4500
    """Too many frames that do not parse."""
    UNAUTHENTICATED = 4501
    """No valid credential in time."""
    FORBIDDEN = 4503
    """The credential's role may not use this socket, or the agent is not known."""
    TAKEN_OVER = 4509
    """Another desktop of the same agent connected."""

    @property
    def may_return(self) -> bool:
        """True where a client should reconnect by itself."""
        return may_return(self)


# The same client sending the same again would be closed the same way again.
_NEVER_BETTER: Final = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_TEXT,
        CloseCode.TOO_BIG,
    }
)


def may_return(code: int | None) -> bool:
    """Whether to reconnect after a close with this code; none: the connection was lost without one."""
    if code is None or code < 1000:
        return True
    return code < 4500 and code not in _NEVER_BETTER
