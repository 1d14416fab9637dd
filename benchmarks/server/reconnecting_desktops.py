"""The crowd of a storm, a process of its own: desktops that go ready at one moment, and come back when their cables are pulled.

It shares the load's CPU with the process that measures and stands behind it (``os.nice``): whoever measures is not made late
by those who storm. What is made late is the crowd, so its own lateness is told: from when an attempt was due to when it began.

Each of them behaves as the client does: full jitter, `random(0, min(30 s, 1 s × 2ⁿ))`, after any time that the router asked for, a
`ping` every 20 s, whose answer moves the position to resume from.

    python benchmarks/server/reconnecting_desktops.py < ORDERS    # for bench_reconnect.py: a line in, a line out, both JSON
"""

import asyncio
import gc
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec
import uvloop
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.server.histogram import Histogram
from benchmarks.server.raw_websocket import Desktop, RawWebSocket, ReceivedFrame, RefusedUpgrade
from benchmarks.server.servers import prepare
from router.client.reconnect import Backoff
from router.model.states import AgentState
from router.protocol import frames as f

PING_EVERY_S: Final = 20.0
GIVE_UP_S: Final = 90.0
_NICE: Final = 15
_ABORTS_PER_STEP: Final = 50
_STEP_S: Final = 0.01


class Instructions(Struct):
    """Who they are, and where they go."""

    port: int
    desktops: list[tuple[str, str]]


class PhaseReport(Struct, kw_only=True):
    """What one order came to."""

    seconds: float
    """Until the last was there, or had its answer."""
    pull_s: float = 0.0
    """How long it took to pull all cables: they go at once where the crowd keeps up with itself."""
    late_p50_ms: float = 0.0
    late_p99_ms: float = 0.0
    """From when an attempt was due to when it began."""
    waited_p99_ms: float = 0.0
    """Of those who were let in: from the beginning of that attempt to the welcome."""
    waited_max_ms: float = 0.0
    attempts: int = 0
    answers: dict[str, int] = {}
    """How they were received: resumed or welcomed."""
    refused: int = 0
    """Attempts that were told when to come again."""
    failed: dict[str, int] = {}
    """Attempts that came to nothing without a word about when to come back."""
    lost_again: dict[str, int] = {}
    """Desktops that were back and lost their connection anew, by close code."""
    errors: dict[str, int] = {}
    busy: float = 0.0
    """Share of a CPU that the crowd used."""


