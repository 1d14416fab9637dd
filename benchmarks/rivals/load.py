"""Load generator for all sides: agents who accept and end every contact, and a gateway that submits contacts with a skill.

The clients of the router send its frames, those of the rivals Socket.IO events; their behaviour is the same. A lifecycle is submit,
offer on the agent's screen, accept, end, each with the server's answer.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, cast

import msgspec

from benchmarks.rivals.websocket import WebSocketClient
from router.model.states import AgentState
from router.protocol import frames as f
from router.protocol.codec import MSGPACK

SKILLS: Final = tuple(f"s{n}" for n in range(10))
_IDLE_TIMEOUT_S: Final = 30
_to_json: Final = msgspec.json.Encoder().encode
_from_json: Final = msgspec.json.Decoder().decode
_to_msgpack: Final = msgspec.msgpack.Encoder().encode


def skills_of(number: int) -> tuple[str, str]:
    """Return the two skills of an agent by number."""
    return SKILLS[number % len(SKILLS)], SKILLS[(number + 1) % len(SKILLS)]


class Connection(Protocol):
    """A connection of the load. ``on_error`` is called with the code of an error."""

    welcomed: asyncio.Future[None]
    on_error: Callable[[str], None]

    def close(self) -> None: ...


class AgentConnection(Connection, Protocol):
    """An agent's connection. ``on_offered`` and ``on_ended`` are called with a contact's id."""

    on_offered: Callable[[str], None]
    on_ended: Callable[[str], None]

    def ready(self) -> None: ...


class GatewayConnection(Connection, Protocol):
    """The gateway's connection. ``on_queued`` is called with the number of the submit and the contact's id."""

    on_queued: Callable[[int, str], None]

    def submit(self, number: int, skill: str) -> None: ...


def _ignore(*_: Any) -> None:
    pass


def _as_protocol(connection: Connection) -> asyncio.BaseProtocol:
    """Return the connection as the protocol that the event loop expects."""
    return cast(asyncio.BaseProtocol, connection)


# --- the router's frames ------------------------------------------------------------------------------


class _ReceivedEvent(msgspec.Struct):
    type: str
    contact_id: str = ""
    offer_id: str = ""


class _ReceivedFrame(msgspec.Struct):
    type: str
    id: str | None = None
    subject: str = ""
    event: _ReceivedEvent | None = None
    code: str = ""


_decode_frame: Final = msgspec.msgpack.Decoder(_ReceivedFrame).decode


class RouterSocket(WebSocketClient):
    """A client of the router."""

    def __init__(self, path: str, token: str) -> None:
        headers = {"Sec-WebSocket-Protocol": MSGPACK, "Authorization": f"Bearer {token}"}
        super().__init__(path, headers, text=False)
        self.on_error: Callable[[str], None] = _ignore

    def on_open(self) -> None:
        self.send(_to_msgpack(f.HelloFrame()))

    def on_message(self, payload: bytes) -> None:
        frame = _decode_frame(payload)
        if frame.type == "welcome":
            self.welcomed.set_result(None)
        elif frame.type == "error":
            self.on_error(frame.code)
        else:
            self.on_frame(frame)

    def on_frame(self, frame: _ReceivedFrame) -> None:
        """Handle a frame other than welcome and error."""


class RouterAgent(RouterSocket):
    """An agent's desktop, connected to the router."""

    def __init__(self, token: str) -> None:
        super().__init__("/v1/desktop", token)
        self.on_offered: Callable[[str], None] = _ignore
        self.on_ended: Callable[[str], None] = _ignore

    def ready(self) -> None:
        self.send(_to_msgpack(f.SetStateFrame(id="r", state=AgentState.READY)))

    def on_frame(self, frame: _ReceivedFrame) -> None:
        event = frame.event
        if event is None:
            return
        if event.type == "offer.made":
            self.on_offered(event.contact_id)
            self.send(_to_msgpack(f.AcceptFrame(id="a", offer_id=event.offer_id)))
        elif event.type == "offer.accepted":
            self.send(_to_msgpack(f.EndFrame(id="e", contact_id=event.contact_id)))
        elif event.type == "assignment.completed":
            self.on_ended(event.contact_id)


