"""Storms: ten thousand desktops go ready within a second; ten thousand connections break at once and come back.

Five hundred agents are served all the time: contacts are due at 300 a second (Poisson) and go to them alone, by a queue of their
own. Ten thousand more desktops belong to another queue. All have connected under the router's default limits (upgrades a second
and at once), refused ones coming back as the client does: full jitter, `random(0, min(30 s, 1 s × 2ⁿ))`, after any time
that the router asked for. Each sends its `ping` every 20 s, as clients should; its answer moves the position to resume from.

1. *Before*: the latency of those served, from due to offer.
2. **Ready**: the ten thousand say `set_state` ready, spread over one second. How long until all have their (durable) answers?
3. **Reconnect**: the ten thousand cables are pulled at once. Each comes back with that backoff and `resume`.
   How long until all are resumed (or welcomed anew, where more was missed than the router keeps; counted)?

Meanwhile: what becomes of the latency of those who stayed, and the longest pause of the router's loop: a probe on a socket of its
own sends a `ping` every 5 ms, which the router answers without writer or journal.

Those who stay, their gateways and the probe are this process; the ten thousand are another
(`reconnecting_desktops.py`), which shares the load's CPU with a lower priority.
Both say how late they were themselves: a latency is marked where who measured it was
late by more than a quarter of it, the storm where its attempts began more than a second late (p99).

The settings are the defaults, but for the number of sockets; `--history` sets the number of records kept for those who resume.

    python benchmarks/server/bench_reconnect.py [--quick] [--desktops 10000] [--rate 300] [--history RECORDS] [--json FILE]
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import uvloop
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser
from benchmarks.server.histogram import Histogram
from benchmarks.server.kernel_timer import KernelTimer
from benchmarks.server.load import Load, poisson
from benchmarks.server.raw_websocket import RawWebSocket, ReceivedFrame
from benchmarks.server.reconnecting_desktops import (
    Instructions,
    PhaseReport,
    ReconnectingProcess,
    ping,
)
from benchmarks.server.servers import Target, prepare, router
from router.protocol import frames as f

SERVED: Final = 500
QUICK_BUDGET_S = 45
GATEWAYS: Final = 4
POLICY: Final = """\
channels: {voice: {offer_timeout_s: 60}}
queues: {support: {cool_down_s: 0}, away: {cool_down_s: 0}}
"""
BEFORE_S: Final = 5.0
PAUSE_S: Final = 3.0
PROBE_S: Final = 0.005
# Fewer a second than the limits let in.
_UPGRADE_GAP_S: Final = 0.004
_LATENESS_MS_MAX: Final = 1_000.0


class MeasuredPhase(Struct):
    """What was measured in one part of the time."""

    offers: Histogram
    pauses: Histogram
    lateness: Histogram
    """Of this process: from due to sent."""
    began_s: float
    server_s: float
    """What the server had used of its CPU when it began; when it has ended, what it used meanwhile."""
    seconds: float = 0.0

    def p99_ms(self) -> float:
        """From due to offer."""
        return self.offers.quantile(0.99) / 1e6

    def limit(self) -> str | None:
        """What stands in the way of believing it."""
        late_ms = self.lateness.quantile(0.99) / 1e6
        return (
            f"load generator itself late, p99 {late_ms:.1f} ms"
            if late_ms > self.p99_ms() / 4
            else None
        )


class Measurements(Struct, kw_only=True):
    """All of it."""

    phases: dict[str, MeasuredPhase]
    """``before``, ``ready``, ``calm``, ``storm``, ``after``: in this order."""
    seconds: list[Histogram]
    """Of the storm: due → offer, second by second."""
    ready: PhaseReport
    storm: PhaseReport
    rss_mib: float
    errors: dict[str, int]


class ConnectedAgents:
    """Those who are served all the time, and what is measured of it."""

    def __init__(self, target: Target) -> None:
        self.load = Load(target)
        self._target = target
        self.phases: dict[str, MeasuredPhase] = {}
        self._phase: MeasuredPhase | None = None
        self.pauses = Histogram()
        self._asked_ns = 0

    async def connect(self) -> None:
        """All who stay, and the probe."""
        load = self.load
        for name, token in load.target.desktops:
            load.desktops.append(await load.connect_desktop(name, token))
            await asyncio.sleep(_UPGRADE_GAP_S)
        await load.connect_gateways()
        await load.all_ready(load.desktops)
        self._probe = load.gateways.pop()
        self._probe.hear = self._heard_by_probe

    def begin(self, name: str) -> None:
        """From now on, everything counts for this part."""
        self.end()
        offers, pauses, lateness = Histogram(), Histogram(), Histogram()
        self.load.offers, self.pauses, self.load.lateness = offers, pauses, lateness
        server_s = self._target.process.cpu_s()
        phase = MeasuredPhase(offers, pauses, lateness, time.perf_counter(), server_s)
        self._phase = self.phases[name] = phase

    def end(self) -> None:
        """The part is over."""
        phase, self._phase = self._phase, None
        if phase is not None:
            phase.seconds = time.perf_counter() - phase.began_s
            phase.server_s = self._target.process.cpu_s() - phase.server_s

    async def probe(self) -> None:
        """Ask the loop whether it is there, for ever."""
        while True:
            if not self._asked_ns:
                self._asked_ns = time.perf_counter_ns()
                self._probe.send(f.PingFrame(id="p"))
            await asyncio.sleep(PROBE_S)

    def _heard_by_probe(self, frame: ReceivedFrame) -> None:
        if frame.type == "pong":
            self.pauses.add(time.perf_counter_ns() - self._asked_ns)
            self._asked_ns = 0

    async def submit(self, rate: float) -> None:
        """Contacts that are due at so many a second (Poisson), for ever.

        Exact without turning all the time, as ``Load.open_loop`` does: the crowd needs this CPU as well.
        """
        alarm = KernelTimer()
        began_ns = time.perf_counter_ns()
        try:
            for after_s in poisson(rate, 600):
                due_ns = began_ns + int(after_s * 1e9)
                if due_ns > time.perf_counter_ns():
                    await alarm.sleep_until(due_ns)
                self.load.submit(due_ns)
        finally:
            alarm.close()

    async def record_each_second(self, into: list[Histogram]) -> None:
        """Keep the offers of each second apart, for ever; together they are the phase's."""
        while True:
            into.append(Histogram())
            self.load.offers = into[-1]
            await asyncio.sleep(1)

    def all_connections(self) -> list[RawWebSocket]:
        """Who sends a ``ping`` now and then."""
        return [*self.load.desktops]


