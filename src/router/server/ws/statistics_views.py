"""Statistics that supervisors watch: what changes, by view, at most once a second.

Theory of operation. A view is a dimension and a period of one workspace, such as the agents of today. It is computed once for all
connections that watch it, in steps between which the event loop goes on, and compared with the rows that were sent before. A row is
sent again when something was counted for it; times alone, which pass all the time, are sent every ``_TIMES_INTERVAL_S``. A new
connection gets all rows with the next update, and all connections do when a row no longer exists, as in a sliding window.

All rows of a large centre are more than the write buffer of a connection holds. So the next frame is sent when those before it have
largely left for all connections, at the pace of the slowest one. One that is slower than ``_PATIENCE_S`` for an update is sent the
rest at once, and closed where its buffer is then full: others do not wait for it longer.

Of queues and agents only the rows for which something was counted are computed (``ChangedRows``); all of them with the times.

The next update begins no sooner than sixteen times the duration of the computation later, so that a view takes at most about a
sixteenth of a core, whatever the size of the centre; where most updates are of changed rows, it is the times that come less
often. Nothing is computed for a view that is not watched.
"""

import asyncio
import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

from msgspec import structs

from router.model.errors import CommandQueueFull, RouterError
from router.model.filters import SupervisorScope
from router.protocol.frames import ErrorFrame, OkFrame, ServerFrame, StatisticsFrame, WatchStatisticsFrame
from router.protocol.session import error_frame
from router.runtime.writer import Writer
from router.server.auth.credentials import OUT_OF_SCOPE, Credential
from router.server.statistics_turns import until_readable
from router.statistics.changed_rows import ChangedRows
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period, StatisticsQuestion
from router.statistics.rows import COLUMNS, StatisticsRow
from router.statistics.workspace import WorkspaceStats

T = TypeVar("T")

VIEWS_MAX: Final = 8
"""Views that one connection may watch."""

# Rows of a frame, and rows that are compared before other tasks run.
_ROWS_PER_FRAME: Final = 32
_TIMES_INTERVAL_S: Final = 15.0
# How long an update waits for slow connections, and how often it looks.
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.005
# Share of a core that a view may take: one of so many parts.
_PARTS_OF_A_CORE: Final = 16

# What a supervisor with a scope may watch.
_OF_AGENTS: Final = (Dimension.AGENT, Dimension.TEAM)
_OF_QUEUES: Final = (Dimension.QUEUE, Dimension.QUEUE_CHANNEL)

# Fields that change with time alone.
_OF_TIME: Final = frozenset(
    {
        *("from_ms", "to_ms", "busy_ms", "idle_ms", "not_ready_ms", "signed_in_ms", "state_ready_ms", "state_not_ready_ms"),
        *("not_ready_by_reason_ms", "occupancy", "utilisation", "concurrency"),
    }
)
_COUNTED: Final = tuple(name for name in COLUMNS if name not in _OF_TIME)

_SUBJECT: Final = ("queue_id", "channel", "agent_id", "team", "disposition", "goal")


class WatchingConnection(Protocol):
    """Connection of a supervisor."""

    session_id: str
    subprotocol: str
    scope: SupervisorScope | None
    live: bool
    """Whether it is still connected."""

    @property
    def takes_more(self) -> bool:
        """Whether little of what was delivered still waits in the write buffer."""

    def deliver(self, frame: bytes) -> None:
        """Put a complete frame into the write buffer."""


class FrameSender(Protocol):
    """Encodes frames and keeps background tasks."""

    def encode(self, frame: ServerFrame, subprotocol: str) -> bytes:
        """Encode a complete WebSocket frame."""

    def track_task(self, task: asyncio.Task[None]) -> None:
        """Keep a reference to a background task until it is done."""


class _ViewKey(NamedTuple):
    workspace: str
    by: Dimension
    period: Period


