"""The recipe of docs/how-to/cluster.md as it stands there: three routers are restarted one after the other, under load."""

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from router.client import DesktopClient, GatewayClient
from router.model.events import OfferMade
from router.protocol import frames as f
from tests.support.balancer import Balancer
from tests.support.checked_history import check_history
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.router_nodes import PATIENT, Nodes, eventually, work

DESKTOPS: Final = int(os.environ.get("ROLLING_DESKTOPS", "30"))
DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "how-to" / "cluster.md"
ROUTERS: Final = ("router-a", "router-b", "router-c")
# It does what the recipe asks the machine of a router for: the test restarts the process.
SSH: Final = """\
#!/bin/sh
[ "$2 $3 $4" = "systemctl restart contact-router" ] || exit 9
touch "$RESTARTS/$1.wanted"
while [ ! -e "$RESTARTS/$1.done" ]; do sleep 0.1; done
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


def recipe(directory: Path) -> str:
    """Return the commands of the document; only the place of the settings differs."""
    section = DOCUMENT.read_text().partition("## Restart or upgrade one router after the other")[2].partition("\n## ")[0]
    [commands] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert "/etc/router/router.yaml" in commands
    return str(commands).replace("/etc/router/router.yaml", str(directory / "router.yaml"))


def prepare(directory: Path, server: RedisServer) -> None:
    """Write the programs and settings that the commands use."""
    directory.mkdir()
    (directory / "ssh").write_text(SSH)
    (directory / "ssh").chmod(0o755)
    (directory / "router").write_text(f'#!/bin/sh\nexec {sys.executable} -m router "$@"\n')
    (directory / "router").chmod(0o755)
    (directory / "router.yaml").write_text(
        f"store: {{url: '{server.url}', durability: fsync, shared: true, lease_s: 5}}\njournal: {{path: '{directory}/none.db'}}\n"
    )


async def run_recipe(nodes: Nodes, server: RedisServer, directory: Path) -> None:
    """Run the commands in a shell, and restart the routers for which they ask."""
    prepare(directory, server)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER")}
    environment |= {"PATH": f"{directory}:{environment['PATH']}", "RESTARTS": str(directory)}
    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", recipe(directory), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    reading = asyncio.create_task(shell.communicate())
    for name, node in zip(ROUTERS, nodes.all, strict=True):
        await eventually(lambda name=name: (directory / f"{name}.wanted").exists() or reading.done(), 240)  # type: ignore[misc]
        assert not reading.done(), reading.result()[0].decode()
        assert await asyncio.to_thread(node.stop) == 0
        await asyncio.to_thread(node.start)
        (directory / f"{name}.done").touch()
    output, _ = await reading
    assert shell.returncode == 0, output.decode()


class Seen:
    """What a desktop was shown, over all its connections."""

    def __init__(self, desktop: DesktopClient) -> None:
        self.desktop = desktop
        self.offers: list[str] = []
        self.seqs: list[int] = []
        self.reloads = 0

    async def watch(self) -> None:
        async for frame in self.desktop:
            if isinstance(frame, f.WelcomeFrame):
                self.reloads += 1
            elif isinstance(frame, f.EventFrame):
                self.seqs.append(frame.seq)
                if isinstance(frame.event, OfferMade):
                    self.offers.append(frame.event.offer_id)


@asynccontextmanager
async def background(*coroutines: "asyncio.Task[None]") -> AsyncIterator[None]:
    """Run tasks that must not end by themselves."""
    try:
        yield
        for task in coroutines:
            assert not task.done(), task.exception()
    finally:
        for task in coroutines:
            task.cancel()
        await asyncio.gather(*coroutines, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_three_routers_are_restarted_one_after_the_other_under_load(server: RedisServer, tmp_path: Path) -> None:
    """No contact lost, no offer shown twice, every desktop resumed."""
    acknowledged: list[f.OkFrame] = []
    async with AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer())
        nodes = Nodes(tmp_path, server.url, balancer, len(ROUTERS), sockets__address_upgrades_per_s=1_000)
        for node in nodes.all:
            stack.callback(node.kill)
            await nodes.start(node)
        await stack.enter_async_context(nodes.health_checked())
        async with Api(nodes.all[0]) as api:
            for number in range(DESKTOPS):
                await api.ok("PUT", f"/v1/agents/d{number}", {})
        url, first = f"ws://{balancer.address}", nodes.all[0]
        gateway = await stack.enter_async_context(GatewayClient(url, first.token("gateway", "web"), options=PATIENT))
        seen = [Seen(DesktopClient(url, first.token("agent", f"d{number}"), options=PATIENT)) for number in range(DESKTOPS)]
        for start in range(0, DESKTOPS, 20):
            await asyncio.gather(*(stack.enter_async_context(one.desktop) for one in seen[start : start + 20]))

        submits: list[asyncio.Task[None]] = []
        stopping = asyncio.Event()

        async def submit(number: int) -> None:
            acknowledged.append(
                await gateway.submit("chat", queue_id="support", reference=f"r{number}", retry_until_acknowledged=True)
            )

        async def load() -> None:
            while not stopping.is_set():
                submits.append(asyncio.create_task(submit(len(submits))))
                await asyncio.sleep(0.05)

        loading = asyncio.create_task(load())
        tasks = [asyncio.create_task(one) for each in seen for one in (each.watch(), work(each.desktop))]
        async with background(*tasks):
            await eventually(lambda: len(acknowledged) >= 20)
            await run_recipe(nodes, server, tmp_path / "recipe")
            stopping.set()
            await asyncio.gather(loading, *submits)
            await eventually(lambda: not any(one.desktop.state.offers or one.desktop.state.assignments for one in seen))
        async with Api(nodes.all[2]) as api:
            contacts = check_history(events := await api.events())
    assert {ok.subject for ok in acknowledged} == set(contacts) and len(acknowledged) == len(contacts)
    kinds = Counter(event["type"] for event in events)
    assert kinds["contact.ended"] == len(contacts) and kinds["contact.requeued"] == 0, kinds
    made = Counter(event["offer_id"] for event in events if event["type"] == "offer.made")
    assert Counter(offer_id for one in seen for offer_id in one.offers) == made, "each offer was shown, and only once"
    for one in seen:
        assert one.reloads == 0 and one.desktop.connection_count >= 2, "each desktop resumed what it had missed"
        assert one.seqs == sorted(set(one.seqs))
    print(f"{DESKTOPS} desktops: {sum(one.desktop.connection_count for one in seen)} connections, {len(contacts)} contacts")
