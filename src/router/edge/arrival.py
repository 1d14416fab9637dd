"""Initial synchronization of a client: a consistent state, the events since, then live events.

Theory of operation. The writer provides the state as of one event. Events after it come from the publisher's recent records
and are sent at the client's pace, batch by batch. When at most ``_CATCH_UP_COUNT`` remain, they are put into the write buffer
and the client becomes live in the same call, without an await in between. The event loop runs no other code there, so no
event is lost or sent twice, and no events need to be buffered for a client that is not live. A client that resumes skips the
state. A client that reads more slowly than the workspace produces events is closed as a slow consumer.
"""

from typing import Any, Final, Protocol

from router.core.engine import Engine
from router.edge.audience import as_sent
from router.edge.hub import Hub, Seat
from router.edge.standing import Standing, standing_of
from router.model.events import Event
from router.runtime.writer import Answered, Writer
from router.settings import SocketSettings
from router.wire.close_codes import CloseCode
from router.wire.frames import EventFrame, Resumed, Tell, Welcome
from router.wire.session import resume_after

# Up to this many missed events are sent in one write; more are sent at the client's pace.
_CATCH_UP_COUNT: Final = 128
_ATTEMPTS: Final = 5


class Arriving(Seat, Protocol):
    """A connection that is not live yet."""

    @property
    def is_closing(self) -> bool:
        """Whether closing has started."""

    def send(self, frame: Tell) -> None:
        """Put a frame into the write buffer."""

    async def write(self, frames: list[Tell]) -> None:
        """Write frames directly and wait until the client accepts them. Raises TimeoutError if it does not."""


class Arrival:
    """Synchronization of one connection until it is live."""

    def __init__(
        self, subscriber: Arriving, hub: Hub, writer: Writer, settings: SocketSettings
    ) -> None:
        self._subscriber = subscriber
        self._hub = hub
        self._writer = writer
        self._settings = settings

    async def enter(self, resume: str | None) -> bool:
        """Send the missed events, or the state and the events since; return whether the connection became live.

        ``resume``: position of the last event that the client has; None: send the state.
        """
        subscriber = self._subscriber
        if resume is not None and await self._resume(resume):
            return True
        for _ in range(_ATTEMPTS):
            if subscriber.is_closing:
                return False
            query = standing_of(subscriber.role, subscriber.subject)
            answered = await self._writer.ask(subscriber.workspace, query)
            await subscriber.write(self._welcome(answered))
            if await self._catch_up(answered.gen, answered.seq):
                return True
        # The client reads more slowly than events occur; as a live subscriber it would be closed at once.
        subscriber.close(CloseCode.SLOW_CONSUMER, "too slow")
        return False

    async def _resume(self, resume: str) -> bool:
        subscriber = self._subscriber
        now = await self._writer.ask(subscriber.workspace, _no_query)
        after = resume_after(resume, gen=now.gen, seq=now.seq)
        if after is None:
            return False
        await self._hub.look_back(subscriber, now.gen, after)
        if subscriber.is_closing or self._hub.missed(subscriber, now.gen, after) is None:
            return False
        await subscriber.write([self._resumed(now, after)])
        return await self._catch_up(now.gen, after)

    async def _catch_up(self, gen: str, after: int) -> bool:
        """Send the events after a position and become live exactly where they end."""
        subscriber = self._subscriber
        while True:
            await self._hub.look_back(subscriber, gen, after)
            if subscriber.is_closing:
                return False
            events = self._hub.missed(subscriber, gen, after)
            if events is None:
                return False
            if len(events) <= _CATCH_UP_COUNT:
                for event in events:
                    subscriber.send(_event_frame(event))
                self._hub.go_live(subscriber, events[-1][0] if events else after)
                return True
            await subscriber.write([_event_frame(event) for event in events])
            after = events[-1][0]

    def _resumed(self, now: Answered[None], after: int) -> Resumed:
        subscriber = self._subscriber
        return Resumed(
            role=subscriber.role,
            workspace=subscriber.workspace,
            gen=now.gen,
            epoch=now.epoch,
            seq=after,
            until_seq=now.seq,
            heartbeat_s=self._settings.heartbeat_s,
            session_id=subscriber.session_id,
        )

    def _welcome(self, answered: Answered[Any]) -> list[Tell]:
        subscriber = self._subscriber
        visible: Standing = answered.value
        first, *rest = visible.pages()
        welcome = Welcome(
            role=subscriber.role,
            workspace=subscriber.workspace,
            gen=answered.gen,
            epoch=answered.epoch,
            seq=answered.seq,
            at_ms=answered.at_ms,
            heartbeat_s=self._settings.heartbeat_s,
            session_id=subscriber.session_id,
            pages=len(rest),
            agent=visible.agent,
            contacts=first.contacts,
            agents=first.agents,
            figures=visible.figures,
        )
        return [welcome, *rest]


def _no_query(engine: Engine) -> None:
    return None


def _event_frame(event: tuple[int, int, Event]) -> EventFrame:
    seq, at_ms, payload = event
    return EventFrame(seq=seq, at_ms=at_ms, event=as_sent(payload))
