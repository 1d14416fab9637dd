"""The journal's one thread: jobs in, in order; results back to whoever waits.

An executor does the same for three times the price: a commit is a hand-over and back, and at a thousand commits a second
two futures and two condition variables for each are felt.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class JournalThread:
    """A running thread. What was handed over is carried out, whether or not somebody still waits for it."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon: an interpreter that ends without ``end`` must not wait for jobs that nobody will hand over any more.
        threading.Thread(target=self._work, name="journal", daemon=True).start()

    def call(self, job: Callable[[], T]) -> "asyncio.Future[T]":
        """Carry out a job; its result, or what it raised, in a future of the running loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = job()
            except BaseException as error:
                _tell(loop, _fail, future, error)
            else:
                _tell(loop, _settle, future, result)

        self._jobs.put(work)
        return future

    def post(self, job: Callable[[], object]) -> None:
        """Carry out a job that keeps its own faults; nobody waits."""

        def work() -> None:
            with suppress(Exception):
                job()

        self._jobs.put(work)

    def wait_for(self, job: Callable[[], T]) -> T:
        """Carry out a job and block until it is done. Raises what it raises."""
        done = threading.Event()
        results: list[T] = []
        faults: list[BaseException] = []

        def work() -> None:
            try:
                results.append(job())
            except BaseException as error:
                faults.append(error)
            done.set()

        self._jobs.put(work)
        done.wait()
        if faults:
            raise faults[0]
        return results[0]

    def end(self) -> None:
        """No more jobs: the thread ends after those that it has."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _tell(loop: asyncio.AbstractEventLoop, tell: Callable[..., None], *arguments: object) -> None:
    # A loop that has been closed has nobody left who waits.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(tell, *arguments)


def _settle(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[T]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
