"""Waking up at a time, to some tens of microseconds: the loop's own timers count whole milliseconds."""

import asyncio
import ctypes
import os
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
_MONOTONIC: Final = 1
"""The clock of ``time.perf_counter_ns``."""
_ABSOLUTE: Final = 1


class _Span(ctypes.Structure):
    _fields_ = (("interval_s", ctypes.c_int64 * 2), ("value", ctypes.c_int64 * 2))


class KernelTimer:
    """One timer of the kernel (``timerfd``), for one who waits."""

    def __init__(self) -> None:
        self._fd: int = _libc.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._loop.add_reader(self._fd, self._ring)

    async def sleep_until(self, at_ns: int) -> None:
        """Return at that time, by ``time.perf_counter_ns``; at once where it is over."""
        self._waiter = self._loop.create_future()
        span = _Span(value=(ctypes.c_int64 * 2)(*divmod(at_ns, 1_000_000_000)))
        if _libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(span), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        await self._waiter

    def _ring(self) -> None:
        os.read(self._fd, 8)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """No more."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
