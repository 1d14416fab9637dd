"""Edge process of the split null server: holds the sockets and handles HTTP; everything else is done by the leader.

It accepts, upgrades, parses and writes with the same code as the null server in one process. Several edges listen on one port
(`SO_REUSEPORT`). A client's frame is decoded here as well, as the sessions, rate limits and permissions of a router would require,
and forwarded without being encoded again. The process ends when the leader does.

    python benchmarks/server/null_front.py SOCKET [PORT]      prints its port as one line of JSON
"""

import asyncio
import itertools
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from aiohttp import web
from msgspec import Raw

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.server.message_bundles import (
    BundleConnection,
    ClosedMessage,
    HttpSubmitMessage,
    OpenedMessage,
    client_message,
    decode_leader_messages,
)
from benchmarks.server.null_http import (
    TakenOverProtocol,
    decode_contact,
    start_listening,
    subject_of,
    submit_response,
    take_over_connection,
)
from router.protocol.close_codes import CloseCode
from router.protocol.codec import MSGPACK, FrameDecoder
from router.protocol.session import Endpoint
from router.protocol.websocket_frames import BINARY, PING, encode_frame
from router.server.api.bodies import ContactReceipt
from router.server.ws.websocket import WebSocket
from router.server.ws.write_buffer import FlushScheduler, WriteBuffer

_DECODE: Final = {endpoint: FrameDecoder(endpoint.client_frames, MSGPACK).decode for endpoint in Endpoint}
_decode_receipt: Final = msgspec.msgpack.Decoder(ContactReceipt).decode


class FrontClient:
    """The WebSocket of one client."""

    def __init__(
        self, edge: "NullFront", socket: WebSocket, flush_scheduler: FlushScheduler, *, number: int, endpoint: Endpoint
    ) -> None:
        self._edge = edge
        self._number = number
        self._decode = _DECODE[endpoint]
        self._send_pong = socket.send_pong
        self.write_buffer = WriteBuffer(
            socket.transport,
            schedule_flush=flush_scheduler.schedule,
            count_max=100_000,
            bytes_max=64 << 20,
            on_overflow=socket.abort,
        )

    def on_message(self, opcode: int, payload: bytes) -> None:
        """Answer a ping; forward a message."""
        if opcode == PING:
            self._send_pong(payload)
        else:
            self._decode(payload)  # An invalid frame is not forwarded.
            self._edge.link.send(client_message(self._number, payload))

    def on_connection_lost(self) -> None:
        """Tell the leader that the client has disconnected."""
        self.write_buffer.close()
        self._edge.remove(self._number)
        self._edge.link.send(ClosedMessage(self._number))

    def close(self, code: CloseCode, text: str) -> None:
        """Fail: the load sends no protocol errors."""
        raise AssertionError(f"{code}: {text}")


class NullFront:
    """An edge with a part of the clients."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._writers: dict[int, Callable[[bytes], None]] = {}
        """Functions that write a frame to a socket, by number."""
        self._responders: dict[int, Callable[[bytes], None]] = {}
        """Functions that write the response to an HTTP submit, by number."""
        self._ended = asyncio.Event()
        self._flush_scheduler = FlushScheduler(asyncio.get_running_loop().call_soon)
        self.link = BundleConnection(
            self._flush_scheduler, decode=decode_leader_messages, on_bundle=self._on_messages, on_lost=self._ended.set
        )

    async def run(self, socket_path: str, port: int) -> None:
        """Serve until the leader has ended."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self.link, socket_path)
        app = web.Application()
        app.router.add_get("/v1/desktop", self._desktop_socket)
        app.router.add_get("/v1/gateway", self._gateway_socket)
        port = await start_listening(app, self, port, shared=True)
        sys.stdout.write(json.dumps({"port": port}) + "\n")
        sys.stdout.flush()
        await self._ended.wait()

    def _on_messages(self, messages: list[tuple[list[int], Raw]]) -> None:
        writers = self._writers
        for numbers, message in messages:
            payload = bytes(message)
            frame = encode_frame(BINARY, payload)
            for number in numbers:
                write = writers.get(number)
                if write is not None:
                    write(frame)
                elif number in self._responders:
                    self._respond(number, payload)

    def _respond(self, number: int, payload: bytes) -> None:
        self._responders.pop(number)(submit_response(_decode_receipt(payload)))

    def remove(self, number: int) -> None:
        """Remove a connection."""
        self._writers.pop(number, None)

    async def _upgrade(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        socket = await take_over_connection(request)
        number = next(self._numbers)
        client = FrontClient(self, socket, self._flush_scheduler, number=number, endpoint=endpoint)
        self._writers[number] = client.write_buffer.put
        self.link.send(OpenedMessage(number, subject_of(request), endpoint))
        socket.attach_owner(client)
        return TakenOverProtocol()

    def _desktop_socket(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        return self._upgrade(request, Endpoint.DESKTOP)

    def _gateway_socket(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        return self._upgrade(request, Endpoint.GATEWAY)

    def post_contact(self, name: str, body: bytes, respond: Callable[[bytes], None]) -> None:
        """Forward a submit over HTTP to the leader, which returns the receipt."""
        number = next(self._numbers)
        self._responders[number] = respond
        self.link.send(HttpSubmitMessage(number, name, decode_contact(body)))


async def _serve(socket_path: str, port: int) -> None:
    await NullFront().run(socket_path, port)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(_serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