class _View:
    """A view with its connections and the rows that they have."""

    def __init__(self, key: _ViewKey) -> None:
        self.changes = ChangedRows(key.by, key.period)
        self.watching: dict[str, WatchingConnection] = {}
        self.new: set[str] = set()
        """Connections that have received nothing yet."""
        self.rows: dict[tuple[str | None, ...], StatisticsRow] = {}
        self.times_sent_s = 0.0
        self.times_interval_s = _TIMES_INTERVAL_S


class StatisticsViews:
    """All watched views."""

    def __init__(
        self,
        sender: FrameSender,
        writer: Writer,
        stats: Mapping[str, WorkspaceStats],
        interval_ms: int,
        visible_agents: Callable[[str], frozenset[str]] = lambda _: frozenset(),
    ) -> None:
        """``interval_ms``: shortest time between two updates of a view. ``visible_agents``: those in the scope of a connection."""
        self._visible_agents = visible_agents
        self._sender = sender
        self._writer = writer
        self._stats = stats
        self._interval_s = interval_ms / 1000
        self._views: dict[_ViewKey, _View] = {}

    async def reply(
        self, ask: WatchStatisticsFrame, credential: Credential, connection: WatchingConnection
    ) -> OkFrame | ErrorFrame:
        """Begin or end a watch of a view, whose rows come in frames of their own."""
        refused = None if credential.scope is None else _scope_refusal(credential.scope, ask)
        if refused is not None:
            return refused
        key = _ViewKey(credential.workspace, ask.by, ask.period)
        view = self._views.get(key)
        if not ask.watch:
            if view is not None:
                view.watching.pop(connection.session_id, None)
            return OkFrame(id=ask.id)
        watched = sum(connection.session_id in other.watching for other in self._views.values())
        if watched >= VIEWS_MAX and (view is None or connection.session_id not in view.watching):
            detail = f"at most {VIEWS_MAX} statistics are watched at a time: end one with watch: false"
            return error_frame("invalid_value", id=ask.id, detail=detail, field="by")
        if not connection.live:
            return OkFrame(id=ask.id)
        if view is None:
            view = self._views[key] = _View(key)
            self._sender.track_task(asyncio.get_running_loop().create_task(self._run(key, view)))
        view.watching[connection.session_id] = connection
        view.new.add(connection.session_id)
        return OkFrame(id=ask.id)

    async def _run(self, key: _ViewKey, view: _View) -> None:
        """Send updates of a view as long as it is watched."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                view.watching = {name: one for name, one in view.watching.items() if one.live}
                if not view.watching:
                    return
                used_s = 0.0
                with contextlib.suppress(CommandQueueFull):  # Under overload the next update comes later.
                    used_s = await self._update(key, view, loop.time())
                await asyncio.sleep(max(self._interval_s, used_s * _PARTS_OF_A_CORE))
        except RouterError:
            return  # The router stops, or another one leads: the connections end too.
        finally:
            del self._views[key]

    async def _update(self, key: _ViewKey, view: _View, now_s: float) -> float:
        """Compute a view and send what has changed; return the time to be paid for by a pause."""
        await until_readable(self._stats[key.workspace].history)
        position = await self._writer.query(key.workspace, lambda _engine: None)
        now_ms = self._writer.clock.now_ms()
        stats = self._stats[key.workspace]
        with_times = now_s - view.times_sent_s >= view.times_interval_s
        is_partial = not with_times and stats.are_changes_known(view.changes, now_ms)
        if is_partial:
            rows, used_s = await in_steps(stats.changed_rows(view.changes, now_ms))
        else:
            _, noted_s = await in_steps(stats.note_rows(view.changes, now_ms))
            rows, used_s = await in_steps(stats.rows(StatisticsQuestion(key.by, period=key.period), now_ms))
            used_s += noted_s
        found = {tuple(getattr(row, name) for name in _SUBJECT): row for row in rows}
        changed: list[StatisticsRow] = []
        for place, (subject, row) in enumerate(found.items(), 1):
            before = view.rows.get(subject)
            if is_partial and before is not None:  # Times by reason come with all times.
                row = structs.replace(row, not_ready_by_reason_ms=before.not_ready_by_reason_ms)
            if before is None or (row != before if with_times else _counted(row) != _counted(before)):
                changed.append(row)
                view.rows[subject] = row
            if place % _ROWS_PER_FRAME == 0:
                await asyncio.sleep(0)
        is_whole = not is_partial and len(view.rows) > len(found)
        if is_whole:
            view.rows = found
        if with_times:
            view.times_sent_s = now_s
        everything = set(view.watching) if is_whole else view.new & set(view.watching)
        view.new = view.new - everything
        common = {"by": key.by, "period": key.period, "seq": position.seq, "at_ms": now_ms}
        await self._send([view.watching[name] for name in everything], list(view.rows.values()), is_whole=True, common=common)
        others = [one for name, one in view.watching.items() if name not in everything]
        await self._send(others, changed, is_whole=False, common=common)
        if is_partial:
            return 2 * used_s
        if with_times and view.changes.is_possible:
            view.times_interval_s = max(_TIMES_INTERVAL_S, 2 * used_s * _PARTS_OF_A_CORE)
            return 0.0
        return used_s

    async def _send(
        self, connections: list[WatchingConnection], rows: list[StatisticsRow], *, is_whole: bool, common: dict[str, object]
    ) -> None:
        """Send rows in frames of a few, as fast as they leave; the first one says whether all rows before it are void."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _PATIENCE_S
        agents = {one.session_id: self._visible_agents(one.session_id) for one in connections if one.scope is not None}
        for start in range(0, max(len(rows), is_whole), _ROWS_PER_FRAME):
            page = tuple(rows[start : start + _ROWS_PER_FRAME])
            frame = StatisticsFrame(whole=is_whole and start == 0, rows=page, **common)  # type: ignore[arg-type]
            encoded: dict[str, bytes] = {}
            while any(one.live and not one.takes_more for one in connections) and loop.time() < until_s:  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE_S)  # A transport tells only one protocol when it may be written to.
            for one in connections:
                if one.live and one.scope is not None:
                    own = structs.replace(
                        frame, rows=tuple(row for row in page if _is_visible(one.scope, agents[one.session_id], row))
                    )
                    if own.rows or own.whole:
                        one.deliver(self._sender.encode(own, one.subprotocol))
                elif one.live:
                    if one.subprotocol not in encoded:
                        encoded[one.subprotocol] = self._sender.encode(frame, one.subprotocol)
                    one.deliver(encoded[one.subprotocol])
            await asyncio.sleep(0)


