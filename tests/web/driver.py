"""Drivers of a client of the Python and of the JavaScript library: both do the same for the same words.

What is asked is ``{"do": "call", …}``; the answer is ``{"value": …}`` or ``{"error": {"kind", "code", "text", "key"}}``. The
JavaScript client runs in Node (``driver.js``), which gets and gives lines of JSON with the number ``n`` of the question.
"""

import asyncio
import contextlib
import itertools
import json
from pathlib import Path
from typing import Any, Protocol

import msgspec

from router.client import ConnectionOptions, CustomerClient, DesktopClient, GatewayClient, SupervisorClient
from router.protocol import frames as f
from tests.support.node import NODE
from tests.web.client_states import state_of

CLIENTS: dict[str, Any] = {"agent": DesktopClient, "gateway": GatewayClient, "supervisor": SupervisorClient}


_POLL_S = 0.01


class Driver(Protocol):
    """A client that is told what to do."""

    async def ask(self, action: str, **given: Any) -> dict[str, Any]:
        """Do something and return the answer."""
        ...

    async def stop(self) -> None:
        """End the client."""
        ...


class PythonDriver:
    """One client of the Python library and the reader of its frames."""

    def __init__(self) -> None:
        self.client: Any = None
        self.frames: Any = None

    async def ask(self, action: str, **given: Any) -> dict[str, Any]:
        try:
            return {"value": await getattr(self, action)(**given)}
        except Exception as error:  # Every error is an answer.
            fields = {"kind": type(error).__name__, "code": getattr(error, "code", None), "text": str(error)}
            return {"error": {**fields, "key": getattr(error, "idempotency_key", None)}}

    async def stop(self) -> None:
        if self.client is not None:
            await self.client.__aexit__(None, None, None)

    async def open(self, role: str, url: str, tokens: list[str], options: dict[str, Any]) -> None:
        left = list(tokens)

        def next_token() -> str:
            return left.pop(0) if len(left) > 1 else left[0]

        address = url.replace("http", "ws", 1)
        if role == "customer":
            self.client = CustomerClient(address, tokens[0])
            self.frames = self.client.states()
        else:
            token = tokens[0] if len(tokens) == 1 else next_token
            limits = ConnectionOptions(backoff_base_s=0.01, backoff_max_s=0.05, **options)
            self.client = CLIENTS[role](address, token, codec="json", options=limits)
            self.frames = aiter(self.client)
        await self.client.__aenter__()

    async def call(self, method: str, args: list[Any], options: dict[str, Any]) -> Any:
        if method == "submit":
            fields = args.pop(0)
            options = {**fields, **options}
        return msgspec.to_builtins(await getattr(self.client, method)(*args, **options))

    async def read(self, until: str, count: int = 1) -> Any:
        found: list[Any] = []
        async for frame in self.frames:
            if isinstance(frame, f.EventFrame):
                found.append([frame.seq, msgspec.to_builtins(frame.event)["type"]])
            elif isinstance(frame, f.WelcomeFrame):
                found.append([frame.seq, "welcome"])
            elif not isinstance(frame, f.StatsFrame):
                found.append([0, str(frame.state)])
            if sum(one[1] == until for one in found) == count:
                break
        return found

    async def state(self) -> Any:
        return msgspec.to_builtins(self.client.request) if isinstance(self.client, CustomerClient) else state_of(self.client)

    async def wait(self, connections: int) -> None:
        await until(lambda: self.client.is_connected and self.client.connection_count >= connections)

    async def wait_lost(self) -> None:
        await until(lambda: not self.client.is_connected)

    async def drop(self) -> None:
        await self.client.drop_connection()

    async def close(self) -> None:
        await self.client.__aexit__(None, None, None)


async def until(holds: Any) -> None:
    """Wait until a condition holds."""
    while True:
        if holds():
            return
        await asyncio.sleep(_POLL_S)


class NodeDriver:
    """One client of the JavaScript library, in Node."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def ask(self, action: str, **given: Any) -> dict[str, Any]:
        if self._process is None:
            program = Path(__file__).with_name("driver.js")
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(str(NODE), str(program), stdin=pipe, stdout=pipe, limit=2**24)
            self._reader = asyncio.create_task(self._read())
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"n": number, "do": action, **given}).encode() + b"\n")
        return await self._answers[number]

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            self._answers.pop(told.pop("n")).set_result(told)
        for answer in self._answers.values():
            answer.set_exception(ConnectionError("Node has ended"))

    async def stop(self) -> None:
        if self._process is not None and self._reader is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            await self._reader
