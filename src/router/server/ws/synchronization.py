"""Initial synchronization of a client: a consistent state, the events since, then live events.

Theory of operation. The writer provides the state as of one event, built in slices between commands, which is sent in
``welcome`` and further pages of limited size. Events after it come from the publisher's recent records and are sent at the
client's pace, batch by batch. When at most ``_CATCH_UP_COUNT`` remain, they are put into the write buffer and the client
becomes live in the same call, without an await in between. The event loop runs no other code there, so no event is lost or
sent twice, and no events need to be buffered for a client that is not live.

A client that resumes skips the state; a moderate number of events that have been dropped from memory is read from the
journal through the event feed. A client that reads more slowly than the workspace produces events is closed as a slow
consumer.
"""

import asyncio
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import zip_longest
from typing import Any, Final, Protocol

from msgspec import Struct, field, structs

from router.engine.engine import Engine
from router.engine.queries.slices import Views
from router.model.events import Event
from router.model.filters import SupervisorScope
from router.model.views import AgentView, ContactView, WorkspaceView
from router.protocol.audience import is_visible_to
from router.protocol.close_codes import CloseCode
from router.protocol.frames import EventFrame, ResumedFrame, ServerFrame, StatePageFrame, WelcomeFrame
from router.protocol.session import parse_position, resume_position
from router.runtime.event_feed import FeedPosition
from router.runtime.workspace import QueryResult
from router.runtime.writer import Writer
from router.server.api.idempotency import public_event
from router.server.ws.hub import Hub, Subscriber
from router.server.ws.scoped_views import AGENTS_PER_TURN, in_scope, scoped_totals, workspace_state
from router.server.ws.statistics_views import in_steps
from router.settings import SocketSettings

# Up to this many missed events are sent in one write; more are sent at the client's pace.
_CATCH_UP_COUNT: Final = 128

# Events that are encoded before other tasks run; a page of the state takes two turns.
_FRAMES_PER_TURN: Final = 32

# Records read from the journal at once.
_LOG_RECORDS: Final = 256

# A resume may read this many events from the journal, and this many clients at the same time: reading is on the journal's
# thread, between commits. Others get the full state, which is cheaper than a long history.
_LOG_EVENTS_MAX: Final = 2_000
_LOG_READS_MAX: Final = 4

_ATTEMPTS: Final = 5


class SyncingSubscriber(Subscriber, Protocol):
    """A connection that is not live yet."""

    @property
    def is_closing(self) -> bool:
        """Whether closing has started."""

    def send(self, frame: ServerFrame) -> None:
        """Put a frame into the write buffer."""

    async def write_and_drain(self, frames: Iterable[ServerFrame]) -> None:
        """Write frames directly and wait until the client accepts them. Raises TimeoutError if it does not."""


