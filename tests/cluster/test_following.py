"""Which workspaces a node begins and ends to follow, and what happens when a client comes or something fails meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from router.cluster import following as module
from router.cluster.following import Following
from router.engine.engine import Engine
from router.journal.memory import MemoryJournal
from router.journal.port import WorkspaceHistory
from router.journal.records import Position
from router.journal.redis.shared_journal import SharedRedisJournal
from router.model.errors import CommandQueueFull, JournalUnavailable, NotFollowed
from router.runtime.writer import Writer
from tests.support.builders import START_MS
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import running_writer

IDLE_S = 10.0
OWN = "own"


def nothing(_workspace: str) -> None:
    """Do nothing."""


class Store(MemoryJournal):
    """The part of a shared journal that is used here, with a hook at each step."""

    node_id = OWN

    def __init__(self, *workspaces: str) -> None:
        super().__init__()
        self.known_workspaces = list(workspaces)
        self.open_now: set[str] = set()
        """Workspaces that were opened and not dropped."""
        self.read_on: set[str] = set()
        """Those of them that are read on."""
        self.on_leave: Callable[[str], None] = nothing
        self.on_drop: Callable[[str], None] = nothing
        self.on_newest: Callable[[str], None] = nothing
        self.on_begun: Callable[[str, asyncio.Future[None]], None] = lambda _workspace, _archived: None
        self.newest = 0

    async def open_workspace(self, workspace: str) -> WorkspaceHistory:
        assert workspace not in self.open_now, "it is open already"
        self.open_now.add(workspace)
        return WorkspaceHistory(
            workspace=workspace, history_id="h", last_position=Position(0, 0), snapshot=None, epoch=1, is_led=False
        )

    def begin_following(self, workspace: str, archived: "asyncio.Future[None] | None" = None) -> None:
        assert workspace in self.open_now
        self.read_on.add(workspace)
        if archived is not None:
            self.on_begun(workspace, archived)

    def has_caught_up(self, workspace: str) -> None:
        """Do nothing."""

    def leave(self, workspace: str) -> None:
        self.read_on.remove(workspace)
        self.on_leave(workspace)

    async def drop(self, workspace: str) -> None:
        self.open_now.remove(workspace)
        self.on_drop(workspace)
        await asyncio.sleep(0)

    async def newest_seq(self, workspace: str) -> int:
        self.on_newest(workspace)
        return self.newest


class Parts:
    """The rest of the process: what it has loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.left_engines: list[Engine] = []
        self.on_load: Callable[[str], None] = nothing

    async def load(self, workspace: str) -> None:
        self.on_load(workspace)
        self.loaded.append(workspace)

    def followed(self, workspace: str) -> None:
        """Do nothing."""

    def left(self, workspace: str, engine: Engine) -> None:
        self.left_engines.append(engine)
        if workspace in self.loaded:
            self.loaded.remove(workspace)

    def is_in_use(self, workspace: str) -> bool:
        return False


class World:
    """A writer and a store, and what follows workspaces of it."""

    def __init__(self, writer: Writer, store: Store, seconds: list[float]) -> None:
        self.writer, self.store, self.parts = writer, store, Parts()
        self.busy: set[str] = set()
        self.preferred = "other"
        self.troubles: list[tuple[str, str | None]] = []
        self._seconds = seconds
        self.following = Following(
            writer,
            cast(SharedRedisJournal, store),
            standby_count=0,
            idle_s=IDLE_S,
            settled=store.known_workspaces,
            possible=lambda _workspace: [self.preferred],
            is_busy=lambda workspace: workspace in self.busy,
            tell=self._tell,
            forget=nothing,
        )
        self.following.parts = self.parts
        self.following.on_trouble = lambda workspace, reason: self.troubles.append((workspace, reason))

    async def _tell(self, _followed: Any) -> None:
        """Do nothing."""

    def advance(self, seconds: float) -> None:
        self._seconds[0] += seconds

    def check_same(self) -> None:
        """Check that what is followed is in every part, and nothing else is."""
        followed = set(self.following.followed)
        assert set(self.writer.workspaces) == self.store.open_now == self.store.read_on == set(self.parts.loaded) == followed


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@asynccontextmanager
async def a_world(seconds: list[float], *workspaces: str) -> AsyncIterator[World]:
    store = Store(*workspaces)
    async with running_writer(store, clock=ManualClock(START_MS)) as writer:
        world = World(writer, store, seconds)
        yield world
        await world.following.stop()


async def test_what_was_not_needed_for_a_while_is_left(seconds: list[float]) -> None:
    async with a_world(seconds, "a", "b") as world:
        await world.following.ensure("a")
        world.advance(IDLE_S - 1)
        await world.following.ensure("b")
        await world.following.leave_idle()
        assert world.following.followed == {"a", "b"}
        world.advance(1)
        await world.following.leave_idle()
        assert world.following.followed == {"b"} and world.following.ended == 1
        world.check_same()


