"""What supervisors with a scope are sent over their sockets: agents of their teams and their queues, as views.

Theory of operation. Events of the workspace are not sent to these supervisors: an event names queues and agents as they were before
and after it, and every new type of event would have to be examined for what it tells. Instead, some time after something has
happened, the agents and queues of the workspace are read from the engine once for all connections. Each connection is sent the
views in its scope that differ from those it has, and the names of those that it may see no more: an agent of another team now, a
queue that was removed. So an object that leaves the scope disappears, one that enters it appears, and nothing else can be
learned.

Connections of the same scope have the same views, so they are made, compared and encoded once for all of them, in slices between
which the event loop goes on. Each connection reads at its own pace. One that is still busy with an update is left out of the next
ones and keeps what it has been sent; what has changed since follows when it is done.

The next update begins no sooner than sixteen times the time that the last one has used, so that updates take at most about a
sixteenth of a core, whatever the size of the centre and the number of scopes, and never sooner than the interval of statistics.
"""

import asyncio
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Final, Protocol, TypeAlias, TypeVar

from msgspec import Struct, field, structs

from router.engine.engine import Engine
from router.model.errors import CommandQueueFull, RouterError
from router.model.filters import SupervisorScope
from router.model.states import AgentState, ContactState
from router.model.views import AgentView, QueueView, WorkspaceCounts, WorkspaceView
from router.protocol.frames import ScopeFrame, ServerFrame, StatePageFrame
from router.runtime.writer import Writer
from router.server.api.agents import agent_in_scope
from router.server.references import References
from router.server.ws.statistics_views import in_steps

T = TypeVar("T")

# Views of a frame; other tasks run after each.
_VIEWS_PER_FRAME: Final = 32
AGENTS_PER_TURN: Final = 128
"""Views of agents, or of queues, that are made, compared or counted before other tasks run."""
# Time to read one agent from the engine, which is not measured, and share of a core that updates may take: one of so many parts.
_AGENT_S: Final = 20e-6
_PARTS_OF_A_CORE: Final = 16
# How long an update waits for a connection that does not read, and how often it looks.
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.01


class ScopedConnection(Protocol):
    """Connection of a supervisor with a scope."""

    session_id: str
    workspace: str
    subprotocol: str
    scope: SupervisorScope | None
    live: bool

    @property
    def takes_more(self) -> bool:
        """Whether little of what was delivered still waits in the write buffer."""

    def deliver(self, frame: bytes) -> None:
        """Put a complete frame into the write buffer."""


class FrameEncoder(Protocol):
    """Encodes frames and keeps background tasks."""

    def encode(self, frame: ServerFrame, subprotocol: str) -> bytes:
        """Encode a complete WebSocket frame."""

    def track_task(self, task: asyncio.Task[None]) -> None:
        """Keep a reference to a background task until it is done."""


class ScopedState(Struct, frozen=True, kw_only=True):
    """Agents and queues in a scope, by id."""

    agents: dict[str, AgentView] = field(default_factory=dict)
    queues: dict[str, QueueView] = field(default_factory=dict)


def workspace_state(engine: Engine) -> Generator[None, None, tuple[WorkspaceView, list[AgentView]]]:
    """Return the queues and all agents of a workspace, the agents as of the last turn."""
    stats = yield from engine.workspace_in_slices()
    agents = yield from engine.all_agents()
    return stats, list(agents)


def in_scope(scope: SupervisorScope, stats: WorkspaceView, agents: Iterable[AgentView]) -> Generator[None, None, ScopedState]:
    """Return what a supervisor with a scope may see: agents of the teams, without the work of other queues, and the queues."""
    visible = ScopedState()
    for part in _turns(agents):
        visible.agents.update((view.agent_id, agent_in_scope(scope, view)) for view in part if scope.has_team(view.team))
        yield
    for queues in _turns(stats.queues):
        visible.queues.update((view.queue_id, view) for view in queues if scope.has_queue(view.queue_id))
        yield
    return visible


