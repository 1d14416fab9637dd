"""Protocol between the processes of the split null server: all messages of a loop iteration in one write to a Unix socket.

A bundle consists of a length of four bytes and a MessagePack array, so that it is encoded and decoded by one call of the codec,
independent of the number of messages. From an edge to the leader, each message contains the number of its connection; a client's
frame is forwarded without being encoded again. From the leader to an edge, a message is a frame with the numbers of all connections
that receive it.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Raw, Struct

from router.protocol.frames import ContactFields, DesktopFrame, GatewayFrame
from router.protocol.session import Endpoint
from router.server.ws.write_buffer import FlushScheduler

LENGTH_BYTES: Final = 4


class OpenedMessage(Struct, frozen=True, array_like=True, tag=0):
    """Edge to leader: a client has connected."""

    number: int
    """Number of the connection, assigned by the edge."""
    name: str
    endpoint: Endpoint


class ClientMessage(Struct, frozen=True, array_like=True, tag=1):
    """Edge to leader: a client's frame."""

    number: int
    frame: DesktopFrame | GatewayFrame


class ClosedMessage(Struct, frozen=True, array_like=True, tag=2):
    """Edge to leader: a connection was closed."""

    number: int


class HttpSubmitMessage(Struct, frozen=True, array_like=True, tag=3):
    """Edge to leader: a submit over HTTP; its receipt is sent to this number."""

    number: int
    name: str
    fields: ContactFields


EdgeMessage: TypeAlias = OpenedMessage | ClientMessage | ClosedMessage | HttpSubmitMessage
decode_edge_messages: Final = msgspec.msgpack.Decoder(list[EdgeMessage]).decode
decode_leader_messages: Final = msgspec.msgpack.Decoder(list[tuple[list[int], Raw]]).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def client_message(number: int, payload: bytes) -> tuple[int, int, Raw]:
    """Return a ``ClientMessage`` whose frame is already encoded."""
    return (1, number, Raw(payload))


def encode_bundle(messages: list[Any]) -> bytes:
    """Return the messages as a bundle with its length."""
    data = _encode(messages)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class BundleReader:
    """Splits a byte stream into bundles."""

    def __init__(self) -> None:
        self._incomplete = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bundles that these bytes complete, without their lengths."""
        if self._incomplete:
            data = self._incomplete + data
        found = []
        at, end = 0, len(data)
        while end - at >= LENGTH_BYTES:
            body = at + LENGTH_BYTES
            after = body + int.from_bytes(data[at:body], "big")
            if after > end:
                break
            found.append(data[body:after])
            at = after
        self._incomplete = data[at:]
        return found


class BundleConnection(asyncio.Protocol):
    """One end of the Unix socket between an edge and the leader."""

    def __init__(
        self,
        flush_scheduler: FlushScheduler,
        *,
        decode: Callable[[bytes], Any],
        on_bundle: Callable[[Any], None],
        on_lost: Callable[[], None],
    ) -> None:
        """Create a connection; ``on_bundle`` is called with each decoded bundle, ``on_lost`` once when the connection is lost."""
        self._schedule_flush = flush_scheduler.schedule
        self._decode = decode
        self._on_bundle = on_bundle
        self._on_lost = on_lost
        self._reader = BundleReader()
        self._unsent: list[Any] = []
        self._last_frame: Any = None
        self.messages = self.bundles = 0
        """Numbers sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport but are not subclasses of it.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for bundle in self._reader.feed(data):
            self._on_bundle(self._decode(bundle))

    def send(self, message: Any) -> None:
        """Send a message at the end of this loop iteration."""
        if not self._unsent:
            self._schedule_flush(self._flush)
        self._unsent.append(message)

    def send_frame(self, number: int, frame: Any) -> None:
        """Leader to edge: send a frame to a connection; the same frame for consecutive numbers is sent once."""
        if self._last_frame is frame:
            self._unsent[-1][0].append(number)
        else:
            self._last_frame = frame
            self.send(([number], frame))

    def _flush(self) -> None:
        unsent, self._unsent, self._last_frame = self._unsent, [], None
        self.bundles += 1
        self.messages += len(unsent)
        self._transport.write(encode_bundle(unsent))

    def close(self) -> None:
        """Abort the connection."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()
