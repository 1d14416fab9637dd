"""Reconnect delays, and the time at which a client fetches a fresh token."""

import base64

import msgspec
import pytest

from router.client.reconnect import Backoff, TokenSource, refresh_after_s


def upper_bound(low: float, high: float) -> float:
    assert low == 0.0
    return high


def a_token(**claims: object) -> str:
    body = base64.urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=").decode()
    return f"e30.{body}.sig"


def test_the_upper_bound_of_the_delay_doubles_up_to_thirty_seconds() -> None:
    backoff = Backoff(uniform=upper_bound)
    assert [backoff.next_delay_s() for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_the_jitter_covers_the_whole_range() -> None:
    waits = [Backoff().next_delay_s() for _ in range(500)]
    assert min(waits) < 0.1
    assert max(waits) > 0.9
    assert all(0 <= wait <= 1 for wait in waits)


def test_the_delay_requested_by_the_server_is_added() -> None:
    assert Backoff(uniform=upper_bound).next_delay_s(5.0) == 6.0


def test_only_a_stable_connection_resets_the_backoff() -> None:
    backoff = Backoff(uniform=upper_bound)
    for _ in range(4):
        backoff.next_delay_s()
    backoff.connection_lasted(0.1)
    assert backoff.next_delay_s() == 16
    backoff.connection_lasted(60)
    assert backoff.next_delay_s() == 1


def test_a_very_long_outage_does_not_overflow() -> None:
    backoff = Backoff(uniform=upper_bound)
    for _ in range(5_000):
        wait = backoff.next_delay_s()
    assert wait == 30


def test_a_token_is_refreshed_well_before_it_expires() -> None:
    assert refresh_after_s(a_token(iat=5_000, exp=6_001)) == 800


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", a_token(exp=5_000), "e30.!!!.x", a_token(), "e30.e30.x"])
def test_a_token_without_lifetime_claims_is_not_refreshed(token: str) -> None:
    assert refresh_after_s(token) is None


async def test_a_provider_may_be_a_function_or_a_coroutine_function() -> None:
    async def later() -> str:
        return "b"

    assert await TokenSource("a").fetch() == "a"
    assert await TokenSource(lambda: "c").fetch() == "c"
    assert await TokenSource(later).fetch() == "b"
    assert not TokenSource("a").is_renewable
    assert TokenSource(later).is_renewable