async def in_steps(steps: Generator[None, None, T]) -> tuple[T, float]:
    """Return the result of a computation, and how long its steps took; other tasks run between them."""
    loop, used_s = asyncio.get_running_loop(), 0.0
    try:
        while True:
            began_s = loop.time()
            next(steps)
            used_s += loop.time() - began_s
            await asyncio.sleep(0)
    except StopIteration as done:
        result: T = done.value
        return result, used_s
    finally:
        steps.close()


def _is_visible(scope: SupervisorScope, agents: frozenset[str], row: StatisticsRow) -> bool:
    """Return whether a row is about a queue, a team or an agent in the scope of a supervisor."""
    if row.agent_id is not None:
        return row.agent_id in agents
    if row.queue_id is not None:
        return scope.has_queue(row.queue_id)
    return row.team is not None and scope.has_team(row.team)


def _scope_refusal(scope: SupervisorScope, ask: WatchStatisticsFrame) -> ErrorFrame | None:
    """Refuse statistics over queues or teams that are not in the scope of the supervisor, as over HTTP."""
    if ask.by in _OF_AGENTS and scope.queues is not None and scope.teams is None:
        detail = f"{OUT_OF_SCOPE}: rows by agent or team count all queues; they need `teams` in the scope"
    elif ask.by not in (*_OF_AGENTS, *_OF_QUEUES):
        detail = f"{OUT_OF_SCOPE}: watch rows by queue, agent or team"
    else:
        return None
    return error_frame("forbidden", id=ask.id, detail=detail, field="by")


def _counted(row: StatisticsRow) -> tuple[object, ...]:
    """Return everything that only an event changes."""
    return tuple(getattr(row, name) for name in _COUNTED)
