"""Shared context of the connections of a WebSocket endpoint, and the clock of their sessions."""

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
    """Return the session clock: monotonic milliseconds."""
    return time.monotonic_ns() // 1_000_000


def identity_of(credential: Credential, *, at_ms: int) -> Identity:
    """Return the session identity of a credential, with its expiry converted from wall time to the session clock.

    ``at_ms``: current wall time in milliseconds since 1970.
    """
    remaining_ms = credential.expires_at_s * 1000 - at_ms
    return Identity(
        subject=credential.subject,
        role=str(credential.role),
        workspace=credential.workspace,
        expires_at_ms=monotonic_ms() + remaining_ms,
    )


class House:
    """Services and settings shared by all WebSocket connections."""

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
        """Return the decoder of an endpoint and codec. Decoders are stateless and shared."""
        found = self._decoders.get((door, subprotocol))
        if found is None:
            found = self._decoders[door, subprotocol] = Decoder(door.asks, subprotocol)
        return found
