"""Encryption of customer data: master keys, one data key per customer, sealed values, and keyed hashes for look-up.

Theory of operation. Each customer has a random **data key** (AES-256). Everything that can name the customer or tells what they did
is **sealed** with it (AES-256-GCM, a random nonce of 96 bits), bound to the workspace, table, column and row where it is stored, so
that a value cannot be moved to another row. The data key itself is stored only **wrapped** with a master key, in a file apart from
the data. To erase a customer, the wrapped key is deleted: everything sealed with it is unreadable from then on, in every copy of
the data file.

The **master keys** are in a file of their own, outside both databases, with their version numbers. The newest one wraps; older ones
stay only until all data keys have been wrapped again (rotation). Without the master keys nothing can be opened, so this file
needs a copy in a safe place.

A value is found by a **look-up hash**: HMAC-SHA256 with a key per workspace that is derived from a random secret. The secret is
stored wrapped like a data key, so that it survives rotation. Without it, no one can test whether a known number is in the file.

A nonce is random, and a data key seals some thousands of values in its life: a repeated nonce has a probability below 2**-70. Plain
data keys are held in memory only while they are in use, and never in a log, an error text or a snapshot.
"""

import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta, Struct

from router.invalid_input import InvalidInput, NotWellFormed, decode_json
from router.journal.files import replace_private_file
from router.model.errors import RouterError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
SEAL_OVERHEAD_BYTES: Final = NONCE_BYTES + 16
LOOKUP_BYTES: Final = 16
MASTER_KEYS_MAX: Final = 16


class RotationRunning(RouterError):
    """A new master key was added before, and not every key is wrapped with it yet."""


class KeyStatus(Struct, frozen=True, kw_only=True):
    """State of the master keys of the customer context."""

    newest_version: int
    """Master key that wraps the keys of customers."""
    versions: tuple[int, ...]
    """Master keys in the file, oldest first; more than one while a rotation runs."""
    remaining: int
    """Keys that are still wrapped with an older master key."""
    unreadable: int = 0
    """Keys that the last rotation could not open, because they are damaged or their master key is not in the file."""
    unreadable_customers: tuple[str, ...] = ()
    """The customers of these keys, at most 20 of them."""


class MasterKeysInvalid(RouterError):
    """The file of master keys is missing, readable by others, or not in the expected form; the message names the file."""


class SealBroken(RouterError):
    """A sealed value cannot be opened: it was altered or moved, or its key is another one."""


