"""Requests about shared state: together in few round trips, with a bounded wait, and failing at once while the store is away."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cluster.redis.scripts import ANNOUNCE
from router.cluster.redis.shared_store import SharedStore
from router.journal.redis.client import Request
from router.journal.redis.connection import StoreRefusal
from router.model.errors import SharedStateUnavailable
from tests.support.redis_proxy import RedisProxy
from tests.support.redis_server import RedisServer
from tests.support.shared_state import settings_of, shared_store

# For a busy machine.
BOUND_S = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


async def test_many_requests_at_once_get_their_own_replies(server: RedisServer) -> None:
    async with shared_store(settings_of(server)) as store:
        await asyncio.gather(*(store.call(f"k{number}", "SET", f"k{number}", number) for number in range(500)))
        replies = await asyncio.gather(*(store.call(f"k{number}", "GET", f"k{number}") for number in range(500)))
    assert replies == [str(number).encode() for number in range(500)]


async def test_an_error_reply_stays_with_its_request(server: RedisServer) -> None:
    async with shared_store(settings_of(server)) as store:
        replies = await store.run([Request("k", ("NONSENSE",)), Request("k", ("SET", "k", 1))])
        assert isinstance(replies[0], StoreRefusal) and replies[1] == b"OK"
        with pytest.raises(SharedStateUnavailable, match="refused"):
            await store.call("k", "NONSENSE")
        assert not store.is_away


async def test_a_server_that_stops_answering_costs_a_bounded_wait_and_then_nothing(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.cluster.redis.shared_store._PAUSE_S", 600.0)
    async with shared_store(settings_of(server), wait_s_max=0.3) as store:
        assert await store.call("k", "PING") == b"PONG"
        server.pause()
        # One after the other, they would wait for 30 s and for 300 s.
        async with asyncio.timeout(BOUND_S):
            answers = await asyncio.gather(*(store.call("k", "PING") for _ in range(100)), return_exceptions=True)
        assert all(isinstance(answer, SharedStateUnavailable) for answer in answers)
        assert store.is_away
        async with asyncio.timeout(BOUND_S):
            for _ in range(1_000):
                with pytest.raises(SharedStateUnavailable):
                    await store.call("k", "PING")
        assert store.failures == 1_100
        server.resume()
        monkeypatch.undo()
        store._away_until_s = 0.0
        await until_it_answers(store)
        assert not store.is_away


async def test_a_server_that_is_killed_and_started_again_is_used_again(server: RedisServer) -> None:
    async with shared_store(settings_of(server), wait_s_max=0.3) as store:
        assert await store.call("k", "PING") == b"PONG"
        server.kill()
        with pytest.raises(SharedStateUnavailable):
            await store.call("k", "PING")
        server.start()
        await until_it_answers(store)


async def test_a_reply_that_is_lost_is_not_asked_for_again(server: RedisServer) -> None:
    proxy = RedisProxy(server.port)
    async with shared_store(settings_of(server, port=proxy.port)) as store:
        await store.call("n", "SET", "n", 0)
        proxy.cut_replies_after(0)
        with pytest.raises(SharedStateUnavailable):
            await store.call("n", "HINCRBY", "h", "n", 1)
    with server.client() as client:
        assert client.hget("h", "n") == b"1"
    proxy.close()


async def test_what_no_caller_waits_for_any_more_is_not_sent(server: RedisServer) -> None:
    async with shared_store(settings_of(server), wait_s_max=0.3) as store:
        assert await store.call("k", "PING") == b"PONG"
        server.pause()
        first = asyncio.ensure_future(store.call("k", "PING"))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(store.call("late", "SET", "late", 1))
        await asyncio.gather(first, second, return_exceptions=True)
        await asyncio.sleep(0.5)
        server.resume()
        await until_it_answers(store)
    with server.client() as client:
        assert client.get("late") is None


async def test_a_script_that_the_server_has_forgotten_is_loaded_again(server: RedisServer) -> None:
    async with shared_store(settings_of(server)) as store:
        assert await store.evaluate(ANNOUNCE, ["nodes"], 1_000, 10) == []
        with server.client() as client:
            client.script_flush()
        assert await store.evaluate(ANNOUNCE, ["nodes"], 1_000, 10) == []


async def until_it_answers(store: SharedStore) -> None:
    until_s = time.monotonic() + BOUND_S
    while True:
        try:
            assert await store.call("k", "PING") == b"PONG"
            return
        except SharedStateUnavailable:
            assert time.monotonic() < until_s
            await asyncio.sleep(0.05)
