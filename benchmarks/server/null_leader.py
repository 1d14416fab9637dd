"""Leader of the split null server: the same work and the same journal, for clients whose sockets are held by edge processes.

The edges handle HTTP, WebSocket framing and the writes to the sockets. The leader decides, encodes, commits and publishes. Between
the processes there is no back-pressure and no authentication.

    python benchmarks/server/null_leader.py JOURNAL SOCKET      prints one line of JSON when edges can connect
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.server.message_bundles import (
    BundleConnection,
    ClientMessage,
    ClosedMessage,
    EdgeMessage,
    OpenedMessage,
    decode_edge_messages,
)
from benchmarks.server.null_server import NullServer
from router.protocol.session import Endpoint
from router.server.ws.write_buffer import FlushScheduler


class RemoteClient:
    """A client whose socket is held by an edge."""

    __slots__ = ("_link", "_number", "endpoint", "name")

    def __init__(self, link: BundleConnection, number: int, *, name: str, endpoint: Endpoint) -> None:
        self._link = link
        self._number = number
        self.name = name
        self.endpoint = endpoint

    def send(self, data: Any) -> None:
        """Send a frame; it is encoded with its bundle."""
        self._link.send_frame(self._number, data)


class FrontConnection:
    """The leader's connection to one edge process."""

    def __init__(self, leader: "NullLeader", flush_scheduler: FlushScheduler) -> None:
        self.link = BundleConnection(
            flush_scheduler, decode=decode_edge_messages, on_bundle=self._on_messages, on_lost=self._on_lost
        )
        self._leader = leader
        self._clients: dict[int, RemoteClient] = {}

    def _on_messages(self, messages: list[EdgeMessage]) -> None:
        clients, execute = self._clients, self._leader.execute
        for message in messages:
            if type(message) is ClientMessage:
                client = clients[message.number]
                execute(client, client.endpoint, message.frame)
            else:
                self._on_other_message(message)

    def _on_other_message(self, message: Any) -> None:
        number, link = message.number, self.link
        if isinstance(message, OpenedMessage):
            self._clients[number] = RemoteClient(link, number, name=message.name, endpoint=message.endpoint)
        elif isinstance(message, ClosedMessage):
            self._remove(number)
        else:
            self._leader.post(message.name, message.fields, lambda receipt: link.send_frame(number, receipt))

    def _remove(self, number: int) -> None:
        client = self._clients.pop(number)
        self._leader.remove(client, client.endpoint)

    def _on_lost(self) -> None:
        """Remove all clients of the edge."""
        for number in list(self._clients):
            self._remove(number)


class NullLeader(NullServer):
    """The null server without HTTP and WebSockets."""

    def __init__(self, path: Path, socket_path: Path) -> None:
        super().__init__(path)
        self._socket_path = socket_path

    async def start_endpoint(self) -> dict[str, Any]:
        """Accept connections of edges; return the line to print."""
        loop = asyncio.get_running_loop()
        flush_scheduler = FlushScheduler(loop.call_soon)
        # A server without a reference is collected, and its socket closed.
        self._endpoint = await loop.create_unix_server(lambda: FrontConnection(self, flush_scheduler).link, str(self._socket_path))
        return {"ready": True}

    def encode_outgoing(self, frame: Any) -> Any:
        """Return the frame unchanged: bundles are encoded as a whole."""
        return frame


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(NullLeader(Path(sys.argv[1]), Path(sys.argv[2])).run())
