"""Secrets with which idempotency keys and fingerprints are hashed before they are written to the journal.

Theory of operation. A client chooses its idempotency keys, and a fingerprint covers the fields of a submit: either may hold a
telephone number or an account. The journal keeps their hashes for ever, and without a secret anyone who has the journal could find
the value by trying all numbers. So what is stored is a hash with a secret that is not in the journal.

A secret is used for ``PERIOD_MS`` and deleted as long after that, when no key that was hashed with it can be repeated any more: the
policy stores keys for at most that time. From then on the hashes cannot be tried even by those who have all files. A command
carries its hashes with the newest secret, which are stored, and with the earlier one, by which a repetition is found. Hashes
without a secret, of routers from before there were any, are compared for one period after the first secret was made.

Nodes of one store have their secrets in common, because a command may be repeated at another node. Each node reads them every
``CHECK_INTERVAL_S``, and a new one is made ``LEAD_MS`` before it is used, so that all know it by then; one that is not used yet
counts as an earlier one, because clocks differ.

Losing the file loses no data: repetitions of commands from before are not recognised, and are carried out again.
"""

import asyncio
import contextlib
import hashlib
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta, Struct

from router.invalid_input import InvalidInput, NotWellFormed, decode_json
from router.journal.files import replace_private_file
from router.model.commands import EnqueueContact, GuardedCommand
from router.model.errors import JournalUnavailable, RouterError, SettingsInvalid, SharedStateUnavailable

PERIOD_MS: Final = 7 * 24 * 3_600_000
"""Time for which a secret is used: the longest time for which a policy may store idempotency keys."""
CHECK_INTERVAL_S: Final = 600.0
LEAD_MS: Final = 3 * 600_000
SECRETS_MAX: Final = 16
_SECRET_BYTES: Final = 32
_HASH_BYTES: Final = 16


class _Secret(Struct, frozen=True, forbid_unknown_fields=True):
    since_ms: Annotated[int, Meta(ge=0, le=2**53)]
    secret: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", extra={"rule": "must be 64 hexadecimal digits in lower case"})]


class _SecretFile(Struct, frozen=True, forbid_unknown_fields=True):
    secrets: Annotated[list[_Secret], Meta(min_length=1, max_length=SECRETS_MAX)]
    """Newest first."""
    plain_until_ms: Annotated[int, Meta(ge=0, le=2**53)]
    """Time until which hashes without a secret are compared."""


class SharedValue(Protocol):
    """The value that the nodes of a store have in common. Methods raise SharedStateUnavailable and SettingsInvalid."""

    async def read(self) -> bytes | None:
        """Return the value; None: there is none."""
        ...

    async def replace(self, value: bytes) -> bytes:
        """Replace what was returned last, and return what is there now: another node may have been first."""
        ...


