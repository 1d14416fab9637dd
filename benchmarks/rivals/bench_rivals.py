"""The router beside what a user would pick instead: the same work, on the same core, in the same run.

The work: contacts ask for one of ten skills, agents have two; whoever with the skill has been free longest is offered the oldest
contact, accepts, and ends it at once. A lifecycle is submit → offer on the agent's screen → accept → end, each answered. The
sides, told at length in ``README.md`` beside this file and in their own files:

* ``router``: with its journal on disk before anybody hears of a decision (synchronous FULL).
* ``redis_list``: a Redis list for each skill and a dispatcher in Python with Socket.IO.
* ``redis_list_synced``: the same with every write on disk before Redis answers it: as near to the router's promise as it gets.
* ``celery``: Celery tasks over Redis, screens through Socket.IO's Redis manager.
* ``bullmq``: BullMQ and Socket.IO in Node; left out where there is no node.

All server processes of a side, its Redis included, share CPU 0; the load has CPU 1. Throughput is measured with 100 contacts in
flight (or half as many as agents), latency with contacts at one fixed rate for all, from the time at which each was due (no
coordinated omission), and again at 1,000 a second for those who can. The load's own share of its core is shown: near 100 % it,
not the server, is the limit.

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
"""A second, for all sides: what the slowest still serves."""
FAST_RATE: Final = 1_000.0
ROOM: Final = 1.25
"""A side is measured at a rate only if it can serve so many times as much; beyond that its line grows without end."""
OFFERS_MIN: Final = 400
"""Latencies at least, for a 99th percentile that is more than one contact's bad luck."""
LOAD_BUSY: Final = 0.9
WINDOW_MAX: Final = 100
"""In flight. With more, the slow sides work in waves longer than what is measured."""


