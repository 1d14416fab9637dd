"""Several router processes on one store behind a load balancer, for tests that look at them from outside."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from router.client import DesktopClient, OutcomeUnknown, RouterRefused
from router.client.connection import ConnectionOptions
from router.model.states import AgentState
from tests.support.balancer import Balancer
from tests.support.router_process import RouterProcess

PATIENT: Final = ConnectionOptions(connect_timeout_s=60, command_timeout_s=60, backoff_base_s=0.05, backoff_max_s=0.5)
LEASE_S: Final = 5
# A busy machine needs longer for the rest; the take-over itself is measured in tests/cluster.
BOUND_S: Final = 6 * (LEASE_S + 5)
# What the nodes have in common; the first one creates it.
_SHARED_FILES: Final = ("token.secret", "context-master.json")


class Nodes:
    """The processes, and which one leads."""

    def __init__(self, directory: Path, url: str, balancer: Balancer, count: int, **settings: Any) -> None:
        """``url``: address of the store. ``settings`` are those of every node."""
        values: dict[str, Any] = {
            "store__url": url,
            "store__durability": "fsync",
            "store__shared": "true",
            "store__lease_s": LEASE_S,
            "server__drain_s": 3,
            "runtime__submit_wait_ms_max": 30_000,
        }
        self.all = [RouterProcess(directory / f"node{number}", **(values | settings)) for number in range(count)]
        self._balancer = balancer

    async def start(self, node: RouterProcess) -> None:
        """Start a process with the secrets of the first one, and let the balancer use it."""
        if node is not self.all[0]:
            copy_secrets(self.all[0], node)
        await asyncio.to_thread(node.start)
        self._balancer.ports.append(port_of(node))

    async def leader(self) -> RouterProcess:
        """Return the process that took the workspace over last."""
        taken = [(line, node) for node in self.all for line in node.log if '"action":"lead"' in line and '"default"' in line]
        return max(taken, key=lambda one: one[0].rpartition('"timestamp"')[2])[1]

    def others(self, node: RouterProcess) -> list[RouterProcess]:
        """Return all but one."""
        return [one for one in self.all if one is not node]

    @contextlib.asynccontextmanager
    async def health_checked(self) -> AsyncIterator[None]:
        """Let the balancer use the nodes whose ``/readyz`` answers 200, as the documentation asks for."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            task = asyncio.create_task(self._check_health(http))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _check_health(self, http: aiohttp.ClientSession) -> None:
        while True:
            ready = []
            for node in self.all:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with http.get(f"{node.url}/readyz") as answer:
                        if answer.status == 200:
                            ready.append(port_of(node))
            self._balancer.ports = ready
            await asyncio.sleep(0.1)


def port_of(node: RouterProcess) -> int:
    """Return the port of a process that has started."""
    port = urlsplit(node.url).port
    assert port is not None
    return port


def copy_secrets(source: RouterProcess, target: RouterProcess) -> None:
    """Give a node the secret of tokens and the master keys of another one."""
    (target.directory / "var").mkdir(parents=True, exist_ok=True)
    for name in _SHARED_FILES:
        if (source.directory / "var" / name).exists():
            shutil.copy2(source.directory / "var" / name, target.directory / "var" / name)


async def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  (what is looked at is another task's plain data)
            await asyncio.sleep(0.02)


async def work(desktop: DesktopClient) -> None:
    """Accept, end and complete every offered contact, and become ready again, across interruptions."""
    while True:
        with contextlib.suppress(RouterRefused, OutcomeUnknown):
            for offer_id in tuple(desktop.state.offers):
                await desktop.accept(offer_id)
            for assignment_id, item in tuple(desktop.state.assignments.items()):
                with contextlib.suppress(RouterRefused):
                    await desktop.end(item.contact_id)
                await desktop.complete(assignment_id)
            if desktop.state.state is not AgentState.READY:
                await desktop.ready()
        await asyncio.sleep(0.05)
