"""WebSocket of a customer: shows one request, and takes the customer's choice.

The connection knows one contact, the one that the token is bound to, and asks for nothing else: what it sends is the view of that
contact, made by the engine for customers, and the replies to its own frames. Numbers of events are left out, because they tell how
much happens in the workspace. It is told of changes by the watch of requests, at once where its own contact changes, and every few
seconds where the place or the expected wait does.

Losing the socket is no hang-up: the app may be in the background. A customer who does not read is closed like any other client.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
import structlog

from router.model.commands import Command, PlainCommand
from router.model.errors import RouterError
from router.model.request_views import RequestView
from router.protocol.close_codes import CloseCode
from router.protocol.frames import CommandFrame, ErrorFrame, OkFrame, StateFrame
from router.protocol.session import Authenticate, Effect, Endpoint, Reauthenticate, TokenBucket, error_frame
from router.runtime.workspace import Reply
from router.server.api.guards import guarded
from router.server.api.problems import ProblemError
from router.server.api.request import Services
from router.server.auth.credentials import Credential
from router.server.ws.frame_commands import fault_reply, reply_to_frame
from router.server.ws.session_socket import ConnectionContext, PendingReply, SessionSocket, monotonic_ms
from router.server.ws.websocket import WebSocket

_log = structlog.get_logger(__name__)

# A view has some hundred bytes; a customer who has this many unread is not reading.
_WRITE_COUNT_MAX: Final = 32
_WRITE_BYTES_MAX: Final = 64 * 1024
# Commands without a reply, beyond which the socket is not read.
_IN_FLIGHT_MAX: Final = 4


class CustomerSockets:
    """The open sockets of customers, for their limits."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[tuple[str, str], int] = {}
        self.connections: set[CustomerConnection] = set()

    @property
    def is_full(self) -> bool:
        """Return whether no further socket of a customer is admitted."""
        return len(self.connections) >= self._services.settings.requests.connections_max

    def enter(self, credential: Credential) -> Callable[[], None] | None:
        """Count an authenticated socket; return how to end it, or None if its customer has too many."""
        key = (credential.workspace, credential.subject)
        own = self._open.get(key, 0)
        if own >= self._services.settings.requests.token_connections_max:
            return None
        self._open[key] = own + 1

        def leave() -> None:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

        return leave

    def close_all(self) -> None:
        """Close all sockets, because the router stops."""
        for connection in tuple(self.connections):
            connection.close(CloseCode.SERVICE_RESTART, "the router restarts")