class RouterGateway(RouterSocket):
    """A gateway, connected to the router."""

    def __init__(self, token: str) -> None:
        super().__init__("/v1/gateway", token)
        self.on_queued: Callable[[int, str], None] = _ignore

    def submit(self, number: int, skill: str) -> None:
        contact = f.ContactFields(channel="voice", queue_id="support", skills={skill: 1})
        self.send(_to_msgpack(f.SubmitFrame(id=str(number), contact=contact)))

    def on_frame(self, frame: _ReceivedFrame) -> None:
        if frame.type == "ok" and frame.id is not None:
            self.on_queued(int(frame.id), frame.subject)


# --- Socket.IO ----------------------------------------------------------------------------------------


class SocketIo(WebSocketClient):
    """A Socket.IO client: Engine.IO 4 over WebSocket only, default namespace, numbered acknowledgements."""

    def __init__(self, auth: dict[str, Any]) -> None:
        super().__init__("/socket.io/?EIO=4&transport=websocket", {}, text=True)
        self._auth = auth
        self._answers: dict[int, Callable[[Any], None]] = {}
        self._number = 0
        self.on_error: Callable[[str], None] = _ignore

    def on_message(self, payload: bytes) -> None:
        kind = payload[:2]
        if kind == b"42":
            name, data = _from_json(payload[2:])
            self.on_event(name, data)
        elif kind == b"43":
            number, _, rest = payload[2:].partition(b"[")
            self._answers.pop(int(number))(*_from_json(b"[" + rest))
        elif payload == b"2":
            self.send(b"3")
        elif payload[:1] == b"0":
            self.send(b"40" + _to_json(self._auth))
        elif kind == b"40":
            self.welcomed.set_result(None)

    def emit(self, name: str, data: Any, on_answer: Callable[[Any], None]) -> None:
        """Send an event; ``on_answer`` is called with the acknowledgement of the server."""
        self._number += 1
        self._answers[self._number] = on_answer
        self.send(b"42%d" % self._number + _to_json([name, data]))

    def on_event(self, name: str, data: Any) -> None:
        """Handle an event of the server."""

    def check_answer(self, answer: Any, then: Callable[[], None]) -> None:
        """Call ``then`` if the answer is positive, otherwise report the error."""
        if answer.get("ok"):
            then()
        else:
            self.on_error(str(answer.get("error")))


class SocketIoAgent(SocketIo):
    """An agent's screen, connected to a rival."""

    def __init__(self, number: int) -> None:
        super().__init__({"agent": f"d{number}", "skills": skills_of(number)})
        self.on_offered: Callable[[str], None] = _ignore
        self.on_ended: Callable[[str], None] = _ignore

    def ready(self) -> None:
        self.emit("ready", {}, lambda answer: self.check_answer(answer, _ignore))

    def on_event(self, name: str, data: Any) -> None:
        if name == "offer":
            contact_id = data["contact_id"]
            self.on_offered(contact_id)
            accept = {"offer_id": data["offer_id"]}
            self.emit("accept", accept, lambda answer: self.check_answer(answer, partial(self._end, contact_id)))

    def _end(self, contact_id: str) -> None:
        completed = partial(self.on_ended, contact_id)
        self.emit("end", {"contact_id": contact_id}, lambda answer: self.check_answer(answer, completed))


class SocketIoGateway(SocketIo):
    """A gateway, connected to a rival."""

    def __init__(self) -> None:
        super().__init__({"gateway": "web"})
        self.on_queued: Callable[[int, str], None] = _ignore

    def submit(self, number: int, skill: str) -> None:
        self.emit("submit", {"skill": skill}, lambda answer: self._on_submit_answer(number, answer))

    def _on_submit_answer(self, number: int, answer: Any) -> None:
        self.check_answer(answer, lambda: self.on_queued(number, answer["contact_id"]))


# --- the load -----------------------------------------------------------------------------------------


