"""Whose bytes are read in this turn of the loop: desktops' sockets are asked for a bounded number at a time.

The loop reads whatever can be read, in one go. When a switch fails, that is ten thousand ends at once, and everybody else
waits until all of them are dealt with. So desktops have an ``epoll`` of their own inside the loop's: what has come is read from so
many in a turn, and a connection whose end has come is put aside, which is cheap, and ended in its turn, a few at a time.

Not for TLS, where the transport alone can read; there, and where the kernel has no ``epoll``, the loop reads as it does.
"""

import asyncio
import os
import select
from collections import deque
from contextlib import suppress
from typing import Final, Protocol

_EVENTS: Final = getattr(select, "EPOLLIN", 0) | getattr(select, "EPOLLRDHUP", 0)
_READS_MAX: Final = 64
"""Of one turn."""
_ASKED_AT_ONCE: Final = 128
_ASKED_MAX: Final = 4
"""So often, for that many, in one turn: to put an end aside is a microsecond or two."""
_ENDED_AT_ONCE: Final = 16
_READ_BYTES: Final = 64 * 1024


class Reader(Protocol):
    """Whose turn it is."""

    def data_received(self, data: bytes) -> None:
        """Bytes that have come."""

    def leave_to_the_loop(self) -> None:
        """Its end has come, or something is wrong: let the transport find out."""


class Readiness:
    """The desktops that are read from in turn."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._readers: dict[int, Reader] = {}
        self._ended: deque[Reader] = deque()
        self._loop.add_reader(self._epoll.fileno(), self._turn)

    def add(self, fd: int, reader: Reader) -> None:
        """Read from it from now on."""
        self._epoll.register(fd, _EVENTS)
        self._readers[fd] = reader

    def remove(self, fd: int) -> None:
        """Read from it no more. Idempotent; before the descriptor is closed."""
        if self._readers.pop(fd, None) is not None:
            with suppress(OSError, ValueError):
                self._epoll.unregister(fd)

    def close(self) -> None:
        """Read from nobody any more."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
        for reader in (*self._readers.values(), *self._ended):
            reader.leave_to_the_loop()
        self._readers.clear()
        self._ended.clear()

    def _turn(self) -> None:
        reads = 0
        for _ in range(_ASKED_MAX):
            ready = self._epoll.poll(0, _ASKED_AT_ONCE)
            for fd, events in ready:
                # An earlier one of this turn may have ended it.
                reader = self._readers.get(fd)
                if reader is None:
                    continue
                if events != select.EPOLLIN:
                    self._put_aside(fd, reader)
                else:
                    reads += 1
                    self._read(fd, reader)
            if reads >= _READS_MAX or len(ready) < _ASKED_AT_ONCE:
                return

    def _read(self, fd: int, reader: Reader) -> None:
        try:
            data = os.read(fd, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            reader.data_received(data)
        else:
            self._put_aside(fd, reader)

    def _put_aside(self, fd: int, reader: Reader) -> None:
        self.remove(fd)
        if not self._ended:
            self._loop.call_soon(self._end_some)
        self._ended.append(reader)

    def _end_some(self) -> None:
        for _ in range(min(_ENDED_AT_ONCE, len(self._ended))):
            self._ended.popleft().leave_to_the_loop()
        if self._ended:
            self._loop.call_soon(self._end_some)