class CustomerConnection(SessionSocket):
    """Connection of a customer: watcher of one request."""

    __slots__ = (
        "_end_presence",
        "_is_by_hello",
        "_leave_sockets",
        "_on_authenticated",
        "_on_lost",
        "_services",
        "_sockets",
        "_unwatch",
    )

    def __init__(
        self,
        socket: WebSocket,
        context: ConnectionContext,
        services: Services,
        sockets: CustomerSockets,
        *,
        subprotocol: str,
        credential: Credential | None,
        address: str,
        on_authenticated: Callable[["CustomerConnection"], None],
        on_lost: Callable[["CustomerConnection"], None],
    ) -> None:
        self._services, self._sockets = services, sockets
        self._is_by_hello = credential is None
        self._on_authenticated, self._on_lost = on_authenticated, on_lost
        self._unwatch: Callable[[], None] | None = None
        self._end_presence: Callable[[], None] | None = None
        self._leave_sockets: Callable[[], None] | None = None
        if credential is None:
            frames = services.settings.requests
            rate_limiter = TokenBucket(
                frames.token_per_s, frames.token_burst, now_ms=monotonic_ms(), setting="requests.token_per_s"
            )
        else:
            rate_limiter = services.admission.usage(credential).frames
        super().__init__(
            socket,
            context,
            endpoint=Endpoint.CUSTOMER,
            subprotocol=subprotocol,
            credential=credential,
            address=address,
            rate_limiter=rate_limiter,
            in_flight_max=_IN_FLIGHT_MAX,
            write_count_max=_WRITE_COUNT_MAX,
            write_bytes_max=_WRITE_BYTES_MAX,
        )
        sockets.connections.add(self)

    def on_connection_lost(self) -> None:
        """Handle the loss of the connection."""
        self._detach()
        self._sockets.connections.discard(self)
        self._on_lost(self)

    def _note_closing(self) -> None:
        """Nothing waits for the end of a customer's closing handshake."""

    def _leave(self) -> None:
        """Watch nothing any more."""
        for end in (self._unwatch, self._end_presence, self._leave_sockets):
            if end is not None:
                end()

    def _newest_seq(self) -> int:
        return 0

    # --- frames ------------------------------------------------------------------------------------------------------
    def _perform(self, request: Any) -> None:
        credential = self._credential
        assert credential is not None
        pending = PendingReply(self, request)
        self._in_flight += 1
        try:
            command = _command_of(request, credential)
            self._context.writer.submit(credential.workspace, command, actor=credential.actor, reply=pending)
        except RouterError as error:
            self.send_reply(request, error)
        self._pause_at_limit()

    def send_reply(self, request: Any, reply: Reply | OkFrame | ErrorFrame | Exception) -> None:
        """Send the reply to a frame, without what concerns others. Raises nothing: the writer calls it."""
        self._in_flight -= 1
        if isinstance(reply, Exception):
            if not isinstance(reply, RouterError):
                _log.error("a command of a customer failed", action="command_failed", exc_info=reply)
            reply = fault_reply(request.id, reply if isinstance(reply, RouterError) else RouterError())
        elif isinstance(reply, Reply):
            reply = reply_to_frame(request, reply.outcome)
        if isinstance(reply, OkFrame):
            reply = msgspec.structs.replace(reply, seq=0)
        elif reply.code == "invalid_contact_state":
            reply = msgspec.structs.replace(reply, seq=None, allowed=(), state=None)
        else:
            reply = msgspec.structs.replace(reply, seq=None)
        self.send(reply)
        self._resume_below_limit()

    # --- the request ---------------------------------------------------------------------------------------------------
    def _authenticate(self, effect: Authenticate) -> list[Effect]:
        credential = self._verify_token(effect.token or "")
        if credential is None:
            return [] if self.is_closing else self._session.authentication_failed()
        if credential.token_hash:
            self._credential = credential
            self._on_authenticated(self)
            self._session.rate_limiter = self._services.admission.usage(credential).frames
        # Another kind of credential is refused by its role.
        return self._session.authenticated(self._identity(credential), monotonic_ms())

    def _reauthenticate(self, effect: Reauthenticate) -> None:
        raise AssertionError("a customer's socket has no such frame")

    def _start(self, resume: str | None) -> None:
        credential = self._credential
        assert credential is not None
        following = self._services.following
        if following is not None and not following.note_use(credential.workspace):
            self._begin_to_follow((credential.workspace,))
            return
        if not self._is_admitted(credential):
            return
        if self._hub.draining:
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
            return
        self._attend(credential)

    def _attend(self, credential: Credential) -> None:
        """Begin to show the request of a credential."""
        self._leave_sockets = self._sockets.enter(credential)
        if self._leave_sockets is None:
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
            return
        self._session.started()
        self._reset_timer()
        self._end_presence = self._services.customer_presence.enter(credential.workspace, credential.subject)
        self._unwatch = self._services.request_watch.watch(credential.workspace, credential.subject, "", self._told)

    def _is_admitted(self, credential: Credential) -> bool:
        """Count the socket for its token and, where that came with ``hello``, for the address; close it at a limit."""
        admission = self._services.admission
        usage = admission.usage(credential)
        try:
            if self._is_by_hello:
                admission.check_customer_connect(usage, self._address)
            admission.count_connect(usage)
            return True
        except ProblemError as raised:
            problem = raised.document
            retry_after_ms = 1000 * (problem.retry_after_s or 1)
            self.send(error_frame(problem.code, detail=problem.detail, retry_after_ms=retry_after_ms))
            self.close(CloseCode.RATE_LIMITED, "too many new sockets")
            return False

    def _told(self, view: RequestView | None, tag: str) -> None:
        """Send what has changed; the end of the token may have moved with it."""
        credential = self._credential
        if self._closing or credential is None or (view is not None and self._follows(credential, view)):
            return
        if view is None or self._services.authenticator.remaining_s(credential) <= 0:
            self.close(CloseCode.TOKEN_EXPIRED, "the token is no longer valid")
            return
        self._session.identity = self._identity(credential)
        self._reset_timer()
        self.send(StateFrame(request=view))

    def _follows(self, credential: Credential, view: RequestView) -> bool:
        """Show the conversation with which the customer goes on instead, if they do; return whether they do."""
        followed = None if view.resumed_id is None else self._services.authenticator.followed(credential)
        if followed is None or followed.subject != view.resumed_id:
            return False
        self._leave()
        self._unwatch = self._end_presence = self._leave_sockets = None
        self._credential = followed
        self._session.identity = self._identity(followed)
        self._attend(followed)
        return True


def _command_of(frame: CommandFrame, credential: Credential) -> Command:
    """Return the command of a frame on the contact of the token."""
    command = frame.to_command(contact_id=credential.subject)
    if frame.idempotency_key:
        return guarded(credential, cast(PlainCommand, command), key=frame.idempotency_key)
    return command
