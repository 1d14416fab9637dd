"""Base of the WebSocket connections: feeds the session state machine and carries out its effects.

Theory of operation. The session (``protocol/session.py``) is a pure state machine; this class feeds it frames and times and
carries out what it returns: send, authenticate, start, perform a command, close. What differs between a client that subscribes to
the hub (``connection.py``) and a customer who follows one request (``customer_connection.py``) is left to them: how a credential is
accepted, what starts the stream, which command a frame stands for, and what a lost connection leaves behind.

At the limit of commands without a reply the socket is not read (back-pressure); at half of it reading goes on.
"""

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from router.model.commands import Command, EnqueueContact
from router.protocol.close_codes import CloseCode
from router.protocol.codec import JSON, SUBPROTOCOLS, FrameDecoder, MalformedFrame
from router.protocol.frames import ContactFields, ErrorFrame, OkFrame, PongFrame, ServerFrame
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
    SessionIdentity,
    StartStream,
    TokenBucket,
)
from router.protocol.websocket_frames import BINARY, PING, TEXT
from router.runtime.workspace import Reply
from router.runtime.writer import Writer
from router.server.api.admission import AdmissionControl
from router.server.auth.credentials import Authenticator, AuthFailed, Credential, TokenNotFollowed
from router.server.auth.failures import AuthFailures
from router.server.ws.hub import Hub
from router.server.ws.statistics_views import StatisticsViews
from router.server.ws.websocket import WebSocket
from router.server.ws.write_buffer import WriteBuffer
from router.settings import SocketSettings

if TYPE_CHECKING:
    from router.cluster.following import Following

_log = structlog.get_logger(__name__)

Redeem = Callable[[str], Credential | Awaitable[Credential | None] | None]
WithCustomer = tuple[Command, asyncio.Future[None] | None]
AddCustomer = Callable[[str, EnqueueContact, ContactFields], Awaitable[WithCustomer]]
AddCustomerInMemory = Callable[[str, EnqueueContact, ContactFields], WithCustomer | None]


class ConnectionContext:
    """Services and settings shared by all WebSocket connections."""

    def __init__(
        self,
        *,
        hub: Hub,
        writer: Writer,
        authenticator: Authenticator,
        redeem: Redeem,
        settings: SocketSettings,
        may_connect: Callable[[Credential], bool],
        admission: AdmissionControl,
        auth_failures: AuthFailures,
        add_customer: AddCustomer,
        add_customer_in_memory: AddCustomerInMemory,
        statistics: StatisticsViews,
    ) -> None:
        self.following: Following | None = None
        """Which workspaces this node follows, of several on one store; None: every one."""
        self.statistics = statistics
        """Statistics that supervisors watch."""
        self.add_customer = add_customer
        """Returns the command of a submit with the customer that its fields name, and a future for what was stored of it."""
        self.add_customer_in_memory = add_customer_in_memory
        """Returns the same where that needs no wait, else None."""
        self.hub = hub
        self.writer = writer
        self.authenticator = authenticator
        self.redeem = redeem
        self.settings = settings
        self.may_connect = may_connect
        self.admission = admission
        self.auth_failures = auth_failures
        # Made at the start: examining the types takes milliseconds.
        self._decoders = {
            (endpoint, subprotocol): FrameDecoder(endpoint.client_frames, subprotocol)
            for endpoint in Endpoint
            for subprotocol in SUBPROTOCOLS
        }

    def decoder(self, endpoint: Endpoint, subprotocol: str) -> FrameDecoder:
        """Return the decoder of an endpoint and codec. Decoders are stateless and shared."""
        return self._decoders[endpoint, subprotocol]


class PendingReply:
    """Reply object of one frame; the writer calls it with the result."""

    __slots__ = ("_connection", "_request")

    def __init__(self, connection: "SessionSocket", request: Any) -> None:
        self._connection = connection
        self._request = request

    def done(self) -> bool:
        """Return whether the connection is closing, so that no reply is needed."""
        return self._connection.is_closing

    def set_result(self, reply: Reply) -> None:
        self._connection.send_reply(self._request, reply)

    def set_exception(self, error: Exception) -> None:
        self._connection.send_reply(self._request, error)


