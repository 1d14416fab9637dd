"""What two routers on one store share, from outside: tickets, idempotency keys, presence, and counters that are counted once."""

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from router.client import DesktopClient
from router.client.connection import ConnectionOptions
from router.model.states import Presence
from router.protocol.codec import JSON
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.router_process import RouterProcess

LEASE_S = 5
PATIENT = ConnectionOptions(connect_timeout_s=60, command_timeout_s=60, backoff_base_s=0.05, backoff_max_s=0.5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


@pytest.fixture
async def nodes(server: RedisServer, tmp_path: Path) -> AsyncIterator[list[RouterProcess]]:
    """Two routers that lead and follow; they have the secret of tokens in common, and that of hashes by the store."""
    (tmp_path / "key").write_bytes(b"k" * 32)
    async with AsyncExitStack() as stack:
        found: list[RouterProcess] = []
        for number in range(2):
            node = RouterProcess(
                tmp_path / f"node{number}",
                store__url=server.url,
                store__durability="fsync",
                store__shared="true",
                store__lease_s=LEASE_S,
                store__secret_path=str(tmp_path / "key"),
                auth__ticket_s=60,
            )
            if found:
                (node.directory / "var").mkdir(parents=True, exist_ok=True)
                shutil.copy2(found[0].directory / "var" / "token.secret", node.directory / "var" / "token.secret")
            stack.callback(node.kill)
            await asyncio.to_thread(node.start)
            found.append(node)
        yield found


async def upgrade(node: RouterProcess, ticket: str) -> int:
    """Return the status of an upgrade with a ticket."""
    async with aiohttp.ClientSession() as http:
        try:
            async with http.ws_connect(node.url + "/v1/desktop", protocols=(JSON, f"ticket.{ticket}")):
                return 101
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status


async def exported(nodes: list[RouterProcess], sample: str) -> list[float]:
    """Return the values of a sample that the nodes export."""
    found = []
    async with aiohttp.ClientSession() as http:
        for node in nodes:
            async with http.get(node.metrics_url) as page:
                found += re.findall(rf"^{re.escape(sample)} (\S+)$", await page.text(), re.MULTILINE)
    return [float(text) for text in found]


@pytest.mark.slow
async def test_tickets_keys_and_counters_are_those_of_all_nodes(nodes: list[RouterProcess]) -> None:
    here, there = nodes
    async with Api(here) as admin:
        await admin.ok("PUT", "/v1/agents/d0", {})
    async with Api(here, "agent", "d0") as agent:
        ticket = (await agent.ok("POST", "/v1/ws-ticket"))["ticket"]
    assert sorted(await asyncio.gather(*(upgrade(node, ticket) for node in (there, here, there)))) == [101, 401, 401]

    body = {"channel": "chat", "queue_id": "support"}
    headers = {"Idempotency-Key": "call-17"}
    async with Api(here, "gateway", "web") as one, Api(there, "gateway", "web") as other:
        first = await one.call("POST", "/v1/contacts", body, headers=headers)
        again = await other.call("POST", "/v1/contacts", body, headers=headers)
        assert (first.status, first.json["contact_id"]) == (201, again.json["contact_id"]), (first, again)
        reused = await other.call("POST", "/v1/contacts", body | {"queue_id": None}, headers=headers)
        assert reused.code == "idempotency_key_reused"
    async with asyncio.timeout(20):
        while (found := await exported(nodes, 'router_contacts_submitted_total{workspace="default"}')) != [1.0]:
            assert len(found) == 1, "one node exports the workspace"
            await asyncio.sleep(0.1)
        while await exported(nodes, "router_cluster_members") != [2.0, 2.0]:  # noqa: ASYNC110  (state of other processes)
            await asyncio.sleep(0.1)
    assert await exported(nodes, "router_shared_state_away") == [0.0, 0.0]


@pytest.mark.slow
async def test_the_desktops_of_a_node_that_is_killed_are_disconnected_within_a_bound(nodes: list[RouterProcess]) -> None:
    here, there = nodes
    async with Api(there) as admin:
        for agent_id in ("d0", "d1"):
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {})

        async def presence(agent_id: str) -> str:
            return str((await admin.ok("GET", f"/v1/agents/{agent_id}"))["presence"])

        # Of the node that will be killed: a bare socket, which does not connect to another one.
        async with (
            aiohttp.ClientSession() as http,
            DesktopClient(there.url.replace("http", "ws"), there.token("agent", "d1"), options=PATIENT),
        ):
            headers = {"Authorization": f"Bearer {here.token('agent', 'd0')}"}
            socket = await http.ws_connect(here.url + "/v1/desktop", headers=headers, protocols=(JSON,))
            await socket.send_json({"type": "hello"})
            await socket.receive()
            async with asyncio.timeout(20):
                # The other router follows: it shows the events a moment later.
                while [await presence(one) for one in ("d0", "d1")] != [Presence.ATTACHED] * 2:  # noqa: ASYNC110  (as below)
                    await asyncio.sleep(0.1)
            started_s = time.monotonic()
            here.kill()
            async with asyncio.timeout(12 * LEASE_S):
                while await presence("d0") == Presence.ATTACHED:  # noqa: ASYNC110  (state of another process)
                    await asyncio.sleep(0.1)
            # The take-over of the workspace, if that node led it, and the time in which its start is in doubt.
            assert time.monotonic() - started_s < 6 * LEASE_S
            assert await presence("d1") == Presence.ATTACHED
