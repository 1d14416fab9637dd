"""How long from submit to offer, at a rate that the router has to carry: 1,000 contacts a second with 10,000 connected desktops.

Contacts are due as a Poisson process (random gaps, the same in every run) and are submitted when they are due, whether or not
the server keeps up; each latency counts from the time at which the contact was *due* to the time at which the desktop has its
offer. So a server that stalls is charged for everybody who had to wait (no coordinated omission). Every contact also is
accepted and ended, so the server carries whole lifecycles. Journal with `synchronous=FULL`.

What is in the figure beside the router: the generator's delay in sending (measured, shown as *lateness*), two ways through the
kernel, and the generator's delay in reading. The null server, under the same load in the same run, has all of that too: it is
the floor. What is not in it: a network, TLS, and clients on other machines.

    python benchmarks/server/bench_latency.py [--quick] [--desktops 10000] [--rate 1000] [--seconds 60] [--picture SVG]
        [--json FILE]
"""

import argparse
import asyncio
import gc
import sys
import tempfile
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser, save_picture
from benchmarks.server.chart import Curve, Mark, draw
from benchmarks.server.histogram import Histogram
from benchmarks.server.load import Load, Rate, poisson
from benchmarks.server.servers import Target, null_server, prepare, router

QUICK_BUDGET_S = 45
GATEWAYS: Final = 4
WARM_UP_S: Final = 3.0
SHARES: Final = (0.5, 0.9, 0.99, 0.999, 0.9999)
TARGETS: Final = (Mark(0.99, 5.0, "target 5 ms"), Mark(0.999, 20.0, "target 20 ms"))
LATENESS_MS_MAX: Final = 1.0
"""With a p99 above it the generator has not kept the times of the arrivals."""
OTHERS_BUSY_MAX: Final = 0.1
"""Tails are the first to suffer from whoever else uses the machine."""


class Measured(Struct, kw_only=True):
    """One server."""

    offers: Histogram
    lateness: Histogram
    answers: Histogram
    rate: Rate
    errors: dict[str, int]


async def measure(target: Target, rate: float, seconds: float) -> Measured:
    """Connect, warm up, then submit at the rate."""
    load = Load(target)
    await load.connect()
    try:
        await load.open_loop(poisson(rate, WARM_UP_S, seed=2), load.submit)
        # A collection among 10,000 sockets would be a pause of the generator's own: before anything is counted, and then none.
        gc.collect()
        gc.disable()
        await load.settle()
        load.offers, load.lateness, load.answers = Histogram(), Histogram(), Histogram()
        used = await load.timed(load.open_loop(poisson(rate, seconds), load.submit))
        await load.settle()
        gc.enable()
    finally:
        load.close()
    return Measured(
        offers=load.offers,
        lateness=load.lateness,
        answers=load.answers,
        rate=used,
        errors=dict(load.error_counts),
    )


async def run(options: argparse.Namespace) -> tuple[Measured, Measured]:
    """The floor for a third of the time, then the router."""
    with tempfile.TemporaryDirectory() as directory:
        async with null_server(
            Path(directory, "null"), desktops=options.desktops, gateways=GATEWAYS
        ) as target:
            floor = await measure(target, options.rate, max(5.0, options.seconds / 3))
        async with router(
            Path(directory, "router"), desktops=options.desktops, gateways=GATEWAYS
        ) as target:
            return await measure(target, options.rate, options.seconds), floor


def show(ours: Measured, floor: Measured, options: argparse.Namespace) -> None:
    """For people."""
    print(
        f"{options.desktops:,} desktops, {options.rate:,} contacts/s for {options.seconds:g} s, Poisson\n"
    )
    print(f"{'ms':34}" + "".join(f"{f'p{100 * share:g}':>9}" for share in SHARES) + f"{'max':>9}")
    rows = (
        ("router: due → offer", ours.offers),
        ("null server: due → offer", floor.offers),
        ("generator's lateness, router", ours.lateness),
        ("generator's lateness, null server", floor.lateness),
        ("router: accept, end → answer", ours.answers),
        ("null server: accept, end → answer", floor.answers),
    )
    for name, histogram in rows:
        values = [histogram.quantile(share) / 1e6 for share in SHARES] + [histogram.max / 1e6]
        print(f"{name:34}" + "".join(f"{value:9.2f}" for value in values))
    for name, one in (("router", ours), ("null server", floor)):
        print(
            f"{name}: {one.rate.per_s:,.0f} lifecycles/s, {one.rate.server_us:.0f} µs of CPU each, "
            f"busy {one.rate.server_busy:.0%}, others on the machine {one.rate.others_busy:.0%}; errors {one.errors or 'none'}"
        )


