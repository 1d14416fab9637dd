"""A WebSocket client with little overhead, so that one core of load can saturate one core of any server.

Unfragmented RFC 6455 frames on an asyncio transport, masked with a key of zeros, which leaves the payload unchanged.
"""

import asyncio
import base64
import os
from typing import Final, cast

_TEXT: Final = 1
_BINARY: Final = 2


class WebSocketClient(asyncio.Protocol):
    """A WebSocket client. Subclasses handle messages in ``on_message`` and set the result of ``welcomed``."""

    def __init__(self, path: str, headers: dict[str, str], *, text: bool) -> None:
        self._path, self._headers = path, headers
        self._opcode = _TEXT if text else _BINARY
        self._buffer = bytearray()
        self._is_open = False
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_open(self) -> None:
        """Handle the accepted upgrade."""

    def on_message(self, payload: bytes) -> None:
        """Handle a message."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport but are not subclasses of it.
        self._transport = cast(asyncio.Transport, transport)
        head = {
            "Host": "bench",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **self._headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self._transport.write(f"GET {self._path} HTTP/1.1\r\n{lines}\r\n".encode())

    def connection_lost(self, error: Exception | None) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(error or ConnectionError("closed before the welcome"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self.welcomed.set_exception(ConnectionError(head.decode(errors="replace")))
                return
            self._is_open = True
            self._buffer = bytearray(rest)
            self.on_open()
        self._parse_frames()

    def _parse_frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            opcode, length, body = buffer[at] & 15, buffer[at + 1], at + 2
            if length == 126:
                length, body = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, body = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if len(buffer) < body + length:
                break
            payload = bytes(buffer[body : body + length])
            at = body + length
            if opcode in (_TEXT, _BINARY):
                self.on_message(payload)
            elif opcode == 9:
                self._write(10, payload)
            elif opcode == 8:
                self._transport.close()
        del buffer[:at]

    def send(self, payload: bytes) -> None:
        """Send a message."""
        self._write(self._opcode, payload)

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        else:
            head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
        self._transport.write(head + b"\0\0\0\0" + payload)

    def close(self) -> None:
        """Abort the connection."""
        self._transport.abort()