@pytest.mark.parametrize("is_request", [True, False])
async def test_a_client_that_comes_while_another_workspace_is_left_keeps_its_own(seconds: list[float], is_request: bool) -> None:
    async with a_world(seconds, "a", "b") as world:
        await world.following.ensure("a")
        await world.following.ensure("b")
        world.advance(IDLE_S)
        needed: list[str] = []

        def comes(left: str) -> None:
            other = "b" if left == "a" else "a"
            if not needed:
                needed.append(other)
                if is_request:
                    world.following.enter(other)
                else:
                    assert world.following.note_use(other), "it is told that the workspace is followed"

        world.store.on_drop = comes
        await world.following.leave_idle()
        assert world.following.followed == set(needed) and len(needed) == 1
        world.check_same()


@pytest.mark.parametrize("comes", ["a request", "a command", "a use"])
async def test_a_workspace_in_use_again_while_it_is_left_stays(seconds: list[float], comes: str) -> None:
    """Who was let in before is noticed in the very step that would forget it."""
    async with a_world(seconds, "a") as world:
        await world.following.ensure("a")
        [engine] = [world.writer._workspaces["a"].engine]
        world.advance(IDLE_S)

        def come(workspace: str) -> None:
            if comes == "a request":
                world.following.enter(workspace)
            elif comes == "a command":
                world.busy.add(workspace)
            else:
                assert not world.following.note_use(workspace), "this client waits"

        world.store.on_leave = come
        await world.following.leave_idle()
        assert world.following.followed == {"a"} and world.following.ended == 0
        assert world.writer._workspaces["a"].engine is engine, "it was not loaded again"
        world.check_same()


async def test_a_client_that_comes_when_it_is_too_late_waits_until_it_is_loaded_again(seconds: list[float]) -> None:
    async with a_world(seconds, "a") as world:
        await world.following.ensure("a")
        world.advance(IDLE_S)
        waiting: list[asyncio.Task[None]] = []
        world.store.on_drop = lambda workspace: waiting.append(asyncio.create_task(world.following.ensure(workspace)))
        await world.following.leave_idle()
        await waiting[0]
        assert world.following.followed == {"a"} and world.following.begun == 2
        world.check_same()


async def test_a_standby_is_not_left_when_nothing_could_look_for_long(seconds: list[float]) -> None:
    """After an outage of the store nothing was noted for longer than the limit."""
    async with a_world(seconds, "a") as world:
        await world.following.ensure("a")
        world.preferred = OWN
        world.advance(10 * IDLE_S)
        await world.following.leave_idle()
        assert world.following.followed == {"a"}
        world.preferred = "other"
        await world.following.leave_idle()
        assert not world.following.followed


@pytest.mark.parametrize("step", ["load", "newest"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CommandQueueFull("full"), "full"),
        (JournalUnavailable("the store is away"), "the store is away"),
        (KeyError("+43 1 234567"), "unexpected KeyError"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_beginning_that_fails_leaves_nothing_behind(seconds: list[float], step: str, error: Exception, reason: str) -> None:
    async with a_world(seconds, "a") as world:
        seen: list[str] = []
        subscription = world.writer.feed.subscribe_inline("test", lambda one: seen.append(one.workspace))

        def fail(_workspace: str) -> None:
            raise error

        if step == "load":
            world.parts.on_load = fail
        else:
            world.store.on_newest = fail
        with pytest.raises(NotFollowed):
            await world.following.ensure("a")
        world.check_same()
        assert not world.following.followed and len(world.parts.left_engines) == 1
        assert "a" not in subscription._cursors
        # It is said once, and not tried at once again.
        with pytest.raises(NotFollowed):
            await world.following.ensure("a")
        assert world.troubles == [("a", reason)] and len(world.parts.left_engines) == 1
        world.parts.on_load = world.store.on_newest = nothing
        world.advance(60)
        await world.following.ensure("a")
        assert world.following.followed == {"a"} and world.troubles[1:] == [("a", None)]
        world.check_same()


async def test_what_is_left_half_way_waits_for_a_query_in_the_queue(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A beginning that fails with its own question in the queue does not take the engine from it."""
    monkeypatch.setattr(module, "POLL_S", 0.0)
    async with a_world(seconds, "a") as world:
        asked: list[asyncio.Task[Any]] = []

        def fail(workspace: str) -> None:
            asked.append(asyncio.ensure_future(world.writer.query(workspace, lambda engine: engine.seq)))
            raise CommandQueueFull("full")

        world.parts.on_load = fail
        with pytest.raises(NotFollowed):
            await world.following.ensure("a")
        assert (await asked[0]).value == 0
        world.check_same()


async def test_a_beginning_whose_records_are_archived_meanwhile_is_repeated(seconds: list[float]) -> None:
    """The leader archives while the state is loaded: the workspace is opened again, and the others go on."""
    async with a_world(seconds, "a") as world:

        def archive(workspace: str, archived: "asyncio.Future[None]") -> None:
            world.store.leave(workspace)
            archived.set_exception(JournalUnavailable("archived"))

        world.store.newest, world.store.on_begun = 7, archive
        with pytest.raises(NotFollowed):
            await world.following.ensure("a")
        assert world.troubles == [("a", "archived")]
        world.check_same()
        world.store.newest, world.store.on_begun = 0, lambda _workspace, _archived: None
        world.advance(60)
        await world.following.ensure("a")
        assert world.following.followed == {"a"}
        world.check_same()
