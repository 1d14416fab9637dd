"""Time from submit to offer at a fixed rate: 1,000 contacts per second with 10,000 connected desktops.

The due times of the contacts are a Poisson process, the same in every run. Contacts are submitted when they are due, whether or not
the server keeps up, and the latency lasts from the time at which the contact was *due* until the desktop receives the offer. So a
stall of the server counts for all contacts that were due during it (no coordinated omission). Every contact is accepted and ended,
so the server processes whole lifecycles. The journal uses `synchronous=FULL`.

The latency also contains the generator's delay in sending (shown as *lateness*), two passes through the kernel, and the generator's
delay in reading. The null server, under the same load in the same run, has the same delays; it is the baseline. A network, TLS and
clients on other machines are not measured.

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
"""If the p99 is greater, the generator did not keep the due times."""
OTHERS_BUSY_MAX: Final = 0.1
"""High percentiles are the most sensitive to other processes on the machine."""


class Measured(Struct, kw_only=True):
    """The measurements of one server."""

    offers: Histogram
    lateness: Histogram
    answers: Histogram
    rate: Rate
    errors: dict[str, int]


async def measure(target: Target, rate: float, seconds: float) -> Measured:
    """Connect, warm up, then submit at this rate."""
    load = Load(target)
    await load.connect()
    try:
        await load.open_loop(poisson(rate, WARM_UP_S, seed=2), load.submit)
        # Garbage collection would pause the generator: it runs once before the measurement and is then disabled.
        gc.collect()
        gc.disable()
        await load.wait_until_idle()
        load.offers, load.lateness, load.answers = Histogram(), Histogram(), Histogram()
        used = await load.timed(load.open_loop(poisson(rate, seconds), load.submit))
        await load.wait_until_idle()
        gc.enable()
    finally:
        load.close()
    return Measured(offers=load.offers, lateness=load.lateness, answers=load.answers, rate=used, errors=dict(load.error_counts))


async def run(options: argparse.Namespace) -> tuple[Measured, Measured]:
    """Measure the null server for a third of the time, then the router."""
    with tempfile.TemporaryDirectory() as directory:
        async with null_server(Path(directory, "null"), desktops=options.desktops, gateways=GATEWAYS) as target:
            null_run = await measure(target, options.rate, max(5.0, options.seconds / 3))
        async with router(Path(directory, "router"), desktops=options.desktops, gateways=GATEWAYS) as target:
            return await measure(target, options.rate, options.seconds), null_run


def show(router_run: Measured, null_run: Measured, options: argparse.Namespace) -> None:
    """Print percentiles, rates and CPU use."""
    print(f"{options.desktops:,} desktops, {options.rate:,} contacts/s for {options.seconds:g} s, Poisson\n")
    print(f"{'ms':40}" + "".join(f"{f'p{100 * share:g}':>9}" for share in SHARES) + f"{'max':>9}")
    rows = (
        ("router: due → offer", router_run.offers),
        ("null server: due → offer", null_run.offers),
        ("lateness of the generator, router", router_run.lateness),
        ("lateness of the generator, null server", null_run.lateness),
        ("router: accept, end → answer", router_run.answers),
        ("null server: accept, end → answer", null_run.answers),
    )
    for name, histogram in rows:
        values = [histogram.quantile(share) / 1e6 for share in SHARES] + [histogram.max / 1e6]
        print(f"{name:40}" + "".join(f"{value:9.2f}" for value in values))
    for name, measured in (("router", router_run), ("null server", null_run)):
        print(
            f"{name}: {measured.rate.per_s:,.0f} lifecycles/s, {measured.rate.server_us:.0f} µs of CPU each, "
            f"busy {measured.rate.server_busy:.0%}, other processes {measured.rate.others_busy:.0%}; "
            f"errors {measured.errors or 'none'}"
        )


def figures_of(router_run: Measured, null_run: Measured, options: argparse.Namespace) -> list[Figure]:
    """Return the percentiles, each with the null server's as its baseline."""
    lateness_ms = router_run.lateness.quantile(0.99) / 1e6
    limit = None
    if lateness_ms > LATENESS_MS_MAX or router_run.rate.others_busy > OTHERS_BUSY_MAX:
        limit = (
            f"machine not idle: others used {router_run.rate.others_busy:.0%} of a CPU, "
            f"the generator was {lateness_ms:.1f} ms late at p99"
        )
    targets = {mark.share: mark.ms for mark in TARGETS}
    figures = [
        Figure(
            id=f"p{100 * share:g}_ms",
            title=f"due → offer, p{100 * share:g}",
            value=router_run.offers.quantile(share) / 1e6,
            unit="ms",
            better="lower",
            target=targets.get(share),
            baseline=null_run.offers.quantile(share) / 1e6,
            limit=limit,
        )
        for share in SHARES
    ]
    return [
        *figures,
        Figure(
            id="max_ms",
            title="due → offer, longest",
            value=router_run.offers.max / 1e6,
            unit="ms",
            better="lower",
            baseline=null_run.offers.max / 1e6,
        ),
        Figure(id="lateness_p99_ms", title="lateness of the generator, p99", value=lateness_ms, unit="ms"),
        Figure(
            id="server_us",
            title=f"server's CPU for a lifecycle at {options.rate:,.0f}/s",
            value=router_run.rate.server_us,
            unit="µs",
            better="lower",
            baseline=null_run.rate.server_us,
        ),
    ]


def picture(path: Path, router_run: Measured, null_run: Measured, options: argparse.Namespace) -> None:
    """Draw the latencies of both servers and the lateness of the generator by percentile."""
    draw(
        path,
        f"Submit → offer at {options.rate:,.0f} contacts/s, {options.desktops:,} desktops, durable",
        (
            Curve("router", router_run.offers),
            Curve("null server (baseline)", null_run.offers),
            Curve("lateness of the generator", router_run.lateness),
        ),
        TARGETS,
    )


def main() -> int:
    """Parse the options, measure, print; return 1 if anything failed or was refused or lost."""
    arguments = parser(__doc__)
    arguments.add_argument("--desktops", type=int, default=10_000)
    arguments.add_argument("--rate", type=float, default=1_000)
    arguments.add_argument("--seconds", type=float)
    arguments.add_argument("--picture", type=Path, help="also write the latency chart to SVG")
    options = arguments.parse_args()
    options.seconds = options.seconds or (10.0 if options.quick else 60.0)
    prepare(options.desktops)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        router_run, null_run = runner.run(run(options))
    show(router_run, null_run, options)
    errors = {"router": router_run.errors, "null server": null_run.errors}
    with tempfile.TemporaryDirectory() as directory:
        path = options.picture or Path(directory, "latency.svg")
        picture(path, router_run, null_run, options)
        pictures = save_picture(options, "latency.svg", path.read_bytes())
    result = Result(
        name="bench_latency",
        what=(
            f"Time from a contact's due time to its offer on the desktop: {options.rate:,.0f} contacts/s (Poisson, open loop) for "
            f"{options.seconds:g} s, {options.desktops:,} connected desktops, durable; baseline: the null server"
        ),
        figures=figures_of(router_run, null_run, options),
        details={"errors": errors, "offers": router_run.offers.count},
        pictures=pictures,
    )
    finish(result, options)
    failed = {name: counts for name, counts in errors.items() if counts}
    if failed:
        print(f"FAILED: {failed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
