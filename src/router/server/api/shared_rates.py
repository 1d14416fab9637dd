"""Rates of clients over several nodes: each node counts by itself and tells the store what was taken, in batches.

Theory of operation. No request waits for the store. A node takes tokens from its own bucket, which has the whole rate and burst.
When a quarter of a burst was taken that the store does not know of, or the bucket is empty, the bucket is exchanged: every quarter
of a second all such buckets tell the store, in one pipeline, what they have taken, and learn how many tokens are left over all
nodes. The bucket in the store can be in debt; a node that learns of it refuses until it is repaid.

So a client that uses several nodes gets, at first, at most the burst of each node, and then its rate over all nodes together. While
the store does not answer, each node limits by itself (with N nodes, N times the rate), and nothing waits; afterwards it tells at
most one burst of that time. A reply that was lost may have counted what is then told again: such a client waits that much longer.

The keys in the store are hashes of the credentials and addresses; they expire when their bucket is full again.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from itertools import islice
from typing import Final

from router.cluster.redis.scripts import TAKE_TOKENS
from router.cluster.redis.shared_store import SharedStore
from router.journal.redis.client import Request
from router.journal.redis.connection import StoreRefusal
from router.journal.redis.scripts import evalsha
from router.model.errors import SharedStateUnavailable
from router.protocol.session import TokenBucket

EXCHANGE_S: Final = 0.25
TOLD_FRACTION: Final = 4
"""A part of the burst: what is taken without telling the store."""
DEBT_BURSTS_MAX: Final = 10

# Buckets in one pipeline: less than a millisecond of the event loop.
_AT_ONCE: Final = 200


class SharedBucket(TokenBucket):
    """The bucket of one key on this node."""

    __slots__ = ("_due", "_tell_at", "store_key", "untold")

    def __init__(
        self, store_key: str, per_s: float, burst: float, *, now_ms: float, setting: str, due: "dict[SharedBucket, None]"
    ) -> None:
        """``due``: the buckets that are to be exchanged, to which this one adds itself."""
        super().__init__(per_s, burst, now_ms=now_ms, setting=setting)
        self.store_key: Final = store_key
        self.untold = 0
        """Tokens taken that the store has not been told of."""
        self._tell_at = max(1.0, burst / TOLD_FRACTION)
        self._due = due

    def try_acquire(self, now_ms: float) -> bool:
        """Take one token; return false if there is none."""
        is_taken = super().try_acquire(now_ms)
        self.untold += is_taken
        if self.untold >= self._tell_at or not is_taken:
            self._due[self] = None
        return is_taken

    def request(self) -> Request:
        """Return what tells the store that tokens were taken."""
        # More than a burst was taken over a time in which the bucket was filled again.
        taken = min(float(self.untold), self._burst)
        debt = DEBT_BURSTS_MAX * self._burst
        numbers = (repr(number) for number in (self._per_ms, self._burst, taken, debt))
        return Request(self.store_key, evalsha(TAKE_TOKENS, [self.store_key], *numbers))

    def learn(self, level: float, counted: int) -> None:
        """Take over how many tokens were left over all nodes when ``counted`` were untold."""
        self.untold -= counted
        self._tokens = min(self._tokens, level - self.untold)


class SharedRates:
    """The buckets of this node, and their exchange with the store."""

    def __init__(self, store: SharedStore, *, prefix: str, now_ms: Callable[[], float] = lambda: time.monotonic() * 1_000) -> None:
        self._store = store
        self._prefix = prefix
        self._now_ms = now_ms
        self._due: dict[SharedBucket, None] = {}

    def bucket(self, key: str, per_s: float, burst: float, *, now_ms: float, setting: str) -> SharedBucket:
        """Return a bucket for a key of which none is known here."""
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, person=b"router-rate").hexdigest()
        return SharedBucket(f"{self._prefix}:{{r-{digest}}}:rate", per_s, burst, now_ms=now_ms, setting=setting, due=self._due)

    async def run(self) -> None:
        """Exchange again and again, until cancelled."""
        while True:
            await asyncio.sleep(EXCHANGE_S)
            with suppress(SharedStateUnavailable):
                await self.exchange()

    async def exchange(self) -> None:
        """Exchange every bucket that is due. Raises SharedStateUnavailable; these stay due."""
        waiting = len(self._due)
        while waiting > 0 and self._due:
            batch = list(islice(self._due, _AT_ONCE))
            waiting -= len(batch)
            await self._exchange(batch)

    async def _exchange(self, batch: list[SharedBucket]) -> None:
        counts = [bucket.untold for bucket in batch]
        replies = await self._store.run([bucket.request() for bucket in batch])
        for bucket, counted, reply in zip(batch, counts, replies, strict=True):
            self._due.pop(bucket, None)
            if not isinstance(reply, StoreRefusal):
                bucket.learn(float(reply), counted)
