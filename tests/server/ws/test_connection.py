"""One WebSocket: a token that is refreshed, one that is of another client, and what an upgrade needs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from router.client import DesktopClient, PermanentlyClosed, RouterRefused
from router.protocol import frames as f
from router.protocol.codec import JSON
from router.server.auth.credentials import Role
from tests.support.in_process_router import InProcessRouter, running_router


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[InProcessRouter]:
    async with running_router(tmp_path) as running:
        yield running


async def refresh(desktop: DesktopClient, token: str) -> None:
    await desktop._connection.request(f.RefreshFrame(id=desktop._next_id(), token=token))


async def test_a_token_is_refreshed_on_the_open_connection(router: InProcessRouter) -> None:
    async with router.desktop("a0") as desktop, asyncio.timeout(20):
        await refresh(desktop, router.token("a0", Role.AGENT))
        await desktop.ready()
        assert desktop.connection_count == 1


@pytest.mark.parametrize(
    ("token", "code"), [("other client", "forbidden"), ("other role", "forbidden"), ("nonsense", "unauthenticated")]
)
async def test_a_token_that_is_not_of_this_client_closes_the_connection(router: InProcessRouter, token: str, code: str) -> None:
    tokens = {"other client": router.token("a1", Role.AGENT), "other role": router.token("a0", Role.SUPERVISOR), "nonsense": "x"}
    async with router.desktop("a0") as desktop, asyncio.timeout(20):
        with pytest.raises(RouterRefused) as refused:
            await refresh(desktop, tokens[token])
        assert refused.value.code == code


@pytest.mark.parametrize("state", ["stopping", "draining", "not_ready"])
async def test_no_socket_is_opened_before_the_start_or_at_the_end(router: InProcessRouter, state: str) -> None:
    readiness = router.services.readiness
    readiness.ready, readiness.stopping = state != "not_ready", state == "stopping"
    if state == "draining":
        router.hub.draining = True
    headers = {"Authorization": f"Bearer {router.token('a0', Role.AGENT)}"}
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{router.server.url}/v1/desktop", protocols=[JSON], headers=headers)
        assert refused.value.status == 503
        assert refused.value.headers is not None and int(refused.value.headers["Retry-After"]) >= 1
    readiness.ready, readiness.stopping, router.hub.draining = True, False, False


async def test_a_client_with_an_invalid_token_is_refused_before_the_upgrade(router: InProcessRouter) -> None:
    with pytest.raises(PermanentlyClosed):
        async with DesktopClient(router.ws_url, "nonsense"):
            pass
