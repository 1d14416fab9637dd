"""WebSocket endpoints: admission and upgrade. ``connection.py`` handles the connection afterwards.

Whatever can be refused is refused before the upgrade, with a problem document and an HTTP status that proxies and clients
understand. Tokens are accepted in the ``Authorization`` header or in ``hello``, never in the URL.

Ten thousand desktops that lost their connections reconnect within a second. Upgrades are limited to a rate that leaves the
event loop free for connected clients. Each refused client gets its own ``Retry-After``: the times advance along a virtual
queue at the upgrade rate, so that clients neither return so early that most are refused again nor so late that capacity is
unused. The queue only computes times; it reserves nothing, and a client is admitted whenever a token is available.
"""

import random
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, cast

from aiohttp import hdrs, web

from router.protocol.codec import SUBPROTOCOLS
from router.protocol.session import Endpoint, FrameRateLimiter
from router.server.api.problems import PROBLEM_CONTENT_TYPE, ProblemError, encode_problem
from router.server.api.request import Services
from router.server.auth.credentials import AuthFailed, Credential
from router.server.http.connection import HttpConnection
from router.server.http.middleware import ACTOR, OPERATION
from router.server.http.responses import (
    DEFAULT_CONTENT_SECURITY_POLICY,
    SECURITY_HEADERS,
    SERVER_NAME,
)
from router.server.ws.connection import ConnectionContext, WebSocketConnection, monotonic_ms
from router.server.ws.hub import Hub
from router.server.ws.websocket import WebSocket
from router.settings import SocketSettings

ENDPOINT_PATHS: Final = {
    Endpoint.DESKTOP: "/v1/desktop",
    Endpoint.GATEWAY: "/v1/gateway",
    Endpoint.SUPERVISOR: "/v1/supervisor",
}

