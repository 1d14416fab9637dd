"""The contract of the makers of token buckets (``NewBucket``); the test file of each runs all of it.

``nodes`` make the buckets of two nodes with the same shared rates; in memory both are the same process. Times are real, because
the server has its own clock.
"""

import asyncio
import time
from typing import Protocol

from router.server.api.admission import NewBucket, RateLimiter

PER_S, BURST = 40.0, 20.0


class RateNode(Protocol):
    """A node; its exchange with the others goes on by itself."""

    @property
    def new_bucket(self) -> NewBucket:
        """The maker of its buckets."""
        ...


def limiter(node: RateNode, *, per_s: float = PER_S, burst: float = BURST) -> RateLimiter:
    return RateLimiter(per_s=per_s, burst=burst, keys_max=100, setting="a.rate", new_bucket=node.new_bucket)


def limiters(nodes: list[RateNode], *, per_s: float = PER_S, burst: float = BURST) -> list[RateLimiter]:
    """Return the limiter of each node; one where they are the same process."""
    made = {id(node): limiter(node, per_s=per_s, burst=burst) for node in nodes}
    return [made[id(node)] for node in nodes]


class RatesContract:
    """The tests of the contract; subclasses provide the fixture ``nodes``."""

    async def test_a_burst_is_let_through_at_once_and_then_the_time_to_wait_is_told(self, nodes: list[RateNode]) -> None:
        rates = limiter(nodes[0], per_s=2)
        assert [rates.take("ada") for _ in range(int(BURST))] == [None] * int(BURST)
        wait_s = rates.take("ada")
        assert wait_s is not None and 0 < wait_s <= 0.5
        assert rates.take("bob") is None
        await asyncio.sleep(wait_s + 0.05)
        assert rates.take("ada") is None

    async def test_a_client_of_several_nodes_gets_its_rate_over_all_of_them(self, nodes: list[RateNode]) -> None:
        both = limiters(nodes)
        started_s, taken = time.monotonic(), 0
        while time.monotonic() - started_s < 3:
            for rates in both:
                taken += rates.take("ada") is None
            await asyncio.sleep(0.004)
        passed_s = time.monotonic() - started_s
        # The burst of each node, what was not told yet, and the rate; two rates would be 260 and more.
        assert PER_S * passed_s * 0.8 < taken <= 2 * BURST + BURST / 2 + PER_S * (passed_s + 0.25)

    async def test_what_a_client_has_used_up_on_one_node_is_used_up_on_the_other(self, nodes: list[RateNode]) -> None:
        here, there = limiters(nodes, per_s=0.5)
        assert there.take("ada") is None
        while here.take("ada") is None:
            pass
        await asyncio.sleep(0.6)
        # It learns of it with what it lets through itself.
        let_through = 0
        for _ in range(20):
            let_through += there.take("ada") is None
            await asyncio.sleep(0.05)
        assert let_through <= BURST / 2

    async def test_a_client_below_its_rate_is_never_refused(self, nodes: list[RateNode]) -> None:
        both = limiters(nodes)
        for number in range(60):
            assert both[number % 2].take("ada") is None
            await asyncio.sleep(1.1 / PER_S)
