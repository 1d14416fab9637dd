"""Write buffer of one WebSocket: bounded, flushed once per event loop iteration.

Frames put in the same iteration leave in one write. Data that the kernel does not accept stays in the transport's buffer.
When more frames or bytes wait there than the limits allow, the client is too slow: its connection is closed with a code
after which it may resume, and no other client is delayed. Server frames are neither masked nor compressed, so a frame sent
to many clients is encoded once.

A place may be reserved for a frame whose content is not known yet. Later frames of the connection wait behind it, so that the
order stays; the caller fills the place soon.
"""

from collections.abc import Callable
from typing import Any, Protocol, cast

import structlog

_log = structlog.get_logger(__name__)


class WriteTransport(Protocol):
    """Part of an asyncio transport that a write buffer uses."""

    def write(self, data: bytes) -> None:
        """Write bytes without blocking."""

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that the kernel has not accepted yet."""

    def is_closing(self) -> bool:
        """Return whether the transport accepts no more data."""


class FlushScheduler:
    """Scheduler of flushes: a single loop callback for all write buffers of an iteration.

    Flushing at the end of each batch of the writer would be slightly earlier, but two batches in one iteration would then
    need two writes per client.
    """

    def __init__(self, call_soon: Callable[..., Any]) -> None:
        self._call_soon = call_soon
        self._due: list[Callable[[], None]] = []

    def schedule(self, what: Callable[[], None]) -> None:
        """Call ``what`` once, at the end of this loop iteration."""
        if not self._due:
            self._call_soon(self._run)
        self._due.append(what)

    def _run(self) -> None:
        due, self._due = self._due, []
        for what in due:
            try:
                what()
            except Exception:
                # A failure concerns one connection only; flush the others.
                _log.exception("flushing a write buffer failed", action="outbox_failed")


class ReservedPlace:
    """The place of a frame in a write buffer that is not known yet."""

    __slots__ = ("_buffer", "frame")

    def __init__(self, buffer: "WriteBuffer") -> None:
        self._buffer = buffer
        self.frame: bytes | None = None

    def fill(self, frame: bytes) -> None:
        """Give the frame, once; it leaves with those that wait behind it."""
        assert self.frame is None, "a place is filled once"
        self.frame = frame
        self._buffer.place_filled()


class WriteBuffer:
    """Write buffer of one connection. Synchronous; used by the connection only."""

    __slots__ = (
        "_bytes_max",
        "_call_soon",
        "_closed",
        "_count_max",
        "_on_overflow",
        "_pending",
        "_places",
        "_transport",
        "_waiting_count",
        "_writes",
        "_written_bytes",
    )

    def __init__(
        self,
        transport: WriteTransport,
        *,
        schedule_flush: Callable[..., Any],
        count_max: int,
        bytes_max: int,
        on_overflow: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._call_soon = schedule_flush
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._on_overflow = on_overflow
        self._pending: list[bytes | ReservedPlace] = []
        self._places = 0
        """Reserved places among the pending frames."""
        self._closed = False
        # Writes that the kernel may not have accepted yet: end offset in the stream and number of frames.
        self._writes: list[tuple[int, int]] = []
        self._waiting_count = 0
        self._written_bytes = 0

    @property
    def pending_frame_count(self) -> int:
        """Number of frames that have not left the process, as of the last write."""
        return self._waiting_count + len(self._pending)

    @property
    def takes_more(self) -> bool:
        """Whether less than a quarter of the bytes wait that may: a sender of many frames waits until then."""
        pending = sum(len(one) for one in self._pending if isinstance(one, bytes))
        return self._closed or self._transport.get_write_buffer_size() + pending < self._bytes_max // 4

    def put(self, frame: bytes) -> None:
        """Send a complete frame at the end of this loop iteration. After ``close``, the frame is dropped."""
        if self._closed:
            return
        if not self._pending:
            self._call_soon(self.flush)
        self._pending.append(frame)

    def reserve(self) -> ReservedPlace:
        """Reserve the next place for a frame that is not known yet. It must be filled soon: later frames wait for it."""
        place = ReservedPlace(self)
        if not self._closed:
            self._pending.append(place)
            self._places += 1
        return place

    def place_filled(self) -> None:
        """Write what a place that is filled now has held up, at the end of this loop iteration."""
        if not self._closed:
            self._call_soon(self.flush)

    def _take_frames(self) -> list[bytes]:
        """Remove and return the frames up to the first place that is not filled."""
        taken: list[bytes] = []
        for one in self._pending:
            frame = one.frame if isinstance(one, ReservedPlace) else one
            if frame is None:
                break
            self._places -= frame is not one
            taken.append(frame)
        del self._pending[: len(taken)]
        return taken

    def flush(self) -> None:
        """Write the frames put since the last flush, up to the first reserved place that is not filled."""
        if not self._pending or self._closed:
            return
        frames = self._take_frames() if self._places else cast(list[bytes], self._pending)
        if not frames:
            return
        transport = self._transport
        if transport.is_closing():
            self.close()
            return
        count = len(frames)
        data = frames[0] if count == 1 else b"".join(frames)
        frames.clear()
        if self._exceeds(count, len(data)):
            on_overflow = self._on_overflow
            self.close()
            on_overflow()
            return
        transport.write(data)
        self._written_bytes += len(data)
        self._waiting_count += count
        self._writes.append((self._written_bytes, count))

    def close(self) -> None:
        """Drop unwritten frames and accept no more."""
        self._closed = True
        self._pending = []
        self._places = 0
        self._writes.clear()
        self._waiting_count = 0
        # Break the reference cycle with the owner, so that both are freed immediately.
        self._on_overflow = _nothing

    def _exceeds(self, count: int, size: int) -> bool:
        """Return whether a write would exceed the limits. A client with nothing buffered never does."""
        buffered = self._transport.get_write_buffer_size()
        if buffered == 0:
            self._writes.clear()
            self._waiting_count = 0
            return False
        taken = self._written_bytes - buffered
        written = 0
        while written < len(self._writes) and self._writes[written][0] <= taken:
            self._waiting_count -= self._writes[written][1]
            written += 1
        if written:
            del self._writes[:written]
        return self._waiting_count + count > self._count_max or buffered + size > self._bytes_max


def _nothing() -> None:
    pass
