"""WebSocket server that plays scripts, for tests of the client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from router.client.connection import ConnectionOptions
from router.protocol.codec import JSON

Script = Callable[["ServerSide"], Awaitable[None]]
FAST_OPTIONS: Final = ConnectionOptions(connect_timeout_s=5.0, command_timeout_s=0.5, backoff_base_s=0.01, backoff_max_s=0.02)
WELCOME: Final[dict[str, Any]] = {
    "type": "welcome",
    "role": "agent",
    "workspace": "default",
    "history_id": "g",
    "epoch": 1,
    "seq": 10,
    "at_ms": 0,
    "heartbeat_s": 20,
    "session_id": "s",
    "agent": {"agent_id": "ada", "state": "ready", "presence": "attached", "units": 100, "units_used": 0, "available_channels": []},
}


class ServerSide:
    """Server side of one connection."""

    def __init__(self, ws: ServerConnection) -> None:
        self.ws = ws

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = msgspec.json.decode(await self.ws.recv())
        return frame

    async def send(self, frame: dict[str, Any]) -> None:
        await self.ws.send(msgspec.json.encode(frame).decode())


def held_event(seq: int) -> dict[str, Any]:
    """Return the frame of an event with this sequence number."""
    event = {"type": "assignment.held", "assignment_id": "a", "contact_id": "c", "agent_id": "ada"}
    return {"type": "event", "seq": seq, "at_ms": 0, "event": event}


@asynccontextmanager
async def scripted_server(*scripts: Script, refusals: list[Response] | None = None) -> AsyncIterator[str]:
    """Run one script per connection, the last one for all further connections; yield the URL."""
    count = 0

    async def handle(ws: ServerConnection) -> None:
        nonlocal count
        script = scripts[min(count, len(scripts) - 1)]
        count += 1
        await script(ServerSide(ws))

    def refuse(_: ServerConnection, __: Request) -> Response | None:
        return refusals.pop(0) if refusals else None

    async with serve(handle, "127.0.0.1", 0, subprotocols=[Subprotocol(JSON)], process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


async def stay_connected(server: ServerSide) -> None:
    """Send a welcome and keep the connection open."""
    await server.receive()
    await server.send(WELCOME)
    await server.ws.wait_closed()


def answering_script(commands: list[dict[str, Any]], welcome: dict[str, Any] = WELCOME) -> Script:
    """Return a script that answers every command with ``ok`` and appends it, without its id, to ``commands``."""

    async def script(server: ServerSide) -> None:
        await server.receive()
        await server.send(welcome)
        async for data in server.ws:
            command = msgspec.json.decode(data)
            await server.send({"type": "ok", "id": command.pop("id"), "seq": 11, "subject": "c1"})
            commands.append(command)

    return script
