"""The load that all sides get: agents who accept and end whatever comes, and a gateway that submits contacts with a skill.

The agents of the router speak its frames, those of the others Socket.IO events; what they do is the same. A lifecycle is submit,
offer on the agent's screen, accept, end, each with the server's answer.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, cast

import msgspec

from benchmarks.rivals.websocket import WebSocket
from router.model.states import AgentState
from router.protocol import frames as f
from router.protocol.codec import MSGPACK

SKILLS: Final = tuple(f"s{n}" for n in range(10))
_SETTLE_S: Final = 30
_to_json: Final = msgspec.json.Encoder().encode
_from_json: Final = msgspec.json.Decoder().decode
_to_msgpack: Final = msgspec.msgpack.Encoder().encode


def skills_of(number: int) -> tuple[str, str]:
    """The two that agent ``number`` has."""
    return SKILLS[number % len(SKILLS)], SKILLS[(number + 1) % len(SKILLS)]


class Connection(Protocol):
    """A socket of the load. ``failed`` is called with the code of an error."""

    welcomed: asyncio.Future[None]
    failed: Callable[[str], None]

    def close(self) -> None: ...


class Agent(Connection, Protocol):
    """What the load needs of an agent's connection. ``offered`` and ``ended`` are called with a contact's id."""

    offered: Callable[[str], None]
    ended: Callable[[str], None]

    def ready(self) -> None: ...


class Gateway(Connection, Protocol):
    """What the load needs of the gateway's connection. ``queued`` is called with the submit's number and the contact's id."""

    queued: Callable[[int, str], None]

    def submit(self, number: int, skill: str) -> None: ...


def _nothing(*_: Any) -> None:
    pass


def _identity(one: Connection) -> asyncio.BaseProtocol:
    """What loops want to be given: something that makes the protocol."""
    return cast(asyncio.BaseProtocol, one)


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


_heard: Final = msgspec.msgpack.Decoder(_ReceivedFrame).decode


class RouterSocket(WebSocket):
    """What an agent and a gateway of the router have in common."""

    def __init__(self, path: str, token: str) -> None:
        headers = {"Sec-WebSocket-Protocol": MSGPACK, "Authorization": f"Bearer {token}"}
        super().__init__(path, headers, text=False)
        self.failed: Callable[[str], None] = _nothing

    def opened(self) -> None:
        self.send(_to_msgpack(f.HelloFrame()))

    def on_message(self, payload: bytes) -> None:
        frame = _heard(payload)
        if frame.type == "welcome":
            self.welcomed.set_result(None)
        elif frame.type == "error":
            self.failed(frame.code)
        else:
            self.on_frame(frame)

    def on_frame(self, frame: _ReceivedFrame) -> None:
        """Neither the welcome nor an error."""


class RouterAgent(RouterSocket):
    """An agent's desktop at the router."""

    def __init__(self, token: str) -> None:
        super().__init__("/v1/desktop", token)
        self.offered: Callable[[str], None] = _nothing
        self.ended: Callable[[str], None] = _nothing

    def ready(self) -> None:
        self.send(_to_msgpack(f.SetStateFrame(id="r", state=AgentState.READY)))

    def on_frame(self, frame: _ReceivedFrame) -> None:
        event = frame.event
        if event is None:
            return
        if event.type == "offer.made":
            self.offered(event.contact_id)
            self.send(_to_msgpack(f.AcceptFrame(id="a", offer_id=event.offer_id)))
        elif event.type == "offer.accepted":
            self.send(_to_msgpack(f.EndFrame(id="e", contact_id=event.contact_id)))
        elif event.type == "assignment.completed":
            self.ended(event.contact_id)


class RouterGateway(RouterSocket):
    """The gateway at the router."""

    def __init__(self, token: str) -> None:
        super().__init__("/v1/gateway", token)
        self.queued: Callable[[int, str], None] = _nothing

    def submit(self, number: int, skill: str) -> None:
        contact = f.ContactFields(channel="voice", queue_id="support", skills={skill: 1})
        self.send(_to_msgpack(f.SubmitFrame(id=str(number), contact=contact)))

    def on_frame(self, frame: _ReceivedFrame) -> None:
        if frame.type == "ok" and frame.id is not None:
            self.queued(int(frame.id), frame.subject)


# --- Socket.IO ----------------------------------------------------------------------------------------


class SocketIo(WebSocket):
    """Engine.IO 4 over WebSocket alone, default namespace, acknowledgements by number."""

    def __init__(self, auth: dict[str, Any]) -> None:
        super().__init__("/socket.io/?EIO=4&transport=websocket", {}, text=True)
        self._auth = auth
        self._answers: dict[int, Callable[[Any], None]] = {}
        self._number = 0
        self.failed: Callable[[str], None] = _nothing

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

    def emit(self, name: str, data: Any, answered: Callable[[Any], None]) -> None:
        """An event that the server acknowledges."""
        self._number += 1
        self._answers[self._number] = answered
        self.send(b"42%d" % self._number + _to_json([name, data]))

    def on_event(self, name: str, data: Any) -> None:
        """Of the server."""

    def checked(self, answer: Any, then: Callable[[], None]) -> None:
        """Go on where the server took it."""
        if answer.get("ok"):
            then()
        else:
            self.failed(str(answer.get("error")))


