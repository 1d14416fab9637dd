"""Comparison of the router with four alternatives: the same work, on the same core, in the same run.

The work: contacts require one of ten skills, agents have two of them. The longest idle agent with the skill is offered the oldest
contact, accepts, and ends it at once. A lifecycle is submit → offer on the agent's screen → accept → end, each answered. The sides
are described in ``README.md`` in this folder and in their own files:

* ``router``: every decision is in the journal on disk before it is published (synchronous FULL).
* ``redis_list``: a Redis list for each skill and a dispatcher in Python with Socket.IO.
* ``redis_list_synced``: the same, with every write on disk before Redis answers it; the closest to the router's durability.
* ``celery``: Celery tasks over Redis; screens are reached through Socket.IO's Redis manager.
* ``bullmq``: BullMQ and Socket.IO in Node; omitted if node is not installed.

All server processes of a side, including its Redis, share CPU 0; the load has CPU 1. Throughput is measured with 100 contacts in
flight (or half the number of agents). Latency is measured at one fixed rate for all sides, from the due time of each contact (no
coordinated omission), and at 1,000 per second for the sides that can serve this rate. The load's share of its core is shown: near
100 % the load is the bottleneck, not the server.

    python benchmarks/rivals/bench_rivals.py [--quick] [--json FILE] [--agents N …] [--side KEY …] [--rounds N]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.chart import Bar, Panel, bars
from benchmarks.figures import Figure, Result, finish, parser, save_picture
from benchmarks.rivals.sides import LOAD_CPU, SIDES, NotInstalled, Side, connected, pin_to_cpu

QUICK_BUDGET_S: Final = 140
RATE: Final = 80.0
"""Contacts per second for all sides; the slowest can serve it."""
FAST_RATE: Final = 1_000.0
HEADROOM: Final = 1.25
"""A side is measured at a rate only if its maximum is this multiple of it; otherwise its queue would grow."""
OFFERS_MIN: Final = 400
"""Minimum number of latencies, for a significant 99th percentile."""
LOAD_BUSY: Final = 0.9
WINDOW_MAX: Final = 100
"""Contacts in flight. With more, a slow side would complete them in batches longer than the measurement."""


async def measure(side: Side, directory: Path, agents: int, seconds: float) -> dict[str, Any]:
    """Measure one side with this number of agents."""
    async with connected(side, directory, agents) as (server, load):
        window = min(WINDOW_MAX, max(1, agents // 2))
        await load.warm_up(window)
        cpu_s, load_cpu_s, count, started_s = (server.cpu_s(), time.process_time(), load.lifecycles, time.monotonic())
        rate = await load.closed_loop(seconds, window)
        completed = load.lifecycles - count
        found: dict[str, Any] = {
            "lifecycles_per_s": round(rate, 1),
            "server_cpu_us": round((server.cpu_s() - cpu_s) / completed * 1e6, 1),
            "load_share": round((time.process_time() - load_cpu_s) / (time.monotonic() - started_s), 3),
        }
        for offered in (RATE, FAST_RATE):
            if rate < HEADROOM * offered:
                continue
            latencies = await load.open_loop(max(2 * seconds, OFFERS_MIN / offered), offered)
            found[_key(offered)] = {f"p{share * 100:g}": round(_quantile_ms(latencies, share), 3) for share in (0.5, 0.99)} | {
                "offers": len(latencies)
            }
        found |= {"rss_mib": round(server.rss_mib(), 1), "errors": load.errors}
    return found


def _key(offered: float) -> str:
    return f"at_{offered:.0f}_per_s"


def _quantile_ms(ordered_ns: list[int], share: float) -> float:
    return ordered_ns[min(len(ordered_ns) - 1, int(len(ordered_ns) * share))] / 1e6


def figures(side: Side, agents: int, rounds: list[dict[str, Any]]) -> list[Figure]:
    """Return the figures of one side with this number of agents, over all rounds."""
    suffix = f"{side.key}.{agents}"
    subject = f"{side.title}, {agents:,} agents"
    limits = []
    if max(measured["load_share"] for measured in rounds) > LOAD_BUSY:
        limits.append("load at over 90 % of its core: a lower bound")
    errors = sum(sum(measured["errors"].values()) for measured in rounds)
    if errors:
        limits.append(f"{errors} errors")
    limit = "; ".join(limits) or None
    too_slow = [
        f"too slow for latency at {offered:,.0f}/s"
        for offered in (RATE, FAST_RATE)
        if not all(_key(offered) in measured for measured in rounds)
    ]
    found = [
        Figure.of_repeats(
            [measured["lifecycles_per_s"] for measured in rounds],
            id=f"lifecycles_per_s.{suffix}",
            title=f"Lifecycles a second: {subject}",
            unit="/s",
            better="higher" if side.key == "router" else "none",
            limit="; ".join([*limits, *too_slow]) or None,
        ),
        Figure.of_repeats(
            [measured["server_cpu_us"] for measured in rounds],
            id=f"server_cpu_us.{suffix}",
            title=f"Server CPU a lifecycle: {subject}",
            unit="µs",
            better="lower" if side.key == "router" else "none",
            limit=limit,
        ),
    ]
    for offered in (RATE, FAST_RATE):
        latencies = [measured[_key(offered)] for measured in rounds if _key(offered) in measured]
        found += [
            Figure.of_repeats(
                [measured[share] for measured in latencies],
                id=f"submit_to_screen_{share}_ms.{offered:.0f}.{suffix}",
                title=f"Submit → screen {share} at {offered:,.0f}/s: {subject}",
                unit="ms",
                better="lower" if side.key == "router" else "none",
                limit=limit,
            )
            for share in ("p50", "p99")
            if latencies
        ]
    return found


def picture(found: dict[tuple[str, int], list[Figure]]) -> bytes:
    """Return a chart of all sides, with a panel for each kind of figure and number of agents."""
    titles = {side.key: side.title for side in SIDES}
    panels: dict[str, list[Bar]] = {}
    for (key, agents), side_figures in found.items():
        for figure in side_figures:
            panel = f"{figure.title.partition(':')[0]}, {agents:,} agents"
            colour = "#0072b2" if key == "router" else "#999999"
            bar = Bar(label=titles[key], value=figure.value, unit=figure.unit, colour=colour)
            panels.setdefault(panel, []).append(bar)
    return bars(
        "The router and four alternatives, one core each",
        [Panel(title=panel, bars=tuple(panel_bars)) for panel, panel_bars in panels.items()],
    )


async def run(options: argparse.Namespace) -> tuple[dict[tuple[str, int], list[dict[str, Any]]], dict[str, str]]:  # fmt: skip
    """Measure all sides in turns; return the rounds, and the reasons for omitted sides."""
    sides = [side for side in SIDES if not options.side or side.key in options.side]
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    omitted: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for round_number in range(options.rounds):
            for agents in options.agents:
                for side in sides:
                    if side.key in omitted:
                        continue
                    directory = Path(scratch) / f"{side.key}-{agents}-{round_number}"
                    try:
                        measured = await measure(side, directory, agents, options.seconds)
                    except NotInstalled as error:
                        omitted[side.key] = str(error)
                        continue
                    print(f"{side.title}, {agents:,} agents: {measured}", flush=True)
                    found.setdefault((side.key, agents), []).append(measured)
    return found, omitted


def main() -> None:
    """Measure all sides, print the figures, and write the chart."""
    arguments = parser(__doc__)
    arguments.add_argument("--agents", type=int, nargs="+", default=[200, 1_000])
    arguments.add_argument("--side", nargs="+", choices=[side.key for side in SIDES], default=[])
    arguments.add_argument(
        "--seconds", type=float, default=5.0, help="duration of the throughput measurement; latency twice as long"
    )
    arguments.add_argument("--rounds", type=int, default=3, help="number of rounds of all sides in turns")
    options = arguments.parse_args()
    if options.quick:
        options.seconds, options.rounds = min(options.seconds, 2.0), 1
    pin_to_cpu(LOAD_CPU)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rounds, omitted = runner.run(run(options))
    by_key = {side.key: side for side in SIDES}
    found = {(key, agents): figures(by_key[key], agents, side_rounds) for (key, agents), side_rounds in rounds.items()}
    what = (
        "The same work by the router and by four alternatives, all processes of a side on one core: submit, offer on the agent's "
        "screen, accept, end; contacts by skill to the longest idle agent. The router's decisions are durable before they are "
        "published; the rivals' are not, and they have far fewer functions (benchmarks/rivals/README.md)."
    )
    for key, reason in omitted.items():
        what += f" OMITTED: {by_key[key].title}: {reason}."
    result = Result(
        name="bench_rivals",
        what=what,
        figures=[figure for side_figures in found.values() for figure in side_figures],
        details={
            "rounds": {f"{key}.{agents}": rows for (key, agents), rows in rounds.items()},
            "does_not_do": {side.key: side.limitations for side in SIDES},
            "omitted": omitted,
        },
        pictures=save_picture(options, "rivals.svg", picture(found)),
    )
    finish(result, options)


if __name__ == "__main__":
    main()
