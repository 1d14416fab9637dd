"""Listeners: the public port for HTTP API, pages and WebSockets, and the separate metrics port."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import Any

from aiohttp import web

from router.model.errors import SettingsInvalid
from router.server.api.request import Services
from router.server.http.connection import ConnectionLimit, HttpConnection
from router.server.http.docs_pages import DocumentationPages
from router.server.http.handlers import ApiHandlers
from router.server.http.middleware import Middleware
from router.server.http.responses import SERVER_NAME
from router.server.http.submit_handler import SubmitHandler
from router.settings import ServerSettings, TelemetrySettings
from router.telemetry.metrics_page import CONTENT_TYPE, MetricsPage


class PublicServer:
    """Server on the public port. Call ``start``, ``stop_listening`` and ``close`` in this order, each once."""

    def __init__(
        self,
        services: Services,
        *,
        add_websockets: Callable[[web.Application], None] | None = None,
        asyncapi_document: Callable[[], dict[str, Any]] = dict,
        refuse_early: Callable[[bytes], bytes | None] = lambda _: None,
    ) -> None:
        """``add_sockets`` registers the WebSocket endpoints.

        ``turn_away`` gets the first bytes of every connection and returns a response, after which the connection is closed,
        or None to serve it.
        """
        self._settings = services.settings.server
        check_transport_security(self._settings)
        app = web.Application(client_max_size=self._settings.body_bytes_max)
        operations = ApiHandlers(services)
        operations.add_to(app)
        DocumentationPages(asyncapi_document).add_to(app)
        if add_websockets is not None:
            add_websockets(app)
        self._turn_away = refuse_early
        self._entrance = Middleware(services.settings, services.process_metrics)
        self._submits = SubmitHandler(services, operations.admission, self._entrance)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._listener: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """URL of the server for clients on this machine."""
        scheme = "https" if self._settings.tls_certificate_path else "http"
        host = self._settings.host
        if parse_ip_address(host) is None:
            shown = host
        elif host in {"0.0.0.0", "::"}:
            shown = "127.0.0.1"
        else:
            shown = f"[{host}]" if ":" in host else host
        return f"{scheme}://{shown}:{self.port}"

    async def start(self) -> None:
        """Start listening. Raises SettingsInvalid if the address or the certificate cannot be used."""
        await self._runner.setup()
        manager = self._runner.server
        assert manager is not None
        # Around the whole application, so that requests without a matching route pass it as well.
        manager.request_handler = self._entrance.wrap(manager.request_handler)  # type: ignore[assignment]
        limits = self._settings
        gate = ConnectionLimit(limits.connections_max)
        submits, turn_away = self._submits, self._turn_away
        loop = asyncio.get_running_loop()

        def connect() -> HttpConnection:
            return HttpConnection(
                manager,
                gate,
                loop=loop,
                settings=limits,
                submit_handler=submits,
                refuse_early=turn_away,
            )

        self._listener = await loop.create_server(
            connect,
            sock=_listening_socket(limits),
            backlog=limits.backlog_count,
            ssl=_tls_context(limits),
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop_listening(self) -> None:
        """Accept no new connections; open ones continue."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def close(self) -> None:
        """Close all connections. Requests in flight get one second to finish."""
        await self.stop_listening()
        await self._runner.cleanup()


def check_transport_security(settings: ServerSettings) -> None:
    """Check that tokens are not sent over a network unencrypted. Raises SettingsInvalid."""
    if (settings.tls_certificate_path is None) != (settings.tls_key_path is None):
        raise SettingsInvalid(
            "$.server: set both `tls_certificate_path` and `tls_key_path`, or neither"
        )
    if settings.behind_proxy or settings.tls_certificate_path is not None:
        return
    address = parse_ip_address(settings.host)
    is_loopback = settings.host == "localhost" if address is None else address.is_loopback
    if not is_loopback:
        raise SettingsInvalid(
            "$.server.host: not a loopback address; set `tls_certificate_path`, or `behind_proxy` if a proxy terminates TLS"
        )


def parse_ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a text represents; None for a host name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _listening_socket(settings: ServerSettings) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsInvalid(f"$.server.host: {error.strerror}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit this option.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise SettingsInvalid(f"$.server.port: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def _tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate_path is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate_path, settings.tls_key_path)
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(f"$.server.tls_certificate_path: {error.strerror}") from None
    return context


class MetricsServer:
    """Listener for metrics; it does nothing if the settings have no port."""

    def __init__(self, settings: TelemetrySettings, exposition: MetricsPage) -> None:
        self._settings = settings
        self._exposition = exposition
        self._runner: web.AppRunner | None = None
        self.port: int | None = None

    async def start(self) -> None:
        """Start listening. Raises SettingsInvalid if the address cannot be bound."""
        if self._settings.metrics_port is None:
            return
        app = web.Application(client_max_size=1024)
        app.router.add_route("GET", "/metrics", self._metrics)
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=30.0, shutdown_timeout=1.0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.metrics_host, self._settings.metrics_port)
        try:
            await site.start()
        except OSError as error:
            await self.close()
            raise SettingsInvalid(f"$.telemetry.metrics_port: {error.strerror}") from None
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        page = await self._exposition.render()
        return web.Response(
            body=page,
            headers={
                "Content-Type": CONTENT_TYPE,
                "Cache-Control": "no-store",
                "Server": SERVER_NAME,
            },
        )
