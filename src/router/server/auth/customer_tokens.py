"""Tokens of customers: random, bound to one request, and valid only as long as its contact.

A token is 192 random bits behind a fixed prefix, and a mark of its workspace. The router keeps its SHA-256 alone, in the events of
the contact, so that a token works after a restart and no journal, snapshot or backup holds one. A look-up by hash takes the same
time for every wrong token.

A token is valid while its contact is live, at most ``SUSPENDED_S`` while it is suspended, and ``ENDED_S`` after its end. It says
nothing about its customer: everything that it permits is in the contact that it is bound to.
"""

import base64
import bisect
import hashlib
import secrets
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from router.engine.queries.requests import TokenHolder
from router.model.states import ContactState
from router.runtime.writer import Writer
from router.server.auth.credentials import CUSTOMER_TOKEN_PREFIX, AuthFailed, Credential, Role, TokenNotFollowed

ENDED_S: Final = 600
"""Time for which a token is valid after the end of its contact."""
SUSPENDED_S: Final = 30 * 86_400
"""Time for which a token is valid while its contact is suspended."""
# Another live contact has no end: its token is examined again at every use.
_LIVE_S: Final = 30 * 86_400
UNMARKED_MAX: Final = 16
"""Workspaces that tokens without a mark, of earlier versions, let a node follow within ``UNMARKED_S``; anyone can make one up."""
UNMARKED_S: Final = 60
_TOKEN_BYTES: Final = 24
_MARK_BYTES: Final = 3
# Prefix, random bits and mark; tokens of earlier versions have no mark.
_UNMARKED_LENGTH: Final = len(CUSTOMER_TOKEN_PREFIX) + 32
_MARKED_LENGTH: Final = _UNMARKED_LENGTH + 4


def new_token(workspace: str) -> str:
    """Return a fresh token for a contact of a workspace."""
    return CUSTOMER_TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES) + _mark_of(workspace)


@lru_cache(maxsize=2_048)
def _mark_of(workspace: str) -> str:
    """Return what a token has of its workspace: enough for a router that follows only some to begin with the right one."""
    digest = hashlib.blake2b(workspace.encode(), digest_size=_MARK_BYTES, person=b"router-token").digest()
    return base64.urlsafe_b64encode(digest).decode()


def token_hash(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).digest()


class CustomerTokens:
    """Verifier of the tokens of customers."""

    def __init__(self, writer: Writer, unfollowed: Callable[[], Sequence[str]] = tuple) -> None:
        """``unfollowed``: returns the workspaces of the store that this node does not follow."""
        self._writer = writer
        self._unfollowed = unfollowed
        self._unmarked_since_ms = 0
        self._unmarked_count = 0
        """Workspaces given for tokens without a mark since then."""
        self._unmarked_last = ""
        """The last one of them in the order of names, after which the next ones are."""

    def verify(self, token: str) -> Credential:
        """Return the credential of a token. Raises AuthFailed, and TokenNotFollowed where it may be of another workspace."""
        digest = token_hash(token)
        found = self._writer.token_holder(digest)
        if found is None and len(token) == _UNMARKED_LENGTH and (unfollowed := self._unfollowed()):
            raise TokenNotFollowed(self._next_unmarked(unfollowed))
        if found is None and len(token) == _MARKED_LENGTH:
            mark = token[_UNMARKED_LENGTH:]
            if possible := tuple(name for name in self._unfollowed() if _mark_of(name) == mark):
                raise TokenNotFollowed(possible)
        return self._credential(digest, found)

    def _next_unmarked(self, unfollowed: Sequence[str]) -> tuple[str, ...]:
        """Return the next workspaces of which a token without a mark can be: a few at a time, in turn; none until more may be."""
        now_ms = self._writer.clock.now_ms()
        if not 0 <= now_ms - self._unmarked_since_ms < UNMARKED_S * 1000:
            self._unmarked_since_ms, self._unmarked_count = now_ms, 0
        names = sorted(unfollowed)
        start = bisect.bisect(names, self._unmarked_last)
        chosen = (names[start:] + names[:start])[: UNMARKED_MAX - self._unmarked_count]
        self._unmarked_count += len(chosen)
        self._unmarked_last = chosen[-1] if chosen else self._unmarked_last
        return tuple(chosen)

    def followed(self, credential: Credential) -> Credential:
        """Return the credential of the same token for the contact that it belongs to now. Raises AuthFailed."""
        return self._credential(credential.token_hash, self._writer.token_holder(credential.token_hash))

    def _credential(self, digest: bytes, found: tuple[str, TokenHolder] | None) -> Credential:
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
