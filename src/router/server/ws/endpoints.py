"""WebSocket endpoints: admission and upgrade. ``connection.py`` handles the connection afterwards.

Whatever can be refused is refused before the upgrade, with a problem document and an HTTP status that proxies and clients
understand. Tokens are accepted in the ``Authorization`` header or in ``hello``, never in the URL.

Ten thousand desktops that lost their connections reconnect within a second. Upgrades are limited to a rate that leaves the
event loop free for connected clients. Each refused client gets its own ``Retry-After``: the times advance along a virtual
queue at the upgrade rate, so that clients neither return so early that most are refused again nor so late that capacity is
unused. The queue only computes times; it reserves nothing, and a client is admitted whenever a token is available.
"""

import base64
import hashlib
import random
from collections.abc import Callable
from typing import Final

from router.protocol.codec import SUBPROTOCOLS
from router.protocol.session import Endpoint, TokenBucket
from router.server.api.problems import ProblemError
from router.server.api.request import Services, new_request_id
from router.server.auth.credentials import AuthFailed, Credential
from router.server.http.application import HttpApplication, HttpRequest
from router.server.http.connection import HttpConnection
from router.server.http.responses import SERVER_NAME, problem_response
from router.server.ws.connection import ConnectionContext, WebSocketConnection, monotonic_ms
from router.server.ws.hub import Hub
from router.server.ws.websocket import WebSocket
from router.settings import SocketSettings

ENDPOINT_PATHS: Final = {Endpoint.DESKTOP: "/v1/desktop", Endpoint.GATEWAY: "/v1/gateway", Endpoint.SUPERVISOR: "/v1/supervisor"}

# Refused clients get random retry times, so that they do not return together.
_RETRY_AFTER_S: Final = (1, 10)

_WEBSOCKET_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketEndpoints:
    """The three WebSocket endpoints and the registry of their connections."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self.services = services
        self._hub = hub
        self._limits: SocketSettings = services.settings.sockets
        self._origins = frozenset(services.settings.server.allowed_origins)
        self._context = ConnectionContext(
            hub=hub,
            writer=services.writer,
            verify=services.authenticator.verify,
            redeem=services.tickets.redeem,
            settings=self._limits,
            may_connect=self._may_connect,
        )
        self._connections: set[WebSocketConnection] = set()
        self._upgrades = UpgradeLimiter(self._limits)

    @property
    def open_count(self) -> int:
        """Number of open WebSockets, authenticated or not."""
        return len(self._connections)

    def add_to(self, application: HttpApplication) -> None:
        """Register the three endpoints."""
        for endpoint, path in ENDPOINT_PATHS.items():
            application.router.add("GET", path, UpgradeHandler(self, endpoint, application))

    def abort_all(self) -> None:
        """Abort the connections that are still open when the server closes."""
        for connection in tuple(self._connections):
            connection.abort()

    def attach(self, request: HttpRequest, endpoint: Endpoint, subprotocol: str) -> None:
        """Take the transport of an accepted upgrade from its HTTP connection and create the WebSocket connection."""
        http_connection = request.connection
        assert isinstance(http_connection, HttpConnection)
        transport = http_connection.transport
        if transport is None or transport.is_closing():
            return  # The connection is already lost.
        socket = WebSocket(transport, heartbeat_s=self._limits.heartbeat_s, message_bytes_max=self._limits.frame_bytes_max)
        release = http_connection.detach(socket)

        def lost(connection: WebSocketConnection) -> None:
            self._connections.discard(connection)
            release()

        connection = WebSocketConnection(
            socket, self._context, endpoint=endpoint, subprotocol=subprotocol, credential=request.credential, on_lost=lost
        )
        self._connections.add(connection)
        socket.attach_owner(connection)

    # --- before the upgrade ---------------------------------------------------------------------------
    def admit(self, request: HttpRequest, endpoint: Endpoint) -> None:
        """Check an upgrade request. Raises ProblemError."""
        headers = request.headers
        if not request.is_upgrade or headers.get("upgrade", "").lower() != "websocket":
            raise ProblemError("upgrade_required", headers={"Upgrade": "websocket"})
        if self.services.readiness.stopping or self._hub.draining:
            raise ProblemError("stopping", retry_after_s=_retry_after_s())
        if not self.services.readiness.ready:
            raise ProblemError("not_ready", retry_after_s=_retry_after_s())
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins:
            # Only browsers send Origin. An unknown one is refused; otherwise any page could act for its user.
            raise ProblemError("origin_forbidden")
        if not _offered(request):
            raise ProblemError("malformed", "Sec-WebSocket-Protocol must offer " + " or ".join(SUBPROTOCOLS))
        if request.query:
            raise ProblemError("malformed", "no query parameters are allowed; send the token in a header or in hello")
        if not _is_valid_handshake(headers):
            raise ProblemError("malformed", "invalid WebSocket handshake")
        if self.open_count >= self._limits.connections_max:
            raise ProblemError("busy", retry_after_s=_retry_after_s())

    def refuse_above_rate(self) -> ProblemError | None:
        """Return the refusal of an upgrade above the rate limit; None: it is admitted."""
        if self._upgrades.take():
            return None
        return ProblemError("busy", retry_after_s=self._upgrades.retry_after_s())

    def credential(self, request: HttpRequest, endpoint: Endpoint) -> Credential | None:
        """Return the credential of the header; None if there is no header: then ``hello`` must carry one."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise AuthFailed("scheme")
            credential = self.services.authenticator.verify(token.strip())
        except AuthFailed:
            raise ProblemError("unauthenticated", headers={"WWW-Authenticate": "Bearer"}) from None
        if str(credential.role) not in endpoint.roles:
            raise ProblemError("forbidden")
        if not self._may_connect(credential):
            raise ProblemError("busy", retry_after_s=_retry_after_s())
        request.actor = credential.actor
        return credential

    def _may_connect(self, credential: Credential) -> bool:
        count = self._hub.connection_count(credential.workspace, str(credential.role), credential.subject)
        return count < self._limits.credential_connections_max


