"""Verification keys of the token issuers, read at the start and on SIGHUP.

Keys come from files that the settings name, and from JWK sets (``jwks.py``); a token can neither carry a key nor point to one.
Where no issuer is configured, the router is its own issuer: a random secret in a file stored with the journal, readable by its
owner alone.
"""

import contextlib
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from msgspec import Struct

from router.journal.files import fsync_directory, scratch_path
from router.model.errors import SettingsInvalid
from router.settings import ClaimSettings, IssuerSettings, KeyFamily, KeySettings, Settings, file_objection, read_file_of_settings

_log: Final = structlog.get_logger("router.server.auth")
# New in each process, so that a fingerprint says nothing about a key.
_LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_FINGERPRINT_KEY: Final = secrets.token_bytes(32)
BUILT_IN_ISSUER: Final = "router"
SECRET_BYTES_MIN: Final = 32  # RFC 7518 section 3.2: a key as long as the hash
_PEM_BEGIN: Final = re.compile(rb"^-----BEGIN ([A-Z0-9 ]{1,40})-----", re.MULTILINE)
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
    fingerprint: str = ""
    """Tells keys apart, so that a replaced key ends the credentials that it has verified; does not reveal the key."""

    def __repr__(self) -> str:
        return f"VerificationKey({'/'.join(self.algorithms)})"


class Issuer(Struct, frozen=True, kw_only=True):
    """A trusted token issuer with its keys by key id; ``workspaces`` limits what its tokens may name."""

    name: str
    family: KeyFamily
    keys: dict[str, VerificationKey]
    workspaces: frozenset[str] | None = None
    audience: str | None = None
    claims: ClaimSettings = ClaimSettings()
    jwks: str | None = None

    def key_id(self, key: VerificationKey) -> str:
        """Return a text that is the same as long as this key, and what the issuer may issue with it, are unchanged."""
        allowed = "*" if self.workspaces is None else ",".join(sorted(self.workspaces))
        return _fingerprint(f"{self.name}|{self.audience}|{allowed}|{self.claims!r}|{key.fingerprint}".encode())


class Keyring(Struct, frozen=True):
    """All trusted issuers by name."""

    issuers: dict[str, Issuer]


def open_keyring(settings: Settings) -> Keyring:
    """Read the keys of all issuers. Raises SettingsInvalid for a key that is missing, weak or of another family."""
    configured = settings.auth.issuers
    if not configured:
        own = _secret_key(_secret(secret_path(settings), place="token secret"), ("HS256",))
        issuer = Issuer(name=BUILT_IN_ISSUER, family=KeyFamily.HMAC, keys={"default": own})
        return Keyring({BUILT_IN_ISSUER: issuer})
    issuers: dict[str, Issuer] = {}
    for position, one in enumerate(configured):
        place = f"auth.issuers[{position}]"
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
    if settings.auth.issuers:
        return False
    if path.is_symlink() or path.exists():
        if objection := file_objection(path):
            raise SettingsInvalid(f"{path}: the token secret {objection}")
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


def _fingerprint(data: bytes) -> str:
    return hashlib.blake2b(data, key=_FINGERPRINT_KEY, digest_size=16).hexdigest()


def _issuer(one: IssuerSettings, place: str) -> Issuer:
    keys: dict[str, VerificationKey] = {}
    if not one.keys and one.jwks is None:
        raise SettingsInvalid(f"{place}: set `keys` or `jwks`")
    if one.jwks is not None and one.family is KeyFamily.HMAC:
        raise SettingsInvalid(f"{place}.jwks: the family `hmac` has secrets, which a JWK set must not publish; use `keys`")
    if one.jwks is not None:
        check_jwks_location(one.jwks, f"{place}.jwks")
    _check_claims(one.claims, f"{place}.claims")
    for position, key in enumerate(one.keys):
        where = f"{place}.keys[{position}]"
        if key.kid in keys:
            raise SettingsInvalid(f"{where}.kid: listed twice")
        keys[key.kid] = _key(key, one.family, where)
    workspaces = None if one.workspaces is None else frozenset(one.workspaces)
    return Issuer(
        name=one.issuer,
        family=one.family,
        keys=keys,
        workspaces=workspaces,
        audience=one.audience,
        claims=one.claims,
        jwks=one.jwks,
    )


def _check_claims(claims: ClaimSettings, place: str) -> None:
    if claims.subject_pattern is not None:
        try:
            re.compile(claims.subject_pattern)
        except re.error as error:
            raise SettingsInvalid(f"{place}.subject_pattern: not a regular expression: {error}") from None


