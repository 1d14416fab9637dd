"""A router in this process whose time passes only when a test lets it: real HTTP on a real port, hours in seconds.

The clock of the writer stands still while requests are made, so what happens at which time does not depend on the machine. One
request is made at a time, on a connection that each client keeps.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from router.model.events import Event
from router.runtime.publisher import PublishedRecord
from router.server.auth.credentials import Role
from tests.support.in_process_router import InProcessRouter, running_router
from tests.support.manual_clock import ManualClock

# Hours of requests come in seconds: what bounds the rate of a real client must not bound them.
_UNLIMITED: Final = {
    "requests_per_s": 1_000_000,
    "requests_burst": 1_000_000,
    "state_changes_per_s": 1_000_000,
    "state_changes_burst": 1_000_000,
    "keepalive_s": 3_600,
}
_WORKSPACE: Final = "default"


class HttpAnswer(msgspec.Struct, frozen=True):
    """Status, headers with lower-case names, and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)


class HttpClient:
    """A client with one credential and one connection."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._credential = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> HttpAnswer:
        """Make a request and return what is answered."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        sent = b"" if body is None else msgspec.json.encode(body)
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = f"{method} {path} HTTP/1.1\r\nHost: test\r\n{self._credential}{extra}Content-Length: {len(sent)}\r\n\r\n"
        writer.write(head.encode() + sent)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        got = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        answered = await reader.readexactly(int(got.get("content-length", "0")))
        return HttpAnswer(int(status.split(" ")[1]), got, answered)

    async def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Make a request that must succeed, and return the decoded body."""
        answer = await self.call(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        assert 200 <= answer.status < 300, (method, path, answer)
        return answer.json

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class VirtualTimeRouter:
    """A router with a clock that the test advances."""

    def __init__(self, router: InProcessRouter, clock: ManualClock) -> None:
        self._router = router
        self._clock = clock
        self._clients: list[HttpClient] = []
        self._events: list[tuple[int, Event]] = []
        router.writer.publisher.subscribe(self._collect)

    @property
    def now_ms(self) -> int:
        """Time of the router."""
        return self._clock.now_ms()

    def client(self, role: Role, subject: str) -> HttpClient:
        """Return a client with a credential of its own."""
        client = HttpClient(self._router.server.port, self._router.token(subject, role))
        self._clients.append(client)
        return client

    def take_events(self) -> list[tuple[int, Event]]:
        """Return the events since the last call with their times: what gateways and desktops are told over their sockets."""
        events, self._events = self._events, []
        return events

    async def advance(self, until_ms: int) -> bool:
        """Let time pass until then, or until the first timer that caused events; return whether that time has come."""
        writer = self._router.writer
        engine = writer._workspaces[_WORKSPACE].engine
        while (due_ms := engine.next_deadline_ms()) is not None and due_ms <= until_ms:
            self._set_clock(due_ms)
            await writer.query(_WORKSPACE, lambda _: None)
            if self._events:
                return False
        self._set_clock(until_ms)
        return True

    def _set_clock(self, at_ms: int) -> None:
        self._clock.advance(max(0, at_ms - self._clock.now_ms()))

    def close(self) -> None:
        """Close the connections of all clients."""
        for client in self._clients:
            client.close()

    def _collect(self, published: PublishedRecord) -> None:
        if published.workspace == _WORKSPACE:
            self._events += ((published.record.at_ms, event) for event in published.record.events)


@asynccontextmanager
async def virtual_time_router(folder: Path, *, at_ms: int) -> AsyncIterator[VirtualTimeRouter]:
    """Run a router at this time, without agents, with a policy of tests to be replaced."""
    clock = ManualClock(at_ms)
    async with running_router(folder, agents=0, clock=clock, server=_UNLIMITED) as router:
        clock.on_advance = router.writer.wake
        virtual = VirtualTimeRouter(router, clock)
        try:
            yield virtual
        finally:
            virtual.close()