class InitialSync:
    """Synchronization of one connection until it is live."""

    def __init__(self, subscriber: SyncingSubscriber, hub: Hub, writer: Writer, settings: SocketSettings) -> None:
        self._subscriber = subscriber
        self._hub = hub
        self._writer = writer
        self._settings = settings

    async def run(self, resume: str | None) -> bool:
        """Send the missed events, or the state and the events since; return whether the connection became live.

        ``resume``: position of the last event that the client has; None: send the state.
        """
        subscriber = self._subscriber
        if subscriber.scope is not None:
            return await self._begin_scoped(subscriber.scope)
        if resume is not None and await self._resume(resume):
            return True
        for _ in range(_ATTEMPTS):
            if subscriber.is_closing:
                return False
            query = visible_state_query(subscriber.role, subscriber.subject)
            answered = await self._writer.query_in_slices(subscriber.workspace, query)
            history_id, seq = answered.history_id, answered.seq
            await self._write(self._welcome(answered))
            if await self._catch_up(history_id, seq):
                return True
        # The client reads more slowly than events occur; as a live subscriber it would be closed at once.
        subscriber.close(CloseCode.SLOW_CONSUMER, "too slow")
        return False

    async def _begin_scoped(self, scope: SupervisorScope) -> bool:
        """Send what is in a scope; changes follow as views, so there is nothing to catch up, or to resume from."""
        subscriber = self._subscriber
        answered = await self._writer.query_in_slices(subscriber.workspace, workspace_state)
        stats, everyone = answered.value
        (sent, _), agents = await in_steps(in_scope(scope, stats, everyone)), Views[AgentView]()
        for count, (name, view) in enumerate(sent.agents.items(), start=1):
            agents.add(name, view)
            if count % AGENTS_PER_TURN == 0:
                await asyncio.sleep(0)
        totals, _ = await in_steps(scoped_totals(stats, sent))
        visible = VisibleState(agents=agents, stats=totals)
        await self._write(self._welcome(structs.replace(answered, value=visible)))
        if subscriber.is_closing:
            return False
        self._hub.go_live(subscriber, answered.seq)
        self._hub.scoped_views.begin(subscriber, sent)
        return True

    async def _resume(self, resume: str) -> bool:
        subscriber = self._subscriber
        now = await self._writer.query(subscriber.workspace, _no_query)
        after = resume_position(resume, history_id=now.history_id, seq=now.seq)
        if after is None:
            position = parse_position(resume)
            if position is not None:
                self._writer.note_position(subscriber.workspace, *position)
            return False
        if self._hub.must_reload(subscriber.workspace, after):
            return False
        await self._hub.prepare_replay(subscriber, now.history_id, after)
        if subscriber.is_closing:
            return False
        if self._hub.is_replayable(subscriber, now.history_id, after):
            if self._hub.missed_events(subscriber, now.history_id, after) is None:
                return False
            await subscriber.write_and_drain([self._resumed(now, after)])
        else:
            dropped = self._hub.dropped_count(subscriber, after)
            if (
                dropped > _LOG_EVENTS_MAX
                or now.seq - after > self._settings.resume_count_max
                or self._hub.log_reads >= _LOG_READS_MAX
                or after + 1 < self._writer.feed.first_seq(subscriber.workspace)
            ):
                return False
            self._hub.log_reads += 1
            try:
                await subscriber.write_and_drain([self._resumed(now, after)])
                after = await self._send_from_log(now.history_id, after)
            finally:
                self._hub.log_reads -= 1
        return await self._catch_up(now.history_id, after)

    async def _send_from_log(self, history_id: str, after: int) -> int:
        """Send events that are no longer in memory; return the position of the last one read."""
        subscriber, feed = self._subscriber, self._writer.feed
        while not self._hub.is_replayable(subscriber, history_id, after):
            position = FeedPosition(history_id, after)
            records = await feed.read(subscriber.workspace, position, limit=_LOG_RECORDS)
            frames = [
                _event_frame((seq, published.record.at_ms, event))
                for published in records
                for seq, event in enumerate(published.record.events, published.record.first_seq)
                if seq > after and is_visible_to(event, role=subscriber.role, subject=subscriber.subject)
            ]
            await self._write(frames)
            if not records or subscriber.is_closing:
                break
            after = records[-1].record.last_seq
        return after

    async def _catch_up(self, history_id: str, after: int) -> bool:
        """Send the events after a position and become live exactly where they end."""
        subscriber = self._subscriber
        is_loaded = False
        while True:
            await self._hub.prepare_replay(subscriber, history_id, after)
            if subscriber.is_closing:
                return False
            events = self._hub.missed_events(subscriber, history_id, after)
            if events is None:
                return False
            if len(events) <= _CATCH_UP_COUNT:
                references = self._hub.references
                if not is_loaded and not references.are_loaded(event for _, _, event in events):
                    is_loaded = True
                    await references.load(subscriber.workspace, (event for _, _, event in events))
                    continue
                for seq, at_ms, event in events:
                    subscriber.send(_event_frame((seq, at_ms, references.event(event))))
                self._hub.go_live(subscriber, events[-1][0] if events else after)
                return True
            await self._write(_event_frame(event) for event in events)
            after = events[-1][0]

    async def _write(self, frames: Iterable[ServerFrame]) -> None:
        """Write frames with the references of their contacts, and wait for the client."""
        subscriber, references = self._subscriber, self._hub.references
        for count, frame in enumerate(frames, start=1):
            completed = await references.complete(subscriber.workspace, frame)
            is_page = type(frame) is WelcomeFrame or type(frame) is StatePageFrame
            if is_page:
                await asyncio.sleep(0)
            await subscriber.write_and_drain([completed])
            # A client that reads fast enough never makes it wait; other tasks must run all the same.
            if is_page or count % _FRAMES_PER_TURN == 0:
                await asyncio.sleep(0)

    def _resumed(self, now: QueryResult[None], after: int) -> ResumedFrame:
        subscriber = self._subscriber
        return ResumedFrame(
            role=subscriber.role,
            workspace=subscriber.workspace,
            history_id=now.history_id,
            epoch=now.epoch,
            seq=after,
            until_seq=now.seq,
            heartbeat_s=self._settings.heartbeat_s,
            session_id=subscriber.session_id,
            leader_url=self._hub.leader_url(subscriber.workspace),
        )

    def _welcome(self, answered: QueryResult[Any]) -> Iterator[ServerFrame]:
        """Yield ``welcome`` and the further pages of the state, each made when it is sent."""
        subscriber = self._subscriber
        visible: VisibleState = answered.value
        rest = visible.page_count - 1
        pages = visible.take_pages()
        first = next(pages)
        yield WelcomeFrame(
            role=subscriber.role,
            workspace=subscriber.workspace,
            history_id=answered.history_id,
            epoch=answered.epoch,
            seq=answered.seq,
            at_ms=answered.at_ms,
            heartbeat_s=self._settings.heartbeat_s,
            session_id=subscriber.session_id,
            leader_url=self._hub.leader_url(subscriber.workspace),
            state_page_count=rest,
            agent=visible.agent,
            contacts=first.contacts,
            agents=first.agents,
            stats=visible.stats,
        )
        yield from pages


