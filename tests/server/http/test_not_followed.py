"""Requests of a workspace that this node does not follow when they come."""

from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.protocol.codec import JSON
from router.runtime.writer import Writer
from router.server.auth.credentials import Role
from router.server.auth.customer_tokens import CustomerTokens, new_token
from router.server.http import submit_handler
from tests.support.in_process_router import InProcessRouter, running_router


class FollowingStub:
    """Follows nothing until a request waits for it; then ``on_followed`` runs."""

    def __init__(self, router: InProcessRouter) -> None:
        self._router = router
        self.is_removed = False
        self.begun: list[str] = []

    def note_use(self, workspace: str) -> bool:
        return False

    async def ensure(self, workspace: str) -> None:
        if self.is_removed:
            self._router.services.authenticator.remove_workspace(workspace)

    def unfollowed(self) -> list[str]:
        return ["removed-1", "removed-2"]

    def begin_soon(self, workspace: str) -> None:
        self.begun.append(workspace)

    def enter(self, workspace: str) -> None:
        return None

    def leave(self, workspace: str) -> None:
        return None


def follow(router: InProcessRouter) -> FollowingStub:
    following: Any = FollowingStub(router)
    object.__setattr__(router.services, "following", following)
    router.endpoints._context.following = following
    stub: FollowingStub = following
    return stub


async def test_a_request_of_a_workspace_that_was_removed_meanwhile_is_refused(tmp_path: Path) -> None:
    async with running_router(tmp_path, agents=0) as router, aiohttp.ClientSession() as http:
        following = follow(router)
        headers = {"Authorization": f"Bearer {router.token('me', Role.ADMIN)}"}
        seqs = []
        statuses = []
        for is_removed in (False, True):
            following.is_removed = is_removed
            url = f"{router.server.url}/v1/agents/ann{int(is_removed)}"
            async with http.put(url, json={}, headers=headers) as answer:
                statuses.append((answer.status, answer.headers.get("WWW-Authenticate")))
            seqs.append(router.writer.publisher.last_seq("default"))
        assert statuses == [(200, None), (401, "Bearer")] and seqs[0] == seqs[1]


async def test_made_up_tokens_of_customers_are_limited_by_address(tmp_path: Path) -> None:
    """Over HTTP, at an upgrade, and in ``hello``: beyond the rate of invalid credentials nothing more is begun."""
    async with running_router(tmp_path, agents=0) as router, aiohttp.ClientSession() as http:
        following, url = follow(router), router.server.url
        tokens = router.services.authenticator.customers
        assert isinstance(tokens, CustomerTokens)
        tokens._unfollowed = lambda: ["far"]
        waits: list[float | None] = []
        counted = []

        def failure_wait_s(address: str) -> float | None:
            counted.append(address)
            return waits.pop()

        object.__setattr__(router.services.admission, "failure_wait_s", failure_wait_s)
        token = new_token("far")
        headers = {"Authorization": f"Bearer {token}"}
        seen: list[tuple[list[int | None], list[str]]] = []
        for wait_s in (None, 1.0):
            following.begun.clear()
            got: list[int | None] = []
            waits[:] = [wait_s] * 3
            async with http.get(f"{url}/v1/requests/r1", headers=headers) as answer:
                got.append(answer.status)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"{url}/v1/customer", protocols=[JSON], headers=headers)
            got.append(refused.value.status)
            async with http.ws_connect(f"{url}/v1/customer", protocols=[JSON]) as socket:
                await socket.send_json({"type": "hello", "token": token})
                while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
                got.append(socket.close_code)
            seen.append((got, list(following.begun)))
        assert seen == [([503, 503, 1013], ["far"] * 3), ([429, 429, 1013], [])]
        assert len(counted) == 6


class CountingStub(FollowingStub):
    """Follows everything, and counts the uses of each workspace."""

    def __init__(self, router: InProcessRouter) -> None:
        super().__init__(router)
        self.uses: Counter[str] = Counter()

    def note_use(self, workspace: str) -> bool:
        return True

    async def make(self, workspace: str) -> None:
        await self._router.writer.add_workspace(workspace)

    def enter(self, workspace: str) -> None:
        self.uses[workspace] += 1

    def leave(self, workspace: str) -> None:
        self.uses[workspace] -= 1


def count_uses(router: InProcessRouter) -> CountingStub:
    following: Any = CountingStub(router)
    object.__setattr__(router.services, "following", following)
    stub: CountingStub = following
    return stub


async def test_a_workspace_is_held_while_it_is_created_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would be left in the middle of a removal that takes longer than the limit."""
    async with running_router(tmp_path, agents=0) as router, aiohttp.ClientSession() as http:
        following = count_uses(router)
        held: list[bool] = []
        check_open = Writer._check_open

        def check(writer: Writer, workspace: str) -> None:
            if workspace == "shop":
                held.append(following.uses[workspace] > 0)
            check_open(writer, workspace)

        monkeypatch.setattr(Writer, "_check_open", check)
        headers = {"Authorization": f"Bearer {router.token('me', Role.OPERATOR)}"}
        async with http.post(f"{router.server.url}/v1/workspaces", json={"name": "shop"}, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
        assert len(held) >= 2 and all(held), "its first command, and the question about it"
        held.clear()
        router.services.authenticator.add_workspace("shop")
        async with http.delete(f"{router.server.url}/v1/workspaces/shop", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        assert len(held) >= 4 and all(held)
        assert not any(following.uses.values())


async def test_a_workspace_is_held_while_the_customer_of_a_submit_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_router(tmp_path, agents=0) as router, aiohttp.ClientSession() as http:
        following = count_uses(router)
        uses: list[int] = []

        async def look_up(_services: Any, workspace: str, command: Any, _fields: Any) -> tuple[Any, None]:
            uses.append(following.uses[workspace])
            return command, None

        monkeypatch.setattr(submit_handler, "add_customer_in_memory", lambda *_: None)
        monkeypatch.setattr(submit_handler, "add_customer", look_up)
        headers = {"Authorization": f"Bearer {router.token('web', Role.GATEWAY)}"}
        body = {"channel": "voice", "queue_id": "support"}
        async with http.post(f"{router.server.url}/v1/contacts", json=body, headers=headers) as answer:
            assert answer.status < 500, await answer.text()
        assert uses == [1] and not any(following.uses.values())


async def test_histories_that_this_node_does_not_follow_count_for_their_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_router(tmp_path, agents=0) as router, aiohttp.ClientSession() as http:
        follow(router)
        monkeypatch.setattr("router.server.api.workspaces.HISTORIES_MAX", len(router.writer.workspaces) + 2)
        headers = {"Authorization": f"Bearer {router.token('olga', Role.OPERATOR)}"}
        async with http.post(f"{router.server.url}/v1/workspaces", json={"name": "more"}, headers=headers) as answer:
            problem = await answer.json(content_type=None)
        assert problem["code"] == "no_more_workspaces" and "histories" in problem["detail"]
