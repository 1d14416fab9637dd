"""JWK sets of issuers (RFC 7517): read from a file or a URL that the settings name, and read again as keys are rotated.

Theory of operation. ``JwksRefresher`` reads the set of every issuer that has one: when the process starts, every
``auth.jwks_refresh_s`` seconds, on SIGHUP, and soon after a token has named a key that the issuer does not have, at most once in
``_UNKNOWN_KEY_GAP_S``, so that forged tokens cannot make the router ask the issuer more often. A set that cannot be read or is
invalid changes nothing: the last keys stay valid for ``_STALE_S``, because an issuer that is down must not stop a contact
centre. If there never was one, the tokens of that issuer are refused until there is.

Only the operator chooses the address. It must be ``https``, or ``http`` on this machine; redirects are not followed, proxies of
the environment are not used, the answer is at most ``KEY_FILE_BYTES_MAX`` long and must arrive within ``_TIMEOUT_S``. Reading
happens in a thread.
"""

import asyncio
import contextlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
import structlog

from router.model.errors import SettingsInvalid
from router.server.auth.credentials import Authenticator
from router.server.auth.keys import KEY_FILE_BYTES_MAX, Keyring, VerificationKey, public_key, read_key_file
from router.settings import KeyFamily

_log: Final = structlog.get_logger("router.server.auth")

_TIMEOUT_S: Final = 5.0
_UNKNOWN_KEY_GAP_S: Final = 10.0
_STALE_S: Final = 24 * 3600.0
# Interval after a failure, if it is shorter than the usual one.
_RETRY_S: Final = 10.0
_KEYS_MAX: Final = 32
_is_kid: Final = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}").fullmatch
# Members of private and secret keys, which have no place in a published set.
_SECRET_MEMBERS: Final = frozenset({"d", "k", "p", "q", "dp", "dq", "qi"})


class JwksUnavailable(Exception):
    """The set cannot be read or is invalid; the text says why and repeats nothing of it."""


