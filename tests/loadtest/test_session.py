"""Session of a load test: the router's URL and the limit of parallel connects."""

import asyncio

import pytest

from router.loadtest.session import _PARALLEL_CONNECTS_MAX, RouterTarget, _run_in_parallel


@pytest.mark.parametrize(("url", "socket_url"), [("http://host:1", "ws://host:1"), ("https://host:1", "wss://host:1")])
def test_the_url_of_the_sockets_has_the_scheme_of_the_router(url: str, socket_url: str) -> None:
    target = RouterTarget(url=url, token_factory=lambda role, subject: lambda: "token")
    assert target.socket_url == socket_url


async def test_connects_run_in_parallel_up_to_a_limit() -> None:
    running = highest = done = 0

    async def connect() -> None:
        nonlocal running, highest, done
        running += 1
        highest = max(highest, running)
        await asyncio.sleep(0)
        running -= 1
        done += 1

    await _run_in_parallel([connect() for _ in range(3 * _PARALLEL_CONNECTS_MAX)])
    assert (highest, done) == (_PARALLEL_CONNECTS_MAX, 3 * _PARALLEL_CONNECTS_MAX)
