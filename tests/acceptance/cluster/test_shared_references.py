"""Two routers on one store: what a gateway says at one of them, the desktops of the other are shown."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.client import DesktopClient
from router.model.events import OfferMade
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.router_process import RouterProcess

ATTEMPTS = 10


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


@pytest.fixture
def nodes(server: RedisServer, tmp_path: Path) -> Iterator[list[RouterProcess]]:
    nodes = [
        RouterProcess(tmp_path / name, store__url=server.url, store__shared="true", store__durability="leader")
        for name in ("first", "other")
    ]
    try:
        nodes[0].start()
        (nodes[1].directory / "var").mkdir(parents=True)
        for name in ("token.secret", "context-master.json"):
            shutil.copy2(nodes[0].directory / "var" / name, nodes[1].directory / "var" / name)
        nodes[1].start()
        yield nodes
    finally:
        for node in nodes:
            node.kill()


async def test_a_desktop_at_another_node_is_shown_the_reference(nodes: list[RouterProcess]) -> None:
    first, other = nodes
    async with Api(first) as admin:
        await admin.ok("PUT", "/v1/agents/ann", {})
    async with (
        Api(first, "gateway", "web") as web,
        DesktopClient(other.url.replace("http", "ws", 1), other.token("agent", "ann")) as desktop,
        asyncio.timeout(60),
    ):
        events = desktop.events()
        for attempt in range(ATTEMPTS):
            contact_id = (await web.submit(reference=f"call-{attempt}"))["contact_id"]
            # The other node is told of the reference a moment after the submit was answered.
            await asyncio.sleep(0.1 * attempt)
            await desktop.ready()
            offer = await anext(event async for event in events if isinstance(event, OfferMade) and event.contact_id == contact_id)
            assert offer.reference in (f"call-{attempt}", None), "never that of another contact"
            accepted = await desktop.accept(offer.offer_id)
            if offer.reference is not None:
                return
            await desktop.end(contact_id)
            await desktop.complete(accepted.subject)
            await desktop.not_ready()
        raise AssertionError("no offer had its reference")
