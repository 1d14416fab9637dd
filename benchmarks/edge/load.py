"""The load: desktops and gateways on raw sockets, so that the generator costs as little as may be.

The frames are whole RFC 6455 client frames; the masking key is all zeros, which leaves the payload as it is. A desktop takes
whatever it is offered and ends it at once. Each contact carries a number as its ``reference``, by which its offer is
recognised, whichever gateway submitted it and however the server reordered them. Times count from when a contact was *due*.
"""

import asyncio
import os
import random
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final, cast

import msgspec
from histogram import Histogram
from servers import Target

from router.model.states import AgentState
from router.wire import frames as f
from router.wire.codec import MSGPACK

_MASKED: Final = 0x80
_CONNECTING_MAX: Final = 128
"""Handshakes under way at the same time."""
_SETTLE_S: Final = 30.0


class Heard(msgspec.Struct):
    """The fields of any server frame that the load looks at."""

    type: str
    id: str | None = None
    seq: int = 0
    gen: str = ""
    subject: str = ""
    event: "HeardEvent | None" = None
    code: str = ""
    retry_after_ms: int = 0


class HeardEvent(msgspec.Struct):
    """Likewise of an event."""

    type: str
    contact_id: str = ""
    offer_id: str = ""
    reference: str = ""


_decode: Final = msgspec.msgpack.Decoder(Heard).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Socket(asyncio.Protocol):
    """One WebSocket client."""

    def __init__(self, path: str, name: str, token: str, *, resume: str | None = None) -> None:
        self.path, self.name, self.token = path, name, token
        self._resume = resume
        self._gen, self._seq = "", 0
        self._buffer = bytearray()
        self._open = False
        self.closing = False
        self.welcomed: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        """The first frame: ``welcome`` or ``resumed``."""
        self.hear: Callable[[Heard], None] = lambda _: None
        self.on_lost: Callable[[Socket], None] = lambda _: None
        self.on_payload: Callable[[bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by class, only by what they can do.
        self._transport = cast(asyncio.Transport, transport)
        key = b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Protocol: {MSGPACK}\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
            self._buffer.clear()
        if not self._open:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer += data
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self.closing = True
                self.welcomed.set_exception(RefusedUpgrade(head))
                self._transport.close()
                return
            self._open = True
            data = rest
            self.say(f.Hello(resume=self._resume))
        self._frames(data)

    def _frames(self, data: bytes) -> None:
        at, end = 0, len(data)
        while end - at >= 2:
            opcode, length, body = data[at] & 15, data[at + 1], at + 2
            if length == 126:
                length, body = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, body = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if end < body + length:
                break
            at = body + length
            if opcode == 2:
                self._hear(data[body:at])
            elif opcode == 9:
                self._write(10, data[body:at])
            elif opcode == 8:
                self._transport.close()
        if at < end:
            self._buffer += data[at:]

    def _hear(self, payload: bytes) -> None:
        if self.on_payload is not None:
            self.on_payload(payload)
        heard = _decode(payload)
        if heard.type == "event" or heard.type == "pong":
            self._seq = heard.seq
        elif heard.type == "welcome" or heard.type == "resumed":
            self._gen, self._seq = heard.gen, heard.seq
            if not self.welcomed.done():
                self.welcomed.set_result(heard)
        self.hear(heard)

    def say(self, frame: Any) -> None:
        """Send a frame."""
        self._write(2, _encode(frame))

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, _MASKED | size))
        else:
            head = bytes((0x80 | opcode, _MASKED | 126)) + size.to_bytes(2, "big")
        self._transport.write(head + b"\0\0\0\0" + payload)

    @property
    def position(self) -> str:
        """Where a new connection would resume."""
        return f"{self._gen}:{self._seq}"

    @property
    def unsent_bytes(self) -> int:
        """What the kernel has not taken yet: the server does not read."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """End it, as a cable that is pulled."""
        self.closing = True
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(ConnectionResetError("lost before the welcome"))
        if not self.closing:
            self.on_lost(self)


class RefusedUpgrade(ConnectionError):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, head: bytes) -> None:
        super().__init__(head.decode(errors="replace"))
        self.retry_after_s = float(
            head.lower().partition(b"retry-after:")[2].partition(b"\r\n")[0] or 0
        )


class Desktop(Socket):
    """A desktop that takes and ends whatever comes."""

    asked: Any = None
    """The command whose answer is awaited."""
    asked_ns: int = 0
    """When it was sent first."""

    def ask(self, frame: Any, now_ns: int) -> None:
        """Send a command."""
        self.asked, self.asked_ns = frame, now_ns
        self.say(frame)

    def ask_again(self) -> None:
        """Repeat the command that was refused for now."""
        if not self.closing:
            self.say(self.asked)


class Rate(msgspec.Struct, frozen=True):
    """What a closed loop came to."""

    per_s: float
    """Lifecycles a second."""
    server_us: float
    """The server's CPU time for one."""
    server_busy: float
    """Share of a CPU that the server used."""
    generator_busy: float
    """Share of a CPU that the generator used."""

    @property
    def generator_times(self) -> float:
        """How many times this rate the generator could do, going by the time that it had left."""
        return 1 / self.generator_busy