def read_jwk_set(location: str, family: KeyFamily) -> dict[str, VerificationKey]:
    """Return the keys of a set by key id. Blocks. Raises JwksUnavailable."""
    if "://" not in location:
        try:
            return parse_jwk_set(read_key_file(Path(location), place="JWK set"), family)
        except SettingsInvalid as error:
            raise JwksUnavailable(str(error)) from None
    request = urllib.request.Request(location, headers={"Accept": "application/json"})
    try:
        with _opener.open(request, timeout=_TIMEOUT_S) as answer:
            data = answer.read(KEY_FILE_BYTES_MAX + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise JwksUnavailable(f"answered with status {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise JwksUnavailable(f"not reachable ({type(reason).__name__})") from None
    if len(data) > KEY_FILE_BYTES_MAX:
        raise JwksUnavailable(f"larger than {KEY_FILE_BYTES_MAX} bytes")
    return parse_jwk_set(data, family)


def parse_jwk_set(data: bytes, family: KeyFamily) -> dict[str, VerificationKey]:
    """Return the signature keys of a JWK set that belong to a family, by key id. Keys for other uses are skipped.

    Raises JwksUnavailable for what is not a set, for a private key, and for a set without a usable key.
    """
    try:
        members = msgspec.json.decode(data, type=dict[str, Any])["keys"]
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError):
        raise JwksUnavailable("not a JWK set: an object with `keys`") from None
    if not isinstance(members, list) or len(members) > _KEYS_MAX:
        raise JwksUnavailable(f"`keys` must be a list of at most {_KEYS_MAX} keys")
    keys: dict[str, VerificationKey] = {}
    for position, member in enumerate(members):
        place = f"keys[{position}]"
        if not isinstance(member, dict):
            raise JwksUnavailable(f"{place} is not an object")
        if not _SECRET_MEMBERS.isdisjoint(member):
            raise JwksUnavailable(f"{place} is a private or secret key; publish public keys only")
        key = _verification_key(member, family, place)
        if key is None:
            continue
        kid = member.get("kid", "default")
        if not isinstance(kid, str) or _is_kid(kid) is None or kid in keys:
            raise JwksUnavailable(f"{place}.kid is missing, invalid or used twice")
        keys[kid] = key
    if not keys:
        raise JwksUnavailable(f"it has no signature key of the family `{family}`")
    return keys


def _verification_key(member: dict[str, Any], family: KeyFamily, place: str) -> VerificationKey | None:
    """Return a key of the set; None if it has another use or family."""
    operations = member.get("key_ops", ["verify"])
    if member.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    if member.get("kty") != {KeyFamily.RSA: "RSA", KeyFamily.ECDSA: "EC"}.get(family):
        return None
    try:
        key = public_key(jwt.PyJWK(member).key, family, place=place)
    except SettingsInvalid as error:
        raise JwksUnavailable(str(error)) from None
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise JwksUnavailable(f"{place} is not a valid key") from None
    algorithm = member.get("alg")
    if algorithm is None:
        return key
    if algorithm not in key.algorithms:
        return None
    return VerificationKey(key.material, (algorithm,), f"{key.fingerprint}|{algorithm}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow no redirect; it is reported as an error."""


_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


class JwksRefresher:
    """Keeps the keys of issuers with a JWK set up to date."""

    def __init__(
        self,
        authenticator: Authenticator,
        refresh_s: float,
        *,
        on_change: Callable[[], None],
        read: Callable[[str, KeyFamily], dict[str, VerificationKey]] = read_jwk_set,
    ) -> None:
        """``on_change`` is called when keys were replaced. ``read`` is replaceable for tests."""
        self._authenticator = authenticator
        self.refresh_s = refresh_s
        self._on_change = on_change
        self._read = read
        self._static: dict[str, dict[str, VerificationKey]] = {}
        """Keys that the settings name, by issuer."""
        self._read_at_s: dict[str, float] = {}
        """Loop time of the last success, by issuer."""
        self._wake = asyncio.Event()
        self._failed: set[str] = set()
        self.restart(authenticator.keyring)
        authenticator.on_unknown_key = self._on_unknown_key

    def restart(self, keyring: Keyring) -> Keyring:
        """Start over with the keys of the settings; return them with the present keys of sets that are kept."""
        present = self._authenticator.keyring.issuers
        self._static = {name: dict(issuer.keys) for name, issuer in keyring.issuers.items() if issuer.jwks is not None}
        merged = dict(keyring.issuers)
        for name in self._static:
            new, old = merged[name], present.get(name)
            if old is not None and (old.jwks, old.family) == (new.jwks, new.family):
                merged[name] = msgspec.structs.replace(new, keys={**old.keys, **new.keys})
        return Keyring(merged)

    def _on_unknown_key(self, issuer_name: str) -> None:
        if issuer_name in self._static:
            self._wake.set()

    async def refresh(self) -> None:
        """Read all sets once."""
        for name, static in list(self._static.items()):
            issuer = self._authenticator.keyring.issuers.get(name)
            if issuer is None or issuer.jwks is None:
                continue
            try:
                found = await asyncio.to_thread(self._read, issuer.jwks, issuer.family)
            except JwksUnavailable as error:
                self._fail(name, static, str(error))
                continue
            self._read_at_s[name] = asyncio.get_running_loop().time()
            self._failed.discard(name)
            if name in self._static and self._authenticator.replace_keys(name, {**found, **static}):
                _log.info("the keys of an issuer were read", action="jwks_read", issuer=name, key_count=len(found))
                self._on_change()

    def _fail(self, name: str, static: dict[str, VerificationKey], reason: str) -> None:
        if name not in self._failed:
            self._failed.add(name)
            _log.error("the keys of an issuer cannot be read", action="jwks_failed", issuer=name, reason=reason)
        read_at_s = self._read_at_s.get(name)
        is_stale = read_at_s is not None and asyncio.get_running_loop().time() - read_at_s > _STALE_S
        if is_stale and self._authenticator.replace_keys(name, static):
            _log.error("the last keys of an issuer are too old", action="jwks_stale", issuer=name)
            self._on_change()

    async def run(self) -> None:
        """Read the sets again and again, until cancelled; the first time after a pause."""
        while True:
            await asyncio.sleep(_UNKNOWN_KEY_GAP_S)
            wait_s = _RETRY_S if self._failed else self.refresh_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wait_s - _UNKNOWN_KEY_GAP_S)):
                    await self._wake.wait()
            self._wake.clear()
            await self.refresh()
