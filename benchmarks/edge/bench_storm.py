"""Storms: ten thousand desktops go ready within a second; ten thousand connections break at once and come back.

Five hundred agents are served all the time: contacts are due at 300 a second (Poisson) and go to them alone, by a queue of their
own. Ten thousand more desktops belong to another queue. All have connected under the router's default limits (upgrades a second
and at once), refused ones coming back as the client does: full jitter, `random(0, min(30 s, 1 s × 2ⁿ))`, after any time
that the router asked for. Each sends its `ping` every 20 s, as clients should; its answer moves the position to resume from.

1. *Before*: the latency of those served, from due to offer.
2. **Ready**: the ten thousand say `set_state` ready, spread over one second. How long until all have their (durable) answers?
3. **Reconnect**: the ten thousand cables are pulled within half a second. Each comes back with that backoff and `resume`.
   How long until all are resumed (or welcomed anew, where more was missed than the router keeps; counted)?

Meanwhile: what becomes of the latency of those who stayed, and the longest pause of the router's loop: a probe on a socket of its
own sends a `ping` every 5 ms, which the router answers without writer or journal.

The settings are the defaults, but for the number of sockets; `--history` sets the number of records kept for those who resume.

    python benchmarks/edge/bench_storm.py [--quick] [--desktops 10000] [--rate 300] [--history RECORDS] [--json FILE]
"""

import argparse
import asyncio
import gc
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.edge.histogram import Histogram
from benchmarks.edge.load import Load, poisson
from benchmarks.edge.servers import Target, prepare, router
from benchmarks.edge.sockets import Desktop, Heard, RefusedUpgrade, Socket
from benchmarks.figures import Figure, Result, finish, parser
from router.client.backoff import Backoff
from router.model.states import AgentState
from router.wire import frames as f

SERVED: Final = 500
QUICK_BUDGET_S = 45
GATEWAYS: Final = 4
POLICY: Final = """\
channels: {voice: {offer_timeout_s: 60}}
queues: {support: {cool_down_s: 0}, away: {cool_down_s: 0}}
"""
BEFORE_S: Final = 5.0
CALM_S: Final = 3.0
PROBE_S: Final = 0.005
_PULLED_AT_ONCE: Final = 50
PING_EVERY_S: Final = 20.0
GIVE_UP_S: Final = 60.0


class Phase(Struct):
    """What was measured in one part of the time."""

    offers: Histogram
    pauses: Histogram
    lateness: Histogram
    """Of the load generator: from due to sent."""
    seconds: float = 0.0


class Found(Struct, kw_only=True):
    """All of it."""

    before: Phase
    ready: Phase
    storm: Phase
    after: Phase
    answers: Counter[str]
    refused: int
    lost_again: Counter[str]
    failed: Counter[str]
    rss_mib: float
    generator_busy: float
    errors: dict[str, int]


