"""Sockets of customers: time to connect, memory, how soon a customer learns of a change, and how long the loop is held.

Customers wait in one queue, no agent is ready; each has a socket open (MessagePack, token in the header). Forty more wait in
another queue of the same workspace: what happens in the first queue concerns them not at all.

* **Connect**: all sockets are opened at a constant rate; the time of each from the TCP connection to the first view.
* **Memory**: growth of the resident memory of the router's process, without the kernel's memory for the connections. Clients run in
  another process.
* **Own change**: single contacts are suspended; time until their customers are told.
* **Place**: the first customer in the queue leaves, so all others move up by one place; time until each of them is told. They are
  looked at a hundred in a tenth of a second, so this takes as long as there are customers, and the loop is not held.
* **Hold**: the longest iteration of the event loop in each of these, as CPU time of its thread.

    python benchmarks/server/bench_customer_sockets.py [--quick] [--customers 5000] [--json FILE]
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser
from benchmarks.server.bench_dearest_request import HOLD_MS_TARGET, Loop
from benchmarks.server.raw_websocket import RawWebSocket
from router.app.composition import App
from router.app.process import freeze_and_resume_garbage_collection
from router.model.commands import CancelContact, Command, EnqueueContact, PublishPolicy, RequestContact, SuspendContact
from router.model.policy import ChannelPolicy, Policy, QueuePolicy, WhenNoAgentsReady
from router.server.auth.customer_tokens import new_token, token_hash
from router.settings import settings_from

QUICK_BUDGET_S = 20
UNRELATED: Final = 40
_WORKSPACE: Final = "default"
_CONNECTS_PER_S: Final = 300
_CHANGES: Final = 100
_CHANGE_GAP_S: Final = 0.02
_PAUSE_S: Final = 2.0


# --- the clients' process -------------------------------------------------------------------------------------------------
class _View(msgspec.Struct):
    state: str
    position: int | None = None


class _Frame(msgspec.Struct):
    type: str
    request: _View | None = None


_decode: Final = msgspec.msgpack.Decoder(_Frame).decode


class CustomerSocket(RawWebSocket):
    """Socket of one customer; notes when it was told what."""

    def __init__(self, name: str, token: str) -> None:
        super().__init__("/v1/customer", name, token)
        self.told: list[tuple[int, str]] = []
        """Monotonic time in nanoseconds and state of each view."""
        self.first = asyncio.Event()

    def _receive(self, payload: bytes) -> None:
        frame = _decode(payload)
        if frame.request is not None:
            self.told.append((time.monotonic_ns(), frame.request.state))
            self.first.set()


async def follow(names: list[tuple[str, str]], port: int) -> None:
    """Connect all customers; then answer every line with what each has been told since the line before."""
    loop = asyncio.get_running_loop()
    sockets = [CustomerSocket(name, token) for name, token in names]
    took_ms: list[float] = []

    async def connect(socket: CustomerSocket) -> None:
        began_ns = time.monotonic_ns()
        await loop.create_connection(lambda: socket, "127.0.0.1", port)
        async with asyncio.timeout(30):
            await socket.first.wait()
        took_ms.append((time.monotonic_ns() - began_ns) / 1e6)

    began_s, tasks = loop.time(), []
    for number, socket in enumerate(sockets):
        await asyncio.sleep(began_s + number / _CONNECTS_PER_S - loop.time())
        tasks.append(asyncio.create_task(connect(socket)))
    failed = [one for one in await asyncio.gather(*tasks, return_exceptions=True) if one is not None]
    print(json.dumps({"took_ms": took_ms, "failed": len(failed)}), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps({socket.name: socket.told for socket in sockets if socket.told}), flush=True)
        for socket in sockets:
            socket.told = []


@asynccontextmanager
async def clients(customers: Path, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the process of the clients."""
    port = url.rpartition(":")[2]
    command = (sys.executable, __file__, "--follow", str(customers), "--port", port)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**26
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


# --- the router's process ---------------------------------------------------------------------------------------------------
class Measured(msgspec.Struct):
    """What was measured, in milliseconds and KiB."""

    connect_ms: list[float]
    kib_per_socket: float
    own_ms: list[float]
    place_ms: list[float]
    untold: int
    """Customers who were not told a new place."""
    unrelated: int
    """Frames to customers of the other queue after they had connected."""
    hold_ms: dict[str, float]
    failed: int


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _do(app: App, command: Command) -> None:
    await app._writer.execute(_WORKSPACE, command, actor="bench")


async def fill(app: App, count: int) -> list[tuple[str, str]]:
    """Publish a policy and let customers wait; return the contact and token of each."""
    queues = {name: QueuePolicy(when_no_agents_ready=WhenNoAgentsReady.WAIT) for name in ("support", "sales")}
    await _do(app, PublishPolicy(policy=Policy(channels={"voice": ChannelPolicy()}, queues=queues)))
    found: list[tuple[str, str]] = []
    for number in range(count + UNRELATED):
        name, token, queue_id = f"c{number:06d}", new_token("default"), "support" if number < count else "sales"
        contact = EnqueueContact(contact_id=name, channel="voice", queue_id=queue_id)
        await _do(app, RequestContact(contact=contact, token_hash=token_hash(token), ask=False))
        found.append((name, token))
    return found


