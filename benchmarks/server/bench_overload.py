"""Behaviour under overload: with three times the load that it can process, does the router keep its rate and refuse the rest?

First the script measures the peak: the rate of completed lifecycles in a closed loop. Then it offers three times that rate in an
open loop, whether or not the router answers, with the default limits (only the number of sockets is raised), in three situations:

* **HTTP**: eight gateways, `POST /v1/contacts` over keep-alive connections. A refusal must be a 429 or 503.
* **sockets**: eight gateways over WebSockets. A refusal must be an `error` that may be repeated (`busy`, `rate_limited`). Submits
  that a gateway cannot send because the router does not read its socket are counted separately.
* **one gateway floods** the router with three times the peak over one WebSocket, and reconnects when it is closed, while four other
  gateways submit half the peak over their own sockets. The figures describe the service that these four get.

Contacts that are neither refused nor completed at the end of the flood wait in the router, in the kernel or at the gateways; they
must be no more than the router completes in two seconds. Goodput is the rate of whole lifecycles (submitted, offered, accepted,
ended) without the first two seconds. No acknowledged contact may be lost: after the flood all of them must be completed.
Agents accept and end at once and repeat commands refused as `busy`. The time of their answers and the number of refusals are
measured, because submits must not starve agents: the p99 of their answers must stay within three times the p99 at the peak.
Memory is the growth of the process per completed lifecycle from two seconds after the beginning of the flood to its end, compared
with the same at the peak: ended contacts are kept for a while, refused ones must not be.

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
OTHER_GATEWAYS: Final = 4
HTTP_CONNECTIONS: Final = 2_000
"""For all gateways: some hundred each, like the connection pool of a web application."""
OVERLOAD: Final = 3.0
IN_FLIGHT: Final = 512
WARM_UP_S: Final = 2.0
UNSENT_BYTES_MAX: Final = 64 * 1024
RECONNECT_DELAY_S: Final = 1.0
BACKLOG_S_MAX: Final = 2.0
"""A contact that would wait longer should be refused."""
ANSWER_P99_RATIO_MAX: Final = 3.0
"""Flood / peak. Agents with a greater ratio count as starved by submits; at the peak 512 contacts are in flight already."""
SITUATIONS: Final = {"http": "HTTP", "sockets": "sockets", "hammer": "one gateway floods"}


class Peak(Struct, kw_only=True):
    """The maximum rate of the router, with its memory growth and answer times."""

    per_s: float
    bytes_per_lifecycle: float
    answers: Histogram


class Flood(Struct, kw_only=True):
    """The measurements of one flood."""

    peak: Peak
    offered_per_s: float
    goodput_per_s: float
    backlog: int
    """Contacts neither refused nor completed at the end of the flood."""
    refused: dict[str, int]
    agents_refused: dict[str, int]
    unsent: int
    """Submits that gateways could not send because the router did not read their sockets."""
    unknown: int
    """Submits whose connection was closed before the answer."""
    lost: int
    answers: Histogram
    offers: Histogram
    rss_before_mib: float
    rss_after_mib: float
    bytes_per_lifecycle: float
    busy: float
    generator_busy: float
    errors: dict[str, int]
    others: "SocketGateways | None" = None
    """The gateways beside the one that floods."""


class SocketGateways:
    """Gateways that submit over WebSockets, reconnect when closed, and drop submits while the router does not read."""

    def __init__(self, load: Load, gateways: list[RawWebSocket]) -> None:
        self._load = load
        self._gateways = gateways
        self._pending: dict[int, dict[str, int]] = {}
        self.submitted = self.acknowledged = 0
        self.answers = Histogram()
        """Time from an acknowledged contact's due time to its acknowledgement, in ns."""
        self._current = 0
        self._reconnecting: set[asyncio.Task[None]] = set()
        self.unsent = self.closed = 0
        for index in range(len(gateways)):
            self._use(index)

    def submit(self, due_ns: int) -> None:
        """Submit over the next socket; drop the contact if that socket is closed or not read by the router."""
        index = self._current = (self._current + 1) % len(self._gateways)
        gateway = self._gateways[index]
        if gateway.closing or gateway.unsent_bytes > UNSENT_BYTES_MAX:
            self.unsent += 1
            return
        reference = self._load.next_reference(due_ns)
        self._pending[index][reference] = due_ns
        self.submitted += 1
        fields = f.ContactFields(channel="voice", queue_id="support", reference=reference)
        gateway.send(f.SubmitFrame(id=reference, contact=fields))

    def _use(self, index: int) -> None:
        gateway, pending = self._gateways[index], dict[str, int]()
        self._pending[index] = pending

        def on_frame(frame: Any) -> None:
            due_ns = pending.pop(frame.id, None)
            if frame.type == "ok" and due_ns is not None:
                self.acknowledged += 1
                self.answers.add(time.perf_counter_ns() - due_ns)
            self._load.on_gateway_frame(frame)

        def on_lost(_: RawWebSocket) -> None:
            gateway.closing = True
            self.closed += 1
            # Contacts already offered are not unknown: the desktops complete them.
            self._load.mark_unknown(pending)
            task = asyncio.get_running_loop().create_task(self._reconnect(index))
            self._reconnecting.add(task)
            task.add_done_callback(self._reconnecting.discard)

        gateway.on_frame, gateway.on_lost = on_frame, on_lost

    async def _reconnect(self, index: int) -> None:
        await asyncio.sleep(RECONNECT_DELAY_S)
        previous = self._gateways[index]
        gateway = RawWebSocket(previous.path, previous.name, previous.token)
        await self._load.open(gateway)
        self._load.gateways.append(gateway)
        self._gateways[index] = gateway
        self._use(index)

    async def wait_until_connected(self) -> None:
        """Wait until the gateways that are reconnecting are connected."""
        if self._reconnecting:
            await asyncio.wait(self._reconnecting)


