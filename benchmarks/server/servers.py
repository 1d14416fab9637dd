"""The two servers under test, each in its own process on CPU 0: the router and the null server.

The router has the default settings except for the number of sockets (10,000 desktops and their gateways exceed the default of
10,000) and, in benchmarks that connect all desktops before they measure, the rate limit of upgrades. Agents are created over the
API by several administrators, so that the rate limit per client is not reached.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from router.server.auth.credentials import mint_token
from router.settings import load_settings

SERVER_CPU: Final = 0
LOAD_CPU: Final = 1
POLICY: Final = """\
channels: {voice: {offer_timeout_s: 60}}
queues: {support: {cool_down_s: 0}}
"""
_HERE: Final = Path(__file__).parent
_ADMINISTRATORS: Final = 8
_START_S: Final = 30
SERVE: Final = (
    "import os, sys; from router.app import main_serve; from router.settings import load_settings; "
    "sys.exit(main_serve(load_settings(environment=os.environ)))"
)


class Process:
    """A server process, pinned to a CPU, with its output and resource use."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, *, cpu: int = SERVER_CPU) -> None:
        self._log = log.open("w+")
        self._process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=self._log, stderr=self._log, preexec_fn=lambda: pin(cpu)
        )

    def wait_for(self, find: Callable[[dict[str, Any]], int | None]) -> int:
        """Wait for a JSON line of the output in which ``find`` finds a number; return it. Raises SystemExit if none appears."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            for line in self.log().splitlines():
                try:
                    found = find(json.loads(line))
                except ValueError:
                    continue
                if found is not None:
                    return found
            time.sleep(0.05)
        raise SystemExit(f"the server did not start: {self.log()[-2000:]}")

    def log(self) -> str:
        """Return the output so far."""
        self._log.seek(0)
        return self._log.read()

    def cpu_s(self) -> float:
        """Return the CPU time of all threads of the process."""
        return _cpu_s(Path(f"/proc/{self._process.pid}/stat"))

    def loop_cpu_s(self) -> float:
        """Return the CPU time of the main thread, which runs the event loop; the other threads are the journal's."""
        pid = self._process.pid
        return _cpu_s(Path(f"/proc/{pid}/task/{pid}/stat"))

    def rss_bytes(self) -> int:
        """Return the resident memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def is_running(self) -> bool:
        """Return whether the process has not ended."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Kill the process and wait for its end."""
        self._process.kill()
        self._process.wait()
        self._log.close()


