"""Who is asking: bearer tokens (JWT, RFC 7519) in, a credential or one and the same refusal out.

What is checked and why is written in ``docs/security.md``. A failure never says which check it was: only the metric knows.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final

import jwt
import msgspec
from msgspec import Meta, Struct

from router.edge.keys import ALGORITHMS, Issuer, Keyring, VerificationKey, open_keyring
from router.model.errors import RouterError, SettingsInvalid
from router.model.ids import Ident, Name
from router.settings import AuthSettings, KeyFamily, Settings

TOKEN_BYTES_MAX: Final = 8 * 1024
FIRST_TOKEN_LIFETIME_S: Final = 3600
# Headers that name a key by themselves, or change what the rest means.
_FORBIDDEN_HEADERS: Final = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"})
_TYPES: Final = frozenset({"jwt", "at+jwt"})


class Role(StrEnum):
    """What a credential may do; the matrix is in ``permissions.py``."""

    AGENT = "agent"
    GATEWAY = "gateway"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"


class Credential(Struct, frozen=True, kw_only=True):
    """Who asks, for which workspace, until when. An agent's subject is his agent id, a gateway's its gateway id."""

    subject: str
    role: Role
    workspace: str
    issuer: str
    expires_at_s: int

    @property
    def actor(self) -> str:
        """As the journal names him: ``agent:ada``."""
        return f"{self.role}:{self.subject}"

    @property
    def key(self) -> str:
        """One name for all tokens of the same subject, role and workspace: rates are counted by it."""
        return f"{self.issuer}|{self.workspace}|{self.role}|{self.subject}"


class AuthFailed(RouterError):
    """The credential is not valid. The text is a short reason for metrics; clients never see it."""


class _Claims(Struct, frozen=True):
    """What a token must say; other claims are ignored."""

    iss: str
    sub: Ident
    workspace: Name
    role: Role
    exp: Annotated[int, Meta(ge=0, le=2**53)] | float
    aud: str | list[str]
    iat: int | float | None = None


class _Peek(Struct, frozen=True):
    """Read before the signature is checked, only to know which keys to check it with."""

    iss: str


class Authenticator:
    """Checks tokens against the keyring. Synchronous and without I/O: all keys are in memory."""

    def __init__(
        self,
        keyring: Keyring,
        settings: AuthSettings,
        workspaces: frozenset[str],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._keyring = keyring
        self._settings = settings
        self._workspaces = workspaces
        self._now_s = now_s
        # By hash, so that no token stands in memory longer than its request. Keys never change while the process lives, so
        # all that can change about a good token is that its time ends.
        self._verified: OrderedDict[bytes, Credential] = OrderedDict()

    def verify(self, token: str) -> Credential:
        """The credential that a token carries. Raises AuthFailed."""
        if not token or len(token) > TOKEN_BYTES_MAX or not token.isascii():
            raise AuthFailed("size")
        name = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(name)
        if known is not None:
            self._verified.move_to_end(name)
            if self.is_expired(known):
                raise AuthFailed("ExpiredSignatureError")
            return known
        credential = self._verify(token)
        self._verified[name] = credential
        if len(self._verified) > self._settings.tokens_remembered_max:
            self._verified.popitem(last=False)
        return credential

    def _verify(self, token: str) -> Credential:
        issuer, key = self._key_for(token)
        try:
            payload = jwt.decode(
                token,
                key.material,
                algorithms=list(key.algorithms),
                audience=self._settings.audience,
                issuer=issuer.name,
                leeway=self._settings.leeway_s,
                options={"require": ["exp", "aud", "sub", "iss"]},
            )
            claims = msgspec.convert(payload, _Claims)
        except jwt.InvalidTokenError as error:
            raise AuthFailed(type(error).__name__) from None
        except (msgspec.ValidationError, ValueError, TypeError, OverflowError, RecursionError):
            raise AuthFailed("claims") from None
        return self._credential(claims, issuer)

    def is_expired(self, credential: Credential) -> bool:
        """True once its time is over, leeway included."""
        return self._now_s() >= credential.expires_at_s + self._settings.leeway_s

    def _key_for(self, token: str) -> tuple[Issuer, VerificationKey]:
        try:
            header = jwt.get_unverified_header(token)
            peek = msgspec.json.decode(jwt.utils.base64url_decode(token.split(".")[1]), type=_Peek)
        except (
            jwt.InvalidTokenError,
            msgspec.MsgspecError,
            ValueError,
            IndexError,
            RecursionError,
        ):
            raise AuthFailed("malformed") from None
        if _FORBIDDEN_HEADERS & header.keys():
            raise AuthFailed("header")
        if str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise AuthFailed("type")
        issuer = self._keyring.issuers.get(peek.iss)
        if issuer is None:
            raise AuthFailed("issuer")
        key = issuer.keys.get(header.get("kid", "default"))
        if key is None or header.get("alg") not in key.algorithms:
            raise AuthFailed("key")
        return issuer, key

    def _credential(self, claims: _Claims, issuer: Issuer) -> Credential:
        longest = self._settings.lifetime_s_max + self._settings.leeway_s
        if claims.exp - self._now_s() > longest:
            raise AuthFailed("lifetime")
        if claims.iat is not None and claims.exp - claims.iat > longest:
            raise AuthFailed("lifetime")
        if issuer.workspaces is not None and claims.workspace not in issuer.workspaces:
            raise AuthFailed("workspace")
        if claims.workspace not in self._workspaces:
            raise AuthFailed("workspace")
        return Credential(
            subject=claims.sub,
            role=claims.role,
            workspace=claims.workspace,
            issuer=issuer.name,
            expires_at_s=int(claims.exp),
        )


def open_authenticator(settings: Settings) -> Authenticator:
    """The authenticator over the keys that the settings name. Raises SettingsInvalid."""
    return Authenticator(
        open_keyring(settings), settings.auth, frozenset(settings.all_workspaces())
    )


def mint_token(
    settings: Settings,
    *,
    subject: str,
    role: Role | str,
    workspace: str = "default",
    lifetime_s: int = FIRST_TOKEN_LIFETIME_S,
    now_s: float | None = None,
) -> str:
    """A token signed with the router's own secret, or with that of the first ``hmac`` issuer in the settings.

    For development and for the first administrator. Raises SettingsInvalid where nothing here can sign.
    """
    if not 1 <= lifetime_s <= settings.auth.lifetime_s_max:
        raise SettingsInvalid(f"a token lives 1 to {settings.auth.lifetime_s_max} seconds")
    if workspace not in settings.all_workspaces():
        raise SettingsInvalid("the workspace is not in the settings")
    issued_at_s = int(time.time() if now_s is None else now_s)
    payload: dict[str, Any] = {
        "aud": settings.auth.audience,
        "sub": subject,
        "workspace": workspace,
        "role": str(role),
        "iat": issued_at_s,
        "exp": issued_at_s + lifetime_s,
        "jti": secrets.token_hex(8),
    }
    for issuer in open_keyring(settings).issuers.values():
        if issuer.family is not KeyFamily.HMAC:
            continue
        kid, key = next(iter(issuer.keys.items()))
        payload["iss"] = issuer.name
        try:
            msgspec.convert(payload, _Claims)
        except msgspec.ValidationError as error:
            raise SettingsInvalid(f"not a valid token: {error}") from None
        algorithm = ALGORITHMS[KeyFamily.HMAC][0]
        return jwt.encode(payload, key.material, algorithm=algorithm, headers={"kid": kid})
    raise SettingsInvalid(
        "no `hmac` issuer in the settings: tokens come from the issuer's own tool"
    )