class UpgradeHandler:
    """Request handler of one WebSocket endpoint."""

    def __init__(self, endpoints: WebSocketEndpoints, endpoint: Endpoint, application: HttpApplication) -> None:
        self.operation = f"{endpoint}_socket"
        self._endpoints = endpoints
        self._endpoint = endpoint
        self._application = application
        metrics = endpoints.services.process_metrics
        self._refused_busy = metrics.requests.labels(self.operation, "503")
        self._problems_busy = metrics.problems.labels("busy")

    def check(self, request: HttpRequest) -> bytes | None:
        """Check the upgrade. Raises ProblemError. A refused client has to open a new connection."""
        keep_alive, request.keep_alive = request.keep_alive, False
        self._endpoints.admit(request, self._endpoint)
        refusal = self._endpoints.refuse_above_rate()
        if refusal is not None:
            # Counted but not logged: writing a log line would cost more than the refusal itself.
            self._refused_busy.inc()
            self._problems_busy.inc()
            request_id = new_request_id()
            response = problem_response(refusal, request_id)
            return self._application.writer.encode(response, request_id, closes=True)
        request.credential = self._endpoints.credential(request, self._endpoint)
        request.keep_alive = keep_alive
        return None

    def handle(self, request: HttpRequest) -> None:
        """Answer the handshake and pass the connection on."""
        if request.body:
            raise ProblemError("malformed", "an upgrade request has no body")
        subprotocol = _offered(request)
        key = request.headers["sec-websocket-key"].encode("ascii")
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest())
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept.decode()}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n"
            f"Server: {SERVER_NAME}\r\n\r\n"
        )
        self._application.record(request, 101, new_request_id(), has_duration=False)
        connection = request.connection
        assert isinstance(connection, HttpConnection)
        if connection.transport is not None:
            connection.transport.write(head.encode())
            self._endpoints.attach(request, self._endpoint, subprotocol)


def _offered(request: HttpRequest) -> str:
    """Return the first supported subprotocol that the client offers; empty: none."""
    offered = request.headers.get("sec-websocket-protocol", "").split(",")
    return next((name for part in offered if (name := part.strip()) in SUBPROTOCOLS), "")


def _is_valid_handshake(headers: dict[str, str]) -> bool:
    """Return whether version and key of a handshake are those of RFC 6455."""
    try:
        key = base64.b64decode(headers.get("sec-websocket-key", ""), validate=True)
    except ValueError:
        return False
    return headers.get("sec-websocket-version") == "13" and len(key) == 16


def _retry_after_s() -> int:
    return random.randint(*_RETRY_AFTER_S)


# Clients do not return to the second, and new ones arrive: the virtual queue uses this much more time per client.
_QUEUE_TIME_FACTOR: Final = 1.1

_RETRY_AFTER_S_MAX: Final = 60


class UpgradeLimiter:
    """Token bucket for upgrades and virtual queue of refused clients."""

    def __init__(
        self,
        settings: SocketSettings,
        *,
        now_ms: Callable[[], int] = monotonic_ms,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """``now_ms`` and ``uniform`` are replaceable for tests."""
        self._now_ms = now_ms
        self._uniform = uniform
        self._bucket = TokenBucket(settings.upgrades_per_s, settings.upgrades_burst, now_ms=now_ms())
        self._each_ms = 1000 / settings.upgrades_per_s * _QUEUE_TIME_FACTOR
        self._queue_end_ms = 0.0

    def take(self) -> bool:
        """Take a token; return whether one was available."""
        return self._bucket.try_acquire(self._now_ms())

    @property
    def is_exhausted(self) -> bool:
        """Whether the next upgrade would be refused."""
        return self._bucket.is_exhausted(self._now_ms())

    def retry_after_s(self) -> int:
        """Return the seconds after which a client refused now should retry, and advance the virtual queue."""
        now_ms = self._now_ms()
        self._queue_end_ms = max(self._queue_end_ms, now_ms) + self._each_ms
        # The header has whole seconds: the random part keeps the clients of one second from returning together.
        wait_s = int((self._queue_end_ms - now_ms) / 1000 + self._uniform(0, 2))
        return min(max(1, wait_s), _RETRY_AFTER_S_MAX)
