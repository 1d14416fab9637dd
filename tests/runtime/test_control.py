"""The control socket: commands, errors, and what a broken or foreign peer gets."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from router.model.errors import JournalUnavailable, SettingsInvalid
from router.runtime import control
from router.runtime.control import REQUEST_BYTES_MAX, ControlServer, send_command


async def echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"echo": request["text"]}


async def refuse(_request: dict[str, Any]) -> None:
    raise SettingsInvalid("to: an absolute path is required")


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[ControlServer]:
    server = ControlServer(path, {"echo": echo, "refuse": refuse})
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def send(path: Path, command: str, **fields: Any) -> Any:
    return await asyncio.to_thread(send_command, path, command, **fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path that is longer than the address of a socket may be."""
    directory = tmp_path / ("long" * 40)
    directory.mkdir()
    return directory / "journal.db.control"


async def test_a_command_is_answered(path: Path) -> None:
    async with listening(path):
        assert await asyncio.to_thread(lambda: path.stat().st_mode & 0o777) == 0o600
        assert await send(path, "echo", text="hello") == {"echo": "hello"}
    assert not await asyncio.to_thread(path.exists)


async def test_a_router_that_is_not_there_is_told_from_one_that_refuses(path: Path) -> None:
    assert await send(path, "echo", text="hello") is None
    assert await send(path.with_name("no") / "directory", "echo") is None
    async with listening(path):
        with pytest.raises(JournalUnavailable, match="an absolute path"):
            await send(path, "refuse")
        with pytest.raises(JournalUnavailable, match="unknown command"):
            await send(path, "other")
        with pytest.raises(JournalUnavailable, match="missing or invalid fields"):
            await send(path, "echo")


@pytest.mark.parametrize(
    ("owner", "peer", "is_answered"), [(1_000, 1_000, True), (1_000, 0, True), (1_000, 1_001, False), (0, 1, False)]
)
async def test_only_the_routers_own_user_and_root_give_commands(
    path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, peer: int, is_answered: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    monkeypatch.setattr(control, "_peer_user", lambda _: peer)
    async with listening(path):
        if is_answered:
            assert await send(path, "echo", text="hello") == {"echo": "hello"}
        else:
            with pytest.raises(JournalUnavailable, match="only its own user and root"):
                await send(path, "echo", text="hello")


async def test_a_socket_that_a_killed_router_left_is_replaced(path: Path) -> None:
    server = ControlServer(path, {"echo": echo})
    await server.start()
    assert server._server is not None
    server._server.close()
    async with listening(path):
        assert await send(path, "echo", text="again") == {"echo": "again"}


async def test_malformed_requests_end_the_connection_only(path: Path) -> None:
    async with listening(path):
        for data in (b"", b"\n", b"[]\n", b"\xff\n", b"x" * (REQUEST_BYTES_MAX + 1)):
            await asyncio.to_thread(send_bytes, path, data)
        assert await send(path, "echo", text="alive") == {"echo": "alive"}


def send_bytes(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection, control._address(path) as address:
        connection.connect(address)
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(1000)
        except OSError:
            return b""


async def test_another_user_gets_no_answer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_peer_user", lambda _: 12_345)
    async with listening(path):
        with pytest.raises(JournalUnavailable, match="only its own user and root"):
            await send(path, "echo", text="hello")
