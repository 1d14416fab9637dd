"""Common base of the three clients: connect, close, read events, send commands."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, ClassVar, Self

from router.client.link import Link, LinkOptions
from router.client.tokens import TokenProvider
from router.model.events import Event
from router.wire import frames as f


class SocketClient(ABC):
    """Client of one of the router's WebSockets; abstract, use DesktopClient, GatewayClient or SupervisorClient.

    ``url`` is ``ws://host:port`` or ``wss://host:port``, ``token`` a bearer token or a (sync or async) function that returns a
    fresh one, ``codec`` either ``msgpack`` or ``json``.
    """

    path: ClassVar[str]

    def __init__(
        self,
        url: str,
        token: str | TokenProvider,
        *,
        codec: str = "msgpack",
        options: LinkOptions | None = None,
    ) -> None:
        self._link = Link(
            url.rstrip("/") + self.path,
            token,
            codec=codec,
            options=options or LinkOptions(),
            hear=self._hear,
        )

    async def __aenter__(self) -> Self:
        """Connect and wait for the initial state. Raises ClosedForGood or NotConnected."""
        await self._link.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._link.close()

    def __aiter__(self) -> AsyncIterator[f.Welcome | f.EventFrame | f.Figures]:
        """Iterate over the frames, without gaps across reconnects.

        A ``Welcome`` in between means that more events were missed than the router keeps for replay: the state was loaded
        again and the events that led to it are not delivered. The iteration ends when this side closes the connection, and
        raises ClosedForGood when the router closes it permanently. Only one reader at a time.
        """
        return self._link.events()

    async def events(self) -> AsyncIterator[Event]:
        """Iterate over the events alone, without their sequence numbers and times."""
        async for frame in self._link.events():
            if isinstance(frame, f.EventFrame):
                yield frame.event

    @property
    def welcome(self) -> f.Welcome:
        """Last full state sent by the router."""
        assert self._link.welcome is not None, "the client is not connected yet"
        return self._link.welcome

    @property
    def gen(self) -> str:
        """Id of the workspace's event history; it changes if the router starts with another history."""
        return self._link.gen

    @property
    def seq(self) -> int:
        """Sequence number up to which this client has received every event that it may see."""
        return self._link.seq

    @property
    def connections(self) -> int:
        """Number of connections so far; 1 means that the connection was never lost."""
        return self._link.connections

    @property
    def is_live(self) -> bool:
        """Whether a connection is established."""
        return self._link.is_live

    async def drop_connection(self) -> None:
        """Abort the TCP connection without a closing handshake, to test the behaviour after a connection loss."""
        await self._link.drop()

    async def ping(self) -> f.Pong:
        """Send a heartbeat; the answer carries the number of the last event sent and the router's clock."""
        pong = await self._link.ask(f.Ping(id=self._id()))
        assert isinstance(pong, f.Pong)
        return pong

    def _id(self) -> str:
        return self._link.next_id()

    async def _command(self, frame: Any) -> f.Ok:
        answer = await self._link.ask(frame)
        assert isinstance(answer, f.Ok)
        return answer

    @abstractmethod
    def _hear(self, frame: f.Welcome | f.Page | f.EventFrame | f.Figures) -> None:
        """Apply a frame to the local copy of the state."""
