"""What waits to be sent to one client: bounded, and written once a loop tick.

Frames put in the same tick leave in one write. What the kernel does not take stays in the transport's buffer; when more
frames or bytes wait there than the limits say, the client is too slow: it is told so by a close that it may resume from,
and nobody else waits for it. The server's frames are neither masked nor compressed, so a frame is a header and its payload,
and one that many clients get is built once.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

_OPCODE_TEXT: Final = 0x81
_OPCODE_BINARY: Final = 0x82


class WriteTransport(Protocol):
    """The part of an asyncio transport that is used here."""

    def write(self, data: bytes) -> None:
        """Take bytes; never blocks."""

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet."""

    def is_closing(self) -> bool:
        """True once nothing can be written any more."""


def framed(payload: bytes, *, text: bool) -> bytes:
    """A whole unmasked WebSocket data frame (RFC 6455, 5.2)."""
    first = _OPCODE_TEXT if text else _OPCODE_BINARY
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65_536:
        return bytes((first, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first, 127)) + length.to_bytes(8, "big") + payload


class Outbox:
    """The outbox of one connection. Only its owner puts; nobody awaits."""

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
        self._writes: deque[tuple[int, int]] = deque()
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
        if self._transport.is_closing():
            self.close()
            return
        self._tick = []
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        if self._exceeds(len(frames), len(data)):
            self.close()
            self._on_overflow()
            return
        self._transport.write(data)
        self._written_bytes += len(data)
        self._waiting_count += len(frames)
        self._writes.append((self._written_bytes, len(frames)))

    def close(self) -> None:
        """Take nothing more and forget what was not written."""
        self._closed = True
        self._tick = []
        self._writes.clear()
        self._waiting_count = 0

    def _exceeds(self, count: int, size: int) -> bool:
        """Whether so much more is too much. A client that has taken everything before is never too slow."""
        buffered = self._transport.get_write_buffer_size()
        if buffered == 0:
            self._writes.clear()
            self._waiting_count = 0
            return False
        taken = self._written_bytes - buffered
        while self._writes and self._writes[0][0] <= taken:
            self._waiting_count -= self._writes.popleft()[1]
        return self._waiting_count + count > self._count_max or buffered + size > self._bytes_max
