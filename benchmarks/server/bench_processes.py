"""One process, or edges beside a leader? What a lifecycle costs when other processes hold the sockets.

The null server (no routing, the same frames and the same durable records) in one process, as the router is; and split into an edge
process that holds sockets and speaks HTTP, and a leader that decides, journals and tells, with bundles of messages over a Unix
socket between them. The same lifecycles, one after the other, a fresh server each time:

  one        one process on CPU 0, the load on CPU 1
  same core  leader and edge on CPU 0, the load on CPU 1: what the split costs where there are no more cores
  two cores  the leader on CPU 0, the edge on CPU 1, which the load has to share with it
  fed        the leader alone on CPU 0, its clients' messages straight from the load over four links: as fast as it could be
             with as many cores for edges as it likes, and a little faster, for these clients answer at once and together
  router     the router as it is, in one process: what the estimate for a split router is made from

The leader's CPU for a lifecycle bounds the rate of the whole; edges' CPU ÷ leader's CPU says how many edges keep one leader
busy. The estimate for the router is its own CPU minus what the null server's leader saves: routing stays with the leader. So does
whatever the router does for a submit over HTTP that the null server does not; *at best* all of that is the edges', and the leader's
CPU is that of a submit by socket. An arrival is a desktop's upgrade, `hello` and `welcome`.

At 1,000 contacts a second (Poisson) latency counts from the submit, and the load rests a millisecond between two looks at its
clock, so that an edge on the same CPU gets its turn: not comparable with `bench_latency.py`, only between the arrangements.

Not measured: back pressure and credentials between the processes, an edge that dies, JSON clients (whose frames an edge would have
to encode anew), more than one edge on a core of its own. Each would cost the split, none the one process.

    python benchmarks/server/bench_processes.py [--quick] [--desktops 10000] [--seconds 4] [--rounds 3] [--json FILE]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser
from benchmarks.server.histogram import Histogram
from benchmarks.server.http_load import HttpGateways
from benchmarks.server.load import poisson
from benchmarks.server.servers import LOAD_CPU, SERVER_CPU, null_server, prepare, router
from benchmarks.server.split import DirectLoad, MeteredLoad, split_server

QUICK_BUDGET_S = 30
GATEWAYS: Final = 8
HTTP_CONNECTIONS: Final = 128
IN_FLIGHT: Final = 512
LINKS: Final = 4
RATE: Final = 1_000
REST_S: Final = 0.001
OTHERS_BUSY_MAX: Final = 0.2

Values = dict[str, list[float]]
"""What was measured, by figure: a value of each round."""


class Arrangement:
    """Which processes there are, and where."""

    def __init__(
        self,
        server: Callable[..., AbstractAsyncContextManager[Any]],
        new_load: Callable[[Any], MeteredLoad] = MeteredLoad,
        *,
        http: bool = True,
        paced: bool = True,
        **where: int,
    ) -> None:
        self.server = server
        self.new_load = new_load
        self.http = http
        self.paced = paced
        self.where = where


ARRANGEMENTS: Final = {
    "one": Arrangement(null_server),
    "same_core": Arrangement(split_server, edge_cpu=SERVER_CPU),
    "two_cores": Arrangement(split_server, edge_cpu=LOAD_CPU),
    "fed": Arrangement(split_server, lambda to: DirectLoad(to, LINKS), http=False, edges=0),
    "router": Arrangement(router, paced=False),
}


async def arrive(load: MeteredLoad, name: str, values: Values) -> None:
    """Everybody comes, then everybody goes ready."""
    before = load.cpu_s()
    await load.connect(ready=False)
    main_s, _, edges_s = (b - a for a, b in zip(before, load.cpu_s(), strict=True))
    values[f"{name}.arrival.main_us"].append(main_s / len(load.desktops) * 1e6)
    values[f"{name}.arrival.edges_us"].append(edges_s / len(load.desktops) * 1e6)
    await load.all_ready(load.desktops)


async def saturate(
    load: MeteredLoad, name: str, seconds: float, values: Values, submit: Any = None
) -> None:
    """As many lifecycles as it can."""
    rate = await load.closed_loop(seconds, IN_FLIGHT, submit)
    spent = load.spent
    for what, value in (
        ("per_s", rate.per_s),
        ("main_us", spent.main_us),
        ("loop_us", spent.loop_us),
        ("edges_us", spent.edges_us),
        ("busy", rate.server_busy),
        ("generator_busy", rate.generator_busy),
        # Edges are the server's, too.
        ("others", rate.others_busy - spent.edges_us * rate.per_s / 1e6),
    ):
        values[f"{name}.{what}"].append(value)


async def pace(load: MeteredLoad, name: str, seconds: float, values: Values) -> None:
    """A thousand a second."""

    def submit(_: int) -> None:
        load.submit(time.perf_counter_ns())

    load.offers, load.answers = Histogram(), Histogram()
    await load.timed(load.open_loop(poisson(RATE, seconds), submit, rest_s=REST_S))
    await load.settle()
    for what, value in (
        ("main_us", load.spent.main_us),
        ("edges_us", load.spent.edges_us),
        ("p50_ms", load.offers.quantile(0.5) / 1e6),
        ("p99_ms", load.offers.quantile(0.99) / 1e6),
    ):
        values[f"{name}.at_rate.{what}"].append(value)


async def one_round(name: str, options: argparse.Namespace, values: Values) -> Counter[str]:
    """Start, connect, measure; what went wrong."""
    arrangement = ARRANGEMENTS[name]
    with tempfile.TemporaryDirectory() as directory:
        async with arrangement.server(
            Path(directory, name),
            desktops=options.desktops,
            gateways=GATEWAYS,
            **arrangement.where,
        ) as target:
            load = arrangement.new_load(target)
            await arrive(load, name, values)
            await saturate(load, name, options.seconds, values)
            if arrangement.http:
                pool = HttpGateways(load)
                await pool.connect(HTTP_CONNECTIONS)
                await saturate(load, f"{name}.http", options.seconds, values, pool.submit)
                pool.close()
            if arrangement.paced:
                await pace(load, name, 2 * options.seconds, values)
            load.close()
    return load.error_counts


async def run(options: argparse.Namespace) -> tuple[Values, Counter[str]]:
    """All arrangements in turns, so often."""
    values: Values = defaultdict(list)
    errors: Counter[str] = Counter()
    for _ in range(options.rounds):
        for name in ARRANGEMENTS:
            errors += await one_round(name, options, values)
    return values, errors


def estimates(middle: dict[str, float]) -> dict[str, float]:
    """What the medians say of a router that is split likewise.

    ``leader_us``: CPU for a lifecycle. ``times``: how many times the rate of the one process, with cores enough. ``edges``: how
    many of those keep one leader busy. All that the router does more than the null server stays with the leader, but at best.
    """
    found = {}
    for way in ("", ".http"):
        ours = middle[f"router{way}.main_us"]
        leader_us = ours - (middle[f"one{way}.main_us"] - middle[f"two_cores{way}.main_us"])
        found[f"leader_us{way}"] = leader_us
        found[f"times{way}"] = ours / leader_us
        found[f"edges{way}"] = middle[f"two_cores{way}.edges_us"] / leader_us
    found["times.http_at_best"] = middle["router.http.main_us"] / found["leader_us"]
    return found


_WHERE: Final = {
    "one": "one process",
    "same_core": "leader + edge on one core",
    "two_cores": "leader | edge + load",
    "fed": "leader | load as its edges",
    "router": "router in one process",
}
_WAYS: Final = {
    "": "by socket",
    ".http": "submits by HTTP",
    ".arrival": "an arrival",
    ".at_rate": f"{RATE:,}/s",
}
_WHAT: Final = {
    "per_s": ("lifecycles", "/s"),
    "main_us": ("CPU, edges apart", "µs"),
    "edges_us": ("edge's CPU", "µs"),
    "p50_ms": ("submit → offer, p50", "ms"),
    "p99_ms": ("submit → offer, p99", "ms"),
}
_ESTIMATED: Final = {
    "leader_us": ("leader's CPU", "µs"),
    "times": ("times the one process's rate", "×"),
    "edges": ("edges to a leader", ""),
}


def figures_of(values: Values, size: str) -> list[Figure]:
    """Rates, CPU, latencies, and what follows for the router."""
    middle = {key: median(some) for key, some in values.items()}
    others = max(some for key, some in middle.items() if key.endswith(".others"))
    limit = None
    if others > OTHERS_BUSY_MAX:
        limit = f"machine not idle: others used {others:.0%} of a CPU"
    figures = []
    for way, in_words in _WAYS.items():
        for name, where in _WHERE.items():
            for what, (title, unit) in _WHAT.items():
                key = f"{name}{way}.{what}"
                if middle.get(key):
                    figure = Figure.of_repeats(
                        values[key],
                        id=key,
                        title=f"{in_words}: {where}: {title}, {size}",
                        unit=unit,
                        better="higher" if unit == "/s" else "lower",
                        floor=None if name == "one" else middle.get(f"one{way}.{what}") or None,
                        limit=limit,
                    )
                    figures.append(figure)
    for key, value in estimates(middle).items():
        what, _, way = key.partition(".")
        title, unit = _ESTIMATED[what]
        title = (
            f"estimate for a split router, {way.replace('_', ' ') or 'sockets'}: {title}, {size}"
        )
        figures.append(Figure(id=f"estimate.{key}", title=title, value=value, unit=unit))
    return figures


def main() -> int:
    """Parse, pin, run, print; 1 where anything was refused, lost or broken."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int)
    arguments.add_argument(
        "--seconds", type=float, help="of a round at full load; twice at the rate"
    )
    arguments.add_argument("--rounds", type=int)
    options = arguments.parse_args()
    options.desktops = options.desktops or (1_000 if options.quick else 10_000)
    options.seconds = options.seconds or (1.0 if options.quick else 4.0)
    options.rounds = options.rounds or (1 if options.quick else 3)
    prepare(options.desktops)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        values, errors = runner.run(run(options))
    size = f"{options.desktops:,} desktops"
    result = Result(
        name="bench_processes",
        what=(
            f"The null server in one process, and as a leader with an edge process that holds the sockets: {size}, {IN_FLIGHT} "
            f"contacts in flight or {RATE:,} a second, durable; yardstick: the one process"
        ),
        figures=figures_of(values, size),
        details={"desktops": options.desktops, "errors": dict(errors), "values": dict(values)},
    )
    finish(result, options)
    if errors:
        print(f"FAILED: {dict(errors)}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
