"""Session of a load test: the router's URL and the limit of parallel connects."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from router.loadtest.session import _PARALLEL_CONNECTS_MAX, LoadTestSession, RouterTarget, _run_in_parallel
from router.loadtest.tracker import ContactTracker


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


def a_session(*, submitted: bool = True, work: int = 0, timers: int = 0, idle_s: float = 60.0) -> LoadTestSession:
    """Return a session of one agent whose day has no schedule left, after ``idle_s`` without an event."""
    context = SimpleNamespace(tracker=ContactTracker([]), clock=InstantClock(), workforce=None, tasks=SimpleNamespace(start=None))
    agent = SimpleNamespace(agent=SimpleNamespace(agent_id="ada", shifts=()), open_work_count=work)
    return LoadTestSession(
        day=cast(Any, SimpleNamespace(levels=())),
        context=cast(Any, context),
        agents=cast(Any, [agent]),
        customers=cast(Any, SimpleNamespace(all_submitted=submitted, patience_timer_count=timers)),
        monitor=cast(Any, SimpleNamespace(last_event_at_s=asyncio.get_running_loop().time() - idle_s)),
    )


class InstantClock:
    async def sleep_until(self, _: int) -> None:
        pass


async def test_a_day_is_stalled_when_nothing_can_happen_any_more() -> None:
    session = a_session()
    assert not session._is_stalled(), "a shift may begin"
    await session._run_schedule()
    assert session._is_stalled()
    for other in (a_session(submitted=False), a_session(work=1), a_session(timers=1), a_session(idle_s=1.0)):
        await other._run_schedule()
        assert not other._is_stalled()