async def measure(
    stayers: ConnectedAgents, crowd: ReconnectingProcess, options: argparse.Namespace
) -> Measurements:
    """Let it storm."""
    load = stayers.load
    beside: list[asyncio.Task[Any]] = [
        asyncio.create_task(stayers.probe()),
        asyncio.create_task(ping(stayers.all_connections)),
        asyncio.create_task(stayers.submit(options.rate)),
    ]
    seconds: list[Histogram] = []
    try:
        await asyncio.sleep(2.0)
        stayers.begin("before")
        await asyncio.sleep(BEFORE_S)
        stayers.begin("ready")
        ready = await crowd.run_phase("ready")
        stayers.begin("calm")
        await asyncio.sleep(PAUSE_S)
        stayers.begin("storm")
        watching = asyncio.create_task(stayers.record_each_second(seconds))
        storm = await crowd.run_phase("reconnect")
        watching.cancel()
        stayers.phases["storm"].offers = sum(seconds, Histogram())
        stayers.begin("after")
        await asyncio.sleep(BEFORE_S / 2)
        stayers.end()
    finally:
        for task in beside:
            task.cancel()
    await load.settle()
    return Measurements(
        phases=stayers.phases,
        seconds=seconds,
        ready=ready,
        storm=storm,
        rss_mib=load.target.process.rss_bytes() / 2**20,
        errors=dict(load.error_counts) | ready.errors | storm.errors,
    )


async def run(options: argparse.Namespace) -> Measurements:
    """One router."""

    def record_of(number: int) -> bytes:
        return b'{"queues":["support"]}' if number < SERVED else b'{"queues":["away"]}'

    settings = {}
    if options.history:
        settings["ROUTER__RUNTIME__HISTORY_RECORD_COUNT_MAX"] = str(options.history)
    with tempfile.TemporaryDirectory() as directory:
        async with router(
            Path(directory, "router"),
            desktops=SERVED + options.desktops,
            gateways=GATEWAYS + 1,
            policy=POLICY,
            fast_upgrades=False,
            settings=settings,
            record_of=record_of,
        ) as target:
            away = target.desktops[SERVED:]
            target.desktops = target.desktops[:SERVED]
            stayers = ConnectedAgents(target)
            with ReconnectingProcess(Instructions(port=target.port, desktops=away)) as crowd:
                await crowd.run_phase("connect")
                await stayers.connect()
                try:
                    return await measure(stayers, crowd, options)
                finally:
                    stayers.load.close()