def _key(key: KeySettings, family: KeyFamily, place: str) -> VerificationKey:
    if family is KeyFamily.HMAC:
        return _secret_key(_secret(Path(key.path), place=f"{place}.path"), ALGORITHMS[family])
    data = read_key_file(Path(key.path), place=f"{place}.path")
    try:
        public = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        found = _pem_block(data) or "there is no line `-----BEGIN PUBLIC KEY-----`"
        raise SettingsInvalid(f"{place}.path: {key.path}: not a PEM public key: {found}") from None
    return public_key(public, family, place=f"{place}.path: {key.path}")


def public_key(public: Any, family: KeyFamily, *, place: str) -> VerificationKey:
    """Return a public key for verification. Raises SettingsInvalid if it is weak or of another family."""
    if family is KeyFamily.RSA and isinstance(public, rsa.RSAPublicKey):
        if public.key_size < RSA_BITS_MIN:
            raise SettingsInvalid(f"{place}: an RSA key needs at least {RSA_BITS_MIN} bits")
        algorithms = ALGORITHMS[family]
    elif family is KeyFamily.ECDSA and isinstance(public, ec.EllipticCurvePublicKey):
        algorithm = _CURVES.get(public.curve.name)
        if algorithm is None:
            raise SettingsInvalid(f"{place}: the curve must be P-256, P-384 or P-521")
        algorithms = (algorithm,)
    else:
        raise SettingsInvalid(f"{place}: not a key of the family `{family}`")
    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return VerificationKey(public, algorithms, _fingerprint(encoded))


def _secret_key(secret: bytes, algorithms: tuple[str, ...]) -> VerificationKey:
    return VerificationKey(secret, algorithms, _fingerprint(secret))


def _secret(path: Path, *, place: str) -> bytes:
    """Read a secret exactly as it is in the file, without one line end at its end, which most editors and tools add."""
    secret = _without_line_end(read_key_file(path, place=place))
    if len(secret.strip()) < SECRET_BYTES_MIN:
        raise SettingsInvalid(f"{place}: {path}: a secret needs at least {SECRET_BYTES_MIN} bytes; it has {len(secret.strip())}")
    if pem := _pem_block(secret):
        raise SettingsInvalid(f"{place}: {path}: {pem}; a PEM key cannot be used as a secret")
    return secret


def _pem_block(data: bytes) -> str:
    """Return the kind and the line of the first PEM block of a file; empty: it has none."""
    found = _PEM_BEGIN.search(data)
    return "" if found is None else f"line {data.count(10, 0, found.start()) + 1} begins a {found.group(1).decode()}"


def check_jwks_location(location: str, place: str) -> None:
    """Check that a location is a path or an acceptable URL. Raises SettingsInvalid."""
    if "://" not in location:
        return
    url = urlsplit(location)
    if url.scheme == "https" and url.hostname:
        return
    if url.scheme != "http" or url.hostname not in _LOOPBACK_HOSTS:
        raise SettingsInvalid(f"{place}: must be a path, an `https` URL, or an `http` URL of this machine")


def _without_line_end(data: bytes) -> bytes:
    return data[:-2] if data.endswith(b"\r\n") else data.removesuffix(b"\n")


def report_secret_files(settings: Settings) -> None:
    """Log what an operator should know about the files with secrets: who can read them, and which bytes are the secret."""
    paths = [Path(key.path) for one in settings.auth.issuers if one.family is KeyFamily.HMAC for key in one.keys]
    for path in paths or [secret_path(settings)]:
        warn_if_readable_by_others(path)
        data = read_key_file(path, place="secret")
        secret = _without_line_end(data)
        if secret != secret.strip():
            _log.warning("a secret begins or ends with white space", action="secret_white_space", path=str(path))
        elif secret != data:
            _log.info("the line end at the end of a file is not part of the secret", action="secret_line_end", path=str(path))


def warn_if_readable_by_others(path: Path) -> None:
    """Log a warning if a file with a secret can be read by every user of the machine."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if mode & stat.S_IROTH:
            _log.warning(
                "a file with a secret can be read by every user of this machine; `chmod o= FILE` restricts it",
                action="secret_readable_by_others",
                path=str(path),
                mode=f"{stat.S_IMODE(mode):04o}",
            )


def read_key_file(path: Path, *, place: str) -> bytes:
    """Read a file with keys. Raises SettingsInvalid if it cannot be read or is too large."""
    return read_file_of_settings(path, bytes_max=KEY_FILE_BYTES_MAX, place=place)
