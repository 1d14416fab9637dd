"""Secrets of hashes that several nodes have in common: a command that is repeated at another node is recognised."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from router.cluster.redis.secret import SharedSecret
from router.cluster.redis.shared_store import SharedStore
from router.model.commands import EnqueueContact
from router.model.errors import SettingsInvalid, SharedStateUnavailable
from router.server.auth.hash_secrets import LEAD_MS, PERIOD_MS, HashSecrets
from tests.support.redis_server import RedisServer
from tests.support.shared_state import settings_of, shared_store

COMMAND = EnqueueContact(contact_id="c", channel="voice", dedupe_key=b"k" * 16, fingerprint=b"f" * 16)
START_MS = 1_800_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms


class MemoryValue:
    """The value in the memory of one process."""

    def __init__(self, place: list[bytes]) -> None:
        self._place = place
        self._known: bytes | None = None

    async def read(self) -> bytes | None:
        self._known = self._place[0] if self._place else None
        return self._known

    async def replace(self, value: bytes) -> bytes:
        if (self._place[0] if self._place else None) == self._known:
            self._place[:] = [value]
        self._known = self._place[0]
        return self._known


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[SharedStore]:
    async with shared_store(settings_of(server)) as store:
        yield store


@pytest.fixture(params=["memory", "store", "store with a key"])
def values(request: pytest.FixtureRequest, store: SharedStore, tmp_path: Path) -> list[MemoryValue | SharedSecret]:
    """Return two nodes' ways to the same value."""
    if request.param == "memory":
        place: list[bytes] = []
        return [MemoryValue(place), MemoryValue(place)]
    key_path = None
    if request.param == "store with a key":
        (tmp_path / "key").write_bytes(b"k" * 32)
        key_path = str(tmp_path / "key")
    prefix = settings_of_prefix()
    return [SharedSecret(store, prefix=prefix, name="hashes", key_path=key_path) for _ in range(2)]


_prefixes = iter(range(1_000))


def settings_of_prefix() -> str:
    return f"secrets{next(_prefixes)}"


def is_recognised(stored: EnqueueContact, repeated: EnqueueContact) -> bool:
    return (stored.dedupe_key, stored.fingerprint) in [(repeated.dedupe_key, repeated.fingerprint), *repeated.earlier_hashes]


def hashed(secrets: HashSecrets) -> EnqueueContact:
    command = secrets.hashed(COMMAND)
    assert isinstance(command, EnqueueContact)
    return command


async def test_nodes_hash_with_the_same_secret_also_when_they_start_at_once(values: list[MemoryValue | SharedSecret]) -> None:
    clock = Clock()
    nodes = [HashSecrets(None, clock.now_ms) for _ in values]
    assert not is_recognised(hashed(nodes[0]), hashed(nodes[1]))
    await asyncio.gather(*(node.share(value) for node, value in zip(nodes, values, strict=True)))
    assert hashed(nodes[0]).dedupe_key == hashed(nodes[1]).dedupe_key


async def test_a_new_secret_is_known_to_all_before_it_is_used(values: list[MemoryValue | SharedSecret]) -> None:
    clock = Clock()
    here, there = nodes = [HashSecrets(None, clock.now_ms) for _ in values]
    for node, value in zip(nodes, values, strict=True):
        await node.share(value)
    first = hashed(here)
    clock.ms += PERIOD_MS - LEAD_MS
    await here.renew()
    assert hashed(here).dedupe_key == first.dedupe_key, "it is used later"
    await there.renew()
    clock.ms += LEAD_MS - 1
    late = hashed(there)
    clock.ms += 1
    second = hashed(here)
    assert late.dedupe_key == first.dedupe_key and second.dedupe_key != first.dedupe_key
    assert is_recognised(late, second) and is_recognised(first, second)
    # The clock of the other node is late: it finds what was stored by the new secret.
    clock.ms -= 5_000
    assert is_recognised(second, hashed(there))


async def test_old_secrets_are_deleted_everywhere(values: list[MemoryValue | SharedSecret], tmp_path: Path) -> None:
    clock = Clock()
    here, there = nodes = [HashSecrets(tmp_path / f"{number}.json", clock.now_ms) for number in range(2)]
    for node, value in zip(nodes, values, strict=True):
        await node.share(value)
    first = hashed(here)
    for _ in range(2):
        clock.ms += PERIOD_MS
        await here.renew()
    clock.ms += LEAD_MS
    await there.renew()
    await here.renew()
    assert not is_recognised(first, hashed(here)) and not is_recognised(first, hashed(there))


async def test_what_a_node_has_used_alone_is_recognised_by_all(values: list[MemoryValue | SharedSecret], tmp_path: Path) -> None:
    clock = Clock()
    HashSecrets(tmp_path / "alone.json", clock.now_ms)
    alone = HashSecrets(tmp_path / "alone.json", clock.now_ms)
    earlier = hashed(alone)
    other = HashSecrets(tmp_path / "other.json", clock.now_ms)
    clock.ms += 1
    await other.share(values[1])
    await alone.share(values[0])
    await other.renew()
    assert is_recognised(earlier, hashed(other)) and is_recognised(earlier, hashed(alone))
    # It is on the disk as well.
    assert is_recognised(earlier, hashed(HashSecrets(tmp_path / "other.json", clock.now_ms)))


async def test_the_store_has_no_secret_in_clear_where_the_nodes_have_a_key(
    server: RedisServer, store: SharedStore, tmp_path: Path
) -> None:
    prefix, key = settings_of_prefix(), tmp_path / "key"
    key.write_bytes(b"k" * 32)
    secrets = HashSecrets(tmp_path / "hash-secrets.json", Clock().now_ms)
    await secrets.share(SharedSecret(store, prefix=prefix, name="hashes", key_path=None))
    with server.client() as client:
        assert b"secrets" in client.hget(f"{prefix}:secrets", "hashes"), "without a key it is as it is"
        client.delete(f"{prefix}:secrets")
        await secrets.share(SharedSecret(store, prefix=prefix, name="hashes", key_path=str(key)))
        assert b"secret" not in client.hget(f"{prefix}:secrets", "hashes")
    with pytest.raises(SettingsInvalid, match="the other nodes have it set"):
        await SharedSecret(store, prefix=prefix, name="hashes", key_path=None).read()
    (tmp_path / "wrong").write_bytes(b"w" * 32)
    with pytest.raises(SettingsInvalid, match="differs from that of the other nodes"):
        await SharedSecret(store, prefix=prefix, name="hashes", key_path=str(tmp_path / "wrong")).read()
    (tmp_path / "short").write_bytes(b"s" * 31)
    with pytest.raises(SettingsInvalid, match="at least 32 bytes"):
        SharedSecret(store, prefix=prefix, name="hashes", key_path=str(tmp_path / "short"))


async def test_while_the_store_does_not_answer_the_present_secrets_are_used_on(tmp_path: Path) -> None:
    class Away(MemoryValue):
        is_away = False

        async def read(self) -> bytes | None:
            if self.is_away:
                raise SharedStateUnavailable("away")
            return await super().read()

    clock, value = Clock(), Away([])
    secrets = HashSecrets(None, clock.now_ms)
    await secrets.share(value)
    before = hashed(secrets)
    value.is_away = True
    clock.ms += PERIOD_MS
    with pytest.raises(SharedStateUnavailable):
        await secrets.renew()
    assert hashed(secrets).dedupe_key == before.dedupe_key
