"""The split null server (a leader and edge processes), its CPU use, and a load that connects to the leader directly.

`DirectLoad` sends messages to the leader over the same Unix sockets as edges do, without WebSockets. Each of its links represents
an edge with its own core that is never the bottleneck, so that a machine with two cores can measure the capacity of a leader on a
machine with many.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Raw, Struct

from benchmarks.server.load import Load, Rate
from benchmarks.server.message_bundles import BundleConnection, ClosedMessage, OpenedMessage, client_message, decode_leader_messages
from benchmarks.server.raw_websocket import RawWebSocket
from benchmarks.server.servers import SERVER_CPU, Process, Target, agent_ids, path_in
from router.protocol.session import Endpoint
from router.protocol.websocket_frames import BINARY, encode_frame
from router.server.ws.write_buffer import FlushScheduler

_HERE: Final = Path(__file__).parent


class SplitTarget(Target, kw_only=True):
    """A leader, which is the ``process``, with its edges."""

    edges: list[Process]
    socket_path: str


@asynccontextmanager
async def split_server(
    directory: Path, *, desktops: int, gateways: int, edges: int = 1, edge_cpu: int = SERVER_CPU
) -> AsyncIterator[SplitTarget]:
    """Run the null server as a leader with this number of edges; with none, only a ``DirectLoad`` can connect."""
    journal = path_in(directory, "journal.db")
    socket_path = str(directory / "leader.sock")
    running: list[Process] = []

    def start(name: str, arguments: list[str], cpu: int) -> Process:
        script = str(_HERE / f"{name}.py")
        log = directory / f"{name}{len(running)}.log"
        running.append(Process([sys.executable, script, *arguments], {}, log, cpu=cpu))
        return running[-1]

    try:
        leader = start("null_leader", [str(journal), socket_path], SERVER_CPU)
        leader.wait_for(lambda line: 1 if line.get("ready") else None)
        port = 0
        for _ in range(edges):
            edge = start("null_front", [socket_path, str(port)], edge_cpu)
            port = edge.wait_for(lambda line: line.get("port"))
        yield SplitTarget(
            name="split null server",
            process=leader,
            port=port,
            desktops=[(name, name) for name in agent_ids(desktops)],
            gateways=[(f"web{n}", f"web{n}") for n in range(gateways)],
            edges=running[1:],
            socket_path=socket_path,
        )
    finally:
        for process in reversed(running):
            process.stop()


class CpuUse(Struct, frozen=True):
    """Rate of lifecycles and CPU time per lifecycle."""

    rate: Rate
    main_us: float
    """CPU of the single process, or of the leader."""
    loop_us: float
    """The part of the thread that runs the event loop."""
    edges_us: float
    """CPU of all edges."""


class MeteredLoad(Load):
    """A load that also measures the CPU time of each process of the server."""

    cpu_use: CpuUse

    async def timed(self, work: Awaitable[None]) -> Rate:
        """Await the work, return its rate, and set ``cpu_use``."""
        before = self.cpu_s()
        rate = await super().timed(work)
        main_s, loop_s, edges_s = (b - a for a, b in zip(before, self.cpu_s(), strict=True))
        us_per_s = rate.server_us / main_s if main_s else 0.0  # µs per lifecycle for a second of CPU
        self.cpu_use = CpuUse(rate, rate.server_us, loop_s * us_per_s, edges_s * us_per_s)
        return rate

    def cpu_s(self) -> tuple[float, float, float]:
        """Return the CPU time of the main process, of its event loop's thread, and of all edges."""
        process = self.target.process
        edges = self.target.edges if isinstance(self.target, SplitTarget) else []
        return process.cpu_s(), process.loop_cpu_s(), sum(edge.cpu_s() for edge in edges)


class DirectLoad(MeteredLoad):
    """Desktops and gateways without sockets, distributed over links to the leader."""

    def __init__(self, target: SplitTarget, links: int) -> None:
        super().__init__(target)
        self._path = target.socket_path
        self._link_count = links
        self._links: list[BundleConnection] = []
        self._sockets: list[RawWebSocket] = []

    async def connect(self, *, ready: bool = True) -> None:
        """Connect the links, then all clients over them."""
        loop = asyncio.get_running_loop()
        flush_scheduler = FlushScheduler(loop.call_soon)
        for _ in range(self._link_count):
            link = BundleConnection(
                flush_scheduler, decode=decode_leader_messages, on_bundle=self._on_messages, on_lost=self._on_link_lost
            )
            await loop.create_unix_connection(lambda link=link: link, self._path)  # type: ignore[misc]
            self._links.append(link)
        await super().connect(ready=ready)

    async def open(self, socket: RawWebSocket) -> None:
        """Register a client at the leader, as an edge does after the upgrade."""
        number = len(self._sockets)
        self._sockets.append(socket)
        link = self._links[number % self._link_count]
        link.send(OpenedMessage(number, socket.name, Endpoint(socket.path.rpartition("/")[2])))
        socket.connection_made(_BundleTransport(link, number))
        socket.data_received(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await asyncio.wait_for(socket.welcomed, 30)

    def _on_messages(self, messages: list[tuple[list[int], Raw]]) -> None:
        sockets = self._sockets
        for numbers, message in messages:
            frame = encode_frame(BINARY, bytes(message))
            for number in numbers:
                sockets[number].data_received(frame)

    def _on_link_lost(self) -> None:
        if not self._closing:
            self.errors["lost link"] += 1

    _closing = False

    def close(self) -> None:
        """Close all clients and links."""
        self._closing = True
        super().close()
        for link in self._links:
            link.close()

    @property
    def sent(self) -> tuple[int, int]:
        """Return the numbers of messages and bundles sent to the leader."""
        return sum(link.messages for link in self._links), sum(link.bundles for link in self._links)


class _BundleTransport(asyncio.Transport):
    """Transport of a client that sends its frames to the leader; their masking key is zero."""

    def __init__(self, link: BundleConnection, number: int) -> None:
        super().__init__()
        self._link = link
        self._number = number

    def write(self, data: Any) -> None:
        """Send a frame to the leader; ignore the HTTP request of the upgrade."""
        if data[0] == 0x80 | BINARY:
            payload = data[6:] if data[1] & 0x7F < 126 else data[8:]
            self._link.send(client_message(self._number, payload))

    def abort(self) -> None:
        """Tell the leader that the client has disconnected."""
        self._link.send(ClosedMessage(self._number))

    def close(self) -> None:
        """Same as ``abort``."""
        self.abort()
