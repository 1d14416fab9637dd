"""Common base of the three clients: connect, close, read events, send commands."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, ClassVar, Self, TypedDict, Unpack

import msgspec

from router.client.connection import ConnectionOptions, DeliveredFrame, ReceivedUpdate, ReconnectingConnection
from router.client.errors import OutcomeUnknown
from router.client.reconnect import TokenProvider
from router.model.events import Event
from router.protocol import frames as f


class KeyGuard(TypedDict, total=False):
    """Guard of every command: a repeat with the same idempotency key changes nothing and gets the first answer."""

    idempotency_key: str | None


class Guard(KeyGuard, total=False):
    """Guards of commands on contacts and agents, which have entity tags.

    ``if_match`` is the ``tag`` of an earlier answer, or ``*`` for any: if the contact or the agent has changed since, the command
    is refused with ``precondition_failed``.
    """

    if_match: str | None


class WebSocketClient(ABC):
    """Client of one of the router's WebSockets; abstract, use DesktopClient, GatewayClient or SupervisorClient.

    ``url`` is ``ws://host:port`` or ``wss://host:port``, ``token`` a bearer token or a (sync or async) function that returns a
    fresh one, ``codec`` either ``msgpack`` or ``json``; ``options`` are timeouts, limits and TLS. Raises ValueError for a URL that
    cannot be right.
    """

    path: ClassVar[str]

    def __init__(
        self, url: str, token: str | TokenProvider, *, codec: str = "msgpack", options: ConnectionOptions | None = None
    ) -> None:
        self._connection = ReconnectingConnection(
            url.rstrip("/") + self.path, token, codec=codec, options=options or ConnectionOptions(), on_frame=self._on_frame
        )

    async def __aenter__(self) -> Self:
        """Connect and wait for the initial state. Raises PermanentlyClosed or NotConnected."""
        await self._connection.open()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.close()

    def __aiter__(self) -> AsyncIterator[DeliveredFrame]:
        """Iterate over the frames, without gaps across reconnects.

        A ``Welcome`` in between means that more events were missed than the router keeps for replay: the state was loaded
        again and the events that led to it are not delivered. The iteration ends when this side closes the connection, and
        raises PermanentlyClosed when the router closes it permanently. Only one reader at a time.
        """
        return self._connection.events()

    async def events(self) -> AsyncIterator[Event]:
        """Iterate over the events alone, without their sequence numbers and times."""
        async for frame in self._connection.events():
            if isinstance(frame, f.EventFrame):
                yield frame.event

    @property
    def welcome(self) -> f.WelcomeFrame:
        """Last full state sent by the router."""
        assert self._connection.welcome is not None, "the client is not connected yet"
        return self._connection.welcome

    @property
    def history_id(self) -> str:
        """Id of the workspace's event history; it changes if the router starts with another history."""
        return self._connection.history_id

    @property
    def seq(self) -> int:
        """Sequence number up to which this client has received every event that it may see."""
        return self._connection.seq

    @property
    def leader_url(self) -> str | None:
        """What the router that leads the workspace advertises, as the newest connection has told; None: nothing."""
        return self._connection.leader_url

    @property
    def connection_count(self) -> int:
        """Number of connections so far; 1 means that the connection was never lost."""
        return self._connection.connection_count

    @property
    def is_connected(self) -> bool:
        """Whether a connection is established."""
        return self._connection.is_connected

    async def drop_connection(self) -> None:
        """Abort the TCP connection without a closing handshake, to test the behaviour after a connection loss."""
        await self._connection.abort()

    async def ping(self) -> f.PongFrame:
        """Send a heartbeat; the answer carries the number of the last event sent and the router's clock."""
        pong = await self._connection.request(f.PingFrame(id=self._next_id()))
        assert isinstance(pong, f.PongFrame)
        return pong

    def _next_id(self) -> str:
        return self._connection.next_id()

    async def _send_command(self, frame: Any, **guard: Unpack[Guard]) -> f.OkFrame:
        key = guard.get("idempotency_key")
        given = {name: value for name, value in guard.items() if value is not None}
        try:
            answer = await self._connection.request(msgspec.structs.replace(frame, **given) if given else frame)
        except OutcomeUnknown as unknown:
            raise (unknown if key is None else OutcomeUnknown(str(unknown), key)) from None
        assert isinstance(answer, f.OkFrame)
        return answer

    @abstractmethod
    def _on_frame(self, frame: ReceivedUpdate) -> None:
        """Apply a frame to the local copy of the state."""
