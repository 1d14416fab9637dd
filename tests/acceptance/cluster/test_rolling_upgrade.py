"""Two versions of the router side by side on one store: three routers are upgraded one after the other under load, and one back.

``UPGRADE_FROM`` names the earlier version as a commit or tag, of which a work tree is made. Without it the test is skipped.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from router.client import DesktopClient, GatewayClient
from router.protocol import frames as f
from tests.support.balancer import Balancer
from tests.support.checked_history import check_history
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.router_nodes import PATIENT, Nodes, eventually, work
from tests.support.router_process import PROGRAM, RouterProcess

ROOT: Final = Path(__file__).parents[3]
REF: Final = os.environ.get("UPGRADE_FROM", "")
DESKTOPS: Final = 10


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


@pytest.fixture
def old_source(tmp_path: Path) -> Iterator[Path]:
    """The sources of the earlier version."""
    if not REF:
        pytest.skip("UPGRADE_FROM names no earlier version (make test-long does)")
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("the history of the sources is not here, so there is no earlier version to upgrade from")
    tree = tmp_path / "earlier"
    made = subprocess.run(
        [git, "worktree", "add", "--detach", str(tree), REF], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"{REF} is not in this history: {made.stderr.strip()}")
    yield tree / "src"
    subprocess.run([git, "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


@asynccontextmanager
async def background(*tasks: "asyncio.Task[None]") -> AsyncIterator[None]:
    """Run tasks that must not end by themselves."""
    try:
        yield
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def watched(desktop: DesktopClient, seqs: list[int]) -> None:
    """Note the events that a desktop is shown."""
    async for frame in desktop:
        if isinstance(frame, f.EventFrame):
            seqs.append(frame.seq)  # noqa: PERF401  (it does not end)


async def answers(node: RouterProcess) -> tuple[Any, dict[str, Any]]:
    """Return what a router answers about its state and the contacts that have ended."""
    async with Api(node) as admin:
        records = (await admin.ok("GET", "/v1/records?limit=500"))["records"]
        digest = await admin.ok("GET", "/v1/digest")
    return (digest["seq"], digest["digest"]), {one["contact_id"]: one for one in records}


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_routers_are_upgraded_one_after_the_other_under_load(server: RedisServer, tmp_path: Path, old_source: Path) -> None:
    """Nothing that was acknowledged is lost, and each version reads what the other one has written."""
    old = ("-c", f"import sys, runpy; sys.path.insert(0, {str(old_source)!r}); runpy.run_module('router', run_name='__main__')")
    acknowledged: list[f.OkFrame] = []
    async with AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer())
        nodes = Nodes(tmp_path, server.url, balancer, 3, sockets__address_upgrades_per_s=1_000)
        for node in nodes.all:
            node.program = old
            stack.callback(node.kill)
            await nodes.start(node)
        first = nodes.all[0]
        async with Api(first) as admin:
            for number in range(DESKTOPS):
                await admin.ok("PUT", f"/v1/agents/d{number}", {})
        await stack.enter_async_context(nodes.health_checked())
        url = f"ws://{balancer.address}"
        gateway = await stack.enter_async_context(GatewayClient(url, first.token("gateway", "web"), options=PATIENT))
        desktops = [DesktopClient(url, first.token("agent", f"d{number}"), options=PATIENT) for number in range(DESKTOPS)]
        seqs: list[list[int]] = [[] for _ in desktops]
        for desktop in desktops:
            await stack.enter_async_context(desktop)
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
                await asyncio.sleep(0.05)
            await asyncio.Event().wait()

        async def goes_on() -> None:
            before = len(acknowledged)
            await eventually(lambda: len(acknowledged) >= before + 20, 120)

        async def replace(node: RouterProcess, program: Any) -> None:
            assert await asyncio.to_thread(node.stop) == 0, node.log[-3:]
            node.program = program
            await asyncio.to_thread(node.start)
            await goes_on()

        tasks = [asyncio.create_task(work(desktop)) for desktop in desktops]
        tasks += [asyncio.create_task(watched(*one)) for one in zip(desktops, seqs, strict=True)]
        async with background(asyncio.create_task(load()), *tasks):
            await goes_on()
            for node in nodes.all:
                await replace(node, PROGRAM)
            # A way back, as long as nothing new was used, and forth again.
            await replace(nodes.all[1], old)
            await replace(nodes.all[1], PROGRAM)
            stopping.set()
            await asyncio.wait_for(asyncio.gather(*submits), 60)
            await eventually(lambda: not any(one.state.offers or one.state.assignments for one in desktops))
        for seen in seqs:
            assert seen == sorted(set(seen)), "each event once, in order"
        async with Api(first) as admin:
            events = await admin.events()
        contacts = check_history(events)
        assert {ok.subject for ok in acknowledged} == set(contacts), "what was acknowledged is there, and nothing else"
        async with asyncio.timeout(60):
            while True:
                found = [await answers(node) for node in nodes.all]
                if found[0] == found[1] == found[2] and all(one["completed_at_ms"] for one in found[0][1].values()):
                    break
                await asyncio.sleep(0.2)
        assert set(found[0][1]) == set(contacts)
        for node in nodes.all:
            assert not [line for line in node.log if '"level":"critical"' in line]
