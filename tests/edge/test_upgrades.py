"""Those who are refused an upgrade come again when there is room, and not all at once."""

import random
from collections import Counter

import msgspec

from router.edge.upgrades import Upgrades
from router.settings import SocketSettings

PER_S = 100
BURST = 10


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


def a_door(clock: Clock) -> Upgrades:
    settings = msgspec.structs.replace(SocketSettings(), upgrades_per_s=PER_S, upgrades_burst=BURST)
    return Upgrades(settings, now_ms=clock, uniform=random.Random(1).uniform)


def test_a_crowd_is_put_in_line_at_the_pace_at_which_it_is_let_in() -> None:
    door = a_door(Clock())
    admitted = sum(door.take() for _ in range(1_010))
    assert admitted == BURST
    assert door.are_too_many
    waits = Counter(door.retry_after_s() for _ in range(1_000))
    assert min(waits) == 1
    assert 10 <= max(waits) <= 13
    assert max(waits.values()) <= PER_S * 1.5


def test_the_line_gets_shorter_with_time_and_has_an_end() -> None:
    clock = Clock()
    door = a_door(clock)
    for _ in range(1_000):
        door.retry_after_s()
    clock.now_ms += 9_000
    assert door.retry_after_s() <= 4
    clock.now_ms += 60_000
    assert door.retry_after_s() == 1
    for _ in range(100_000):
        longest_s = door.retry_after_s()
    assert longest_s == 60


def test_a_crowd_that_comes_as_told_is_in_within_little_more_than_its_share() -> None:
    clock = Clock()
    door = a_door(clock)
    chance = random.Random(2)
    began_ms = clock.now_ms
    due = [began_ms + int(chance.uniform(0, 1_000)) for _ in range(2_000)]
    attempts = 0
    while due:
        due.sort(reverse=True)
        clock.now_ms = max(clock.now_ms, due.pop())
        attempts += 1
        if not door.take():
            due.append(clock.now_ms + 1_000 * door.retry_after_s() + int(chance.uniform(0, 1_000)))
    assert (clock.now_ms - began_ms) / 1_000 <= 1.6 * 2_000 / PER_S
    assert attempts <= 3 * 2_000
