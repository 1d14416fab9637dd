"""Single-use tickets: how a browser's socket says who it is without a token in its address.

``POST /v1/ws-ticket`` gives one; the socket's ``hello`` shows it once. Tickets live in memory alone and only as hashes.
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
    """As many tickets are out as may be."""


class _Issued(Struct, frozen=True):
    credential: Credential
    ends_at_s: float


class TicketOffice:
    """Gives tickets and takes each back once."""

    def __init__(
        self, *, lifetime_s: int, tickets_max: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.lifetime_s = lifetime_s
        self._tickets_max = tickets_max
        self._now_s = now_s
        self._issued: OrderedDict[bytes, _Issued] = OrderedDict()

    def issue(self, credential: Credential) -> str:
        """A fresh ticket for this credential. Raises TicketsExhausted."""
        now_s = self._now_s()
        self._forget_old(now_s)
        if len(self._issued) >= self._tickets_max:
            raise TicketsExhausted
        ticket = secrets.token_urlsafe(32)
        self._issued[_hash(ticket)] = _Issued(credential, now_s + self.lifetime_s)
        return ticket

    def redeem(self, ticket: str) -> Credential | None:
        """The credential that the ticket was issued for; None for one that is unknown, used or too old."""
        issued = self._issued.pop(_hash(ticket), None)
        if issued is None or self._now_s() >= issued.ends_at_s:
            return None
        return issued.credential

    def _forget_old(self, now_s: float) -> None:
        # All tickets live equally long, so the oldest are in front.
        while self._issued:
            first = next(iter(self._issued))
            if self._issued[first].ends_at_s > now_s:
                return
            del self._issued[first]


def _hash(ticket: str) -> bytes:
    # Looking a hash up takes no time that depends on the ticket's own text.
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
