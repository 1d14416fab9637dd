"""A client connection that sends and receives raw HTTP bytes."""

import asyncio
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

GOOD = b'{"channel": "voice", "queue_id": "support"}'


class Answer(NamedTuple):
    """A response as received."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body."""
        return msgspec.json.decode(self.body, type=dict[str, object])


class RawConnection:
    """One connection of a gateway."""

    def __init__(self, url: str, token: str) -> None:
        self._place = urlsplit(url)
        self._token = token

    async def open(self, *, buffer_bytes: int = 65_536) -> None:
        """Connect. ``buffer_bytes``: approximate space for unread responses in the kernel and in this process."""
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        sock.setblocking(False)
        place = (self._place.hostname, self._place.port)
        await asyncio.get_running_loop().sock_connect(sock, place)
        self._reader, self._writer = await asyncio.open_connection(sock=sock, limit=buffer_bytes)

    def submit(self, body: bytes = GOOD, *, length: int | None = None, token: str | None = None) -> None:
        """Send an ordinary submit. ``length``: a declared length other than the body's."""
        self.send(self.a_submit(body, length=length, token=token))

    def a_submit(self, body: bytes = GOOD, *more: str, length: int | None = None, token: str | None = None) -> bytes:
        """Return the bytes of a submit. ``more``: further header lines."""
        lines = (
            "POST /v1/contacts HTTP/1.1",
            "Host: a",
            f"Authorization: Bearer {token or self._token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body) if length is None else length}",
            *more,
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    async def answer(self) -> Answer:
        """Return the next response. Raises IncompleteReadError at the end of the connection."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        fields = [line.partition(":") for line in lines]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        assert len(headers) == len(lines)
        body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(int(first.split()[1]), headers, body)

    async def status(self) -> int:
        """Return the status of the next response."""
        return (await self.answer()).status

    async def end(self) -> bytes:
        """Return what the server sends until it closes."""
        return await self._reader.read()

    async def close(self) -> None:
        """Close."""
        self._writer.close()
        await self._writer.wait_closed()