async def measure(side: Side, directory: Path, agents: int, seconds: float) -> dict[str, Any]:
    """One side with so many agents."""
    async with connected(side, directory, agents) as (server, load):
        window = min(WINDOW_MAX, max(1, agents // 2))
        await load.warm_up(window)
        cpu, own, count, began = (
            server.cpu_s(),
            time.process_time(),
            load.lifecycles,
            time.monotonic(),
        )
        rate = await load.closed_loop(seconds, window)
        done = load.lifecycles - count
        found: dict[str, Any] = {
            "lifecycles_per_s": round(rate, 1),
            "server_cpu_us": round((server.cpu_s() - cpu) / done * 1e6, 1),
            "load_share": round((time.process_time() - own) / (time.monotonic() - began), 3),
        }
        for offered in (RATE, FAST_RATE):
            if rate < ROOM * offered:
                continue
            latencies = await load.open_loop(max(2 * seconds, OFFERS_MIN / offered), offered)
            found[_key(offered)] = {
                f"p{share * 100:g}": round(_quantile_ms(latencies, share), 3)
                for share in (0.5, 0.99)
            } | {"offers": len(latencies)}
        found |= {"rss_mib": round(server.rss_mib(), 1), "errors": load.errors}
    return found


def _key(offered: float) -> str:
    return f"at_{offered:.0f}_per_s"


def _quantile_ms(ordered_ns: list[int], share: float) -> float:
    return ordered_ns[min(len(ordered_ns) - 1, int(len(ordered_ns) * share))] / 1e6


def figures(side: Side, agents: int, rounds: list[dict[str, Any]]) -> list[Figure]:
    """Of one side with so many agents, over the rounds."""
    at = f"{side.key}.{agents}"
    who = f"{side.title}, {agents:,} agents"
    limits = []
    if max(one["load_share"] for one in rounds) > LOAD_BUSY:
        limits.append("load at over 90 % of its core: a lower bound")
    errors = sum(sum(one["errors"].values()) for one in rounds)
    if errors:
        limits.append(f"{errors} errors")
    limit = "; ".join(limits) or None
    too_slow = [
        f"too slow for latency at {offered:,.0f}/s"
        for offered in (RATE, FAST_RATE)
        if not all(_key(offered) in one for one in rounds)
    ]
    found = [
        Figure.of_repeats(
            [one["lifecycles_per_s"] for one in rounds],
            id=f"lifecycles_per_s.{at}",
            title=f"Lifecycles a second: {who}",
            unit="/s",
            better="higher" if side.key == "router" else "none",
            limit="; ".join([*limits, *too_slow]) or None,
        ),
        Figure.of_repeats(
            [one["server_cpu_us"] for one in rounds],
            id=f"server_cpu_us.{at}",
            title=f"Server CPU a lifecycle: {who}",
            unit="µs",
            better="lower" if side.key == "router" else "none",
            limit=limit,
        ),
    ]
    for offered in (RATE, FAST_RATE):
        measured = [one[_key(offered)] for one in rounds if _key(offered) in one]
        found += [
            Figure.of_repeats(
                [one[share] for one in measured],
                id=f"submit_to_screen_{share}_ms.{offered:.0f}.{at}",
                title=f"Submit → screen {share} at {offered:,.0f}/s: {who}",
                unit="ms",
                better="lower" if side.key == "router" else "none",
                limit=limit,
            )
            for share in ("p50", "p99")
            if measured
        ]
    return found


def picture(found: dict[tuple[str, int], list[Figure]]) -> bytes:
    """All sides beside each other, a panel for each kind of figure and number of agents."""
    titles = {side.key: side.title for side in SIDES}
    panels: dict[str, list[Bar]] = {}
    for (key, agents), all_of_them in found.items():
        for figure in all_of_them:
            what = f"{figure.title.partition(':')[0]}, {agents:,} agents"
            colour = "#0072b2" if key == "router" else "#999999"
            bar = Bar(label=titles[key], value=figure.value, unit=figure.unit, colour=colour)
            panels.setdefault(what, []).append(bar)
    return bars(
        "The router and what a user would pick instead, one core each",
        [Panel(title=what, bars=tuple(all_of_them)) for what, all_of_them in panels.items()],
    )


async def run(options: argparse.Namespace) -> tuple[dict[tuple[str, int], list[dict[str, Any]]], dict[str, str]]:  # fmt: skip
    """All rounds of all sides, in turns; and why a side was left out."""
    sides = [side for side in SIDES if not options.side or side.key in options.side]
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for round_number in range(options.rounds):
            for agents in options.agents:
                for side in sides:
                    if side.key in left_out:
                        continue
                    directory = Path(scratch) / f"{side.key}-{agents}-{round_number}"
                    try:
                        one = await measure(side, directory, agents, options.seconds)
                    except NotInstalled as error:
                        left_out[side.key] = str(error)
                        continue
                    print(f"{side.title}, {agents:,} agents: {one}", flush=True)
                    found.setdefault((side.key, agents), []).append(one)
    return found, left_out


def main() -> None:
    """Measure, print, draw."""
    options = parser(__doc__)
    options.add_argument("--agents", type=int, nargs="+", default=[200, 1_000])
    options.add_argument("--side", nargs="+", choices=[side.key for side in SIDES], default=[])
    options.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="of throughput of each side; latency twice as long",
    )
    options.add_argument("--rounds", type=int, default=3, help="of all sides in turns")
    asked = options.parse_args()
    if asked.quick:
        asked.seconds, asked.rounds = min(asked.seconds, 2.0), 1
    pin_to_cpu(LOAD_CPU)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rounds, left_out = runner.run(run(asked))
    by_key = {side.key: side for side in SIDES}
    found = {
        (key, agents): figures(by_key[key], agents, all_of_them)
        for (key, agents), all_of_them in rounds.items()
    }
    what = (
        "The same work by the router and by what a user would pick instead, all processes of a side on one core: submit, offer on "
        "the agent's screen, accept, end; contacts by skill to the longest idle. The router's decisions are durable before anybody "
        "hears of them; the rivals' are not, and they do much less (benchmarks/rivals/README.md)."
    )
    for key, why in left_out.items():
        what += f" LEFT OUT: {by_key[key].title}: {why}."
    result = Result(
        name="bench_rivals",
        what=what,
        figures=[figure for all_of_them in found.values() for figure in all_of_them],
        details={
            "rounds": {f"{key}.{agents}": rows for (key, agents), rows in rounds.items()},
            "does_not_do": {side.key: side.without for side in SIDES},
            "omitted": left_out,
        },
        pictures=save_picture(asked, "rivals.svg", picture(found)),
    )
    finish(result, asked)


if __name__ == "__main__":
    main()
