"""Cost of a lifecycle in one process, compared with a leader process and edge processes that hold the sockets.

The null server (no routing, the same frames and durable records as the router) runs in one process, as the router does, and split:
an edge process holds the sockets and handles HTTP, a leader decides, commits and publishes, with bundles of messages over a Unix
socket between them. The same lifecycles run with each arrangement, one after the other, with a new server each time:

  one        one process on CPU 0, the load on CPU 1
  same_core  leader and edge on CPU 0, the load on CPU 1: the cost of the split without further cores
  two_cores  the leader on CPU 0, the edge and the load on CPU 1
  fed        the leader alone on CPU 0; the load sends its clients' messages directly over four links. This is the leader's capacity
             with any number of cores for edges, slightly overestimated, because these clients answer at once and together
  router     the router in one process: from it the estimate for a split router is made

The leader's CPU time per lifecycle limits the total rate; edges' CPU ÷ leader's CPU is the number of edges that saturate it.
The estimate for the router is its CPU time minus what the null server's leader saves, because routing stays in the leader. So does
the additional work of the router for a submit over HTTP; *at best* the edges do all of it, and the leader's CPU time is that of a
submit over a WebSocket. Connecting a desktop consists of upgrade, `hello` and `welcome`.

At 1,000 contacts per second (Poisson) latency lasts from the submit, and the load sleeps for a millisecond between two checks of
the clock, so that an edge on the same CPU can run. These latencies are comparable with each other, not with `bench_latency.py`.

Not measured: back-pressure and authentication between the processes, a failing edge, JSON clients (an edge would have to encode
their frames again), several edges on cores of their own. Each would add cost to the split, none to the single process.

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
POLL_S: Final = 0.001
OTHERS_BUSY_MAX: Final = 0.2

Values = dict[str, list[float]]
"""The measured values of all rounds by figure."""


class Arrangement:
    """The server processes of a measurement and their CPUs."""

    def __init__(
        self,
        server: Callable[..., AbstractAsyncContextManager[Any]],
        new_load: Callable[[Any], MeteredLoad] = MeteredLoad,
        *,
        http: bool = True,
        with_fixed_rate: bool = True,
        **server_options: int,
    ) -> None:
        self.server = server
        self.new_load = new_load
        self.http = http
        self.with_fixed_rate = with_fixed_rate
        self.server_options = server_options


ARRANGEMENTS: Final = {
    "one": Arrangement(null_server),
    "same_core": Arrangement(split_server, edge_cpu=SERVER_CPU),
    "two_cores": Arrangement(split_server, edge_cpu=LOAD_CPU),
    "fed": Arrangement(split_server, lambda to: DirectLoad(to, LINKS), http=False, edges=0),
    "router": Arrangement(router, with_fixed_rate=False),
}


async def connect(load: MeteredLoad, name: str, values: Values) -> None:
    """Connect all clients and measure the CPU time; then make the agents ready."""
    before = load.cpu_s()
    await load.connect(ready=False)
    main_s, _, edges_s = (b - a for a, b in zip(before, load.cpu_s(), strict=True))
    values[f"{name}.arrival.main_us"].append(main_s / len(load.desktops) * 1e6)
    values[f"{name}.arrival.edges_us"].append(edges_s / len(load.desktops) * 1e6)
    await load.all_ready(load.desktops)


async def saturate(load: MeteredLoad, name: str, seconds: float, values: Values, submit: Any = None) -> None:
    """Measure the maximum rate with a fixed number of contacts in flight."""
    rate = await load.closed_loop(seconds, IN_FLIGHT, submit)
    cpu_use = load.cpu_use
    for quantity, value in (
        ("per_s", rate.per_s),
        ("main_us", cpu_use.main_us),
        ("loop_us", cpu_use.loop_us),
        ("edges_us", cpu_use.edges_us),
        ("busy", rate.server_busy),
        ("generator_busy", rate.generator_busy),
        # The CPU time of edges belongs to the server.
        ("others", rate.others_busy - cpu_use.edges_us * rate.per_s / 1e6),
    ):
        values[f"{name}.{quantity}"].append(value)


async def measure_at_rate(load: MeteredLoad, name: str, seconds: float, values: Values) -> None:
    """Measure CPU time and latency at a fixed rate."""

    def submit(_: int) -> None:
        load.submit(time.perf_counter_ns())

    load.offers, load.answers = Histogram(), Histogram()
    await load.timed(load.open_loop(poisson(RATE, seconds), submit, poll_s=POLL_S))
    await load.wait_until_idle()
    for quantity, value in (
        ("main_us", load.cpu_use.main_us),
        ("edges_us", load.cpu_use.edges_us),
        ("p50_ms", load.offers.quantile(0.5) / 1e6),
        ("p99_ms", load.offers.quantile(0.99) / 1e6),
    ):
        values[f"{name}.at_rate.{quantity}"].append(value)


async def one_round(name: str, options: argparse.Namespace, values: Values) -> Counter[str]:
    """Measure one arrangement with a new server; return the errors."""
    arrangement = ARRANGEMENTS[name]
    with tempfile.TemporaryDirectory() as directory:
        async with arrangement.server(
            Path(directory, name), desktops=options.desktops, gateways=GATEWAYS, **arrangement.server_options
        ) as target:
            load = arrangement.new_load(target)
            await connect(load, name, values)
            await saturate(load, name, options.seconds, values)
            if arrangement.http:
                pool = HttpGateways(load)
                await pool.connect(HTTP_CONNECTIONS)
                await saturate(load, f"{name}.http", options.seconds, values, pool.submit)
                pool.close()
            if arrangement.with_fixed_rate:
                await measure_at_rate(load, name, 2 * options.seconds, values)
            load.close()
    return load.error_counts


async def run(options: argparse.Namespace) -> tuple[Values, Counter[str]]:
    """Measure all arrangements in turns, in several rounds."""
    values: Values = defaultdict(list)
    errors: Counter[str] = Counter()
    for _ in range(options.rounds):
        for name in ARRANGEMENTS:
            errors += await one_round(name, options, values)
    return values, errors


def estimates(medians: dict[str, float]) -> dict[str, float]:
    """Return estimates for a router that is split in the same way.

    ``leader_us``: the leader's CPU time per lifecycle. ``times``: the rate divided by the single process's, with enough cores.
    ``edges``: the number of edges that saturate one leader. The router's additional work, compared with the null server, stays in
    the leader, except in the estimate *at best*.
    """
    found = {}
    for way in ("", ".http"):
        router_us = medians[f"router{way}.main_us"]
        leader_us = router_us - (medians[f"one{way}.main_us"] - medians[f"two_cores{way}.main_us"])
        found[f"leader_us{way}"] = leader_us
        found[f"times{way}"] = router_us / leader_us
        found[f"edges{way}"] = medians[f"two_cores{way}.edges_us"] / leader_us
    found["times.http_at_best"] = medians["router.http.main_us"] / found["leader_us"]
    return found


_ARRANGEMENT_TITLES: Final = {
    "one": "one process",
    "same_core": "leader + edge on one core",
    "two_cores": "leader | edge + load",
    "fed": "leader | load as its edges",
    "router": "router in one process",
}
_WAY_TITLES: Final = {"": "by socket", ".http": "submits by HTTP", ".arrival": "connecting a desktop", ".at_rate": f"{RATE:,}/s"}
_QUANTITIES: Final = {
    "per_s": ("lifecycles", "/s"),
    "main_us": ("CPU without edges", "µs"),
    "edges_us": ("edge's CPU", "µs"),
    "p50_ms": ("submit → offer, p50", "ms"),
    "p99_ms": ("submit → offer, p99", "ms"),
}
_ESTIMATES: Final = {
    "leader_us": ("leader's CPU", "µs"),
    "times": ("times the one process's rate", "×"),
    "edges": ("edges per leader", ""),
}


def figures_of(values: Values, size: str) -> list[Figure]:
    """Return rates, CPU times, latencies and the estimates for the router."""
    medians = {key: median(repeats) for key, repeats in values.items()}
    others = max(value for key, value in medians.items() if key.endswith(".others"))
    limit = None
    if others > OTHERS_BUSY_MAX:
        limit = f"machine not idle: others used {others:.0%} of a CPU"
    figures = []
    for way, way_title in _WAY_TITLES.items():
        for name, arrangement in _ARRANGEMENT_TITLES.items():
            for quantity, (title, unit) in _QUANTITIES.items():
                key = f"{name}{way}.{quantity}"
                if medians.get(key):
                    figure = Figure.of_repeats(
                        values[key],
                        id=key,
                        title=f"{way_title}: {arrangement}: {title}, {size}",
                        unit=unit,
                        better="higher" if unit == "/s" else "lower",
                        baseline=None if name == "one" else medians.get(f"one{way}.{quantity}") or None,
                        limit=limit,
                    )
                    figures.append(figure)
    for key, value in estimates(medians).items():
        quantity, _, way = key.partition(".")
        title, unit = _ESTIMATES[quantity]
        title = f"estimate for a split router, {way.replace('_', ' ') or 'sockets'}: {title}, {size}"
        figures.append(Figure(id=f"estimate.{key}", title=title, value=value, unit=unit))
    return figures


def main() -> int:
    """Parse the options, measure, print; return 1 if anything failed or was refused or lost."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int)
    arguments.add_argument("--seconds", type=float, help="duration of a round at full load; twice as long at the fixed rate")
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
            f"contacts in flight or {RATE:,} a second, durable; baseline: the single process"
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
