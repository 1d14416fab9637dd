"""Lifecycles per second over real sockets with 10,000 connected desktops, compared with a server that does not route.

A lifecycle is submit, offer, accept, end: three commands with durable answers, five events, eleven frames sent. Contacts are
submitted by eight gateways, over WebSockets or by `POST /v1/contacts` over keep-alive connections. A fixed number of contacts is in
flight, and each is offered to the longest idle desktop, so all desktops take part.
The servers run on CPU 0, one after the other: the null server, the router, the null server again, so that a change of the machine's
speed affects both. Each round is a separate measurement, and the figure is the median of the rounds. The load generator has CPU 1.
Before the measurement, `same_frames.py` checks with a few lifecycles that both send the same frames, write the same records and
store as many references durably; otherwise the script ends. Only the router seals the references.

Not measured: a network, TLS, clients on other machines, policies more expensive than one queue (see `benchmarks/engine/`). The
generator is one process; its share of its CPU shows its headroom.

    python benchmarks/server/bench_throughput.py [--quick] [--desktops 10000] [--seconds 4] [--rounds 6] [--in-flight 512]
        [--json FILE]
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Final

import uvloop
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser
from benchmarks.server.http_load import HttpGateways
from benchmarks.server.load import Load, Rate
from benchmarks.server.same_frames import differences
from benchmarks.server.servers import Target, null_server, prepare, router

QUICK_BUDGET_S = 65
GATEWAYS: Final = 8
HTTP_CONNECTIONS: Final = 128
GENERATOR_HEADROOM_MIN: Final = 2.0
"""Maximum rate of the generator as a multiple of the measured rate."""
OTHERS_BUSY_MAX: Final = 0.2


class RepeatedRates(Struct, kw_only=True):
    """The rates of all rounds with one way to submit."""

    router: list[Rate] = []
    null: list[Rate] = []


class ThroughputMeasurements(Struct, kw_only=True):
    """The rates by WebSocket and HTTP, and all errors."""

    socket: RepeatedRates
    http: RepeatedRates
    errors: Counter[str]


async def measure(target: Target, options: argparse.Namespace, found: ThroughputMeasurements, rounds: int) -> None:
    """Connect all desktops; measure rounds by WebSocket and by HTTP in turns."""
    load = Load(target)
    await load.connect()
    pool = HttpGateways(load)
    await pool.connect(HTTP_CONNECTIONS)
    for _ in range(rounds):
        for situation, submit in ((found.socket, load.submit), (found.http, pool.submit)):
            rate = await load.closed_loop(options.seconds, options.in_flight, submit)
            (situation.router if target.name == "router" else situation.null).append(rate)
    pool.close()
    load.close()
    found.errors += load.error_counts


async def run(options: argparse.Namespace) -> ThroughputMeasurements:
    """Measure the null server, the router, and the null server again. Raises SystemExit if their frames differ."""
    if found_differences := await differences():
        text = "\n".join(found_differences)
        raise SystemExit(f"the null server does not send the same frames:\n{text}")
    found = ThroughputMeasurements(socket=RepeatedRates(), http=RepeatedRates(), errors=Counter())
    half = max(1, options.rounds // 2)
    for number, (server, rounds) in enumerate(((null_server, half), (router, options.rounds), (null_server, half))):
        with tempfile.TemporaryDirectory() as directory:
            async with server(Path(directory, str(number)), desktops=options.desktops, gateways=GATEWAYS) as target:
                await measure(target, options, found, rounds)
    return found


def figures_of(name: str, title: str, rounds: RepeatedRates, target: float | None) -> list[Figure]:
    """Return the figures of one way to submit."""
    limit = None
    others = median(rate.others_busy for rate in rounds.router)
    if others > OTHERS_BUSY_MAX:
        limit = f"machine not idle: others used {others:.0%} of a CPU"
    headroom = min(rate.generator_headroom for rate in rounds.router)
    if headroom < GENERATOR_HEADROOM_MIN:
        limit = f"the load generator can produce only {headroom:.1f} times this rate"
    router_rates, null_rates = ([rate.per_s for rate in rates] for rates in (rounds.router, rounds.null))
    return [
        Figure(
            id=f"{name}.of_null",
            title=f"{title}: router / null server",
            value=median(router_rates) / median(null_rates),
            spread=(min(router_rates) / max(null_rates), max(router_rates) / min(null_rates)),
            unit="ratio",
            better="higher",
            target=0.7,
            limit=limit,
        ),
        Figure.of_repeats(
            router_rates,
            id=f"{name}.lifecycles_per_s",
            title=f"{title}: lifecycles",
            unit="/s",
            better="higher",
            target=target,
            baseline=median(null_rates),
            limit=limit,
        ),
        Figure.of_repeats(
            [rate.server_us for rate in rounds.router],
            id=f"{name}.server_us",
            title=f"{title}: server's CPU for a lifecycle",
            unit="µs",
            better="lower",
            baseline=median(rate.server_us for rate in rounds.null),
        ),
        Figure.of_repeats(
            [rate.generator_headroom for rate in rounds.router],
            id=f"{name}.generator_times",
            title=f"{title}: generator's maximum rate / router's rate",
            unit="×",
        ),
        Figure.of_repeats(
            [rate.generator_headroom for rate in rounds.null],
            id=f"{name}.generator_times_null",
            title=f"{title}: generator's maximum rate / null server's rate",
            unit="×",
        ),
    ]


def main() -> int:
    """Parse the options, measure, print; return 1 if anything failed or was refused or lost."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int, default=10_000)
    arguments.add_argument("--seconds", type=float, help="duration of a round")
    arguments.add_argument("--rounds", type=int)
    arguments.add_argument("--in-flight", type=int, default=512)
    options = arguments.parse_args()
    options.seconds = options.seconds or (2.0 if options.quick else 4.0)
    options.rounds = options.rounds or (2 if options.quick else 6)
    prepare(options.desktops)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(options))
    errors = dict(found.errors)
    result = Result(
        name="bench_throughput",
        what=(
            f"Whole lifecycles with {options.desktops:,} connected desktops, {options.in_flight} contacts in flight, durable; "
            "baseline: the null server, before and after"
        ),
        figures=[
            *figures_of("socket", f"submit by socket, {options.desktops:,} desktops", found.socket, 5_000),
            *figures_of("http", f"submit by HTTP, {options.desktops:,} desktops", found.http, None),
            Figure(id="errors", title="errors and refusals", value=sum(errors.values()), unit="", better="lower", target=0),
        ],
        details={"desktops": options.desktops, "errors": errors},
    )
    finish(result, options)
    if errors:
        print(f"FAILED: {errors}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
