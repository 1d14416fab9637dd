"""WebSocket connection of an agent, a gateway or a supervisor: connects client, hub and writer.

Theory of operation. ``session_socket.py`` carries out what the session says. Commands go to the writer in the order of
their frames, without waiting for each other's commits; each reply is sent when its result is durable. Receiving a frame and
sending its reply are plain calls; only the initial synchronization (``synchronization.py``) and the expected-wait query run as
tasks.

A connection that fails or is closed leaves the hub at once; the remaining cleanup goes through the disconnect queue.
"""

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from router.model.commands import ConnectDesktop, EnqueueContact
from router.model.errors import CommandQueueFull, NotFollowed, RouterError, SharedStateUnavailable
from router.model.filters import SupervisorScope
from router.model.results import RefusalCode, Refused
from router.protocol.close_codes import CloseCode
from router.protocol.frames import (
    ErrorFrame,
    ExpectedWaitFrame,
    OkFrame,
    ServerFrame,
    SubmitFrame,
    WatchCardFrame,
    WatchStatisticsFrame,
)
from router.protocol.session import Authenticate, Effect, Endpoint, Reauthenticate, TokenBucket, error_frame
from router.runtime.workspace import Reply
from router.server.api.monitoring import credential_end_ms
from router.server.api.problems import ProblemError
from router.server.api.submit_customer import ReplyWhenStored
from router.server.auth.credentials import OUT_OF_SCOPE, Credential
from router.server.ws.frame_commands import (
    SCOPED_FRAMES,
    command_from_frame,
    expected_wait_reply,
    fault_reply,
    field_in_frame,
    reply_to_frame,
    watch_card_reply,
)
from router.server.ws.session_socket import ConnectionContext, PendingReply, SessionSocket, monotonic_ms
from router.server.ws.synchronization import InitialSync
from router.server.ws.websocket import WebSocket

# Bytes that are encoded and written for a client that is not live yet before other tasks run.
_BYTES_PER_TURN: Final = 256 * 1024

_SESSION_DIGITS: Final = 24