# Refused clients get random retry times, so that they do not return together.
_RETRY_AFTER_S: Final = (1, 10)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebSocketEndpoints:
    """Handlers of the three WebSocket endpoints and registry of their connections."""

    def __init__(self, backend: Services, hub: Hub) -> None:
        self._backend = backend
        self._hub = hub
        self._limits: SocketSettings = backend.settings.sockets
        self._origins = frozenset(backend.settings.server.allowed_origins)
        self._context = ConnectionContext(
            hub=hub,
            writer=backend.writer,
            verify=backend.authenticator.verify,
            redeem=backend.tickets.redeem,
            settings=self._limits,
            may_connect=self._may_join,
        )
        self._connections: set[WebSocketConnection] = set()
        self._opening = 0
        self._upgrades = UpgradeLimiter(self._limits)
        self.refuse_early = EarlyUpgradeRefusal(backend, self._upgrades).response
        """Function for the server that refuses upgrade requests above the rate limit from their first bytes."""

    @property
    def open_count(self) -> int:
        """Number of open WebSockets, authenticated or not."""
        return len(self._connections) + self._opening

    def handler(self, endpoint: Endpoint) -> Handler:
        """Return the handler of one endpoint."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, endpoint)

        return handle

    def add_to(self, app: web.Application) -> None:
        """Register the three endpoints with the application."""
        for kind, path in ENDPOINT_PATHS.items():
            app.router.add_get(path, self.handler(kind), name=f"{kind}_socket", allow_head=False)
        app.on_shutdown.append(self._abort_all)

    async def _abort_all(self, _app: web.Application) -> None:
        """Abort the connections that are still open when the server closes."""
        for connection in tuple(self._connections):
            connection.abort()

    async def _handle(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        request[OPERATION] = f"{endpoint}_socket"
        self._admit(request)
        credential = self._credential(request, endpoint)
        if credential is not None:
            request[ACTOR] = credential.actor
        ws = web.WebSocketResponse(
            protocols=SUBPROTOCOLS,
            max_msg_size=self._limits.frame_bytes_max,
            compress=False,
        )
        ws.headers[hdrs.SERVER] = SERVER_NAME
        # No await between the admission and the count, so the limit holds.
        self._opening += 1
        try:
            await ws.prepare(request)
            self._detach(request, endpoint, ws.ws_protocol or "", credential)
        finally:
            self._opening -= 1
        return _DetachedResponse()

    def _detach(
        self,
        request: web.Request,
        endpoint: Endpoint,
        subprotocol: str,
        credential: Credential | None,
    ) -> None:
        """Take the transport from the HTTP library after the handshake and create the connection."""
        if request.transport is None:
            return  # The connection is already lost.
        protocol = cast(HttpConnection, request.protocol)
        socket = WebSocket(
            request.transport,
            heartbeat_s=self._limits.heartbeat_s,
            message_bytes_max=self._limits.frame_bytes_max,
        )
        release = protocol.detach(socket)

        def lost(connection: WebSocketConnection) -> None:
            self._connections.discard(connection)
            release()

        connection = WebSocketConnection(
            socket,
            self._context,
            endpoint=endpoint,
            subprotocol=subprotocol,
            credential=credential,
            on_lost=lost,
        )
        self._connections.add(connection)
        socket.attach_owner(connection)

    # --- before the upgrade ---------------------------------------------------------------------------
    def _admit(self, request: web.Request) -> None:
        if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
            raise ProblemError("upgrade_required", headers={hdrs.UPGRADE: "websocket"})
        if self._backend.readiness.stopping or self._hub.draining:
            raise ProblemError("stopping", retry_after_s=_retry_after_s())
        if not self._backend.readiness.ready:
            raise ProblemError("not_ready", retry_after_s=_retry_after_s())
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin not in self._origins:
            # Only browsers send Origin. An unknown one is refused; otherwise any page could act for its user.
            raise ProblemError("origin_forbidden")
        offered = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
        names = {name.strip() for line in offered for name in line.split(",")}
        if names.isdisjoint(SUBPROTOCOLS):
            raise ProblemError(
                "malformed", "Sec-WebSocket-Protocol must offer " + " or ".join(SUBPROTOCOLS)
            )
        if request.query_string:
            raise ProblemError(
                "malformed",
                "no query parameters are allowed; send the token in a header or in hello",
            )
        if self.open_count >= self._limits.connections_max:
            raise ProblemError("busy", retry_after_s=_retry_after_s())
        if not self._upgrades.take():
            raise ProblemError("busy", retry_after_s=self._upgrades.retry_after_s())

    def _credential(self, request: web.Request, endpoint: Endpoint) -> Credential | None:
        """Return the credential of the header; None if there is no header: then ``hello`` must carry one."""
        header = request.headers.get(hdrs.AUTHORIZATION)
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise AuthFailed("scheme")
            credential = self._backend.authenticator.verify(token.strip())
        except AuthFailed:
            raise ProblemError(
                "unauthenticated", headers={hdrs.WWW_AUTHENTICATE: "Bearer"}
            ) from None
        if str(credential.role) not in endpoint.roles:
            raise ProblemError("forbidden")
        if not self._may_join(credential):
            raise ProblemError("busy", retry_after_s=_retry_after_s())
        return credential

    def _may_join(self, credential: Credential) -> bool:
        count = self._hub.connection_count(
            credential.workspace, str(credential.role), credential.subject
        )
        return count < self._limits.credential_connections_max


class _DetachedResponse(web.StreamResponse):
    """Placeholder response for the library after the connection was detached; nothing is sent."""

    def __init__(self) -> None:
        super().__init__(status=101)

    @property
    def prepared(self) -> bool:
        """Whether the head was sent: always."""
        return True

    async def prepare(self, request: web.BaseRequest) -> NoReturn:
        """Report the connection as lost to the library."""
        raise ConnectionResetError("detached")


def _retry_after_s() -> int:
    return random.randint(*_RETRY_AFTER_S)


# Clients do not return to the second, and new ones arrive: the virtual queue uses this much more time per client.
_QUEUE_TIME_FACTOR: Final = 1.1

_RETRY_AFTER_S_MAX: Final = 60

_REQUEST_LINE: Final = re.compile(rb"GET /v1/(desktop|gateway|supervisor) HTTP/1\.1\r\n")

_UPGRADE: Final = re.compile(rb"\r\nupgrade: *websocket *\r\n", re.IGNORECASE)

# Headers that require another response.
_UNSUPPORTED: Final = re.compile(
    rb"\r\n(?:transfer-encoding|content-length|expect|origin|x-(?:http-)?method)", re.IGNORECASE
)

_HEADERS: Final = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": DEFAULT_CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "Content-Type": PROBLEM_CONTENT_TYPE,
    "Connection": "close",
}


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
        self._bucket = FrameRateLimiter(
            settings.upgrades_per_s, settings.upgrades_burst, now_ms=now_ms()
        )
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


class EarlyUpgradeRefusal:
    """Refusal of a simple upgrade request from its first bytes, before the HTTP library builds a request object.

    A refusal in the handler would cost half as much as an accepted upgrade: enough to saturate the loop when many clients
    reconnect at once.
    """

    def __init__(self, backend: Services, upgrades: UpgradeLimiter) -> None:
        self._upgrades = upgrades
        self._readiness = backend.readiness
        self._problems = backend.process_metrics.problems.labels("busy")
        self._requests = {
            str(door): backend.process_metrics.requests.labels(f"{door}_socket", "503")
            for door in Endpoint
        }

    def response(self, data: bytes) -> bytes | None:
        """Return the refusal for the first bytes of a connection; None: handle them in the ordinary way."""
        condition = self._readiness
        request_line = _REQUEST_LINE.match(data)
        if request_line is None or condition.stopping or not condition.ready:
            return None
        is_simple = data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
        if not is_simple or not _UPGRADE.search(data) or _UNSUPPORTED.search(data):
            return None
        if not self._upgrades.is_exhausted:
            return None
        # Counted like any other response but not logged: writing a log line would cost more than the refusal itself.
        self._requests[request_line[1].decode()].inc()
        self._problems.inc()
        request_id = secrets.token_hex(8)
        problem = ProblemError("busy", retry_after_s=self._upgrades.retry_after_s())
        body = encode_problem(problem.document, request_id)
        headers = _HEADERS | problem.headers | {"X-Request-ID": request_id}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 503 Service Unavailable\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body
