"""Three routers on one store of which each follows only the workspaces that it needs, from outside."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from router.client import DesktopClient
from router.cluster.rendezvous import rank
from router.journal.redis.layout import WorkspaceKeys
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.router_nodes import LEASE_S, copy_secrets, eventually
from tests.support.router_process import RouterProcess

WORKSPACES = ("default", "w1", "w2", "w3", "w4", "w5")
IDLE_S = 5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


@contextlib.asynccontextmanager
async def nodes_on(
    server: RedisServer, directory: Path, *, standby_count: int, count: int = 3, **settings: Any
) -> AsyncIterator[list[RouterProcess]]:
    values: dict[str, Any] = {
        "store__url": server.url,
        "store__shared": "true",
        "store__durability": "leader",
        "store__lease_s": LEASE_S,
        "store__standby_count": standby_count,
        "store__follow_idle_s": IDLE_S,
        "server__drain_s": 1,
        "workspaces": f"[{', '.join(WORKSPACES[1:])}]",
    }
    nodes = [RouterProcess(directory / f"node{number}", **(values | settings)) for number in range(count)]
    try:
        for node in nodes:
            if node is not nodes[0]:
                copy_secrets(nodes[0], node)
            await asyncio.to_thread(node.start)
        yield nodes
    finally:
        for node in nodes:
            node.kill()


async def metric(node: RouterProcess, name: str) -> float:
    async with Api(node, None) as api:
        assert api._session is not None
        async with api._session.get(node.metrics_url) as answer:
            found = re.search(rf"^{name}(?:_total)? ([0-9.e+]+)$", await answer.text(), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def status(node: RouterProcess, workspace: str) -> Any:
    async with Api(node, workspace=workspace) as api:
        return (await api.ok("GET", "/v1/cluster"))["workspaces"][0]


def node_ids(server: RedisServer) -> set[str]:
    with server.client() as client:
        return {name.decode() for name in client.hkeys("rt:nodes")}


def leaders(server: RedisServer, workspaces: Sequence[str] = WORKSPACES) -> dict[str, str | None]:
    with server.client() as client:
        found = {name: client.get(WorkspaceKeys.of("rt", name).lease) for name in workspaces}
    return {name: None if lease is None else lease.decode().partition(".")[0] for name, lease in found.items()}


def node_id_of(node: RouterProcess) -> str:
    return str(json.loads((node.directory / "var" / "store.mark").read_text())["node_id"])


async def settled(server: RedisServer) -> None:
    """Wait until each workspace is led by the node that is preferred for it."""
    ids = node_ids(server)
    await eventually(lambda: leaders(server) == {name: rank(name, ids)[0] for name in WORKSPACES})


async def followed(node: RouterProcess) -> int:
    return int(await metric(node, "router_cluster_workspaces_followed"))


async def until_followed(nodes: Sequence[RouterProcess], count: int) -> None:
    """Wait until these nodes follow that many workspaces together, and not for a moment only."""
    async with asyncio.timeout(60):
        while sum([await followed(node) for node in nodes]) != count:  # noqa: ASYNC110  (other processes)
            await asyncio.sleep(0.1)


async def until_followed_by(node: RouterProcess, workspace: str, others: Sequence[RouterProcess]) -> None:
    """Wait until a node says that these follow a workspace."""
    async with asyncio.timeout(60):
        while (await status(node, workspace))["followed_by"] != sorted(map(node_id_of, others)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def leader_of(server: RedisServer, nodes: Sequence[RouterProcess], workspace: str) -> RouterProcess:
    leader = leaders(server)[workspace]
    return next(node for node in nodes if node_id_of(node) == leader)


async def served_contact(node: RouterProcess, desktop: DesktopClient, workspace: str) -> str:
    """Submit a contact at a node, and serve it to its end by a desktop; return its id."""
    async with Api(node, "gateway", "web", workspace) as gateway:
        contact_id = str((await gateway.submit())["contact_id"])
    await desktop.ready()
    await eventually(lambda: any(one.contact_id == contact_id for one in desktop.state.offers.values()))
    [offer_id] = desktop.state.offers
    await desktop.accept(offer_id)
    await eventually(lambda: bool(desktop.state.assignments))
    await desktop.end(contact_id)
    await eventually(lambda: bool(desktop.state.assignments))
    [assignment_id] = desktop.state.assignments
    await desktop.complete(assignment_id)
    return contact_id


async def test_each_node_reads_what_it_needs_and_serves_the_rest_on_demand(server: RedisServer, tmp_path: Path) -> None:
    async with nodes_on(server, tmp_path, standby_count=0) as nodes:
        await settled(server)
        # Nothing is followed beside the leaders.
        await until_followed(nodes, len(WORKSPACES))
        led = leaders(server)
        workspace = "w1"
        leader = leader_of(server, nodes, workspace)
        user, bystander = [node for node in nodes if node is not leader]
        await until_followed_by(leader, workspace, [leader])
        before = [await metric(node, "router_cluster_bytes_read") for node in (user, bystander)]
        async with Api(leader, workspace=workspace) as admin:
            await admin.ok("PUT", "/v1/agents/ann", {})
            for number in range(50):
                await admin.ok("PUT", f"/v1/agents/other-{number}", {})
        assert [await metric(node, "router_cluster_bytes_read") for node in (user, bystander)] == before

        # A desktop at a node that does not follow its workspace.
        async with DesktopClient(user.url.replace("http", "ws", 1), user.token("agent", "ann", workspace)) as desktop:
            first = await served_contact(user, desktop, workspace)
            await until_followed_by(user, workspace, [leader, user])
            assert await metric(user, "router_cluster_bytes_read") > before[0]
            # As long as it is connected, however long nothing is asked for.
            await asyncio.sleep(IDLE_S + 1)
            second = await served_contact(leader, desktop, workspace)
        await until_followed(nodes, len(WORKSPACES))
        await until_followed_by(leader, workspace, [leader])
        assert await metric(bystander, "router_cluster_bytes_read") == before[1]

        # What happens meanwhile is known when it follows again: contacts, statistics and records.
        async with DesktopClient(leader.url.replace("http", "ws", 1), leader.token("agent", "ann", workspace)) as desktop:
            third = await served_contact(leader, desktop, workspace)
        answers = []
        for node in (leader, user, bystander):
            async with Api(node, workspace=workspace) as admin:
                assert (await admin.ok("GET", "/v1/agents/other-49"))["agent_id"] == "other-49"
                records = {one["contact_id"]: one for one in (await admin.ok("GET", "/v1/records"))["records"]}
                assert set(records) == {first, second, third}
                [row] = (await admin.ok("GET", "/v1/statistics?by=queue&queue_id=support"))["rows"]
                answers.append((records, row["submitted"], row["answered"]))
        assert answers[0] == answers[1] == answers[2] and answers[0][1:] == (3, 3)
        assert leaders(server) == led, "who follows on demand does not lead"


async def test_a_customer_is_recognised_at_a_node_that_does_not_follow(server: RedisServer, tmp_path: Path) -> None:
    """Who follows knows the token of their request; a wrong one is refused at once where its workspace is followed."""
    async with nodes_on(server, tmp_path, standby_count=0, count=2) as nodes:
        ids = node_ids(server)
        await eventually(lambda: leaders(server) == {name: rank(name, ids)[0] for name in WORKSPACES})
        await until_followed(nodes, len(WORKSPACES))
        leader = leader_of(server, nodes, "w3")
        [other] = [node for node in nodes if node is not leader]
        async with Api(leader, "gateway", "web", "w3") as gateway:
            asked = await gateway.ok("POST", "/v1/requests", {"channel": "voice", "queue_id": "support"})
        path = f"/v1/requests/{asked['request_id']}"
        before = await followed(other)
        async with Api(other, token=asked["token"]) as customer, asyncio.timeout(30):
            while (got := await customer.call("GET", path)).status == 503:
                assert got.code == "not_ready"
                await asyncio.sleep(0.1)
        assert got.status == 200 and got.json["request_id"] == asked["request_id"]
        # Only that workspace, not all of which a token might be.
        assert await followed(other) == before + 1
        async with Api(other, token=asked["token"][:-8] + "AAAA" + asked["token"][-4:]) as wrong:
            assert (await wrong.call("GET", path)).status == 401


@pytest.mark.slow
@pytest.mark.parametrize("standby_count", [0, 1])
async def test_a_workspace_goes_on_when_all_who_follow_it_are_killed(
    server: RedisServer, tmp_path: Path, standby_count: int
) -> None:
    async with nodes_on(server, tmp_path, standby_count=standby_count) as nodes:
        await settled(server)
        await until_followed(nodes, (1 + standby_count) * len(WORKSPACES))
        by_id = {node_id_of(node): node for node in nodes}
        killed = [by_id[name] for name in rank("w2", by_id)[: 1 + standby_count]]
        [left, *_] = [node for node in nodes if node not in killed]
        async with Api(killed[0], workspace="w2") as admin:
            await admin.ok("PUT", "/v1/agents/ann", {})
        began_s = time.monotonic()
        for node in killed:
            node.kill()
        survivors = [node for node in nodes if node not in killed]
        ids = {node_id_of(node) for node in survivors}
        await eventually(lambda: leaders(server)["w2"] in ids)
        took_s = time.monotonic() - began_s
        print(f"another node led {took_s:.1f} s after the end of all {1 + standby_count} that followed (lease {LEASE_S} s)")
        async with Api(left, workspace="w2") as admin:
            assert (await admin.ok("GET", "/v1/agents/ann"))["agent_id"] == "ann"
            await admin.ok("PUT", "/v1/agents/bob", {})
        await eventually(lambda: set(leaders(server).values()) <= ids)
