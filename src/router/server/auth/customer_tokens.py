"""Tokens of customers: random, bound to one request, and valid only as long as its contact.

A token is 192 random bits behind a fixed prefix. The router keeps its SHA-256 alone, in the events of the contact, so that a token
works after a restart and no journal, snapshot or backup holds one. A look-up by hash takes the same time for every wrong token.

A token is valid while its contact is live, at most ``SUSPENDED_S`` while it is suspended, and ``ENDED_S`` after its end. It says
nothing about its customer: everything that it permits is in the contact that it is bound to.
"""

import hashlib
import secrets
from typing import Final

from router.engine.queries.requests import TokenHolder
from router.model.states import ContactState
from router.runtime.writer import Writer
from router.server.auth.credentials import CUSTOMER_TOKEN_PREFIX, AuthFailed, Credential, Role

ENDED_S: Final = 600
"""Time for which a token is valid after the end of its contact."""
SUSPENDED_S: Final = 30 * 86_400
"""Time for which a token is valid while its contact is suspended."""
# Another live contact has no end: its token is examined again at every use.
_LIVE_S: Final = 30 * 86_400
_TOKEN_BYTES: Final = 24


def new_token() -> str:
    """Return a fresh token."""
    return CUSTOMER_TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).digest()


class CustomerTokens:
    """Verifier of the tokens of customers."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def verify(self, token: str) -> Credential:
        """Return the credential of a token. Raises AuthFailed."""
        return self._credential(token_hash(token))

    def followed(self, credential: Credential) -> Credential:
        """Return the credential of the same token for the contact that it belongs to now. Raises AuthFailed."""
        return self._credential(credential.token_hash)

    def _credential(self, digest: bytes) -> Credential:
        found = self._writer.token_holder(digest)
        if found is None:
            raise AuthFailed("customer token")
        workspace, holder = found
        remaining_s = self._remaining_s(holder)
        if remaining_s <= 0:
            raise AuthFailed("customer token expired")
        return Credential(
            subject=holder.contact_id,
            role=Role.CUSTOMER,
            workspace=workspace,
            issuer="",
            expires_at_s=int(self._writer.clock.now_ms() / 1000 + remaining_s),
            token_hash=digest,
            former_subject=holder.former_id or "",
        )

    def remaining_s(self, credential: Credential) -> float:
        """Return how long the token of a credential is valid from now on, in seconds; 0: no longer."""
        found = self._writer.token_holder(credential.token_hash)
        if found is None or found[1].contact_id != credential.subject:
            return 0.0
        return max(0.0, self._remaining_s(found[1]))

    def _remaining_s(self, holder: TokenHolder) -> float:
        is_suspended = holder.state is ContactState.SUSPENDED
        if not holder.state.is_terminal and not is_suspended:
            return float(_LIVE_S)
        lasts_s = SUSPENDED_S if is_suspended else ENDED_S
        return holder.changed_at_ms / 1000 + lasts_s - self._writer.clock.now_ms() / 1000
