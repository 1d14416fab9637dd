"""Reconnect storm: ten thousand desktops become ready within a second; ten thousand connections are aborted and reconnect.

Five hundred agents stay connected and are served all the time: contacts are due at 300 per second (Poisson), in a queue that only
these agents serve. Ten thousand further desktops belong to another queue. All connect under the router's default limits of
upgrades; after a refusal they try again as the client does, with full jitter, `random(0, min(30 s, 1 s × 2ⁿ))`, after the time that
the router asked for. Each sends a `ping` every 20 s, as clients should; the answer advances the position from which it can resume.

1. *Before*: the latency of the agents served, from due to offer.
2. **Ready**: the ten thousand send `set_state` ready within a second. The time until all have their (durable) answers is measured.
3. **Reconnect**: the ten thousand connections are aborted at once. Each desktop reconnects with backoff and `resume`. The time is
   measured until all are resumed (or get a new welcome, if they missed more than the router keeps; this is counted).

During these phases the latency of the agents who stayed connected is measured, and the longest pause of the router's event loop: a
probe on its own socket sends a `ping` every 5 ms, which the router answers without writer or journal.

The agents who stay, their gateways and the probe run in this process. The ten thousand run in another process
(`reconnecting_desktops.py`) on the same CPU with a lower priority.
Both measure their own lateness. A latency has a note if the process that measured it was late by more than a quarter of it; the
reconnect time has one if its attempts began more than a second late (p99).

The settings are the defaults except for the number of sockets; `--history` sets the number of records kept for resume.

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
from benchmarks.server.load import KernelTimer, Load, poisson
from benchmarks.server.raw_websocket import RawWebSocket, ReceivedFrame
from benchmarks.server.reconnecting_desktops import Instructions, PhaseReport, ReconnectingProcess, ping
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
# A lower rate than the limit of upgrades per second.
_UPGRADE_GAP_S: Final = 0.004
_LATENESS_MS_MAX: Final = 1_000.0


class MeasuredPhase(Struct):
    """The measurements of one phase."""

    offers: Histogram
    pauses: Histogram
    lateness: Histogram
    """Delay of this process, from due to sent."""
    started_s: float
    server_s: float
    """CPU time of the server: up to the start of the phase; after the end of the phase, during it."""
    seconds: float = 0.0

    def p99_ms(self) -> float:
        """Return the p99 from due to offer."""
        return self.offers.quantile(0.99) / 1e6

    def limit(self) -> str | None:
        """Return a note if the load generator was too late for a valid latency."""
        late_ms = self.lateness.quantile(0.99) / 1e6
        return f"load generator itself late, p99 {late_ms:.1f} ms" if late_ms > self.p99_ms() / 4 else None


class StormMeasurements(Struct, kw_only=True):
    """The measurements of all phases."""

    phases: dict[str, MeasuredPhase]
    """``before``, ``ready``, ``calm``, ``storm``, ``after``, in this order."""
    storm_seconds: list[Histogram]
    """Due → offer for each second of the storm."""
    ready: PhaseReport
    storm: PhaseReport
    rss_mib: float
    errors: dict[str, int]


class ConnectedAgents:
    """The agents who stay connected and are served, with their measurements."""

    def __init__(self, target: Target) -> None:
        self.load = Load(target)
        self._target = target
        self.phases: dict[str, MeasuredPhase] = {}
        self._phase: MeasuredPhase | None = None
        self.pauses = Histogram()
        self._ping_sent_ns = 0

    async def connect(self) -> None:
        """Connect the agents, the gateways and the probe."""
        load = self.load
        for name, token in load.target.desktops:
            load.desktops.append(await load.connect_desktop(name, token))
            await asyncio.sleep(_UPGRADE_GAP_S)
        await load.connect_gateways()
        await load.all_ready(load.desktops)
        self._probe = load.gateways.pop()
        self._probe.on_frame = self._on_probe_frame

    def begin(self, name: str) -> None:
        """Begin a phase: measurements from now on belong to it."""
        self.end()
        offers, pauses, lateness = Histogram(), Histogram(), Histogram()
        self.load.offers, self.pauses, self.load.lateness = offers, pauses, lateness
        server_s = self._target.process.cpu_s()
        phase = MeasuredPhase(offers, pauses, lateness, time.perf_counter(), server_s)
        self._phase = self.phases[name] = phase

    def end(self) -> None:
        """End the phase."""
        phase, self._phase = self._phase, None
        if phase is not None:
            phase.seconds = time.perf_counter() - phase.started_s
            phase.server_s = self._target.process.cpu_s() - phase.server_s

    async def probe(self) -> None:
        """Send pings to the router until cancelled."""
        while True:
            if not self._ping_sent_ns:
                self._ping_sent_ns = time.perf_counter_ns()
                self._probe.send(f.PingFrame(id="p"))
            await asyncio.sleep(PROBE_S)

    def _on_probe_frame(self, frame: ReceivedFrame) -> None:
        if frame.type == "pong":
            self.pauses.add(time.perf_counter_ns() - self._ping_sent_ns)
            self._ping_sent_ns = 0

    async def submit(self, rate: float) -> None:
        """Submit contacts at this rate (Poisson) until cancelled.

        A kernel timer gives exact times without polling, because the reconnecting desktops need this CPU as well.
        """
        timer = KernelTimer()
        started_ns = time.perf_counter_ns()
        try:
            for after_s in poisson(rate, 600):
                due_ns = started_ns + int(after_s * 1e9)
                if due_ns > time.perf_counter_ns():
                    await timer.sleep_until(due_ns)
                self.load.submit(due_ns)
        finally:
            timer.close()

    async def record_each_second(self, seconds: list[Histogram]) -> None:
        """Append a histogram of offers for each second until cancelled; their sum is that of the phase."""
        while True:
            seconds.append(Histogram())
            self.load.offers = seconds[-1]
            await asyncio.sleep(1)

    def all_connections(self) -> list[RawWebSocket]:
        """Return the connections that send a ``ping`` every 20 s."""
        return [*self.load.desktops]


async def measure(agents: ConnectedAgents, desktops: ReconnectingProcess, options: argparse.Namespace) -> StormMeasurements:
    """Run all phases and return their measurements."""
    load = agents.load
    background: list[asyncio.Task[Any]] = [
        asyncio.create_task(agents.probe()),
        asyncio.create_task(ping(agents.all_connections)),
        asyncio.create_task(agents.submit(options.rate)),
    ]
    storm_seconds: list[Histogram] = []
    try:
        await asyncio.sleep(2.0)
        agents.begin("before")
        await asyncio.sleep(BEFORE_S)
        agents.begin("ready")
        ready = await desktops.run_phase("ready")
        agents.begin("calm")
        await asyncio.sleep(PAUSE_S)
        agents.begin("storm")
        recording = asyncio.create_task(agents.record_each_second(storm_seconds))
        storm = await desktops.run_phase("reconnect")
        recording.cancel()
        agents.phases["storm"].offers = sum(storm_seconds, Histogram())
        agents.begin("after")
        await asyncio.sleep(BEFORE_S / 2)
        agents.end()
    finally:
        for task in background:
            task.cancel()
    await load.wait_until_idle()
    return StormMeasurements(
        phases=agents.phases,
        storm_seconds=storm_seconds,
        ready=ready,
        storm=storm,
        rss_mib=load.target.process.rss_bytes() / 2**20,
        errors=dict(load.error_counts) | ready.errors | storm.errors,
    )


async def run(options: argparse.Namespace) -> StormMeasurements:
    """Run the router and all phases."""

    def agent_record(number: int) -> bytes:
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
            agent_record=agent_record,
        ) as target:
            reconnecting = target.desktops[SERVED:]
            target.desktops = target.desktops[:SERVED]
            agents = ConnectedAgents(target)
            with ReconnectingProcess(Instructions(port=target.port, desktops=reconnecting)) as desktops:
                await desktops.run_phase("connect")
                await agents.connect()
                try:
                    return await measure(agents, desktops, options)
                finally:
                    agents.load.close()


def figures_of(found: StormMeasurements, desktops: int) -> list[Figure]:
    """Return the figures of all phases."""
    return [*_ready_figures(found, desktops), *_reconnect_figures(found, desktops), *_latency_figures(found)]


def _ready_figures(found: StormMeasurements, desktops: int) -> list[Figure]:
    before, ready = found.phases["before"], found.phases["ready"]
    return [
        Figure(
            id="ready_s",
            title=f"{desktops:,} agents go ready in 1 s: all have their answers after",
            value=found.ready.seconds,
            unit="s",
            better="lower",
            baseline=1.0,
            limit=_lateness_note(found.ready),
        ),
        Figure(
            id="ready.p99_ms",
            title="  due → offer of those served meanwhile, p99",
            value=ready.p99_ms(),
            unit="ms",
            better="lower",
            baseline=before.p99_ms(),
        ),
        Figure(
            id="ready.pause_ms",
            title="  longest pause of the loop",
            value=ready.pauses.max / 1e6,
            unit="ms",
            better="lower",
            baseline=before.pauses.max / 1e6,
        ),
    ]


def _reconnect_figures(found: StormMeasurements, desktops: int) -> list[Figure]:
    return [
        Figure(
            id="reconnect_s",
            title=f"{desktops:,} connections aborted: all are back after",
            value=found.storm.seconds,
            unit="s",
            better="lower",
            target=30,
            limit=_lateness_note(found.storm),
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
    ]


def _latency_figures(found: StormMeasurements) -> list[Figure]:
    before, storm = found.phases["before"], found.phases["storm"]
    return [
        Figure(
            id="reconnect.p99_of_before",
            title="  due → offer of those who stayed, p99: during / before",
            value=storm.p99_ms() / before.p99_ms(),
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
            baseline=before.p99_ms(),
        ),
        Figure(
            id="reconnect.pause_ms",
            title="  longest pause of the loop",
            value=storm.pauses.max / 1e6,
            unit="ms",
            better="lower",
            baseline=before.pauses.max / 1e6,
        ),
    ]


def _lateness_note(report: PhaseReport) -> str | None:
    late_ms = report.late_p99_ms
    return f"load generator itself late, p99 {late_ms:.0f} ms" if late_ms > _LATENESS_MS_MAX else None


def main() -> int:
    """Parse the options, measure, print; return 1 if anything failed or was refused or lost."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int)
    arguments.add_argument("--rate", type=float, default=300.0)
    arguments.add_argument("--history", type=int, help="runtime.history_record_count_max; default: the router's")
    options = arguments.parse_args()
    options.desktops = options.desktops or (3_000 if options.quick else 10_000)
    prepare(SERVED)
    gc.disable()  # Its pauses would be counted as pauses of the router.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options))
    for name, phase in found.phases.items():
        print(
            f"{name:7} due → offer {_ms(phase.offers)} ms, pauses {_ms(phase.pauses)} ms, late {_ms(phase.lateness)} ms "
            f"(p50/p99/max), {phase.seconds:.1f} s, server {phase.server_s / phase.seconds:.0%} busy"
        )
    print("storm, each second:", *(_ms(histogram) for histogram in found.storm_seconds))
    for name, report in (("ready", found.ready), ("storm", found.storm)):
        print(
            f"reconnecting desktops, {name}: {report.attempts:,} attempts, "
            f"{report.late_p50_ms:.1f}/{report.late_p99_ms:.0f} ms late (p50/p99), {report.refused:,} refused, "
            f"answers {report.answers or '-'}, waited {report.waited_p99_ms:.0f}/{report.waited_max_ms:.0f} ms "
            f"for a welcome (p99/max), busy {report.busy:.0%}"
        )
    print(f"memory {found.rss_mib:.0f} MiB")
    result = Result(
        name="bench_reconnect",
        what=(
            f"{options.desktops:,} desktops in a storm, {SERVED} others served at {options.rate:g} contacts/s; "
            "baseline: before the storm"
        ),
        figures=figures_of(found, options.desktops),
        details={
            "errors": found.errors,
            "history": options.history,
            "late_p99_ms": {name: phase.lateness.quantile(0.99) / 1e6 for name, phase in found.phases.items()},
            "reconnecting_desktops": {"ready": found.ready, "storm": found.storm},
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
