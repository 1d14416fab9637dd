"""WebSocket connection: executes the effects of the session state machine and connects client, hub and writer.

Theory of operation. The session (``protocol/session.py``) is a pure state machine; this class feeds it frames and times and
carries out what it returns: send, authenticate, start, perform a command, close. Commands go to the writer in the order of
their frames, without waiting for each other's commits; each reply is sent when its result is durable. Receiving a frame and
sending its reply are plain calls; only the initial synchronization (``synchronization.py``) and the expected-wait query run as
tasks.

At ``in_flight_max`` commands the connection stops reading (back-pressure) and continues at half of that. A connection that
fails or is closed detaches from the hub at once; the remaining cleanup goes through the disconnect queue.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

import structlog

from router.model.commands import ConnectDesktop, EnqueueContact
from router.model.errors import CommandQueueFull, RouterError
from router.model.results import RefusalCode, Refused
from router.protocol.close_codes import CloseCode
from router.protocol.codec import JSON, SUBPROTOCOLS, FrameDecoder, MalformedFrame
from router.protocol.frames import ContactFields, ErrorFrame, ExpectedWaitFrame, OkFrame, PongFrame, ServerFrame, SubmitFrame
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
    error_frame,
)
from router.protocol.websocket_frames import BINARY, PING, TEXT
from router.runtime.workspace import Reply
from router.runtime.writer import Writer
from router.server.api.admission import AdmissionControl
from router.server.api.problems import ProblemError
from router.server.auth.credentials import Authenticator, AuthFailed, Credential
from router.server.auth.failures import AuthFailures
from router.server.ws.frame_commands import command_from_frame, expected_wait_reply, fault_reply, field_in_frame, reply_to_frame
from router.server.ws.hub import Hub
from router.server.ws.synchronization import InitialSync
from router.server.ws.websocket import WebSocket
from router.server.ws.write_buffer import WriteBuffer
from router.settings import SocketSettings

_log = structlog.get_logger(__name__)

# Bytes that are encoded and written for a client that is not live yet before other tasks run.
_BYTES_PER_TURN: Final = 256 * 1024

_new_session_id: Final = partial(secrets.token_hex, 12)


class _PendingReply:
    """Reply object of one frame; the writer calls it with the result."""

    __slots__ = ("_connection", "_request")

    def __init__(self, connection: "WebSocketConnection", request: Any) -> None:
        self._connection = connection
        self._request = request

    def done(self) -> bool:
        """Return whether the connection is closing, so that no reply is needed."""
        return self._connection.is_closing

    def set_result(self, reply: Reply) -> None:
        self._connection.send_reply(self._request, reply)

    def set_exception(self, error: Exception) -> None:
        self._connection.send_reply(self._request, error)


Redeem = Callable[[str], Credential | None]
AddCustomer = Callable[[str, EnqueueContact, ContactFields], Awaitable[EnqueueContact]]


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
    ) -> None:
        self.add_customer = add_customer
        """Returns the command of a submit with the customer that its fields name."""
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


class WebSocketConnection:
    """One client connection: owner of a WebSocket and subscriber of the hub."""

    __slots__ = (
        "_actor",
        "_address",
        "_closing",
        "_connect_delay_s",
        "_connected",
        "_context",
        "_credential",
        "_decoder",
        "_delivery_paused",
        "_detached",
        "_hub",
        "_in_flight",
        "_on_authenticated",
        "_on_lost",
        "_opcode",
        "_refreshed",
        "_session",
        "_socket",
        "_timer",
        "_write_buffer",
        "attached",
        "deliver",
        "has_full_stats",
        "live",
        "role",
        "session_id",
        "subject",
        "subprotocol",
        "workspace",
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
        on_authenticated: Callable[["WebSocketConnection"], None],
        on_lost: Callable[["WebSocketConnection"], None],
    ) -> None:
        """``address``: key of the client's address. ``on_authenticated`` is called when ``hello`` has brought the credential."""
        self.session_id = _new_session_id()
        self.workspace = self.role = self.subject = self._actor = ""
        self.subprotocol = subprotocol
        self.live = self.attached = self.has_full_stats = False
        self._socket = socket
        self._context = context
        self._hub = context.hub
        self._credential = credential
        self._address = address
        self._connect_delay_s = 0.0
        self._refreshed: Credential | None = None
        self._on_authenticated = on_authenticated
        self._on_lost = on_lost
        self._decoder = context.decoder(endpoint, subprotocol)
        self._opcode = TEXT if subprotocol == JSON else BINARY
        self._in_flight = 0
        self._delivery_paused = self._closing = self._detached = self._connected = False
        self._timer: asyncio.TimerHandle | None = None
        settings = context.settings
        now_ms = monotonic_ms()
        if credential is None:
            rate_limiter = TokenBucket(settings.frames_per_s, settings.frames_burst, now_ms=now_ms, setting="sockets.frames_per_s")
        else:
            rate_limiter = self._count_connect(credential)
        self._session = Session(
            endpoint,
            now_ms=now_ms,
            rate_limiter=rate_limiter,
            identity=self._identity(credential) if credential else None,
            hello_timeout_ms=settings.hello_timeout_s * 1000,
            bad_frames_max=settings.bad_frames_max,
        )
        self._write_buffer = WriteBuffer(
            socket.transport,
            schedule_flush=context.hub.flush_scheduler.schedule,
            count_max=settings.write_buffer_count_max,
            bytes_max=settings.write_buffer_bytes_max,
            on_overflow=self._on_overflow,
        )
        self.deliver = self._write_buffer.put
        self._reset_timer()

    # --- subscriber ----------------------------------------------------------------------------------
    def close(self, code: CloseCode, text: str) -> None:
        """Start closing: flush the write buffer, leave the hub, send the close frame. Does not wait."""
        if self._closing:
            return
        self._write_buffer.flush()
        if self._detached:
            return  # The flush overflowed and has closed the connection.
        self._hub.closing_started(self)
        self._detach()
        self._socket.close(code, text)

    def abort(self) -> None:
        """Close the connection immediately, without a close frame."""
        self._socket.abort()

    def _on_overflow(self) -> None:
        self.close(CloseCode.SLOW_CONSUMER, "too slow")

    @property
    def is_closing(self) -> bool:
        """Whether closing has started."""
        return self._closing

    def send(self, frame: ServerFrame) -> None:
        """Put a frame into the write buffer."""
        self._write_buffer.put(self._hub.encode(frame, self.subprotocol))

    def on_connection_lost(self) -> None:
        """Handle the loss of the connection; its cleanup is queued, since many connections may be lost at once."""
        self._hub.disconnects.schedule_cleanup(self._clean_up)

    def _clean_up(self) -> None:
        self._detach()
        self._hub.closing_finished(self)
        self._on_lost(self)

    def _detach(self) -> None:
        """Stop receiving, leave the hub and report a lost desktop. Idempotent."""
        if self._detached:
            return
        self._detached = self._closing = True
        self.live = False
        self._session.mark_closed()
        if self._timer is not None:
            self._timer.cancel()
        self._write_buffer.close()
        self._hub.remove(self)
        if self._connected:
            self._hub.disconnects.add_lost_desktop(self.workspace, self.subject, self.session_id)

    # --- reading ------------------------------------------------------------------------------------
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
                    at_ms = self._context.writer.clock.now_ms()
                    self.send(PongFrame(id=id, at_ms=at_ms, seq=self._hub.last_seq(self.workspace)))
                case SendFrame(frame=frame):
                    self.send(frame)
                case Authenticate():
                    self._execute(self._authenticate(effect))
                case StartStream(resume=resume):
                    self._start(resume)
                case Reauthenticate(id=id, token=token):
                    identity = self._verify_identity(token)
                    self._execute(self._session.refreshed(id, identity, monotonic_ms()))
                    if identity is not None and self._session.identity is identity:
                        self._credential = self._refreshed
                    self._reset_timer()
                case CloseConnection(code=code, reason=text):
                    self.close(code, text)

    def _count_connect(self, credential: Credential) -> TokenBucket:
        """Count the socket for its credential; return the bucket of its frames."""
        admission = self._context.admission
        usage = admission.usage(credential)
        self._connect_delay_s = admission.count_connect(usage)
        return usage.frames

    def _authenticate(self, effect: Authenticate) -> list[Effect]:
        if effect.ticket is not None:
            credential = self._context.redeem(effect.ticket)
            if credential is None:
                self._count_failure("ticket")
        else:
            credential = self._verify_token(effect.token or "")
        if credential is None:
            return self._session.authentication_failed()
        self._credential = credential
        self._on_authenticated(self)
        admission = self._context.admission
        usage = admission.usage(credential)
        wait_s = admission.connect_wait_s(usage)
        if wait_s is not None:
            detail = usage.connects.limit_text("new sockets")
            self.send(error_frame("rate_limited", detail=detail, retry_after_ms=math.ceil(wait_s * 1000)))
            self.close(CloseCode.RATE_LIMITED, "too many new sockets")
            return []
        self._session.rate_limiter = self._count_connect(credential)
        return self._session.authenticated(self._identity(credential), monotonic_ms())

    def _verify_identity(self, token: str) -> SessionIdentity | None:
        credential = self._verify_token(token)
        if credential is None:
            return None
        self._refreshed = credential
        return self._identity(credential)

    def _identity(self, credential: Credential) -> SessionIdentity:
        return session_identity(credential, remaining_s=self._context.authenticator.remaining_s(credential))

    def _verify_token(self, token: str) -> Credential | None:
        try:
            return self._context.authenticator.verify(token)
        except AuthFailed as failed:
            self._count_failure(str(failed))
            return None

    def _count_failure(self, check: str) -> None:
        """Count an invalid credential, also for the address, whose upgrades without a credential are refused above the rate."""
        self._context.auth_failures.record(check)
        self._context.admission.failure_wait_s(self._address)

    def check_credential(self) -> None:
        """Close the connection if its credential is no longer accepted, because its key was removed."""
        credential = self._credential
        if credential is not None and self._context.authenticator.is_expired(credential):
            self.close(CloseCode.TOKEN_EXPIRED, "the credential is no longer valid")

    def _reset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline_ms = self._session.deadline_ms()
        if deadline_ms is not None:
            delay_s = max(0, deadline_ms - monotonic_ms()) / 1000
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay_s + 0.001, self._on_timer)

    def _on_timer(self) -> None:
        effects = self._session.tick(monotonic_ms())
        for effect in effects:
            assert isinstance(effect, CloseConnection)
            self.close(effect.code, effect.reason)
        if not effects:
            self._reset_timer()

    # --- commands -----------------------------------------------------------------------------------
    def _perform(self, request: Any) -> None:
        credential = self._credential
        assert credential is not None
        if not request.has_one_target():
            names = request.alternatives
            self.send(error_frame("malformed", id=request.id, detail=f"give exactly one of {' and '.join(names)}", field=names[0]))
            return
        pending = _PendingReply(self, request)
        self._in_flight += 1
        if type(request) is ExpectedWaitFrame:
            self._hub.track_task(asyncio.get_running_loop().create_task(self._reply_expected_wait(request, credential)))
        else:
            try:
                if type(request) is SubmitFrame:
                    # Under overload a refusal must be cheap: refuse before building the command.
                    self._context.writer.admit_submit(credential.workspace)
                command = command_from_frame(request, credential)
                exceeded = self._context.admission.state_change_refusal(credential, command)
                if exceeded is not None:
                    refused = error_frame(
                        "rate_limited", id=request.id, detail=exceeded.detail, retry_after_ms=math.ceil(exceeded.wait_s * 1000)
                    )
                    self.send_reply(request, refused)
                    return
                if type(request) is SubmitFrame and (request.contact.customer is not None or request.contact.context is not None):
                    assert type(command) is EnqueueContact
                    work = self._submit_with_customer(pending, request, command, credential.workspace)
                    self._hub.track_task(asyncio.get_running_loop().create_task(work))
                else:
                    self._context.writer.submit(credential.workspace, command, actor=self._actor, reply=pending)
            except ProblemError as raised:
                problem = raised.document
                field = field_in_frame(request, problem.field)
                self.send_reply(request, error_frame(problem.code, id=request.id, detail=problem.detail, field=field))
            except RouterError as error:
                self.send_reply(request, error)
        if self._in_flight >= self._context.settings.in_flight_max and not self._delivery_paused:
            # At the limit, reading is paused: back-pressure for the client.
            self._delivery_paused = True
            self._socket.pause_delivery()

    async def _submit_with_customer(
        self, pending: _PendingReply, request: SubmitFrame, command: EnqueueContact, workspace: str
    ) -> None:
        """Submit a contact once its customer is known, or the deadline for that has passed."""
        try:
            command = await self._context.add_customer(workspace, command, request.contact)
            self._context.writer.submit(workspace, command, actor=self._actor, reply=pending)
        except Exception as error:
            self.send_reply(request, error)

    def send_reply(self, request: Any, reply: Reply | OkFrame | ErrorFrame | Exception) -> None:
        """Send the reply to a frame: from a result, a finished frame or an exception. Raises nothing: the writer calls it."""
        self._in_flight -= 1
        try:
            if isinstance(reply, Reply):
                self.send(reply_to_frame(request, reply.outcome))
            elif isinstance(reply, RouterError):
                self.send(fault_reply(request.id, reply))
            elif isinstance(reply, Exception):
                raise reply
            else:
                self.send(reply)
        except Exception:
            _log.exception("a command of a WebSocket failed", action="command_failed")
            self.close(CloseCode.INTERNAL_ERROR, "internal error")
        if self._delivery_paused and self._in_flight <= self._context.settings.in_flight_max // 2:
            self._delivery_paused = False
            self._socket.resume_delivery()

    async def _reply_expected_wait(self, request: ExpectedWaitFrame, credential: Credential) -> None:
        try:
            self.send_reply(request, await expected_wait_reply(self._context.writer, request, credential))
        except Exception as error:
            self.send_reply(request, error)

    # --- start -------------------------------------------------------------------------------------
    def _start(self, resume: str | None) -> None:
        self._socket.pause_delivery()
        self._hub.track_task(asyncio.get_running_loop().create_task(self._start_task(resume)))

    async def _start_task(self, resume: str | None) -> None:
        try:
            await self._enter_hub(resume)
        except ConnectionError:
            pass  # The connection is lost; connection_lost does the cleanup.
        except TimeoutError:
            self.close(CloseCode.SLOW_CONSUMER, "too slow")
        except CommandQueueFull:
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
        except RouterError:
            self.close(CloseCode.SERVICE_RESTART, "the router restarts")
        except Exception:
            _log.exception("the start of a WebSocket failed", action="socket_failed")
            self.close(CloseCode.INTERNAL_ERROR, "internal error")
        if not self._closing:
            self._socket.resume_delivery()

    async def _enter_hub(self, resume: str | None) -> None:
        credential = self._credential
        assert credential is not None
        if self._closing:
            return
        self.workspace, self.subject = credential.workspace, credential.subject
        self.role, self._actor = str(credential.role), credential.actor
        context = self._context
        if self._hub.draining or not context.may_connect(credential):
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
            return
        if self._connect_delay_s:
            await asyncio.sleep(self._connect_delay_s)
            if self.is_closing:
                return
        self._hub.add(self)
        arrival = InitialSync(self, self._hub, context.writer, context.settings)
        if await self._connect_desktop() and await arrival.run(resume):
            self._session.started()
            self._reset_timer()

    async def _connect_desktop(self) -> bool:
        if self.role != "agent":
            return True
        self._connected = True
        command = ConnectDesktop(agent_id=self.subject, session_id=self.session_id)
        reply = await self._context.writer.execute(self.workspace, command, actor="router")
        answer = reply.outcome.result
        if isinstance(answer, Refused):
            self._connected = False
            unknown = answer.code is RefusalCode.UNKNOWN_AGENT
            self.close(CloseCode.FORBIDDEN if unknown else CloseCode.TRY_AGAIN_LATER, "no such agent")
            return False
        return True

    async def write_and_drain(self, frames: Iterable[ServerFrame]) -> None:
        """Write frames directly and wait for the client; only used before the connection is live."""
        transport = self._socket.transport
        written = 0
        for frame in frames:
            if self._closing or transport.is_closing():
                raise ConnectionResetError("the connection is lost")
            encoded = self._hub.encode(frame, self.subprotocol)
            transport.write(encoded)
            written += len(encoded)
            if written > _BYTES_PER_TURN:
                # A client that reads fast enough never makes ``drain`` wait; other tasks must run all the same.
                written = 0
                await asyncio.sleep(0)
            async with asyncio.timeout(self._context.settings.send_timeout_s):
                await self._socket.drain()


def monotonic_ms() -> int:
    """Return the session clock: monotonic milliseconds."""
    return time.monotonic_ns() // 1_000_000


def session_identity(credential: Credential, *, remaining_s: float) -> SessionIdentity:
    """Return the session identity of a credential that is accepted for this time, with its end on the session clock."""
    return SessionIdentity(
        subject=credential.subject,
        role=str(credential.role),
        workspace=credential.workspace,
        expires_at_ms=monotonic_ms() + math.floor(remaining_s * 1000),
    )
