"""WebSocket close codes. After 4000–4499 a client should reconnect; after 4500–4999 it must not until the cause is fixed."""

from enum import IntEnum
from typing import Final


class CloseCode(IntEnum):
    """Close codes sent by the server, including those of RFC 6455."""

    NORMAL = 1000
    """The client has closed the connection."""
    GOING_AWAY = 1001
    """The process is shutting down."""
    PROTOCOL_ERROR = 1002
    """A frame violated RFC 6455; the client would send it again."""
    UNSUPPORTED_DATA = 1003
    """A text frame on a MessagePack connection, or a binary frame on a JSON connection; the client would send it again."""
    INVALID_TEXT = 1007
    """A text frame was not valid UTF-8; the client would send it again."""
    TOO_BIG = 1009
    """A frame was longer than the limit; the client would send it again."""
    INTERNAL_ERROR = 1011
    """An error of the router."""
    SERVICE_RESTART = 1012
    """The process restarts."""
    TRY_AGAIN_LATER = 1013
    """No session can be opened now, for example because a limit is reached; reconnect after a delay."""

    TOKEN_EXPIRED = 4401
    """The token has expired; reconnect with a new token, as the old one is refused (4501)."""
    SLOW_CONSUMER = 4408
    """The write buffer was full, because the client read too slowly; resume from the last sequence number."""
    HISTORY_RESET = 4410
    """The workspace has a new history; the next welcome contains its full state."""
    RATE_LIMITED = 4429
    """Too many frames; reconnect after the ``retry_after_ms`` of the last error."""

    BAD_MESSAGE = 4500
    """Too many malformed frames."""
    UNAUTHENTICATED = 4501
    """No valid credential was sent in time."""
    FORBIDDEN = 4503
    """The credential's role may not use this endpoint, or the agent does not exist."""
    TAKEN_OVER = 4509
    """Another desktop of the same agent has connected; reconnecting would close that one."""

    @property
    def may_reconnect(self) -> bool:
        """Return whether a client should reconnect automatically."""
        return may_reconnect(self)


# Reconnecting would lead to the same error.
_PERMANENT_CODES: Final = frozenset(
    {CloseCode.PROTOCOL_ERROR, CloseCode.UNSUPPORTED_DATA, CloseCode.INVALID_TEXT, CloseCode.TOO_BIG}
)


def may_reconnect(code: int | None) -> bool:
    """Return whether to reconnect after a close code; none: the connection was lost without one."""
    if code is None or code < 1000:
        return True
    return code < 4500 and code not in _PERMANENT_CODES
