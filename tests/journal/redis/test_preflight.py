"""Servers that must not hold a journal as they are set up are refused, with what to change."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.journal.redis.address import parse_address
from router.journal.redis.journal import RedisJournal
from router.journal.redis.preflight import ServerUnfit, check_server, warnings_of
from router.model.errors import JournalUnavailable
from router.store_settings import Durability, StoreSettings
from tests.support.journal_records import a_record
from tests.support.redis_server import RedisServer, free_ports
from tests.support.redis_topologies import start_replica

# The rights that docs/how-to/redis.md lists.
RIGHTS = (
    "~rt:* resetchannels -@all +eval +evalsha +script|load +hmget +hget +hset +hsetnx +hlen +hdel +hgetall +hincrby +get +set +del "
    "+pexpire +pttl +xadd +xrange +xrevrange +xlen +xtrim +xdel +exists +time +role +info +wait +waitaof +ping +hello "
    "+client|setname +client|setinfo +select +cluster|slots +cluster|info +asking"
)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.kill()


async def refusal(directory: Path, url: str, **settings: Any) -> str:
    values: dict[str, Any] = {"durability": Durability.LEADER, "call_timeout_ms": 300, **settings}
    journal = RedisJournal(StoreSettings(url=url, **values), data_directory=directory / "node", archive_directory=directory)
    with pytest.raises(JournalUnavailable) as caught:
        await journal.open()
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("maxmemory-policy", "allkeys-lru", "set maxmemory-policy noeviction"),
        ("maxmemory-policy", "volatile-ttl", "set maxmemory-policy noeviction"),
        ("appendonly", "no", "set appendonly yes"),
    ],
)
async def test_a_setting_is_refused(alone: RedisServer, tmp_path: Path, name: str, value: str, text: str) -> None:
    with alone.client() as client:
        client.config_set(name, value)
        assert text in await refusal(tmp_path, alone.url)
        assert client.keys("*") == []


async def test_a_volatile_server_can_be_accepted_for_a_trial_but_not_with_fsync(alone: RedisServer, tmp_path: Path) -> None:
    with alone.client() as client:
        client.config_set("appendonly", "no")
    text = await refusal(tmp_path, alone.url, durability=Durability.FSYNC, accept_volatile=True)
    assert "store.durability fsync needs it: set appendonly yes" in text
    settings = StoreSettings(url=alone.url, durability=Durability.LEADER, accept_volatile=True)
    journal = RedisJournal(settings, data_directory=tmp_path / "other", archive_directory=tmp_path)
    await journal.open()
    await journal.close()


async def test_a_level_that_the_server_cannot_give_is_refused(alone: RedisServer, tmp_path: Path) -> None:
    text = await refusal(tmp_path, alone.url, durability=Durability.REPLICA)
    assert "no replica that is online" in text and "set store.durability to leader or fsync" in text
    replica = start_replica(tmp_path / "replica", alone)
    try:
        text = await refusal(tmp_path, alone.url, durability=Durability.REPLICA_FSYNC)
        assert "min-replicas-to-write is 0" in text and "set min-replicas-to-write 1" in text
        assert "the server is a replica" in await refusal(tmp_path, replica.url)
    finally:
        replica.kill()


async def test_the_wrong_form_of_address_is_refused(alone: RedisServer, tmp_path: Path) -> None:
    assert "cluster support disabled" in await refusal(tmp_path, f"redis+cluster://127.0.0.1:{alone.port}")
    node = RedisServer(tmp_path / "node-of-a-cluster", cluster_enabled="yes", cluster_port=str(free_ports(1)[0])).start()
    try:
        assert "write store.url as redis+cluster://" in await refusal(tmp_path, node.url)
    finally:
        node.kill()
    [free] = free_ports(1)
    assert "the store cannot be used" in await refusal(tmp_path, f"redis://127.0.0.1:{free}")
    assert "no sentinel names a master" in await refusal(tmp_path, f"redis+sentinel://127.0.0.1:{free}/main")


async def test_a_cluster_with_free_slots_is_refused(tmp_path: Path) -> None:
    node = RedisServer(tmp_path / "server", cluster_enabled="yes", cluster_port=str(free_ports(1)[0])).start()
    try:
        with node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 9_999)
        text = await refusal(tmp_path, f"redis+cluster://127.0.0.1:{node.port}")
        assert "only 10000 of 16384 slots" in text or "no node of the cluster serves slot" in text
    finally:
        node.kill()


async def test_the_documented_rights_are_enough_and_one_less_is_named(alone: RedisServer, tmp_path: Path) -> None:
    url = f"redis://router:word@127.0.0.1:{alone.port}"
    with alone.client() as client:
        client.execute_command("ACL", "SETUSER", "router", "on", ">word", *RIGHTS.split(" "))
        settings = StoreSettings(url=url, durability=Durability.FSYNC)
        journal = RedisJournal(settings, data_directory=tmp_path / "one", archive_directory=tmp_path)
        await journal.open()
        await journal.create_workspace("main")
        await journal.append([("main", a_record(1))])
        await journal.close()
        client.execute_command("ACL", "SETUSER", "router", "-xadd")
        text = await refusal(tmp_path, url)
        assert "lacks a right" in text and "xadd" in text.lower()


async def test_a_wrong_password_is_refused_and_a_changed_one_is_read_again(alone: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("first\n")
    with alone.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "resetpass", ">first")
        text = await refusal(tmp_path, f"redis://:wrong@127.0.0.1:{alone.port}")
        assert "wrong" not in text.replace("WRONGPASS", "").replace("wrong number", "")
        settings = StoreSettings(
            url=alone.url, password_path=str(path), durability=Durability.LEADER, outage_s_max=20, call_timeout_ms=500
        )
        journal = RedisJournal(settings, data_directory=tmp_path / "one", archive_directory=tmp_path)
        await journal.open()
        await journal.create_workspace("main")
        client.execute_command("ACL", "SETUSER", "default", "resetpass", ">second")
        client.client_kill_filter(_type="normal", skipme=True)
        waiting = asyncio.create_task(journal.append([("main", a_record(1))]))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        path.write_text("second\n")
        await asyncio.wait_for(waiting, 30)
        await journal.close()


async def test_a_setting_that_changes_while_it_runs_is_shown(
    alone: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.journal.redis.journal._CHECK_INTERVAL_S", 0.1)
    settings = StoreSettings(url=alone.url, durability=Durability.LEADER)
    journal = RedisJournal(settings, data_directory=tmp_path / "one", archive_directory=tmp_path)
    await journal.open()
    await journal.create_workspace("main")
    watching = asyncio.create_task(journal.run_maintenance())
    with alone.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    async with asyncio.timeout(30):
        while "maxmemory-policy is allkeys-lru" not in str(journal.status().problem):  # noqa: ASYNC110  (it looks at the server)
            await asyncio.sleep(0.05)
    await journal.close()
    await watching


class DebianServer:
    """What the server of Debian 12 answers, set up as the page says."""

    node = ("debian", 6379)

    def call(self, *command: str | bytes | int) -> Any:
        if command == ("TIME",):
            return [str(int(time.time())).encode(), b"0"]
        assert command == ("INFO",)
        lines = ("redis_version:7.0.15", "redis_mode:standalone", "role:master", "maxmemory:1000", "maxmemory_policy:noeviction")
        replica = (
            "aof_enabled:1",
            "connected_slaves:1",
            "slave0:ip=1,port=1,state=online,offset=1,lag=0",
            "min_slaves_good_slaves:1",
        )
        return "\r\n".join((*lines, *replica)).encode()


@pytest.mark.parametrize(("level", "is_fit"), [("leader", True), ("replica", True), ("fsync", False), ("replica_fsync", False)])
def test_redis_7_0_of_debian_gives_the_levels_without_waitaof(level: str, is_fit: bool) -> None:
    connection: Any = DebianServer()
    settings = StoreSettings(url="redis://debian", durability=Durability(level))
    address = parse_address("redis://debian")
    if is_fit:
        assert check_server(connection, address, settings).replicas == 1
    else:
        with pytest.raises(ServerUnfit, match=f"store.durability {level} needs Redis 7.2 or later, or Valkey"):
            check_server(connection, address, settings)
    assert warnings_of(connection) == ["debian:6379: Redis 7.0.15 has known defects; update it to 8.6.3 or later"]
