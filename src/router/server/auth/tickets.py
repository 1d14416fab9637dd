"""Single-use tickets for browsers, which cannot set headers on a WebSocket.

A browser exchanges its token for a ticket (``POST /v1/ws-ticket``), which the upgrade or the ``hello`` frame redeems once. A router
alone keeps tickets in memory, as hashes; several nodes share them (``shared_tickets.py``).
"""

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from msgspec import Struct

from router.model.errors import RouterError
from router.server.auth.credentials import Credential

TICKETS_UNAVAILABLE_TEXT: Final = "the store, which holds the tickets of all nodes, does not answer"


class TicketsExhausted(RouterError):
    """The limit of unredeemed tickets is reached: of one credential, or of all."""

    def __init__(self, retry_after_s: int, *, is_of_credential: bool) -> None:
        super().__init__("too many tickets")
        self.retry_after_s = retry_after_s
        """Time until the oldest of these tickets expires, rounded up."""
        self.is_of_credential = is_of_credential


class Tickets(Protocol):
    """Issued tickets, each valid once and for ``lifetime_s`` seconds."""

    lifetime_s: int

    @property
    def redeems_later(self) -> bool:
        """Whether ``redeem`` returns an awaitable. It raises SharedStateUnavailable after a bounded wait."""
        ...

    async def issue(self, credential: Credential) -> str:
        """Issue a ticket for a credential. Raises TicketsExhausted, and SharedStateUnavailable after a bounded wait."""
        ...

    def redeem(self, ticket: str) -> Credential | Awaitable[Credential | None] | None:
        """Return the credential of a ticket and invalidate it; None for one that is unknown, used or expired."""
        ...


class _IssuedTicket(Struct, frozen=True):
    credential: Credential
    expires_at_s: float


class TicketStore:
    """Issued tickets in memory, at most ``tickets_max``, each valid once and for ``lifetime_s`` seconds."""

    redeems_later = False

    def __init__(
        self, *, lifetime_s: int, tickets_max: int, credential_tickets_max: int = 10, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.lifetime_s = lifetime_s
        self._tickets_max = tickets_max
        self._credential_tickets_max = credential_tickets_max
        self._by_credential: dict[str, dict[bytes, None]] = {}
        """Hashes of the unused tickets of each credential, oldest first."""
        self._now_s = now_s
        self._issued: OrderedDict[bytes, _IssuedTicket] = OrderedDict()

    async def issue(self, credential: Credential) -> str:
        """Issue a ticket for a credential. Raises TicketsExhausted."""
        now_s = self._now_s()
        self._remove_expired(now_s)
        own = self._by_credential.get(owner_of(credential), {})
        if len(own) >= self._credential_tickets_max:
            raise TicketsExhausted(self._lasts_s(next(iter(own)), now_s), is_of_credential=True)
        if len(self._issued) >= self._tickets_max:
            raise TicketsExhausted(self._lasts_s(next(iter(self._issued)), now_s), is_of_credential=False)
        ticket = secrets.token_urlsafe(32)
        digest = ticket_hash(ticket)
        self._issued[digest] = _IssuedTicket(credential, now_s + self.lifetime_s)
        self._by_credential.setdefault(owner_of(credential), {})[digest] = None
        return ticket

    def _lasts_s(self, digest: bytes, now_s: float) -> int:
        return max(1, math.ceil(self._issued[digest].expires_at_s - now_s))

    def redeem(self, ticket: str) -> Credential | None:
        """Return the credential of a ticket and invalidate it; None for one that is unknown, used or expired."""
        issued = self._remove(ticket_hash(ticket))
        if issued is None or self._now_s() >= issued.expires_at_s:
            return None
        return issued.credential

    def _remove(self, digest: bytes) -> _IssuedTicket | None:
        issued = self._issued.pop(digest, None)
        if issued is not None:
            owner = owner_of(issued.credential)
            own = self._by_credential[owner]
            del own[digest]
            if not own:
                del self._by_credential[owner]
        return issued

    def _remove_expired(self, now_s: float) -> None:
        # All tickets have the same lifetime, so the oldest come first.
        while self._issued:
            first = next(iter(self._issued))
            if self._issued[first].expires_at_s > now_s:
                return
            self._remove(first)


def owner_of(credential: Credential) -> str:
    """Return the key of the bound of tickets per credential."""
    return f"{credential.role}|{credential.rate_limit_key}"


def ticket_hash(ticket: str) -> bytes:
    """Return that by which a ticket is found."""
    # The time of a lookup by hash does not depend on how much of a guessed ticket is right.
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
