"""Gateways that submit over HTTP: a pool of keep-alive connections with one request at a time on each.

A contact that is due while all connections wait for responses is queued; its latency still counts from its due time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, cast

import msgspec

from benchmarks.server.histogram import Histogram
from benchmarks.server.load import Load
from benchmarks.server.raw_websocket import ReceivedFrame


class _Receipt(msgspec.Struct):
    contact_id: str = ""
    code: str = ""


_decode: Final = msgspec.json.Decoder(_Receipt).decode


class HttpGateway(asyncio.Protocol):
    """One keep-alive connection of a gateway."""

    def __init__(self, pool: "HttpGateways", token: str) -> None:
        self._pool = pool
        self._head = (
            "POST /v1/contacts HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: "
        ).encode()
        self._buffer = b""
        self._reference = ""
        self._sent_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def post(self, reference: str) -> None:
        """Submit a contact."""
        self._reference, self._sent_ns = reference, time.perf_counter_ns()
        body = b'{"channel":"voice","queue_id":"support","reference":"%b"}' % reference.encode()
        self._transport.write(self._head + b"%d\r\n\r\n" % len(body) + body)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        head, found, body = data.partition(b"\r\n\r\n")
        size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]) if found else 0
        if not found or len(body) < size:
            self._buffer = data
            return
        self._buffer = b""
        if self._pool.on_raw_response is not None:
            self._pool.on_raw_response(head, body)
        self._pool.requests.add(time.perf_counter_ns() - self._sent_ns)
        self._pool.on_response(self, int(head[9:12]), _decode(body), self._reference)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.on_connection_lost(self)

    def close(self) -> None:
        """Abort the connection."""
        self._transport.abort()


class HttpGateways:
    """The connection pool of all gateways."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._idle: deque[HttpGateway] = deque()
        self._queued: deque[str] = deque()
        self._connections: list[HttpGateway] = []
        self.on_raw_response: Callable[[bytes, bytes], None] | None = None
        """Called with the head and body of each response."""
        self.statuses: dict[int, int] = {}
        self.requests = Histogram()
        """From request to response, in ns."""
        self.backlog_max = 0
        """Greatest number of contacts that waited for a connection."""
        self._closing = False

    async def connect(self, connections: int) -> None:
        """Open this number of connections, in equal parts for the gateways."""
        loop = asyncio.get_running_loop()
        for number in range(connections):
            token = self._load.target.gateways[number % len(self._load.target.gateways)][1]
            await loop.create_connection(
                lambda token=token: self._new_connection(token),  # type: ignore[misc]
                "127.0.0.1",
                self._load.target.port,
            )

    def _new_connection(self, token: str) -> HttpGateway:
        gateway = HttpGateway(self, token)
        self._connections.append(gateway)
        self._idle.append(gateway)
        return gateway

    def submit(self, due_ns: int) -> None:
        """Submit a contact that was due at this time, or queue it until a connection is idle."""
        reference = self._load.next_reference(due_ns)
        if self._idle:
            self._idle.popleft().post(reference)
        else:
            self._queued.append(reference)
            self.backlog_max = max(self.backlog_max, len(self._queued))

    def on_response(self, gateway: HttpGateway, status: int, body: _Receipt, reference: str) -> None:
        """Record a response, and send the next queued contact on its connection."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if self._queued:
            gateway.post(self._queued.popleft())
        else:
            self._idle.append(gateway)
        if status == 201:
            self._load.record_acknowledgement(body.contact_id)
        else:
            self._load.on_gateway_frame(ReceivedFrame(type="error", id=reference, code=f"{status} {body.code}"))

    def on_connection_lost(self, gateway: HttpGateway) -> None:
        """Count a lost connection as an error, except after ``close``."""
        if not self._closing:
            self._load.errors["lost HTTP connection"] += 1

    def close(self) -> None:
        """Abort all connections."""
        self._closing = True
        for gateway in self._connections:
            gateway.close()
