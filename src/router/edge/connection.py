"""One WebSocket after its upgrade: does what the session machine says, and keeps the order of things.

Commands go to the writer in the order in which they came, without waiting for each other's commits; answers leave as they
are known. Nothing here is a task but the arrival: a frame and its answer are a call each. How a client gets its first state
is ``arrival.py``.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

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
from router.edge.house import House, identity_of, monotonic_ms
from router.edge.outbox import Outbox
from router.edge.random_ids import RandomIds
from router.edge.socket import Socket
from router.model.commands import ConnectDesktop
from router.model.errors import InboxFull, RouterError
from router.model.refusals import RefusalCode, Refused
from router.runtime.writer import Reply
from router.wire.close_codes import CloseCode
from router.wire.codec import JSON, BadFrame
from router.wire.frames import AskExpectedWait, ErrorFrame, Ok, Pong, Submit, Tell
from router.wire.rfc6455 import BINARY, PING, TEXT
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

_new_session_id: Final = RandomIds(12).next


class _Asker:
    """Waits for the answer to one frame: the writer tells it in its turn."""

    __slots__ = ("_ask", "_connection")

    def __init__(self, connection: "Connection", ask: Any) -> None:
        self._connection = connection
        self._ask = ask

    def done(self) -> bool:
        """The client is gone: its answer is nobody's."""
        return self._connection.is_closing

    def set_result(self, reply: Reply) -> None:
        self._connection.answer(self._ask, reply)

    def set_exception(self, error: Exception) -> None:
        self._connection.answer(self._ask, error)


