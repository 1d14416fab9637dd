"""Connection registry: which clients are connected, and delivery of committed events to those that may see them.

Theory of operation. The hub subscribes to the event feed, so everything it delivers is durable. For each event it looks up the
recipients by agent, gateway or role, encodes the event at most once per codec, and puts the frame into the write buffers of
the recipients. An event whose reference another node has taken keeps its place for a few milliseconds, until that is read. The hub
never waits for a client: a client that does not keep up overflows its own write buffer and is closed.

The hub also decides which desktop session of an agent stays open (the one whose ``DesktopConnected`` event is latest in the
log; older ones are closed), sends changed queue statistics to supervisors at a fixed interval, and drains connections at
shutdown, spread over time so that the next node is not overloaded by reconnects.

Failures. A client whose frame cannot be encoded or written is closed alone, and the others get theirs. If the hub as a whole
fails on a record, the event feed delivers the record again; after ``_ATTEMPTS_MAX`` attempts it is given up. In both cases the
clients concerned are closed with a code after which they reconnect, and a position before the lost event is no longer resumed
from: such a client gets a ``welcome``, so that no client misses an event silently.

All state belongs to the event loop thread; only ``drain``, ``stop`` and ``prepare_replay`` are coroutines. A subscriber receives
events only while ``live``; see ``synchronization.py`` for the transition.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterable, Iterator
from typing import Final, Protocol, cast

import structlog

from router.cluster.status import LeaderUrl, no_leader_url
from router.context.cards import Card
from router.model.errors import CommandQueueFull, RouterError
from router.model.events import AgentRemoved, ContactAssigned, DesktopConnected, DesktopLost, Event, OfferMade, ParticipantAdded
from router.model.filters import SupervisorScope
from router.model.states import SEALED_REFERENCE
from router.model.views import QueueView
from router.protocol.audience import recipient_agents, recipient_gateways
from router.protocol.close_codes import CloseCode
from router.protocol.codec import JSON, SUBPROTOCOLS, frame_encoder
from router.protocol.frames import EventFrame, ReconnectFrame, ServerFrame, StatsFrame
from router.protocol.websocket_frames import BINARY, TEXT
from router.protocol.websocket_frames import encode_frame as framed_as
from router.runtime.publisher import PublishedRecord, Publisher
from router.runtime.writer import Writer
from router.server.api.idempotency import public_event
from router.server.customers.live_customers import LiveCustomers
from router.server.references import NO_REFERENCES, References
from router.server.ws.disconnects import DisconnectQueue
from router.server.ws.replay_index import ReplayIndex, StampedEvent
from router.server.ws.scoped_views import ScopedViews
from router.server.ws.write_buffer import FlushScheduler, ReservedPlace
from router.settings import SocketSettings

_log = structlog.get_logger(__name__)

_DRAIN_STEP_S: Final = 0.1
# Attempts to deliver a record before it is skipped and counted.
_ATTEMPTS_MAX: Final = 3
_BRINGS_A_CONTACT: Final = frozenset({OfferMade, ContactAssigned, ParticipantAdded})


class Subscriber(Protocol):
    """A connection as the hub uses it."""

    session_id: str
    workspace: str
    role: str
    subject: str
    subprotocol: str
    live: bool
    """Whether it receives events as they are committed."""
    scope: SupervisorScope | None
    """Supervisors only: queues and teams to which it is limited; it is sent no events then. None: unlimited."""
    attached: bool
    """Desktops only: whether its own DesktopConnected event has been published."""
    has_full_stats: bool
    """Supervisors only: whether it has received the statistics of all queues."""

    @property
    def takes_more(self) -> bool:
        """Whether little of what was delivered still waits in the write buffer."""

    def deliver(self, frame: bytes) -> None:
        """Put a complete frame into the write buffer."""

    def reserve(self) -> ReservedPlace:
        """Reserve the next place of the write buffer for a frame that is not known yet."""

    def close(self, code: CloseCode, text: str) -> None:
        """Start closing without waiting for the client."""


class _WorkspaceSubscribers:
    """Subscribers of one workspace by session, agent, gateway and role."""

    def __init__(self) -> None:
        self.by_session: dict[str, Subscriber] = {}
        self.desktops: dict[str, list[Subscriber]] = {}
        self.gateways: dict[str, list[Subscriber]] = {}
        self.supervisors: list[Subscriber] = []
        self.scoped: list[Subscriber] = []
        """Supervisors with a scope, which no event is delivered to: see ``scoped_views.py``."""
        self.history_id = ""
        self.seq = 0
        """Sequence number of the latest published event; every live subscriber has its events up to here."""
        self.delivered_seq = 0
        """Sequence number of the latest delivered event; a record that is delivered again continues after it."""
        self.queues: dict[str, QueueView] = {}
        self.stats_timer: asyncio.TimerHandle | None = None
        self.replay_index: ReplayIndex | None = None
        self.ahead: dict[str, int] = {}
        """Live subscribers that have events which the hub, after a failure, has yet to deliver to the others: their last seq."""

    def of_same_client(self, subscriber: Subscriber) -> list[Subscriber]:
        if subscriber.role == "agent":
            return self.desktops.setdefault(subscriber.subject, [])
        if subscriber.role == "gateway":
            return self.gateways.setdefault(subscriber.subject, [])
        return self.supervisors if subscriber.scope is None else self.scoped


class Hub:
    """Registry of all connections and fan-out of events to them."""

    def __init__(
        self,
        writer: Writer,
        publisher: Publisher,
        settings: SocketSettings,
        references: References = NO_REFERENCES,
        customers: LiveCustomers | None = None,
    ) -> None:
        """Subscribe to the feed. ``customers`` has the cards of contacts; None: the customer context is switched off."""
        self.references: Final = references
        """References of contacts, which events and views do not carry."""
        self._writer = writer
        self._publisher = publisher
        self._settings = settings
        self._groups: dict[str, _WorkspaceSubscribers] = {}
        self._encoders = {name: (frame_encoder(name).encode, TEXT if name == JSON else BINARY) for name in SUBPROTOCOLS}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[Subscriber] = set()
        """Subscribers that are closing; a drain waits for them."""
        self.flush_scheduler = FlushScheduler(lambda run: asyncio.get_running_loop().call_soon(run))
        """Schedules the flush of all write buffers."""
        self.disconnects = DisconnectQueue(writer)
        """Queue of cleanups after lost connections."""
        self._empty = asyncio.Event()
        self._lost_seqs: dict[str, int] = {}
        """By workspace: the newest event that some client may not have received. Earlier positions are not resumed from."""
        self.draining = False
        self.leader_url: LeaderUrl = no_leader_url
        """What the router that leads a workspace advertises."""
        self.customers = customers
        if customers is not None:
            customers.cards.send = self.send_to_agents
            customers.cards.send_to_sessions = self.send_to_sessions
        self.scoped_views: Final = ScopedViews(self, writer, references, settings.stats_interval_ms)
        """What supervisors with a scope are sent."""
        self.log_reads = 0
        """Number of clients that are reading missed events from the journal."""
        self._subscription = writer.feed.subscribe_inline(
            "sockets", self.on_published, attempts_max=_ATTEMPTS_MAX, on_skipped=self.on_skipped
        )

    # --- subscribers --------------------------------------------------------------------------------
    @property
    def subscriber_count(self) -> int:
        """Number of authenticated connections."""
        return sum(len(group.by_session) for group in self._groups.values())

    def is_concerned(self, workspace: str) -> bool:
        """Return whether a connection of a workspace is open, or the loss of one waits."""
        return workspace in self._groups or self.disconnects.is_concerned(workspace)

    def subscribers(self) -> Iterator[Subscriber]:
        """Yield all subscribers, workspace by workspace."""
        for group in self._groups.values():
            yield from group.by_session.values()

    def connection_count(self, workspace: str, role: str, subject: str) -> int:
        """Return the number of connections of one subject and role."""
        group = self._groups.get(workspace)
        if group is None:
            return 0
        if role == "agent":
            return len(group.desktops.get(subject, ()))
        if role == "gateway":
            return len(group.gateways.get(subject, ()))
        return sum(1 for subscriber in (*group.supervisors, *group.scoped) if subscriber.subject == subject)

    def add(self, subscriber: Subscriber) -> None:
        """Register a connection; it receives no events before it is ``live``."""
        group = self._groups.setdefault(subscriber.workspace, _WorkspaceSubscribers())
        group.by_session[subscriber.session_id] = subscriber
        group.of_same_client(subscriber).append(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a connection. Idempotent."""
        group = self._groups.get(subscriber.workspace)
        if group is None or group.by_session.pop(subscriber.session_id, None) is None:
            return
        group.ahead.pop(subscriber.session_id, None)
        if self.customers is not None:
            self.customers.cards.unwatch(subscriber.session_id)
        self.scoped_views.end(subscriber)
        of_same_client = group.of_same_client(subscriber)
        of_same_client.remove(subscriber)
        if not of_same_client and subscriber.role in ("agent", "gateway"):
            (group.desktops if subscriber.role == "agent" else group.gateways).pop(subscriber.subject)
        if not group.by_session:
            if group.stats_timer is not None:
                group.stats_timer.cancel()
            del self._groups[subscriber.workspace]
            self._note_empty()

    def closing_started(self, subscriber: Subscriber) -> None:
        """Note that a connection has started to close, so that a drain waits for it."""
        self._closing.add(subscriber)

    def closing_finished(self, subscriber: Subscriber) -> None:
        """Note that a connection is closed. Idempotent."""
        self._closing.discard(subscriber)
        self._note_empty()

    async def prepare_replay(self, subscriber: Subscriber, history_id: str, after_seq: int) -> None:
        """Prepare ``missed_events``: extend the replay index in slices, so that it does not block the event loop."""
        replay_index = self._replay_index(subscriber.workspace, history_id)
        if replay_index is not None and subscriber.role in ("agent", "gateway"):
            await replay_index.extend_to(after_seq)

    def _replay_index(self, workspace: str, history_id: str) -> ReplayIndex | None:
        """Return the replay index of a workspace; None if the workspace has no subscribers any more."""
        group = self._groups.get(workspace)
        if group is None:
            return None
        if group.replay_index is None or group.replay_index.history_id != history_id:
            group.replay_index = ReplayIndex(self._publisher, workspace, history_id)
        return group.replay_index

    def dropped_count(self, subscriber: Subscriber, after_seq: int) -> int:
        """Return how many events after a position are no longer in memory."""
        return max(0, self._publisher.evicted_seq(subscriber.workspace) - after_seq)

    def is_replayable(self, subscriber: Subscriber, history_id: str, after_seq: int) -> bool:
        """Return whether the events after a position are still in memory."""
        return self._publisher.covers(subscriber.workspace, history_id, after_seq)

    def must_reload(self, workspace: str, after_seq: int) -> bool:
        """Return whether an event after a position could not be delivered, so that only a ``welcome`` is complete."""
        return after_seq < self._lost_seqs.get(workspace, 0)

    def missed_events(self, subscriber: Subscriber, history_id: str, after_seq: int) -> list[StampedEvent] | None:
        """Return the events for a subscriber after a position, oldest first; None if too many or no longer held."""
        count_max = self._settings.resume_count_max
        event_count = self._publisher.last_seq(subscriber.workspace) - after_seq
        if subscriber.role not in ("agent", "gateway") and event_count > count_max:
            return None  # A supervisor receives all events.
        replay_index = self._replay_index(subscriber.workspace, history_id)
        if replay_index is None:
            return None
        events = replay_index.events_since(after_seq, role=subscriber.role, subject=subscriber.subject)
        if events is not None and len(events) > count_max:
            return None
        return events

    def go_live(self, subscriber: Subscriber, seq: int) -> None:
        """Deliver events as they are committed; the subscriber already has its events up to ``seq``."""
        subscriber.live = True
        group = self._groups[subscriber.workspace]
        handled_seq = self._handled_seq(subscriber.workspace)
        if seq > handled_seq:
            # After a failure the hub is behind: what it delivers again, this subscriber has already.
            group.ahead[subscriber.session_id] = seq
        group.seq = max(group.seq, min(seq, handled_seq))
        if subscriber.role == "agent" and self.customers is not None and self.customers.is_active:
            greeting = self.customers.greet(subscriber.workspace, subscriber.subject)
            self.track_task(asyncio.get_running_loop().create_task(greeting))
        if subscriber in group.supervisors and group.stats_timer is None:
            # Changes since its welcome were sent to the other supervisors before it was live.
            self._schedule_stats(subscriber.workspace, group)

    def last_seq(self, workspace: str) -> int:
        """Return the sequence number up to which the live subscribers of a workspace have their events."""
        group = self._groups.get(workspace)
        return group.seq if group else 0

    def _handled_seq(self, workspace: str) -> int:
        """Return the number of the newest event that the hub has handled; usually the newest one."""
        try:
            return self._subscription.position(workspace).seq
        except KeyError:
            return self._publisher.last_seq(workspace)

    # --- events ---------------------------------------------------------------------------------
    def on_published(self, published: PublishedRecord) -> None:
        """Deliver the events of a durable record. Called by the event feed, again if it fails."""
        group = self._groups.get(published.workspace)
        if group is None:
            return
        record = published.record
        seq = record.first_seq
        for event in record.events:
            if seq <= group.delivered_seq:
                seq += 1
                continue
            kind = type(event)
            if kind is DesktopConnected:
                self._close_older_desktops(group, cast(DesktopConnected, event))
            elif kind is DesktopLost:
                self._close_lost_desktop(group, cast(DesktopLost, event))
            recipients = _recipients(group, event)
            if kind in _BRINGS_A_CONTACT and self.customers is not None and self.customers.is_active:
                self._deliver_with_card(group, recipients, seq, record.at_ms, event)
            else:
                self._deliver(group, recipients, seq, record.at_ms, event)
            if kind is AgentRemoved:
                for subscriber in tuple(group.desktops.get(cast(AgentRemoved, event).agent_id, ())):
                    subscriber.close(CloseCode.FORBIDDEN, "the agent was removed")
            group.delivered_seq = seq
            seq += 1
        group.seq = max(group.seq, seq - 1)
        if group.ahead and self._publisher.last_seq(published.workspace) <= record.last_seq:
            group.ahead.clear()
        if group.supervisors and group.stats_timer is None:
            self._schedule_stats(published.workspace, group)
        if group.scoped:
            self.scoped_views.note_change(published.workspace)

    def _deliver_with_card(
        self, group: _WorkspaceSubscribers, recipients: list[Subscriber], seq: int, at_ms: int, event: Event
    ) -> None:
        """Deliver an event that brings a contact to an agent: the card goes to that agent alone."""
        assert self.customers is not None
        assert isinstance(event, OfferMade | ContactAssigned | ParticipantAdded)
        agents = [one for one in recipients if one.role == "agent" and one.subject == event.agent_id and one.live]
        if not agents:
            self._deliver(group, recipients, seq, at_ms, event)
            return
        workspace, contact_id = agents[0].workspace, event.contact_id
        if isinstance(event, OfferMade):
            card = self.customers.cards.card_for_offer(workspace, contact_id, event.agent_id)
            self._deliver(group, agents, seq, at_ms, event, card)
            self._deliver(group, [one for one in recipients if one not in agents], seq, at_ms, event)
        else:
            self._deliver(group, recipients, seq, at_ms, event)
            self.customers.cards.send_to(workspace, contact_id, event.agent_id)

    def send_to_agents(self, workspace: str, agent_ids: Iterable[str], frame: ServerFrame) -> None:
        """Send a frame to the live desktops of agents, encoding it at most once per codec."""
        group = self._groups.get(workspace)
        if group is not None:
            self._send([one for agent_id in agent_ids for one in group.desktops.get(agent_id, ())], frame)

    def send_to_sessions(self, workspace: str, session_ids: Iterable[str], frame: ServerFrame) -> None:
        """Send a frame to live connections, encoding it at most once per codec."""
        group = self._groups.get(workspace)
        if group is not None:
            self._send([group.by_session[name] for name in session_ids if name in group.by_session], frame)

    def _send(self, subscribers: Iterable[Subscriber], frame: ServerFrame) -> None:
        encoded: dict[str, bytes] = {}
        for subscriber in subscribers:
            if subscriber.live:
                content = encoded.get(subscriber.subprotocol)
                if content is None:
                    content = encoded[subscriber.subprotocol] = self.encode(frame, subscriber.subprotocol)
                subscriber.deliver(content)

    def _deliver(
        self,
        group: _WorkspaceSubscribers,
        recipients: list[Subscriber],
        seq: int,
        at_ms: int,
        event: Event,
        card: Card | None = None,
    ) -> None:
        """Deliver an event to live subscribers, encoding it at most once per codec."""
        encoded: dict[str, bytes] = {}
        if getattr(event, "reference", None) == SEALED_REFERENCE and self._deliver_when_read(
            group, recipients, seq, at_ms, event, card
        ):
            return
        for subscriber in recipients:
            if not subscriber.live or (group.ahead and seq <= group.ahead.get(subscriber.session_id, 0)):
                continue
            try:
                frame = encoded.get(subscriber.subprotocol)
                if frame is None:
                    frame = encoded[subscriber.subprotocol] = self._event_frame(subscriber.subprotocol, seq, at_ms, event, card)
                subscriber.deliver(frame)
            except Exception:
                self._delivery_failed(subscriber, seq)

    def _deliver_when_read(
        self, group: _WorkspaceSubscribers, recipients: list[Subscriber], seq: int, at_ms: int, event: Event, card: Card | None
    ) -> bool:
        """Deliver an event whose reference is being read in a moment, at its place; return False where none is."""
        recipients = [one for one in recipients if one.live and seq > group.ahead.get(one.session_id, 0)]
        if not recipients:
            return False
        places: list[tuple[Subscriber, ReservedPlace]] = []

        def fill() -> None:
            encoded: dict[str, bytes] = {}
            for subscriber, place in places:
                try:
                    frame = encoded.get(subscriber.subprotocol)
                    if frame is None:
                        frame = encoded[subscriber.subprotocol] = self._event_frame(subscriber.subprotocol, seq, at_ms, event, card)
                    place.fill(frame)
                except Exception:
                    self._delivery_failed(subscriber, seq)

        if not self.references.when_read(recipients[0].workspace, event, fill):
            return False
        places += [(one, one.reserve()) for one in recipients]
        return True

    def _event_frame(self, subprotocol: str, seq: int, at_ms: int, event: Event, card: Card | None) -> bytes:
        shown = public_event(event)
        if getattr(shown, "reference", None) == SEALED_REFERENCE:
            shown = self.references.event(shown)
        return self.encode(EventFrame(seq=seq, at_ms=at_ms, event=shown, card=card), subprotocol)

    def _delivery_failed(self, subscriber: Subscriber, seq: int) -> None:
        _log.exception("an event could not be sent to a client", action="delivery_failed", role=subscriber.role, seq=seq)
        self._reload([subscriber], subscriber.workspace, seq)

    def on_skipped(self, published: PublishedRecord) -> None:
        """Close the clients of a workspace, which load their state again, because a record could not be delivered to them."""
        record, group = published.record, self._groups.get(published.workspace)
        if group is None:
            self._lost_seqs[published.workspace] = record.last_seq
            return
        group.delivered_seq = max(group.delivered_seq, record.last_seq)
        group.seq = max(group.seq, record.last_seq)
        live = [one for one in group.by_session.values() if one.live and group.ahead.get(one.session_id, 0) < record.last_seq]
        self._reload(live, published.workspace, record.last_seq)

    def _reload(self, subscribers: list[Subscriber], workspace: str, lost_seq: int) -> None:
        """Close clients that miss an event; on their next connection they get a ``welcome`` rather than a resume."""
        self._lost_seqs[workspace] = max(lost_seq, self._lost_seqs.get(workspace, 0))
        for subscriber in subscribers:
            try:
                subscriber.close(CloseCode.INTERNAL_ERROR, "an event could not be sent; reconnect")
            except Exception:
                _log.exception("a client could not be closed", action="close_failed", role=subscriber.role)
                self.remove(subscriber)

    def encode(self, frame: ServerFrame, subprotocol: str) -> bytes:
        """Encode a complete WebSocket frame."""
        encode, opcode = self._encoders[subprotocol]
        return framed_as(opcode, encode(frame))

    def _close_older_desktops(self, group: _WorkspaceSubscribers, event: DesktopConnected) -> None:
        """Keep the desktop session of the latest DesktopConnected event and close older ones of the agent."""
        for subscriber in tuple(group.desktops.get(event.agent_id, ())):
            if subscriber.session_id == event.session_id:
                subscriber.attached = True
            elif subscriber.attached:
                subscriber.attached = False
                subscriber.close(CloseCode.TAKEN_OVER, "another desktop took over")

    def _close_lost_desktop(self, group: _WorkspaceSubscribers, event: DesktopLost) -> None:
        """Close a desktop session that another node has reported as lost: this node was not heard of for too long."""
        subscriber = group.by_session.get(event.session_id)
        if subscriber is not None and subscriber.attached:
            subscriber.attached = False
            subscriber.close(CloseCode.SERVICE_RESTART, "the session was taken for lost")

    # --- background tasks -------------------------------------------------------------------------
    def track_task(self, task: asyncio.Task[None]) -> None:
        """Keep a reference to a background task until it is done and log its failure."""
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._note_empty()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a background task of a WebSocket failed", action="hub_task_failed", exc_info=error)

    # --- statistics --------------------------------------------------------------------------------
    def _schedule_stats(self, workspace: str, group: _WorkspaceSubscribers) -> None:
        def run() -> None:
            self.track_task(asyncio.create_task(self._send_stats(workspace, group)))

        delay_s = self._settings.stats_interval_ms / 1000
        group.stats_timer = asyncio.get_running_loop().call_later(delay_s, run)

    async def _send_stats(self, workspace: str, group: _WorkspaceSubscribers) -> None:
        group.stats_timer = None  # Later changes schedule the next update.
        try:
            answered = await self._writer.query_in_slices(workspace, lambda engine: engine.workspace_in_slices())
        except CommandQueueFull:
            if self._groups.get(workspace) is group and group.stats_timer is None:
                self._schedule_stats(workspace, group)
            return
        except RouterError:
            return
        queues = answered.value.queues
        before, group.queues = group.queues, {view.queue_id: view for view in queues}
        changed = tuple(view for view in queues if before.get(view.queue_id) != view)
        changes = StatsFrame(seq=answered.seq, at_ms=answered.at_ms, queues=changed)
        all_queues = StatsFrame(seq=answered.seq, at_ms=answered.at_ms, queues=queues)
        encoded: dict[str, bytes] = {}
        for subscriber in group.supervisors:
            if not subscriber.live:
                continue
            if not subscriber.has_full_stats:
                # A value changed between the last update and its welcome may have changed back since.
                subscriber.has_full_stats = True
                subscriber.deliver(self.encode(all_queues, subscriber.subprotocol))
            elif changed:
                if subscriber.subprotocol not in encoded:
                    encoded[subscriber.subprotocol] = self.encode(changes, subscriber.subprotocol)
                subscriber.deliver(encoded[subscriber.subprotocol])

    # --- shutdown ------------------------------------------------------------------------------------
    async def drain(self, deadline_s: float) -> None:
        """Close all connections within ``deadline_s``: send ``reconnect`` at once, then close with 1012, spread over time."""
        self.draining = True
        subscribers = list(self.subscribers())
        # Few desktops need no spreading; many are spread so that the next node gets about 200 per second.
        spread_s = min(self._settings.reconnect_spread_ms / 1000, deadline_s * 0.8, len(subscribers) / 200)
        leaving = sorted(((random.uniform(0, spread_s), index) for index in range(len(subscribers))), reverse=True)
        for delay_s, index in leaving:
            subscriber = subscribers[index]
            reconnect = ReconnectFrame(after_ms=int(delay_s * 1000))
            subscriber.deliver(self.encode(reconnect, subscriber.subprotocol))
        loop = asyncio.get_running_loop()
        began = loop.time()
        while leaving:
            now_s = loop.time() - began
            while leaving and leaving[-1][0] <= now_s:
                subscribers[leaving.pop()[1]].close(CloseCode.SERVICE_RESTART, "the router restarts")
            await asyncio.sleep(_DRAIN_STEP_S if leaving else 0)
        for subscriber in list(self.subscribers()):  # Connections opened meanwhile.
            subscriber.close(CloseCode.SERVICE_RESTART, "the router restarts")
        self._note_empty()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.1, deadline_s - (loop.time() - began))):
                await self._empty.wait()

    def _note_empty(self) -> None:
        if self._groups or self._tasks or self._closing:
            self._empty.clear()
        else:
            self._empty.set()

    async def stop(self) -> None:
        """Submit the loss of all closed desktops, then cancel the remaining background tasks."""
        await self.disconnects.drain()
        for group in self._groups.values():
            if group.stats_timer is not None:
                group.stats_timer.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _recipients(group: _WorkspaceSubscribers, event: Event) -> list[Subscriber]:
    """Return the subscribers that may see an event, live or not."""
    found: list[Subscriber] = []
    for agent_id in recipient_agents(event):
        found += group.desktops.get(agent_id, ())
    for gateway_id in recipient_gateways(event):
        found += group.gateways.get(gateway_id, ())
    if group.supervisors:
        found += group.supervisors
    return found
