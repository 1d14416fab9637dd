"""Listeners: the public port for HTTP API, pages and WebSockets, and the separate metrics port."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from router.model.errors import SettingsInvalid
from router.protocol.asyncapi import asyncapi_document
from router.server.api.request import Services
from router.server.auth.keys import warn_if_readable_by_others
from router.server.http.application import HandlerResult, HttpApplication, HttpRequest, RequestHandler
from router.server.http.connection import HttpConnection
from router.server.http.docs_pages import DocumentationPages
from router.server.http.handlers import OperationHandler, add_api_routes
from router.server.http.open_connections import OpenConnections
from router.server.http.responses import HttpResponse
from router.server.http.submit_handler import SubmitHandler
from router.server.ws.endpoints import WebSocketEndpoints
from router.settings import ServerSettings, Settings, TelemetrySettings, read_file_of_settings
from router.telemetry.metrics_page import CONTENT_TYPE, MetricsPage
from router.telemetry.spans import RequestSpans

# How long requests in flight may take when the server closes.
_CLOSE_TIMEOUT_S: Final = 1.0
_TLS_FILE_BYTES_MAX: Final = 1024 * 1024
_METRICS_CONNECTIONS_MAX: Final = 100


class PublicServer:
    """Server on the public port. Call ``start``, ``stop_listening`` and ``close`` in this order, each once."""

    def __init__(
        self,
        services: Services,
        *,
        websockets: WebSocketEndpoints | None = None,
        asyncapi_document: Callable[[], dict[str, Any]] = asyncapi_document,
        spans: RequestSpans | None = None,
    ) -> None:
        self._settings = services.settings.server
        check_transport_security(self._settings)
        self._application = HttpApplication(
            allowed_origins=self._settings.allowed_origins,
            access_log=services.settings.telemetry.access_log,
            log_subjects=services.settings.telemetry.log_subjects,
            process=services.process_metrics,
            spans=spans,
            leader_url=services.leader_url if services.settings.store.shared else None,
        )
        self.admission = services.admission
        self._submits = SubmitHandler(services, self.admission, self._application)
        router = self._application.router
        handlers: dict[str, OperationHandler] = {self._submits.operation: self._submits}
        add_api_routes(router, services, self.admission, handlers)
        is_secure = self._settings.behind_proxy or self._settings.tls_certificate_path is not None
        DocumentationPages(asyncapi_document, is_secure=is_secure).add_to(router)
        self._websockets = websockets
        if websockets is not None:
            websockets.add_to(self._application)
        self.connections = OpenConnections(
            self._settings.connections_max,
            reserved_max=self._settings.reserved_connections_max,
            address_max=self._settings.address_connections_max,
            addresses=self.admission.addresses,
        )
        self._listener: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
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
        limits = self._settings
        loop = asyncio.get_running_loop()

        def connect() -> HttpConnection:
            return HttpConnection(
                self._application, self.connections, limits, refusal_pause_s=self._submits.refusal_pause_s, loop=loop
            )

        tls = self._tls = _tls_context(limits)
        # Without a timeout of its own, a client that does not finish the TLS handshake would be waited for a minute, uncounted.
        handshake_s = None if tls is None else float(limits.first_request_timeout_s)
        self._listener = await loop.create_server(
            connect, sock=_listening_socket(limits), backlog=limits.backlog_count, ssl=tls, ssl_handshake_timeout=handshake_s
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    @property
    def probes(self) -> dict[str, RequestHandler]:
        """Handlers of the health checks, by path."""
        static = self._application.router.static
        return {path: static["GET", path.encode()] for path in ("/healthz", "/readyz")}

    def check(self, settings: ServerSettings) -> None:
        """Check that the certificate of new settings can be used. Raises SettingsInvalid."""
        check_transport_security(settings)
        if (_tls_context(settings) is None) != (self._tls is None):
            raise SettingsInvalid("server.tls_certificate_path: TLS can be switched on and off by a restart only")

    def apply(self, settings: Settings) -> None:
        """Use these settings from now on, the files of the certificate included; call ``check`` before."""
        if self._tls is not None:
            # Handshakes from now on get the new certificate; established connections keep theirs.
            _load_certificate(self._tls, settings.server)
        self._application.apply(settings.telemetry)
        self.admission.apply(settings)
        self.connections.addresses = self.admission.addresses
        if self._websockets is not None:
            self._websockets.apply(settings.sockets)
            self._websockets.check_credentials()

    async def stop_listening(self) -> None:
        """Accept no new connections; open ones continue."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def close(self) -> None:
        """Close all connections. Requests in flight get one second to finish."""
        await self.stop_listening()
        if self._websockets is not None:
            self._websockets.abort_all()
        await self.connections.close(_CLOSE_TIMEOUT_S)


