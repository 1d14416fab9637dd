"""Upgrade limiter: refused clients get retry times spread at the upgrade rate."""

import random
from collections import Counter

import msgspec

from router.server.ws.endpoints import UpgradeLimiter
from router.settings import SocketSettings

PER_S = 100
BURST = 10


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


def a_limiter(clock: Clock) -> UpgradeLimiter:
    settings = msgspec.structs.replace(SocketSettings(), upgrades_per_s=PER_S, upgrades_burst=BURST)
    return UpgradeLimiter(settings, now_ms=clock, uniform=random.Random(1).uniform)


def test_retry_times_are_spread_at_the_upgrade_rate() -> None:
    limiter = a_limiter(Clock())
    admitted = sum(limiter.take() for _ in range(1_010))
    assert admitted == BURST
    assert limiter.is_exhausted
    waits = Counter(limiter.retry_after_s() for _ in range(1_000))
    assert min(waits) == 1
    assert 10 <= max(waits) <= 13
    assert max(waits.values()) <= PER_S * 1.5


def test_the_rate_limit_of_upgrades_ends() -> None:
    clock = Clock()
    limiter = a_limiter(clock)
    for _ in range(3):
        while limiter.take():
            pass
        exhausted = [limiter.is_exhausted]
        clock.now_ms += 1_000 // PER_S
        exhausted.append(limiter.is_exhausted)
        assert exhausted == [True, False]
        assert [limiter.take(), limiter.take()] == [True, False]
        clock.now_ms += 60_000
        assert [limiter.take() for _ in range(BURST + 1)] == [True] * BURST + [False], "the burst is full again, and no more"


def test_the_virtual_queue_shrinks_with_time_and_is_bounded() -> None:
    clock = Clock()
    limiter = a_limiter(clock)
    for _ in range(1_000):
        limiter.retry_after_s()
    clock.now_ms += 9_000
    assert limiter.retry_after_s() <= 4
    clock.now_ms += 60_000
    assert limiter.retry_after_s() == 1
    for _ in range(100_000):
        longest_s = limiter.retry_after_s()
    assert longest_s == 60


def test_clients_that_follow_retry_after_are_admitted_with_few_retries() -> None:
    clock = Clock()
    limiter = a_limiter(clock)
    rng = random.Random(2)
    started_ms = clock.now_ms
    due = [started_ms + int(rng.uniform(0, 1_000)) for _ in range(2_000)]
    attempts = 0
    while due:
        due.sort(reverse=True)
        clock.now_ms = max(clock.now_ms, due.pop())
        attempts += 1
        if not limiter.take():
            due.append(clock.now_ms + 1_000 * limiter.retry_after_s() + int(rng.uniform(0, 1_000)))
    assert (clock.now_ms - started_ms) / 1_000 <= 1.6 * 2_000 / PER_S
    assert attempts <= 3 * 2_000
