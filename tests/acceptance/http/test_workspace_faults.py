"""Workspaces that are created and removed while commits are slow, clients impatient or requests repeated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from router.app.composition import App
from router.model.commands import CreateWorkspace
from router.server.auth.credentials import Role, mint_token
from tests.acceptance.http.test_app import SlowJournal
from tests.acceptance.http.test_submits import an_app, until
from tests.support.http_api import Got

BRANCH = "/v1/workspaces/branch"
POLICY = "channels: {voice: {}}\nqueues: {support: {}}\n"


class Client:
    """A router with a slow journal, and requests to it."""

    def __init__(self, app: App, journal: SlowJournal, session: aiohttp.ClientSession) -> None:
        self.app, self.journal, self._session = app, journal, session

    async def call(self, method: str, path: str, body: Any = None, *, workspace: str | None = None) -> Got:
        """Send a request as the operator, or as an administrator of a workspace."""
        if workspace is None:
            token = self.app.mint_token(subject="olga", role=Role.OPERATOR)
        else:
            token = mint_token(self.app.settings, subject="ann", role=Role.ADMIN, workspace=workspace, may_be_unlisted=True)
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.request(method, self.app.url + path, json=body, headers=headers) as response:
            return Got(response.status, CIMultiDict(response.headers), await response.read())

    async def policy_status(self) -> int:
        return (await self.call("GET", "/v1/policy", workspace="branch")).status

    async def names(self) -> set[str]:
        return {one["name"] for one in (await self.call("GET", "/v1/workspaces")).json["workspaces"]}


@asynccontextmanager
async def a_client(tmp_path: Path) -> AsyncIterator[Client]:
    journal = SlowJournal()
    async with an_app(tmp_path, journal, answer_timeout_s=1) as app, aiohttp.ClientSession() as session:
        try:
            yield Client(app, journal, session)
        finally:
            journal.may_commit.set()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with a_client(tmp_path) as found:
        yield found


def body(name: str = "branch") -> dict[str, str]:
    return {"name": name, "policy": POLICY}


async def test_a_removal_that_is_durable_late_removes(client: Client) -> None:
    assert (await client.call("POST", "/v1/workspaces", body())).status == 201
    assert await client.policy_status() == 200
    client.journal.may_commit.clear()
    late = await client.call("DELETE", BRANCH)
    assert (late.code, late.json["applied"]) == ("answer_timeout", "unknown")
    # Its end is not known yet: nothing comes in, and neither a second removal nor a creation begins.
    assert await client.policy_status() == 401
    again = await client.call("DELETE", BRANCH)
    assert (again.code, again.json["field"]) == ("workspace_in_use", "workspace")
    client.journal.may_commit.set()
    await until(lambda: not client.app._services.removals)
    assert await client.policy_status() == 401
    assert (await client.call("DELETE", BRANCH)).code == "not_found"
    assert (await client.call("POST", "/v1/workspaces", body())).code == "workspace_exists"
    assert "branch" not in await client.names() and await client.policy_status() == 401


async def test_a_removal_whose_client_is_gone_removes(client: Client) -> None:
    assert (await client.call("POST", "/v1/workspaces", body())).status == 201
    client.journal.may_commit.clear()
    client.journal.committing.clear()
    request = asyncio.create_task(client.call("DELETE", BRANCH))
    await client.journal.committing.wait()
    request.cancel()
    client.journal.may_commit.set()
    await until(lambda: not client.app._services.removals)
    assert await client.policy_status() == 401 and "branch" not in await client.names()


async def test_of_removals_at_once_one_removes(client: Client) -> None:
    assert (await client.call("POST", "/v1/workspaces", body())).status == 201
    client.journal.may_commit.clear()
    client.journal.committing.clear()
    other = asyncio.create_task(client.call("POST", "/v1/workspaces", body("other")))
    await client.journal.committing.wait()
    # Both find the workspace, and wait for what they ask of it.
    removals = [asyncio.create_task(client.call("DELETE", BRANCH)) for _ in range(2)]
    await until(lambda: client.app._server.admission.in_flight == 3)
    client.journal.may_commit.set()
    first, second = sorted(await asyncio.gather(*removals), key=lambda got: got.status)
    assert (first.status, (await other).status) == (200, 201)
    assert second.code in ("workspace_in_use", "not_found")
    assert await client.policy_status() == 401 and "branch" not in await client.names()


async def test_a_creation_that_is_durable_late_creates(client: Client) -> None:
    client.journal.may_commit.clear()
    late = await client.call("POST", "/v1/workspaces", body())
    assert (late.code, late.json["applied"]) == ("answer_timeout", "unknown")
    assert await client.policy_status() == 401
    client.journal.may_commit.set()
    await until(lambda: "branch" in client.app._services.stats)
    assert await client.policy_status() == 200 and "branch" in await client.names()
    assert (await client.call("POST", "/v1/workspaces", body())).code == "workspace_exists"
    assert (await client.call("DELETE", BRANCH)).status == 200


async def test_a_workspace_that_is_there_but_not_accepted_is_accepted_at_a_repeat(client: Client) -> None:
    writer = client.app._services.writer
    await writer.add_workspace("branch")
    await writer.execute("branch", CreateWorkspace(policy=None, created_by="operator:olga", note=""), actor="operator:olga")
    assert "branch" not in await client.names()
    assert (await client.call("POST", "/v1/workspaces", body())).code == "workspace_exists"
    assert "branch" in await client.names()
    assert (await client.call("DELETE", BRANCH)).status == 200
