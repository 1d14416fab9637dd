"""The null server's door: upgrades by the HTTP library, submits over HTTP read without it, as in the router.

For one process that does everything (``null_server.py``) and for one that only holds connections (``null_front.py``).
"""

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn, Protocol

import msgspec
from aiohttp import hdrs, web

from router.protocol import frames as f
from router.protocol.codec import SUBPROTOCOLS
from router.server.api.documents import ContactReceipt
from router.server.api.request import new_request_id
from router.server.http.responses import ResponseWriter
from router.server.http.submit_parser import HEAD_END, SUBMIT_REQUEST_LINE
from router.server.ws.websocket import WebSocket

decode_contact: Final = msgspec.json.Decoder(f.ContactFields).decode
_encode: Final = msgspec.json.Encoder().encode
_answers: Final = ResponseWriter(vary_by_origin=False)


class SubmitTarget(Protocol):
    """Who takes submits."""

    def post_contact(self, name: str, body: bytes, say: Callable[[bytes], None]) -> None:
        """A submit; ``say`` is given the whole answer, once it is durable."""


class TakenOverProtocol(web.StreamResponse):
    """The library's part of an upgraded connection is over."""

    @property
    def prepared(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> NoReturn:
        raise ConnectionResetError("handed over")


class HttpConnection(web.RequestHandler):
    """Whole submits are read here, upgrades by the library."""

    def __init__(self, submitting: SubmitTarget, manager: web.Server) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), access_log=None)  # type: ignore[arg-type]
        self._submitting = submitting

    def data_received(self, data: bytes) -> None:
        """One request in one piece, which is all that the load sends."""
        if not data.startswith(SUBMIT_REQUEST_LINE):
            super().data_received(data)
            return
        head, _, body = data.partition(HEAD_END)
        name, size = (_rest_after(head, mark) for mark in (b"Bearer ", b"Content-Length: "))
        assert len(body) == int(size)
        self._submitting.post_contact(name.decode(), body, self._say)

    def _say(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)


def _rest_after(head: bytes, mark: bytes) -> bytes:
    return head.partition(mark)[2].partition(b"\r\n")[0]


async def start_listening(
    app: web.Application, submitting: SubmitTarget, port: int = 0, *, shared: bool = False
) -> int:
    """Serve, and where it is shared, beside other processes; on which port."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    manager = runner.server
    assert manager is not None
    listener = await asyncio.get_running_loop().create_server(
        lambda: HttpConnection(submitting, manager),
        "127.0.0.1",
        port,
        backlog=4096,
        reuse_port=shared,
    )
    return int(listener.sockets[0].getsockname()[1])


async def take_over_connection(request: web.Request) -> WebSocket:
    """The library answers the handshake, then the connection is ours, as in the router (`server/ws/endpoints.py`)."""
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
    """The answer to a submit."""
    location = {"Location": f"/v1/contacts/{receipt.contact_id}"}
    return _answers.response(201, _encode(receipt), new_request_id(), headers=location)


def subject_of(request: web.Request) -> str:
    """Whoever asks: the token is the name."""
    return request.headers[hdrs.AUTHORIZATION].removeprefix("Bearer ")