class SocketIoAgent(SocketIo):
    """An agent's screen at a rival."""

    def __init__(self, number: int) -> None:
        super().__init__({"agent": f"d{number}", "skills": skills_of(number)})
        self.offered: Callable[[str], None] = _nothing
        self.ended: Callable[[str], None] = _nothing

    def ready(self) -> None:
        self.emit("ready", {}, lambda answer: self.checked(answer, _nothing))

    def on_event(self, name: str, data: Any) -> None:
        if name == "offer":
            contact_id = data["contact_id"]
            self.offered(contact_id)
            accept = {"offer_id": data["offer_id"]}
            self.emit(
                "accept",
                accept,
                lambda answer: self.checked(answer, partial(self._end, contact_id)),
            )

    def _end(self, contact_id: str) -> None:
        done = partial(self.ended, contact_id)
        self.emit("end", {"contact_id": contact_id}, lambda answer: self.checked(answer, done))


class SocketIoGateway(SocketIo):
    """The gateway at a rival."""

    def __init__(self) -> None:
        super().__init__({"gateway": "web"})
        self.queued: Callable[[int, str], None] = _nothing

    def submit(self, number: int, skill: str) -> None:
        self.emit("submit", {"skill": skill}, lambda answer: self._submitted(number, answer))

    def _submitted(self, number: int, answer: Any) -> None:
        self.checked(answer, lambda: self.queued(number, answer["contact_id"]))


# --- the load -----------------------------------------------------------------------------------------


class Load:
    """Agents and a gateway, who drive one side."""

    def __init__(self, agents: list[Agent], gateway: Gateway) -> None:
        self._agents, self._gateway = agents, gateway
        self._sockets: tuple[Connection, ...] = (*agents, gateway)
        self.lifecycles = 0
        self.in_flight = 0
        self.errors: dict[str, int] = {}
        self.latencies_ns: list[int] = []
        self._submitted = 0
        self._due_ns: dict[int, int] = {}
        # Answer and offer leave the server together; whichever is heard last makes the pair.
        self._due_of_contact_ns: dict[str, int] = {}
        self._offered_ns: dict[str, int] = {}
        self._again = False
        gateway.queued, gateway.failed = self._queued, self._failed
        for agent in agents:
            agent.offered, agent.ended, agent.failed = self._offered, self._ended, self._failed

    async def connect(self, port: int) -> None:
        """Open all sockets and go ready."""
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            await loop.create_connection(partial(_identity, one), "127.0.0.1", port)
            await asyncio.wait_for(one.welcomed, 10)
        for agent in self._agents:
            agent.ready()
        await asyncio.sleep(0.5)

    def close(self) -> None:
        """Close all sockets."""
        for one in self._sockets:
            one.close()

    async def warm_up(self, count: int) -> None:
        """So many contacts from first to last: then the side has taken note of all agents."""
        for _ in range(count):
            self._submit(time.perf_counter_ns())
        await self._settle()

    async def closed_loop(self, seconds: float, window: int) -> float:
        """Always ``window`` contacts in flight; lifecycles a second."""
        self._again = True
        for _ in range(window):
            self._submit(time.perf_counter_ns())
        await asyncio.sleep(seconds / 4)  # Warm.
        before, began = self.lifecycles, time.perf_counter()
        await asyncio.sleep(seconds)
        rate = (self.lifecycles - before) / (time.perf_counter() - began)
        self._again = False
        await self._settle()
        return rate

    async def open_loop(self, seconds: float, rate: float) -> list[int]:
        """``rate`` contacts a second whether or not the server keeps up; sorted latencies from the due times, in ns."""
        self.latencies_ns = []
        began, gap_ns, count = time.perf_counter_ns(), 1e9 / rate, int(seconds * rate)
        sent = 0
        while sent < count:
            now = time.perf_counter_ns()
            while sent < count and began + sent * gap_ns <= now:
                self._submit(int(began + sent * gap_ns))
                sent += 1
            await asyncio.sleep(0.0005)
        await self._settle()
        return sorted(self.latencies_ns)

    async def _settle(self) -> None:
        """Wait until nothing is in flight. Raises TimeoutError where something never ends."""
        async with asyncio.timeout(_SETTLE_S):
            while self.in_flight:  # noqa: ASYNC110  (nothing else runs now)
                await asyncio.sleep(0.01)

    def _submit(self, due_ns: int) -> None:
        self._submitted += 1
        number = self._submitted
        self._due_ns[number] = due_ns
        self.in_flight += 1
        # Steps of a number prime to ten: all skills alike, neighbours apart, the same for every side.
        self._gateway.submit(number, SKILLS[number * 7 % len(SKILLS)])

    def _queued(self, number: int, contact_id: str) -> None:
        due_ns = self._due_ns.pop(number)
        offered_ns = self._offered_ns.pop(contact_id, None)
        if offered_ns is None:
            self._due_of_contact_ns[contact_id] = due_ns
        else:
            self.latencies_ns.append(offered_ns - due_ns)

    def _offered(self, contact_id: str) -> None:
        now_ns = time.perf_counter_ns()
        due_ns = self._due_of_contact_ns.pop(contact_id, None)
        if due_ns is None:
            self._offered_ns[contact_id] = now_ns
        else:
            self.latencies_ns.append(now_ns - due_ns)

    def _ended(self, contact_id: str) -> None:
        self.lifecycles += 1
        self.in_flight -= 1
        if self._again:
            self._submit(time.perf_counter_ns())

    def _failed(self, code: str) -> None:
        self.errors[code] = self.errors.get(code, 0) + 1