def scoped_totals(stats: WorkspaceView, visible: ScopedState) -> Generator[None, None, WorkspaceView]:
    """Return the totals of what is in a scope; what is not counted by queue, such as ended contacts, is 0."""
    queues = visible.queues.values()
    counts = dict.fromkeys(WorkspaceCounts.__struct_fields__, 0) | {
        str(ContactState.QUEUED): sum(one.waiting for one in queues),
        str(ContactState.OFFERED): sum(one.offered for one in queues),
        str(ContactState.ASSIGNED): sum(one.assigned for one in queues),
        str(ContactState.CALLBACK_SCHEDULED): sum(one.callbacks for one in queues),
        str(ContactState.SUSPENDED): sum(one.suspended for one in queues),
    }
    counts["submitted"] = sum(counts.values())
    by_state = dict.fromkeys(map(str, AgentState), 0)
    offers = assignments = 0
    for part in _turns(visible.agents.values()):
        for one in part:
            by_state[str(one.state)] += 1
            offers += len(one.offers)
            assignments += len(one.assignments)
        yield
    return structs.replace(
        stats,
        counts=WorkspaceCounts(**counts),
        agents=len(visible.agents),
        agents_by_state=by_state,
        offers_pending=offers,
        assignments_open=assignments,
        queues=tuple(queues),
    )