async def measure(app: App, count: int, directory: Path) -> Measured:
    """Connect the customers and change what they are shown."""
    customers = await fill(app, count)
    file = await asyncio.to_thread(_written, directory / "customers.json", msgspec.json.encode(customers))
    gc.collect()
    freeze_and_resume_garbage_collection()
    holds, loop = dict[str, float](), Loop()
    measuring = asyncio.create_task(loop.run())
    await asyncio.sleep(_PAUSE_S)
    before = _rss_bytes()
    loop.take_ms()
    async with clients(file, app.url) as process:
        assert process.stdin is not None and process.stdout is not None
        connected = json.loads(await process.stdout.readline())
        await asyncio.sleep(_PAUSE_S)
        holds["connect"], grown = loop.take_ms(), _rss_bytes() - before

        async def told() -> dict[str, list[Any]]:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"\n")
            return dict(json.loads(await process.stdout.readline()))

        await told()
        # Single contacts, far behind in the queue, so that no place of others moves.
        sent_ns: dict[str, int] = {}
        for name, _ in customers[count - _CHANGES : count]:
            sent_ns[name] = time.monotonic_ns()
            await _do(app, SuspendContact(contact_id=name))
            await asyncio.sleep(_CHANGE_GAP_S)
        await asyncio.sleep(_PAUSE_S)
        holds["own change"], heard = loop.take_ms(), await told()
        own_ms = [(at - sent_ns[name]) / 1e6 for name in sent_ns for at, state in heard.get(name, ()) if state == "suspended"]
        unrelated = sum(len(heard.get(name, ())) for name, _ in customers[count:])
        began_ns = time.monotonic_ns()
        await _do(app, CancelContact(contact_id=customers[0][0]))
        await asyncio.sleep(count / 1000 + 2 * _PAUSE_S)
        holds["place"], heard = loop.take_ms(), await told()
        waiting = [name for name, _ in customers[1 : count - _CHANGES]]
        place_ms = [(heard[name][0][0] - began_ns) / 1e6 for name in waiting if name in heard]
        unrelated += sum(len(heard.get(name, ())) for name, _ in customers[count:])
    loop.end()
    await measuring
    return Measured(
        connect_ms=connected["took_ms"],
        kib_per_socket=grown / len(customers) / 1024,
        own_ms=own_ms,
        place_ms=place_ms,
        untold=len(waiting) - len(place_ms) + _CHANGES - len(own_ms),
        unrelated=unrelated,
        hold_ms=holds,
        failed=connected["failed"],
    )


async def run(count: int) -> Measured:
    """Start a router and measure."""
    with tempfile.TemporaryDirectory() as directory:
        settings = settings_from(
            {
                "journal": {"path": str(Path(directory, "journal.db"))},
                "server": {"port": 0},
                "sockets": {"upgrades_per_s": 100_000, "connections_max": 20_000},
                # All customers have the address of this machine.
                "requests": {"connections_max": 20_000, "address_per_s": 100_000, "address_burst": 100_000},
                "telemetry": {"access_log": False, "metrics_port": 0},
            }
        )
        app = App(settings)
        await app.start()
        try:
            return await measure(app, count, Path(directory))
        finally:
            await app.stop_immediately()


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def figures_of(measured: Measured, count: int) -> list[Figure]:
    """Return the figures of a measurement."""
    rows: list[tuple[str, str, float, str, float | None]] = [
        ("connect_p50_ms", "connect, p50", _quantile(measured.connect_ms, 0.5), "ms", None),
        ("connect_p99_ms", "connect, p99", _quantile(measured.connect_ms, 0.99), "ms", None),
        ("socket_kib", "memory of a socket", measured.kib_per_socket, "KiB", 20),
        ("own_p50_ms", "own change told, p50", _quantile(measured.own_ms, 0.5), "ms", None),
        ("own_p99_ms", "own change told, p99", _quantile(measured.own_ms, 0.99), "ms", None),
        ("place_p50_ms", "new place told to all, p50", _quantile(measured.place_ms, 0.5), "ms", None),
        ("place_max_ms", "new place told to all, the last", max(measured.place_ms), "ms", None),
    ]
    for name, value in measured.hold_ms.items():
        rows.append((f"hold_{name.replace(' ', '_')}_ms", f"longest hold of the loop: {name}", value, "ms", HOLD_MS_TARGET))
    return [
        Figure(id=id, title=f"{title}; {count:,} customers", value=value, unit=unit, better="lower", target=target)
        for id, title, value, unit, target in rows
    ]


def main() -> int:
    """Parse the options, measure, print; return 1 if a customer was not told, or told of what is not theirs."""
    arguments = parser(__doc__)
    arguments.add_argument("--customers", type=int)
    arguments.add_argument("--follow", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.follow is not None:
            names = msgspec.json.decode(options.follow.read_bytes(), type=list[tuple[str, str]])
            runner.run(follow(names, options.port))
            return 0
        count = options.customers or (400 if options.quick else 5_000)
        measured = runner.run(run(count))
    errors = {name: getattr(measured, name) for name in ("failed", "untold", "unrelated") if getattr(measured, name)}
    result = Result(
        name="bench_customer_sockets",
        what=f"Sockets of {count:,} customers who wait in one queue, and {UNRELATED} in another",
        figures=figures_of(measured, count),
        details={"errors": errors},
    )
    finish(result, options)
    if errors:
        print(f"FAILED: {errors}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
