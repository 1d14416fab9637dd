"""WebSocket endpoints: admission and upgrade. ``connection.py`` handles the connection afterwards.

Whatever can be refused is refused before the upgrade, with a problem document and an HTTP status that proxies and clients
understand. Tokens are accepted in the ``Authorization`` header or in ``hello``, never in the URL. A browser, which cannot set
that header, may send a ticket as the subprotocol ``ticket.<ticket>`` beside the one that it wants to speak. A ticket that several
nodes share is redeemed once the request is complete; until then the upgrade counts as one without a credential.

The credential is checked before any limit that clients share, so invalid ones use up nothing that valid ones need: upgrades
with a credential, those without one, which are authenticated by ``hello`` later, and those of customers have limits of their own.

Ten thousand desktops that lost their connections reconnect within a second. Upgrades are limited to a rate that leaves the
event loop free for connected clients. Each refused client gets its own ``Retry-After``: the times advance along a virtual
queue at the upgrade rate, so that clients neither return so early that most are refused again nor so late that capacity is
unused. The queue only computes times; it reserves nothing, and a client is admitted whenever a token is available.
"""

import base64
import hashlib
import random
from collections.abc import Callable
from functools import partial
from typing import Final

from router.model.errors import SharedStateUnavailable
from router.protocol.codec import SUBPROTOCOLS
from router.protocol.session import Endpoint, TokenBucket
from router.server.api.admission import whole_seconds
from router.server.api.idempotency import add_customer, add_customer_in_memory
from router.server.api.problems import ProblemError
from router.server.api.request import Services
from router.server.auth.credentials import AuthFailed, Credential, TokenNotFollowed
from router.server.auth.tickets import TICKETS_UNAVAILABLE_TEXT
from router.server.http.application import CONNECTIONS_FULL_DETAIL, HandlerResult, HttpApplication, HttpRequest
from router.server.http.connection import HttpConnection
from router.server.http.handlers import begin_to_follow, count_failed_login
from router.server.http.responses import SERVER_NAME, problem_response
from router.server.ws.connection import WebSocketConnection
from router.server.ws.customer_connection import CustomerConnection, CustomerSockets
from router.server.ws.hub import Hub
from router.server.ws.session_socket import ConnectionContext, SessionSocket, monotonic_ms
from router.server.ws.statistics_views import StatisticsViews
from router.server.ws.websocket import WebSocket
from router.settings import SocketSettings

ENDPOINT_PATHS: Final = {
    Endpoint.DESKTOP: "/v1/desktop",
    Endpoint.GATEWAY: "/v1/gateway",
    Endpoint.SUPERVISOR: "/v1/supervisor",
    Endpoint.CUSTOMER: "/v1/customer",
}

# Refused clients get random retry times, so that they do not return together.
_RETRY_AFTER_S: Final = (1, 10)

_TICKET_PREFIX: Final = "ticket."
# Part of the open sockets that may still wait for ``hello``.
_WAITING_FRACTION: Final = 4

