"""The port: one listening socket for the HTTP API, the pages and the WebSockets, with the limits that the library does not set.

What is not well-formed HTTP never reaches the application; it gets a bare problem document here and its connection is closed.
"""

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import hdrs, web

from router.edge.backend import Backend
from router.edge.entrance import SERVER_NAME, Entrance
from router.edge.operations import Operations
from router.edge.pages import Pages
from router.edge.problems import CONTENT_TYPE, ProblemRaised, problem_bytes
from router.edge.turned_away import Boundary, TurnedAway
from router.model.errors import SettingsInvalid
from router.settings import EdgeSettings

_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
)
# The library logs addresses and what it could not parse; we count requests by operation instead.
_SILENT: Final = logging.getLogger("router.edge.http")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class EdgeServer:
    """The server on the public port. ``start``, ``stop_listening``, ``close``, in this order, each once."""

    def __init__(
        self,
        backend: Backend,
        *,
        add_sockets: Callable[[web.Application], None] | None = None,
        asyncapi_document: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._settings = backend.settings.edge
        check_exposure(self._settings)
        app = web.Application(client_max_size=self._settings.body_bytes_max)
        Operations(backend).add_to(app)
        Pages(asyncapi_document).add_to(app)
        if add_sockets is not None:
            add_sockets(app)
        self._turned_away = TurnedAway(backend)
        self._entrance = Entrance(backend.settings, backend.process)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._listener: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where a client on this machine reaches the port."""
        scheme = "https" if self._settings.tls_certificate_path else "http"
        host = self._settings.host
        if ipaddress_of(host) is None:
            shown = host
        elif host in {"0.0.0.0", "::"}:
            shown = "127.0.0.1"
        else:
            shown = f"[{host}]" if ":" in host else host
        return f"{scheme}://{shown}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises SettingsInvalid where the address cannot be had or the certificate not be used."""
        await self._runner.setup()
        manager = self._runner.server
        assert manager is not None
        # Around the whole application, so that also what no route matches passes it.
        manager.request_handler = self._entrance.around(manager.request_handler)  # type: ignore[assignment]
        limits = self._settings
        gate, turned_away = _Gate(limits.connections_max), self._turned_away
        loop = asyncio.get_running_loop()

        def connect() -> DoorProtocol:
            return DoorProtocol(manager, gate, loop=loop, settings=limits, turned_away=turned_away)

        self._listener = await loop.create_server(
            connect,
            sock=_listening_socket(limits),
            backlog=limits.backlog_count,
            ssl=_tls_context(limits),
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop_listening(self) -> None:
        """Take no new connection; those that are open go on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def close(self) -> None:
        """Close what is still open. Requests in work get a second to end."""
        await self.stop_listening()
        await self._runner.cleanup()


class _Gate:
    """Counts connections."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self.open = 0

    @property
    def is_full(self) -> bool:
        return self.open > self._connections_max


class DoorProtocol(web.RequestHandler):
    """One connection, with a bound on how many there are and answers that give nothing away."""

    __slots__ = ("_boundary", "_counted", "_gate", "_is_submit", "_swallow", "_turned_away")

    def __init__(
        self,
        manager: web.Server,
        gate: _Gate,
        *,
        loop: asyncio.AbstractEventLoop,
        settings: EdgeSettings,
        turned_away: TurnedAway,
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=float(settings.keepalive_s),
            max_line_size=settings.header_bytes_max,
            max_field_size=settings.header_bytes_max,
            lingering_time=2.0,
            access_log=None,  # type: ignore[arg-type]
            logger=_SILENT,
            auto_decompress=False,
        )
        self._gate = gate
        self._counted = False
        self._turned_away = turned_away
        self._boundary = Boundary()
        self._is_submit = False
        """A submit is under way."""
        self._swallow = 0
        """Bytes still to come of a body that nobody will read."""

    def data_received(self, data: bytes) -> None:
        """Bytes from the client: to the library, or an answer at once where submits are turned away."""
        if not data:
            # The library tells itself to go on with what it has.
            super().data_received(data)
            return
        if self._swallow:
            swallowed, data = data[: self._swallow], data[self._swallow :]
            self._swallow -= len(swallowed)
            if not data:
                return
        if self._turned_away.may_be and self._is_between_requests():
            answered = self._turned_away.answer(data)
            if answered is not None and self.transport is not None:
                answer, self._swallow = answered
                self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
                self.transport.write(answer)
                return
        if not self._upgraded:
            if self._boundary.is_here and not self._is_submit:
                self._is_submit = self._turned_away.begin(data)
            self._boundary.pass_by(data)
        super().data_received(data)

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> tuple[web.StreamResponse, bool]:
        """The library's, for every answer."""
        self._end_submit()
        return await super().finish_response(request, resp, start_time)

    def _end_submit(self) -> None:
        if self._is_submit:
            self._is_submit = False
            self._turned_away.end()

    def _is_between_requests(self) -> bool:
        """Nothing is under way, nothing has begun to arrive, and the client reads what it is sent."""
        transport, waiter = self.transport, self._waiter
        return (
            self._boundary.is_here
            and not self._upgraded
            and waiter is not None
            and not waiter.done()
            and not self._messages
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._gate.open += 1
        self._counted = True
        if self._gate.is_full:
            body = problem_bytes(ProblemRaised("busy").document, "")
            # The loop's own transport class need not be a subclass of asyncio's.
            stream = cast(asyncio.Transport, transport)
            stream.write(_REFUSAL % len(body) + body)
            stream.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._counted:
            self._gate.open -= 1
            self._counted = False
        self._end_submit()
        super().connection_lost(exc)

    def hand_over(self, heir: asyncio.Protocol) -> Callable[[], None]:
        """Give an upgraded connection to another protocol; for the library it ends here, and all it kept of it is free.

        What comes back has to be called when the connection is lost: until then it counts.
        """
        transport, self.transport = self.transport, None  # What it does not have it does not close.
        assert transport is not None
        self._counted = False
        super().connection_lost(None)
        transport.set_protocol(heir)

        def release() -> None:
            self._gate.open -= 1

        return release

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or failed outside the application: a bare document, then the end of the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        raised = ProblemRaised("malformed" if status < 500 else "internal")
        response = web.Response(
            status=raised.document.status,
            body=problem_bytes(raised.document, ""),
            content_type=CONTENT_TYPE,
            headers={hdrs.SERVER: SERVER_NAME, "X-Content-Type-Options": "nosniff"},
        )
        response.force_close()
        return response


def check_exposure(settings: EdgeSettings) -> None:
    """Tokens must not cross a network in the clear. Raises SettingsInvalid where they would."""
    if (settings.tls_certificate_path is None) != (settings.tls_key_path is None):
        raise SettingsInvalid("$.edge: `tls_certificate_path` and `tls_key_path` belong together")
    if settings.behind_proxy or settings.tls_certificate_path is not None:
        return
    address = ipaddress_of(settings.host)
    is_loopback = settings.host == "localhost" if address is None else address.is_loopback
    if not is_loopback:
        raise SettingsInvalid(
            "$.edge.host: not a loopback address; set a certificate, or `behind_proxy` where a proxy ends TLS"
        )


def ipaddress_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that the text is; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _listening_socket(settings: EdgeSettings) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsInvalid(f"$.edge.host: {error.strerror}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise SettingsInvalid(f"$.edge.port: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def _tls_context(settings: EdgeSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate_path is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate_path, settings.tls_key_path)
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(f"$.edge.tls_certificate_path: {error.strerror}") from None
    return context