class HashSecrets:
    """The secrets, newest first. Confined to the event loop."""

    def __init__(self, path: Path | None, now_ms: Callable[[], int]) -> None:
        """``path``: where they are stored; None: in memory alone. Raises SettingsInvalid."""
        self._path = path
        self._now_ms = now_ms
        self._shared: SharedValue | None = None
        loaded = _load(path)
        self._is_new = loaded is None
        self._file = loaded or _SecretFile([_new_secret(now_ms())], now_ms() + PERIOD_MS)
        self._keys = _keys_of(self._file)
        if path is not None and not path.exists():
            _save(path, self._file)
        self._replace(self._renewed())

    def _renewed(self) -> _SecretFile | None:
        """Return the secrets after those that are due were made and deleted; None: none is due."""
        now_ms, kept = self._now_ms(), self._file.secrets
        lead_ms = 0 if self._shared is None else LEAD_MS
        if now_ms - kept[0].since_ms >= PERIOD_MS - lead_ms:
            kept = [_new_secret(now_ms + lead_ms), *kept]
        kept = _without_ended(kept, now_ms)
        return None if kept == self._file.secrets else _SecretFile(kept, self._file.plain_until_ms)

    def _replace(self, file: _SecretFile | None) -> None:
        if file is not None:
            if self._path is not None:
                _save(self._path, file)
            self._file, self._keys = file, _keys_of(file)

    async def renew(self) -> None:
        """Make and delete the secrets that are due: a new one is used once it is on disk. Raises SettingsInvalid."""
        if self._shared is not None:
            await self._synchronize(self._shared)
            return
        file = self._renewed()
        if file is not None:
            if self._path is not None:
                await asyncio.to_thread(_save, self._path, file)
            self._file, self._keys = file, _keys_of(file)

    async def share(self, shared: SharedValue) -> None:
        """Use the secrets of all nodes from now on, and give them those of this one.

        Raises SharedStateUnavailable and SettingsInvalid.
        """
        self._shared = shared
        await self._synchronize(shared)

    async def _synchronize(self, shared: SharedValue) -> None:
        found = await shared.read()
        # Twice: another node may change them at the same time. What is due then is done the next time.
        for _ in range(2):
            known = None if found is None else _decoded(found)
            if known is not None:
                await self._adopt(known)
                self._is_new = False
            renewed = self._renewed() or self._file
            if renewed == known:
                return
            found = await shared.replace(msgspec.json.encode(renewed))
        await self._adopt(_decoded(found or b""))

    async def _adopt(self, file: _SecretFile) -> None:
        """Use the secrets of other nodes, and on those of this one that they do not know."""
        own = [] if self._is_new else [one for one in self._file.secrets if one not in file.secrets]
        kept = sorted([*file.secrets, *own], key=lambda one: one.since_ms, reverse=True)[:SECRETS_MAX]
        kept = _without_ended(kept, self._now_ms())
        file = _SecretFile(kept, max(file.plain_until_ms, 0 if self._is_new else self._file.plain_until_ms))
        if file != self._file:
            if self._path is not None:
                await asyncio.to_thread(_save, self._path, file)
            self._file, self._keys = file, _keys_of(file)

    async def run(self, on_failed: Callable[[RouterError], None]) -> None:
        """Renew the secrets until cancelled; where that fails, the present ones are used on."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            try:
                await self.renew()
            except (SettingsInvalid, SharedStateUnavailable) as error:
                on_failed(error)

    def _keys_in_use(self) -> list[bytes]:
        """Return the secrets, the one that is used now first."""
        now_ms = self._now_ms()
        place = next((place for place, one in enumerate(self._file.secrets) if one.since_ms <= now_ms), len(self._keys) - 1)
        return [self._keys[place], *self._keys[:place], *self._keys[place + 1 :]]

    def hashed(self, command: EnqueueContact | GuardedCommand) -> EnqueueContact | GuardedCommand:
        """Return a command with an idempotency key with its hashes by the newest secret, and by those of earlier commands."""
        key, fingerprint = command.dedupe_key or b"", command.fingerprint or b""
        newest, *earlier = self._keys if self._shared is None else self._keys_in_use()
        others = [(_hash(secret, key), _hash(secret, fingerprint)) for secret in earlier]
        if self._now_ms() < self._file.plain_until_ms:
            others.append((key, fingerprint))
        return msgspec.structs.replace(
            command, dedupe_key=_hash(newest, key), fingerprint=_hash(newest, fingerprint), earlier_hashes=tuple(others)
        )


def _without_ended(kept: list[_Secret], now_ms: int) -> list[_Secret]:
    # A secret was used until the next newer one was made; repetitions come for one period more.
    return [one for one, newer in zip(kept, [None, *kept], strict=False) if newer is None or now_ms - newer.since_ms < PERIOD_MS]


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


def _decoded(content: bytes) -> _SecretFile:
    try:
        return decode_json(content, msgspec.json.Decoder(_SecretFile))
    except (InvalidInput, NotWellFormed):
        raise SettingsInvalid("store.url: what the store holds of the secrets of hashes cannot be read") from None


def _save(path: Path, file: _SecretFile) -> None:
    try:
        replace_private_file(path, msgspec.json.encode(file) + b"\n")
    except JournalUnavailable as error:
        raise SettingsInvalid(str(error)) from None
    except OSError as error:
        with contextlib.suppress(OSError):
            path.with_name(path.name + ".new").unlink(missing_ok=True)
        raise SettingsInvalid(f"{path}: the secrets of hashes cannot be stored ({error.strerror})") from None
