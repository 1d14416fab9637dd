"""Admission control: request rates by credential, and a bound on the requests in flight.

Rates are token buckets (capacity ``burst``, refilled at ``per_s``). The number of buckets is bounded: the one used longest
ago is evicted first. A credential whose bucket was evicted starts with a full one; in a table of the configured size the
evicted bucket is normally full again by then.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from router.protocol.session import TokenBucket
from router.server.api.problems import ProblemError
from router.settings import ServerSettings

_SHARED_KEY: Final = ""


class RateLimiter:
    """Token buckets by key, at most ``keys_max``; the least recently used is evicted."""

    def __init__(self, *, per_s: float, burst: float, keys_max: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._keys_max = keys_max
        self._now_s = now_s
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, key: str) -> int | None:
        """Take one token; return None, or the seconds to wait if the bucket is empty."""
        now_ms = self._now_s() * 1000
        buckets = self._buckets
        bucket = buckets.get(key)
        if bucket is None:
            bucket = buckets[key] = TokenBucket(self._per_s, self._burst, now_ms=now_ms)
            if len(buckets) > self._keys_max:
                buckets.popitem(last=False)
        else:
            buckets.move_to_end(key)
        if bucket.try_acquire(now_ms):
            return None
        return max(1, round(bucket.wait_s))


class AdmissionControl:
    """Limits of the HTTP API: requests in flight, rates by credential and failed logins."""

    def __init__(self, settings: ServerSettings, now_s: Callable[[], float] = time.monotonic) -> None:
        self._in_flight_max = settings.in_flight_max
        self._rates = RateLimiter(
            per_s=settings.requests_per_s, burst=settings.requests_burst, keys_max=settings.credentials_tracked_max, now_s=now_s
        )
        # A single bucket: requests without a valid credential cannot be attributed.
        self._failures = RateLimiter(
            per_s=settings.failed_logins_per_s, burst=settings.failed_logins_per_s * 2, keys_max=1, now_s=now_s
        )
        self.in_flight = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot among the requests in flight. Raises ProblemError if none is free."""
        if not self.acquire_slot():
            raise ProblemError("busy")
        try:
            yield
        finally:
            self.release_slot()

    def acquire_slot(self) -> bool:
        """Acquire a slot, to be released by ``release_slot``; return whether one was free."""
        if self.in_flight >= self._in_flight_max:
            return False
        self.in_flight += 1
        return True

    def release_slot(self) -> None:
        """Release a slot."""
        self.in_flight -= 1

    def check_rate(self, credential_key: str) -> None:
        """Count a request of a credential. Raises ProblemError above its rate."""
        wait_s = self._rates.take(credential_key)
        if wait_s is not None:
            raise ProblemError("rate_limited", retry_after_s=wait_s)

    def count_failed_login(self) -> None:
        """Count a request without a valid credential. Raises ProblemError above the limit of all such requests."""
        wait_s = self._failures.take(_SHARED_KEY)
        if wait_s is not None:
            raise ProblemError("rate_limited", retry_after_s=wait_s)
