"""The journal's thread: in order, whoever waits hears, and what was handed over is carried out."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from router.journal.thread import JournalThread


@pytest.fixture
async def thread() -> AsyncIterator[JournalThread]:
    running = JournalThread()
    yield running
    running.end()


def fail() -> None:
    raise OSError("no disk")


async def test_jobs_are_carried_out_in_order_beside_the_loop(thread: JournalThread) -> None:
    order: list[int] = []
    futures = [thread.call(lambda n=n: order.append(n)) for n in range(20)]  # type: ignore[misc]
    thread.post(lambda: order.append(20))
    assert thread.wait_for(threading.get_ident) != threading.get_ident()
    assert order == list(range(21))
    await asyncio.gather(*futures)


async def test_who_waits_gets_the_result_or_the_fault(thread: JournalThread) -> None:
    assert await thread.call(lambda: 7) == 7
    assert thread.wait_for(lambda: 8) == 8
    with pytest.raises(OSError, match="no disk"):
        await thread.call(fail)
    with pytest.raises(OSError, match="no disk"):
        thread.wait_for(fail)


async def test_a_posted_job_that_fails_leaves_the_thread_alive(thread: JournalThread) -> None:
    thread.post(fail)
    assert await thread.call(lambda: 7) == 7


async def test_a_job_is_carried_out_also_where_nobody_waits_any_more(
    thread: JournalThread,
) -> None:
    may_begin, done = threading.Event(), threading.Event()
    thread.post(may_begin.wait)
    waiting = thread.call(done.set)
    waiting.cancel()
    may_begin.set()
    assert await asyncio.to_thread(done.wait, 10)
    assert await thread.call(lambda: 7) == 7
