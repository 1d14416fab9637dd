"""The journal thread: jobs run in order, callers get results, submitted jobs always run."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from router.journal.sqlite.journal import JournalThread


@pytest.fixture
async def thread() -> AsyncIterator[JournalThread]:
    running = JournalThread()
    yield running
    running.stop()


def fail() -> None:
    raise OSError("no disk")


async def test_jobs_run_in_order_on_another_thread(thread: JournalThread) -> None:
    order: list[int] = []
    futures = [thread.run(lambda n=n: order.append(n)) for n in range(20)]  # type: ignore[misc]
    thread.run_detached(lambda: order.append(20))
    assert thread.run_blocking(threading.get_ident) != threading.get_ident()
    assert order == list(range(21))
    await asyncio.gather(*futures)


async def test_a_caller_gets_the_result_or_the_exception(thread: JournalThread) -> None:
    assert await thread.run(lambda: 7) == 7
    assert thread.run_blocking(lambda: 8) == 8
    with pytest.raises(OSError, match="no disk"):
        await thread.run(fail)
    with pytest.raises(OSError, match="no disk"):
        thread.run_blocking(fail)


async def test_a_failing_detached_job_leaves_the_thread_alive(thread: JournalThread) -> None:
    thread.run_detached(fail)
    assert await thread.run(lambda: 7) == 7


async def test_a_job_runs_even_if_its_caller_is_cancelled(thread: JournalThread) -> None:
    may_begin, done = threading.Event(), threading.Event()
    thread.run_detached(may_begin.wait)
    waiting = thread.run(done.set)
    waiting.cancel()
    may_begin.set()
    assert await asyncio.to_thread(done.wait, 10)
    assert await thread.run(lambda: 7) == 7
