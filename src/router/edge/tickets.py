"""Single-use tickets, with which a browser authenticates a WebSocket without a token in the URL.

``POST /v1/ws-ticket`` issues a ticket, the ``hello`` frame redeems it once. Tickets are kept in memory only, as hashes.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from router.edge.auth import Credential
from router.model.errors import RouterError


class TicketsExhausted(RouterError):
    """The limit of unredeemed tickets is reached."""


class _IssuedTicket(Struct, frozen=True):
    credential: Credential
    expires_at_s: float


class TicketOffice:
    """Issued tickets, at most ``tickets_max``, each valid once and for ``lifetime_s`` seconds."""

    def __init__(
        self, *, lifetime_s: int, tickets_max: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.lifetime_s = lifetime_s
        self._tickets_max = tickets_max
        self._now_s = now_s
        self._issued: OrderedDict[bytes, _IssuedTicket] = OrderedDict()

    def issue(self, credential: Credential) -> str:
        """Issue a ticket for a credential. Raises TicketsExhausted."""
        now_s = self._now_s()
        self._remove_expired(now_s)
        if len(self._issued) >= self._tickets_max:
            raise TicketsExhausted
        ticket = secrets.token_urlsafe(32)
        self._issued[_hash(ticket)] = _IssuedTicket(credential, now_s + self.lifetime_s)
        return ticket

    def redeem(self, ticket: str) -> Credential | None:
        """Return the credential of a ticket and invalidate it; None for one that is unknown, used or expired."""
        issued = self._issued.pop(_hash(ticket), None)
        if issued is None or self._now_s() >= issued.expires_at_s:
            return None
        return issued.credential

    def _remove_expired(self, now_s: float) -> None:
        # All tickets have the same lifetime, so the oldest come first.
        while self._issued:
            first = next(iter(self._issued))
            if self._issued[first].expires_at_s > now_s:
                return
            del self._issued[first]


def _hash(ticket: str) -> bytes:
    # The time of a lookup by hash does not depend on how much of a guessed ticket is right.
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
