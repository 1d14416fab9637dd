"""What waits to be sent to one client: bounded, and written once a loop tick.

Frames put in the same tick leave in one write. What the kernel does not take stays in the transport's buffer; when more
frames or bytes wait there than the limits say, the client is too slow: it is told so by a close that it may resume from,
and nobody else waits for it. The server's frames are neither masked nor compressed, so a frame is a header and its payload,
and one that many clients get is built once.
"""

from collections.abc import Callable
from typing import Any, Protocol

import structlog

_log = structlog.get_logger(__name__)


class WriteTransport(Protocol):
    """The part of an asyncio transport that is used here."""

    def write(self, data: bytes) -> None:
        """Take bytes; never blocks."""

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet."""

    def is_closing(self) -> bool:
        """True once nothing can be written any more."""


class EndOfTick:
    """Calls at the end of a loop tick: one callback of the loop for all outboxes, however many are written to.

    Not at the end of the writer's turn, which would be a little sooner: what two turns have to say would leave in two writes.
    """

    def __init__(self, call_soon: Callable[..., Any]) -> None:
        self._call_soon = call_soon
        self._due: list[Callable[[], None]] = []

    def call(self, what: Callable[[], None]) -> None:
        """Call it once, soon."""
        if not self._due:
            self._call_soon(self._run)
        self._due.append(what)

    def _run(self) -> None:
        due, self._due = self._due, []
        for what in due:
            try:
                what()
            except Exception:
                # One connection's affair: the others write.
                _log.exception("an outbox failed", action="outbox_failed")


class Outbox:
    """The outbox of one connection. Only its owner puts; nobody awaits."""

    __slots__ = (
        "_bytes_max",
        "_call_soon",
        "_closed",
        "_count_max",
        "_on_overflow",
        "_tick",
        "_transport",
        "_waiting_count",
        "_writes",
        "_written_bytes",
    )

    def __init__(
        self,
        transport: WriteTransport,
        *,
        call_soon: Callable[..., Any],
        count_max: int,
        bytes_max: int,
        on_overflow: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._call_soon = call_soon
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._on_overflow = on_overflow
        self._tick: list[bytes] = []
        self._closed = False
        # Writes that the kernel may not have taken yet: where each ends in the stream, and how many frames it holds.
        self._writes: list[tuple[int, int]] = []
        self._waiting_count = 0
        self._written_bytes = 0

    @property
    def waiting_count(self) -> int:
        """Frames that have not left the process, as of the last write."""
        return self._waiting_count + len(self._tick)

    def put(self, frame: bytes) -> None:
        """Send a whole frame at the end of this tick. After ``close`` it is dropped."""
        if self._closed:
            return
        if not self._tick:
            self._call_soon(self.flush)
        self._tick.append(frame)

    def flush(self) -> None:
        """Write what has come since the last time."""
        frames = self._tick
        if not frames or self._closed:
            return
        transport = self._transport
        if transport.is_closing():
            self.close()
            return
        count = len(frames)
        data = frames[0] if count == 1 else b"".join(frames)
        frames.clear()
        if self._exceeds(count, len(data)):
            tell = self._on_overflow
            self.close()
            tell()
            return
        transport.write(data)
        self._written_bytes += len(data)
        self._waiting_count += count
        self._writes.append((self._written_bytes, count))

    def close(self) -> None:
        """Take nothing more and forget what was not written."""
        self._closed = True
        self._tick = []
        self._writes.clear()
        self._waiting_count = 0
        # Its owner holds it: without a circle both are gone at once.
        self._on_overflow = _nothing

    def _exceeds(self, count: int, size: int) -> bool:
        """Whether so much more is too much. A client that has taken everything before is never too slow."""
        buffered = self._transport.get_write_buffer_size()
        if buffered == 0:
            self._writes.clear()
            self._waiting_count = 0
            return False
        taken = self._written_bytes - buffered
        gone = 0
        while gone < len(self._writes) and self._writes[gone][0] <= taken:
            self._waiting_count -= self._writes[gone][1]
            gone += 1
        if gone:
            del self._writes[:gone]
        return self._waiting_count + count > self._count_max or buffered + size > self._bytes_max


def _nothing() -> None:
    pass
