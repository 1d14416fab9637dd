"""How much is let in: a rate for each credential, and a bound on the work that is under way.

Token buckets (capacity ``burst``, refilled at ``per_s``). What is remembered is bounded: the credential seen longest ago goes
first, and a forgotten one begins with a full bucket, which is all that it could have saved up in that time.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from router.edge.problems import ProblemRaised
from router.settings import EdgeSettings

_EVERYBODY: Final = ""


class RateLimiter:
    """A token bucket for each key."""

    def __init__(
        self,
        *,
        per_s: float,
        burst: float,
        keys_max: int,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._keys_max = keys_max
        self._now_s = now_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> int | None:
        """Pay for one; None, or the seconds to wait when there is nothing left to pay with."""
        now_s = self._now_s()
        left, at_s = self._buckets.pop(key, (self._burst, now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        wait_s = None
        if left >= 1:
            left -= 1
        else:
            wait_s = max(1, round((1 - left) / self._per_s))
        self._buckets[key] = (left, now_s)
        if len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)
        return wait_s


class Admission:
    """Decides whether a request is worked on."""

    def __init__(self, settings: EdgeSettings, now_s: Callable[[], float] = time.monotonic) -> None:
        self._in_flight_max = settings.in_flight_max
        self._rates = RateLimiter(
            per_s=settings.requests_per_s,
            burst=settings.requests_burst,
            keys_max=settings.credentials_tracked_max,
            now_s=now_s,
        )
        # One bucket for all: whoever has no credential has no name either.
        self._failures = RateLimiter(
            per_s=settings.failed_logins_per_s,
            burst=settings.failed_logins_per_s * 2,
            keys_max=1,
            now_s=now_s,
        )
        self.in_flight = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A place among the requests in work. Raises ProblemRaised when none is free."""
        if not self.enter():
            raise ProblemRaised("busy")
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> bool:
        """Take a place, to be left by ``leave``; false: none is free."""
        if self.in_flight >= self._in_flight_max:
            return False
        self.in_flight += 1
        return True

    def leave(self) -> None:
        """A place is free again."""
        self.in_flight -= 1

    def admit(self, credential_key: str) -> None:
        """Count a request of this credential. Raises ProblemRaised above its rate."""
        wait_s = self._rates.take(credential_key)
        if wait_s is not None:
            raise ProblemRaised("rate_limited", retry_after_s=wait_s)

    def count_failure(self) -> None:
        """Count a request with a bad credential. Raises ProblemRaised when there are too many of them."""
        wait_s = self._failures.take(_EVERYBODY)
        if wait_s is not None:
            raise ProblemRaised("rate_limited", retry_after_s=wait_s)
