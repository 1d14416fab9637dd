"""How a client comes to be live: the state as of one event, then what has happened since, then events as they happen.

The state is asked of the writer; what has happened since it is taken from the publisher, at the client's pace, until nothing is
left; at that very point the seat goes live. So nothing is missing in between, nothing comes twice, and nothing is buffered.
A client that resumes skips the state.
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

# So many missed events go out in one write before the client's pace counts.
_CATCH_UP_COUNT: Final = 128
_ATTEMPTS: Final = 5


class Arriving(Seat, Protocol):
    """A connection that is not live yet."""

    @property
    def is_closing(self) -> bool:
        """True once a close has begun."""

    def send(self, frame: Tell) -> None:
        """Put a frame into the outbox."""

    async def write(self, frames: list[Tell]) -> None:
        """Send past the outbox, waiting for the client. Raises TimeoutError where it does not take them."""


class Arrival:
    """The way of one connection to its live place."""

    def __init__(self, seat: Arriving, hub: Hub, writer: Writer, settings: SocketSettings) -> None:
        self._seat = seat
        self._hub = hub
        self._writer = writer
        self._settings = settings

    async def enter(self, resume: str | None) -> bool:
        """Send what was missed, or the state and what has happened since. True: the seat is live."""
        seat = self._seat
        if resume is not None and await self._resume(resume):
            return True
        for _ in range(_ATTEMPTS):
            if seat.is_closing:
                return False
            question = standing_of(seat.role, seat.subject)
            answered = await self._writer.ask(seat.workspace, question)
            await seat.write(self._welcome(answered))
            if await self._catch_up(answered.gen, answered.seq):
                return True
        # It reads more slowly than the workspace moves: a live place would be lost at once, too.
        seat.close(CloseCode.SLOW_CONSUMER, "too slow")
        return False

    async def _resume(self, resume: str) -> bool:
        seat = self._seat
        now = await self._writer.ask(seat.workspace, _nothing)
        after = resume_after(resume, gen=now.gen, seq=now.seq)
        if after is None:
            return False
        await self._hub.look_back(seat, now.gen, after)
        if seat.is_closing or self._hub.missed(seat, now.gen, after) is None:
            return False
        await seat.write([self._resumed(now, after)])
        return await self._catch_up(now.gen, after)

    async def _catch_up(self, gen: str, after: int) -> bool:
        """Send what has happened after an event, and go live at the very point where it ends."""
        seat = self._seat
        while True:
            await self._hub.look_back(seat, gen, after)
            if seat.is_closing:
                return False
            events = self._hub.missed(seat, gen, after)
            if events is None:
                return False
            if len(events) <= _CATCH_UP_COUNT:
                for event in events:
                    seat.send(_event_frame(event))
                self._hub.go_live(seat, events[-1][0] if events else after)
                return True
            await seat.write([_event_frame(event) for event in events])
            after = events[-1][0]

    def _resumed(self, now: Answered[None], after: int) -> Resumed:
        seat = self._seat
        return Resumed(
            role=seat.role,
            workspace=seat.workspace,
            gen=now.gen,
            epoch=now.epoch,
            seq=after,
            until_seq=now.seq,
            heartbeat_s=self._settings.heartbeat_s,
            session_id=seat.session_id,
        )

    def _welcome(self, answered: Answered[Any]) -> list[Tell]:
        seat = self._seat
        standing: Standing = answered.value
        first, *rest = standing.pages()
        welcome = Welcome(
            role=seat.role,
            workspace=seat.workspace,
            gen=answered.gen,
            epoch=answered.epoch,
            seq=answered.seq,
            at_ms=answered.at_ms,
            heartbeat_s=self._settings.heartbeat_s,
            session_id=seat.session_id,
            pages=len(rest),
            agent=standing.agent,
            contacts=first.contacts,
            agents=first.agents,
            figures=standing.figures,
        )
        return [welcome, *rest]


def _nothing(engine: Engine) -> None:
    return None


def _event_frame(event: tuple[int, int, Event]) -> EventFrame:
    seq, at_ms, what = event
    return EventFrame(seq=seq, at_ms=at_ms, event=as_sent(what))