class Connection:
    """The owner of one socket. The hub knows it as a seat."""

    __slots__ = (
        "_actor",
        "_closing",
        "_connected",
        "_credential",
        "_decoder",
        "_held_back",
        "_house",
        "_hub",
        "_in_flight",
        "_left",
        "_on_lost",
        "_outbox",
        "_session",
        "_socket",
        "_timer",
        "_wanted",
        "attached",
        "deliver",
        "figures_fresh",
        "live",
        "role",
        "session_id",
        "subject",
        "subprotocol",
        "workspace",
    )

    def __init__(
        self,
        socket: Socket,
        house: House,
        *,
        door: Door,
        subprotocol: str,
        credential: Credential | None,
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.session_id = _new_session_id()
        self.workspace = self.role = self.subject = self._actor = ""
        self.subprotocol = subprotocol
        self.live = self.attached = self.figures_fresh = False
        self._socket = socket
        self._house = house
        self._hub = house.hub
        self._credential = credential
        self._on_lost = on_lost
        self._decoder = house.decoder(door, subprotocol)
        self._wanted = TEXT if subprotocol == JSON else BINARY
        self._in_flight = 0
        self._held_back = self._closing = self._left = self._connected = False
        self._timer: asyncio.TimerHandle | None = None
        settings = house.settings
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
            identity=self._identity(credential) if credential else None,
            hello_timeout_ms=settings.hello_timeout_s * 1000,
            bad_frames_max=settings.bad_frames_max,
        )
        self._outbox = Outbox(
            socket.transport,
            call_soon=house.hub.end_of_tick.call,
            count_max=settings.outbox_count_max,
            bytes_max=settings.outbox_bytes_max,
            on_overflow=self._overflowed,
        )
        self.deliver = self._outbox.put
        self._watch_the_clock()

    # --- the seat -----------------------------------------------------------------------------------
    def close(self, code: CloseCode, text: str) -> None:
        """Begin to close: what is in the outbox leaves first; the rest happens in the background."""
        if self._closing:
            return
        self._outbox.flush()
        if self._left:
            return  # It overflowed: that is why it closes, then.
        self._hub.see_off(self)
        self._leave()
        self._socket.close(code, text)

    def abort(self) -> None:
        """End at once."""
        self._socket.abort()

    def _overflowed(self) -> None:
        self.close(CloseCode.SLOW_CONSUMER, "too slow")

    @property
    def is_closing(self) -> bool:
        """True once a close has begun."""
        return self._closing

    def send(self, frame: Tell) -> None:
        """Put a frame into the outbox."""
        self._outbox.put(self._hub.encode(frame, self.subprotocol))

    def lost(self) -> None:
        """The connection is no more. It is not the only one, perhaps: what follows from it takes its turn."""
        self._hub.departures.forget(self._forget)

    def _forget(self) -> None:
        self._leave()
        self._hub.seen_off(self)
        self._on_lost(self)

    def _leave(self) -> None:
        """Hear nothing more, and let the others know. Idempotent."""
        if self._left:
            return
        self._left = self._closing = True
        self.live = False
        self._session.closed()
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.close()
        self._hub.leave(self)
        if self._connected:
            self._hub.departures.lose_desktop(self.workspace, self.subject, self.session_id)

    # --- reading ------------------------------------------------------------------------------------
    def hear(self, opcode: int, payload: bytes) -> None:
        """A message of the client, or a ping."""
        if opcode == self._wanted:
            self._do(self._frame(payload))
        elif opcode == PING:
            self._do(self._session.control(monotonic_ms()))
            if not self._closing:
                self._socket.pong(payload)
        else:
            self.close(CloseCode.UNSUPPORTED_DATA, "not the codec that was agreed")

    def _frame(self, data: bytes) -> list[Effect]:
        now_ms = monotonic_ms()
        try:
            return self._session.receive(self._decoder.decode(data), now_ms)
        except BadFrame as bad:
            return self._session.malformed(str(bad), self._decoder.id_of(data), now_ms)

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Perform(ask=ask):
                    self._accept_command(ask)
                case Beat(id=id):
                    at_ms = self._house.writer.clock.now_ms()
                    self.send(Pong(id=id, at_ms=at_ms, seq=self._hub.position(self.workspace)))
                case Send(frame=frame):
                    self.send(frame)
                case Authenticate():
                    self._do(self._authenticate(effect))
                case Start(resume=resume):
                    self._begin_start(resume)
                case Reauthenticate(id=id, token=token):
                    identity = self._verified(token)
                    self._do(self._session.refreshed(id, identity, monotonic_ms()))
                    self._watch_the_clock()
                case Close(code=code, text=text):
                    self.close(code, text)

    def _authenticate(self, proof: Authenticate) -> list[Effect]:
        if proof.ticket is not None:
            self._credential = self._house.redeem(proof.ticket)
        else:
            self._credential = self._checked(proof.token or "")
        if self._credential is None:
            return self._session.refused()
        return self._session.authenticated(self._identity(self._credential), monotonic_ms())

    def _verified(self, token: str) -> Identity | None:
        credential = self._checked(token)
        return self._identity(credential) if credential else None

    def _identity(self, credential: Credential) -> Identity:
        return identity_of(credential, at_ms=self._house.writer.clock.now_ms())

    def _checked(self, token: str) -> Credential | None:
        try:
            return self._house.verify(token)
        except AuthFailed:
            return None

    def _watch_the_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline_ms = self._session.deadline_ms()
        if deadline_ms is not None:
            delay_s = max(0, deadline_ms - monotonic_ms()) / 1000
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay_s + 0.001, self._tick)

    def _tick(self) -> None:
        effects = self._session.tick(monotonic_ms())
        for effect in effects:
            assert isinstance(effect, Close)
            self.close(effect.code, effect.text)
        if not effects:
            self._watch_the_clock()

    # --- commands -----------------------------------------------------------------------------------
    def _accept_command(self, ask: Any) -> None:
        credential = self._credential
        assert credential is not None
        if not names_one_target(ask):
            self.send(problem_frame("malformed", ask.id, detail="exactly one target"))
            return
        asker = _Asker(self, ask)
        self._in_flight += 1
        if type(ask) is AskExpectedWait:
            self._hub.keep(asyncio.get_running_loop().create_task(self._ask(ask, credential)))
        else:
            try:
                if type(ask) is Submit:
                    # Under overload a refusal has to be cheap: before anything is made of it.
                    self._house.writer.admit_submit(credential.workspace)
                command = command_of(ask, credential)
                self._house.writer.submit(
                    credential.workspace, command, actor=self._actor, reply=asker
                )
            except RouterError as error:
                self.answer(ask, error)
        if self._in_flight >= self._house.settings.in_flight_max and not self._held_back:
            # At the limit the socket is not read from: the client feels it as back pressure.
            self._held_back = True
            self._socket.hold_back()

    def answer(self, ask: Any, reply: Reply | Ok | ErrorFrame | Exception) -> None:
        """The outcome of a command, an answer ready made, or why there is none. Raises nothing: the writer calls it."""
        self._in_flight -= 1
        try:
            if isinstance(reply, Reply):
                self.send(answer_of(ask, reply.outcome))
            elif isinstance(reply, RouterError):
                self.send(fault_frame(ask.id, reply))
            elif isinstance(reply, Exception):
                raise reply
            else:
                self.send(reply)
        except Exception:
            _log.exception("a command of a socket failed", action="command_failed")
            self.close(CloseCode.INTERNAL_ERROR, "internal error")
        if self._held_back and self._in_flight <= self._house.settings.in_flight_max // 2:
            self._held_back = False
            self._socket.go_on()

    async def _ask(self, ask: AskExpectedWait, credential: Credential) -> None:
        try:
            self.answer(ask, await expected_wait_answer(self._house.writer, ask, credential))
        except Exception as error:
            self.answer(ask, error)

    # --- entering -----------------------------------------------------------------------------------
    def _begin_start(self, resume: str | None) -> None:
        self._socket.hold_back()
        self._hub.keep(asyncio.get_running_loop().create_task(self._start(resume)))

    async def _start(self, resume: str | None) -> None:
        try:
            await self._enter(resume)
        except ConnectionError:
            pass  # The client is gone; what that means is the same as for any other end.
        except TimeoutError:
            self.close(CloseCode.SLOW_CONSUMER, "too slow")
        except InboxFull:
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
        except RouterError:
            self.close(CloseCode.SERVICE_RESTART, "the router restarts")
        except Exception:
            _log.exception("a socket's arrival failed", action="socket_failed")
            self.close(CloseCode.INTERNAL_ERROR, "internal error")
        if not self._closing:
            self._socket.go_on()

    async def _enter(self, resume: str | None) -> None:
        credential = self._credential
        assert credential is not None
        if self._closing:
            return
        self.workspace, self.subject = credential.workspace, credential.subject
        self.role, self._actor = str(credential.role), credential.actor
        house = self._house
        if self._hub.draining or not house.may_join(credential):
            self.close(CloseCode.TRY_AGAIN_LATER, "no place now")
            return
        self._hub.join(self)
        arrival = Arrival(self, self._hub, house.writer, house.settings)
        if await self._connect_desktop() and await arrival.enter(resume):
            self._session.started()
            self._watch_the_clock()

    async def _connect_desktop(self) -> bool:
        if self.role != "agent":
            return True
        self._connected = True
        command = ConnectDesktop(agent_id=self.subject, session_id=self.session_id)
        reply = await self._house.writer.execute(self.workspace, command, actor="router")
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
        transport = self._socket.transport
        for frame in frames:
            if self._closing or transport.is_closing():
                raise ConnectionResetError("the client is gone")
            transport.write(self._hub.encode(frame, self.subprotocol))
            async with asyncio.timeout(self._house.settings.send_timeout_s):
                await self._socket.drained()
