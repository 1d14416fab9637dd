"""One edge process of the null server: holds sockets and speaks HTTP, and leaves everything else to the leader.

It accepts, upgrades, frames and writes with the code that the null server uses in one process, several of them on one port
(`SO_REUSEPORT`). A client's frame is decoded here, too, as a router's session, limits and permissions would need it, and
goes on to the leader as it came. Ends with the leader.

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
    decode_downwards,
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
from router.server.api.documents import ContactReceipt
from router.server.ws.websocket import WebSocket
from router.server.ws.write_buffer import FlushScheduler, WriteBuffer

_DECODE: Final = {door: FrameDecoder(door.client_frames, MSGPACK).decode for door in Endpoint}
_decode_receipt: Final = msgspec.msgpack.Decoder(ContactReceipt).decode


class FrontClient:
    """One socket."""

    def __init__(
        self,
        edge: "NullFront",
        socket: WebSocket,
        end_of_tick: FlushScheduler,
        *,
        number: int,
        door: Endpoint,
    ) -> None:
        self._edge = edge
        self._number = number
        self._decode = _DECODE[door]
        self._pong = socket.send_pong
        self.outbox = WriteBuffer(
            socket.transport,
            schedule_flush=end_of_tick.schedule,
            count_max=100_000,
            bytes_max=64 << 20,
            on_overflow=socket.abort,
        )

    def on_message(self, opcode: int, payload: bytes) -> None:
        """A message, or a ping."""
        if opcode == PING:
            self._pong(payload)
        else:
            self._decode(payload)  # What is no frame goes no further.
            self._edge.link.put(client_message(self._number, payload))

    def lost(self) -> None:
        """The connection is no more."""
        self.outbox.close()
        self._edge.forget(self._number)
        self._edge.link.put(ClosedMessage(self._number))

    def close(self, code: CloseCode, text: str) -> None:
        """What is no WebSocket does not come here."""
        raise AssertionError(f"{code}: {text}")


class NullFront:
    """A part of the desktops and gateways."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._puts: dict[int, Callable[[bytes], None]] = {}
        """Where whole frames for a socket go."""
        self._posted: dict[int, Callable[[bytes], None]] = {}
        """Where the answers to submits over HTTP go."""
        self._ended = asyncio.Event()
        self._end_of_tick = FlushScheduler(asyncio.get_running_loop().call_soon)
        self.link = BundleConnection(
            self._end_of_tick, decode=decode_downwards, hear=self._told, lost=self._ended.set
        )

    async def run(self, socket_path: str, port: int) -> None:
        """Serve until the leader is gone."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self.link, socket_path)
        app = web.Application()
        app.router.add_get("/v1/desktop", self._desktop_socket)
        app.router.add_get("/v1/gateway", self._gateway_socket)
        port = await start_listening(app, self, port, shared=True)
        sys.stdout.write(json.dumps({"port": port}) + "\n")
        sys.stdout.flush()
        await self._ended.wait()

    def _told(self, messages: list[tuple[list[int], Raw]]) -> None:
        puts = self._puts
        for numbers, told in messages:
            payload = bytes(told)
            whole = encode_frame(BINARY, payload)
            for number in numbers:
                put = puts.get(number)
                if put is not None:
                    put(whole)
                elif number in self._posted:
                    self._answer(number, payload)

    def _answer(self, number: int, payload: bytes) -> None:
        self._posted.pop(number)(submit_response(_decode_receipt(payload)))

    def forget(self, number: int) -> None:
        """Nothing goes there any more."""
        self._puts.pop(number, None)

    async def _upgrade(self, request: web.Request, door: Endpoint) -> web.StreamResponse:
        socket = await take_over_connection(request)
        number = next(self._numbers)
        seat = FrontClient(self, socket, self._end_of_tick, number=number, door=door)
        self._puts[number] = seat.outbox.put
        self.link.put(OpenedMessage(number, subject_of(request), door))
        socket.attach_owner(seat)
        return TakenOverProtocol()

    def _desktop_socket(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        return self._upgrade(request, Endpoint.DESKTOP)

    def _gateway_socket(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        return self._upgrade(request, Endpoint.GATEWAY)

    def post_contact(self, name: str, body: bytes, say: Callable[[bytes], None]) -> None:
        """A submit over HTTP: the leader gives the receipt."""
        number = next(self._numbers)
        self._posted[number] = say
        self.link.put(HttpSubmitMessage(number, name, decode_contact(body)))


async def _serve(socket_path: str, port: int) -> None:
    await NullFront().run(socket_path, port)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(_serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