class ComparisonLoad:
    """Agents and a gateway that are the load of one side."""

    def __init__(self, agents: list[AgentConnection], gateway: GatewayConnection) -> None:
        self._agents, self._gateway = agents, gateway
        self._connections: tuple[Connection, ...] = (*agents, gateway)
        self.lifecycles = 0
        self.in_flight = 0
        self.errors: dict[str, int] = {}
        self.latencies_ns: list[int] = []
        self._submitted = 0
        self._due_ns: dict[int, int] = {}
        # The answer and the offer of a contact arrive in either order.
        self._due_of_contact_ns: dict[str, int] = {}
        self._offered_ns: dict[str, int] = {}
        self._submit_after_end = False
        gateway.on_queued, gateway.on_error = self._on_queued, self._on_error
        for agent in agents:
            agent.on_offered, agent.on_ended, agent.on_error = (self._on_offered, self._on_ended, self._on_error)

    async def connect(self, port: int) -> None:
        """Open all connections and make the agents ready."""
        loop = asyncio.get_running_loop()
        for connection in self._connections:
            await loop.create_connection(partial(_as_protocol, connection), "127.0.0.1", port)
            await asyncio.wait_for(connection.welcomed, 10)
        for agent in self._agents:
            agent.ready()
        await asyncio.sleep(0.5)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()

    async def warm_up(self, count: int) -> None:
        """Complete this number of contacts, so that the server has processed all agents."""
        for _ in range(count):
            self._submit(time.perf_counter_ns())
        await self._wait_until_idle()

    async def closed_loop(self, seconds: float, window: int) -> float:
        """Keep ``window`` contacts in flight and return the lifecycles per second."""
        self._submit_after_end = True
        for _ in range(window):
            self._submit(time.perf_counter_ns())
        await asyncio.sleep(seconds / 4)  # Warm-up.
        before, started_s = self.lifecycles, time.perf_counter()
        await asyncio.sleep(seconds)
        rate = (self.lifecycles - before) / (time.perf_counter() - started_s)
        self._submit_after_end = False
        await self._wait_until_idle()
        return rate

    async def open_loop(self, seconds: float, rate: float) -> list[int]:
        """Submit at this rate, whether or not the server keeps up; return the sorted latencies from the due times, in ns."""
        self.latencies_ns = []
        start_ns, interval_ns, count = time.perf_counter_ns(), 1e9 / rate, int(seconds * rate)
        sent = 0
        while sent < count:
            now = time.perf_counter_ns()
            while sent < count and start_ns + sent * interval_ns <= now:
                self._submit(int(start_ns + sent * interval_ns))
                sent += 1
            await asyncio.sleep(0.0005)
        await self._wait_until_idle()
        return sorted(self.latencies_ns)

    async def _wait_until_idle(self) -> None:
        """Wait until no contact is in flight. Raises TimeoutError."""
        async with asyncio.timeout(_IDLE_TIMEOUT_S):
            while self.in_flight:  # noqa: ASYNC110  (the load is over)
                await asyncio.sleep(0.01)

    def _submit(self, due_ns: int) -> None:
        self._submitted += 1
        number = self._submitted
        self._due_ns[number] = due_ns
        self.in_flight += 1
        # 7 and 10 are coprime: all skills are equally frequent, in the same order for every side.
        self._gateway.submit(number, SKILLS[number * 7 % len(SKILLS)])

    def _on_queued(self, number: int, contact_id: str) -> None:
        due_ns = self._due_ns.pop(number)
        offered_ns = self._offered_ns.pop(contact_id, None)
        if offered_ns is None:
            self._due_of_contact_ns[contact_id] = due_ns
        else:
            self.latencies_ns.append(offered_ns - due_ns)

    def _on_offered(self, contact_id: str) -> None:
        now_ns = time.perf_counter_ns()
        due_ns = self._due_of_contact_ns.pop(contact_id, None)
        if due_ns is None:
            self._offered_ns[contact_id] = now_ns
        else:
            self.latencies_ns.append(now_ns - due_ns)

    def _on_ended(self, contact_id: str) -> None:
        self.lifecycles += 1
        self.in_flight -= 1
        if self._submit_after_end:
            self._submit(time.perf_counter_ns())

    def _on_error(self, code: str) -> None:
        self.errors[code] = self.errors.get(code, 0) + 1