class Storm:
    """Desktops that come back, a probe, and those who are served meanwhile."""

    def __init__(self, target: Target, options: argparse.Namespace) -> None:
        self.load = Load(target)
        self._options = options
        self._chance = random.Random(1)
        self.away: dict[str, Desktop] = {}
        self.lost_again: Counter[str] = Counter()
        """Desktops that were back and lost their connection anew, by close code."""
        self._returns: set[asyncio.Task[None]] = set()
        self.answers: Counter[str] = Counter()
        """How those who came back were received: resumed or welcomed."""
        self.failed: Counter[str] = Counter()
        """Attempts that came to nothing without a word about when to come back."""
        self.refused = 0
        self.pauses = Histogram()
        self._asked_ns = 0

    async def connect(self) -> None:
        """Everybody, by the limits."""
        load = self.load
        served, away = load.target.desktops[:SERVED], load.target.desktops[SERVED:]
        load.desktops = list(await asyncio.gather(*(self._enter(*both) for both in served)))
        await asyncio.gather(*(self._come_back(*both) for both in away))
        for name, token in load.target.gateways:
            gateway = Socket("/v1/gateway", name, token)
            gateway.hear = load.heard_at_gateway
            await load.open(gateway)
            load.gateways.append(gateway)
        self._probe = load.gateways.pop()
        self._probe.hear = self._heard_by_probe
        await load.all_ready(load.desktops)
        for counter in (self.answers, self.lost_again, self.failed):
            counter.clear()
        self.refused = 0

    async def _enter(self, name: str, token: str, resume: str | None = None) -> Desktop:
        """Connect as the client does: again and again, with its backoff."""
        backoff = Backoff(uniform=self._chance.uniform)
        hint_s: float | None = None
        while True:
            await asyncio.sleep(backoff.next_s(hint_s))
            hint_s = None
            try:
                desktop = await self.load.connect_desktop(name, token, resume=resume)
            except RefusedUpgrade as refused:
                hint_s = refused.retry_after_s
                self.refused += 1
            except (ConnectionError, TimeoutError) as error:
                # As the client does: it is not over before the router said so.
                self.failed[str(error) or type(error).__name__] += 1
            else:
                self.answers[desktop.welcomed.result().type] += 1
                return desktop

    async def _come_back(self, name: str, token: str, resume: str | None = None) -> None:
        """Be there, and whenever the connection is lost, be there again."""
        desktop = await self._enter(name, token, resume)
        self.away[name] = desktop

        def lost(_: Socket) -> None:
            self.lost_again[str(desktop.close_code)] += 1
            self._return(desktop)

        desktop.on_lost = lost

    def _return(self, desktop: Desktop) -> None:
        self.away.pop(desktop.name, None)
        returning = self._come_back(desktop.name, desktop.token, desktop.position)
        task = asyncio.get_running_loop().create_task(returning)
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)

    # --- the storms -----------------------------------------------------------------------------------------
    async def all_ready(self) -> float:
        """All go ready within a second; how long until the last has its answer."""
        began = time.perf_counter()
        waiting = len(self.away)
        done = asyncio.get_running_loop().create_future()

        def heard(frame: Heard) -> None:
            nonlocal waiting
            if frame.id == "r":
                waiting -= 1
                if frame.type != "ok":
                    self.load.errors[f"set_state: {frame.code}"] += 1
                if not waiting:
                    done.set_result(None)

        away = list(self.away.values())
        for number, desktop in enumerate(away):
            desktop.hear = heard
            while time.perf_counter() - began < number / len(away):  # noqa: ASYNC110  (a time is waited for)
                await asyncio.sleep(0)
            desktop.say(f.SetState(id="r", state=AgentState.READY))
        await asyncio.wait_for(done, GIVE_UP_S)
        return time.perf_counter() - began

    async def reconnect(self) -> float:
        """All cables are pulled; how long until the last is back."""
        count, began = len(self.away), time.perf_counter()
        for number, desktop in enumerate(list(self.away.values())):
            desktop.close()
            self._return(desktop)
            if number % _PULLED_AT_ONCE == 0:
                await asyncio.sleep(
                    0
                )  # Or the load generator would be late for those who stayed, by itself.
        try:
            async with asyncio.timeout(GIVE_UP_S):
                while len(self.away) < count:  # noqa: ASYNC110  (some may be lost again)
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self.load.errors["not back"] += count - len(self.away)
        return time.perf_counter() - began

    # --- what goes on all the time ------------------------------------------------------------------------------
    async def probe(self) -> None:
        """Ask the loop whether it is there, for ever."""
        while True:
            if not self._asked_ns:
                self._asked_ns = time.perf_counter_ns()
                self._probe.say(f.Ping(id="p"))
            await asyncio.sleep(PROBE_S)

    def _heard_by_probe(self, frame: Heard) -> None:
        if frame.type == "pong":
            self.pauses.add(time.perf_counter_ns() - self._asked_ns)
            self._asked_ns = 0

    async def ping(self) -> None:
        """Each desktop in its turn, all in 20 s, for ever."""
        turn = 0
        while True:
            everybody = [*self.load.desktops, *self.away.values()]
            for _ in range(max(1, len(everybody) // int(PING_EVERY_S * 50))):
                turn = (turn + 1) % len(everybody)
                everybody[turn].say(f.Ping(id="p"))
            await asyncio.sleep(0.02)

    def phase(self) -> Phase:
        """From now on, everything counts for this part."""
        self.load.offers, self.pauses, self.load.lateness = Histogram(), Histogram(), Histogram()
        return Phase(self.load.offers, self.pauses, self.load.lateness)


async def measure(target: Target, options: argparse.Namespace) -> Found:
    """Connect, and let it storm."""
    storm = Storm(target, options)
    load = storm.load
    await storm.connect()
    beside = [
        asyncio.create_task(storm.probe()),
        asyncio.create_task(storm.ping()),
        asyncio.create_task(load.open_loop(poisson(options.rate, 600), load.submit, rest_s=0.001)),
    ]
    try:
        await asyncio.sleep(2.0)
        used, began = time.process_time(), time.perf_counter()
        before = storm.phase()
        await asyncio.sleep(BEFORE_S)
        ready = storm.phase()
        ready.seconds = await storm.all_ready()
        storm.phase()
        await asyncio.sleep(CALM_S)
        gone = storm.phase()
        gone.seconds = await storm.reconnect()
        after = storm.phase()
        await asyncio.sleep(BEFORE_S / 2)
        busy = (time.process_time() - used) / (time.perf_counter() - began)
    finally:
        for task in beside:
            task.cancel()
    await load.settle()
    found = Found(
        before=before,
        ready=ready,
        storm=gone,
        after=after,
        answers=storm.answers,
        refused=storm.refused,
        rss_mib=target.process.rss_bytes() / 2**20,
        generator_busy=busy,
        lost_again=storm.lost_again,
        failed=storm.failed,
        errors=dict(load.wrong),
    )
    load.close()
    for desktop in storm.away.values():
        desktop.close()
    return found


async def run(options: argparse.Namespace) -> Found:
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
            return await measure(target, options)


def figures_of(found: Found, desktops: int) -> list[Figure]:
    """What it came to."""
    before_ms = found.before.offers.quantile(0.99) / 1e6
    limit = (
        None if found.generator_busy < 0.8 else f"load generator {found.generator_busy:.0%} busy"
    )

    def p99_ms(phase: Phase) -> float:
        return phase.offers.quantile(0.99) / 1e6

    late_ms = found.storm.lateness.quantile(0.99) / 1e6
    limit_of_p99 = limit
    if late_ms > p99_ms(found.storm) / 4:
        limit_of_p99 = f"load generator itself late, p99 {late_ms:.0f} ms"

    return [
        Figure(
            id="ready_s",
            title=f"{desktops:,} agents go ready in 1 s: all have their answers after",
            value=found.ready.seconds,
            unit="s",
            better="lower",
            floor=1.0,
            limit=limit,
        ),
        Figure(
            id="ready.p99_ms",
            title="  due → offer of those served meanwhile, p99",
            value=p99_ms(found.ready),
            unit="ms",
            better="lower",
            floor=before_ms,
        ),
        Figure(
            id="ready.pause_ms",
            title="  longest pause of the loop",
            value=found.ready.pauses.max / 1e6,
            unit="ms",
            better="lower",
            floor=found.before.pauses.max / 1e6,
        ),
        Figure(
            id="reconnect_s",
            title=f"{desktops:,} cables pulled: all are back after",
            value=found.storm.seconds,
            unit="s",
            better="lower",
            target=30,
            limit=limit,
        ),
        Figure(
            id="reconnect.resumed",
            title="  came back by resume (the others by a new welcome)",
            value=found.answers["resumed"] / desktops,
            unit="share",
            better="higher",
        ),
        Figure(
            id="reconnect.refused",
            title="  upgrades refused for now, for each desktop",
            value=found.refused / desktops,
            unit="",
        ),
        Figure(
            id="reconnect.failed",
            title="  attempts without an answer, and connections lost again",
            value=found.failed.total() + found.lost_again.total(),
            unit="",
            better="lower",
            target=0,
        ),
        Figure(
            id="reconnect.p99_of_before",
            title="  due → offer of those who stayed, p99: during / before",
            value=p99_ms(found.storm) / before_ms,
            unit="ratio",
            better="lower",
            target=2,
            limit=limit_of_p99,
        ),
        Figure(
            id="reconnect.p99_ms",
            title="  due → offer of those who stayed, p99",
            value=p99_ms(found.storm),
            unit="ms",
            better="lower",
            floor=before_ms,
        ),
        Figure(
            id="reconnect.pause_ms",
            title="  longest pause of the loop",
            value=found.storm.pauses.max / 1e6,
            unit="ms",
            better="lower",
            floor=found.before.pauses.max / 1e6,
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
    prepare(options.desktops + SERVED)
    gc.disable()  # Its pauses would count as the router's.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options))
    for name, phase in (
        ("before", found.before),
        ("ready", found.ready),
        ("storm", found.storm),
        ("after", found.after),
    ):
        print(
            f"{name:7} due → offer {_ms(phase.offers)} ms, pauses {_ms(phase.pauses)} ms, generator late {_ms(phase.lateness)} ms "
            f"(p50/p99/max), {phase.seconds:.1f} s"
        )
    print(
        f"came back: {dict(found.answers)}, refused {found.refused:,} times, failed {dict(found.failed) or 'never'}, "
        f"lost again {dict(found.lost_again) or 'none'}; memory {found.rss_mib:.0f} MiB; generator {found.generator_busy:.0%} busy"
    )
    result = Result(
        name="bench_storm",
        what=(
            f"{options.desktops:,} desktops in a storm, {SERVED} others served at {options.rate:g} contacts/s; "
            "yardstick: before the storm"
        ),
        figures=figures_of(found, options.desktops),
        details={"errors": found.errors, "history": options.history},
    )
    finish(result, options)
    if found.errors:
        print(f"FAILED: {found.errors}", file=sys.stderr)
    return 1 if found.errors else 0


def _ms(histogram: Histogram) -> str:
    return "/".join(f"{histogram.quantile(share) / 1e6:.1f}" for share in (0.5, 0.99, 1.0))


if __name__ == "__main__":
    raise SystemExit(main())
