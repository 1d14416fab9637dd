"""What can go wrong for a guest.

ClientError
├── RouterRefused    the router said no, and why; nothing has happened (or, rarely, it cannot tell: ``applied``)
├── OutcomeUnknown   the connection was lost before the answer: it may have happened or not
├── NotConnected     no connection within the time one was willing to wait; nothing was sent
└── ClosedForGood    the router closed with a code that means "do not come back before something has changed"
"""

from router.wire.frames import ErrorFrame


class ClientError(Exception):
    """The root."""


class RouterRefused(ClientError):
    """The router's ``error`` to a command."""

    def __init__(self, error: ErrorFrame) -> None:
        super().__init__(
            f"{error.code}: {error.title}" + (f" ({error.detail})" * bool(error.detail))
        )
        self.error = error

    @property
    def code(self) -> str:
        """The stable code, as ``offer_gone``."""
        return self.error.code

    @property
    def temporary(self) -> bool:
        """True: the same command may succeed after ``error.retry_after_ms``."""
        return self.error.temporary


class OutcomeUnknown(ClientError):
    """The answer to a command was lost. ``idempotency_key`` of a submit: repeat it with that key, and it happens once."""

    def __init__(self, why: str, idempotency_key: str | None = None) -> None:
        super().__init__(why)
        self.idempotency_key = idempotency_key


class NotConnected(ClientError):
    """There was no connection in time; the command was not sent."""


class ClosedForGood(ClientError):
    """The connection ended in a way that coming back would not mend."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"closed with {code}: {text}")
        self.code = code
