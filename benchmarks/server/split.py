"""The null server in several processes, started and measured; and a load that is its own edge.

`FedLoad` speaks to the leader over the same Unix sockets as edges do, without WebSockets between: it stands for as many edges as
it has links, each on a core of its own and never the bottleneck, so that one machine with two cores can say how much a leader
would do on one with many.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Raw, Struct

from benchmarks.server.load import Load, Rate
from benchmarks.server.message_bundles import (
    BundleConnection,
    ClosedMessage,
    OpenedMessage,
    client_message,
    decode_downwards,
)
from benchmarks.server.raw_websocket import RawWebSocket
from benchmarks.server.servers import SERVER_CPU, Process, Target, journal_in, names
from router.protocol.session import Endpoint
from router.protocol.websocket_frames import BINARY, encode_frame
from router.server.ws.write_buffer import FlushScheduler

_HERE: Final = Path(__file__).parent


class SplitTarget(Target, kw_only=True):
    """A leader, which is the ``process``, and its edges."""

    edges: list[Process]
    socket_path: str


@asynccontextmanager
async def split_server(
    directory: Path, *, desktops: int, gateways: int, edges: int = 1, edge_cpu: int = SERVER_CPU
) -> AsyncIterator[SplitTarget]:
    """The null server as a leader and so many edges; with none, for a load that is its own."""
    journal = journal_in(directory, "journal.db")
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
            desktops=[(name, name) for name in names(desktops)],
            gateways=[(f"web{n}", f"web{n}") for n in range(gateways)],
            edges=running[1:],
            socket_path=socket_path,
        )
    finally:
        for process in reversed(running):
            process.stop()


class CpuUse(Struct, frozen=True):
    """What a lifecycle cost, and how many there were."""

    rate: Rate
    main_us: float
    """CPU of the one process, or of the leader."""
    loop_us: float
    """Of it that of its event loop's thread."""
    edges_us: float
    """CPU of all edges together."""


class MeteredLoad(Load):
    """A load that knows what each process of the server has spent."""

    spent: CpuUse

    async def timed(self, work: Awaitable[None]) -> Rate:
        """As any load's; and fills in ``spent``."""
        before = self.cpu_s()
        rate = await super().timed(work)
        main_s, loop_s, edges_s = (b - a for a, b in zip(before, self.cpu_s(), strict=True))
        us = rate.server_us / main_s if main_s else 0.0  # µs a lifecycle, for each second of CPU
        self.spent = CpuUse(rate, rate.server_us, loop_s * us, edges_s * us)
        return rate

    def cpu_s(self) -> tuple[float, float, float]:
        """Used so far by the main process, by its loop's thread, and by all edges."""
        process = self.target.process
        edges = self.target.edges if isinstance(self.target, SplitTarget) else []
        return process.cpu_s(), process.loop_cpu_s(), sum(edge.cpu_s() for edge in edges)


class DirectLoad(MeteredLoad):
    """Desktops and gateways without sockets, spread over so many links to the leader."""

    def __init__(self, target: SplitTarget, links: int) -> None:
        super().__init__(target)
        self._path = target.socket_path
        self._count = links
        self._links: list[BundleConnection] = []
        self._sockets: list[RawWebSocket] = []

    async def connect(self, *, ready: bool = True) -> None:
        """Connect the links, and through them all clients."""
        loop = asyncio.get_running_loop()
        end_of_tick = FlushScheduler(loop.call_soon)
        for _ in range(self._count):
            link = BundleConnection(
                end_of_tick, decode=decode_downwards, hear=self._told, lost=self._link_lost
            )
            await loop.create_unix_connection(lambda link=link: link, self._path)  # type: ignore[misc]
            self._links.append(link)
        await super().connect(ready=ready)

    async def open(self, socket: RawWebSocket) -> None:
        """As through an edge that has upgraded it."""
        number = len(self._sockets)
        self._sockets.append(socket)
        link = self._links[number % self._count]
        link.put(OpenedMessage(number, socket.name, Endpoint(socket.path.rpartition("/")[2])))
        socket.connection_made(_BundleTransport(link, number))
        socket.data_received(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await asyncio.wait_for(socket.welcomed, 30)

    def _told(self, messages: list[tuple[list[int], Raw]]) -> None:
        sockets = self._sockets
        for numbers, told in messages:
            whole = encode_frame(BINARY, bytes(told))
            for number in numbers:
                sockets[number].data_received(whole)

    def _link_lost(self) -> None:
        if not self._closing:
            self.errors["lost link"] += 1

    _closing = False

    def close(self) -> None:
        """Pull all cables."""
        self._closing = True
        super().close()
        for link in self._links:
            link.close()

    @property
    def sent(self) -> tuple[int, int]:
        """Messages and bundles to the leader, so far."""
        return sum(link.messages for link in self._links), sum(link.bundles for link in self._links)


class _BundleTransport(asyncio.Transport):
    """Takes a client's whole frames, whose mask is all zeros, to the leader."""

    def __init__(self, link: BundleConnection, number: int) -> None:
        super().__init__()
        self._link = link
        self._number = number

    def write(self, data: Any) -> None:
        """A frame; the request that came before it is no message."""
        if data[0] == 0x80 | BINARY:
            payload = data[6:] if data[1] & 0x7F < 126 else data[8:]
            self._link.put(client_message(self._number, payload))

    def abort(self) -> None:
        """The client is gone."""
        self._link.put(ClosedMessage(self._number))

    def close(self) -> None:
        """Likewise."""
        self.abort()
