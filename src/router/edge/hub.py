"""Who sits where: from committed events to the sockets that may hear of them.

The hub listens to the publisher, so everything that it passes on is durable. An event is encoded once for each codec, however
many sockets get it. It also knows the one desktop of each agent, tells supervisors which queues changed, and empties the
house for a drain. It never waits for a socket: what a socket cannot take is its outbox's affair.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from typing import Final, Protocol, cast

import structlog

from router.edge.audience import agents_of, as_sent, gateway_of
from router.edge.departures import Departures
from router.edge.outbox import EndOfTick
from router.edge.recall import Past, Recall
from router.model.errors import InboxFull, RouterError
from router.model.events import AgentRemoved, DesktopConnected, Event
from router.model.views import QueueView
from router.runtime.publisher import Published, Publisher
from router.runtime.writer import Writer
from router.settings import SocketSettings
from router.wire.close_codes import CloseCode
from router.wire.codec import JSON, SUBPROTOCOLS, encoder
from router.wire.frames import EventFrame, Figures, Reconnect, Tell
from router.wire.rfc6455 import BINARY, TEXT
from router.wire.rfc6455 import frame as framed_as

_log = structlog.get_logger(__name__)

_DRAIN_STEP_S: Final = 0.1


class Seat(Protocol):
    """A connection as the hub sees it."""

    session_id: str
    workspace: str
    role: str
    subject: str
    subprotocol: str
    live: bool
    """True: it gets events as they happen."""
    attached: bool
    """Desktops: its own DesktopConnected has been published."""
    figures_fresh: bool
    """Supervisors: it has had all queues since it came."""

    def deliver(self, frame: bytes) -> None:
        """Put a whole frame into the outbox."""

    def close(self, code: CloseCode, text: str) -> None:
        """Begin to close; does not wait."""


class _Room:
    """The seats of one workspace."""

    def __init__(self) -> None:
        self.seats: dict[str, Seat] = {}
        self.desktops: dict[str, list[Seat]] = {}
        self.gateways: dict[str, list[Seat]] = {}
        self.supervisors: list[Seat] = []
        self.gen = ""
        self.seq = 0
        """The newest published event: every live seat has all of its own up to here."""
        self.queues: dict[str, QueueView] = {}
        self.figures_due: asyncio.TimerHandle | None = None
        self.recall: Recall | None = None

    def places(self, seat: Seat) -> list[Seat]:
        if seat.role == "agent":
            return self.desktops.setdefault(seat.subject, [])
        if seat.role == "gateway":
            return self.gateways.setdefault(seat.subject, [])
        return self.supervisors


class Hub:
    """The seats of all workspaces. Lives on the event loop; none of its methods but ``drain`` and ``stop`` waits."""

    def __init__(self, writer: Writer, publisher: Publisher, settings: SocketSettings) -> None:
        self._writer = writer
        self._publisher = publisher
        self._settings = settings
        self._rooms: dict[str, _Room] = {}
        self._encoders = {
            name: (encoder(name).encode, TEXT if name == JSON else BINARY) for name in SUBPROTOCOLS
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen_off: set[Seat] = set()
        """Those whose close has begun and is not over."""
        self.end_of_tick = EndOfTick(lambda run: asyncio.get_running_loop().call_soon(run))
        """When outboxes write."""
        self.departures = Departures(writer)
        """What lost connections leave behind."""
        self._empty = asyncio.Event()
        self.draining = False
        publisher.subscribe(self.on_published)

    # --- seats --------------------------------------------------------------------------------
    @property
    def seat_count(self) -> int:
        """Authenticated connections."""
        return sum(len(room.seats) for room in self._rooms.values())

    def seats(self) -> Iterator[Seat]:
        """All of them, workspace by workspace."""
        for room in self._rooms.values():
            yield from room.seats.values()

    def count_of(self, workspace: str, role: str, subject: str) -> int:
        """How many connections one credential has."""
        room = self._rooms.get(workspace)
        if room is None:
            return 0
        if role == "agent":
            return len(room.desktops.get(subject, ()))
        if role == "gateway":
            return len(room.gateways.get(subject, ()))
        return sum(1 for seat in room.supervisors if seat.subject == subject)

    def join(self, seat: Seat) -> None:
        """Know the connection; it hears nothing before it is ``live``."""
        room = self._rooms.setdefault(seat.workspace, _Room())
        room.seats[seat.session_id] = seat
        room.places(seat).append(seat)

    def leave(self, seat: Seat) -> None:
        """Forget the connection. Idempotent."""
        room = self._rooms.get(seat.workspace)
        if room is None or room.seats.pop(seat.session_id, None) is None:
            return
        places = room.places(seat)
        places.remove(seat)
        if not places and seat.role in ("agent", "gateway"):
            (room.desktops if seat.role == "agent" else room.gateways).pop(seat.subject)
        if not room.seats:
            if room.figures_due is not None:
                room.figures_due.cancel()
            del self._rooms[seat.workspace]
            self._note_empty()

    def see_off(self, seat: Seat) -> None:
        """It begins to close: a drain waits for it."""
        self._seen_off.add(seat)

    def seen_off(self, seat: Seat) -> None:
        """It is no more. Idempotent."""
        self._seen_off.discard(seat)
        self._note_empty()

    async def look_back(self, seat: Seat, gen: str, after_seq: int) -> None:
        """Before ``missed``, so that this need not go through the whole past in one go."""
        recall = self._recall(seat.workspace, gen)
        if recall is not None and seat.role in ("agent", "gateway"):
            await recall.look_back(after_seq)

    def _recall(self, workspace: str, gen: str) -> Recall | None:
        """None: nobody is there any more."""
        room = self._rooms.get(workspace)
        if room is None:
            return None
        if room.recall is None or room.recall.gen != gen:
            room.recall = Recall(self._publisher, workspace, gen)
        return room.recall

    def missed(self, seat: Seat, gen: str, after_seq: int) -> list[Past] | None:
        """What the seat may see after an event, as (seq, at_ms, event); none: too long ago to tell."""
        count_max = self._settings.resume_count_max
        of_all = self._publisher.last_seq(seat.workspace) - after_seq
        if seat.role not in ("agent", "gateway") and of_all > count_max:
            return None  # All of it is its own.
        recall = self._recall(seat.workspace, gen)
        if recall is None:
            return None
        past = recall.since(after_seq, role=seat.role, subject=seat.subject)
        if past is not None and len(past) > count_max:
            return None
        return past

    def go_live(self, seat: Seat, seq: int) -> None:
        """From now on the seat hears events as they happen; it has everything of its own up to ``seq``."""
        seat.live = True
        room = self._rooms[seat.workspace]
        room.seq = max(room.seq, seq)
        if seat in room.supervisors and room.figures_due is None:
            # What changed since its welcome was told to the others before it was live.
            self._plan_figures(seat.workspace, room)

    def position(self, workspace: str) -> int:
        """The newest event that the live seats of the workspace know of."""
        room = self._rooms.get(workspace)
        return room.seq if room else 0

    # --- events ---------------------------------------------------------------------------------
    def on_published(self, published: Published) -> None:
        """A record is durable: tell those who may hear of it."""
        room = self._rooms.get(published.workspace)
        if room is None:
            return
        record = published.record
        seq = record.first_seq
        for event in record.events:
            kind = type(event)
            if kind is DesktopConnected:
                self._take_over(room, cast(DesktopConnected, event))
            self._tell(_hearers(room, event), seq, record.at_ms, event)
            if kind is AgentRemoved:
                for seat in tuple(room.desktops.get(cast(AgentRemoved, event).agent_id, ())):
                    seat.close(CloseCode.FORBIDDEN, "the agent is no more")
            seq += 1
        room.seq = max(room.seq, seq - 1)
        if room.supervisors and room.figures_due is None:
            self._plan_figures(published.workspace, room)

    def _tell(self, seats: list[Seat], seq: int, at_ms: int, event: Event) -> None:
        """Encoded once for each codec, and not at all where nobody hears."""
        encoded: dict[str, bytes] = {}
        for seat in seats:
            if not seat.live:
                continue
            frame = encoded.get(seat.subprotocol)
            if frame is None:
                tell = EventFrame(seq=seq, at_ms=at_ms, event=as_sent(event))
                frame = encoded[seat.subprotocol] = self.encode(tell, seat.subprotocol)
            seat.deliver(frame)

    def encode(self, frame: Tell, subprotocol: str) -> bytes:
        """A whole WebSocket frame for one client."""
        encode, opcode = self._encoders[subprotocol]
        return framed_as(opcode, encode(frame))

    def _take_over(self, room: _Room, event: DesktopConnected) -> None:
        """The log decides which desktop is the agent's: the one whose session was connected last."""
        for seat in tuple(room.desktops.get(event.agent_id, ())):
            if seat.session_id == event.session_id:
                seat.attached = True
            elif seat.attached:
                seat.attached = False
                seat.close(CloseCode.TAKEN_OVER, "another desktop took over")

    # --- what happens beside the sockets ----------------------------------------------------------
    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a reference to a task that nobody awaits, until it is done."""
        self._keep(task)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._note_empty()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error(
                "a socket's background task failed", action="hub_task_failed", exc_info=error
            )

    # --- figures ----------------------------------------------------------------------------------
    def _plan_figures(self, workspace: str, room: _Room) -> None:
        def due() -> None:
            self._keep(asyncio.create_task(self._send_figures(workspace, room)))

        delay_s = self._settings.figures_interval_ms / 1000
        room.figures_due = asyncio.get_running_loop().call_later(delay_s, due)

    async def _send_figures(self, workspace: str, room: _Room) -> None:
        room.figures_due = None  # Whatever happens from here on plans the next ones.
        try:
            answered = await self._writer.ask(workspace, lambda engine: engine.workspace().queues)
        except InboxFull:
            if self._rooms.get(workspace) is room and room.figures_due is None:
                self._plan_figures(workspace, room)
            return
        except RouterError:
            return
        before, room.queues = room.queues, {view.queue_id: view for view in answered.value}
        changed = tuple(view for view in answered.value if before.get(view.queue_id) != view)
        some = Figures(seq=answered.seq, at_ms=answered.at_ms, queues=changed)
        whole = Figures(seq=answered.seq, at_ms=answered.at_ms, queues=answered.value)
        encoded: dict[str, bytes] = {}
        for seat in room.supervisors:
            if not seat.live:
                continue
            if not seat.figures_fresh:
                # What changed between the last figures and its welcome may have changed back since.
                seat.figures_fresh = True
                seat.deliver(self.encode(whole, seat.subprotocol))
            elif changed:
                if seat.subprotocol not in encoded:
                    encoded[seat.subprotocol] = self.encode(some, seat.subprotocol)
                seat.deliver(encoded[seat.subprotocol])

    # --- the end ------------------------------------------------------------------------------------
    async def drain(self, deadline_s: float) -> None:
        """Send everybody away within so many seconds: ``reconnect`` at once, then 1012, spread over the time."""
        self.draining = True
        seats = list(self.seats())
        # A few desktops need no spreading; many are spread so that the next node gets some hundred a second.
        spread_s = min(
            self._settings.reconnect_spread_ms / 1000, deadline_s * 0.8, len(seats) / 200
        )
        leaving = sorted(
            ((random.uniform(0, spread_s), index) for index in range(len(seats))), reverse=True
        )
        for after_s, index in leaving:
            seat = seats[index]
            reconnect = Reconnect(after_ms=int(after_s * 1000))
            seat.deliver(self.encode(reconnect, seat.subprotocol))
        loop = asyncio.get_running_loop()
        began = loop.time()
        while leaving:
            now_s = loop.time() - began
            while leaving and leaving[-1][0] <= now_s:
                seats[leaving.pop()[1]].close(CloseCode.SERVICE_RESTART, "the router restarts")
            await asyncio.sleep(_DRAIN_STEP_S if leaving else 0)
        for seat in list(self.seats()):  # Those who came in between.
            seat.close(CloseCode.SERVICE_RESTART, "the router restarts")
        self._note_empty()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.1, deadline_s - (loop.time() - began))):
                await self._empty.wait()

    def _note_empty(self) -> None:
        if self._rooms or self._tasks or self._seen_off:
            self._empty.clear()
        else:
            self._empty.set()

    async def stop(self) -> None:
        """Wait for what runs beside the sockets; cancel what hangs. The writer hears of all desktops that are gone."""
        await self.departures.finish()
        for room in self._rooms.values():
            if room.figures_due is not None:
                room.figures_due.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _hearers(room: _Room, event: Event) -> list[Seat]:
    """The seats that hear of it, live or not yet."""
    found: list[Seat] = []
    for agent_id in agents_of(event):
        found += room.desktops.get(agent_id, ())
    gateway_id = gateway_of(event)
    if gateway_id is not None:
        found += room.gateways.get(gateway_id, ())
    if room.supervisors:
        found += room.supervisors
    return found
