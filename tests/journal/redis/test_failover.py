"""Servers that fail under a running journal: restart, lost replies, replicas that lag, sentinels that choose another master."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.journal.redis.journal import RedisJournal
from router.journal.redis.layout import WorkspaceKeys
from router.model.errors import JournalCorrupt, JournalLocked, JournalUnavailable
from router.store_settings import Durability, StoreSettings
from tests.support.journal_records import a_record
from tests.support.redis_server import RedisServer, wait_until
from tests.support.redis_storage import abandon
from tests.support.redis_topologies import cluster, cluster_url, sentinel_url, sentinels, start_replica, wait_until_online


def a_journal(directory: Path, url: str, **settings: Any) -> RedisJournal:
    values: dict[str, Any] = {"durability": Durability.FSYNC, "lease_s": 5, "outage_s_max": 20, "call_timeout_ms": 500}
    return RedisJournal(
        StoreSettings(url=url, **{**values, **settings}), data_directory=directory, archive_directory=directory / "archive"
    )


async def opened(journal: RedisJournal, *workspaces: str) -> RedisJournal:
    await journal.open()
    for workspace in workspaces:
        await journal.create_workspace(workspace)
    return journal


def seqs_of(server: RedisServer, workspace: str = "main", prefix: str = "rt") -> list[int]:
    with server.client() as client:
        entries = client.xrange(WorkspaceKeys.of(prefix, workspace).log)
    return [int(entry_id.split(b"-")[1]) for entry_id, _ in entries]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.kill()


async def test_a_restart_of_the_server_is_waited_for(alone: RedisServer, tmp_path: Path) -> None:
    journal = await opened(a_journal(tmp_path / "node", alone.url), "main", "other")
    await journal.append([("main", a_record(1))])
    alone.kill()
    waiting = asyncio.create_task(journal.append([("main", a_record(2)), ("other", a_record(1))]))
    await asyncio.sleep(0.3)
    assert not waiting.done() and journal.status().problem is not None
    await asyncio.to_thread(alone.start)
    await waiting
    assert journal.status().problem is None
    await journal.close()
    assert seqs_of(alone) == [1, 2] and seqs_of(alone, "other") == [1]


async def test_an_outage_that_lasts_too_long_ends_the_journal(alone: RedisServer, tmp_path: Path) -> None:
    journal = await opened(a_journal(tmp_path / "node", alone.url, outage_s_max=1), "main")
    alone.kill()
    with pytest.raises(JournalUnavailable, match="outage_s_max"):
        await journal.append([("main", a_record(1))])
    await journal.close()


async def test_a_stopped_server_that_executes_late_writes_once(alone: RedisServer, tmp_path: Path) -> None:
    journal = await opened(a_journal(tmp_path / "node", alone.url), "main")
    await journal.append([("main", a_record(1))])
    alone.pause()
    waiting = asyncio.create_task(journal.append([("main", a_record(2))]))
    await asyncio.sleep(2.5)
    alone.resume()
    await waiting
    assert journal.read_backs >= 1
    await journal.append([("main", a_record(3))])
    await journal.close()
    assert seqs_of(alone) == [1, 2, 3]


async def test_a_full_server_refuses_the_append_whole_and_the_lease_stays(alone: RedisServer, tmp_path: Path) -> None:
    journal = await opened(a_journal(tmp_path / "node", alone.url), "main")
    with alone.client() as client:
        client.config_set("maxmemory", "1mb")
        waiting = asyncio.create_task(journal.append([("main", a_record(1))]))
        await asyncio.sleep(0.3)
        assert not waiting.done() and "OOM" in str(journal.status().problem)
        assert seqs_of(alone) == []
        before_ms = client.pttl(WorkspaceKeys.of("rt", "main").lease)
        await asyncio.sleep(2.5)
        assert client.pttl(WorkspaceKeys.of("rt", "main").lease) > before_ms - 2_000
        client.config_set("maxmemory", "0")
    await waiting
    await journal.close()
    assert seqs_of(alone) == [1]


@pytest.mark.slow
async def test_a_second_node_waits_for_the_lease_and_takes_over(alone: RedisServer, tmp_path: Path) -> None:
    first = await opened(a_journal(tmp_path / "one", alone.url), "main")
    await first.append([("main", a_record(1))])
    second = a_journal(tmp_path / "two", alone.url)
    with pytest.raises(JournalLocked, match="holds the lease"):
        await second.open()
    # The first one dies without giving its lease back.
    await abandon(first)
    third = a_journal(tmp_path / "three", alone.url)
    (history,) = await third.open()
    assert history.last_position.seq == 1 and history.epoch == 2
    await third.close()


async def test_a_node_that_was_replaced_can_write_no_more(alone: RedisServer, tmp_path: Path) -> None:
    first = await opened(a_journal(tmp_path / "one", alone.url), "main")
    await first.append([("main", a_record(1))])
    watching = asyncio.create_task(first.run_maintenance())
    with alone.client() as client:
        client.delete(WorkspaceKeys.of("rt", "main").lease)
        second = await opened(a_journal(tmp_path / "two", alone.url))
        with pytest.raises(JournalLocked, match="has taken over with epoch 2"):
            await first.append([("main", a_record(2))])
        # It would also learn it while it writes nothing.
        with pytest.raises(JournalLocked, match="has taken over"):
            await asyncio.wait_for(watching, 30)
        await second.append([("main", a_record(2, epoch=2))])
        assert seqs_of(alone) == [1, 2]
        await first.close()
        assert client.get(WorkspaceKeys.of("rt", "main").lease) is not None
    await second.close()


async def test_a_flushed_server_is_noticed_and_never_filled_again(alone: RedisServer, tmp_path: Path) -> None:
    journal = await opened(a_journal(tmp_path / "node", alone.url), "main")
    await journal.append([("main", a_record(1))])
    with alone.client() as client:
        client.flushall()
        with pytest.raises(JournalCorrupt, match="no log of this workspace"):
            await journal.append([("main", a_record(2))])
        await journal.close()
        # Also at the next start: the mark of the node remembers the store.
        with pytest.raises(JournalCorrupt, match="is empty, but this node has seen events"):
            await a_journal(tmp_path / "node", alone.url).open()
        assert client.keys("*") == []


async def test_a_removed_end_of_the_stream_is_noticed(alone: RedisServer, tmp_path: Path) -> None:
    journal = await opened(a_journal(tmp_path / "node", alone.url), "main")
    await journal.append([("main", a_record(1)), ("main", a_record(2))])
    with alone.client() as client:
        client.xdel(WorkspaceKeys.of("rt", "main").log, "1-2")
    with pytest.raises(JournalCorrupt, match="the head of the log is at event 2, its records end at 1"):
        await journal.append([("main", a_record(3))])
    await journal.close()


async def test_a_lagging_replica_that_is_promoted_gets_the_rest_from_the_leader(tmp_path: Path) -> None:
    master = RedisServer(tmp_path / "master", min_replicas_to_write="0").start()
    replica = start_replica(tmp_path / "replica", master)
    with sentinels(tmp_path / "s", master) as ports, contextlib.ExitStack() as stack:
        stack.callback(master.kill)
        stack.callback(replica.kill)
        url = sentinel_url(ports)
        journal = await opened(a_journal(tmp_path / "node", url, durability=Durability.LEADER), "main", "idle")
        await journal.append([("main", a_record(1)), ("idle", a_record(1))])
        wait_until(lambda: (seqs_of(replica), seqs_of(replica, "idle")) == ([1], [1]))
        replica.pause()
        with master.client() as client:
            # What is sent from now on does not wait in the buffers of the replica.
            client.client_kill_filter(_type="replica")
        await journal.append([("main", a_record(2)), ("idle", a_record(2))])
        await journal.append([("main", a_record(3))])
        master.kill()
        replica.resume()
        assert seqs_of(replica) == [1]
        # Nothing is appended: maintenance finds the other server and repairs both logs.
        watching = asyncio.create_task(journal.run_maintenance())
        await asyncio.to_thread(wait_until, lambda: journal.repaired_events >= 3)
        await journal.append([("main", a_record(4))])
        assert seqs_of(replica) == [1, 2, 3, 4] and seqs_of(replica, "idle") == [1, 2]
        await journal.close()
        await watching


@pytest.mark.slow
async def test_durability_replica_waits_until_a_replica_has_confirmed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"min_replicas_to_write": "1", "min_replicas_max_lag": "10"}
    master = RedisServer(tmp_path / "master", **options).start()
    replica = start_replica(tmp_path / "replica", master, **options)
    wait_until_online(master, 1)
    try:
        for level in (Durability.REPLICA, Durability.REPLICA_FSYNC):
            journal = await opened(
                a_journal(tmp_path / f"node-{level}", master.url, durability=level, prefix=f"p{level.value[-1]}"), "main"
            )
            await journal.append([("main", a_record(1))])
            replica.pause()
            waiting = asyncio.create_task(journal.append([("main", a_record(2))]))
            await asyncio.to_thread(wait_until, lambda one=journal: "no replica has confirmed" in str(one.status().problem))
            assert not waiting.done()
            # What is not confirmed is not shown.
            assert [r.first_seq for r in await journal.read("main", after_seq=0, limit=10)] == [1]
            # A new connection must not be believed that everything is confirmed.
            with master.client() as client:
                client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(1.5)
            assert not waiting.done()
            replica.resume()
            await asyncio.wait_for(waiting, 30)
            await journal.close()
    finally:
        replica.kill()
        master.kill()


async def test_a_replica_with_its_own_sync_does_not_make_each_append_wait_for_a_second(tmp_path: Path) -> None:
    """A replica tells by itself only once a second how far its file is synced."""
    master = RedisServer(tmp_path / "master", min_replicas_to_write="1").start()
    replica = start_replica(tmp_path / "replica", master, min_replicas_to_write="1")
    try:
        journal = await opened(a_journal(tmp_path / "node", master.url, durability=Durability.REPLICA_FSYNC), "main")
        times_s = []
        for seq in range(1, 9):
            began_s = asyncio.get_running_loop().time()
            await journal.append([("main", a_record(seq))])
            times_s.append(asyncio.get_running_loop().time() - began_s)
        # Each began just after the answer to the one before, so each would wait for most of a second.
        assert min(times_s[1:]) < 0.5, times_s
        await journal.close()
    finally:
        replica.kill()
        master.kill()


@pytest.mark.slow
async def test_a_slot_that_moves_to_another_node_is_followed(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster") as nodes:
        journal = await opened(a_journal(tmp_path / "node", cluster_url(nodes)), "main", "other", "third")
        seq = 0
        for _ in range(3):
            seq += 1
            await journal.append([(name, a_record(seq)) for name in ("main", "other", "third")])
        await asyncio.to_thread(_move_slot, nodes, WorkspaceKeys.of("rt", "main"))
        for _ in range(3):
            seq += 1
            await journal.append([(name, a_record(seq)) for name in ("main", "other", "third")])
        assert [r.first_seq for r in await journal.read("main", after_seq=0, limit=10)] == [1, 2, 3, 4, 5, 6]
        await journal.close()


def _move_slot(nodes: list[RedisServer], keys: WorkspaceKeys) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for node in nodes]
        slot = clients[0].execute_command("CLUSTER", "KEYSLOT", keys.meta)
        ids = [_decoded(client.execute_command("CLUSTER", "MYID")) for client in clients]
        source = next(place for place in range(len(nodes)) if slot * len(nodes) // 16_384 == place)
        target = (source + 1) % len(nodes)
        clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        names = clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
        clients[source].execute_command("MIGRATE", "127.0.0.1", nodes[target].port, "", 0, 5_000, "KEYS", *names)
        for client in clients:
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])


def _decoded(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