def _turns(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the parts of a collection that are worked on before other tasks run."""
    rest = iter(items)
    while part := list(islice(rest, AGENTS_PER_TURN)):
        yield part


class _Workspace:
    """Connections of one workspace, with what each has been sent."""

    def __init__(self) -> None:
        self.connections: dict[str, ScopedConnection] = {}
        self.sent: dict[str, ScopedState] = {}
        self.is_changed = self.is_running = False
        self.used_s = 0.0
        """Time that updates have used since the last pause."""
        self.busy: set[str] = set()
        """Connections that have not been sent all of an update yet."""
        self.late: set[str] = set()
        """Those of them that were left out of an update meanwhile."""


class ScopedViews:
    """Updates of all connections with a scope."""

    def __init__(self, encoder: FrameEncoder, writer: Writer, references: References, interval_ms: int) -> None:
        """``interval_ms``: shortest time between two updates."""
        self._encoder = encoder
        self._writer = writer
        self._references = references
        self._interval_s = interval_ms / 1000
        self._workspaces: dict[str, _Workspace] = {}

    def begin(self, connection: ScopedConnection, sent: ScopedState) -> None:
        """Keep a connection up to date that has been sent this state."""
        group = self._workspaces.setdefault(connection.workspace, _Workspace())
        group.connections[connection.session_id], group.sent[connection.session_id] = connection, sent
        self.note_change(connection.workspace)

    def end(self, connection: ScopedConnection) -> None:
        """Forget a connection. Idempotent."""
        group = self._workspaces.get(connection.workspace)
        if group is not None and group.connections.pop(connection.session_id, None) is not None:
            del group.sent[connection.session_id]
            if not group.connections:
                del self._workspaces[connection.workspace]

    def visible_agents(self, session_id: str) -> frozenset[str]:
        """Return the agents whose views a connection has."""
        for group in self._workspaces.values():
            if session_id in group.sent:
                return frozenset(group.sent[session_id].agents)
        return frozenset()

    def note_change(self, workspace: str) -> None:
        """Note that something has happened in a workspace; the update follows."""
        group = self._workspaces.get(workspace)
        if group is None:
            return
        group.is_changed = True
        if not group.is_running:
            group.is_running = True
            self._encoder.track_task(asyncio.get_running_loop().create_task(self._run(workspace, group)))

    async def _run(self, workspace: str, group: _Workspace) -> None:
        """Send updates until nothing has changed since the last one."""
        try:
            while group.is_changed and group.connections:
                pause_s, group.used_s = group.used_s * _PARTS_OF_A_CORE, 0.0
                await asyncio.sleep(max(self._interval_s, pause_s))
                group.is_changed = False
                try:
                    await self._update(workspace, group)
                except CommandQueueFull:
                    group.is_changed = True  # Under overload the update comes later.
        except RouterError:
            return  # The router stops, or another one leads: the connections end too.
        finally:
            group.is_running = False

    async def _update(self, workspace: str, group: _Workspace) -> None:
        """Begin to send each connection what has changed in its scope, unless it is busy with an earlier update."""
        answered = await self._writer.query_in_slices(workspace, workspace_state)
        stats, agents = answered.value
        group.used_s += len(agents) * _AGENT_S
        group.late |= group.busy
        by_scope: dict[SupervisorScope, list[ScopedConnection]] = {}
        for name, connection in group.connections.items():
            if connection.live and connection.scope is not None and name not in group.busy:
                by_scope.setdefault(connection.scope, []).append(connection)
        for scope, connections in by_scope.items():
            visible, used_s = await in_steps(in_scope(scope, stats, agents))
            group.used_s += used_s
            updates: dict[int, _Update] = {}
            for connection in connections:
                name = connection.session_id
                before = group.sent.get(name)
                if before is None:
                    continue
                update = updates.get(id(before))
                if update is None:  # After the first update, connections of a scope have the same state.
                    changes, pages = await self._compared(workspace, group, before, visible)
                    update = updates[id(before)] = _Update(before, _frames(changes, pages, answered.seq, answered.at_ms))
                if group.connections.get(name) is connection:
                    group.sent[name] = visible
                    if update.frames:
                        group.busy.add(name)
                        self._encoder.track_task(asyncio.get_running_loop().create_task(self._send(group, connection, update)))

    async def _compared(self, workspace: str, group: _Workspace, before: ScopedState, now: ScopedState) -> "_Compared":
        """Return what differs between two states of a scope, and the agents of each frame with the references of their contacts."""
        changes, used_s = await in_steps(_changes(before, now))
        group.used_s += used_s
        agents: list[tuple[AgentView, ...]] = []
        for start in range(0, len(changes.agents), _VIEWS_PER_FRAME):
            page = StatePageFrame(agents=tuple(changes.agents[start : start + _VIEWS_PER_FRAME]))
            completed = await self._references.complete(workspace, page)
            assert isinstance(completed, StatePageFrame)
            agents.append(completed.agents)
            await asyncio.sleep(0)
        return changes, agents

    async def _send(self, group: _Workspace, connection: ScopedConnection, update: "_Update") -> None:
        """Send the frames of an update as fast as they leave; one that is too slow for it is sent the rest at once."""
        loop, name = asyncio.get_running_loop(), connection.session_id
        until_s = loop.time() + _PATIENCE_S
        try:
            for index in range(len(update.frames)):
                while connection.live and not connection.takes_more and loop.time() < until_s:  # noqa: ASYNC110
                    await asyncio.sleep(_PAUSE_S)  # A transport tells only one protocol when it may be written to.
                if not connection.live:
                    return
                began_s = loop.time()
                connection.deliver(update.encoded(index, connection.subprotocol, self._encoder))
                group.used_s += loop.time() - began_s
                await asyncio.sleep(0)
        finally:
            group.busy.discard(name)
            is_late = name in group.late
            group.late.discard(name)
        if is_late:
            self.note_change(connection.workspace)


class _Changes(Struct, frozen=True, kw_only=True):
    """Difference between what a connection has and what is in its scope."""

    agents: list[AgentView] = field(default_factory=list)
    queues: list[QueueView] = field(default_factory=list)
    removed_agents: list[str] = field(default_factory=list)
    removed_queues: list[str] = field(default_factory=list)


def _changes(before: ScopedState, now: ScopedState) -> Generator[None, None, _Changes]:
    found = _Changes()
    for agents in _turns(now.agents.items()):
        found.agents.extend(view for name, view in agents if before.agents.get(name) != view)
        yield
    for queues in _turns(now.queues.items()):
        found.queues.extend(view for name, view in queues if before.queues.get(name) != view)
        yield
    for names in _turns(before.agents):
        found.removed_agents.extend(name for name in names if name not in now.agents)
        yield
    for names in _turns(before.queues):
        found.removed_queues.extend(name for name in names if name not in now.queues)
        yield
    return found


_Compared: TypeAlias = tuple[_Changes, list[tuple[AgentView, ...]]]


def _frames(changes: _Changes, agents: list[tuple[AgentView, ...]], seq: int, at_ms: int) -> list[ScopeFrame]:
    """Divide changes into frames; ids that are gone are in the first one."""
    count = max(len(agents), -(-len(changes.queues) // _VIEWS_PER_FRAME))
    return [
        ScopeFrame(
            seq=seq,
            at_ms=at_ms,
            agents=agents[index] if index < len(agents) else (),
            queues=tuple(changes.queues[index * _VIEWS_PER_FRAME : (index + 1) * _VIEWS_PER_FRAME]),
            removed_agents=() if index else tuple(changes.removed_agents),
            removed_queues=() if index else tuple(changes.removed_queues),
        )
        for index in range(count or bool(changes.removed_agents or changes.removed_queues))
    ]


class _Update:
    """What all connections are sent that have been sent the same state of a scope."""

    def __init__(self, before: ScopedState, frames: list[ScopeFrame]) -> None:
        self.before = before
        """That state, by whose identity an update is found."""
        self.frames = frames
        self._encoded: dict[tuple[int, str], bytes] = {}

    def encoded(self, index: int, subprotocol: str, encoder: FrameEncoder) -> bytes:
        """Return a frame as it is sent, encoded for the first connection that is sent it."""
        key = index, subprotocol
        if key not in self._encoded:
            self._encoded[key] = encoder.encode(self.frames[index], subprotocol)
        return self._encoded[key]
