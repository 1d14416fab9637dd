"""When a client comes back, and when it fetches a fresh token."""

import base64

import msgspec
import pytest

from router.client.backoff import Backoff
from router.client.tokens import TokenSource, refresh_after_s


def the_longest(low: float, high: float) -> float:
    assert low == 0.0
    return high


def a_token(**claims: object) -> str:
    body = base64.urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=").decode()
    return f"e30.{body}.sig"


def test_the_bound_doubles_up_to_half_a_minute() -> None:
    backoff = Backoff(uniform=the_longest)
    assert [backoff.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_the_jitter_is_full() -> None:
    waits = [Backoff().next_s() for _ in range(500)]
    assert min(waits) < 0.1
    assert max(waits) > 0.9
    assert all(0 <= wait <= 1 for wait in waits)


def test_a_hint_of_the_server_is_waited_for_in_any_case() -> None:
    assert Backoff(uniform=the_longest).next_s(5.0) == 6.0


def test_a_good_connection_begins_anew_and_a_bad_one_does_not() -> None:
    backoff = Backoff(uniform=the_longest)
    for _ in range(4):
        backoff.next_s()
    backoff.held(0.1)
    assert backoff.next_s() == 16
    backoff.held(60)
    assert backoff.next_s() == 1


def test_a_very_long_outage_overflows_nothing() -> None:
    backoff = Backoff(uniform=the_longest)
    for _ in range(5_000):
        wait = backoff.next_s()
    assert wait == 30


def test_a_token_is_renewed_well_before_its_end() -> None:
    assert refresh_after_s(a_token(iat=5_000, exp=6_001)) == 800


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b.c", a_token(exp=5_000), "e30.!!!.x", a_token(), "e30.e30.x"]
)
def test_a_token_that_does_not_say_when_it_ends_is_not_renewed(token: str) -> None:
    assert refresh_after_s(token) is None


async def test_a_provider_may_be_a_function_or_a_coroutine_function() -> None:
    async def later() -> str:
        return "b"

    assert await TokenSource("a").fetch() == "a"
    assert await TokenSource(lambda: "c").fetch() == "c"
    assert await TokenSource(later).fetch() == "b"
    assert not TokenSource("a").is_renewable
    assert TokenSource(later).is_renewable
