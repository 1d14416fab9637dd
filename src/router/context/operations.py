"""An operation that waits for the thread of the customer context, and how its result comes back to the event loop.

Two results may be wanted. What a contact waits for is wanted as soon as the operation has run (``early``), before it is durable:
by a future, or by a callback that the event loop calls at once. That it is durable is told by ``future``, which is all that other
callers wait for. Both are completed on the event loop that has asked, by the thread of the store; one that is done already, because
its caller has stopped waiting, is left as it is.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from router.context.customers import ContextUnavailable
from router.context.port import ContextStore

T = TypeVar("T")


class QueuedOperation:
    """A function that waits for the thread, and the future of its result."""

    __slots__ = ("early", "erases", "future", "loop", "run")

    def __init__(
        self, run: Callable[[ContextStore], Any], loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]", erases: bool
    ) -> None:
        self.run = run
        self.loop = loop
        self.future = future
        """Completed when the operation is durable."""
        self.early: asyncio.Future[Any] | ResultCallback | None = None
        """Completed when the operation has run, before it is durable."""
        self.erases = erases


class ResultCallback:
    """Takes the place of a future whose result is wanted at once, without a further iteration of the event loop."""

    __slots__ = ("_is_done", "_then")

    def __init__(self, then: Callable[[Any, BaseException | None], None]) -> None:
        self._then = then
        self._is_done = False

    def done(self) -> bool:
        return self._is_done

    def cancelled(self) -> bool:
        return False

    def set_result(self, result: object) -> None:
        self._is_done = True
        self._then(result, None)

    def set_exception(self, error: BaseException) -> None:
        self._is_done = True
        self._then(None, error)


def retrieve(done: "asyncio.Future[Any]") -> None:
    """Take note of the exception of a future that may have no other reader."""
    if not done.cancelled():
        done.exception()


def fail(one: QueuedOperation, failure: BaseException) -> None:
    """Tell those who wait for an operation that it has failed."""
    if one.early is not None:
        complete(one.loop, one.early, error=failure)
    complete(one.loop, one.future, error=failure)


def complete(
    loop: asyncio.AbstractEventLoop,
    future: "asyncio.Future[Any] | ResultCallback",
    *,
    result: object = None,
    error: BaseException | None = None,
) -> None:
    """Set the result of an operation, or what it has raised, on the event loop."""

    def set_now() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    # A closed event loop raises RuntimeError; no caller is waiting on it any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(set_now)


async def within(seconds: float | None, future: "asyncio.Future[T]") -> T:
    """Return the result of an operation. Raises what it raises, and ContextUnavailable after this time; None: without limit."""
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        raise ContextUnavailable(f"the customer context did not answer within {seconds} s") from None
