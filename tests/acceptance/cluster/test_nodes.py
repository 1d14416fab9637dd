"""Three routers on one store behind a load balancer, from outside: a leader that is killed, stopped, and drained under load."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from router.client import DesktopClient, GatewayClient, SupervisorClient
from router.protocol import frames as f
from tests.support.balancer import Balancer
from tests.support.checked_history import check_history
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.router_nodes import BOUND_S, PATIENT, Nodes, eventually, port_of, work

DESKTOPS = 6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


def _has_seen(seen: list[int], seq: int) -> bool:
    return bool(seen) and seen[-1] >= seq


@pytest.mark.slow
async def test_nothing_is_lost_when_leaders_die_stop_and_drain(server: RedisServer, tmp_path: Path) -> None:
    """I1, I2, I24 to I27: exactly once over kill -9, a process that stands still and returns, and a drain."""
    acknowledged: list[f.OkFrame] = []
    async with contextlib.AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer())
        nodes = Nodes(tmp_path, server.url, balancer, 3)
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
        supervisors = [SupervisorClient(url, first.token("supervisor", f"s{number}"), options=PATIENT) for number in range(3)]
        for client in (*supervisors, gateway, *desktops):
            await stack.enter_async_context(client)

        async def watch(supervisor: SupervisorClient, seen: list[int]) -> None:
            async for frame in supervisor:
                assert not isinstance(frame, f.WelcomeFrame), "every router has what was missed"
                if isinstance(frame, f.EventFrame):
                    seen.append(frame.seq)

        watched = [(supervisor, list[int]()) for supervisor in supervisors]

        stopping = asyncio.Event()
        submits: list[asyncio.Task[None]] = []

        async def submit(number: int) -> None:
            acknowledged.append(
                await gateway.submit("chat", queue_id="support", reference=f"r{number}", retry_until_acknowledged=True)
            )

        async def load() -> None:
            number = 0
            while not stopping.is_set():
                submits.append(asyncio.create_task(submit(number)))
                number += 1
                await asyncio.sleep(0.03)

        async def goes_on() -> None:
            before = len(acknowledged)
            await eventually(lambda: len(acknowledged) >= before + 20, BOUND_S)

        working = [asyncio.create_task(work(desktop)) for desktop in desktops]
        working += [asyncio.create_task(watch(supervisor, seen)) for supervisor, seen in watched]
        loading = asyncio.create_task(load())
        await goes_on()

        # kill -9
        leader = await nodes.leader()
        balancer.drop(port_of(leader))
        await asyncio.to_thread(leader.kill)
        await goes_on()
        await nodes.start(leader)

        # A process that stands still: another one leads, and when it returns it is fenced and ends.
        await asyncio.sleep(6)
        leader = await nodes.leader()
        leader.signal(signal.SIGSTOP)
        balancer.drop(port_of(leader))
        await goes_on()
        assert await nodes.leader() is not leader
        leader.signal(signal.SIGCONT)
        assert await asyncio.to_thread(leader.wait, 30) == 1
        assert any("has taken over with epoch" in line for line in leader.log)
        await nodes.start(leader)

        # An orderly stop: the workspace moves before the sockets close.
        await asyncio.sleep(6)
        leader = await nodes.leader()
        balancer.ports = [one for one in balancer.ports if one != port_of(leader)]
        assert await asyncio.to_thread(leader.stop) == 0
        assert any('"handed_over"' in line for line in leader.log)
        await goes_on()

        stopping.set()
        await loading
        await asyncio.wait_for(asyncio.gather(*submits), 60)
        await eventually(lambda: not any(one.state.offers or one.state.assignments for one in desktops))
        for supervisor, seen in watched:
            last = (await supervisor.ping()).seq
            await eventually(partial(_has_seen, seen, last))
            assert seen == list(range(seen[0], seen[-1] + 1)), "each event once, over all the routers that it was connected to"
        assert sum(supervisor.connection_count for supervisor in supervisors) > len(supervisors)
        for task in working:
            assert not task.done(), task.exception()
        for task in working:
            task.cancel()
        async with Api(nodes.others(leader)[0]) as api, Api(nodes.others(leader)[1]) as other:
            events = await api.events()
            assert [one["seq"] for one in await other.events()] == [one["seq"] for one in events]
        contacts = check_history(events)
        assert {ok.subject for ok in acknowledged} == set(contacts), "what was acknowledged is there, and nothing else"
        assert sum(client.connection_count for client in desktops) > DESKTOPS, "desktops went on at other nodes"
