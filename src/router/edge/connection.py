"""One WebSocket after its upgrade: does what the session machine says, and keeps the order of things.

Commands go to the writer in the order in which they came, without waiting for each other's commits; answers leave as they
are known. How a client gets its first state is ``arrival.py``.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiohttp import WSMsgType, web

from router.edge.arrival import Arrival
from router.edge.asks import (
    answer_of,
    command_of,
    fault_frame,
    names_one_target,
    problem_frame,
)
from router.edge.auth import AuthFailed, Credential
from router.edge.expectations import expected_wait_answer
from router.edge.hub import Hub
from router.edge.outbox import Outbox
from router.model.commands import ConnectDesktop
from router.model.errors import InboxFull, RouterError
from router.model.refusals import RefusalCode, Refused
from router.runtime.writer import Writer
from router.settings import SocketSettings
from router.wire.close_codes import CloseCode
from router.wire.codec import JSON, BadFrame, Decoder
from router.wire.frames import AskExpectedWait, Pong, Tell
from router.wire.session import (
    Authenticate,
    Beat,
    Close,
    Door,
    Effect,
    FrameBudget,
    Identity,
    Perform,
    Reauthenticate,
    Send,
    Session,
    Start,
)

_log = structlog.get_logger(__name__)

CLOSE_TIMEOUT_S: Final = 5.0

Verify = Callable[[str], Credential]
Redeem = Callable[[str], Credential | None]


def monotonic_ms() -> int:
    """The clock of sessions: it never goes back."""
    return time.monotonic_ns() // 1_000_000


def identity_of(credential: Credential, *, at_ms: int) -> Identity:
    """The session's view of a credential, its end moved from the wall clock, which says ``at_ms``, onto the session's."""
    left_ms = credential.expires_at_s * 1000 - at_ms
    return Identity(
        subject=credential.subject,
        role=str(credential.role),
        workspace=credential.workspace,
        expires_at_ms=monotonic_ms() + left_ms,
    )


class Connection:
    """The owner of one socket. The hub knows it as a seat."""

    def __init__(
        self,
        ws: "web.WebSocketResponse[bool]",
        transport: asyncio.Transport,
        *,
        door: Door,
        hub: Hub,
        writer: Writer,
        verify: Verify,
        redeem: Redeem,
        settings: SocketSettings,
        credential: Credential | None,
        may_join: Callable[[Credential], bool],
    ) -> None:
        self.session_id = secrets.token_hex(12)
        self.workspace = self.role = self.subject = ""
        self.subprotocol = ws.ws_protocol or ""
        self.live = self.attached = self.figures_fresh = False
        self._ws = ws
        self._transport = transport
        self._hub = hub
        self._writer = writer
        self._verify = verify
        self._redeem = redeem
        self._settings = settings
        self._credential = credential
        self._may_join = may_join
        self._decoder = Decoder(door.asks, self.subprotocol)
        self._loop = asyncio.get_running_loop()
        self._in_flight = asyncio.Semaphore(settings.in_flight_max)
        self._commands: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._connected = False
        self._close_task: asyncio.Task[None] | None = None
        self._arrival = Arrival(self, hub, writer, settings)
        now_ms = monotonic_ms()
        of_gateway = door is Door.GATEWAY
        self._session = Session(
            door,
            now_ms=now_ms,
            budget=FrameBudget(
                settings.gateway_frames_per_s if of_gateway else settings.frames_per_s,
                settings.gateway_frames_burst if of_gateway else settings.frames_burst,
                now_ms=now_ms,
            ),
            identity=identity_of(credential, at_ms=writer.clock.now_ms()) if credential else None,
            hello_timeout_ms=settings.hello_timeout_s * 1000,
            bad_frames_max=settings.bad_frames_max,
        )
        self._outbox = Outbox(
            transport,
            call_soon=self._loop.call_soon,
            count_max=settings.outbox_count_max,
            bytes_max=settings.outbox_bytes_max,
            on_overflow=self._overflowed,
        )

    # --- the seat -----------------------------------------------------------------------------------
    def deliver(self, frame: bytes) -> None:
        """Put a whole frame into the outbox."""
        self._outbox.put(frame)

    def close(self, code: CloseCode, text: str) -> None:
        """Begin to close: what is in the outbox leaves first; the rest happens in the background."""
        if self._closing:
            return
        self._closing = True
        self.live = False
        self._session.closed()
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.flush()
        self._outbox.close()
        self._close_task = self._loop.create_task(self._close(code, text))
        self._hub.keep(self._close_task)

    async def closed(self) -> None:
        """Return when the close that was begun is over; at once where none was."""
        if self._close_task is not None:
            await asyncio.wait([self._close_task])

    async def _close(self, code: CloseCode, text: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._ws.close(code=code, message=text.encode())
        except (TimeoutError, ConnectionError):
            self._transport.abort()

    def _overflowed(self) -> None:
        self.close(CloseCode.SLOW_CONSUMER, "too slow")

    @property
    def is_closing(self) -> bool:
        """True once a close has begun."""
        return self._closing

    def send(self, frame: Tell) -> None:
        """Put a frame into the outbox."""
        self._outbox.put(self._hub.encode(frame, self.subprotocol))

    # --- reading ------------------------------------------------------------------------------------
    async def run(self) -> None:
        """From the first frame to the end of the connection."""
        try:
            self._watch_the_clock()
            await self._read()
        except ConnectionError:
            pass  # The client is gone; what that means is the same as for any other end.
        finally:
            self._leave()
            for task in tuple(
                self._commands
            ):  # They are the journal's by now; their answers are nobody's.
                self._hub.keep(task)
        await self.closed()

    async def _read(self) -> None:
        wanted = WSMsgType.TEXT if self.subprotocol == JSON else WSMsgType.BINARY
        while not self._closing:
            message = await self._ws.receive()
            if message.type is wanted:
                await self._do(self._frame(message.data))
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self.close(CloseCode.UNSUPPORTED_DATA, "not the codec that was agreed")
            elif message.type is WSMsgType.PING:
                await self._do(self._session.control(monotonic_ms()))
                if not self._closing:
                    await self._ws.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                return  # Closed, or an error that has closed it.

    def _frame(self, data: bytes) -> list[Effect]:
        now_ms = monotonic_ms()
        try:
            return self._session.receive(self._decoder.decode(data), now_ms)
        except BadFrame as bad:
            return self._session.malformed(str(bad), self._decoder.id_of(data), now_ms)

    async def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Perform(ask=ask):
                    await self._accept_command(ask)
                case Beat(id=id):
                    at_ms, seq = self._writer.clock.now_ms(), self._hub.position(self.workspace)
                    self.send(Pong(id=id, at_ms=at_ms, seq=seq))
                case Send(frame=frame):
                    self.send(frame)
                case Authenticate():
                    await self._do(self._authenticate(effect))
                case Start(resume=resume):
                    await self._start(resume)
                case Reauthenticate(id=id, token=token):
                    identity = self._verified(token)
                    await self._do(self._session.refreshed(id, identity, monotonic_ms()))
                    self._watch_the_clock()
                case Close(code=code, text=text):
                    self.close(code, text)

    def _authenticate(self, proof: Authenticate) -> list[Effect]:
        if proof.ticket is not None:
            self._credential = self._redeem(proof.ticket)
        else:
            self._credential = self._checked(proof.token or "")
        if self._credential is None:
            return self._session.refused()
        return self._session.authenticated(self._identity(self._credential), monotonic_ms())

    def _verified(self, token: str) -> Identity | None:
        credential = self._checked(token)
        return self._identity(credential) if credential else None

    def _identity(self, credential: Credential) -> Identity:
        return identity_of(credential, at_ms=self._writer.clock.now_ms())

    def _checked(self, token: str) -> Credential | None:
        try:
            return self._verify(token)
        except AuthFailed:
            return None

    def _watch_the_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline_ms = self._session.deadline_ms()
        if deadline_ms is not None:
            delay_s = max(0, deadline_ms - monotonic_ms()) / 1000
            self._timer = self._loop.call_later(delay_s + 0.001, self._tick)

    def _tick(self) -> None:
        effects = self._session.tick(monotonic_ms())
        for effect in effects:
            assert isinstance(effect, Close)
            self.close(effect.code, effect.text)
        if not effects:
            self._watch_the_clock()

    # --- commands -----------------------------------------------------------------------------------
    async def _accept_command(self, ask: Any) -> None:
        assert self._credential is not None
        if not names_one_target(ask):
            self.send(problem_frame("malformed", ask.id, detail="exactly one target"))
            return
        # At the limit the socket is not read from: the client feels it as back pressure.
        await self._in_flight.acquire()
        # Tasks start in the order in which they are made, and a command is in the inbox before its task first waits.
        task = self._loop.create_task(self._perform(ask, self._credential))
        self._commands.add(task)
        task.add_done_callback(self._performed)

    def _performed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.release()
        self._commands.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a command of a socket failed", action="command_failed", exc_info=error)
            self.close(CloseCode.INTERNAL_ERROR, "internal error")

    async def _perform(self, ask: Any, credential: Credential) -> None:
        try:
            if isinstance(ask, AskExpectedWait):
                self.send(await expected_wait_answer(self._writer, ask, credential))
                return
            command = command_of(ask, credential)
            reply = await self._writer.execute(
                credential.workspace, command, actor=credential.actor
            )
        except RouterError as error:
            self.send(fault_frame(ask.id, error))
        else:
            self.send(answer_of(ask, reply.outcome))

    # --- entering -----------------------------------------------------------------------------------
    async def _start(self, resume: str | None) -> None:
        credential = self._credential
        assert credential is not None
        self.workspace, self.subject = credential.workspace, credential.subject
        self.role = str(credential.role)
        if self._hub.draining or not self._may_join(credential):
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
            return
        self._hub.join(self)
        try:
            if await self._connect_desktop() and await self._arrival.enter(resume):
                self._session.started()
                self._watch_the_clock()
        except TimeoutError:
            self.close(CloseCode.SLOW_CONSUMER, "too slow")
        except InboxFull:
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
        except RouterError:
            self.close(CloseCode.SERVICE_RESTART, "the router restarts")

    async def _connect_desktop(self) -> bool:
        if self.role != "agent":
            return True
        self._connected = True
        command = ConnectDesktop(agent_id=self.subject, session_id=self.session_id)
        reply = await self._writer.execute(self.workspace, command, actor="router")
        answer = reply.outcome.answer
        if isinstance(answer, Refused):
            self._connected = False
            unknown = answer.code is RefusalCode.UNKNOWN_AGENT
            self.close(
                CloseCode.FORBIDDEN if unknown else CloseCode.TRY_AGAIN_LATER, "no such agent"
            )
            return False
        return True

    async def write(self, frames: list[Tell]) -> None:
        """Send past the outbox, waiting for the client: only before the seat is live."""
        for frame in frames:
            payload = self._hub.payload(frame, self.subprotocol)
            async with asyncio.timeout(self._settings.send_timeout_s):
                if self.subprotocol == JSON:
                    await self._ws.send_frame(payload, WSMsgType.TEXT)
                else:
                    await self._ws.send_frame(payload, WSMsgType.BINARY)

    def _leave(self) -> None:
        self._closing = True
        self.live = False
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.close()
        self._hub.leave(self)
        if self._connected:
            self._hub.lose_desktop(self.workspace, self.subject, self.session_id)
