"""HTTP front of the null server: upgrades are handled by aiohttp, submits by a minimal parser.

Used by the null server in one process (``null_server.py``) and by its edge processes (``null_front.py``).
"""

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn, Protocol

import msgspec
from aiohttp import hdrs, web

from router.protocol import frames as f
from router.protocol.codec import SUBPROTOCOLS
from router.server.api.bodies import ContactReceipt
from router.server.api.request import new_request_id
from router.server.http.responses import HttpResponse, ResponseWriter
from router.server.ws.websocket import WebSocket

decode_contact: Final = msgspec.json.Decoder(f.ContactFields).decode
_encode: Final = msgspec.json.Encoder().encode
_writer: Final = ResponseWriter(vary_by_origin=False)
_HEAD_END: Final = b"\r\n\r\n"
_SUBMIT_REQUEST_LINE: Final = b"POST /v1/contacts HTTP/1.1\r\n"


class SubmitTarget(Protocol):
    """Receiver of submits."""

    def post_contact(self, name: str, body: bytes, respond: Callable[[bytes], None]) -> None:
        """Process a submit; ``respond`` is called with the whole response once the submit is durable."""


class TakenOverProtocol(web.StreamResponse):
    """Placeholder response: aiohttp no longer handles the upgraded connection."""

    @property
    def prepared(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> NoReturn:
        raise ConnectionResetError("connection was taken over")


class NullHttpConnection(web.RequestHandler):
    """Parses submits and passes all other requests to aiohttp."""

    def __init__(self, submit_target: SubmitTarget, manager: web.Server) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), access_log=None)  # type: ignore[arg-type]
        self._submit_target = submit_target

    def data_received(self, data: bytes) -> None:
        """Handle one complete request; the load sends nothing else."""
        if not data.startswith(_SUBMIT_REQUEST_LINE):
            super().data_received(data)
            return
        head, _, body = data.partition(_HEAD_END)
        name, size = (_value_after(head, prefix) for prefix in (b"Bearer ", b"Content-Length: "))
        assert len(body) == int(size)
        self._submit_target.post_contact(name.decode(), body, self._respond)

    def _respond(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)


def _value_after(head: bytes, prefix: bytes) -> bytes:
    return head.partition(prefix)[2].partition(b"\r\n")[0]


async def start_listening(app: web.Application, submit_target: SubmitTarget, port: int = 0, *, shared: bool = False) -> int:
    """Listen and return the port; with ``shared`` several processes can listen on it."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    manager = runner.server
    assert manager is not None
    listener = await asyncio.get_running_loop().create_server(
        lambda: NullHttpConnection(submit_target, manager), "127.0.0.1", port, backlog=4096, reuse_port=shared
    )
    return int(listener.sockets[0].getsockname()[1])


async def take_over_connection(request: web.Request) -> WebSocket:
    """Let aiohttp answer the handshake, then take over the transport for a WebSocket of the router."""
    ws = web.WebSocketResponse(protocols=SUBPROTOCOLS, max_msg_size=65536, compress=False)
    ws.headers[hdrs.SERVER] = "contact-router"
    await ws.prepare(request)
    protocol = request.protocol
    transport, protocol.transport = protocol.transport, None
    assert transport is not None
    protocol.connection_lost(None)
    socket = WebSocket(transport, heartbeat_s=20, message_bytes_max=65536)
    transport.set_protocol(socket)
    return socket


def submit_response(receipt: ContactReceipt) -> bytes:
    """Return the HTTP response to a submit."""
    location = {"Location": f"/v1/contacts/{receipt.contact_id}"}
    response = HttpResponse(status=201, body=_encode(receipt), headers=location)
    return _writer.encode(response, new_request_id())


def subject_of(request: web.Request) -> str:
    """Return the subject of the request: the token itself."""
    return request.headers[hdrs.AUTHORIZATION].removeprefix("Bearer ")