def check_transport_security(settings: ServerSettings) -> None:
    """Check that tokens are not sent over a network unencrypted. Raises SettingsInvalid."""
    if (settings.tls_certificate_path is None) != (settings.tls_key_path is None):
        raise SettingsInvalid("server: set both `tls_certificate_path` and `tls_key_path`, or neither")
    if settings.behind_proxy or settings.tls_certificate_path is not None:
        return
    address = parse_ip_address(settings.host)
    is_loopback = settings.host == "localhost" if address is None else address.is_loopback
    if not is_loopback:
        raise SettingsInvalid(
            "server.host: not a loopback address; set `tls_certificate_path`, or `behind_proxy` if a proxy terminates TLS"
        )


def parse_ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a text represents; None for a host name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _listening_socket(settings: ServerSettings) -> socket.socket:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsInvalid(f"server.host: {error.strerror}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit this option.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer_bytes)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise SettingsInvalid(f"server.port: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def _tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate_path is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, settings)
    return context


def _load_certificate(context: ssl.SSLContext, settings: ServerSettings) -> None:
    certificate, key = settings.tls_certificate_path, settings.tls_key_path
    assert certificate is not None and key is not None
    for name, path in (("tls_certificate_path", certificate), ("tls_key_path", key)):
        read_file_of_settings(Path(path), bytes_max=_TLS_FILE_BYTES_MAX, place=f"server.{name}")
    warn_if_readable_by_others(Path(key))
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", None) or "").lower().replace("_", " ") or "not PEM, or the key needs a password"
        raise SettingsInvalid(f"server.tls_certificate_path, server.tls_key_path: {certificate}, {key}: {reason}") from None


def _refuse_password() -> str:
    """Refuse to ask for the password of a key: the router has no terminal."""
    raise ValueError("the key needs a password")


class MetricsServer:
    """Listener for metrics; it does nothing if the settings have no port."""

    operation = "metrics"

    def __init__(self, settings: TelemetrySettings, page: MetricsPage) -> None:
        self._settings = settings
        self._page = page
        self._listener: asyncio.Server | None = None
        self._connections = OpenConnections(_METRICS_CONNECTIONS_MAX)
        self.port: int | None = None

    async def start(self, probes: Mapping[str, RequestHandler] = MappingProxyType({})) -> None:
        """Start listening. Raises SettingsInvalid if the address cannot be bound.

        ``probes``: further handlers by path, answered here however full the public port is.
        """
        if self._settings.metrics_port is None:
            return
        application = HttpApplication()
        application.router.add("GET", "/metrics", self)
        for path, handler in probes.items():
            application.router.add("GET", path, handler)
        limits = ServerSettings()
        loop = asyncio.get_running_loop()

        def connect() -> HttpConnection:
            return HttpConnection(application, self._connections, limits, refusal_pause_s=0.0, loop=loop)

        try:
            self._listener = await loop.create_server(connect, self._settings.metrics_host, self._settings.metrics_port)
        except OSError as error:
            raise SettingsInvalid(f"telemetry.metrics_port: {error.strerror}") from None
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and close the connections."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            await self._connections.close(_CLOSE_TIMEOUT_S)

    def check(self, request: HttpRequest) -> bytes | None:
        """Accept every request."""
        return None

    def handle(self, request: HttpRequest) -> HandlerResult:
        """Render the page."""
        return self._render()

    async def _render(self) -> HttpResponse:
        return HttpResponse(body=await self._page.render(), content_type=CONTENT_TYPE)
