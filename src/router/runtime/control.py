"""The control socket: maintenance commands for a running router from its own machine.

A backup of a running router has to be made by its process, which has the only connection to the journal. Its paths are paths on its
machine, so the commands do not belong into the HTTP API: they come through a Unix socket beside the journal. Who may open the
socket is decided by the operating system: its directory belongs to the router's user, its mode is 0600, and the router checks that
the peer is its own user or root.

One request and one answer per connection, each a line of JSON: ``{"command": "backup", …}``; ``{"ok": …}`` or ``{"error": "…"}``.

Paths of sockets are limited to 107 bytes by the system. Both ends therefore name it relative to a descriptor of its directory.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from router.model.errors import JournalUnavailable, RouterError

REQUEST_BYTES_MAX: Final = 64 * 1024
_REQUEST_TIMEOUT_S: Final = 10.0
_CREDENTIALS: Final = struct.Struct("3i")

Command = Callable[[dict[str, Any]], Awaitable[Any]]


class ControlServer:
    """The listening end, in the router's process, which must hold the lock of the journal."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self._path = path
        self._commands = commands
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket that an earlier process left is replaced."""
        with _address(self._path) as address:
            self._path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(address)
        self._path.chmod(0o600)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=REQUEST_BYTES_MAX)

    async def close(self) -> None:
        """Stop listening. A command in progress is cancelled with its task. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _peer_user(writer.get_extra_info("socket")) in {0, os.geteuid()}:
                async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                    line = await reader.readline()
                writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # The peer has gone, or has not sent a request.
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            command = self._commands[request.pop("command")]
        except (msgspec.DecodeError, KeyError):
            return {"error": f"unknown command; this version has {', '.join(sorted(self._commands))}"}
        try:
            return {"ok": msgspec.to_builtins(await command(request))}
        except RouterError as error:
            return {"error": str(error), "type": type(error).__name__}
        except (KeyError, TypeError, ValueError):
            return {"error": "the request has missing or invalid fields"}


def send_command(path: Path, command: str, **fields: Any) -> Any:
    """Send a command to the router that has opened the journal and return its result; None where no router listens.

    Raises JournalUnavailable with the router's error, or where the connection ends without an answer.
    """
    request = msgspec.json.encode({"command": command, **fields}) + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with _address(path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        except OSError as error:
            raise JournalUnavailable(f"{path}: {error.strerror}") from error
        line = b""
        with suppress(ConnectionError), connection.makefile("rb") as answers:
            connection.sendall(request)
            line = answers.readline()
    if not line:
        raise JournalUnavailable("the router closed the connection; only its own user and root may give it commands")
    answer = msgspec.json.decode(line, type=dict[str, Any])
    if "error" in answer:
        raise JournalUnavailable(answer["error"])
    return answer["ok"]


@contextmanager
def _address(path: Path) -> Iterator[str]:
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        with suppress(OSError):
            os.close(descriptor)


def _peer_user(connection: socket.socket) -> int:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])
