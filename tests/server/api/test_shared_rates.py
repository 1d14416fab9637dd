"""Rates over several nodes: what is told, what is not, and while the store does not answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from router.cluster.redis.shared_store import SharedStore, open_shared_store
from router.server.api.admission import AdmissionControl, RateLimiter
from router.server.api.shared_rates import SharedRates
from router.server.auth.credentials import Credential, Role
from router.settings import settings_from
from tests.support.redis_server import RedisServer
from tests.support.shared_state import settings_of, shared_store

PREFIX = "rates"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[SharedStore]:
    async with shared_store(settings_of(server, prefix=PREFIX), wait_s_max=0.3) as store:
        yield store


def limiter(rates: SharedRates, *, per_s: float = 10, burst: float = 8) -> RateLimiter:
    return RateLimiter(per_s=per_s, burst=burst, keys_max=1_000, setting="a.rate", new_bucket=rates.bucket)


async def test_a_little_use_is_not_told_and_keys_name_no_client(server: RedisServer, store: SharedStore) -> None:
    rates = SharedRates(store, prefix=PREFIX)
    requests = limiter(rates)
    requests.take("192.0.2.1")
    await rates.exchange()
    with server.client() as client:
        assert client.keys("rates:*") == []
        requests.take("192.0.2.1")
        await rates.exchange()
        [key] = client.keys("rates:*")
        assert b"192" not in key and 0 < client.pttl(key) <= 3_000
        assert 6 <= float(client.hget(key, "level")) < 7


async def test_nothing_waits_for_a_store_that_does_not_answer_and_each_node_limits_by_itself(
    server: RedisServer, store: SharedStore
) -> None:
    now_s = [1_000.0]
    rates = SharedRates(store, prefix=PREFIX)
    running = asyncio.create_task(rates.run())
    requests = RateLimiter(per_s=40, burst=20, keys_max=1_000, setting="a.rate", now_s=lambda: now_s[0], new_bucket=rates.bucket)
    requests.take("ada")
    server.pause()
    taken = 0
    for _ in range(500):
        now_s[0] += 0.004
        taken += requests.take("ada") is None
        await asyncio.sleep(0.004)  # Exchanges are tried meanwhile.
    assert taken in (98, 99), "what is left of the burst, and two seconds of the rate"
    server.resume()
    async with asyncio.timeout(30):
        while rates._due:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    # What was taken meanwhile was within the rate: it is no debt that has to be repaid for long.
    now_s[0] += 0.75
    assert sum(requests.take("ada") is None for _ in range(10)) == 10
    running.cancel()


async def test_all_buckets_of_many_clients_are_exchanged(server: RedisServer, store: SharedStore) -> None:
    rates = SharedRates(store, prefix=PREFIX)
    requests = limiter(rates)
    for number in range(450):
        requests.take(f"a{number}")
        requests.take(f"a{number}")
    await rates.exchange()
    with server.client() as client:
        assert len(client.keys("rates:*")) == 450


async def test_the_same_bound_has_the_same_key_on_every_node_and_another_bound_another(store: SharedStore) -> None:
    keys = []
    for _ in range(2):
        rates = SharedRates(store, prefix=PREFIX)
        admission = AdmissionControl(settings_from({}), new_bucket=rates.bucket)
        seen = {}
        for role in (Role.AGENT, Role.GATEWAY, Role.SUPERVISOR, Role.CUSTOMER):
            credential = Credential(subject="x", role=role, workspace="w", issuer="i", expires_at_s=2**40)
            usage = admission.usage(credential)
            for name in ("bucket", "frames", "connects"):
                seen[role, name] = getattr(usage, name).store_key
        keys.append(seen)
    assert keys[0] == keys[1]
    # Requests and frames of all but gateways are one bound.
    assert len(set(keys[0].values())) == 4 * 2 + 1


def test_counting_costs_no_more_than_a_microsecond_or_two(server: RedisServer) -> None:
    rates = SharedRates(open_shared_store(settings_of(server)), prefix=PREFIX)
    bucket = rates.bucket("k", 1e9, 1e9, now_ms=0.0, setting="a.rate")
    started_s = time.perf_counter()
    for number in range(10_000):
        bucket.try_acquire(number)
    assert (time.perf_counter() - started_s) / 10_000 < 20e-6
