"""What happens at three times what the router can carry: does it go on doing what it can, and say no to the rest?

First the peak: contacts in a closed loop, as many as the router completes. Then three times that, open loop, whether or not it
answers, in three situations, with the router's default limits (only the number of sockets is raised to fit the desktops):

* **HTTP**: eight gateways, `POST /v1/contacts` over kept-alive connections. What is refused must be refused by 429 or 503.
* **sockets**: eight gateways over WebSockets. What is refused must be refused by an `error` that may be repeated (`busy`,
  `rate_limited`). A socket that the router does not read from holds its gateway back; that is counted apart.
* **one gateway hammers** three times the peak over one WebSocket, and comes back when it is closed, while four others submit
  half the peak over sockets of their own: what is measured is what the four get.

What is neither refused nor completed when the flood ends waits somewhere, in the router, in the kernel or at the gateways: it
must not be more than two seconds' work. Goodput is whole lifecycles a second (submitted, offered, accepted, ended), without the
first two seconds. Nobody who has an acknowledgement may be lost: after the flood every acknowledged contact has to be completed.
Agents accept and end at once and repeat what is refused as `busy`; how long their answers take, and how often they are refused,
is measured: submits must not starve them, which we take to be so while the p99 of their answers stays within three times that at
the peak. Memory is the process's, from two seconds after the beginning of the flood to its end, for each completed lifecycle,
beside the same at the peak: ended contacts are remembered for a while, and refused ones must not be.

    python benchmarks/server/bench_overload.py [--quick] [--desktops 10000] [--seconds 20] [--only http,sockets,hammer]
        [--json FILE]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import uvloop
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser
from benchmarks.server.histogram import Histogram
from benchmarks.server.http_load import HttpGateways
from benchmarks.server.load import Load, poisson
from benchmarks.server.raw_websocket import RawWebSocket
from benchmarks.server.servers import Target, prepare, router
from router.protocol import frames as f

QUICK_BUDGET_S = 90
GATEWAYS: Final = 8
POLITE: Final = 4
HTTP_CONNECTIONS: Final = 2_000
"""Of all gateways together: a hundred or two each, as a pool of a web application's workers would have."""
OVERLOAD: Final = 3.0
IN_FLIGHT: Final = 512
WARM_UP_S: Final = 2.0
UNSENT_BYTES_MAX: Final = 64 * 1024
COME_BACK_S: Final = 1.0
BACKLOG_S_MAX: Final = 2.0
"""Who waits longer than a second or two had better been refused."""
ANSWERS_OF_PEAK_MAX: Final = 3.0
"""Beyond it we call agents starved by submits: at the peak, 512 contacts are under way already."""
SITUATIONS: Final = {
    "http": "HTTP",
    "sockets": "sockets",
    "hammer": "one hammers",
}


class Peak(Struct, kw_only=True):
    """What the router can carry."""

    per_s: float
    bytes_per_lifecycle: float
    answers: Histogram


class Flood(Struct, kw_only=True):
    """What came of one flood."""

    peak: Peak
    offered_per_s: float
    goodput_per_s: float
    backlog: int
    """Neither refused nor completed when the flood ended, wherever they waited."""
    refused: dict[str, int]
    agents_refused: dict[str, int]
    held_back: int
    unknown: int
    lost: int
    answers: Histogram
    offers: Histogram
    rss_before_mib: float
    rss_after_mib: float
    bytes_per_lifecycle: float
    busy: float
    generator_busy: float
    errors: dict[str, int]
    polite: "SocketGateways | None" = None
    """Those who keep measure while another does not."""


