"""Load generator: desktops that accept every offer and end the contact at once, and gateways that submit contacts.

Each contact has a number as its ``reference``, by which its offer is matched with the submit, independent of the gateway and of
the order. Latencies are measured from the time at which a contact was *due*.
"""

import asyncio
import ctypes
import os
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
"""Number of simultaneous handshakes."""
_IDLE_TIMEOUT_S: Final = 30.0
_libc: Final = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC: Final = 1
"""The clock of ``time.perf_counter_ns``."""
_TFD_TIMER_ABSTIME: Final = 1


class Rate(msgspec.Struct, frozen=True):
    """Rate and CPU use over an interval."""

    per_s: float
    """Lifecycles per second."""
    server_us: float
    """The server's CPU time per lifecycle."""
    server_busy: float
    """Share of a CPU that the server used."""
    generator_busy: float
    """Share of a CPU that the generator used."""
    others_busy: float
    """CPUs that other processes used; should be 0."""

    @property
    def generator_headroom(self) -> float:
        """Return the generator's maximum rate as a multiple of this rate, estimated from its idle time."""
        return 1 / self.generator_busy


class Load:
    """Desktops that accept and end every contact, and gateways that submit."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.desktops: list[Desktop] = []
        self.gateways: list[RawWebSocket] = []
        self.errors: Counter[str] = Counter()
        """Failures."""
        self.refused: Counter[str] = Counter()
        """Refused submits by code; errors as well, except in an overload test."""
        self.agents_refused: Counter[str] = Counter()
        """Temporarily refused commands of agents by code; errors as well, except in an overload test."""
        self.unknown: set[str] = set()
        """Contacts whose connection was lost before the answer to the submit, and that have not been offered."""
        self.submitted = self.acknowledged = self.completed = 0
        self.offers = Histogram()
        """From the due time of a contact to its offer on the desktop, in ns."""
        self.lateness = Histogram()
        """From the due time to the write of the frame: the delay of the generator itself."""
        self.answers = Histogram()
        """Time from an agent's command (accept, end) to its answer, in ns."""
        self.on_completed: Callable[[], None] = lambda: None
        self.on_acknowledged: Callable[[], None] = lambda: None
        self.on_refused: Callable[[], None] = lambda: None
        self.acknowledged_ids: set[str] | None = None
        """The acknowledged contacts that are not completed yet; None if they are not recorded."""
        self.completed_early: set[str] = set()
        """The contacts that were completed before their acknowledgement arrived."""
        self._due_ns: dict[str, int] = {}
        self._number = 0

    # --- connecting ----------------------------------------------------------------------------------
    async def connect(self, *, ready: bool = True) -> None:
        """Connect all clients; with ``ready`` make all agents ready and wait for the answers."""
        semaphore = asyncio.Semaphore(_CONNECTING_MAX)

        async def connect_one(name: str, token: str) -> Desktop:
            async with semaphore:
                return await self.connect_desktop(name, token)

        self.desktops = await asyncio.gather(*(connect_one(*credentials) for credentials in self.target.desktops))
        await self.connect_gateways()
        if ready:
            await self.all_ready(self.desktops)

    async def connect_gateways(self) -> None:
        """Connect the gateways."""
        for name, token in self.target.gateways:
            gateway = RawWebSocket("/v1/gateway", name, token)
            gateway.on_frame, gateway.on_lost = self.on_gateway_frame, self._on_lost
            await self.open(gateway)
            self.gateways.append(gateway)

    async def connect_desktop(self, name: str, token: str, *, resume: str | None = None) -> Desktop:
        """Return a connected desktop, after its welcome or resume. Raises ConnectionError and TimeoutError."""
        desktop = Desktop("/v1/desktop", name, token, resume=resume)
        desktop.on_frame, desktop.on_lost = self._desktop_handler(desktop), self._on_lost
        await self.open(desktop)
        return desktop

    async def open(self, socket: RawWebSocket) -> None:
        """Connect, upgrade, send ``hello``, and wait for the welcome."""
        await asyncio.get_running_loop().create_connection(lambda: socket, "127.0.0.1", self.target.port)
        await asyncio.wait_for(socket.welcomed, 30)

    async def all_ready(self, desktops: Iterable[Desktop]) -> None:
        """Make the agents ready and wait for all answers."""
        waiting = 0
        done = asyncio.get_running_loop().create_future()

        def handler_of(desktop: Desktop, previous: Callable[[ReceivedFrame], None]) -> Callable[[ReceivedFrame], None]:
            def on_frame(frame: ReceivedFrame) -> None:
                nonlocal waiting
                previous(frame)
                if frame.id == "r":
                    desktop.on_frame = previous
                    waiting -= 1
                    if not waiting and not done.done():
                        done.set_result(None)

            return on_frame

        for count, desktop in enumerate(desktops, 1):
            waiting += 1
            desktop.on_frame = handler_of(desktop, desktop.on_frame)
            desktop.send(f.SetStateFrame(id="r", state=AgentState.READY))
            if count % 500 == 0:
                await asyncio.sleep(0.02)
        if waiting:
            await asyncio.wait_for(done, 60)

    def _on_lost(self, socket: RawWebSocket) -> None:
        self.errors[f"lost connection ({socket.close_code})"] += 1

    def close(self) -> None:
        """Abort all connections."""
        for socket in (*self.desktops, *self.gateways):
            socket.close()

    # --- received frames --------------------------------------------------------------------------------
    def on_gateway_frame(self, frame: ReceivedFrame) -> None:
        """Handle the answer to a submit."""
        if frame.type == "ok":
            self.record_acknowledgement(frame.subject)
        elif frame.type == "error":
            self._due_ns.pop(frame.id or "", None)
            self.refused[frame.code] += 1
            self.on_refused()

    def mark_unknown(self, references: Iterable[str]) -> None:
        """Count these submits as unknown: their connection was lost before the answers."""
        # The server has accepted those that are already offered.
        self.unknown.update(reference for reference in references if reference in self._due_ns)

    def record_acknowledgement(self, contact_id: str) -> None:
        """Count a submit that was acknowledged over a WebSocket or HTTP."""
        self.acknowledged += 1
        if self.acknowledged_ids is not None:
            if contact_id in self.completed_early:
                self.completed_early.remove(contact_id)
            else:
                self.acknowledged_ids.add(contact_id)
        self.on_acknowledged()

    def _record_completion(self, contact_id: str) -> None:
        self.completed += 1
        if self.acknowledged_ids is not None:
            if contact_id in self.acknowledged_ids:
                self.acknowledged_ids.remove(contact_id)
            else:
                self.completed_early.add(contact_id)
        self.on_completed()

    def _desktop_handler(self, desktop: Desktop) -> Callable[[ReceivedFrame], None]:
        clock = time.perf_counter_ns
        due = self._due_ns
        loop = asyncio.get_running_loop()

        def on_frame(frame: ReceivedFrame) -> None:
            event = frame.event
            if event is not None:
                if event.type == "offer.made":
                    now = clock()
                    self.offers.add(now - due.pop(event.reference, now))
                    self.unknown.discard(event.reference)
                    desktop.send_command(f.AcceptFrame(id="a", offer_id=event.offer_id), now)
                elif event.type == "assignment.completed":
                    self._record_completion(event.contact_id)
            elif frame.type == "ok":
                if frame.id == "a":
                    now = clock()
                    self.answers.add(now - desktop.command_sent_ns)
                    end = f.EndFrame(id="e", contact_id=frame.subject.partition(".")[0])
                    desktop.send_command(end, now)
                elif frame.id == "e":
                    self.answers.add(clock() - desktop.command_sent_ns)
            elif frame.type == "error" and frame.retry_after_ms:
                self.agents_refused[frame.code] += 1
                loop.call_later(frame.retry_after_ms / 1000, desktop.resend_command)
            elif frame.type == "error":
                self.errors[f"desktop: {frame.code}"] += 1

        return on_frame

    # --- submitting ---------------------------------------------------------------------------------------
    def submit(self, due_ns: int) -> None:
        """Submit a contact that was due at this time, through the gateways in turns."""
        reference = self.next_reference(due_ns)
        fields = f.ContactFields(channel="voice", queue_id="support", reference=reference)
        gateway = self.gateways[self._number % len(self.gateways)]
        gateway.send(f.SubmitFrame(id=reference, contact=fields))

    def next_reference(self, due_ns: int) -> str:
        """Count a submit and return the reference of its contact."""
        self._number += 1
        self.submitted += 1
        reference = f"{self._number:08d}"
        self._due_ns[reference] = due_ns
        self.lateness.add(time.perf_counter_ns() - due_ns)
        return reference

    @property
    def in_flight(self) -> int:
        """Return the number of submitted contacts that are not refused, completed or unknown."""
        return self.submitted - self.refused.total() - self.completed - len(self.unknown)

    async def closed_loop(self, seconds: float, window: int, submit: Callable[[int], None] | None = None) -> Rate:
        """Keep ``window`` contacts in flight; measure after a warm-up of a quarter of the time."""
        submit = submit or self.submit
        clock = time.perf_counter_ns
        self.on_completed = lambda: submit(clock())
        for _ in range(window):
            submit(clock())
        await asyncio.sleep(seconds / 4)
        rate = await self.timed(asyncio.sleep(seconds))
        self.on_completed = lambda: None
        await self.wait_until_idle()
        return rate

    async def timed(self, work: Awaitable[None]) -> Rate:
        """Await the work and return the rate and CPU use during it."""
        before = self._counters()
        await work
        after = self._counters()
        wall_s, server_s, generator_s, machine_s, count = (b - a for a, b in zip(before, after, strict=True))
        return Rate(
            per_s=count / wall_s,
            server_us=server_s / count * 1e6 if count else 0.0,
            server_busy=server_s / wall_s,
            generator_busy=generator_s / wall_s,
            others_busy=(machine_s - server_s - generator_s) / wall_s,
        )

    def _counters(self) -> tuple[float, float, float, float, int]:
        server_s, generator_s = self.target.process.cpu_s(), time.process_time()
        return time.perf_counter(), server_s, generator_s, machine_cpu_s(), self.completed

    async def open_loop(self, due_s: Iterator[float], submit: Callable[[int], None], *, poll_s: float = 0.0) -> None:
        """Submit at these times (seconds from now), whether or not the server keeps up.

        ``poll_s``: time between two checks of the clock. With 0 the event loop runs without a pause: a timer of the loop could be
        a millisecond late. But then the generator's CPU time has no meaning.
        """
        clock = time.perf_counter_ns
        start_ns = clock()
        for after_s in due_s:
            due_ns = start_ns + int(after_s * 1e9)
            while clock() < due_ns:  # noqa: ASYNC110  (waits for a time, not for an event)
                await asyncio.sleep(poll_s)
            submit(due_ns)

    @property
    def error_counts(self) -> Counter[str]:
        """Return the failures and refusals; there are none if the server can carry the load."""
        return self.errors + self.refused + self.agents_refused

    async def wait_until_idle(self) -> None:
        """Wait until no contact is in flight; count contacts that never complete as errors."""
        try:
            async with asyncio.timeout(_IDLE_TIMEOUT_S):
                while self.in_flight > 0:  # noqa: ASYNC110  (the load is over)
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self.errors["never completed"] += self.in_flight


