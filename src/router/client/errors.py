"""Exceptions of the client.

ClientError
├── RouterRefused      the router refused the command and gave a reason; it had no effect (or, rarely, this is unknown: ``applied``)
├── OutcomeUnknown     the connection was lost before the answer; the command may or may not have been applied
├── NotConnected       no connection within the timeout, or none is possible; nothing was sent
└── PermanentlyClosed  the connection was closed with a code that forbids to reconnect
"""

from router.protocol.frames import ErrorFrame


class ClientError(Exception):
    """Base class of all exceptions of the client."""


class RouterRefused(ClientError):
    """Refusal of a command by an ``error`` frame of the router."""

    def __init__(self, error: ErrorFrame) -> None:
        super().__init__(f"{error.code}: {error.title}" + (f" ({error.detail})" * bool(error.detail)))
        self.error = error

    @property
    def code(self) -> str:
        """Stable error code, such as ``offer_not_pending``."""
        return self.error.code

    @property
    def temporary(self) -> bool:
        """Whether the same command may succeed after ``error.retry_after_ms``."""
        return self.error.temporary


class OutcomeUnknown(ClientError):
    """Loss of the answer to a command.

    For a submit, ``idempotency_key`` is the key that it was sent with: repeating the submit with it has no second effect.
    """

    def __init__(self, reason: str, idempotency_key: str | None = None) -> None:
        super().__init__(reason)
        self.idempotency_key = idempotency_key


class NotConnected(ClientError):
    """No connection: the text and ``__cause__`` give the reason of the last attempt. The command was not sent.

    It is raised after ``connect_timeout_s``; when a client is entered, at once for what no repetition can change: a certificate
    that is not valid, a host that does not exist, a port without TLS.
    """


class PermanentlyClosed(ClientError):
    """End of the connection for a reason that a new connection would not change; ``code`` is the close code or HTTP status."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"closed with {code}: {text}")
        self.code = code