class SocketGateways:
    """Gateways that submit over sockets, come back when they are closed, and do not queue what the router does not read."""

    def __init__(self, load: Load, gateways: list[RawWebSocket]) -> None:
        self._load = load
        self._gateways = gateways
        self._pending: dict[int, dict[str, int]] = {}
        self.submitted = self.acknowledged = 0
        self.answers = Histogram()
        """From when an acknowledged contact was due to its acknowledgement, in ns."""
        self._turn = 0
        self._returns: set[asyncio.Task[None]] = set()
        self.held_back = self.closed = 0
        for place in range(len(gateways)):
            self._take(place)

    def submit(self, due_ns: int) -> None:
        """Submit over the next socket, or not at all where that one is not read from or gone."""
        place = self._turn = (self._turn + 1) % len(self._gateways)
        gateway = self._gateways[place]
        if gateway.closing or gateway.unsent_bytes > UNSENT_BYTES_MAX:
            self.held_back += 1
            return
        reference = self._load.next_reference(due_ns)
        self._pending[place][reference] = due_ns
        self.submitted += 1
        fields = f.ContactFields(channel="voice", queue_id="support", reference=reference)
        gateway.send(f.SubmitFrame(id=reference, contact=fields))

    def _take(self, place: int) -> None:
        gateway, pending = self._gateways[place], dict[str, int]()
        self._pending[place] = pending

        def hear(heard: Any) -> None:
            due_ns = pending.pop(heard.id, None)
            if heard.type == "ok" and due_ns is not None:
                self.acknowledged += 1
                self.answers.add(time.perf_counter_ns() - due_ns)
            self._load.on_gateway_frame(heard)

        def lost(_: RawWebSocket) -> None:
            gateway.closing = True
            self.closed += 1
            # Offered ones are not unknown: they have their place, and the desktops complete them.
            self._load.abort_all(pending)
            task = asyncio.get_running_loop().create_task(self._come_back(place))
            self._returns.add(task)
            task.add_done_callback(self._returns.discard)

        gateway.hear, gateway.on_lost = hear, lost

    async def _come_back(self, place: int) -> None:
        await asyncio.sleep(COME_BACK_S)
        old = self._gateways[place]
        gateway = RawWebSocket(old.path, old.name, old.token)
        await self._load.open(gateway)
        self._load.gateways.append(gateway)
        self._gateways[place] = gateway
        self._take(place)

    async def end(self) -> None:
        """Let those who are on their way back arrive."""
        if self._returns:
            await asyncio.wait(self._returns)


async def find_peak(load: Load, submit: Callable[[int], None], seconds: float) -> Peak:
    """A closed loop, and the memory that a lifecycle leaves behind."""
    await load.closed_loop(1.0, IN_FLIGHT, submit)
    load.answers = Histogram()
    before, count = load.target.process.rss_bytes(), load.completed
    rate = await load.closed_loop(seconds, IN_FLIGHT, submit)
    grown = load.target.process.rss_bytes() - before
    return Peak(
        per_s=rate.per_s,
        bytes_per_lifecycle=grown / (load.completed - count),
        answers=load.answers,
    )


async def flood(
    load: Load,
    peak: Peak,
    arrivals: Sequence[tuple[float, Callable[[int], None]]],
    seconds: float,
    *,
    held_back: Callable[[], int] = lambda: 0,
) -> Flood:
    """Each submit at its own rate, all at the same time."""
    load.answers, load.offers = Histogram(), Histogram()
    # Those refused on the way to the peak are over and done with: the flood counts its own.
    load.submitted -= load.refused.total()
    load.refused.clear()
    load.agents_refused.clear()
    load.acknowledged_ids, load.completed_early = set(), set()
    floods = asyncio.gather(
        *(
            load.open_loop(poisson(rate, seconds, seed), submit, rest_s=0.001)
            for seed, (rate, submit) in enumerate(arrivals)
        )
    )
    await asyncio.sleep(WARM_UP_S)
    rss_before, count = load.target.process.rss_bytes(), load.completed
    submitted, held = load.submitted, held_back()
    rate = await load.timed(_end_of(floods))
    rss_after = load.target.process.rss_bytes()
    asked = load.submitted - submitted + held_back() - held
    completed = load.completed - count
    refused, backlog = dict(load.refused), load.in_flight
    await load.settle()
    return Flood(
        peak=peak,
        offered_per_s=asked / (seconds - WARM_UP_S),
        goodput_per_s=rate.per_s,
        backlog=backlog,
        refused=refused,
        agents_refused=dict(load.agents_refused),
        held_back=held_back(),
        unknown=len(load.unknown),
        lost=len(load.acknowledged_ids),
        answers=load.answers,
        offers=load.offers,
        rss_before_mib=rss_before / 2**20,
        rss_after_mib=rss_after / 2**20,
        bytes_per_lifecycle=(rss_after - rss_before) / max(1, completed),
        busy=rate.server_busy,
        generator_busy=rate.generator_busy,
        errors=dict(load.errors),
    )