class SessionSocket(ABC):
    """WebSocket of one client with its session, write buffer and deadline."""

    __slots__ = (
        "_address",
        "_closing",
        "_context",
        "_credential",
        "_decoder",
        "_delivery_paused",
        "_hub",
        "_in_flight",
        "_in_flight_max",
        "_opcode",
        "_session",
        "_socket",
        "_timer",
        "_write_buffer",
        "subprotocol",
    )

    def __init__(
        self,
        socket: WebSocket,
        context: ConnectionContext,
        *,
        endpoint: Endpoint,
        subprotocol: str,
        credential: Credential | None,
        address: str,
        rate_limiter: TokenBucket,
        in_flight_max: int,
        write_count_max: int,
        write_bytes_max: int,
    ) -> None:
        """``address``: key of the client's address. ``in_flight_max``: commands without a reply, at which reading is paused."""
        self._socket, self._context, self._hub = socket, context, context.hub
        self.subprotocol, self._credential, self._address = subprotocol, credential, address
        self._decoder = context.decoder(endpoint, subprotocol)
        self._opcode = TEXT if subprotocol == JSON else BINARY
        self._in_flight, self._in_flight_max = 0, in_flight_max
        self._delivery_paused = self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._session = Session(
            endpoint,
            now_ms=monotonic_ms(),
            rate_limiter=rate_limiter,
            identity=self._identity(credential) if credential else None,
            hello_timeout_ms=context.settings.hello_timeout_s * 1000,
            bad_frames_max=context.settings.bad_frames_max,
        )
        self._write_buffer = WriteBuffer(
            socket.transport,
            schedule_flush=context.hub.flush_scheduler.schedule,
            count_max=write_count_max,
            bytes_max=write_bytes_max,
            on_overflow=self._on_overflow,
        )
        self._reset_timer()

    # --- what the kinds of clients differ in ----------------------------------------------------------
    @abstractmethod
    def on_connection_lost(self) -> None:
        """Handle the loss of the connection."""

    @abstractmethod
    def send_reply(self, request: Any, reply: Reply | OkFrame | ErrorFrame | Exception) -> None:
        """Send the reply to a frame. Raises nothing: the writer calls it."""

    @abstractmethod
    def _leave(self) -> None:
        """Receive nothing any more from the rest of the router; called once."""

    @abstractmethod
    def _authenticate(self, effect: Authenticate) -> list[Effect]:
        """Check the credential of ``hello``; return what the session wants then."""

    @abstractmethod
    def _reauthenticate(self, effect: Reauthenticate) -> None:
        """Check the credential of ``refresh``."""

    @abstractmethod
    def _start(self, resume: str | None) -> None:
        """Start the stream of an authenticated client."""

    @abstractmethod
    def _perform(self, request: Any) -> None:
        """Execute the command of a frame."""

    @abstractmethod
    def _newest_seq(self) -> int:
        """Return the number of the newest event, as a pong tells it; 0: the client is not told."""

    @abstractmethod
    def _note_closing(self) -> None:
        """Note that the closing handshake begins."""

    # --- closing ---------------------------------------------------------------------------------------
    def close(self, code: CloseCode, text: str) -> None:
        """Start closing: flush the write buffer, receive nothing any more, send the close frame. Does not wait."""
        if self._closing:
            return
        self._write_buffer.flush()
        if self.is_closing:
            return  # The flush overflowed and has closed the connection.
        self._note_closing()
        self._detach()
        self._socket.close(code, text)

    def abort(self) -> None:
        """Close the connection immediately, without a close frame."""
        self._socket.abort()

    @property
    def is_closing(self) -> bool:
        """Whether closing has started."""
        return self._closing

    def check_credential(self) -> None:
        """Close the connection if its credential is no longer accepted, because its key was removed."""
        credential = self._credential
        if credential is not None and self._context.authenticator.is_expired(credential):
            self.close(CloseCode.TOKEN_EXPIRED, "the credential is no longer valid")

    def _on_overflow(self) -> None:
        self.close(CloseCode.SLOW_CONSUMER, "too slow")

    def _detach(self) -> None:
        """Stop receiving and leave the rest of the router. Idempotent."""
        if self._closing:
            return
        self._closing = True
        self._session.mark_closed()
        if self._timer is not None:
            self._timer.cancel()
        self._write_buffer.close()
        self._leave()

    # --- frames ----------------------------------------------------------------------------------------
    def on_message(self, opcode: int, payload: bytes) -> None:
        """Handle a message or a ping of the client."""
        if opcode == self._opcode:
            self._execute(self._receive(payload))
        elif opcode == PING:
            self._execute(self._session.receive_control(monotonic_ms()))
            if not self._closing:
                self._socket.send_pong(payload)
        else:
            self.close(CloseCode.UNSUPPORTED_DATA, "message type does not match the negotiated codec")

    def _receive(self, data: bytes) -> list[Effect]:
        now_ms = monotonic_ms()
        try:
            return self._session.receive(self._decoder.decode(data), now_ms)
        except MalformedFrame as bad:
            return self._session.receive_malformed(str(bad), self._decoder.frame_id(data), now_ms, bad.field)

    def _execute(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case ExecuteCommand(frame=request):
                    self._perform(request)
                case SendPong(id=id):
                    self.send(PongFrame(id=id, at_ms=self._context.writer.clock.now_ms(), seq=self._newest_seq()))
                case SendFrame(frame=frame):
                    self.send(frame)
                case Authenticate():
                    self._execute(self._authenticate(effect))
                case StartStream(resume=resume):
                    self._start(resume)
                case Reauthenticate():
                    self._reauthenticate(effect)
                case CloseConnection(code=code, reason=text):
                    self.close(code, text)

    def send(self, frame: ServerFrame) -> None:
        """Put a frame into the write buffer."""
        self._write_buffer.put(self._hub.encode(frame, self.subprotocol))

    def _pause_at_limit(self) -> None:
        """Stop reading at the limit of commands without a reply: back-pressure for the client."""
        if self._in_flight >= self._in_flight_max and not self._delivery_paused:
            self._delivery_paused = True
            self._socket.pause_delivery()

    def _resume_below_limit(self) -> None:
        if self._delivery_paused and self._in_flight <= self._in_flight_max // 2:
            self._delivery_paused = False
            self._socket.resume_delivery()

    # --- credential ------------------------------------------------------------------------------------
    def _identity(self, credential: Credential) -> SessionIdentity:
        """Return the session identity of a credential, with its end on the session clock."""
        return SessionIdentity(
            subject=credential.subject,
            role=str(credential.role),
            workspace=credential.workspace,
            scope=credential.scope,
            expires_at_ms=monotonic_ms() + math.floor(self._context.authenticator.remaining_s(credential) * 1000),
        )

    def _verify_token(self, token: str) -> Credential | None:
        try:
            return self._context.authenticator.verify(token)
        except TokenNotFollowed as unknown:
            # It counts as an invalid credential, as it may be made up; beyond the rate of the address nothing is begun.
            wait_s = self._context.admission.failure_wait_s(self._address)
            self._begin_to_follow(unknown.workspaces if wait_s is None else ())
            return None
        except AuthFailed as failed:
            self._count_failure(str(failed))
            return None

    def _begin_to_follow(self, workspaces: Sequence[str]) -> None:
        """Begin to follow workspaces, and let the client come again."""
        if self._context.following is not None:
            for workspace in workspaces:
                self._context.following.begin_soon(workspace)
        self.close(CloseCode.TRY_AGAIN_LATER, "the router begins to follow the workspace")

    def _count_failure(self, check: str) -> None:
        """Count an invalid credential, also for the address, whose upgrades without a credential are refused above the rate."""
        self._context.auth_failures.record(check)
        self._context.admission.failure_wait_s(self._address)

    # --- the deadline of the session ---------------------------------------------------------------------
    def _reset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline_ms = self._session.deadline_ms()
        if deadline_ms is not None:
            delay_s = max(0, deadline_ms - monotonic_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s + 0.001, self._on_timer)

    def _on_timer(self) -> None:
        effects = self._session.tick(monotonic_ms())
        self._execute(effects)
        if not effects:
            self._reset_timer()

    def _fail(self, action: str, text: str) -> None:
        """Log an error of the router and close the connection with it."""
        _log.exception(text, action=action)
        self.close(CloseCode.INTERNAL_ERROR, "internal error")


def monotonic_ms() -> int:
    """Return the session clock: monotonic milliseconds."""
    return time.monotonic_ns() // 1_000_000
