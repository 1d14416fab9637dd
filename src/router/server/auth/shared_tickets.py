"""Tickets on the store of several nodes: issued by one node, redeemed once by any.

All unused tickets of one credential are in one hash, so the bound per credential holds over all nodes, and a script issues or
redeems one at a time: of two nodes that redeem a ticket at once, one gets its credential. The store holds the hash of each ticket
and its credential, encrypted with a key that only the ticket gives: what is read from the store is of no use.

``auth.tickets_max`` bounds what each node issues. Where the store does not answer, tickets are neither issued nor redeemed; clients
get an answer within the bound of ``SharedStore`` and try again. A ticket whose redemption was executed but whose answer was lost is
used up: the client gets another one.
"""

import math
import secrets
import time
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from router.cluster.redis.scripts import ISSUE_TICKET, REDEEM_TICKET
from router.cluster.redis.shared_store import SharedStore
from router.model.filters import SupervisorScope
from router.server.auth.credentials import Authenticator, Credential, Role
from router.server.auth.tickets import TicketsExhausted, owner_of, ticket_hash

_OWNER_BYTES: Final = 8
_OWNER_DIGITS: Final = 2 * _OWNER_BYTES
# Each key encrypts one message.
_NONCE: Final = bytes(12)


class _StoredCredential(Struct, frozen=True, array_like=True):
    """What another node needs of a credential. A key is named by its id at the issuer, which is the same on all nodes."""

    subject: str
    role: Role
    workspace: str
    issuer: str
    expires_at_s: int
    key: str | None
    scope: SupervisorScope | None = None


class SharedTickets:
    """Tickets that every node of the store redeems."""

    redeems_later = True

    def __init__(
        self,
        store: SharedStore,
        authenticator: Authenticator,
        *,
        prefix: str,
        lifetime_s: int,
        tickets_max: int,
        credential_tickets_max: int = 10,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lifetime_s = lifetime_s
        self._store = store
        self._authenticator = authenticator
        self._prefix = prefix
        self._tickets_max = tickets_max
        self._credential_tickets_max = credential_tickets_max
        self._now_s = now_s
        self._expiries_s: deque[float] = deque()
        """When the tickets that this node has issued expire."""

    async def issue(self, credential: Credential) -> str:
        """Issue a ticket for a credential. Raises TicketsExhausted, and SharedStateUnavailable after a bounded wait."""
        now_s = self._now_s()
        while self._expiries_s and self._expiries_s[0] <= now_s:
            self._expiries_s.popleft()
        if len(self._expiries_s) >= self._tickets_max:
            raise TicketsExhausted(max(1, math.ceil(self._expiries_s[0] - now_s)), is_of_credential=False)
        self._expiries_s.append(now_s + self.lifetime_s)
        owner_key = blake2b(owner_of(credential).encode(), digest_size=_OWNER_BYTES, person=b"router-ticket").hexdigest()
        ticket = f"{owner_key}.{secrets.token_urlsafe(32)}"
        digest = ticket_hash(ticket)
        sealed = _cipher(ticket).encrypt(_NONCE, msgspec.msgpack.encode(self._stored(credential)), digest)
        lifetime_ms = self.lifetime_s * 1_000
        reply = await self._store.evaluate(
            ISSUE_TICKET, [self._key(owner_key)], digest, sealed, lifetime_ms, self._credential_tickets_max
        )
        if reply[0] == b"FULL":
            raise TicketsExhausted(max(1, math.ceil(int(reply[1]) / 1_000)), is_of_credential=True)
        return ticket

    async def redeem(self, ticket: str) -> Credential | None:
        """Return the credential of a ticket and invalidate it; None for one that is unknown, used or expired.

        Raises SharedStateUnavailable after a bounded wait.
        """
        owner_key, separator, _ = ticket.partition(".")
        if not separator or len(owner_key) != _OWNER_DIGITS or not set(owner_key) <= set("0123456789abcdef"):
            return None
        digest = ticket_hash(ticket)
        sealed = await self._store.evaluate(REDEEM_TICKET, [self._key(owner_key)], digest)
        if sealed is None:
            return None
        try:
            stored = msgspec.msgpack.decode(_cipher(ticket).decrypt(_NONCE, sealed, digest), type=_StoredCredential)
        except (InvalidTag, msgspec.MsgspecError):
            return None
        return self._credential(stored)

    def _key(self, owner_key: str) -> str:
        return f"{self._prefix}:{{t-{owner_key}}}:tickets"

    def _stored(self, credential: Credential) -> _StoredCredential:
        key = None
        issuer = self._authenticator.keyring.issuers.get(credential.issuer)
        if credential.key_id and issuer is not None:
            key = next((kid for kid, one in issuer.keys.items() if issuer.key_id(one) == credential.key_id), "")
        return _StoredCredential(
            credential.subject,
            credential.role,
            credential.workspace,
            credential.issuer,
            credential.expires_at_s,
            key,
            credential.scope,
        )

    def _credential(self, stored: _StoredCredential) -> Credential | None:
        """Return the credential as this node would have verified it; None: its key or workspace is not one of this node."""
        if stored.workspace not in self._authenticator.workspaces:
            return None
        key_id = ""
        if stored.key is not None:
            issuer = self._authenticator.keyring.issuers.get(stored.issuer)
            key = None if issuer is None else issuer.keys.get(stored.key)
            if issuer is None or key is None:
                return None
            key_id = issuer.key_id(key)
        return Credential(
            subject=stored.subject,
            role=stored.role,
            workspace=stored.workspace,
            issuer=stored.issuer,
            expires_at_s=stored.expires_at_s,
            key_id=key_id,
            scope=stored.scope,
        )


def _cipher(ticket: str) -> AESGCM:
    key = blake2b(ticket.encode("utf-8", "surrogatepass"), digest_size=32, person=b"router-sealed").digest()
    return AESGCM(key)
