"""The null server without its doors: the same work and the same journal, for clients whose sockets edge processes hold.

What an edge has done already is not done here: the HTTP of the upgrade, the framing, the write to each socket. What is left is
what one process has to do for all: decide, encode, commit, tell. There is neither back pressure nor a credential between the
processes.

    python benchmarks/server/null_leader.py JOURNAL SOCKET      prints one line of JSON once edges may come
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
    OpenedMessage,
    Upwards,
    decode_upwards,
)
from benchmarks.server.null_server import NullServer
from router.protocol.session import Endpoint
from router.server.ws.write_buffer import FlushScheduler


class RemoteClient:
    """A client that an edge holds."""

    __slots__ = ("_link", "_number", "door", "name")

    def __init__(self, link: BundleConnection, number: int, *, name: str, door: Endpoint) -> None:
        self._link = link
        self._number = number
        self.name = name
        self.door = door

    def put(self, told: Any) -> None:
        """Send a frame, not yet encoded: the bundle is, as a whole."""
        self._link.flush(self._number, told)


class FrontConnection:
    """One edge process, as the leader sees it."""

    def __init__(self, leader: "NullLeader", end_of_tick: FlushScheduler) -> None:
        self.link = BundleConnection(
            end_of_tick, decode=decode_upwards, hear=self._hear, lost=self._lost
        )
        self._leader = leader
        self._clients: dict[int, RemoteClient] = {}

    def _hear(self, messages: list[Upwards]) -> None:
        clients, carry_out = self._clients, self._leader.execute
        for message in messages:
            if type(message) is ClientMessage:
                client = clients[message.number]
                carry_out(client, client.door, message.ask)
            else:
                self._hear_rarer(message)

    def _hear_rarer(self, message: Any) -> None:
        number, link = message.number, self.link
        if isinstance(message, OpenedMessage):
            self._clients[number] = RemoteClient(link, number, name=message.name, door=message.door)
        elif isinstance(message, ClosedMessage):
            self._forget(number)
        else:
            self._leader.post(
                message.name, message.fields, lambda receipt: link.flush(number, receipt)
            )

    def _forget(self, number: int) -> None:
        client = self._clients.pop(number)
        self._leader.forget(client, client.door)

    def _lost(self) -> None:
        """All its clients are gone with it."""
        for number in list(self._clients):
            self._forget(number)


class NullLeader(NullServer):
    """Everything but the doors."""

    def __init__(self, path: Path, socket_path: Path) -> None:
        super().__init__(path)
        self._socket_path = socket_path

    async def start_endpoint(self) -> dict[str, Any]:
        """Let edges come."""
        loop = asyncio.get_running_loop()
        end_of_tick = FlushScheduler(loop.call_soon)
        await loop.create_unix_server(
            lambda: FrontConnection(self, end_of_tick).link, str(self._socket_path)
        )
        return {"ready": True}

    def wire(self, told: Any) -> Any:
        """As it is: whole bundles are encoded."""
        return told


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(NullLeader(Path(sys.argv[1]), Path(sys.argv[2])).run())