class ReconnectingDesktops:
    """The desktops."""

    def __init__(self, orders: Instructions) -> None:
        self._orders = orders
        self._chance = random.Random(1)
        self.there: dict[str, Desktop] = {}
        self._returns: set[asyncio.Task[None]] = set()
        self._begin()

    def _begin(self) -> None:
        self._answers: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._lost_again: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._lateness, self._waits = Histogram(), Histogram()
        self._refused = 0
        self._began_s, self._used_s = time.perf_counter(), time.process_time()

    def _told(self, pull_s: float = 0.0) -> PhaseReport:
        seconds = time.perf_counter() - self._began_s
        return PhaseReport(
            seconds=seconds,
            pull_s=pull_s,
            late_p50_ms=self._lateness.quantile(0.5) / 1e6,
            late_p99_ms=self._lateness.quantile(0.99) / 1e6,
            waited_p99_ms=self._waits.quantile(0.99) / 1e6,
            waited_max_ms=self._waits.max / 1e6,
            attempts=self._lateness.count,
            answers=self._answers,
            refused=self._refused,
            failed=self._failed,
            lost_again=self._lost_again,
            errors=self._errors,
            busy=(time.process_time() - self._used_s) / seconds,
        )

    # --- being there ------------------------------------------------------------------------------------------
    async def _enter(self, name: str, token: str, resume: str | None) -> Desktop:
        """Connect as the client does: again and again, with its backoff."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(uniform=self._chance.uniform)
        hint_s: float | None = None
        while True:
            due_s = time.perf_counter() + backoff.next_delay_s(hint_s)
            await asyncio.sleep(due_s - time.perf_counter())
            began_s = time.perf_counter()
            self._lateness.add(int((began_s - due_s) * 1e9))
            hint_s = None
            desktop = Desktop("/v1/desktop", name, token, resume=resume)
            try:
                await loop.create_connection(lambda: desktop, "127.0.0.1", self._orders.port)  # noqa: B023
                await desktop.welcomed
            except RefusedUpgrade as refused:
                hint_s = refused.retry_after_s
                self._refused += 1
            except ConnectionError as error:
                # As the client does: it is not over before the router said so.
                self._failed[str(error) or type(error).__name__] += 1
            else:
                self._waits.add(int((time.perf_counter() - began_s) * 1e9))
                self._answers[desktop.welcomed.result().type] += 1
                return desktop

    async def _come_back(self, name: str, token: str, resume: str | None) -> None:
        """Be there, and whenever the connection is lost, be there again."""
        desktop = await self._enter(name, token, resume)
        self.there[name] = desktop

        def lost(_: RawWebSocket) -> None:
            self._lost_again[str(desktop.close_code)] += 1
            self._return(desktop)

        desktop.on_lost = lost

    def _return(self, desktop: Desktop) -> None:
        self.there.pop(desktop.name, None)
        self._send_back(desktop.name, desktop.token, desktop.position)

    def _send_back(self, name: str, token: str, resume: str | None) -> None:
        task = asyncio.get_running_loop().create_task(self._come_back(name, token, resume))
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)

    async def _all_there(self) -> None:
        count = len(self._orders.desktops)
        try:
            async with asyncio.timeout(GIVE_UP_S):
                while len(self.there) < count:  # noqa: ASYNC110  (some may be lost again)
                    await asyncio.sleep(_STEP_S)
        except TimeoutError:
            self._errors["not there"] += count - len(self.there)

    # --- orders --------------------------------------------------------------------------------------------------
    async def connect(self) -> PhaseReport:
        """All come, by the limits."""
        self._begin()
        for name, token in self._orders.desktops:
            self._send_back(name, token, None)
        await self._all_there()
        return self._told()

    async def ready(self) -> PhaseReport:
        """All go ready within a second; how long until the last has its answer."""
        self._begin()
        there = list(self.there.values())
        waiting = len(there)
        done = asyncio.get_running_loop().create_future()

        def hear(frame: ReceivedFrame) -> None:
            nonlocal waiting
            if frame.id == "r":
                waiting -= 1
                if frame.type != "ok":
                    self._errors[f"set_state: {frame.code}"] += 1
                if not waiting:
                    done.set_result(None)

        for number, desktop in enumerate(there):
            desktop.hear = hear
            due_s = self._began_s + number / len(there)
            while time.perf_counter() < due_s:  # noqa: ASYNC110  (a time is waited for)
                await asyncio.sleep(0.001)
            self._lateness.add(int((time.perf_counter() - due_s) * 1e9))
            desktop.send(f.SetStateFrame(id="r", state=AgentState.READY))
        try:
            await asyncio.wait_for(done, GIVE_UP_S)
        except TimeoutError:
            self._errors["no answer"] += waiting
        return self._told()

    async def reconnect(self) -> PhaseReport:
        """All cables are pulled; how long until the last is back."""
        self._begin()
        for number, desktop in enumerate(list(self.there.values()), 1):
            desktop.close()
            self._return(desktop)
            if number % _ABORTS_PER_STEP == 0:
                await asyncio.sleep(0)
        pull_s = time.perf_counter() - self._began_s
        await self._all_there()
        return self._told(pull_s)

    async def run_phases(self) -> None:
        """Do what is read, until nothing more comes."""
        loop = asyncio.get_running_loop()
        pinging = loop.create_task(ping(lambda: tuple(self.there.values())))
        orders = {"connect": self.connect, "ready": self.ready, "reconnect": self.reconnect}
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            told = await orders[line.strip()]()
            print(msgspec.json.encode(told).decode(), flush=True)
        pinging.cancel()
        for task in tuple(self._returns):
            task.cancel()


class ReconnectingProcess:
    """The crowd, as the one who measures sees it."""

    def __init__(self, orders: Instructions) -> None:
        self._process = subprocess.Popen(
            (sys.executable, __file__), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._write(msgspec.json.encode(orders).decode())

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    async def run_phase(self, name: str) -> PhaseReport:
        """Have it done. Raises SystemExit where the crowd has ended."""
        stdout = self._process.stdout
        assert stdout is not None
        self._write(name)
        line = await asyncio.get_running_loop().run_in_executor(None, stdout.readline)
        if not line:
            raise SystemExit("the crowd has ended")
        return msgspec.json.decode(line, type=PhaseReport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


async def ping(everybody: Callable[[], Sequence[RawWebSocket]]) -> None:
    """Each in its turn, all in 20 s, for ever."""
    turn = 0
    while True:
        sockets = everybody()
        for _ in range(-(-len(sockets) // int(PING_EVERY_S * 50))):
            turn = (turn + 1) % len(sockets)
            sockets[turn].send(f.PingFrame(id="p"))
        await asyncio.sleep(0.02)


def main() -> int:
    """Obey."""
    orders = msgspec.json.decode(sys.stdin.readline(), type=Instructions)
    prepare(len(orders.desktops))
    os.nice(_NICE)
    gc.disable()  # A second's pause would be the crowd's, not the router's.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ReconnectingDesktops(orders).run_phases())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