def poisson(rate: float, seconds: float, seed: int = 1) -> Iterator[float]:
    """Yield the arrival times of a Poisson process with this rate per second; a seed gives the same times in every run."""
    generator = random.Random(seed)
    at_s = 0.0
    while (at_s := at_s + generator.expovariate(rate)) < seconds:
        yield at_s


def evenly(rate: float, seconds: float) -> Iterator[float]:
    """Return arrival times with equal intervals."""
    return (number / rate for number in range(int(seconds * rate)))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval_s", ctypes.c_int64 * 2), ("value", ctypes.c_int64 * 2))


class KernelTimer:
    """A kernel timer (``timerfd``) for one waiting task, exact to tens of microseconds.

    The timers of the event loop have a resolution of a millisecond.
    """

    def __init__(self) -> None:
        self._fd: int = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._loop.add_reader(self._fd, self._on_expiry)

    async def sleep_until(self, at_ns: int) -> None:
        """Return at this time of ``time.perf_counter_ns``, at once if it is past."""
        self._waiter = self._loop.create_future()
        spec = _TimerSpec(value=(ctypes.c_int64 * 2)(*divmod(at_ns, 1_000_000_000)))
        if _libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        await self._waiter

    def _on_expiry(self) -> None:
        os.read(self._fd, 8)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Close the timer."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
