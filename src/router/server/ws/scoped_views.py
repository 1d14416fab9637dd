"""What supervisors with a scope are sent over their sockets: agents of their teams and their queues, as views.

Theory of operation. Events of the workspace are not sent to these supervisors: an event names queues and agents as they were before
and after it, and every new type of event would have to be examined for what it tells. Instead, some time after something has
happened, the agents and queues of the workspace are read from the engine once for all connections. Each connection is sent the
views in its scope that differ from those it has, and the names of those that it may see no more: an agent of another team now, a
queue that was removed. So an object that leaves the scope disappears, one that enters it appears, and nothing else can be
learned.

The next update begins no sooner than after a time in proportion to the number of agents, so that updates take at most about a
sixteenth of a core, and never sooner than the interval of statistics.
"""

import asyncio
from collections.abc import Generator, Iterable
from typing import Final, Protocol

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

# Views of a frame; other tasks run after each.
_VIEWS_PER_FRAME: Final = 32
# Time to read and compare one agent, and share of a core that updates may take: one of so many parts.
_AGENT_S: Final = 30e-6
_PARTS_OF_A_CORE: Final = 16
# How long an update waits for a connection that does not read, and how often it looks.
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.005


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


def in_scope(scope: SupervisorScope, stats: WorkspaceView, agents: Iterable[AgentView]) -> ScopedState:
    """Return what a supervisor with a scope may see: agents of the teams, without the work of other queues, and the queues."""
    return ScopedState(
        agents={view.agent_id: agent_in_scope(scope, view) for view in agents if scope.has_team(view.team)},
        queues={view.queue_id: view for view in stats.queues if scope.has_queue(view.queue_id)},
    )


def scoped_totals(stats: WorkspaceView, visible: ScopedState) -> WorkspaceView:
    """Return the totals of what is in a scope; what is not counted by queue, such as ended contacts, is 0."""
    queues, agents = visible.queues.values(), visible.agents.values()
    counts = dict.fromkeys(WorkspaceCounts.__struct_fields__, 0) | {
        str(ContactState.QUEUED): sum(one.waiting for one in queues),
        str(ContactState.OFFERED): sum(one.offered for one in queues),
        str(ContactState.ASSIGNED): sum(one.assigned for one in queues),
        str(ContactState.CALLBACK_SCHEDULED): sum(one.callbacks for one in queues),
        str(ContactState.SUSPENDED): sum(one.suspended for one in queues),
    }
    by_state = dict.fromkeys(map(str, AgentState), 0)
    for one in agents:
        by_state[str(one.state)] += 1
    counts["submitted"] = sum(counts.values())
    return structs.replace(
        stats,
        counts=WorkspaceCounts(**counts),
        agents=len(visible.agents),
        agents_by_state=by_state,
        offers_pending=sum(len(one.offers) for one in agents),
        assignments_open=sum(len(one.assignments) for one in agents),
        queues=tuple(queues),
    )


class _Workspace:
    """Connections of one workspace, with what each has been sent."""

    def __init__(self) -> None:
        self.connections: dict[str, ScopedConnection] = {}
        self.sent: dict[str, ScopedState] = {}
        self.is_changed = self.is_running = False
        self.pause_s = 0.0


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
                await asyncio.sleep(max(self._interval_s, group.pause_s))
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
        answered = await self._writer.query_in_slices(workspace, workspace_state)
        stats, agents = answered.value
        group.pause_s = len(agents) * _AGENT_S * _PARTS_OF_A_CORE
        for name, connection in list(group.connections.items()):
            if not connection.live or connection.scope is None:
                continue
            visible = in_scope(connection.scope, stats, agents)
            sent = group.sent.get(name)
            await asyncio.sleep(0)
            if sent is not None and group.connections.get(name) is connection:
                group.sent[name] = visible
                await self._send(connection, _changes(sent, visible), answered.seq, answered.at_ms)

    async def _send(self, connection: ScopedConnection, changes: "_Changes", seq: int, at_ms: int) -> None:
        loop = asyncio.get_running_loop()
        until_s, is_first = loop.time() + _PATIENCE_S, True
        count = max(len(changes.agents), len(changes.queues), 1 if changes.removed_agents or changes.removed_queues else 0)
        for start in range(0, count, _VIEWS_PER_FRAME):
            part = slice(start, start + _VIEWS_PER_FRAME)
            page = await self._references.complete(connection.workspace, StatePageFrame(agents=tuple(changes.agents[part])))
            assert isinstance(page, StatePageFrame)
            frame = ScopeFrame(
                seq=seq,
                at_ms=at_ms,
                agents=page.agents,
                queues=tuple(changes.queues[part]),
                removed_agents=tuple(changes.removed_agents) if is_first else (),
                removed_queues=tuple(changes.removed_queues) if is_first else (),
            )
            is_first = False
            while connection.live and not connection.takes_more and loop.time() < until_s:  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE_S)  # A transport tells only one protocol when it may be written to.
            if not connection.live:
                return
            connection.deliver(self._encoder.encode(frame, connection.subprotocol))
            await asyncio.sleep(0)


class _Changes(Struct, frozen=True, kw_only=True):
    """Difference between what a connection has and what is in its scope."""

    agents: list[AgentView]
    queues: list[QueueView]
    removed_agents: list[str]
    removed_queues: list[str]


def _changes(before: ScopedState, now: ScopedState) -> _Changes:
    return _Changes(
        agents=[view for name, view in now.agents.items() if before.agents.get(name) != view],
        queues=[view for name, view in now.queues.items() if before.queues.get(name) != view],
        removed_agents=[name for name in before.agents if name not in now.agents],
        removed_queues=[name for name in before.queues if name not in now.queues],
    )
