"""Verification keys of the token issuers, read once at the start.

Keys come from files that the settings name; a token can neither carry a key nor point to one. Where no issuer is
configured, the router is its own issuer: a random secret in a file stored with the journal, readable by its owner alone.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Struct

from router.journal.files import fsync_directory, scratch_path
from router.model.errors import SettingsInvalid
from router.settings import IssuerSettings, KeyFamily, KeySettings, Settings

BUILT_IN_ISSUER: Final = "router"
SECRET_BYTES_MIN: Final = 32  # RFC 7518 section 3.2: a key as long as the hash
KEY_FILE_BYTES_MAX: Final = 64 * 1024
RSA_BITS_MIN: Final = 2048
ALGORITHMS: Final[dict[KeyFamily, tuple[str, ...]]] = {
    KeyFamily.HMAC: ("HS256", "HS384", "HS512"),
    KeyFamily.RSA: ("RS256", "RS384", "RS512"),
    KeyFamily.ECDSA: ("ES256", "ES384", "ES512"),
}
# Each curve has exactly one algorithm (RFC 7518 section 3.4).
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class VerificationKey(Struct, frozen=True):
    """A key and the algorithms it may be used with. Its ``repr`` does not show the key."""

    material: Any
    algorithms: tuple[str, ...]

    def __repr__(self) -> str:
        return f"VerificationKey({'/'.join(self.algorithms)})"


class Issuer(Struct, frozen=True, kw_only=True):
    """A trusted token issuer with its keys by key id; ``workspaces`` limits what its tokens may name."""

    name: str
    family: KeyFamily
    keys: dict[str, VerificationKey]
    workspaces: frozenset[str] | None = None


class Keyring(Struct, frozen=True):
    """All trusted issuers by name."""

    issuers: dict[str, Issuer]


def open_keyring(settings: Settings) -> Keyring:
    """Read the keys of all issuers. Raises SettingsInvalid for a key that is missing, weak or of another family."""
    configured = settings.auth.issuers
    if not configured:
        own = VerificationKey(_secret(secret_path(settings), place="token secret"), ("HS256",))
        issuer = Issuer(name=BUILT_IN_ISSUER, family=KeyFamily.HMAC, keys={"default": own})
        return Keyring({BUILT_IN_ISSUER: issuer})
    issuers: dict[str, Issuer] = {}
    for position, one in enumerate(configured):
        place = f"$.auth.issuers[{position}]"
        if one.issuer in issuers:
            raise SettingsInvalid(f"{place}.issuer: listed twice; an issuer has one key family")
        issuers[one.issuer] = _issuer(one, place)
    return Keyring(issuers)


def secret_path(settings: Settings) -> Path:
    """Return the path of the built-in secret, stored with the journal."""
    return Path(settings.journal.path).with_name("token.secret")


def create_secret(settings: Settings) -> bool:
    """Create the built-in secret unless it exists or an issuer is configured; return whether it was created."""
    path = secret_path(settings)
    if settings.auth.issuers or path.exists():
        return False
    try:
        return _link_new_secret(path)
    except OSError as error:
        raise SettingsInvalid(f"{path}: the token secret cannot be created ({error.strerror})") from None


def _link_new_secret(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A process with the same id, as the first one of every container, may have left the file when it was killed.
    temporary = scratch_path(path)
    handle = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        os.write(handle, secrets.token_hex(SECRET_BYTES_MIN).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        # A link fails where another process was faster; a rename would overwrite its secret.
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    # Tokens are signed with it from now on, so it must outlast a power failure.
    fsync_directory(path.parent)
    return True


def _issuer(one: IssuerSettings, place: str) -> Issuer:
    keys: dict[str, VerificationKey] = {}
    for position, key in enumerate(one.keys):
        where = f"{place}.keys[{position}]"
        if key.kid in keys:
            raise SettingsInvalid(f"{where}.kid: listed twice")
        keys[key.kid] = _key(key, one.family, where)
    workspaces = None if one.workspaces is None else frozenset(one.workspaces)
    return Issuer(name=one.issuer, family=one.family, keys=keys, workspaces=workspaces)


def _key(key: KeySettings, family: KeyFamily, place: str) -> VerificationKey:
    if family is KeyFamily.HMAC:
        return VerificationKey(_secret(Path(key.path), place=f"{place}.path"), ALGORITHMS[family])
    data = _file(Path(key.path), place=f"{place}.path")
    try:
        public = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsInvalid(f"{place}.path: not a PEM public key") from None
    if family is KeyFamily.RSA and isinstance(public, rsa.RSAPublicKey):
        if public.key_size < RSA_BITS_MIN:
            raise SettingsInvalid(f"{place}.path: an RSA key needs at least {RSA_BITS_MIN} bits")
        return VerificationKey(public, ALGORITHMS[family])
    if family is KeyFamily.ECDSA and isinstance(public, ec.EllipticCurvePublicKey):
        algorithm = _CURVES.get(public.curve.name)
        if algorithm is None:
            raise SettingsInvalid(f"{place}.path: the curve must be P-256, P-384 or P-521")
        return VerificationKey(public, (algorithm,))
    raise SettingsInvalid(f"{place}.path: not a key of the family `{family}`")


def _secret(path: Path, *, place: str) -> bytes:
    secret = _file(path, place=place).strip()
    if len(secret) < SECRET_BYTES_MIN:
        raise SettingsInvalid(f"{place}: a secret needs at least {SECRET_BYTES_MIN} bytes")
    if secret.startswith(b"-----BEGIN"):
        raise SettingsInvalid(f"{place}: a PEM key cannot be used as a secret")
    return secret


def _file(path: Path, *, place: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise SettingsInvalid(f"{place}: {path}: {reason}") from None
    if len(data) > KEY_FILE_BYTES_MAX:
        raise SettingsInvalid(f"{place}: {path}: larger than {KEY_FILE_BYTES_MAX} bytes")
    return data
