"""Two routers on a store with a replica and sentinels: the master dies, and later the leader, while both serve clients."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from router.client import DesktopClient, GatewayClient
from router.protocol import frames as f
from tests.support.balancer import Balancer
from tests.support.checked_history import check_history
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.redis_topologies import sentinel_url, sentinels, start_replica
from tests.support.router_nodes import BOUND_S, PATIENT, Nodes, eventually, port_of, work

DESKTOPS: Final = 4
COPIES: Final[dict[str, Any]] = {"min_replicas_to_write": "1", "min_replicas_max_lag": "10"}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[RedisServer]]:
    """A master with two replicas: when it dies, the new master still has one that can confirm."""
    master = RedisServer(tmp_path / "master", **COPIES).start()
    started = [master]
    try:
        started += [start_replica(tmp_path / f"replica{number}", master, **COPIES) for number in range(2)]
        yield started
    finally:
        for server in started:
            server.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("level", ["replica", "replica_fsync"])
async def test_nothing_acknowledged_is_lost_when_master_and_leader_die(
    servers: list[RedisServer], tmp_path: Path, level: str
) -> None:
    acknowledged: list[f.OkFrame] = []
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        ports = await asyncio.to_thread(stack.enter_context, sentinels(tmp_path / "sentinels", servers[0]))
        balancer = await stack.enter_async_context(Balancer())
        nodes = Nodes(tmp_path, sentinel_url(ports), balancer, 2, store__durability=level)
        for node in nodes.all:
            stack.callback(node.kill)
            await nodes.start(node)
        first = nodes.all[0]
        async with Api(first) as api:
            for number in range(DESKTOPS):
                await api.ok("PUT", f"/v1/agents/d{number}", {})
        url = f"ws://{balancer.address}"
        gateway = GatewayClient(url, first.token("gateway", "web"), options=PATIENT)
        desktops = [DesktopClient(url, first.token("agent", f"d{number}"), options=PATIENT) for number in range(DESKTOPS)]
        for client in (gateway, *desktops):
            await stack.enter_async_context(client)

        submits: list[asyncio.Task[None]] = []

        async def submit(number: int) -> None:
            acknowledged.append(
                await gateway.submit("chat", queue_id="support", reference=f"r{number}", retry_until_acknowledged=True)
            )

        async def load() -> None:
            while not stopping.is_set():
                submits.append(asyncio.create_task(submit(len(submits))))
                await asyncio.sleep(0.03)

        async def goes_on() -> float:
            """Wait until twenty more are acknowledged that were submitted from now on; return the time until the first."""
            began_s, known = time.monotonic(), len(submits)
            await eventually(lambda: any(one.done() for one in submits[known:]), BOUND_S)
            first_s = time.monotonic() - began_s
            await eventually(lambda: sum(one.done() for one in submits[known:]) >= 20, BOUND_S)
            return first_s

        working = [asyncio.create_task(work(desktop)) for desktop in desktops]
        loading = asyncio.create_task(load())
        await goes_on()

        # The master of the store dies; the sentinels promote the replica that has everything that was acknowledged.
        servers[0].kill()
        failover_s = await goes_on()

        # The leader dies: the other router takes its workspaces over on the new master.
        leader = await nodes.leader()
        [other] = nodes.others(leader)
        balancer.drop(port_of(leader))
        await asyncio.to_thread(leader.kill)
        take_over_s = await goes_on()
        print(f"{level}: {failover_s:.1f} s after the master died, {take_over_s:.1f} s after the leader died")
        assert await nodes.leader() is other and take_over_s <= BOUND_S
        await nodes.start(leader)
        await goes_on()

        stopping.set()
        await loading
        await asyncio.wait_for(asyncio.gather(*submits), 60)
        await eventually(lambda: not any(one.state.offers or one.state.assignments for one in desktops))
        for task in working:
            assert not task.done(), task.exception()
            task.cancel()
        async with Api(leader) as api, Api(other) as also:
            events = await api.events()
            # What has happened since, the end of a wrap-up, is in the answer that was given later.
            assert [one["seq"] for one in (await also.events())[: len(events)]] == [one["seq"] for one in events]
            receipt = await api.submit()
            assert receipt["durability"] == level
        contacts = check_history(events)
        assert {ok.subject for ok in acknowledged} == set(contacts), "what was acknowledged is there, and nothing else"