def _cpu_s(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Target(Struct, kw_only=True):
    """A running server, with credentials of its clients."""

    name: str
    process: Process
    port: int
    desktops: list[tuple[str, str]]
    """Agent id and token of each."""
    gateways: list[tuple[str, str]]
    administrators: list[str] = []
    """Tokens."""
    metrics_url: str = ""


def machine_cpu_s() -> float:
    """Return the CPU time used on the whole machine, including time stolen by the hypervisor."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, interrupt, softirq, steal = map(int, fields)
    used = user + nice + system + interrupt + softirq + steal
    return used / os.sysconf("SC_CLK_TCK")


def pin(cpu: int) -> None:
    """Pin this process to a CPU, modulo the number of CPUs."""
    os.sched_setaffinity(0, {cpu % (os.cpu_count() or 1)})


def prepare(desktops: int) -> None:
    """Pin the load generator to its CPU and raise the limit of open files. Raises SystemExit if that is not allowed."""
    pin(LOAD_CPU)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = desktops + 1_000
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
        except (ValueError, OSError):
            raise SystemExit(f"{wanted} open files are needed, {hard} allowed") from None


def agent_ids(count: int) -> list[str]:
    """Return agent ids of equal length."""
    return [f"d{number:05d}" for number in range(count)]


@asynccontextmanager
async def router(
    directory: Path,
    *,
    desktops: int,
    gateways: int,
    settings: dict[str, str] | None = None,
    policy: str = POLICY,
    fast_upgrades: bool = True,
    command: list[str] | None = None,
    agent_record: Callable[[int], bytes] = lambda _: b"{}",
) -> AsyncIterator[Target]:
    """Run the router with this number of agents, none of them connected.

    ``settings``: further settings by their environment names. ``agent_record``: returns the record (JSON) of an agent by number.
    """
    seed = path_in(directory, "policy.yaml")
    seed.write_text(policy)
    environment = {
        "ROUTER__JOURNAL__PATH": str(directory / "journal.db"),
        "ROUTER__SERVER__PORT": "0",
        "ROUTER__TELEMETRY__METRICS_PORT": "0",
        "ROUTER__TELEMETRY__ACCESS_LOG": "false",
        "ROUTER__POLICY__SEED_PATH": str(seed),
        "ROUTER__SOCKETS__CONNECTIONS_MAX": "20000",
        **({"ROUTER__SOCKETS__UPGRADES_PER_S": "100000"} if fast_upgrades else {}),
        **(settings or {}),
    }
    process = Process(command or [sys.executable, "-c", SERVE], environment, directory / "server.log")
    try:
        port = process.wait_for(lambda line: int(line["url"].rpartition(":")[2]) if line.get("action") == "started" else None)
        started = (json.loads(line) for line in process.log().splitlines() if '"started"' in line)
        metrics_url = next((line["metrics_url"] for line in started if line.get("metrics_url")), "")
        loaded = load_settings(environment=environment)

        def tokens(role: str, subjects: Iterable[str]) -> list[tuple[str, str]]:
            return [(subject, mint_token(loaded, subject=subject, role=role)) for subject in subjects]

        administrators = tokens("admin", (f"bench{n}" for n in range(_ADMINISTRATORS)))
        target = Target(
            name="router",
            process=process,
            port=port,
            desktops=tokens("agent", agent_ids(desktops)),
            gateways=tokens("gateway", (f"web{n}" for n in range(gateways))),
            administrators=[token for _, token in administrators],
            metrics_url=metrics_url,
        )
        await create_agents(target, agent_record)
        yield target
    finally:
        process.stop()


@asynccontextmanager
async def null_server(directory: Path, *, desktops: int, gateways: int) -> AsyncIterator[Target]:
    """Run the null server, which does not route."""
    command = [sys.executable, str(_HERE / "null_server.py"), str(path_in(directory, "journal.db"))]
    process = Process(command, {}, directory / "server.log")
    try:
        yield Target(
            name="null server",
            process=process,
            port=process.wait_for(lambda line: line.get("port")),
            desktops=[(name, name) for name in agent_ids(desktops)],
            gateways=[(f"web{n}", f"web{n}") for n in range(gateways)],
        )
    finally:
        process.stop()


def path_in(directory: Path, name: str) -> Path:
    """Create the directory if necessary and return the path of a file in it."""
    directory.mkdir(exist_ok=True)
    return directory / name


async def create_agents(target: Target, agent_record: Callable[[int], bytes]) -> None:
    """Create the agents of the desktops, with the record (JSON) of each by number."""
    agents = [(name, agent_record(number)) for number, (name, _) in enumerate(target.desktops)]
    count = len(target.administrators)
    await asyncio.gather(
        *(_put_agents(target.port, token, agents[number::count]) for number, token in enumerate(target.administrators))
    )


async def _put_agents(port: int, token: str, agents: list[tuple[str, bytes]]) -> None:
    """Create agents over one keep-alive connection with pipelined requests."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for start in range(0, len(agents), 16):
            chunk = agents[start : start + 16]
            for agent, record in chunk:
                head = (
                    f"PUT /v1/agents/{agent} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(record)}\r\n\r\n"
                )
                writer.write(head.encode() + record)
            for _ in chunk:
                answer = await reader.readuntil(b"\r\n\r\n")
                size = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(size)
                if b" 200 " not in answer.split(b"\r\n", 1)[0]:
                    raise SystemExit(f"an agent could not be created: {body.decode()}")
    finally:
        writer.close()
