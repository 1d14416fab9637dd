"""The load: desktops and a gateway on raw sockets, so that the generator costs as little as may be.

The frames are whole RFC 6455 client frames; the masking key is all zeros, which leaves the payload as it is.
"""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from router.model.states import AgentState
from router.wire import frames as f
from router.wire.codec import MSGPACK

_MASKED: Final = 0x80


class Heard(msgspec.Struct):
    """The fields of any server frame that the load looks at."""

    type: str
    id: str | None = None
    seq: int | None = None
    event: "HeardEvent | None" = None
    code: str | None = None


class HeardEvent(msgspec.Struct):
    """Likewise of an event."""

    type: str
    contact_id: str | None = None
    offer_id: str | None = None


_decode: Final = msgspec.msgpack.Decoder(Heard).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Socket(asyncio.Protocol):
    """One WebSocket client."""

    def __init__(self, path: str, token: str, name: str) -> None:
        self._path, self._token, self._name = path, token, name
        self._buffer = bytearray()
        self._open = False
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.hear: Callable[[Heard], None] = lambda _: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by class, only by what they can do.
        self._transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Protocol: {MSGPACK}\r\nAuthorization: Bearer {self._token}\r\n"
            f"X-Name: {self._name}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self.welcomed.set_exception(ConnectionError(head.decode(errors="replace")))
                return
            self._open = True
            self._buffer = bytearray(rest)
            self.say(f.Hello())
        self._frames()

    def _frames(self) -> None:
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
            if opcode == 2:
                self._hear(_decode(payload))
            elif opcode == 9:
                self._write(10, payload)
            elif opcode == 8:
                self._transport.close()
        del buffer[:at]

    def _hear(self, heard: Heard) -> None:
        if heard.type == "welcome" and not self.welcomed.done():
            self.welcomed.set_result(None)
        self.hear(heard)

    def say(self, frame: Any) -> None:
        """Send a frame."""
        self._write(2, _encode(frame))

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, _MASKED | size))
        else:
            head = bytes((0x80 | opcode, _MASKED | 126)) + size.to_bytes(2, "big")
        self._transport.write(head + b"\0\0\0\0" + payload)

    def close(self) -> None:
        """End it."""
        self._transport.abort()


class Load:
    """N desktops that accept and end whatever comes, and a gateway that submits."""

    def __init__(self) -> None:
        self.offers_ns: list[int] = []
        """For each measured contact: from its due time to the offer on the desktop."""
        self.lifecycles = 0
        self.errors: dict[str, int] = {}
        self._due_ns: dict[str, int] = {}
        self._number = 0
        self.in_flight = 0
        self.on_done: Callable[[], None] = lambda: None
        self.sockets: list[Socket] = []

    async def connect(self, port: int, tokens: list[str], gateway_token: str) -> None:
        """Open all sockets and go ready."""
        loop = asyncio.get_running_loop()
        for number, token in enumerate(tokens):
            desktop = await self._socket(loop, port, "/v1/desktop", token, f"d{number}")
            desktop.hear = self._desktop_of(desktop)
            desktop.say(f.SetState(id="r", state=AgentState.READY))
        self._gateway = await self._socket(loop, port, "/v1/gateway", gateway_token, "web")
        self._gateway.hear = self._heard_at_gateway

    async def _socket(
        self, loop: asyncio.AbstractEventLoop, port: int, path: str, token: str, name: str
    ) -> Socket:
        _, socket = await loop.create_connection(
            lambda: Socket(path, token, name), "127.0.0.1", port
        )
        await asyncio.wait_for(socket.welcomed, 10)
        self.sockets.append(socket)
        return socket

    def submit(self, due_ns: int) -> None:
        """Submit a contact that was due at that time."""
        self._number += 1
        id = str(self._number)
        self._due_ns[id] = due_ns
        self.in_flight += 1
        self._gateway.say(
            f.Submit(id=id, contact=f.ContactFields(channel="voice", queue_id="support"))
        )

    def _heard_at_gateway(self, heard: Heard) -> None:
        if heard.type == "error":
            self.errors[heard.code or ""] = self.errors.get(heard.code or "", 0) + 1

    def _desktop_of(self, desktop: Socket) -> Callable[[Heard], None]:
        def hear(heard: Heard) -> None:
            event = heard.event
            if event is not None:
                if event.type == "offer.made":
                    # Contacts of one queue are offered in the order of their submits.
                    self._offered()
                    desktop.say(f.Accept(id="a", offer_id=event.offer_id or ""))
                elif event.type == "offer.accepted":
                    desktop.say(f.End(id="e", contact_id=event.contact_id or ""))
                elif event.type == "assignment.completed":
                    self.lifecycles += 1
                    self.in_flight -= 1
                    self.on_done()
            elif heard.type == "error":
                self.errors[heard.code or ""] = self.errors.get(heard.code or "", 0) + 1

        return hear

    def _offered(self) -> None:
        id, due_ns = next(iter(self._due_ns.items()))
        del self._due_ns[id]
        self.offers_ns.append(time.perf_counter_ns() - due_ns)

    async def closed_loop(self, seconds: float, window: int) -> float:
        """Always ``window`` contacts in flight; lifecycles a second."""
        self.on_done = lambda: self.submit(time.perf_counter_ns())
        for _ in range(window):
            self.submit(time.perf_counter_ns())
        await asyncio.sleep(seconds / 4)  # Warm.
        before, began = self.lifecycles, time.perf_counter()
        await asyncio.sleep(seconds)
        rate = (self.lifecycles - before) / (time.perf_counter() - began)
        self.on_done = lambda: None
        await self.settle()
        return rate

    async def open_loop(self, seconds: float, rate: float) -> list[int]:
        """``rate`` contacts a second whether or not the server keeps up; latencies from the due time, in ns."""
        self.offers_ns = []
        began = time.perf_counter_ns()
        gap_ns = 1e9 / rate
        count = int(seconds * rate)
        sent = 0
        while sent < count:
            now = time.perf_counter_ns()
            while sent < count and began + sent * gap_ns <= now:
                self.submit(int(began + sent * gap_ns))
                sent += 1
            await asyncio.sleep(0.0005)
        await self.settle()
        return self.offers_ns

    async def settle(self) -> None:
        """Wait until nothing is in flight."""
        async with asyncio.timeout(30):
            while self.in_flight:  # noqa: ASYNC110  (nothing else runs now)
                await asyncio.sleep(0.01)
