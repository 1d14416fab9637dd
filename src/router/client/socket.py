"""What the three clients have in common: opening, closing, reading, sending."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, ClassVar, Self

from router.client.link import Link, LinkOptions
from router.client.tokens import TokenProvider
from router.model.events import Event
from router.wire import frames as f


class SocketClient(ABC):
    """A client of one of the router's sockets. Use one of the three that inherit from it."""

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
        """Connect and wait for the state. Raises ClosedForGood or NotConnected."""
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
        """What happens, gap-free over reconnects.

        A ``Welcome`` in between says: too much was missed, the state is anew. Ends when this side closes; raises
        ClosedForGood when the router closes for good.
        """
        return self._link.events()

    async def events(self) -> AsyncIterator[Event]:
        """Only the events, without their numbers and times."""
        async for frame in self._link.events():
            if isinstance(frame, f.EventFrame):
                yield frame.event

    @property
    def welcome(self) -> f.Welcome:
        """The last full state that the router sent."""
        assert self._link.welcome is not None, "not entered yet"
        return self._link.welcome

    @property
    def gen(self) -> str:
        """The generation of the history."""
        return self._link.gen

    @property
    def seq(self) -> int:
        """Everything that this client may see is known up to this event."""
        return self._link.seq

    @property
    def connections(self) -> int:
        """How many connections there have been; 1 = never lost."""
        return self._link.connections

    @property
    def is_live(self) -> bool:
        """True while there is a connection."""
        return self._link.is_live

    async def drop_connection(self) -> None:
        """Lose the connection on purpose, without a close: for trials of what happens then."""
        await self._link.drop()

    async def ping(self) -> f.Pong:
        """A heartbeat now; its answer says up to which event everything has been sent."""
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
        """Fold a frame into the mirror."""