def _new_session_id(prefix: str) -> str:
    """Return a random id that begins with the name of the run of this node, if it is one of several."""
    return prefix + secrets.token_hex((_SESSION_DIGITS - len(prefix)) // 2)


class WebSocketConnection(SessionSocket):
    """Connection of an agent, a gateway or a supervisor: subscriber of the hub."""

    __slots__ = (
        "_actor",
        "_connect_delay_s",
        "_connected",
        "_on_authenticated",
        "_on_lost",
        "attached",
        "deliver",
        "has_full_stats",
        "live",
        "reserve",
        "role",
        "scope",
        "session_id",
        "subject",
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
        self.session_id = _new_session_id(context.writer.session_prefix)
        self.workspace = self.role = self.subject = self._actor = ""
        self.live = self.attached = self.has_full_stats = self._connected = False
        self.scope: SupervisorScope | None = None
        self._connect_delay_s = 0.0
        self._on_authenticated = on_authenticated
        self._on_lost = on_lost
        self._context = context
        settings = context.settings
        if credential is None:
            rate_limiter = TokenBucket(
                settings.frames_per_s, settings.frames_burst, now_ms=monotonic_ms(), setting="sockets.frames_per_s"
            )
        else:
            rate_limiter = self._count_connect(credential)
        super().__init__(
            socket,
            context,
            endpoint=endpoint,
            subprotocol=subprotocol,
            credential=credential,
            address=address,
            rate_limiter=rate_limiter,
            in_flight_max=settings.in_flight_max,
            write_count_max=settings.write_buffer_count_max,
            write_bytes_max=settings.write_buffer_bytes_max,
        )
        self.deliver = self._write_buffer.put
        self.reserve = self._write_buffer.reserve

    @property
    def takes_more(self) -> bool:
        """Whether a sender of many frames may go on."""
        return self._write_buffer.takes_more

    # --- closing ------------------------------------------------------------------------------------
    def _note_closing(self) -> None:
        self._hub.closing_started(self)

    def on_connection_lost(self) -> None:
        """Handle the loss of the connection; its cleanup is queued, since many connections may be lost at once."""
        self._hub.disconnects.schedule_cleanup(self._clean_up)

    def _clean_up(self) -> None:
        self._detach()
        self._hub.closing_finished(self)
        self._on_lost(self)

    def _leave(self) -> None:
        """Leave the hub and report a lost desktop."""
        self.live = False
        self._hub.remove(self)
        if self._connected:
            self._hub.disconnects.add_lost_desktop(self.workspace, self.subject, self.session_id)

    # --- credential ---------------------------------------------------------------------------------
    def _count_connect(self, credential: Credential) -> TokenBucket:
        """Count the socket for its credential; return the bucket of its frames."""
        admission = self._context.admission
        usage = admission.usage(credential)
        self._connect_delay_s = admission.count_connect(usage)
        return usage.frames

    def _authenticate(self, effect: Authenticate) -> list[Effect]:
        if effect.ticket is None:
            return self._admit(self._verify_token(effect.token or ""))
        redeemed = self._context.redeem(effect.ticket)
        if isinstance(redeemed, Credential | None):
            return self._admit(self._redeemed(redeemed))
        # Nothing is received until the start of the stream, or the end of the connection.
        self._socket.pause_delivery()
        self._hub.track_task(asyncio.get_running_loop().create_task(self._admit_later(redeemed)))
        return []

    async def _admit_later(self, redeemed: Awaitable[Credential | None]) -> None:
        try:
            credential = self._redeemed(await redeemed)
            if not self._closing:
                self._execute(self._admit(credential))
        except SharedStateUnavailable:
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
        except Exception:
            self._fail("socket_failed", "the start of a WebSocket failed")

    def _redeemed(self, credential: Credential | None) -> Credential | None:
        if credential is None:
            self._count_failure("ticket")
        return credential

    def _admit(self, credential: Credential | None) -> list[Effect]:
        if credential is None:
            return [] if self.is_closing else self._session.authentication_failed()
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

    def _reauthenticate(self, effect: Reauthenticate) -> None:
        credential = self._verify_token(effect.token)
        identity = None if credential is None else self._identity(credential)
        self._execute(self._session.refreshed(effect.id, identity, monotonic_ms()))
        if identity is not None and self._session.identity is identity:
            self._credential = credential
        self._reset_timer()

    def _newest_seq(self) -> int:
        return self._hub.last_seq(self.workspace)

    # --- commands -----------------------------------------------------------------------------------
    def _perform(self, request: Any) -> None:
        credential = self._credential
        assert credential is not None
        if not request.has_one_target():
            names = request.alternatives
            self.send(error_frame("malformed", id=request.id, detail=f"give exactly one of {' and '.join(names)}", field=names[0]))
            return
        if credential.scope is not None and type(request) not in SCOPED_FRAMES:
            self.send(error_frame("forbidden", id=request.id, detail=OUT_OF_SCOPE))
            return
        pending = PendingReply(self, request)
        self._in_flight += 1
        if type(request) is ExpectedWaitFrame:
            reply = expected_wait_reply(self._context.writer, request, credential)
            self._hub.track_task(asyncio.get_running_loop().create_task(self._reply_later(request, reply)))
        elif type(request) is WatchCardFrame:
            reply = watch_card_reply(self._context.writer, self._hub.customers, request, credential, self)
            self._hub.track_task(asyncio.get_running_loop().create_task(self._reply_later(request, reply)))
        elif type(request) is WatchStatisticsFrame:
            reply = self._context.statistics.reply(request, credential, self)
            self._hub.track_task(asyncio.get_running_loop().create_task(self._reply_later(request, reply)))
        else:
            try:
                if type(request) is SubmitFrame:
                    # Under overload a refusal must be cheap: refuse before building the command.
                    self._context.writer.admit_submit(credential.workspace)
                command = command_from_frame(request, credential, self._credential_end_ms)
                exceeded = self._context.admission.state_change_refusal(credential, command)
                if exceeded is not None:
                    refused = error_frame(
                        "rate_limited", id=request.id, detail=exceeded.detail, retry_after_ms=math.ceil(exceeded.wait_s * 1000)
                    )
                    self.send_reply(request, refused)
                    return
                if type(request) is SubmitFrame:
                    assert type(command) is EnqueueContact
                    self._submit(pending, request, command, credential.workspace)
                else:
                    self._context.writer.submit(credential.workspace, command, actor=self._actor, reply=pending)
            except ProblemError as raised:
                problem = raised.document
                field = field_in_frame(request, problem.field)
                self.send_reply(request, error_frame(problem.code, id=request.id, detail=problem.detail, field=field))
            except RouterError as error:
                self.send_reply(request, error)
        self._pause_at_limit()

    def _credential_end_ms(self) -> int:
        context = self._context
        assert self._credential is not None
        return credential_end_ms(context.authenticator, context.writer.clock, self._credential)

    def _submit(self, pending: PendingReply, request: SubmitFrame, command: EnqueueContact, workspace: str) -> None:
        """Submit a contact, in a task where its customer is not in memory. Raises RouterError."""
        ready = self._context.add_customer_in_memory(workspace, command, request.contact)
        if ready is None:
            work = self._submit_with_customer(pending, request, command, workspace)
            self._hub.track_task(asyncio.get_running_loop().create_task(work))
        else:
            submit, stored = ready
            reply = pending if stored is None else ReplyWhenStored(pending, stored)
            self._context.writer.submit(workspace, submit, actor=self._actor, reply=reply)

    async def _submit_with_customer(
        self, pending: PendingReply, request: SubmitFrame, command: EnqueueContact, workspace: str
    ) -> None:
        """Submit a contact once its customer is known, or the deadline for that has passed."""
        try:
            submit, stored = await self._context.add_customer(workspace, command, request.contact)
            reply = pending if stored is None else ReplyWhenStored(pending, stored)
            self._context.writer.submit(workspace, submit, actor=self._actor, reply=reply)
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
            self._fail("command_failed", "a command of a WebSocket failed")
        self._resume_below_limit()

    async def _reply_later(self, request: Any, reply: Awaitable[OkFrame | ErrorFrame]) -> None:
        try:
            self.send_reply(request, await reply)
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
        except (CommandQueueFull, NotFollowed):
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
        except RouterError:
            self.close(CloseCode.SERVICE_RESTART, "the router restarts")
        except Exception:
            self._fail("socket_failed", "the start of a WebSocket failed")
        if not self._closing:
            self._socket.resume_delivery()

    async def _enter_hub(self, resume: str | None) -> None:
        credential = self._credential
        assert credential is not None
        if self._closing:
            return
        self.workspace, self.subject = credential.workspace, credential.subject
        self.role, self._actor, self.scope = str(credential.role), credential.actor, credential.scope
        context = self._context
        if self._hub.draining or not context.may_connect(credential):
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
            return
        if self._connect_delay_s:
            await asyncio.sleep(self._connect_delay_s)
            if self.is_closing:
                return
        if context.following is not None:
            await context.following.ensure(self.workspace)
            # The workspace may have been removed while this node did not follow it.
            self.check_credential()
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
