"""What the processes of one server say to each other over a Unix socket: all messages of a loop tick in one write.

A bundle is four bytes of length and a MessagePack array, so that it is made and read by one call of the codec however many
messages it holds. Upwards, from an edge to the leader, each message names the connection that it is about; a client's frame
goes on as the bytes that it came in. Downwards one message may be for several connections, and is the frame that they get.
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
    """Upwards: somebody has come."""

    number: int
    """The connection; the edge counts them."""
    name: str
    door: Endpoint


class ClientMessage(Struct, frozen=True, array_like=True, tag=1):
    """Upwards: a client's frame."""

    number: int
    ask: DesktopFrame | GatewayFrame


class ClosedMessage(Struct, frozen=True, array_like=True, tag=2):
    """Upwards: the connection is no more."""

    number: int


class HttpSubmitMessage(Struct, frozen=True, array_like=True, tag=3):
    """Upwards: a contact that was submitted over HTTP; the receipt goes to that number, once."""

    number: int
    name: str
    fields: ContactFields


Upwards: TypeAlias = OpenedMessage | ClientMessage | ClosedMessage | HttpSubmitMessage
decode_upwards: Final = msgspec.msgpack.Decoder(list[Upwards]).decode
decode_downwards: Final = msgspec.msgpack.Decoder(list[tuple[list[int], Raw]]).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def client_message(number: int, payload: bytes) -> tuple[int, int, Raw]:
    """`Said`, of a frame that stays the bytes that it is."""
    return (1, number, Raw(payload))


def encode_bundle(messages: list[Any]) -> bytes:
    """As it goes over the socket."""
    data = _encode(messages)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class BundleReader:
    """Bytes in, however they were cut; whole bundles out, without their lengths."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The bundles that these bytes complete."""
        if self._held:
            data = self._held + data
        found = []
        at, end = 0, len(data)
        while end - at >= LENGTH_BYTES:
            body = at + LENGTH_BYTES
            after = body + int.from_bytes(data[at:body], "big")
            if after > end:
                break
            found.append(data[body:after])
            at = after
        self._held = data[at:]
        return found


class BundleConnection(asyncio.Protocol):
    """One end of the Unix socket between two processes."""

    def __init__(
        self,
        end_of_tick: FlushScheduler,
        *,
        decode: Callable[[bytes], Any],
        hear: Callable[[Any], None],
        lost: Callable[[], None],
    ) -> None:
        """``hear`` is given what ``decode`` makes of each bundle, ``lost`` is called once at the end."""
        self._call_soon = end_of_tick.schedule
        self._decode = decode
        self._hear = hear
        self._on_lost = lost
        self._reader = BundleReader()
        self._due: list[Any] = []
        self._last: Any = None
        self.messages = self.bundles = 0
        """Sent, so far."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by class, only by what they can do.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for one in self._reader.feed(data):
            self._hear(self._decode(one))

    def put(self, message: Any) -> None:
        """Send it at the end of this tick."""
        if not self._due:
            self._call_soon(self._flush)
        self._due.append(message)

    def flush(self, number: int, told: Any) -> None:
        """Downwards: send a frame to this connection. Told to several in a row, it goes over the socket once."""
        if self._last is told:
            self._due[-1][0].append(number)
        else:
            self._last = told
            self.put(([number], told))

    def _flush(self) -> None:
        due, self._due, self._last = self._due, [], None
        self.bundles += 1
        self.messages += len(due)
        self._transport.write(encode_bundle(due))

    def close(self) -> None:
        """End it."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()
