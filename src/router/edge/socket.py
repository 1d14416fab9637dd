"""One WebSocket over its transport, from the answered handshake to the end: heartbeats, back pressure, the closing handshake.

The library that answers HTTP hands the connection over after the upgrade, so that a frame goes from the transport to its owner
by plain calls: no task reads, nothing is queued, and an idle socket is this one object. The framing itself is
``wire/rfc6455.py``; what the messages mean is the owner's affair.
"""

import asyncio
from typing import Final, Protocol

import structlog

from router.wire.close_codes import CloseCode
from router.wire.rfc6455 import (
    CLOSE,
    PING,
    PONG,
    FrameReader,
    Message,
    answer_to_close,
    close_frame,
    frame,
)

_log = structlog.get_logger(__name__)

CLOSE_TIMEOUT_S: Final = 5.0
# After a broken frame nothing can be read any more, not even a close. Closed at once, with bytes of the client's unread, the
# connection would be reset, and the client might never see the reason.
_LINGER_S: Final = 0.5


class SocketOwner(Protocol):
    """Who hears what comes in. Neither method waits."""

    def hear(self, opcode: int, payload: bytes) -> None:
        """A message, or a ping."""

    def lost(self) -> None:
        """The connection is no more. The last call, once."""

    def close(self, code: CloseCode, text: str) -> None:
        """The socket must end for this reason; the owner has ``Socket.close`` called when it is ready for it."""


class Socket(asyncio.Protocol):
    """The server's end of one WebSocket."""

    __slots__ = (
        "_answers_until_s",
        "_blocked",
        "_closing",
        "_heard_at_s",
        "_heartbeat_s",
        "_held_back",
        "_loop",
        "_lost",
        "_owner",
        "_paused",
        "_reader",
        "_timer",
        "_waiting",
        "transport",
    )

    def __init__(
        self, transport: asyncio.Transport, *, heartbeat_s: float, message_bytes_max: int
    ) -> None:
        self.transport = transport
        self._heartbeat_s = heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._owner: SocketOwner | None = None
        self._reader = FrameReader(message_bytes_max)
        self._waiting: list[Message] | None = None
        """While held back: what has come and was not passed on."""
        self._held_back = self._paused = self._closing = self._lost = False
        self._blocked: asyncio.Future[None] | None = None
        self._heard_at_s = self._loop.time()
        self._answers_until_s: float | None = None
        """A ping is out, and something has to come back until then."""
        self._timer: asyncio.TimerHandle = self._loop.call_later(heartbeat_s, self._beat)

    def begin(self, owner: SocketOwner) -> None:
        """From now on it is the owner's; before any data can come."""
        self._owner = owner

    # --- reading ----------------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        self._heard_at_s = self._loop.time()
        messages = self._reader.feed(data)
        if self._held_back:
            self._keep(messages)
        else:
            self._pass_on(messages)

    def hold_back(self) -> None:
        """Pass nothing on until ``go_on``. Once more than one read is waiting, the client feels it as back pressure."""
        self._held_back = True

    def go_on(self) -> None:
        """Pass on what has come meanwhile, as long as nobody says ``hold_back`` again."""
        self._held_back = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._pass_on(waiting)
        if not self._held_back:
            self._read_on()

    def _keep(self, messages: list[Message]) -> None:
        if self._waiting is None:
            self._waiting = messages
        else:
            self._waiting += messages
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self._heard_at_s = self._loop.time()  # It could not be heard.
            self.transport.resume_reading()

    def _pass_on(self, messages: list[Message]) -> None:
        owner = self._owner
        for number, (opcode, payload) in enumerate(messages):
            if owner is None:
                return
            if self._held_back:
                self._keep(messages[number:])
                return
            if opcode == CLOSE:
                self._closed_by_client(payload)
                return
            if opcode == PONG or self._closing:
                continue
            try:
                owner.hear(opcode, payload)
            except Exception:
                # The last line of defence: one connection ends, with a trace, and the others never hear of it.
                _log.exception("a socket's owner failed", action="socket_failed")
                owner.close(CloseCode.INTERNAL_ERROR, "internal error")
        broken = self._reader.broken
        if broken is not None and owner is not None and not self._closing:
            owner.close(broken.code, broken.text)

    # --- writing ----------------------------------------------------------------------------------
    def pong(self, payload: bytes) -> None:
        """Answer a ping."""
        self._write(frame(PONG, payload))

    def _write(self, data: bytes) -> None:
        # Between a write that failed and ``connection_lost`` the transport takes nothing more, and some raise at it.
        if not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        self._blocked = self._loop.create_future()

    def resume_writing(self) -> None:
        blocked, self._blocked = self._blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    async def drained(self) -> None:
        """Return when the client has taken most of what was written. Raises ConnectionError where it is gone."""
        if self._blocked is not None:
            await asyncio.shield(self._blocked)
        if self._lost:
            raise ConnectionResetError("the client is gone")

    # --- time -------------------------------------------------------------------------------------
    def _beat(self) -> None:
        if self._closing:
            # Everything was said; whoever does not close his end has no more say in it.
            self.transport.abort()
            return
        now_s = self._loop.time()
        quiet_until_s = self._heard_at_s + self._heartbeat_s
        if now_s < quiet_until_s:
            self._answers_until_s = None
            self._timer = self._loop.call_at(quiet_until_s, self._beat)
        elif self._answers_until_s is not None and now_s >= self._answers_until_s:
            if not self._paused:
                self.transport.abort()
                return
            self._heard_at_s = now_s
            self._timer = self._loop.call_later(self._heartbeat_s, self._beat)
        else:
            self._write(frame(PING, b""))
            self._answers_until_s = now_s + self._heartbeat_s / 2
            self._timer = self._loop.call_at(self._answers_until_s, self._beat)

    # --- the end ----------------------------------------------------------------------------------
    def close(self, code: CloseCode, text: str) -> None:
        """Say why, wait a while for the client's own close, and end. What was written before leaves first."""
        if self._closing or self._lost:
            return
        is_deaf = self._reader.broken is not None
        self._say_goodbye(close_frame(code, text), _LINGER_S if is_deaf else CLOSE_TIMEOUT_S)
        self._held_back = False
        self._waiting = None
        self._read_on()

    def _closed_by_client(self, payload: bytes) -> None:
        if not self._closing:
            self._say_goodbye(answer_to_close(payload), CLOSE_TIMEOUT_S)
        # RFC 6455, 7.1.1: the server ends the connection first.
        self.transport.close()

    def _say_goodbye(self, farewell: bytes, wait_s: float) -> None:
        self._closing = True
        self._write(farewell)
        self._timer.cancel()
        self._timer = self._loop.call_later(wait_s, self._beat)

    def abort(self) -> None:
        """End at once, without a word."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._timer.cancel()
        self.resume_writing()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.lost()
