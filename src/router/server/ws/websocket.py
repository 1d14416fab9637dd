"""Server end of one WebSocket, from the completed handshake to the close: heartbeats, back-pressure, closing handshake.

After the upgrade, the HTTP library passes the transport to this class. A message then goes from the transport to its owner
by plain calls: there is no reader task and no queue, and an idle connection consists of this object only. Framing is in
``protocol/websocket_frames.py``; the owner interprets the messages.
"""

import asyncio
from typing import Final, Protocol

import structlog

from router.protocol.close_codes import CloseCode
from router.protocol.websocket_frames import (
    CLOSE,
    PING,
    PONG,
    FrameReader,
    Message,
    encode_close_frame,
    encode_close_reply,
    encode_frame,
)

_log = structlog.get_logger(__name__)

CLOSE_TIMEOUT_S: Final = 5.0
# After a protocol error nothing can be read any more, not even a close frame. Closing immediately with unread data would
# reset the connection, and the client might not receive the close code.
_LINGER_S: Final = 0.5


class WebSocketOwner(Protocol):
    """Receiver of the messages of a WebSocket. No method may block."""

    def on_message(self, opcode: int, payload: bytes) -> None:
        """Handle a message or a ping."""

    def on_connection_lost(self) -> None:
        """Handle the loss of the connection. Called once, as the last call."""

    def close(self, code: CloseCode, text: str) -> None:
        """Begin to close for this reason; the owner then calls ``WebSocket.close``."""


class WebSocket(asyncio.Protocol):
    """asyncio protocol of one WebSocket."""

    __slots__ = (
        "_closing",
        "_delivery_paused",
        "_heartbeat_s",
        "_loop",
        "_lost",
        "_owner",
        "_paused",
        "_pong_deadline_s",
        "_reader",
        "_received_at_s",
        "_timer",
        "_undelivered",
        "_write_paused",
        "transport",
    )

    def __init__(self, transport: asyncio.Transport, *, heartbeat_s: float, message_bytes_max: int) -> None:
        self.transport = transport
        self._heartbeat_s = heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._owner: WebSocketOwner | None = None
        self._reader = FrameReader(message_bytes_max)
        self._undelivered: list[Message] | None = None
        """Messages received while delivery is paused."""
        self._delivery_paused = self._paused = self._closing = self._lost = False
        self._write_paused: asyncio.Future[None] | None = None
        self._received_at_s = self._loop.time()
        self._pong_deadline_s: float | None = None
        """Deadline for any data after a ping."""
        self._timer: asyncio.TimerHandle = self._loop.call_later(heartbeat_s, self._beat)

    def attach_owner(self, owner: WebSocketOwner) -> None:
        """Set the receiver of messages; call before any data can arrive."""
        self._owner = owner

    # --- reading ----------------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        self._received_at_s = self._loop.time()
        messages = self._reader.feed(data)
        if self._delivery_paused:
            self._store(messages)
        else:
            self._deliver(messages)

    def pause_delivery(self) -> None:
        """Deliver nothing until ``resume_delivery``. Once data arrives meanwhile, reading is paused (back-pressure)."""
        self._delivery_paused = True

    def resume_delivery(self) -> None:
        """Deliver the messages received meanwhile, until ``pause_delivery`` is called again."""
        self._delivery_paused = False
        waiting, self._undelivered = self._undelivered, None
        if waiting is not None:
            self._deliver(waiting)
        if not self._delivery_paused:
            self._resume_reading()

    def _store(self, messages: list[Message]) -> None:
        if self._undelivered is None:
            self._undelivered = messages
        else:
            self._undelivered += messages
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self._received_at_s = self._loop.time()  # Silence while paused is not the client's.
            self.transport.resume_reading()

    def _deliver(self, messages: list[Message]) -> None:
        owner = self._owner
        for number, (opcode, payload) in enumerate(messages):
            if owner is None:
                return
            if self._delivery_paused:
                self._store(messages[number:])
                return
            if opcode == CLOSE:
                self._closed_by_client(payload)
                return
            if opcode == PONG or self._closing:
                continue
            try:
                owner.on_message(opcode, payload)
            except Exception:
                # A failure ends this connection only and is logged with a traceback.
                _log.exception("handling a WebSocket message failed", action="socket_failed")
                owner.close(CloseCode.INTERNAL_ERROR, "internal error")
        broken = self._reader.violation
        if broken is not None and owner is not None and not self._closing:
            owner.close(broken.code, broken.text)

    # --- writing ----------------------------------------------------------------------------------
    def send_pong(self, payload: bytes) -> None:
        """Send the pong for a ping."""
        self._write(encode_frame(PONG, payload))

    def _write(self, data: bytes) -> None:
        # Between a failed write and ``connection_lost``, the transport accepts no data and may raise.
        if not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        self._write_paused = self._loop.create_future()

    def resume_writing(self) -> None:
        waiter, self._write_paused = self._write_paused, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def drain(self) -> None:
        """Wait until the transport accepts more data. Raises ConnectionError if the connection is lost."""
        if self._write_paused is not None:
            await asyncio.shield(self._write_paused)
        if self._lost:
            raise ConnectionResetError("the connection is lost")

    # --- heartbeat -----------------------------------------------------------------------------------
    def _beat(self) -> None:
        if self._closing:
            # The closing handshake timed out.
            self.transport.abort()
            return
        now_s = self._loop.time()
        ping_at_s = self._received_at_s + self._heartbeat_s
        if now_s < ping_at_s:
            self._pong_deadline_s = None
            self._timer = self._loop.call_at(ping_at_s, self._beat)
        elif self._pong_deadline_s is not None and now_s >= self._pong_deadline_s:
            if not self._paused:
                self.transport.abort()
                return
            self._received_at_s = now_s
            self._timer = self._loop.call_later(self._heartbeat_s, self._beat)
        else:
            self._write(encode_frame(PING, b""))
            self._pong_deadline_s = now_s + self._heartbeat_s / 2
            self._timer = self._loop.call_at(self._pong_deadline_s, self._beat)

    # --- closing --------------------------------------------------------------------------------
    def close(self, code: CloseCode, text: str) -> None:
        """Send a close frame after all earlier data, wait for the client's close frame, at most 5 s, and end."""
        if self._closing or self._lost:
            return
        is_unreadable = self._reader.violation is not None
        self._start_closing(encode_close_frame(code, text), _LINGER_S if is_unreadable else CLOSE_TIMEOUT_S)
        self._delivery_paused = False
        self._undelivered = None
        self._resume_reading()

    def _closed_by_client(self, payload: bytes) -> None:
        if not self._closing:
            self._start_closing(encode_close_reply(payload), CLOSE_TIMEOUT_S)
        # RFC 6455 section 7.1.1: the server closes the connection first.
        self.transport.close()

    def _start_closing(self, close_data: bytes, wait_s: float) -> None:
        self._closing = True
        self._write(close_data)
        self._timer.cancel()
        self._timer = self._loop.call_later(wait_s, self._beat)

    def abort(self) -> None:
        """Close the connection immediately without a close frame."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._timer.cancel()
        self.resume_writing()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.on_connection_lost()