_WEBSOCKET_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketEndpoints:
    """The WebSocket endpoints and the registry of their connections."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self.services = services
        self._hub = hub
        self._limits: SocketSettings = services.settings.sockets
        self._origins = frozenset(services.settings.server.allowed_origins)
        self._context = ConnectionContext(
            hub=hub,
            writer=services.writer,
            authenticator=services.authenticator,
            redeem=services.tickets.redeem,
            settings=self._limits,
            may_connect=self._may_connect,
            admission=services.admission,
            auth_failures=services.auth_failures,
            add_customer=partial(add_customer, services),
            add_customer_in_memory=partial(add_customer_in_memory, services),
            statistics=StatisticsViews(
                hub, services.writer, services.stats, self._limits.stats_interval_ms, hub.scoped_views.visible_agents
            ),
        )
        self._context.following = services.following
        self.customers = CustomerSockets(services)
        """Sockets of customers, which are among the connections as well."""
        self._connections: set[SessionSocket] = set()
        self._waiting: set[SessionSocket] = set()
        """Connections that wait for the credential in ``hello``."""
        self._upgrades = UpgradeLimiter(self._limits)
        self._unauthenticated_upgrades = UpgradeLimiter(self._limits)
        self._customer_upgrades = UpgradeLimiter(self._limits)

    @property
    def open_count(self) -> int:
        """Number of open WebSockets, authenticated or not."""
        return len(self._connections)

    def add_to(self, application: HttpApplication) -> None:
        """Register the endpoints."""
        for endpoint, path in ENDPOINT_PATHS.items():
            application.router.add("GET", path, UpgradeHandler(self, endpoint, application))

    def apply(self, settings: SocketSettings) -> None:
        """Use the rates of upgrades of these settings from now on."""
        self._upgrades, self._unauthenticated_upgrades = UpgradeLimiter(settings), UpgradeLimiter(settings)
        self._customer_upgrades = UpgradeLimiter(settings)

    def check_credentials(self) -> None:
        """Close the connections whose credential is no longer accepted."""
        for connection in tuple(self._connections):
            connection.check_credential()

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

        def lost(connection: SessionSocket) -> None:
            self._connections.discard(connection)
            self._waiting.discard(connection)
            release()

        def authenticated(connection: SessionSocket) -> None:
            self._waiting.discard(connection)
            http_connection.authenticate()

        address = self.services.admission.addresses.of(http_connection.peer, request.headers)
        connection: SessionSocket
        if endpoint is Endpoint.CUSTOMER:
            connection = CustomerConnection(
                socket,
                self._context,
                self.services,
                self.customers,
                subprotocol=subprotocol,
                credential=request.credential,
                address=address,
                on_authenticated=authenticated,
                on_lost=lost,
            )
        else:
            connection = WebSocketConnection(
                socket,
                self._context,
                endpoint=endpoint,
                subprotocol=subprotocol,
                credential=request.credential,
                address=address,
                on_authenticated=authenticated,
                on_lost=lost,
            )
        self._connections.add(connection)
        if request.credential is None:
            self._waiting.add(connection)
        socket.attach_owner(connection)

    # --- before the upgrade ---------------------------------------------------------------------------
    def admit(self, request: HttpRequest, endpoint: Endpoint) -> None:
        """Check an upgrade request. Raises ProblemError."""
        headers = request.headers
        is_upgrade = request.is_upgrade and request.method == "GET" and request.version == "1.1"
        if not is_upgrade or headers.get("upgrade", "").lower() != "websocket":
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
        if headers.get("sec-websocket-version") != "13":
            raise ProblemError("upgrade_required", headers={"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
        if not _has_valid_key(headers):
            raise ProblemError("malformed", "Sec-WebSocket-Key must be 16 bytes in Base64")

    def refusal(self, request: HttpRequest, credential: Credential | None, endpoint: Endpoint) -> ProblemError | None:
        """Return the refusal of an upgrade at a limit of open sockets or of their rate; None: it is admitted."""
        admission = self.services.admission
        if endpoint is Endpoint.CUSTOMER and self.customers.is_full:
            detail = "as many sockets of customers are open as `requests.connections_max` allows"
            return ProblemError("busy", detail, retry_after_s=_retry_after_s())
        connection = request.connection
        assert isinstance(connection, HttpConnection)
        if self.open_count >= self._limits.connections_max or (credential is None and connection.is_reserved):
            return ProblemError(
                "busy", "as many sockets are open as `sockets.connections_max` allows", retry_after_s=_retry_after_s()
            )
        address = admission.addresses.of(connection.peer, request.headers)
        try:
            if credential is None:
                admission.check_unauthenticated_upgrade(address)
            elif endpoint is Endpoint.CUSTOMER:
                admission.check_customer_connect(admission.usage(credential), address)
        except ProblemError as raised:
            return raised
        if credential is None and len(self._waiting) >= max(1, self._limits.connections_max // _WAITING_FRACTION):
            return ProblemError(
                "busy", "too many sockets have sent no `hello` yet (`sockets.connections_max`)", retry_after_s=_retry_after_s()
            )
        if credential is not None and endpoint is not Endpoint.CUSTOMER:
            refused = self._credential_refusal(credential)
            if refused is not None:
                return refused
        limiter = self._limiter_of(endpoint, credential)
        if not limiter.take():
            return ProblemError("busy", limiter.limit_text, retry_after_s=limiter.retry_after_s())
        return None

    def _credential_refusal(self, credential: Credential) -> ProblemError | None:
        """Return the refusal of one more socket of an agent, a gateway or a supervisor; None: it is admitted."""
        if not self._may_connect(credential):
            return ProblemError(
                "busy",
                "this credential has too many sockets (`sockets.credential_connections_max`)",
                retry_after_s=_retry_after_s(),
            )
        usage = self.services.admission.usage(credential)
        wait_s = self.services.admission.connect_wait_s(usage)
        if wait_s is not None:
            return ProblemError("rate_limited", usage.connects.limit_text("new sockets"), retry_after_s=whole_seconds(wait_s))
        return None

    def _limiter_of(self, endpoint: Endpoint, credential: Credential | None) -> "UpgradeLimiter":
        """Return the rate that an upgrade counts for. Customers use up nothing that agents need, who reconnect after an outage."""
        if endpoint is Endpoint.CUSTOMER:
            return self._customer_upgrades
        return self._unauthenticated_upgrades if credential is None else self._upgrades

    def credential(self, request: HttpRequest, endpoint: Endpoint) -> Credential | None:
        """Return the credential of the header or the ticket; None if there is neither: then ``hello`` must carry one."""
        header = request.headers.get("authorization")
        ticket = _ticket(request)
        if (header is None and ticket is None) or self.pending_ticket(request) is not None:
            return None
        try:
            credential = self._verified(request, header, ticket)
        except AuthFailed as failed:
            raise self._refused(request, failed) from None
        return self._checked(request, credential, endpoint)

    def pending_ticket(self, request: HttpRequest) -> str | None:
        """Return the ticket that ``redeem`` has yet to redeem; None: ``credential`` knows the credential, or there is none."""
        if not self.services.tickets.redeems_later or request.headers.get("authorization") is not None:
            return None
        return _ticket(request)

    async def redeem(self, request: HttpRequest, ticket: str, endpoint: Endpoint) -> Credential:
        """Redeem the ticket of an upgrade that was counted as one without a credential. Raises ProblemError."""
        redeemed = self.services.tickets.redeem(ticket)
        try:
            credential = redeemed if isinstance(redeemed, Credential | None) else await redeemed
        except SharedStateUnavailable:
            raise ProblemError("busy", TICKETS_UNAVAILABLE_TEXT, retry_after_s=_retry_after_s()) from None
        if credential is None or self.services.authenticator.is_expired(credential):
            raise self._refused(request, AuthFailed("ticket"))
        self._checked(request, credential, endpoint)
        if (refusal := self._credential_refusal(credential)) is not None:
            raise refusal
        connection = request.connection
        assert isinstance(connection, HttpConnection)
        if not connection.authenticate():
            raise ProblemError("busy", CONNECTIONS_FULL_DETAIL)
        return credential

    def _refused(self, request: HttpRequest, failed: AuthFailed) -> ProblemError:
        self.services.auth_failures.record(str(failed))
        count_failed_login(self.services, request)
        return ProblemError("unauthenticated", headers={"WWW-Authenticate": "Bearer"})

    def _checked(self, request: HttpRequest, credential: Credential, endpoint: Endpoint) -> Credential:
        """Return the credential if its role may use the endpoint. Raises ProblemError."""
        request.actor = credential.pseudonym
        if str(credential.role) not in endpoint.roles:
            self.services.admission.check_rate(self.services.admission.usage(credential))
            raise ProblemError("forbidden")
        return credential

    def _verified(self, request: HttpRequest, header: str | None, ticket: str | None) -> Credential:
        if header is None:
            credential = self.services.tickets.redeem(ticket or "")
            assert isinstance(credential, Credential | None), "a ticket that is redeemed later is not verified here"
            if credential is None or self.services.authenticator.is_expired(credential):
                raise AuthFailed("ticket")
            return credential
        if ticket is not None:
            raise AuthFailed("two credentials")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise AuthFailed("scheme")
        try:
            return self.services.authenticator.verify(token.strip())
        except TokenNotFollowed as unknown:
            raise begin_to_follow(self.services, request, unknown) from None

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
        self._refused_rate = metrics.requests.labels(self.operation, "429")
        self._metrics = metrics

    def check(self, request: HttpRequest) -> bytes | None:
        """Check the upgrade. Raises ProblemError. A refused client has to open a new connection."""
        keep_alive, request.keep_alive = request.keep_alive, False
        self._endpoints.admit(request, self._endpoint)
        credential = self._endpoints.credential(request, self._endpoint)
        refusal = self._endpoints.refusal(request, credential, self._endpoint)
        if refusal is not None:
            # Counted but not logged: writing a log line would cost more than the refusal itself.
            (self._refused_busy if refusal.document.status == 503 else self._refused_rate).inc()
            self._metrics.problems.labels(refusal.document.code).inc()
            request_id = request.id()
            response = problem_response(refusal, request_id)
            return self._application.writer.encode(response, request_id, closes=True)
        request.credential = credential
        request.keep_alive = keep_alive
        return None

    def handle(self, request: HttpRequest) -> HandlerResult:
        """Answer the handshake and pass the connection on, once its ticket is redeemed."""
        if request.body:
            raise ProblemError("malformed", "an upgrade request has no body")
        ticket = None if request.credential is not None else self._endpoints.pending_ticket(request)
        if ticket is None:
            self._accept(request)
            return None
        return self._accept_later(request, ticket)

    async def _accept_later(self, request: HttpRequest, ticket: str) -> None:
        keep_alive, request.keep_alive = request.keep_alive, False
        request.credential = await self._endpoints.redeem(request, ticket, self._endpoint)
        request.keep_alive = keep_alive
        self._accept(request)

    def _accept(self, request: HttpRequest) -> None:
        subprotocol = _offered(request)
        request_id = request.id()
        key = request.headers["sec-websocket-key"].encode("ascii")
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest())
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept.decode()}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n"
            f"Server: {SERVER_NAME}\r\nX-Request-ID: {request_id}\r\n"
        )
        head += "".join(f"{name}: {value}\r\n" for name, value in self._application.leader_headers(request).items()) + "\r\n"
        self._application.record(request, 101, request_id, has_duration=False)
        connection = request.connection
        assert isinstance(connection, HttpConnection)
        if connection.transport is not None:
            connection.transport.write(head.encode())
            self._endpoints.attach(request, self._endpoint, subprotocol)


def _offered(request: HttpRequest) -> str:
    """Return the first supported subprotocol that the client offers; empty: none."""
    offered = request.headers.get("sec-websocket-protocol", "").split(",")
    return next((name for part in offered if (name := part.strip()) in SUBPROTOCOLS), "")


def _ticket(request: HttpRequest) -> str | None:
    """Return the ticket among the offered subprotocols; None: there is none."""
    for part in request.headers.get("sec-websocket-protocol", "").split(","):
        name = part.strip()
        if name.startswith(_TICKET_PREFIX):
            return name[len(_TICKET_PREFIX) :]
    return None


def _has_valid_key(headers: dict[str, str]) -> bool:
    """Return whether the key of a handshake is one of RFC 6455."""
    try:
        key = base64.b64decode(headers.get("sec-websocket-key", ""), validate=True)
    except ValueError:
        return False
    return len(key) == 16


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
        self._bucket = TokenBucket(
            settings.upgrades_per_s, settings.upgrades_burst, now_ms=now_ms(), setting="sockets.upgrades_per_s"
        )
        self._each_ms = 1000 / settings.upgrades_per_s * _QUEUE_TIME_FACTOR
        self._queue_end_ms = 0.0

    @property
    def limit_text(self) -> str:
        """Sentence that names the limit."""
        return self._bucket.limit_text("upgrades of all clients")

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
