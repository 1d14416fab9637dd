"""The load: desktops that take whatever they are offered and end it at once, and gateways that submit.

Each contact carries a number as its ``reference``, by which its offer is recognised, whichever gateway submitted it and
however the server reordered them. Times count from when a contact was *due*.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

import msgspec

from benchmarks.server.histogram import Histogram
from benchmarks.server.raw_websocket import Desktop, RawWebSocket, ReceivedFrame
from benchmarks.server.servers import Target, machine_cpu_s
from router.model.states import AgentState
from router.protocol import frames as f

_CONNECTING_MAX: Final = 128
"""Handshakes under way at the same time."""
_SETTLE_S: Final = 30.0


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
    others_busy: float
    """CPUs that everybody else on the machine used: they should have used none."""

    @property
    def generator_times(self) -> float:
        """How many times this rate the generator could do, going by the time that it had left."""
        return 1 / self.generator_busy


class Load:
    """N desktops that accept and end whatever comes, and gateways that submit."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.desktops: list[Desktop] = []
        self.gateways: list[RawWebSocket] = []
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
        self.on_acknowledged: Callable[[], None] = lambda: None
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
        await self.connect_gateways()
        if ready:
            await self.all_ready(self.desktops)

    async def connect_gateways(self) -> None:
        """Connect those who submit."""
        for name, token in self.target.gateways:
            gateway = RawWebSocket("/v1/gateway", name, token)
            gateway.hear, gateway.on_lost = self.on_gateway_frame, self._lost
            await self.open(gateway)
            self.gateways.append(gateway)

    async def connect_desktop(self, name: str, token: str, *, resume: str | None = None) -> Desktop:
        """One desktop, welcomed or resumed. Raises ConnectionError and TimeoutError."""
        desktop = Desktop("/v1/desktop", name, token, resume=resume)
        desktop.hear, desktop.on_lost = self._hear_of(desktop), self._lost
        await self.open(desktop)
        return desktop

    async def open(self, socket: RawWebSocket) -> None:
        """Connect, upgrade, say hello, be welcomed."""
        await asyncio.get_running_loop().create_connection(
            lambda: socket, "127.0.0.1", self.target.port
        )
        await asyncio.wait_for(socket.welcomed, 30)

    async def all_ready(self, desktops: Iterable[Desktop]) -> None:
        """Let them go ready; return when each has its answer."""
        waiting = 0
        done = asyncio.get_running_loop().create_future()

        def hear_of(
            desktop: Desktop, before: Callable[[ReceivedFrame], None]
        ) -> Callable[[ReceivedFrame], None]:
            def hear(heard: ReceivedFrame) -> None:
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
            desktop.send(f.SetStateFrame(id="r", state=AgentState.READY))
            if count % 500 == 0:
                await asyncio.sleep(0.02)
        if waiting:
            await asyncio.wait_for(done, 60)

    def _lost(self, socket: RawWebSocket) -> None:
        self.errors[f"lost connection ({socket.close_code})"] += 1

    def close(self) -> None:
        """Pull all cables."""
        for socket in (*self.desktops, *self.gateways):
            socket.close()

    # --- what is heard ----------------------------------------------------------------------------------
    def on_gateway_frame(self, heard: ReceivedFrame) -> None:
        """An answer to a submit."""
        if heard.type == "ok":
            self.note_acknowledged(heard.subject)
        elif heard.type == "error":
            self._due_ns.pop(heard.id or "", None)
            self.refused[heard.code] += 1
            self.on_refused()

    def abort_all(self, references: Iterable[str]) -> None:
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
        self.on_acknowledged()

    def _note_completed(self, contact_id: str) -> None:
        self.completed += 1
        if self.acknowledged_ids is not None:
            if contact_id in self.acknowledged_ids:
                self.acknowledged_ids.remove(contact_id)
            else:
                self.completed_early.add(contact_id)
        self.on_completed()

    def _hear_of(self, desktop: Desktop) -> Callable[[ReceivedFrame], None]:
        clock = time.perf_counter_ns
        due = self._due_ns
        loop = asyncio.get_running_loop()

        def hear(heard: ReceivedFrame) -> None:
            event = heard.event
            if event is not None:
                if event.type == "offer.made":
                    now = clock()
                    self.offers.add(now - due.pop(event.reference, now))
                    self.unknown.discard(event.reference)
                    desktop.send_command(f.AcceptFrame(id="a", offer_id=event.offer_id), now)
                elif event.type == "assignment.completed":
                    self._note_completed(event.contact_id)
            elif heard.type == "ok":
                if heard.id == "a":
                    now = clock()
                    self.answers.add(now - desktop.asked_ns)
                    end = f.EndFrame(id="e", contact_id=heard.subject.partition(".")[0])
                    desktop.send_command(end, now)
                elif heard.id == "e":
                    self.answers.add(clock() - desktop.asked_ns)
            elif heard.type == "error" and heard.retry_after_ms:
                self.agents_refused[heard.code] += 1
                loop.call_later(heard.retry_after_ms / 1000, desktop.resend_command)
            elif heard.type == "error":
                self.errors[f"desktop: {heard.code}"] += 1

        return hear

    # --- submitting ---------------------------------------------------------------------------------------
    def submit(self, due_ns: int) -> None:
        """Submit a contact that was due at that time, the gateways in turn."""
        reference = self.next_reference(due_ns)
        fields = f.ContactFields(channel="voice", queue_id="support", reference=reference)
        gateway = self.gateways[self._number % len(self.gateways)]
        gateway.send(f.SubmitFrame(id=reference, contact=fields))

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
        wall_s, server_s, own_s, all_s, count = (b - a for a, b in zip(before, after, strict=True))
        return Rate(
            per_s=count / wall_s,
            server_us=server_s / count * 1e6 if count else 0.0,
            server_busy=server_s / wall_s,
            generator_busy=own_s / wall_s,
            others_busy=(all_s - server_s - own_s) / wall_s,
        )

    def _used(self) -> tuple[float, float, float, float, int]:
        server_s, own_s = self.target.process.cpu_s(), time.process_time()
        return time.perf_counter(), server_s, own_s, machine_cpu_s(), self.completed

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
            while clock() < due:  # noqa: ASYNC110  (a time is waited for, no event)
                await asyncio.sleep(rest_s)
            submit(due)

    @property
    def error_counts(self) -> Counter[str]:
        """Everything that must not be where the load is one that the server can carry."""
        return self.errors + self.refused + self.agents_refused

    async def settle(self) -> None:
        """Wait until nothing is in flight; what does not come is an error."""
        try:
            async with asyncio.timeout(_SETTLE_S):
                while self.in_flight > 0:  # noqa: ASYNC110  (nothing else runs now)
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
