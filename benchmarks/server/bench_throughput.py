"""How fast is the door: lifecycles a second over real sockets, 10,000 desktops connected, against a server that does not route.

A lifecycle is submit, offer, accept, end: three commands with durable answers, five events, eleven frames out. Contacts
come from eight gateways, by WebSocket in the first situation and by `POST /v1/contacts` over kept-alive connections in the second;
a fixed number is in flight, and each is offered to the desktop that has been idle longest, so all desktops get their turn.
The servers run on CPU 0, all their desktops connected: the null server, the router, the null server again, so that a machine that
changes its pace does it to both; each round is a measurement of its own, and the figure is the median of them. The generator
has CPU 1. First, a few lifecycles through both show that they send the same frames and write the same records
(`same_frames.py`); if not, nothing is measured.

Not measured: a network, TLS, clients on other machines, policies that cost more than one queue does (that is `core/`). The
generator speaks from one process; its own share of the CPU says how many times faster it could go.

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
GENERATOR_TIMES: Final = 2.0
"""So many times the server's rate the generator has to be able to do."""
OTHERS_BUSY_MAX: Final = 0.2


class RepeatedRates(Struct, kw_only=True):
    """One situation."""

    router: list[Rate] = []
    null: list[Rate] = []


class Measurements(Struct, kw_only=True):
    """Everything."""

    socket: RepeatedRates
    http: RepeatedRates
    errors: Counter[str]


async def measure(
    target: Target, options: argparse.Namespace, found: Measurements, rounds: int
) -> None:
    """Connect all desktops; so many rounds by socket and by HTTP in turns."""
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


async def run(options: argparse.Namespace) -> Measurements:
    """The null server before and after the router."""
    if different := await differences():
        raise SystemExit("the null server does not do the same:\n" + "\n".join(different))
    found = Measurements(socket=RepeatedRates(), http=RepeatedRates(), errors=Counter())
    half = max(1, options.rounds // 2)
    for number, (server, rounds) in enumerate(
        ((null_server, half), (router, options.rounds), (null_server, half))
    ):
        with tempfile.TemporaryDirectory() as directory:
            async with server(
                Path(directory, str(number)), desktops=options.desktops, gateways=GATEWAYS
            ) as target:
                await measure(target, options, found, rounds)
    return found


def figures_of(name: str, title: str, rounds: RepeatedRates, target: float | None) -> list[Figure]:
    """What one situation came to."""
    limit = None
    others = median(rate.others_busy for rate in rounds.router)
    if others > OTHERS_BUSY_MAX:
        limit = f"machine not idle: others used {others:.0%} of a CPU"
    if (times := min(rate.generator_times for rate in rounds.router)) < GENERATOR_TIMES:
        limit = f"the load generator could do only {times:.1f} times this rate"
    ours, null = ([rate.per_s for rate in rates] for rates in (rounds.router, rounds.null))
    return [
        Figure(
            id=f"{name}.of_null",
            title=f"{title}: router / null server",
            value=median(ours) / median(null),
            spread=(min(ours) / max(null), max(ours) / min(null)),
            unit="ratio",
            better="higher",
            target=0.7,
            limit=limit,
        ),
        Figure.of_repeats(
            ours,
            id=f"{name}.lifecycles_per_s",
            title=f"{title}: lifecycles",
            unit="/s",
            better="higher",
            target=target,
            floor=median(null),
            limit=limit,
        ),
        Figure.of_repeats(
            [rate.server_us for rate in rounds.router],
            id=f"{name}.server_us",
            title=f"{title}: server's CPU for a lifecycle",
            unit="µs",
            better="lower",
            floor=median(rate.server_us for rate in rounds.null),
        ),
        Figure.of_repeats(
            [rate.generator_times for rate in rounds.router],
            id=f"{name}.generator_times",
            title=f"{title}: generator could do so many times the router's rate",
            unit="×",
        ),
        Figure.of_repeats(
            [rate.generator_times for rate in rounds.null],
            id=f"{name}.generator_times_null",
            title=f"{title}: and so many times the null server's",
            unit="×",
        ),
    ]


def main() -> int:
    """Parse, pin, run, print; 1 where anything was refused, lost or broken."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int, default=10_000)
    arguments.add_argument("--seconds", type=float, help="of a round")
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
            "yardstick: the null server, before and after"
        ),
        figures=[
            *figures_of(
                "socket", f"submit by socket, {options.desktops:,} desktops", found.socket, 5_000
            ),
            *figures_of("http", f"submit by HTTP, {options.desktops:,} desktops", found.http, None),
            Figure(
                id="errors",
                title="errors and refusals",
                value=sum(errors.values()),
                unit="",
                better="lower",
                target=0,
            ),
        ],
        details={"desktops": options.desktops, "errors": errors},
    )
    finish(result, options)
    if errors:
        print(f"FAILED: {errors}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
