"""A secret that the nodes of a store have in common, encrypted with a key that is not in the store."""

import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from router.cluster.redis.scripts import SWAP
from router.cluster.redis.shared_store import SharedStore
from router.model.errors import SettingsInvalid
from router.settings import read_file_of_settings

KEY_BYTES_MIN: Final = 32
_KEY_FILE_BYTES_MAX: Final = 64 * 1024
_NONCE_BYTES: Final = 12
_SEALED: Final = b"s1"
_PLAIN: Final = b"p1"


class SharedSecret:
    """One value in the store, that each node may replace where it is as the node knows it."""

    def __init__(self, store: SharedStore, *, prefix: str, name: str, key_path: str | None) -> None:
        """``key_path``: file with the key of the encryption; None: there is none. Raises SettingsInvalid."""
        self._store = store
        self._key = f"{prefix}:secrets"
        self._name = name
        self._cipher = None if key_path is None else AESGCM(_key_of(key_path))
        self._known = b""
        """What the store had when it was asked last."""

    async def read(self) -> bytes | None:
        """Return the value; None: there is none. Raises SharedStateUnavailable, and SettingsInvalid for another key."""
        self._known = await self._store.call(self._key, "HGET", self._key, self._name) or b""
        return self._opened(self._known)

    async def replace(self, value: bytes) -> bytes:
        """Replace what ``read`` or ``replace`` returned last, and return what is there now: another node may have been first.

        Raises as ``read``.
        """
        self._known = await self._store.evaluate(SWAP, [self._key], self._name, self._known, self._sealed(value)) or b""
        found = self._opened(self._known)
        return value if found is None else found

    def _sealed(self, value: bytes) -> bytes:
        if self._cipher is None:
            return _PLAIN + value
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _SEALED + nonce + self._cipher.encrypt(nonce, value, self._name.encode())

    def _opened(self, stored: bytes) -> bytes | None:
        if not stored:
            return None
        if stored.startswith(_PLAIN):
            # From before the key was set; it is encrypted when it is replaced the next time.
            return stored[len(_PLAIN) :]
        if self._cipher is None:
            raise SettingsInvalid("store.secret_path: the other nodes have it set: set it to a file with the same content")
        nonce = stored[len(_SEALED) : len(_SEALED) + _NONCE_BYTES]
        try:
            return self._cipher.decrypt(nonce, stored[len(_SEALED) + _NONCE_BYTES :], self._name.encode())
        except (InvalidTag, ValueError):
            raise SettingsInvalid("store.secret_path: the file differs from that of the other nodes; copy theirs") from None


def _key_of(path: str) -> bytes:
    content = read_file_of_settings(Path(path), bytes_max=_KEY_FILE_BYTES_MAX, place="store.secret_path")
    if len(content) < KEY_BYTES_MIN:
        raise SettingsInvalid(f"store.secret_path: the file must have at least {KEY_BYTES_MIN} bytes; `openssl rand 32` makes them")
    return blake2b(content, digest_size=32, person=b"router-shared").digest()
