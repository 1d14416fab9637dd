"""Several routers on one store in the test's own process: what each leads, and in which order it starts."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from router.app import App
from router.cluster.rendezvous import rank
from router.settings import settings_from
from tests.support.redis_server import RedisServer

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
    def make(name: str, **sections: Any) -> App:
        defaults = {
            "journal": {"path": str(tmp_path / name / "journal.db")},
            "store": {"url": server.url, "durability": "leader", "shared": True, "lease_s": 5},
            "server": {"port": 0, "drain_s": 1},
            "telemetry": {"metrics_port": None, "access_log": False},
        }
        (tmp_path / name).mkdir()
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


async def test_a_workspace_that_one_router_follows_stays_with_it(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
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