def figures_of(ours: Measured, floor: Measured, options: argparse.Namespace) -> list[Figure]:
    """Percentiles beside the floor's."""
    lateness_ms = ours.lateness.quantile(0.99) / 1e6
    limit = None
    if lateness_ms > LATENESS_MS_MAX or ours.rate.others_busy > OTHERS_BUSY_MAX:
        limit = (
            f"machine not idle: others used {ours.rate.others_busy:.0%} of a CPU, "
            f"the generator was {lateness_ms:.1f} ms late at p99"
        )
    targets = {mark.share: mark.ms for mark in TARGETS}
    figures = [
        Figure(
            id=f"p{100 * share:g}_ms",
            title=f"due → offer, p{100 * share:g}",
            value=ours.offers.quantile(share) / 1e6,
            unit="ms",
            better="lower",
            target=targets.get(share),
            floor=floor.offers.quantile(share) / 1e6,
            limit=limit,
        )
        for share in SHARES
    ]
    return [
        *figures,
        Figure(
            id="max_ms",
            title="due → offer, longest",
            value=ours.offers.max / 1e6,
            unit="ms",
            better="lower",
            floor=floor.offers.max / 1e6,
        ),
        Figure(
            id="lateness_p99_ms",
            title="of it the generator's own lateness, p99",
            value=lateness_ms,
            unit="ms",
        ),
        Figure(
            id="server_us",
            title=f"server's CPU for a lifecycle at {options.rate:,.0f}/s",
            value=ours.rate.server_us,
            unit="µs",
            better="lower",
            floor=floor.rate.server_us,
        ),
    ]


def picture(path: Path, ours: Measured, floor: Measured, options: argparse.Namespace) -> None:
    """Percentiles and latencies of both, and the generator's own lateness."""
    draw(
        path,
        f"Submit → offer at {options.rate:,.0f} contacts/s, {options.desktops:,} desktops, durable",
        (
            Curve("router", ours.offers),
            Curve("null server (floor)", floor.offers),
            Curve("generator's own lateness", ours.lateness),
        ),
        TARGETS,
    )


def main() -> int:
    """Parse, pin, run, print; 1 where anything was refused, lost or broken."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int, default=10_000)
    arguments.add_argument("--rate", type=float, default=1_000)
    arguments.add_argument("--seconds", type=float)
    arguments.add_argument("--picture", type=Path, help="draw percentiles and latencies there, too")
    options = arguments.parse_args()
    options.seconds = options.seconds or (10.0 if options.quick else 60.0)
    prepare(options.desktops)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ours, floor = runner.run(run(options))
    show(ours, floor, options)
    errors = {"router": ours.errors, "null server": floor.errors}
    with tempfile.TemporaryDirectory() as directory:
        drawn = options.picture or Path(directory, "latency.svg")
        picture(drawn, ours, floor, options)
        pictures = save_picture(options, "latency.svg", drawn.read_bytes())
    result = Result(
        name="bench_latency",
        what=(
            f"From when a contact was due to its offer on the desktop: {options.rate:,.0f} contacts/s (Poisson, open loop) for "
            f"{options.seconds:g} s, {options.desktops:,} connected desktops, durable; yardstick: the null server"
        ),
        figures=figures_of(ours, floor, options),
        details={"errors": errors, "offers": ours.offers.count},
        pictures=pictures,
    )
    finish(result, options)
    failed = {name: some for name, some in errors.items() if some}
    if failed:
        print(f"FAILED: {failed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
