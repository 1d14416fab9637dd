"""WebSocket endpoints: admission and upgrade. ``connection.py`` handles the connection afterwards.

Whatever can be refused is refused before the upgrade, with a problem document and an HTTP status that proxies and clients
understand. Tokens are accepted in the ``Authorization`` header or in ``hello``, never in the URL.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, cast

from aiohttp import hdrs, web

from router.edge.auth import AuthFailed, Credential
from router.edge.backend import Backend
from router.edge.connection import Connection
from router.edge.entrance import ACTOR, OPERATION, SERVER_NAME
from router.edge.house import House
from router.edge.http_connection import HttpConnection
from router.edge.hub import Hub
from router.edge.problems import ProblemRaised
from router.edge.socket import Socket
from router.edge.upgrades import Upgrades, UpgradeTurnedAway
from router.settings import SocketSettings
from router.wire.codec import SUBPROTOCOLS
from router.wire.session import Door

PATHS: Final = {
    Door.DESKTOP: "/v1/desktop",
    Door.GATEWAY: "/v1/gateway",
    Door.SUPERVISOR: "/v1/supervisor",
}
# Refused clients get random retry times, so that they do not return together.
_RETRY_AFTER_S: Final = (1, 10)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SocketDoor:
    """Handlers of the three WebSocket endpoints and registry of their connections."""

    def __init__(self, backend: Backend, hub: Hub) -> None:
        self._backend = backend
        self._hub = hub
        self._limits: SocketSettings = backend.settings.sockets
        self._origins = frozenset(backend.settings.edge.allowed_origins)
        self._context = House(
            hub=hub,
            writer=backend.writer,
            verify=backend.authenticator.verify,
            redeem=backend.tickets.redeem,
            settings=self._limits,
            may_join=self._may_join,
        )
        self._connections: set[Connection] = set()
        self._opening = 0
        self._upgrades = Upgrades(self._limits)
        self.turn_away = UpgradeTurnedAway(backend, self._upgrades).answer
        """Function for the server that refuses upgrade requests above the rate limit from their first bytes."""

    @property
    def open_count(self) -> int:
        """Number of open WebSockets, authenticated or not."""
        return len(self._connections) + self._opening

    def handler(self, endpoint: Door) -> Handler:
        """Return the handler of one endpoint."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, endpoint)

        return handle

    def add_to(self, app: web.Application) -> None:
        """Register the three endpoints with the application."""
        for kind, path in PATHS.items():
            app.router.add_get(path, self.handler(kind), name=f"{kind}_socket", allow_head=False)
        app.on_shutdown.append(self._abort_all)

    async def _abort_all(self, _app: web.Application) -> None:
        """Abort the connections that are still open when the server closes."""
        for connection in tuple(self._connections):
            connection.abort()

    async def _handle(self, request: web.Request, endpoint: Door) -> web.StreamResponse:
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
        self, request: web.Request, endpoint: Door, subprotocol: str, credential: Credential | None
    ) -> None:
        """Take the transport from the HTTP library after the handshake and create the connection."""
        if request.transport is None:
            return  # The connection is already lost.
        protocol = cast(HttpConnection, request.protocol)
        socket = Socket(
            request.transport,
            heartbeat_s=self._limits.heartbeat_s,
            message_bytes_max=self._limits.frame_bytes_max,
        )
        release = protocol.hand_over(socket)

        def lost(connection: Connection) -> None:
            self._connections.discard(connection)
            release()

        connection = Connection(
            socket,
            self._context,
            door=endpoint,
            subprotocol=subprotocol,
            credential=credential,
            on_lost=lost,
        )
        self._connections.add(connection)
        socket.begin(connection)

    # --- before the upgrade ---------------------------------------------------------------------------
    def _admit(self, request: web.Request) -> None:
        if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
            raise ProblemRaised("upgrade_required", headers={hdrs.UPGRADE: "websocket"})
        if self._backend.condition.stopping or self._hub.draining:
            raise ProblemRaised("stopping", retry_after_s=_retry_after_s())
        if not self._backend.condition.ready:
            raise ProblemRaised("not_ready", retry_after_s=_retry_after_s())
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin not in self._origins:
            # Only browsers send Origin. An unknown one is refused; otherwise any page could act for its user.
            raise ProblemRaised("origin_forbidden")
        offered = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
        names = {name.strip() for line in offered for name in line.split(",")}
        if names.isdisjoint(SUBPROTOCOLS):
            raise ProblemRaised(
                "malformed", "Sec-WebSocket-Protocol must offer " + " or ".join(SUBPROTOCOLS)
            )
        if request.query_string:
            raise ProblemRaised(
                "malformed",
                "no query parameters are allowed; send the token in a header or in hello",
            )
        if self.open_count >= self._limits.connections_max:
            raise ProblemRaised("busy", retry_after_s=_retry_after_s())
        if not self._upgrades.take():
            raise ProblemRaised("busy", retry_after_s=self._upgrades.retry_after_s())

    def _credential(self, request: web.Request, endpoint: Door) -> Credential | None:
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
            raise ProblemRaised(
                "unauthenticated", headers={hdrs.WWW_AUTHENTICATE: "Bearer"}
            ) from None
        if str(credential.role) not in endpoint.roles:
            raise ProblemRaised("forbidden")
        if not self._may_join(credential):
            raise ProblemRaised("busy", retry_after_s=_retry_after_s())
        return credential

    def _may_join(self, credential: Credential) -> bool:
        count = self._hub.count_of(credential.workspace, str(credential.role), credential.subject)
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
