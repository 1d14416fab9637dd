"""Secrets with which idempotency keys and fingerprints are hashed before they are written to the journal.

Theory of operation. A client chooses its idempotency keys, and a fingerprint covers the fields of a submit: either may hold a
telephone number or an account. The journal keeps their hashes for ever, and without a secret anyone who has the journal could find
the value by trying all numbers. So what is stored is a hash with a secret that is not in the journal.

A secret is used for ``PERIOD_MS`` and deleted as long after that, when no key that was hashed with it can be repeated any more: the
policy stores keys for at most that time. From then on the hashes cannot be tried even by those who have all files. A command
carries its hashes with the newest secret, which are stored, and with the earlier one, by which a repetition is found. Hashes
without a secret, of routers from before there were any, are compared for one period after the first secret was made.

Losing the file loses no data: repetitions of commands from before are not recognised, and are carried out again.
"""

import asyncio
import contextlib
import hashlib
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from router.invalid_input import InvalidInput, NotWellFormed, decode_json
from router.journal.files import replace_private_file
from router.model.commands import EnqueueContact, GuardedCommand
from router.model.errors import JournalUnavailable, SettingsInvalid

PERIOD_MS: Final = 7 * 24 * 3_600_000
"""Time for which a secret is used: the longest time for which a policy may store idempotency keys."""
CHECK_INTERVAL_S: Final = 600.0
_SECRET_BYTES: Final = 32
_HASH_BYTES: Final = 16


class _Secret(Struct, frozen=True, forbid_unknown_fields=True):
    since_ms: Annotated[int, Meta(ge=0, le=2**53)]
    secret: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", extra={"rule": "must be 64 hexadecimal digits in lower case"})]


class _SecretFile(Struct, frozen=True, forbid_unknown_fields=True):
    secrets: Annotated[list[_Secret], Meta(min_length=1, max_length=16)]
    """Newest first."""
    plain_until_ms: Annotated[int, Meta(ge=0, le=2**53)]
    """Time until which hashes without a secret are compared."""


class HashSecrets:
    """The secrets, newest first. Confined to the event loop."""

    def __init__(self, path: Path | None, now_ms: Callable[[], int]) -> None:
        """``path``: where they are stored; None: in memory alone. Raises SettingsInvalid."""
        self._path = path
        self._now_ms = now_ms
        self._file = _load(path) or _SecretFile([_new_secret(now_ms())], now_ms() + PERIOD_MS)
        self._keys = _keys_of(self._file)
        if path is not None and not path.exists():
            _save(path, self._file)
        self._replace(self._renewed())

    def _renewed(self) -> _SecretFile | None:
        """Return the secrets after those that are due were made and deleted; None: none is due."""
        now_ms, kept = self._now_ms(), self._file.secrets
        if now_ms - kept[0].since_ms >= PERIOD_MS:
            kept = [_new_secret(now_ms), *kept]
        # A secret was used until the next newer one was made; repetitions come for one period more.
        kept = [
            one for one, newer in zip(kept, [None, *kept], strict=False) if newer is None or now_ms - newer.since_ms < PERIOD_MS
        ]
        return None if kept == self._file.secrets else _SecretFile(kept, self._file.plain_until_ms)

    def _replace(self, file: _SecretFile | None) -> None:
        if file is not None:
            if self._path is not None:
                _save(self._path, file)
            self._file, self._keys = file, _keys_of(file)

    async def renew(self) -> None:
        """Make and delete the secrets that are due: a new one is used once it is on disk. Raises SettingsInvalid."""
        file = self._renewed()
        if file is not None:
            if self._path is not None:
                await asyncio.to_thread(_save, self._path, file)
            self._file, self._keys = file, _keys_of(file)

    async def run(self, on_failed: Callable[[SettingsInvalid], None]) -> None:
        """Renew the secrets until cancelled; where that fails, the present ones are used on."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                await self.renew()
            except SettingsInvalid as error:
                on_failed(error)

    def hashed(self, command: EnqueueContact | GuardedCommand) -> EnqueueContact | GuardedCommand:
        """Return a command with an idempotency key with its hashes by the newest secret, and by those of earlier commands."""
        key, fingerprint = command.dedupe_key or b"", command.fingerprint or b""
        newest, *earlier = self._keys
        others = [(_hash(secret, key), _hash(secret, fingerprint)) for secret in earlier]
        if self._now_ms() < self._file.plain_until_ms:
            others.append((key, fingerprint))
        return msgspec.structs.replace(
            command, dedupe_key=_hash(newest, key), fingerprint=_hash(newest, fingerprint), earlier_hashes=tuple(others)
        )


def _hash(secret: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, key=secret, digest_size=_HASH_BYTES).digest()


def _new_secret(now_ms: int) -> _Secret:
    return _Secret(now_ms, secrets.token_bytes(_SECRET_BYTES).hex())


def _keys_of(file: _SecretFile) -> list[bytes]:
    return [bytes.fromhex(one.secret) for one in file.secrets]


def _load(path: Path | None) -> _SecretFile | None:
    """Return the content of a file; None: there is none. Raises SettingsInvalid."""
    if path is None:
        return None
    advice = "restore it, or delete it: repetitions of commands of the last 7 days are then carried out again"
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
            raise SettingsInvalid(f"{path}: must be a regular file with mode 0600, so that only its owner can read the secrets")
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsInvalid(f"{path}: the secrets of hashes cannot be read ({error.strerror}); {advice}") from None
    try:
        return decode_json(content, msgspec.json.Decoder(_SecretFile))
    except (InvalidInput, NotWellFormed):
        raise SettingsInvalid(f"{path}: is no file of secrets of hashes; {advice}") from None


def _save(path: Path, file: _SecretFile) -> None:
    try:
        replace_private_file(path, msgspec.json.encode(file) + b"\n")
    except JournalUnavailable as error:
        raise SettingsInvalid(str(error)) from None
    except OSError as error:
        with contextlib.suppress(OSError):
            path.with_name(path.name + ".new").unlink(missing_ok=True)
        raise SettingsInvalid(f"{path}: the secrets of hashes cannot be stored ({error.strerror})") from None
