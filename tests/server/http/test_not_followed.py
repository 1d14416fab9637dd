"""Requests of a workspace that this node does not follow when they come."""

from pathlib import Path
from typing import Any

import aiohttp

from router.server.auth.credentials import Role
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

    def begin_soon(self, workspace: str) -> None:
        self.begun.append(workspace)

    def enter(self, workspace: str) -> None:
        return None

    def leave(self, workspace: str) -> None:
        return None


def follow(router: InProcessRouter) -> FollowingStub:
    following: Any = FollowingStub(router)
    object.__setattr__(router.services, "following", following)
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