class Load:
    """N desktops that accept and end whatever comes, and gateways that submit."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.desktops: list[Desktop] = []
        self.gateways: list[Socket] = []
        self.errors: Counter[str] = Counter()
        """What must not be."""
        self.refused: Counter[str] = Counter()
        """Submits that were refused, by code. An error, too, where the benchmark does not provoke them."""
        self.agents_refused: Counter[str] = Counter()
        """What agents asked and were to ask again later, by code: an error, too, but where it is what is measured."""
        self.unknown: set[str] = set()
        """Contacts whose submit was cut off before its answer, and that have not been offered."""
        self.submitted = self.acknowledged = self.completed = 0
        self.offers = Histogram()
        """From the due time of a contact to its offer on the desktop, in ns."""
        self.lateness = Histogram()
        """From the due time to handing the frame to the socket: the generator's own."""
        self.answers = Histogram()
        """Answers to what agents ask (accept, end), in ns."""
        self.on_completed: Callable[[], None] = lambda: None
        self.on_refused: Callable[[], None] = lambda: None
        self.acknowledged_ids: set[str] | None = None
        """Where somebody wants to know that none is lost: the contacts that are acknowledged and not completed yet."""
        self.completed_early: set[str] = set()
        self._due_ns: dict[str, int] = {}
        self._number = 0

    # --- connecting ----------------------------------------------------------------------------------
    async def connect(self, *, ready: bool = True) -> None:
        """Connect all; then all go ready and have heard that they are."""
        gate = asyncio.Semaphore(_CONNECTING_MAX)

        async def one(name: str, token: str) -> Desktop:
            async with gate:
                return await self.connect_desktop(name, token)

        self.desktops = await asyncio.gather(*(one(*both) for both in self.target.desktops))
        for name, token in self.target.gateways:
            gateway = Socket("/v1/gateway", name, token)
            gateway.hear, gateway.on_lost = self.heard_at_gateway, self._lost
            await self.open(gateway)
            self.gateways.append(gateway)
        if ready:
            await self.all_ready(self.desktops)

    async def connect_desktop(self, name: str, token: str, *, resume: str | None = None) -> Desktop:
        """One desktop, welcomed or resumed. Raises ConnectionError and TimeoutError."""
        desktop = Desktop("/v1/desktop", name, token, resume=resume)
        desktop.hear, desktop.on_lost = self._hear_of(desktop), self._lost
        await self.open(desktop)
        return desktop

    async def open(self, socket: Socket) -> None:
        """Connect, upgrade, say hello, be welcomed."""
        await asyncio.get_running_loop().create_connection(
            lambda: socket, "127.0.0.1", self.target.port
        )
        await asyncio.wait_for(socket.welcomed, 30)

    async def all_ready(self, desktops: Iterable[Desktop]) -> None:
        """Let them go ready; return when each has its answer."""
        waiting = 0
        done = asyncio.get_running_loop().create_future()

        def hear_of(desktop: Desktop, before: Callable[[Heard], None]) -> Callable[[Heard], None]:
            def hear(heard: Heard) -> None:
                nonlocal waiting
                before(heard)
                if heard.id == "r":
                    desktop.hear = before
                    waiting -= 1
                    if not waiting and not done.done():
                        done.set_result(None)

            return hear

        for count, desktop in enumerate(desktops, 1):
            waiting += 1
            desktop.hear = hear_of(desktop, desktop.hear)
            desktop.say(f.SetState(id="r", state=AgentState.READY))
            if count % 500 == 0:
                await asyncio.sleep(0.02)
        if waiting:
            await asyncio.wait_for(done, 60)

    def _lost(self, socket: Socket) -> None:
        self.errors["lost connection"] += 1

    def close(self) -> None:
        """Pull all cables."""
        for socket in (*self.desktops, *self.gateways):
            socket.close()

    # --- what is heard ----------------------------------------------------------------------------------
    def heard_at_gateway(self, heard: Heard) -> None:
        """An answer to a submit."""
        if heard.type == "ok":
            self.note_acknowledged(heard.subject)
        elif heard.type == "error":
            self._due_ns.pop(heard.id or "", None)
            self.refused[heard.code] += 1
            self.on_refused()

    def cut_off(self, references: Iterable[str]) -> None:
        """The connection of these submits has ended before their answers: nobody knows what became of them."""
        # Those that were offered already are known.
        self.unknown.update(reference for reference in references if reference in self._due_ns)

    def note_acknowledged(self, contact_id: str) -> None:
        """A submit has its answer, by whatever way."""
        self.acknowledged += 1
        if self.acknowledged_ids is not None:
            if contact_id in self.completed_early:
                self.completed_early.remove(contact_id)
            else:
                self.acknowledged_ids.add(contact_id)

    def _note_completed(self, contact_id: str) -> None:
        self.completed += 1
        if self.acknowledged_ids is not None:
            if contact_id in self.acknowledged_ids:
                self.acknowledged_ids.remove(contact_id)
            else:
                self.completed_early.add(contact_id)
        self.on_completed()

    def _hear_of(self, desktop: Desktop) -> Callable[[Heard], None]:
        clock = time.perf_counter_ns
        due = self._due_ns
        loop = asyncio.get_running_loop()

        def hear(heard: Heard) -> None:
            event = heard.event
            if event is not None:
                if event.type == "offer.made":
                    now = clock()
                    self.offers.add(now - due.pop(event.reference, now))
                    self.unknown.discard(event.reference)
                    desktop.ask(f.Accept(id="a", offer_id=event.offer_id), now)
                elif event.type == "assignment.completed":
                    self._note_completed(event.contact_id)
            elif heard.type == "ok":
                if heard.id == "a":
                    now = clock()
                    self.answers.add(now - desktop.asked_ns)
                    end = f.End(id="e", contact_id=heard.subject.partition(".")[0])
                    desktop.ask(end, now)
                elif heard.id == "e":
                    self.answers.add(clock() - desktop.asked_ns)
            elif heard.type == "error" and heard.retry_after_ms:
                self.agents_refused[heard.code] += 1
                loop.call_later(heard.retry_after_ms / 1000, desktop.ask_again)
            elif heard.type == "error":
                self.errors[f"desktop: {heard.code}"] += 1

        return hear

    # --- submitting ---------------------------------------------------------------------------------------
    def submit(self, due_ns: int) -> None:
        """Submit a contact that was due at that time, the gateways in turn."""
        reference = self.next_reference(due_ns)
        fields = f.ContactFields(channel="voice", queue_id="support", reference=reference)
        gateway = self.gateways[self._number % len(self.gateways)]
        gateway.say(f.Submit(id=reference, contact=fields))

    def next_reference(self, due_ns: int) -> str:
        """The name of the next contact, which is submitted now."""
        self._number += 1
        self.submitted += 1
        reference = f"{self._number:08d}"
        self._due_ns[reference] = due_ns
        self.lateness.add(time.perf_counter_ns() - due_ns)
        return reference

    @property
    def in_flight(self) -> int:
        """Submitted, not refused, not completed, and not of unknown fate."""
        return self.submitted - self.refused.total() - self.completed - len(self.unknown)

    async def closed_loop(
        self, seconds: float, window: int, submit: Callable[[int], None] | None = None
    ) -> Rate:
        """Always ``window`` contacts in flight, after a quarter of the time for warming up."""
        submit = submit or self.submit
        clock = time.perf_counter_ns
        self.on_completed = lambda: submit(clock())
        for _ in range(window):
            submit(clock())
        await asyncio.sleep(seconds / 4)
        rate = await self.timed(asyncio.sleep(seconds))
        self.on_completed = lambda: None
        await self.settle()
        return rate

    async def timed(self, work: Awaitable[None]) -> Rate:
        """What is completed and used meanwhile."""
        before = self._used()
        await work
        after = self._used()
        wall_s, server_s, own_s, count = (b - a for a, b in zip(before, after, strict=True))
        return Rate(
            per_s=count / wall_s,
            server_us=server_s / count * 1e6 if count else 0.0,
            server_busy=server_s / wall_s,
            generator_busy=own_s / wall_s,
        )

    def _used(self) -> tuple[float, float, float, int]:
        used = (time.perf_counter(), self.target.process.cpu_s(), time.process_time())
        return (*used, self.completed)

    async def open_loop(
        self, due_s: Iterator[float], submit: Callable[[int], None], *, rest_s: float = 0.0
    ) -> None:
        """Submit at these times from now, whether or not the server keeps up.

        ``rest_s``: how long to rest between two looks at the clock. 0: the loop turns all the time and is as exact as it can be,
        for a timer would be up to a millisecond late; but then its CPU time says nothing.
        """
        clock = time.perf_counter_ns
        began = clock()
        for after_s in due_s:
            due = began + int(after_s * 1e9)
            while clock() < due:
                await asyncio.sleep(rest_s)
            submit(due)

    @property
    def wrong(self) -> Counter[str]:
        """Everything that must not be where the load is one that the server can carry."""
        return self.errors + self.refused + self.agents_refused

    async def settle(self) -> None:
        """Wait until nothing is in flight; what does not come is an error."""
        try:
            async with asyncio.timeout(_SETTLE_S):
                while self.in_flight > 0:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self.errors["never completed"] += self.in_flight


def poisson(rate: float, seconds: float, seed: int = 1) -> Iterator[float]:
    """Arrival times of a Poisson process of so many a second: random, and the same in every run."""
    chance = random.Random(seed)
    at = 0.0
    while (at := at + chance.expovariate(rate)) < seconds:
        yield at


def evenly(rate: float, seconds: float) -> Iterator[float]:
    """Arrival times with equal gaps."""
    return (number / rate for number in range(int(seconds * rate)))
