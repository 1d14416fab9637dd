"""WebSocket of a customer: shows one request, and takes the customer's choice.

The connection knows one contact, the one that the token is bound to, and asks for nothing else: what it sends is the view of that
contact, made by the engine for customers, and the replies to its own frames. Numbers of events are left out, because they tell how
much happens in the workspace. It is told of changes by the watch of requests, at once where its own contact changes, and every few
seconds where the place or the expected wait does.

Losing the socket is no hang-up: the app may be in the background. A customer who does not read is closed like any other client.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
import structlog

from router.model.commands import Command, PlainCommand
from router.model.errors import RouterError
from router.model.request_views import RequestView
from router.protocol.close_codes import CloseCode
from router.protocol.codec import JSON, FrameDecoder, MalformedFrame
from router.protocol.frames import CommandFrame, ErrorFrame, OkFrame, PongFrame, ServerFrame, StateFrame
from router.protocol.session import (
    Authenticate,
    CloseConnection,
    Effect,
    Endpoint,
    ExecuteCommand,
    Reauthenticate,
    SendFrame,
    SendPong,
    Session,
    StartStream,
    TokenBucket,
)
from router.protocol.websocket_frames import BINARY, PING, TEXT
from router.runtime.workspace import Reply
from router.server.api.guards import guarded
from router.server.api.problems import ProblemError
from router.server.api.request import Services
from router.server.auth.credentials import AuthFailed, Credential
from router.server.ws.connection import monotonic_ms, session_identity
from router.server.ws.frame_commands import fault_reply, reply_to_frame
from router.server.ws.hub import Hub
from router.server.ws.websocket import WebSocket
from router.server.ws.write_buffer import WriteBuffer

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


class _PendingCommand:
    """Reply object of one frame; the writer calls it with the result."""

    __slots__ = ("_connection", "_frame")

    def __init__(self, connection: "CustomerConnection", frame: Any) -> None:
        self._connection = connection
        self._frame = frame

    def done(self) -> bool:
        """Return whether no reply is needed any more."""
        return self._connection.is_closing

    def set_result(self, reply: Reply) -> None:
        self._connection.send_reply(reply_to_frame(self._frame, reply.outcome))

    def set_exception(self, error: Exception) -> None:
        if not isinstance(error, RouterError):
            _log.error("a command of a customer failed", action="command_failed", exc_info=error)
        known = error if isinstance(error, RouterError) else RouterError()
        self._connection.send_reply(fault_reply(self._frame.id, known))


class CustomerConnection:
    """One socket of a customer: owner of a WebSocket and watcher of a request."""

    __slots__ = (
        "_address",
        "_credential",
        "_decoder",
        "_end",
        "_hub",
        "_in_flight",
        "_is_paused",
        "_leave",
        "_on_authenticated",
        "_on_lost",
        "_opcode",
        "_services",
        "_session",
        "_socket",
        "_sockets",
        "_subprotocol",
        "_timer",
        "_write_buffer",
        "is_closing",
    )

    def __init__(
        self,
        socket: WebSocket,
        sockets: CustomerSockets,
        services: Services,
        hub: Hub,
        *,
        subprotocol: str,
        credential: Credential | None,
        address: str,
        on_authenticated: Callable[["CustomerConnection"], None],
        on_lost: Callable[["CustomerConnection"], None],
    ) -> None:
        self._socket, self._sockets, self._services, self._hub = socket, sockets, services, hub
        self._subprotocol, self._credential, self._address = subprotocol, credential, address
        self._on_authenticated, self._on_lost = on_authenticated, on_lost
        self._decoder = FrameDecoder(Endpoint.CUSTOMER.client_frames, subprotocol)
        self._opcode = TEXT if subprotocol == JSON else BINARY
        self._in_flight = 0
        self.is_closing = self._is_paused = False
        self._end: Callable[[], None] | None = None
        self._leave: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        settings, now_ms = services.settings.sockets, monotonic_ms()
        frames = services.settings.requests
        self._session = Session(
            Endpoint.CUSTOMER,
            now_ms=now_ms,
            rate_limiter=TokenBucket(frames.token_per_s, frames.token_burst, now_ms=now_ms, setting="requests.token_per_s"),
            identity=None if credential is None else self._identity(credential),
            hello_timeout_ms=settings.hello_timeout_s * 1000,
            bad_frames_max=settings.bad_frames_max,
        )
        if credential is not None:
            self._session.rate_limiter = services.admission.usage(credential).frames
        self._write_buffer = WriteBuffer(
            socket.transport,
            schedule_flush=hub.flush_scheduler.schedule,
            count_max=_WRITE_COUNT_MAX,
            bytes_max=_WRITE_BYTES_MAX,
            on_overflow=self._on_overflow,
        )
        sockets.connections.add(self)
        self._reset_timer()

    # --- closing ---------------------------------------------------------------------------------------------------
    def close(self, code: CloseCode, text: str) -> None:
        """Start closing: flush what is written, and send the close frame. Does not wait."""
        if self.is_closing:
            return
        self._write_buffer.flush()
        self._detach()
        self._socket.close(code, text)

    def abort(self) -> None:
        """Close the connection immediately, without a close frame."""
        self._socket.abort()

    def on_connection_lost(self) -> None:
        """Handle the loss of the connection."""
        self._detach()
        self._sockets.connections.discard(self)
        self._on_lost(self)

    def check_credential(self) -> None:
        """Close the connection if its token is no longer valid."""
        if self._credential is not None and self._services.authenticator.is_expired(self._credential):
            self.close(CloseCode.TOKEN_EXPIRED, "the token is no longer valid")

    def _on_overflow(self) -> None:
        self.close(CloseCode.SLOW_CONSUMER, "too slow")

    def _detach(self) -> None:
        """Watch nothing any more. Idempotent."""
        self.is_closing = True
        self._session.mark_closed()
        self._write_buffer.close()
        if self._timer is not None:
            self._timer.cancel()
        end, self._end = self._end, None
        leave, self._leave = self._leave, None
        if end is not None:
            end()
        if leave is not None:
            leave()

    # --- frames ------------------------------------------------------------------------------------------------------
    def on_message(self, opcode: int, payload: bytes) -> None:
        """Handle a message or a ping of the client."""
        if opcode == self._opcode:
            self._perform(self._receive(payload))
        elif opcode == PING:
            self._perform(self._session.receive_control(monotonic_ms()))
            if not self.is_closing:
                self._socket.send_pong(payload)
        else:
            self.close(CloseCode.UNSUPPORTED_DATA, "message type does not match the negotiated codec")

    def _receive(self, data: bytes) -> list[Effect]:
        now_ms = monotonic_ms()
        try:
            return self._session.receive(self._decoder.decode(data), now_ms)
        except MalformedFrame as bad:
            return self._session.receive_malformed(str(bad), self._decoder.frame_id(data), now_ms, bad.field)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case ExecuteCommand(frame=frame):
                    self._execute(frame)
                case SendPong(id=id):
                    self.send(PongFrame(id=id, at_ms=self._services.writer.clock.now_ms()))
                case SendFrame(frame=frame):
                    self.send(frame)
                case Authenticate(token=token):
                    self._perform(self._authenticate(token or ""))
                case StartStream():
                    self._start()
                case CloseConnection(code=code, reason=text):
                    self.close(code, text)
                case Reauthenticate():
                    raise AssertionError("a customer's socket has no such frame")

    def send(self, frame: ServerFrame) -> None:
        """Put a frame into the write buffer."""
        self._write_buffer.put(self._hub.encode(frame, self._subprotocol))

    def _execute(self, frame: Any) -> None:
        credential = self._credential
        assert credential is not None
        pending = _PendingCommand(self, frame)
        self._in_flight += 1
        try:
            command = _command_of(frame, credential)
            self._services.writer.submit(credential.workspace, command, actor=credential.actor, reply=pending)
        except RouterError as error:
            pending.set_exception(error)
        if self._in_flight >= _IN_FLIGHT_MAX and not self._is_paused:
            self._is_paused = True
            self._socket.pause_delivery()

    def send_reply(self, reply: OkFrame | ErrorFrame) -> None:
        """Send the reply to a frame, without what concerns others. Raises nothing: the writer calls it."""
        self._in_flight -= 1
        if isinstance(reply, OkFrame):
            reply = msgspec.structs.replace(reply, seq=0)
        elif reply.code == "invalid_contact_state":
            reply = msgspec.structs.replace(reply, seq=None, allowed=(), state=None)
        else:
            reply = msgspec.structs.replace(reply, seq=None)
        self.send(reply)
        if self._is_paused and self._in_flight < _IN_FLIGHT_MAX:
            self._is_paused = False
            self._socket.resume_delivery()

    # --- the request ---------------------------------------------------------------------------------------------------
    def _authenticate(self, token: str) -> list[Effect]:
        services = self._services
        try:
            credential = services.authenticator.verify(token)
        except AuthFailed as failed:
            services.auth_failures.record(str(failed))
            services.admission.failure_wait_s(self._address)
            return self._session.authentication_failed()
        if not credential.token_hash:
            return self._session.authenticated(self._identity(credential), monotonic_ms())  # Refused by its role.
        self._credential = credential
        self._on_authenticated(self)
        self._session.rate_limiter = services.admission.usage(credential).frames
        return self._session.authenticated(self._identity(credential), monotonic_ms())

    def _identity(self, credential: Credential) -> Any:
        return session_identity(credential, remaining_s=self._services.authenticator.remaining_s(credential))

    def _start(self) -> None:
        credential = self._credential
        assert credential is not None
        try:
            self._services.admission.check_customer_address(self._address)
        except ProblemError:
            self.close(CloseCode.RATE_LIMITED, "too many customers of this address")
            return
        self._leave = self._sockets.enter(credential)
        if self._leave is None or self._hub.draining:
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
            return
        self._session.started()
        self._reset_timer()
        self._end = self._services.request_watch.watch(credential.workspace, credential.subject, "", self._told)

    def _told(self, view: RequestView | None, tag: str) -> None:
        """Send what has changed; the end of the token may have moved with it."""
        credential = self._credential
        if self.is_closing or credential is None:
            return
        remaining_s = self._services.authenticator.remaining_s(credential)
        if view is None or remaining_s <= 0:
            self.close(CloseCode.TOKEN_EXPIRED, "the token is no longer valid")
            return
        self._session.identity = session_identity(credential, remaining_s=remaining_s)
        self._reset_timer()
        self.send(StateFrame(request=view))

    def _reset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline_ms = self._session.deadline_ms()
        if deadline_ms is not None:
            delay_s = max(0, deadline_ms - monotonic_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s + 0.001, self._on_timer)

    def _on_timer(self) -> None:
        effects = self._session.tick(monotonic_ms())
        self._perform(effects)
        if not effects:
            self._reset_timer()


def _command_of(frame: CommandFrame, credential: Credential) -> Command:
    """Return the command of a frame on the contact of the token."""
    command = frame.to_command(contact_id=credential.subject)
    if frame.idempotency_key:
        return guarded(credential, cast(PlainCommand, command), key=frame.idempotency_key)
    return command
