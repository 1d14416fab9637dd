"""Several routers on one store in the test's own process: what each leads, and in which order it starts."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from router.app import App
from router.app.cluster import Cluster
from router.cluster.redis.status import read_cluster_status
from router.cluster.rendezvous import rank
from router.cluster.status import ClusterStatus
from router.journal.redis.layout import WorkspaceKeys
from router.journal.redis.shared_journal import SharedRedisJournal
from router.settings import settings_from
from tests.support.builders import an_agent
from tests.support.redis_server import RedisServer
from tests.support.router_process import POLICY

MakeApp = Callable[..., App]
# That none of them prefers one of two routers has the probability 2^-20.
ADDED = [f"added-{number}" for number in range(20)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


@pytest.fixture
def make_app(server: RedisServer, tmp_path: Path) -> MakeApp:
    def make(name: str, *, durability: str = "leader", **sections: Any) -> App:
        defaults = {
            "journal": {"path": str(tmp_path / name / "journal.db")},
            "store": {"url": server.url, "durability": durability, "shared": True, "lease_s": 5},
            "server": {"port": 0, "drain_s": 1},
            "telemetry": {"metrics_port": None, "access_log": False},
        }
        (tmp_path / name).mkdir(exist_ok=True)
        return App(settings_from(defaults | sections))

    return make


async def started(stack: AsyncExitStack, app: App) -> App:
    await app.start()
    stack.push_async_callback(app.stop)
    return app


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (plain data of other tasks)
            await asyncio.sleep(0.02)


async def status_of(app: App) -> ClusterStatus:
    return await asyncio.to_thread(read_cluster_status, app.settings.store)


async def settled_leader(first: App, second: App) -> App:
    """Return the one that leads ``default``, when it is the one that is preferred."""
    assert first.cluster is not None and second.cluster is not None
    by_name = {one.cluster.membership.node_id: one for one in (first, second) if one.cluster is not None}
    preferred = by_name[rank("default", by_name)[0]]
    await until(lambda: preferred._writer.is_led("default"))
    return preferred


async def test_a_workspace_of_one_router_is_followed_and_led_by_the_others(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.cluster.leadership._STABLE_S", 0.0)
    async with AsyncExitStack() as stack:
        old = (await started(stack, make_app("old"))).cluster
        new = (await started(stack, make_app("new", workspaces=ADDED))).cluster
        assert old is not None and new is not None
        ids = {one.membership.node_id: one for one in (old, new)}
        led = {name: [workspace for workspace in ADDED if rank(workspace, ids)[0] == name] for name in ids}
        for name, one in ids.items():
            await until(lambda name=name, one=one: set(led[name]) <= set(one.node.leadership.led()))  # type: ignore[misc]


async def test_a_workspace_that_one_router_follows_stays_with_it(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the other one has an earlier version, which looks for workspaces at its start alone."""

    async def finds_nothing(self: SharedRedisJournal) -> list[str]:
        return []

    monkeypatch.setattr(SharedRedisJournal, "find_workspaces", finds_nothing)
    monkeypatch.setattr("router.cluster.leadership._DRAIN_S", 0.1)
    monkeypatch.setattr("router.cluster.leadership._STABLE_S", 0.0)
    async with AsyncExitStack() as stack:
        old = (await started(stack, make_app("old"))).cluster
        new = (await started(stack, make_app("new", workspaces=ADDED))).cluster
        assert old is not None and new is not None
        await until(lambda: set(ADDED) <= set(new.node.leadership.led()))
        names = [old.membership.node_id, new.membership.node_id]
        assert any(rank(workspace, names)[0] == names[0] for workspace in ADDED)
        assert sorted(new.membership.candidates("default")) == sorted(names)
        async with new.node.leadership._busy:
            for _ in range(3):
                await new.node.leadership._hand_over_to_preferred()
        assert set(ADDED) <= set(new.node.leadership.led())
        # Also when it stops: nothing else can lead them.
        await new.drain()
        assert set(ADDED) <= set(new.node.leadership.led())


async def test_the_status_counts_what_members_have_read_and_nothing_that_is_not_noted_any_more(
    make_app: MakeApp, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what a router has noted that is gone, that has led meanwhile, and before the level of durability was changed."""
    monkeypatch.setattr("router.cluster.leadership._STABLE_S", 0.0)
    monkeypatch.setattr("router.cluster.status.LAG_EVENTS_MAX", 0)
    async with AsyncExitStack() as stack:
        first = await started(stack, make_app("first", durability="fsync"))
        async with AsyncExitStack() as short:
            gone = (await started(short, make_app("gone", durability="fsync"))).cluster
            assert gone is not None
            readers = WorkspaceKeys.of("rt", "default").readers
            with server.client() as client:
                assert gone.membership.node_id.encode() in client.hgetall(readers)
        second = await started(stack, make_app("second", durability="fsync"))
        leader = await settled_leader(first, second)
        with server.client() as client:
            await until(lambda: gone.membership.node_id.encode() not in client.hgetall(readers))
        [follower] = [one for one in (first, second) if one is not leader]
        assert leader.cluster is not None and follower.cluster is not None
        await leader._writer.execute("default", an_agent("ada"), actor="admin:test")
        await until(lambda: follower._writer.publisher.last_seq("default") == leader._writer.publisher.last_seq("default"))
        [default] = (await status_of(leader)).workspaces
        assert [one.node_id for one in default.followers] == [follower.cluster.membership.node_id]
        # From now on nothing is written, so nothing repairs what is noted of the one that has led.
        await leader.cluster.drain()
        await until(lambda: follower._writer.is_led("default"))
        found = await status_of(leader)
        assert found.problems == ()
        [default] = found.workspaces
        assert [(one.node_id, one.lag_events) for one in default.followers] == [(leader.cluster.membership.node_id, 0)]
    async with AsyncExitStack() as stack:
        first, second = [await started(stack, make_app(name)) for name in ("first", "second")]
        leader = await settled_leader(first, second)
        await leader._writer.execute("default", an_agent("bob"), actor="admin:test")
        found = await status_of(leader)
        assert found.problems == () and found.workspaces[0].followers == ()


async def test_a_seed_policy_is_published_when_what_follows_the_events_has_been_loaded(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of other nodes that came between would be missing from it."""
    seed = tmp_path / "policy.yaml"
    seed.write_text(POLICY)
    steps: list[str] = []

    def note(of: type, name: str) -> None:
        original = getattr(of, name)

        async def noted(self: Any, *arguments: Any) -> Any:
            steps.append(name)
            return await original(self, *arguments)

        monkeypatch.setattr(of, name, noted)

    note(App, "_start_customers")
    note(App, "_start_shadows")
    note(Cluster, "start")
    async with AsyncExitStack() as stack:
        app = await started(stack, make_app("one", policy={"seed_path": str(seed)}))
        assert steps == ["_start_customers", "_start_shadows", "start"]
        assert (await app._writer.query("default", lambda engine: engine.policy_version)).value == 1
        second = await started(stack, make_app("two", policy={"seed_path": str(seed)}))
        assert (await second._writer.query("default", lambda engine: engine.policy_version)).value == 1
