"""WebSocket clients with little overhead: RFC 6455 frames on asyncio transports.

The client frames are unfragmented and masked with a key of zeros, which leaves the payload unchanged. Of received frames only the
fields that the load needs are decoded.
"""

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from router.protocol import frames as f
from router.protocol.codec import MSGPACK

_MASKED: Final = 0x80


class ReceivedFrame(msgspec.Struct):
    """The fields of a server frame that the load needs."""

    type: str
    id: str | None = None
    seq: int = 0
    history_id: str = ""
    subject: str = ""
    event: "ReceivedEvent | None" = None
    code: str = ""
    retry_after_ms: int = 0


class ReceivedEvent(msgspec.Struct):
    """The fields of an event that the load needs."""

    type: str
    contact_id: str = ""
    offer_id: str = ""
    reference: str = ""


_decode: Final = msgspec.msgpack.Decoder(ReceivedFrame).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class RawWebSocket(asyncio.Protocol):
    """One WebSocket client."""

    def __init__(self, path: str, name: str, token: str, *, resume: str | None = None) -> None:
        self.path, self.name, self.token = path, name, token
        self._resume = resume
        self._history_id, self._seq = "", 0
        self._buffer = bytearray()
        self._is_open = False
        self.closing = False
        self.close_code = 0
        """The code of the server's close frame; 0 without one."""
        self.welcomed: asyncio.Future[ReceivedFrame] = asyncio.get_running_loop().create_future()
        """The first frame: ``welcome`` or ``resumed``."""
        self.on_frame: Callable[[ReceivedFrame], None] = lambda _: None
        self.on_lost: Callable[[RawWebSocket], None] = lambda _: None
        self.on_payload: Callable[[bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport but are not subclasses of it.
        self._transport = cast(asyncio.Transport, transport)
        key = b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Protocol: {MSGPACK}\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
            self._buffer.clear()
        if not self._is_open:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer += data
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self.closing = True
                self.welcomed.set_exception(RefusedUpgrade(head))
                self._transport.close()
                return
            self._is_open = True
            data = rest
            self.send(f.HelloFrame(resume=self._resume))
        self._parse_frames(data)

    def _parse_frames(self, data: bytes) -> None:
        at, end = 0, len(data)
        while end - at >= 2:
            opcode, length, body = data[at] & 15, data[at + 1], at + 2
            if length == 126:
                length, body = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, body = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if end < body + length:
                break
            at = body + length
            if opcode == 2:
                self._receive(data[body:at])
            elif opcode == 9:
                self._write(10, data[body:at])
            elif opcode == 8:
                self.close_code = int.from_bytes(data[body : body + 2], "big")
                self._transport.close()
        if at < end:
            self._buffer += data[at:]

    def _receive(self, payload: bytes) -> None:
        if self.on_payload is not None:
            self.on_payload(payload)
        frame = _decode(payload)
        if frame.type == "event" or frame.type == "pong":
            self._seq = frame.seq
        elif frame.type == "welcome" or frame.type == "resumed":
            self._history_id, self._seq = frame.history_id, frame.seq
            if not self.welcomed.done():
                self.welcomed.set_result(frame)
        self.on_frame(frame)

    def send(self, frame: Any) -> None:
        """Send a frame."""
        self._write(2, _encode(frame))

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, _MASKED | size))
        else:
            head = bytes((0x80 | opcode, _MASKED | 126)) + size.to_bytes(2, "big")
        self._transport.write(head + b"\0\0\0\0" + payload)

    @property
    def position(self) -> str:
        """Return the position from which a new connection can resume."""
        return f"{self._history_id}:{self._seq}"

    @property
    def unsent_bytes(self) -> int:
        """Return the bytes that the kernel has not accepted yet; it grows while the server does not read."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Abort the connection without a close frame."""
        self.closing = True
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(ConnectionResetError(f"connection lost before the welcome: {self.close_code}"))
        if not self.closing:
            self.on_lost(self)


class RefusedUpgrade(ConnectionError):
    """The server answered the upgrade with another status than 101."""

    def __init__(self, head: bytes) -> None:
        super().__init__(head.decode(errors="replace"))
        self.retry_after_s = float(head.lower().partition(b"retry-after:")[2].partition(b"\r\n")[0] or 0)


class Desktop(RawWebSocket):
    """The connection of a desktop, which sends one command at a time."""

    pending_command: Any = None
    """The last command, which may have to be repeated."""
    command_sent_ns: int = 0
    """Time at which it was sent first."""

    def send_command(self, frame: Any, now_ns: int) -> None:
        """Send a command and keep it for a repetition."""
        self.pending_command, self.command_sent_ns = frame, now_ns
        self.send(frame)

    def resend_command(self) -> None:
        """Repeat the last command, which the server refused temporarily."""
        if not self.closing:
            self.send(self.pending_command)
