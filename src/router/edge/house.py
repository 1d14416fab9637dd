"""What the connections of one door share, and the clock that their sessions go by."""

import time
from collections.abc import Callable

from router.edge.auth import Credential
from router.edge.hub import Hub
from router.runtime.writer import Writer
from router.settings import SocketSettings
from router.wire.codec import Decoder
from router.wire.session import Door, Identity

Verify = Callable[[str], Credential]
Redeem = Callable[[str], Credential | None]


def monotonic_ms() -> int:
    """The clock of sessions: it never goes back."""
    return time.monotonic_ns() // 1_000_000


def identity_of(credential: Credential, *, at_ms: int) -> Identity:
    """The session's view of a credential, its end moved from the wall clock, which says ``at_ms``, onto the session's."""
    left_ms = credential.expires_at_s * 1000 - at_ms
    return Identity(
        subject=credential.subject,
        role=str(credential.role),
        workspace=credential.workspace,
        expires_at_ms=monotonic_ms() + left_ms,
    )


class House:
    """What all connections of a door share."""

    def __init__(
        self,
        *,
        hub: Hub,
        writer: Writer,
        verify: Verify,
        redeem: Redeem,
        settings: SocketSettings,
        may_join: Callable[[Credential], bool],
    ) -> None:
        self.hub = hub
        self.writer = writer
        self.verify = verify
        self.redeem = redeem
        self.settings = settings
        self.may_join = may_join
        self._decoders: dict[tuple[Door, str], Decoder] = {}

    def decoder(self, door: Door, subprotocol: str) -> Decoder:
        """The decoder of a door and codec: it remembers nothing of a frame, so that one serves all."""
        found = self._decoders.get((door, subprotocol))
        if found is None:
            found = self._decoders[door, subprotocol] = Decoder(door.asks, subprotocol)
        return found