async def find_peak(load: Load, submit: Callable[[int], None], seconds: float) -> Peak:
    """Measure the maximum rate, and the memory growth per lifecycle, in a closed loop."""
    await load.closed_loop(1.0, IN_FLIGHT, submit)
    load.answers = Histogram()
    before, count = load.target.process.rss_bytes(), load.completed
    rate = await load.closed_loop(seconds, IN_FLIGHT, submit)
    grown = load.target.process.rss_bytes() - before
    return Peak(per_s=rate.per_s, bytes_per_lifecycle=grown / (load.completed - count), answers=load.answers)


async def flood(
    load: Load,
    peak: Peak,
    arrivals: Sequence[tuple[float, Callable[[int], None]]],
    seconds: float,
    *,
    unsent: Callable[[], int] = lambda: 0,
) -> Flood:
    """Submit at all these rates (pairs of a rate and a function) at the same time, and measure."""
    load.answers, load.offers = Histogram(), Histogram()
    # Refusals while the peak was measured do not count.
    load.submitted -= load.refused.total()
    load.refused.clear()
    load.agents_refused.clear()
    load.acknowledged_ids, load.completed_early = set(), set()
    floods = asyncio.gather(
        *(load.open_loop(poisson(rate, seconds, seed), submit, poll_s=0.001) for seed, (rate, submit) in enumerate(arrivals))
    )
    await asyncio.sleep(WARM_UP_S)
    rss_before, count = load.target.process.rss_bytes(), load.completed
    submitted, unsent_before = load.submitted, unsent()
    rate = await load.timed(_end_of(floods))
    rss_after = load.target.process.rss_bytes()
    offered = load.submitted - submitted + unsent() - unsent_before
    completed = load.completed - count
    refused, backlog = dict(load.refused), load.in_flight
    await load.wait_until_idle()
    return Flood(
        peak=peak,
        offered_per_s=offered / (seconds - WARM_UP_S),
        goodput_per_s=rate.per_s,
        backlog=backlog,
        refused=refused,
        agents_refused=dict(load.agents_refused),
        unsent=unsent(),
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
    """Flood with eight gateways over HTTP."""
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
    """Flood with eight gateways over WebSockets."""
    load = Load(target)
    await load.connect()
    try:
        peak = await find_peak(load, load.submit, options.seconds / 4)
        gateways = SocketGateways(load, list(load.gateways))
        arrivals = [(OVERLOAD * peak.per_s, gateways.submit)]
        found = await flood(load, peak, arrivals, options.seconds, unsent=lambda: gateways.unsent)
        await gateways.wait_until_connected()
        return found
    finally:
        load.close()


async def one_gateway_floods(target: Target, options: argparse.Namespace) -> Flood:
    """Flood with one gateway, while four others submit at a moderate rate."""
    load = Load(target)
    await load.connect()
    try:
        peak = await find_peak(load, load.submit, options.seconds / 4)
        others = SocketGateways(load, load.gateways[:OTHER_GATEWAYS])
        flooding = SocketGateways(load, load.gateways[OTHER_GATEWAYS : OTHER_GATEWAYS + 1])
        arrivals = [(peak.per_s / 2, others.submit), (OVERLOAD * peak.per_s, flooding.submit)]
        found = await flood(load, peak, arrivals, options.seconds, unsent=lambda: flooding.unsent)
        found.others = others
        await flooding.wait_until_connected()
        if others.closed or others.unsent:
            load.errors["another gateway was closed"] += others.closed
            load.errors["another gateway could not send"] += others.unsent
            found.errors = dict(load.errors)
        return found
    finally:
        load.close()


async def run(options: argparse.Namespace) -> dict[str, Flood]:
    """Measure each situation with a new router."""
    ways = {"http": over_http, "sockets": over_sockets, "hammer": one_gateway_floods}
    found: dict[str, Flood] = {}
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory() as directory:
            async with router(Path(directory, "router"), desktops=options.desktops, gateways=GATEWAYS) as target:
                found[name] = await ways[name](target, options)
                if not target.process.is_running:
                    found[name].errors["the router process ended"] = 1
    return found


def figures_of(name: str, found: Flood, desktops: int) -> list[Figure]:
    """Return the figures of one situation."""
    title = f"{SITUATIONS[name]}, {desktops:,} desktops"
    if found.others is None:
        figures = _goodput(name, title, found)
    else:
        figures = _service_of_others(name, title, found.others)
    return [*figures, *_contacts(name, title, found), *_answers_and_memory(name, title, found)]


def _goodput(name: str, title: str, found: Flood) -> list[Figure]:
    limit = None
    if found.generator_busy >= 0.9:
        limit = f"load generator {found.generator_busy:.0%} busy"
    return [
        Figure(
            id=f"{name}.goodput_of_peak",
            title=f"{title}: goodput / peak",
            value=found.goodput_per_s / found.peak.per_s,
            unit="ratio",
            better="higher",
            target=0.8,
            limit=limit,
        ),
        Figure(
            id=f"{name}.goodput_per_s",
            title=f"{title}: lifecycles",
            value=found.goodput_per_s,
            unit="/s",
            better="higher",
            baseline=found.peak.per_s,
            limit=limit,
        ),
    ]


def _service_of_others(name: str, title: str, others: SocketGateways) -> list[Figure]:
    return [
        Figure(
            id=f"{name}.polite_share",
            title=f"{title}: acknowledged of what the four others submit",
            value=others.acknowledged / others.submitted,
            unit="share",
            better="higher",
            target=0.99,
        ),
        Figure(
            id=f"{name}.polite_p99_ms",
            title=f"{title}: contacts of the four others, due → acknowledged, p99",
            value=others.answers.quantile(0.99) / 1e6,
            unit="ms",
            better="lower",
        ),
    ]


def _contacts(name: str, title: str, found: Flood) -> list[Figure]:
    return [
        Figure(id=f"{name}.offered_per_s", title=f"{title}: offered", value=found.offered_per_s, unit="/s"),
        Figure(id=f"{name}.lost", title=f"{title}: acknowledged and lost", value=found.lost, unit="", better="lower", target=0),
        Figure(
            id=f"{name}.agents_refused",
            title=f"{title}: accepts and ends refused",
            value=sum(found.agents_refused.values()),
            unit="",
            better="lower",
            target=0,
        ),
        Figure(
            id=f"{name}.backlog_s",
            title=f"{title}: neither refused nor done at the end of the flood, in seconds of peak",
            value=found.backlog / found.peak.per_s,
            unit="s",
            better="lower",
            target=BACKLOG_S_MAX,
        ),
    ]


def _answers_and_memory(name: str, title: str, found: Flood) -> list[Figure]:
    peak = found.peak
    return [
        Figure(
            id=f"{name}.answer_p99_of_peak",
            title=f"{title}: agents' answers, p99: in the flood / at the peak",
            value=found.answers.quantile(0.99) / max(1, peak.answers.quantile(0.99)),
            unit="ratio",
            better="lower",
            target=ANSWER_P99_RATIO_MAX,
        ),
        Figure(
            id=f"{name}.answer_p99_ms",
            title=f"{title}: agents' answers, p99",
            value=found.answers.quantile(0.99) / 1e6,
            unit="ms",
            better="lower",
            baseline=peak.answers.quantile(0.99) / 1e6,
        ),
        Figure(
            id=f"{name}.growth_bytes",
            title=f"{title}: memory left by a lifecycle",
            value=found.bytes_per_lifecycle,
            unit="B",
            better="lower",
            baseline=peak.bytes_per_lifecycle,
        ),
        Figure(
            id=f"{name}.rss_mib",
            title=f"{title}: memory at the end of the flood",
            value=found.rss_after_mib,
            unit="MiB",
            better="lower",
            baseline=found.rss_before_mib,
        ),
    ]


def show(name: str, found: Flood) -> None:
    """Print what is not among the figures."""
    peak = found.peak
    print(
        f"{name}: offered {found.offered_per_s:,.0f}/s, peak {peak.per_s:,.0f}/s, goodput {found.goodput_per_s:,.0f}/s; "
        f"refused {found.refused or 'none'}; unsent {found.unsent:,}; agents refused {found.agents_refused or 'none'}; "
        f"unknown {found.unknown}; lost {found.lost}\n"
        f"   agents' answers p50/p99/max {_ms(found.answers)} ms (at the peak {_ms(peak.answers)}); "
        f"due → offer {_ms(found.offers)} ms\n"
        f"   memory {found.rss_before_mib:.0f} → {found.rss_after_mib:.0f} MiB; "
        f"server {found.busy:.0%}, generator {found.generator_busy:.0%} busy; errors {found.errors or 'none'}"
    )


def _ms(histogram: Histogram) -> str:
    return "/".join(f"{histogram.quantile(share) / 1e6:.1f}" for share in (0.5, 0.99, 1.0))


def main() -> int:
    """Parse the options, measure, print; return 1 after an error or the loss of a contact."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int)
    arguments.add_argument("--seconds", type=float, help="duration of a flood")
    arguments.add_argument("--only", default=",".join(SITUATIONS), help="situations, separated by commas")
    options = arguments.parse_args()
    options.desktops = options.desktops or (2_000 if options.quick else 10_000)
    options.seconds = options.seconds or (8.0 if options.quick else 20.0)
    prepare(options.desktops + HTTP_CONNECTIONS)
    started_s = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options))
    for name, measured in found.items():
        show(name, measured)
    result = Result(
        name="bench_overload",
        what=(
            f"{OVERLOAD:g} times the peak offered for {options.seconds:g} s, {options.desktops:,} desktops, default limits; "
            "baseline: the peak"
        ),
        figures=[figure for name, measured in found.items() for figure in figures_of(name, measured, options.desktops)],
        details={
            "refused": {name: measured.refused for name, measured in found.items()},
            "unsent": {name: measured.unsent for name, measured in found.items()},
            "errors": {name: measured.errors for name, measured in found.items()},
            "seconds": round(time.monotonic() - started_s),
        },
    )
    finish(result, options)
    broken = {name: measured.errors for name, measured in found.items() if measured.errors or measured.lost}
    if broken:
        print(f"FAILED: {broken}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
