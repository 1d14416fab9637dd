"""The HTTP API of a router in this process: what each operation answers, and what it tells in events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from multidict import CIMultiDict

from router.server.auth.credentials import Role
from tests.support.http_api import Got
from tests.support.in_process_router import InProcessRouter, running_router

ENVELOPE: Final = frozenset({"history_id", "epoch", "seq", "ts", "actor"})


class OperatedRouter:
    """A router and a client with a credential for each role: ``as_`` is ``role`` or ``role:subject``."""

    def __init__(self, router: InProcessRouter, session: aiohttp.ClientSession) -> None:
        self.router = router
        self._session = session
        self._told_to = ""

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        as_: str = "admin",
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Got:
        """Send a request."""
        role, _, subject = as_.partition(":")
        sent = {"Authorization": f"Bearer {self.router.token(subject or role, Role(role))}"}
        sent |= headers or {}
        async with self._session.request(method, self.router.server.url + path, json=body, data=data, headers=sent) as response:
            return Got(response.status, CIMultiDict(response.headers), await response.read())

    async def get(self, path: str, *, as_: str = "admin") -> Any:
        """Read something that exists."""
        got = await self.call("GET", path, as_=as_)
        assert got.status == 200, got
        return got.json

    async def done(self, method: str, path: str, body: Any = None, *, as_: str = "admin") -> Any:
        """Send a command that takes effect, and return its answer."""
        got = await self.call(method, path, body, as_=as_)
        assert got.status in (200, 201), got
        return got.json

    async def told(self) -> list[dict[str, Any]]:
        """Return the events since the last call, without their envelopes."""
        page = await self.get("/v1/events?limit=1000" + (f"&after={self._told_to}" if self._told_to else ""))
        self._told_to = page["next"]
        assert not page["more"]
        return [{name: value for name, value in event.items() if name not in ENVELOPE} for event in page["events"]]

    async def tells(self, method: str, path: str, body: Any = None, *, as_: str = "admin") -> list[str]:
        """Send a command that takes effect, and return the types of its events."""
        await self.done(method, path, body, as_=as_)
        return [event["type"] for event in await self.told()]


@asynccontextmanager
async def operated_router(tmp_path: Path, **options: Any) -> AsyncIterator[OperatedRouter]:
    """Start a router with agents ``a0``, ``a1``, ``a2``; nothing is told of that."""
    async with running_router(tmp_path, **options) as router, aiohttp.ClientSession() as session:
        operated = OperatedRouter(router, session)
        await operated.told()
        yield operated
