"""Process with the desktops of a reconnect storm: they become ready at one moment, and reconnect when aborted.

It shares the load's CPU with the process that measures, at a lower priority (``os.nice``), so that the storm does not delay the
measurement. The desktops themselves can be delayed, so their lateness is reported: from the due time of an attempt to its begin.

Each desktop behaves like the client: full jitter, `random(0, min(30 s, 1 s × 2ⁿ))`, after the time that the router asked for, and a
`ping` every 20 s, whose answer advances the position from which it can resume.

    python benchmarks/server/reconnecting_desktops.py      started by bench_reconnect.py: reads instructions (JSON) and names of
                                                           phases from stdin, prints a report (JSON) for each
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
TIMEOUT_S: Final = 90.0
_NICE: Final = 15
_ABORTS_PER_ITERATION: Final = 50
_POLL_S: Final = 0.01


class Instructions(Struct):
    """Port of the router, and agent id and token of each desktop."""

    port: int
    desktops: list[tuple[str, str]]


class PhaseReport(Struct, kw_only=True):
    """The result of one phase."""

    seconds: float
    """Until the last desktop was connected or had its answer."""
    abort_s: float = 0.0
    """Duration of aborting all connections; short if the process is not overloaded."""
    late_p50_ms: float = 0.0
    late_p99_ms: float = 0.0
    """From the due time of an attempt to its begin."""
    waited_p99_ms: float = 0.0
    """From the begin of a successful attempt to the welcome."""
    waited_max_ms: float = 0.0
    attempts: int = 0
    answers: dict[str, int] = {}
    """Number of desktops by type of the first frame: resumed or welcome."""
    refused: int = 0
    """Attempts that were refused with a time to wait."""
    failed: dict[str, int] = {}
    """Attempts that failed without an answer, by error."""
    lost_again: dict[str, int] = {}
    """Desktops that lost their connection again, by close code."""
    errors: dict[str, int] = {}
    busy: float = 0.0
    """Share of a CPU that this process used."""


class ReconnectingDesktops:
    """Desktops that reconnect whenever their connection is lost."""

    def __init__(self, instructions: Instructions) -> None:
        self._instructions = instructions
        self._random = random.Random(1)
        self.connected: dict[str, Desktop] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._reset()

    def _reset(self) -> None:
        self._answers: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._lost_again: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._lateness, self._waits = Histogram(), Histogram()
        self._refused = 0
        self._started_s, self._cpu_started_s = time.perf_counter(), time.process_time()

    def _report(self, abort_s: float = 0.0) -> PhaseReport:
        seconds = time.perf_counter() - self._started_s
        return PhaseReport(
            seconds=seconds,
            abort_s=abort_s,
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
            busy=(time.process_time() - self._cpu_started_s) / seconds,
        )

    # --- connections ------------------------------------------------------------------------------------------
    async def _connect(self, name: str, token: str, resume: str | None) -> Desktop:
        """Return a connected desktop; repeat failed attempts with the client's backoff."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(uniform=self._random.uniform)
        retry_after_s: float | None = None
        while True:
            due_s = time.perf_counter() + backoff.next_delay_s(retry_after_s)
            await asyncio.sleep(due_s - time.perf_counter())
            started_s = time.perf_counter()
            self._lateness.add(int((started_s - due_s) * 1e9))
            retry_after_s = None
            desktop = Desktop("/v1/desktop", name, token, resume=resume)
            try:
                await loop.create_connection(lambda: desktop, "127.0.0.1", self._instructions.port)  # noqa: B023
                await desktop.welcomed
            except RefusedUpgrade as refused:
                retry_after_s = refused.retry_after_s
                self._refused += 1
            except ConnectionError as error:
                # The client tries again as well.
                self._failed[str(error) or type(error).__name__] += 1
            else:
                self._waits.add(int((time.perf_counter() - started_s) * 1e9))
                self._answers[desktop.welcomed.result().type] += 1
                return desktop

    async def _keep_connected(self, name: str, token: str, resume: str | None) -> None:
        """Connect, and reconnect when the connection is lost."""
        desktop = await self._connect(name, token, resume)
        self.connected[name] = desktop

        def on_lost(_: RawWebSocket) -> None:
            self._lost_again[str(desktop.close_code)] += 1
            self._reconnect(desktop)

        desktop.on_lost = on_lost

    def _reconnect(self, desktop: Desktop) -> None:
        self.connected.pop(desktop.name, None)
        self._start_connecting(desktop.name, desktop.token, desktop.position)

    def _start_connecting(self, name: str, token: str, resume: str | None) -> None:
        task = asyncio.get_running_loop().create_task(self._keep_connected(name, token, resume))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _wait_until_all_connected(self) -> None:
        count = len(self._instructions.desktops)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while len(self.connected) < count:  # noqa: ASYNC110  (connections may be lost again)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            self._errors["not connected"] += count - len(self.connected)

    # --- phases --------------------------------------------------------------------------------------------------
    async def connect(self) -> PhaseReport:
        """Connect all desktops under the router's limits."""
        self._reset()
        for name, token in self._instructions.desktops:
            self._start_connecting(name, token, None)
        await self._wait_until_all_connected()
        return self._report()

    async def ready(self) -> PhaseReport:
        """Make all agents ready within a second and wait for the last answer."""
        self._reset()
        desktops = list(self.connected.values())
        waiting = len(desktops)
        done = asyncio.get_running_loop().create_future()

        def on_frame(frame: ReceivedFrame) -> None:
            nonlocal waiting
            if frame.id == "r":
                waiting -= 1
                if frame.type != "ok":
                    self._errors[f"set_state: {frame.code}"] += 1
                if not waiting:
                    done.set_result(None)

        for number, desktop in enumerate(desktops):
            desktop.on_frame = on_frame
            due_s = self._started_s + number / len(desktops)
            while time.perf_counter() < due_s:  # noqa: ASYNC110  (waits for a time)
                await asyncio.sleep(0.001)
            self._lateness.add(int((time.perf_counter() - due_s) * 1e9))
            desktop.send(f.SetStateFrame(id="r", state=AgentState.READY))
        try:
            await asyncio.wait_for(done, TIMEOUT_S)
        except TimeoutError:
            self._errors["no answer"] += waiting
        return self._report()

    async def reconnect(self) -> PhaseReport:
        """Abort all connections and wait until all desktops are connected again."""
        self._reset()
        for number, desktop in enumerate(list(self.connected.values()), 1):
            desktop.close()
            self._reconnect(desktop)
            if number % _ABORTS_PER_ITERATION == 0:
                await asyncio.sleep(0)
        abort_s = time.perf_counter() - self._started_s
        await self._wait_until_all_connected()
        return self._report(abort_s)

    async def run_phases(self) -> None:
        """Run the phases whose names are read from stdin and print their reports, until the end of the input."""
        loop = asyncio.get_running_loop()
        pinging = loop.create_task(ping(lambda: tuple(self.connected.values())))
        phases = {"connect": self.connect, "ready": self.ready, "reconnect": self.reconnect}
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            report = await phases[line.strip()]()
            print(msgspec.json.encode(report).decode(), flush=True)
        pinging.cancel()
        for task in tuple(self._connecting):
            task.cancel()


