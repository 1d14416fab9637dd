"""The WebSockets' door: who may come in, before and at the upgrade. What happens after it is ``connection.py``.

Everything that can be refused is refused before the upgrade, as a problem document with a status that proxies and clients
understand. Tokens come in the ``Authorization`` header or in ``hello``, never in the address.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import hdrs, web

from router.edge.auth import AuthFailed, Credential
from router.edge.backend import Backend
from router.edge.connection import CLOSE_TIMEOUT_S, Connection, monotonic_ms
from router.edge.entrance import ACTOR, OPERATION, SERVER_NAME
from router.edge.hub import Hub
from router.edge.problems import ProblemRaised
from router.settings import SocketSettings
from router.wire.close_codes import CloseCode
from router.wire.codec import SUBPROTOCOLS
from router.wire.session import Door, FrameBudget

_log = structlog.get_logger(__name__)

PATHS: Final = {
    Door.DESKTOP: "/v1/desktop",
    Door.GATEWAY: "/v1/gateway",
    Door.SUPERVISOR: "/v1/supervisor",
}
# A refused client comes back after a time of its own, so that a crowd does not come back as a crowd.
_RETRY_AFTER_S: Final = (1, 10)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SocketDoor:
    """The handlers of the three WebSocket paths."""

    def __init__(self, backend: Backend, hub: Hub) -> None:
        self._backend = backend
        self._hub = hub
        self._limits: SocketSettings = backend.settings.sockets
        self._origins = frozenset(backend.settings.edge.allowed_origins)
        self._open = 0
        self._upgrades = FrameBudget(
            self._limits.upgrades_per_s, self._limits.upgrades_burst, now_ms=monotonic_ms()
        )

    @property
    def open_count(self) -> int:
        """Sockets that are open now, authenticated or not."""
        return self._open

    def handler(self, door: Door) -> Handler:
        """The handler of one path."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, door)

        return handle

    def add_to(self, app: web.Application) -> None:
        """Put the three paths into the application."""
        for kind, path in PATHS.items():
            app.router.add_get(path, self.handler(kind), name=f"{kind}_socket", allow_head=False)

    async def _handle(self, request: web.Request, door: Door) -> web.StreamResponse:
        request[OPERATION] = f"{door}_socket"
        self._admit(request)
        credential = self._credential(request, door)
        if credential is not None:
            request[ACTOR] = credential.actor
        ws = web.WebSocketResponse(
            protocols=SUBPROTOCOLS,
            heartbeat=self._limits.heartbeat_s,
            max_msg_size=self._limits.frame_bytes_max,
            compress=False,
            timeout=CLOSE_TIMEOUT_S,
            autoping=False,
            decode_text=False,
        )
        ws.headers[hdrs.SERVER] = SERVER_NAME
        # No await between here and the count: what was admitted fits.
        self._open += 1
        try:
            await ws.prepare(request)
            transport = request.transport
            if transport is None:
                return ws
            await self._serve(ws, transport, door, credential)
        finally:
            self._open -= 1
        return ws

    async def _serve(
        self,
        ws: "web.WebSocketResponse[bool]",
        transport: asyncio.Transport,
        door: Door,
        credential: Credential | None,
    ) -> None:
        connection = Connection(
            ws,
            transport,
            door=door,
            hub=self._hub,
            writer=self._backend.writer,
            verify=self._backend.authenticator.verify,
            redeem=self._backend.tickets.redeem,
            settings=self._limits,
            credential=credential,
            may_join=self._may_join,
        )
        try:
            await connection.run()
        except Exception:
            # The last line of defence: one connection ends, with a trace, and the others never hear of it.
            _log.exception("a socket's handler failed", action="socket_failed", door=str(door))
            connection.close(CloseCode.INTERNAL_ERROR, "internal error")
            await connection.closed()

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
            # Programs send no Origin; a page's must be known, or any page could speak in its user's name.
            raise ProblemRaised("origin_forbidden")
        offered = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
        names = {name.strip() for line in offered for name in line.split(",")}
        if names.isdisjoint(SUBPROTOCOLS):
            raise ProblemRaised("malformed", "subprotocol " + " or ".join(SUBPROTOCOLS))
        if request.query_string:
            raise ProblemRaised("malformed", "no query here: tokens never stand in an address")
        if self._open >= self._limits.connections_max or not self._upgrades.take(monotonic_ms()):
            raise ProblemRaised("busy", retry_after_s=_retry_after_s())

    def _credential(self, request: web.Request, door: Door) -> Credential | None:
        """The credential of the header, or none where there is no header: then ``hello`` brings one."""
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
        if str(credential.role) not in door.roles:
            raise ProblemRaised("forbidden")
        if not self._may_join(credential):
            raise ProblemRaised("busy", retry_after_s=_retry_after_s())
        return credential

    def _may_join(self, credential: Credential) -> bool:
        count = self._hub.count_of(credential.workspace, str(credential.role), credential.subject)
        return count < self._limits.credential_connections_max


def _retry_after_s() -> int:
    return random.randint(*_RETRY_AFTER_S)
