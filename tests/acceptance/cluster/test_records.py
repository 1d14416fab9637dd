"""Records of contacts at three routers on one store: every node answers the same, also after kill -9 and a start."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.client import DesktopClient, GatewayClient
from tests.support.balancer import Balancer
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.router_nodes import PATIENT, Nodes, eventually, port_of, work
from tests.support.router_process import RouterProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


async def records_of(node: RouterProcess, ended: set[str]) -> dict[str, Any]:
    """Return the records of a node, once it has read the end of the last wrap-up of each contact."""
    async with Api(node) as admin, asyncio.timeout(60):
        while True:
            page = await admin.ok("GET", "/v1/records?limit=100")
            found = {one["contact_id"]: one for one in page["records"]}
            if ended <= found.keys() and all(one["completed_at_ms"] for one in found.values()):
                assert page["complete_from_seq"] == 1
                return found
            await asyncio.sleep(0.1)


async def test_each_node_answers_the_same_records_after_kills_and_starts(server: RedisServer, tmp_path: Path) -> None:
    ended: set[str] = set()
    async with contextlib.AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer())
        nodes = Nodes(tmp_path, server.url, balancer, 3)
        for node in nodes.all:
            stack.callback(node.kill)
            await nodes.start(node)
        first = nodes.all[0]
        async with Api(first) as admin:
            await admin.ok("PUT", "/v1/agents/ann", {})
        url = f"ws://{balancer.address}"
        gateway = await stack.enter_async_context(GatewayClient(url, first.token("gateway", "web"), options=PATIENT))
        desktop = await stack.enter_async_context(DesktopClient(url, first.token("agent", "ann"), options=PATIENT))
        working = asyncio.create_task(work(desktop))
        stack.callback(working.cancel)

        async def serve(count: int) -> None:
            for _ in range(count):
                answered = await gateway.submit("chat", queue_id="support", retry_until_acknowledged=True)
                assert answered.subject is not None
                ended.add(answered.subject)
            await records_of(next(one for one in nodes.all if port_of(one) in balancer.ports), ended)

        await serve(3)
        leader = await nodes.leader()
        balancer.drop(port_of(leader))
        await asyncio.to_thread(leader.kill)
        await serve(3)
        await nodes.start(leader)
        follower = nodes.others(await nodes.leader())[0]
        balancer.drop(port_of(follower))
        await asyncio.to_thread(follower.kill)
        await serve(3)
        await nodes.start(follower)
        await serve(1)
        found = [await records_of(node, ended) for node in nodes.all]
        assert found[0] == found[1] == found[2] and set(found[0]) == ended
        assert all(one["agents"] == ["ann"] and one["answered_at_ms"] for one in found[0].values())
        await eventually(lambda: not working.done())
