"""Clients are told which router leads their workspace, and come to it through a real nginx as docs/how-to/cluster.md sets it up."""

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from router.client import ConnectionOptions, GatewayClient
from router.cluster.rendezvous import rank
from tests.support.balancer import Balancer
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer, free_ports
from tests.support.router_nodes import PATIENT, Nodes, eventually, port_of
from tests.support.router_process import RouterProcess

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "how-to" / "cluster.md"
NAMES: Final = ("https://router-a.example.com", "https://router-b.example.com")
FOLLOWING: Final = msgspec.structs.replace(PATIENT, prefer_leader=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


async def run_nginx(stack: AsyncExitStack, nodes: list[RouterProcess], directory: Path) -> int:
    """Run nginx with the parts of the document; only addresses and ports differ. Returns its port."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not installed")
    common, location = re.findall(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    for address, node in zip(("10.0.0.5:8080", "10.0.0.6:8080"), nodes, strict=True):
        assert address in common
        common = common.replace(address, f"127.0.0.1:{port_of(node)}")
    [port] = free_ports(1)
    paths = "".join(f"{name}_temp_path {directory / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {directory / 'pid'}; error_log {directory / 'error.log'}; events {{}}\n"
        f"http {{ access_log off; {paths}\n{common}\nserver {{ listen 127.0.0.1:{port};\n{location} }} }}\n"
    )
    process = await asyncio.create_subprocess_exec(program, "-p", str(directory), "-c", str(configuration), "-e", "stderr")
    stack.callback(process.kill)
    return port


def sockets_of(node: RouterProcess) -> int:
    """Return how many upgrades a router has accepted."""
    return sum('"status":101' in line for line in node.log)


def preferred_of(nodes: list[RouterProcess]) -> RouterProcess:
    """Return the router that keeps the workspace, once it has it."""
    by_id = {json.loads((node.directory / "var" / "store.mark").read_text())["node_id"]: node for node in nodes}
    return by_id[rank("default", by_id)[0]]


def are_back(clients: list[GatewayClient], *, connections: int, leader_url: str) -> bool:
    return all(one.connection_count == connections and one.leader_url == leader_url for one in clients)


async def headers_of(node: RouterProcess, token: str) -> Any:
    authorization = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=authorization) as http, http.get(f"{node.url}/v1/queues") as answer:
        return answer.headers


@pytest.mark.slow
async def test_a_client_that_connects_again_comes_to_the_router_that_leads(server: RedisServer, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer())
        nodes = Nodes(tmp_path, server.url, balancer, 2)
        for name, node in zip(NAMES, nodes.all, strict=True):
            node.set(store__advertise_url=name)
            stack.callback(node.kill)
            await nodes.start(node)
        token = nodes.all[0].token("gateway", "web")
        # Both know who leads, once the leadership has settled.
        told, preferred = [""], preferred_of(nodes.all)

        async def both_tell_the_same() -> None:
            async with asyncio.timeout(60):
                while True:
                    found = [(await headers_of(node, token)).get("Router-Leader") for node in nodes.all]
                    if found[0] is not None and found[0] == found[1] == NAMES[nodes.all.index(preferred)]:
                        told[0] = found[0]
                        return
                    await asyncio.sleep(0.2)

        await both_tell_the_same()
        leader = preferred
        [other] = nodes.others(leader)
        # A request without a credential is told nothing; a submit is.
        async with aiohttp.ClientSession() as http, http.get(f"{leader.url}/healthz") as answer:
            assert "Router-Leader" not in answer.headers
        async with Api(other, role="gateway") as api:
            got = await api.call("POST", "/v1/contacts", {"channel": "chat", "queue_id": "support"})
            assert got.status == 201 and got.headers["Router-Leader"] == told[0]

        port = await run_nginx(stack, nodes.all, tmp_path)
        await eventually(lambda: (tmp_path / "pid").exists())

        async def connect(options: ConnectionOptions) -> GatewayClient:
            client = GatewayClient(f"ws://127.0.0.1:{port}", token, options=options)
            return await stack.enter_async_context(client)

        # Without a hint the proxy spreads them; with it, every connection after the first one is at the leader.
        clients = [await connect(FOLLOWING) for _ in range(4)]
        assert {client.welcome.leader_url for client in clients} == {told[0]} == {client.leader_url for client in clients}
        await eventually(lambda: sockets_of(leader) > 0 and sockets_of(other) > 0)
        before = sockets_of(leader), sockets_of(other)
        for round_number in range(2):
            for client in clients:
                await client.drop_connection()
            await eventually(partial(are_back, clients, connections=round_number + 2, leader_url=told[0]))
        await eventually(lambda: sockets_of(leader) == before[0] + 8)
        assert sockets_of(other) == before[1]

        # The leader dies: the proxy lets the clients come to the other one, which leads and says so.
        await asyncio.to_thread(leader.kill)
        receipt = await clients[0].submit("chat", queue_id="support", retry_until_acknowledged=True)
        assert receipt.subject
        assert (await headers_of(other, token))["Router-Leader"] == NAMES[nodes.all.index(other)] != told[0]
