"""Admission control: rates by credential, requests in flight, failed logins."""

import pytest

from router.server.api.admission import AdmissionControl, RateLimiter
from router.server.api.problems import ProblemError
from router.settings import ServerSettings


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_is_admitted_and_then_the_rate_applies() -> None:
    clock = Clock()
    limiter = RateLimiter(per_s=2, burst=3, keys_max=10, now_s=clock)
    assert [limiter.take("a") for _ in range(4)] == [None, None, None, 1]
    assert limiter.take("b") is None
    clock.now_s += 0.5
    assert limiter.take("a") is None and limiter.take("a") == 1


def test_a_slow_rate_returns_the_waiting_time() -> None:
    limiter = RateLimiter(per_s=0.1, burst=1, keys_max=10, now_s=Clock())
    assert limiter.take("a") is None
    assert limiter.take("a") == 10


def test_the_number_of_buckets_is_limited() -> None:
    clock = Clock()
    limiter = RateLimiter(per_s=1, burst=1, keys_max=2, now_s=clock)
    for key in ("a", "b", "c"):
        assert limiter.take(key) is None
    assert limiter.take("c") == 1, "the newest bucket is kept"
    assert limiter.take("a") is None, "the oldest bucket was evicted"


def test_requests_in_flight_are_limited_and_slots_released() -> None:
    admission = AdmissionControl(ServerSettings(in_flight_max=1))
    with admission.slot(), pytest.raises(ProblemError, match="busy"), admission.slot():
        pass
    with admission.slot():
        assert admission.in_flight == 1
    assert admission.in_flight == 0


def test_failed_logins_share_one_bucket() -> None:
    admission = AdmissionControl(ServerSettings(failed_logins_per_s=1), now_s=Clock())
    admission.count_failed_login()
    admission.count_failed_login()
    with pytest.raises(ProblemError, match="rate_limited"):
        admission.count_failed_login()
