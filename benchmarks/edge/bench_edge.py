"""How fast is the door: lifecycles a second and submit→offer latency over real sockets, against a server that does not route.

Both servers run on CPU 0, one after the other; the load generator has CPU 1. Each lifecycle is submit, offer, accept, end: three
commands with durable answers and six events, over `N` desktop sockets and one gateway socket. Throughput is measured with a
fixed number of contacts in flight; latency with contacts at a fixed rate, counted from the time at which each was due, so
that a server that stalls is charged for all who had to wait (no coordinated omission).

    python benchmarks/edge/bench_edge.py [--desktops 200] [--seconds 5] [--rate R] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from router.edge.auth import mint_token
from router.settings import load_settings

sys.path.insert(0, str(Path(__file__).parent))
from load import Load

SERVER_CPU, LOAD_CPU = 0, 1
POLICY = """\
channels: {voice: {offer_timeout_s: 60}}
queues: {support: {cool_down_s: 0}}
"""
_SERVE = (
    "import os, sys; from router.app import main_serve; from router.settings import load_settings; "
    "sys.exit(main_serve(load_settings(environment=os.environ)))"
)


class Server:
    """A server process on its own CPU."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log.open("w+")
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=self._log,
            stderr=self._log,
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CPU % (os.cpu_count() or 1)}),
        )

    def wait_for(self, find: Callable[[dict[str, Any]], int | None]) -> int:
        """The port, once a line of the output names it."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            self._log.seek(0)
            for line in self._log.read().splitlines():
                try:
                    port = find(json.loads(line))
                except ValueError:
                    continue
                if port is not None:
                    return port
            time.sleep(0.05)
        self._log.seek(0)
        raise SystemExit(f"the server did not start: {self._log.read()[-2000:]}")

    def cpu_s(self) -> float:
        """CPU time that the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._log.close()


def quantile_ms(values_ns: list[int], share: float) -> float:
    """A quantile of sorted values, in ms."""
    return values_ns[min(len(values_ns) - 1, int(len(values_ns) * share))] / 1e6


async def measure(server: Server, load: Load, options: argparse.Namespace) -> dict[str, Any]:
    """Throughput first, then latency at a rate below it."""
    cpu_before, count_before = server.cpu_s(), load.lifecycles
    rate = await load.closed_loop(options.seconds, options.desktops)
    cpu_s, count = server.cpu_s() - cpu_before, load.lifecycles - count_before
    offered_rate = options.rate or rate / 2
    latencies = sorted(await load.open_loop(options.seconds, offered_rate))
    return {
        "lifecycles_per_s": round(rate, 1),
        "server_cpu_us_per_lifecycle": round(cpu_s / count * 1e6, 1),
        "offered_per_s": round(offered_rate, 1),
        "offers": len(latencies),
        "submit_to_offer_ms": {
            "p50": round(quantile_ms(latencies, 0.5), 3),
            "p99": round(quantile_ms(latencies, 0.99), 3),
            "max": round(latencies[-1] / 1e6, 3),
        },
        "server_rss_mib": round(server.rss_mib(), 1),
        "errors": load.errors,
    }


async def router_figures(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The router itself."""
    seed = directory / "policy.yaml"
    seed.write_text(POLICY)
    environment = {
        "ROUTER__JOURNAL__PATH": str(directory / "journal.db"),
        "ROUTER__EDGE__PORT": "0",
        "ROUTER__TELEMETRY__METRICS_PORT": "0",
        "ROUTER__TELEMETRY__ACCESS_LOG": "false",
        "ROUTER__POLICY__SEED_PATH": str(seed),
        "ROUTER__SOCKETS__UPGRADES_PER_S": "100000",
        "ROUTER__SOCKETS__FRAMES_PER_S": "1000000",
        "ROUTER__SOCKETS__FRAMES_BURST": "1000000",
        "ROUTER__SOCKETS__GATEWAY_FRAMES_PER_S": "1000000",
        "ROUTER__SOCKETS__GATEWAY_FRAMES_BURST": "1000000",
    }
    server = Server([sys.executable, "-c", _SERVE], environment, directory / "router.log")
    try:
        port = server.wait_for(
            lambda line: (
                int(line["url"].rpartition(":")[2]) if line.get("action") == "started" else None
            )
        )
        settings = load_settings(environment=environment)
        admin = mint_token(settings, subject="bench", role="admin")
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {admin}"}) as http:
            for number in range(options.desktops):
                url = f"http://127.0.0.1:{port}/v1/agents/d{number}"
                async with http.put(url, json={}) as response:
                    assert response.status < 300, await response.text()
        tokens = [
            mint_token(settings, subject=f"d{number}", role="agent")
            for number in range(options.desktops)
        ]
        return await _under_load(
            server, port, tokens, mint_token(settings, subject="web", role="gateway"), options
        )
    finally:
        server.stop()


async def null_figures(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The server that does not route."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("null_server.py")),
        str(directory / "null.db"),
    ]
    server = Server(command, {}, directory / "null.log")
    try:
        port = server.wait_for(lambda line: line.get("port"))
        return await _under_load(server, port, ["x"] * options.desktops, "x", options)
    finally:
        server.stop()


async def _under_load(
    server: Server, port: int, tokens: list[str], gateway: str, options: argparse.Namespace
) -> dict[str, Any]:
    load = Load()
    await load.connect(port, tokens, gateway)
    try:
        return await measure(server, load, options)
    finally:
        for socket in load.sockets:
            socket.close()


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Both servers in one run."""
    with tempfile.TemporaryDirectory() as directory:
        null = await null_figures(Path(directory), options)
        router = await router_figures(Path(directory), options)
    return {
        "desktops": options.desktops,
        "seconds": options.seconds,
        "router": router,
        "null_server": null,
        "throughput_ratio": round(router["lifecycles_per_s"] / null["lifecycles_per_s"], 3),
        "cpu_ratio": round(
            router["server_cpu_us_per_lifecycle"] / null["server_cpu_us_per_lifecycle"], 3
        ),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
    }


def show(figures: dict[str, Any]) -> None:
    """For people."""
    print(f"{figures['desktops']} desktops, {figures['seconds']} s each, {figures['machine']}\n")
    print(f"{'':28}{'router':>12}{'null server':>14}")
    rows = [
        ("lifecycles a second", lambda one: f"{one['lifecycles_per_s']:,.0f}"),
        ("server CPU a lifecycle, µs", lambda one: f"{one['server_cpu_us_per_lifecycle']:,.0f}"),
        ("offered contacts a second", lambda one: f"{one['offered_per_s']:,.0f}"),
        ("submit→offer p50, ms", lambda one: f"{one['submit_to_offer_ms']['p50']:.2f}"),
        ("submit→offer p99, ms", lambda one: f"{one['submit_to_offer_ms']['p99']:.2f}"),
        ("submit→offer max, ms", lambda one: f"{one['submit_to_offer_ms']['max']:.2f}"),
        ("memory, MiB", lambda one: f"{one['server_rss_mib']:,.0f}"),
        ("errors", lambda one: str(sum(one["errors"].values()))),
    ]
    for title, of in rows:
        print(f"{title:28}{of(figures['router']):>12}{of(figures['null_server']):>14}")
    print(
        f"\nrouter / null server: throughput {figures['throughput_ratio']:.2f}, "
        f"CPU a lifecycle {figures['cpu_ratio']:.2f}"
    )


def main() -> None:
    """Parse, pin, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--desktops", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=0.0, help="contacts a second; default: half")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CPU % (os.cpu_count() or 1)})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(options))
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