class ReconnectingProcess:
    """Starts this script and runs its phases, for the process that measures."""

    def __init__(self, instructions: Instructions) -> None:
        self._process = subprocess.Popen((sys.executable, __file__), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._write(msgspec.json.encode(instructions).decode())

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    async def run_phase(self, name: str) -> PhaseReport:
        """Run a phase and return its report. Raises SystemExit if the process has ended."""
        stdout = self._process.stdout
        assert stdout is not None
        self._write(name)
        line = await asyncio.get_running_loop().run_in_executor(None, stdout.readline)
        if not line:
            raise SystemExit("the process of the reconnecting desktops has ended")
        return msgspec.json.decode(line, type=PhaseReport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


async def ping(sockets_of: Callable[[], Sequence[RawWebSocket]]) -> None:
    """Send a ping over each socket in turns, every 20 s, until cancelled."""
    index = 0
    while True:
        sockets = sockets_of()
        for _ in range(-(-len(sockets) // int(PING_EVERY_S * 50))):
            index = (index + 1) % len(sockets)
            sockets[index].send(f.PingFrame(id="p"))
        await asyncio.sleep(0.02)


def main() -> int:
    """Read the instructions and run the phases."""
    instructions = msgspec.json.decode(sys.stdin.readline(), type=Instructions)
    prepare(len(instructions.desktops))
    os.nice(_NICE)
    gc.disable()  # Its pauses would delay the attempts.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ReconnectingDesktops(instructions).run_phases())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
