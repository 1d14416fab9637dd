"""Workspaces that are created over the API of one of several routers: every router serves them, also one that starts later."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.server.auth.credentials import mint_token
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.router_nodes import LEASE_S, copy_secrets
from tests.support.router_process import POLICY, RouterProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


async def accepted(node: RouterProcess, token: str) -> Api:
    """Return the API of a node once it accepts a token."""
    api = await Api(node, token=token).__aenter__()
    async with asyncio.timeout(30):
        while (await api.call("GET", "/v1/queues")).status == 401:  # noqa: ASYNC110  (another process)
            await asyncio.sleep(0.1)
    return api


@pytest.mark.parametrize("standby_count", [None, 0])
async def test_each_router_serves_a_workspace_that_another_one_has_created(
    server: RedisServer, tmp_path: Path, standby_count: int | None
) -> None:
    values: dict[str, Any] = {
        "store__url": server.url,
        "store__shared": "true",
        "store__durability": "leader",
        "store__lease_s": LEASE_S,
        "server__drain_s": 1,
    }
    if standby_count is not None:
        values["store__standby_count"] = standby_count
    nodes = [RouterProcess(tmp_path / f"node{number}", **values) for number in range(3)]
    first, second, third = nodes
    try:
        for node in (first, second):
            if node is not first:
                copy_secrets(first, node)
            await asyncio.to_thread(node.start)
        token, web = (
            mint_token(first.settings, subject="ann", role=role, workspace="shop", may_be_unlisted=True)
            for role in ("admin", "gateway")
        )
        async with Api(first, "operator") as operator, Api(second, "operator") as other:
            created = await operator.ok("POST", "/v1/workspaces", {"name": "shop", "policy": POLICY})
            assert (created["name"], created["policy_version"]) == ("shop", 1)
            again = await other.call("POST", "/v1/workspaces", {"name": "shop", "policy": POLICY})
            assert again.status == 409, again
            apis = [await accepted(node, token) for node in (first, second)]
            await apis[1].ok("PUT", "/v1/agents/eve", {})
            async with Api(second, token=web) as gateway:
                contact_id = (await gateway.submit())["contact_id"]
            assert (await apis[0].ok("GET", f"/v1/contacts/{contact_id}"))["state"] == "queued"
            listed = [one["name"] for one in (await other.ok("GET", "/v1/workspaces"))["workspaces"]]
            assert "shop" in listed
            await operator.ok("POST", "/v1/workspaces", {"name": "closed", "policy": POLICY})
            ended = mint_token(first.settings, subject="ann", role="admin", workspace="closed", may_be_unlisted=True)
            for node in (first, second):
                await (await accepted(node, ended)).__aexit__(None, None, None)
            await other.ok("DELETE", "/v1/workspaces/closed")
            async with Api(first, token=ended) as late, asyncio.timeout(30):
                while (await late.call("GET", "/v1/queues")).status != 401:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        # A router that starts later, and goes on alone.
        copy_secrets(first, third)
        await asyncio.to_thread(third.start)
        for node in (first, second):
            node.kill()
        api = await accepted(third, token)
        await api.ok("PUT", "/v1/agents/bob", {})
        assert (await api.ok("GET", f"/v1/contacts/{contact_id}"))["state"] == "queued"
        for one in (*apis, api):
            await one.__aexit__(None, None, None)
    finally:
        for node in nodes:
            node.kill()