def _no_query(engine: Engine) -> None:
    return None


def _event_frame(event: tuple[int, int, Event]) -> EventFrame:
    seq, at_ms, payload = event
    return EventFrame(seq=seq, at_ms=at_ms, event=public_event(payload))


class VisibleState(Struct, frozen=True, kw_only=True):
    """Complete state visible to one client, as of one event."""

    agent: AgentView | None = None
    contacts: Views[ContactView] = field(default_factory=Views)
    agents: Views[AgentView] = field(default_factory=Views)
    stats: WorkspaceView | None = None

    @property
    def page_count(self) -> int:
        """Number of pages; at least one, which may be empty."""
        return max(self.contacts.page_count, self.agents.page_count)

    def take_pages(self) -> Iterator[StatePageFrame]:
        """Yield contacts and agents in pages and release them."""
        pages = zip_longest(self.contacts.take_pages(), self.agents.take_pages(), fillvalue=())
        return (StatePageFrame(contacts=contacts, agents=agents) for contacts, agents in pages)


def visible_state_query(role: str, subject: str) -> Callable[[Engine], Generator[None, None, VisibleState]]:
    """Return the engine query for the state visible to a client, which is as of the last turn of the query."""
    if role == "agent":
        return lambda engine: _agent_state(engine, subject)
    if role == "gateway":
        return lambda engine: _gateway_state(engine, subject)
    return _supervisor_state


def _agent_state(engine: Engine, agent_id: str) -> Generator[None, None, VisibleState]:
    yield from ()
    return VisibleState(agent=engine.agent(agent_id))


def _gateway_state(engine: Engine, gateway_id: str) -> Generator[None, None, VisibleState]:
    contacts = yield from engine.live_contacts(gateway_id)
    return VisibleState(contacts=contacts)


def _supervisor_state(engine: Engine) -> Generator[None, None, VisibleState]:
    # The figures come first: they are sent again after the welcome, while the agents must be as of the last turn.
    stats = yield from engine.workspace_in_slices()
    agents = yield from engine.all_agents()
    return VisibleState(stats=stats, agents=agents)