class _MasterKey(Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    key: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", extra={"rule": "must be 64 hexadecimal digits in lower case"})]


class _MasterKeyFile(Struct, frozen=True, forbid_unknown_fields=True):
    keys: Annotated[list[_MasterKey], Meta(min_length=1, max_length=MASTER_KEYS_MAX)]


class MasterKeys:
    """The master keys by version; the newest one wraps, all of them unwrap."""

    def __init__(self, keys: dict[int, bytes]) -> None:
        self._keys = dict(keys)
        self._ciphers = {version: AESGCM(key) for version, key in keys.items()}
        self.newest_version: Final = max(keys)

    @property
    def versions(self) -> list[int]:
        """Return the versions, oldest first."""
        return sorted(self._keys)

    def wrap(self, key: bytes, place: bytes) -> bytes:
        """Return a key encrypted with the newest master key, bound to ``place``."""
        return _encrypt(self._ciphers[self.newest_version], key, place)

    def unwrap(self, wrapped: bytes, version: int, place: bytes) -> bytes:
        """Return the key that was wrapped. Raises SealBroken, also where this master key is not in the file."""
        cipher = self._ciphers.get(version)
        if cipher is None:
            raise SealBroken(f"master key version {version} is not in the key file")
        return _decrypt(cipher, wrapped, place)

    def with_new_key(self) -> "MasterKeys":
        """Return these keys and a new random one, which wraps from then on."""
        return MasterKeys({**self._keys, self.newest_version + 1: secrets.token_bytes(KEY_BYTES)})

    def without_old_keys(self) -> "MasterKeys":
        """Return the newest key alone; only after every data key has been wrapped with it."""
        return MasterKeys({self.newest_version: self._keys[self.newest_version]})

    def save(self, path: Path) -> None:
        """Write the file with mode 0600, replacing an earlier one atomically. Raises OSError."""
        content = _MasterKeyFile([_MasterKey(version, self._keys[version].hex()) for version in self.versions])
        replace_private_file(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def new_master_keys() -> MasterKeys:
    """Return a set of one random master key, version 1."""
    return MasterKeys({1: secrets.token_bytes(KEY_BYTES)})


def load_master_keys(path: Path) -> MasterKeys:
    """Return the master keys of a file. Raises MasterKeysInvalid."""
    try:
        status = path.stat()
        is_private = stat.S_ISREG(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
        # Only a regular file is opened: reading a named pipe would wait for ever.
        content = path.read_bytes() if is_private else b""
    except OSError as error:
        raise MasterKeysInvalid(
            f"{path}: the master keys cannot be read ({error.strerror}), and without them no customer; "
            "restore the file from your copy"
        ) from error
    if not is_private:
        raise MasterKeysInvalid(f"{path}: must be a regular file with mode 0600, so that only its owner can read the master keys")
    try:
        found = decode_json(content, msgspec.json.Decoder(_MasterKeyFile))
    except (InvalidInput, NotWellFormed) as error:
        raise MasterKeysInvalid(f"{path}: not a file of master keys: {error}") from None
    keys = {one.version: bytes.fromhex(one.key) for one in found.keys}
    if len(keys) != len(found.keys):
        raise MasterKeysInvalid(f"{path}: two master keys have the same version")
    return MasterKeys(keys)


class DataKey:
    """The data key of one customer, which seals and opens their values."""

    __slots__ = ("_cipher", "_scope", "raw")

    def __init__(self, raw: bytes, scope: bytes) -> None:
        """``scope``: workspace and row of the customer, part of what every value is bound to."""
        self.raw = raw
        self._scope = scope
        self._cipher = AESGCM(raw)

    def seal(self, column: str, content: bytes) -> bytes:
        """Return content encrypted and bound to a column, such as ``customer.profile``; 28 bytes longer."""
        return _encrypt(self._cipher, content, self._scope + column.encode())

    @staticmethod
    def seal_all(column: str, values: "Sequence[tuple[DataKey, bytes]]") -> list[bytes]:
        """Return contents of one column, each sealed with its key, as ``seal`` does; their nonces are drawn at once."""
        nonces, place = os.urandom(NONCE_BYTES * len(values)), column.encode()
        return [
            (nonce := nonces[at : at + NONCE_BYTES]) + key._cipher.encrypt(nonce, content, key._scope + place)
            for at, (key, content) in zip(range(0, len(nonces), NONCE_BYTES), values, strict=True)
        ]

    def open(self, column: str, sealed: bytes) -> bytes:
        """Return the content of a sealed value. Raises SealBroken."""
        return _decrypt(self._cipher, sealed, self._scope + column.encode())


def new_data_key() -> bytes:
    """Return a random data key."""
    return secrets.token_bytes(KEY_BYTES)


def scope_of(workspace: str, row: int) -> bytes:
    """Return the bytes that bind values to a customer: the workspace and the row. Unambiguous, as names have no zero byte."""
    return workspace.encode() + b"\x00" + row.to_bytes(8, "big")


class LookupKey:
    """The key of the look-up hashes of one workspace."""

    def __init__(self, raw: bytes) -> None:
        self.raw: Final = raw

    def hash(self, type: str, normal: str) -> bytes:
        """Return the look-up hash of an identity in its normal form: 16 bytes of HMAC-SHA256."""
        return hmac.digest(self.raw, type.encode() + b"\x00" + normal.encode(), sha256)[:LOOKUP_BYTES]


def _encrypt(cipher: AESGCM, content: bytes, place: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, content, place)


def _decrypt(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    if len(sealed) < SEAL_OVERHEAD_BYTES:
        raise SealBroken("a sealed value is too short")
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except InvalidTag:
        raise SealBroken("a sealed value cannot be opened: it was altered or moved, or its key is another one") from None