async def _end_of(floods: "asyncio.Future[list[None]]") -> None:
    await floods


async def over_http(target: Target, options: argparse.Namespace) -> Flood:
    """Eight gateways over HTTP."""
    load = Load(target)
    await load.connect()
    http = HttpGateways(load)
    await http.connect(HTTP_CONNECTIONS)
    try:
        peak = await find_peak(load, http.submit, options.seconds / 4)
        return await flood(load, peak, [(OVERLOAD * peak.per_s, http.submit)], options.seconds)
    finally:
        http.close()
        load.close()


async def over_sockets(target: Target, options: argparse.Namespace) -> Flood:
    """Eight gateways over sockets."""
    load = Load(target)
    await load.connect()
    try:
        peak = await find_peak(load, load.submit, options.seconds / 4)
        gateways = SocketGateways(load, list(load.gateways))
        arrivals = [(OVERLOAD * peak.per_s, gateways.submit)]
        found = await flood(
            load, peak, arrivals, options.seconds, held_back=lambda: gateways.held_back
        )
        await gateways.end()
        return found
    finally:
        load.close()


async def one_hammers(target: Target, options: argparse.Namespace) -> Flood:
    """One without measure, four with."""
    load = Load(target)
    await load.connect()
    try:
        peak = await find_peak(load, load.submit, options.seconds / 4)
        polite = SocketGateways(load, load.gateways[:POLITE])
        hammer = SocketGateways(load, load.gateways[POLITE : POLITE + 1])
        arrivals = [(peak.per_s / 2, polite.submit), (OVERLOAD * peak.per_s, hammer.submit)]
        found = await flood(
            load, peak, arrivals, options.seconds, held_back=lambda: hammer.held_back
        )
        found.polite = polite
        await hammer.end()
        if polite.closed or polite.held_back:
            load.errors["a polite gateway was closed"] += polite.closed
            load.errors["a polite gateway was held back"] += polite.held_back
            found.errors = dict(load.errors)
        return found
    finally:
        load.close()


async def run(options: argparse.Namespace) -> dict[str, Flood]:
    """Each situation with a router of its own."""
    ways = {"http": over_http, "sockets": over_sockets, "hammer": one_hammers}
    found: dict[str, Flood] = {}
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory() as directory:
            async with router(
                Path(directory, "router"), desktops=options.desktops, gateways=GATEWAYS
            ) as target:
                found[name] = await ways[name](target, options)
                if not target.process.is_running:
                    found[name].errors["the router ended"] = 1
    return found