def figures_of(found: Measurements, desktops: int) -> list[Figure]:
    """What it came to."""
    before, ready, storm = (found.phases[name] for name in ("before", "ready", "storm"))
    before_ms = before.p99_ms()

    def limit_of(told: PhaseReport) -> str | None:
        late_ms = told.late_p99_ms
        return (
            f"the crowd itself late, p99 {late_ms:.0f} ms" if late_ms > _LATENESS_MS_MAX else None
        )

    return [
        Figure(
            id="ready_s",
            title=f"{desktops:,} agents go ready in 1 s: all have their answers after",
            value=found.ready.seconds,
            unit="s",
            better="lower",
            floor=1.0,
            limit=limit_of(found.ready),
        ),
        Figure(
            id="ready.p99_ms",
            title="  due → offer of those served meanwhile, p99",
            value=ready.p99_ms(),
            unit="ms",
            better="lower",
            floor=before_ms,
        ),
        Figure(
            id="ready.pause_ms",
            title="  longest pause of the loop",
            value=ready.pauses.max / 1e6,
            unit="ms",
            better="lower",
            floor=before.pauses.max / 1e6,
        ),
        Figure(
            id="reconnect_s",
            title=f"{desktops:,} cables pulled: all are back after",
            value=found.storm.seconds,
            unit="s",
            better="lower",
            target=30,
            limit=limit_of(found.storm),
        ),
        Figure(
            id="reconnect.resumed",
            title="  came back by resume (the others by a new welcome)",
            value=found.storm.answers.get("resumed", 0) / desktops,
            unit="share",
            better="higher",
        ),
        Figure(
            id="reconnect.refused",
            title="  upgrades refused for now, for each desktop",
            value=found.storm.refused / desktops,
            unit="",
        ),
        Figure(
            id="reconnect.failed",
            title="  attempts without an answer, and connections lost again",
            value=sum(found.storm.failed.values()) + sum(found.storm.lost_again.values()),
            unit="",
            better="lower",
            target=0,
        ),
        Figure(
            id="reconnect.p99_of_before",
            title="  due → offer of those who stayed, p99: during / before",
            value=storm.p99_ms() / before_ms,
            unit="ratio",
            better="lower",
            target=2,
            limit=storm.limit() or before.limit(),
        ),
        Figure(
            id="reconnect.p99_ms",
            title="  due → offer of those who stayed, p99",
            value=storm.p99_ms(),
            unit="ms",
            better="lower",
            floor=before_ms,
        ),
        Figure(
            id="reconnect.pause_ms",
            title="  longest pause of the loop",
            value=storm.pauses.max / 1e6,
            unit="ms",
            better="lower",
            floor=before.pauses.max / 1e6,
        ),
    ]


def main() -> int:
    """Parse, pin, run, print; 1 where anything was refused, lost or broken."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int)
    arguments.add_argument("--rate", type=float, default=300.0)
    arguments.add_argument(
        "--history", type=int, help="runtime.history_record_count_max; without: the default"
    )
    options = arguments.parse_args()
    options.desktops = options.desktops or (3_000 if options.quick else 10_000)
    prepare(SERVED)
    gc.disable()  # Its pauses would count as the router's.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options))
    for name, phase in found.phases.items():
        print(
            f"{name:7} due → offer {_ms(phase.offers)} ms, pauses {_ms(phase.pauses)} ms, late {_ms(phase.lateness)} ms "
            f"(p50/p99/max), {phase.seconds:.1f} s, server {phase.server_s / phase.seconds:.0%} busy"
        )
    print("storm, second by second:", *(_ms(one) for one in found.seconds))
    for name, told in (("ready", found.ready), ("storm", found.storm)):
        print(
            f"crowd, {name}: {told.attempts:,} attempts, {told.late_p50_ms:.1f}/{told.late_p99_ms:.0f} ms late (p50/p99), "
            f"{told.refused:,} told to come again, received {told.answers or '-'}, "
            f"waited {told.waited_p99_ms:.0f}/{told.waited_max_ms:.0f} ms for a welcome (p99/max), busy {told.busy:.0%}"
        )
    print(f"memory {found.rss_mib:.0f} MiB")
    result = Result(
        name="bench_reconnect",
        what=(
            f"{options.desktops:,} desktops in a storm, {SERVED} others served at {options.rate:g} contacts/s; "
            "yardstick: before the storm"
        ),
        figures=figures_of(found, options.desktops),
        details={
            "errors": found.errors,
            "history": options.history,
            "late_p99_ms": {
                name: phase.lateness.quantile(0.99) / 1e6 for name, phase in found.phases.items()
            },
            "crowd": {"ready": found.ready, "storm": found.storm},
        },
    )
    finish(result, options)
    if found.errors:
        print(f"FAILED: {found.errors}", file=sys.stderr)
    return 1 if found.errors else 0


def _ms(histogram: Histogram) -> str:
    return "/".join(f"{histogram.quantile(share) / 1e6:.1f}" for share in (0.5, 0.99, 1.0))


if __name__ == "__main__":
    raise SystemExit(main())