def figures_of(name: str, one: Flood, desktops: int) -> list[Figure]:
    """What one situation came to."""
    title = f"{SITUATIONS[name]}, {desktops:,} desktops"
    limit = None if one.generator_busy < 0.9 else f"load generator {one.generator_busy:.0%} busy"
    agents_refused, peak = sum(one.agents_refused.values()), one.peak
    figures = [
        Figure(
            id=f"{name}.goodput_of_peak",
            title=f"{title}: goodput / peak",
            value=one.goodput_per_s / peak.per_s,
            unit="ratio",
            better="higher",
            target=0.8,
            limit=limit,
        ),
        Figure(
            id=f"{name}.goodput_per_s",
            title=f"{title}: lifecycles",
            value=one.goodput_per_s,
            unit="/s",
            better="higher",
            floor=peak.per_s,
            limit=limit,
        ),
        Figure(
            id=f"{name}.offered_per_s",
            title=f"{title}: offered",
            value=one.offered_per_s,
            unit="/s",
        ),
        Figure(
            id=f"{name}.lost",
            title=f"{title}: acknowledged and lost",
            value=one.lost,
            unit="",
            better="lower",
            target=0,
        ),
        Figure(
            id=f"{name}.agents_refused",
            title=f"{title}: accepts and ends refused",
            value=agents_refused,
            unit="",
            better="lower",
            target=0,
        ),
        Figure(
            id=f"{name}.backlog_s",
            title=f"{title}: neither refused nor done at the end of the flood, in seconds of peak",
            value=one.backlog / peak.per_s,
            unit="s",
            better="lower",
            target=BACKLOG_S_MAX,
        ),
        Figure(
            id=f"{name}.answer_p99_of_peak",
            title=f"{title}: agents' answers, p99: in the flood / at the peak",
            value=one.answers.quantile(0.99) / max(1, peak.answers.quantile(0.99)),
            unit="ratio",
            better="lower",
            target=ANSWERS_OF_PEAK_MAX,
        ),
        Figure(
            id=f"{name}.answer_p99_ms",
            title=f"{title}: agents' answers, p99",
            value=one.answers.quantile(0.99) / 1e6,
            unit="ms",
            better="lower",
            floor=peak.answers.quantile(0.99) / 1e6,
        ),
        Figure(
            id=f"{name}.growth_bytes",
            title=f"{title}: memory left by a lifecycle",
            value=one.bytes_per_lifecycle,
            unit="B",
            better="lower",
            floor=peak.bytes_per_lifecycle,
        ),
        Figure(
            id=f"{name}.rss_mib",
            title=f"{title}: memory at the end of the flood",
            value=one.rss_after_mib,
            unit="MiB",
            better="lower",
            floor=one.rss_before_mib,
        ),
    ]
    if one.polite is not None:
        figures[0] = Figure(
            id=f"{name}.polite_share",
            title=f"{title}: acknowledged of what the four submit",
            value=one.polite.acknowledged / one.polite.submitted,
            unit="share",
            better="higher",
            target=0.99,
        )
        figures[1] = Figure(
            id=f"{name}.polite_p99_ms",
            title=f"{title}: the four's contacts, due → acknowledged, p99",
            value=one.polite.answers.quantile(0.99) / 1e6,
            unit="ms",
            better="lower",
        )
    return figures


def show(name: str, one: Flood) -> None:
    """What the figures do not say."""
    peak = one.peak
    print(
        f"{name}: offered {one.offered_per_s:,.0f}/s, peak {peak.per_s:,.0f}/s, goodput {one.goodput_per_s:,.0f}/s; "
        f"refused {one.refused or 'none'}; held back {one.held_back:,}; agents refused {one.agents_refused or 'none'}; "
        f"fate unknown {one.unknown}; lost {one.lost}\n"
        f"   agents' answers p50/p99/max {_ms(one.answers)} ms (at the peak {_ms(peak.answers)}); "
        f"due → offer {_ms(one.offers)} ms\n"
        f"   memory {one.rss_before_mib:.0f} → {one.rss_after_mib:.0f} MiB; "
        f"server {one.busy:.0%}, generator {one.generator_busy:.0%} busy; errors {one.errors or 'none'}"
    )


def _ms(histogram: Histogram) -> str:
    return "/".join(f"{histogram.quantile(share) / 1e6:.1f}" for share in (0.5, 0.99, 1.0))


def main() -> int:
    """Parse, pin, run, print; 1 where anything broke, or anybody was lost."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int)
    arguments.add_argument("--seconds", type=float, help="of a flood")
    arguments.add_argument("--only", default=",".join(SITUATIONS))
    options = arguments.parse_args()
    options.desktops = options.desktops or (2_000 if options.quick else 10_000)
    options.seconds = options.seconds or (8.0 if options.quick else 20.0)
    prepare(options.desktops + HTTP_CONNECTIONS)
    began = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options))
    for name, one in found.items():
        show(name, one)
    result = Result(
        name="bench_overload",
        what=(
            f"{OVERLOAD:g} times the peak offered for {options.seconds:g} s, {options.desktops:,} desktops, default limits; "
            "yardstick: the peak"
        ),
        figures=[
            figure
            for name, one in found.items()
            for figure in figures_of(name, one, options.desktops)
        ],
        details={
            "refused": {name: one.refused for name, one in found.items()},
            "held_back": {name: one.held_back for name, one in found.items()},
            "errors": {name: one.errors for name, one in found.items()},
            "seconds": round(time.monotonic() - began),
        },
    )
    finish(result, options)
    broken = {name: one.errors for name, one in found.items() if one.errors or one.lost}
    if broken:
        print(f"FAILED: {broken}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
