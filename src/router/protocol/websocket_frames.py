"""WebSocket framing (RFC 6455) for a server, sans-I/O: received bytes to messages, and frames to bytes.

Extensions are not supported. A protocol violation of the client ends the connection with the close code that the standard
prescribes; messages that were complete before it are still delivered. The head of a frame is validated before its payload is
awaited, so a client cannot fill the memory with a frame that will be refused. At most one partial frame and one fragmented
message are kept for each client.
"""

from typing import Final, TypeAlias

from router.protocol.close_codes import CloseCode

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

Message: TypeAlias = tuple[int, bytes]
"""An opcode other than ``CONTINUATION``, and the complete payload."""

_FIN: Final = 0x80
_WHOLE: Final = frozenset({_FIN | TEXT, _FIN | BINARY})
_CONTROL: Final = frozenset({CLOSE, PING, PONG})
_MASKED: Final = 0x80
_CONTROL_BYTES_MAX: Final = 125
_REASON_BYTES_MAX: Final = _CONTROL_BYTES_MAX - 2
# Maximum number of fragments of a message; more would only cost time.
_FRAGMENTS_MAX: Final = 1024
# Codes that RFC 6455 (section 7.4) and its registry allow an endpoint to send.
_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})

_SHORT: Final[dict[int, tuple[bytes, ...]]] = {
    opcode: tuple(bytes((_FIN | opcode, size)) for size in range(126)) for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
}
_MIDDLE: Final[dict[int, bytes]] = {opcode: bytes((_FIN | opcode, 126)) for opcode in (TEXT, BINARY)}
_LONG: Final[dict[int, bytes]] = {opcode: bytes((_FIN | opcode, 127)) for opcode in (TEXT, BINARY)}


class ProtocolViolation(Exception):
    """The client has violated the protocol; the connection must be closed with this code."""

    def __init__(self, code: CloseCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Encode an unfragmented, unmasked frame. The payload of a control frame has at most 125 bytes."""
    size = len(payload)
    if size < 126:
        return _SHORT[opcode][size] + payload
    if size < 65_536:
        return _MIDDLE[opcode] + size.to_bytes(2, "big") + payload
    return _LONG[opcode] + size.to_bytes(8, "big") + payload


def encode_close_frame(code: int, text: str = "") -> bytes:
    """Encode a close frame; a reason of more than 123 bytes is truncated."""
    # Truncation may split a character; the incomplete one is dropped.
    reason = text.encode()[:_REASON_BYTES_MAX].decode(errors="ignore")
    return encode_frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


def encode_close_reply(payload: bytes) -> bytes:
    """Encode the reply to a client's close frame: with the client's code, or 1002 if that is invalid."""
    if not payload:
        return encode_frame(CLOSE, b"")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or code not in _CLOSE_CODES:
        return encode_close_frame(CloseCode.PROTOCOL_ERROR)
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return encode_close_frame(CloseCode.INVALID_TEXT)
    return encode_close_frame(code)


class FrameReader:
    """Incremental reader of one client's frames."""

    __slots__ = ("_bytes_needed", "_fragments", "_fragments_bytes", "_message_bytes_max", "_opcode", "_partial", "violation")

    def __init__(self, message_bytes_max: int) -> None:
        """Create a reader that accepts messages of at most ``max_bytes``, fragmented or not."""
        self._message_bytes_max = message_bytes_max
        self._partial: bytearray | None = None
        """Start of an incomplete frame."""
        self._bytes_needed = 0
        """Number of bytes that the incomplete frame needs before it can be read."""
        self._opcode = 0
        self._fragments: list[bytes] | None = None
        self._fragments_bytes = 0
        self.violation: ProtocolViolation | None = None
        """Protocol violation after the last delivered message; from then on nothing is read."""

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that these bytes complete, in order."""
        if self.violation is not None:
            return []
        if self._partial is not None:
            self._partial += data
            if len(self._partial) < self._bytes_needed:
                return []
            data = bytes(self._partial)
            self._partial = None
        messages: list[Message] = []
        try:
            read = self._read(data, messages)
        except ProtocolViolation as broken:
            self.violation = broken
            self._fragments = None
            return messages
        if read < len(data):
            self._partial = bytearray(data[read:])
        return messages

    def _read(self, data: bytes, messages: list[Message]) -> int:
        """Read all complete frames and return the number of bytes consumed."""
        at, end = 0, len(data)
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            size, body = second & 0x7F, at + 6
            if not second & _MASKED:
                raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "client frames must be masked")
            if size >= 126:
                wide = 2 if size == 126 else 8
                body += wide
                if end < at + 2 + wide:
                    self._bytes_needed = 2 + wide
                    return at
                size = int.from_bytes(data[at + 2 : at + 2 + wide], "big")
            plain = first in _WHOLE and self._fragments is None and size <= self._message_bytes_max
            if not plain:
                # Checked before the payload is awaited, to bound the memory.
                self._check(first, size)
            after = body + size
            if after > end:
                self._bytes_needed = after - at
                return at
            payload = _unmasked(data[body - 4 : body], data[body:after])
            if plain:
                messages.append((first & 0x0F, payload))
            else:
                self._append_fragment(first, payload, messages)
            at = after
        self._bytes_needed = 2
        return at

    def _check(self, first: int, size: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "extensions are not supported")
        if opcode in _CONTROL:
            if size > _CONTROL_BYTES_MAX or not first & _FIN:
                raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "invalid control frame")
            return
        if opcode > BINARY:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "unknown opcode")
        if (opcode == CONTINUATION) != (self._fragments is not None):
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "unexpected continuation")
        if self._fragments_bytes + size > self._message_bytes_max:
            raise ProtocolViolation(CloseCode.TOO_BIG, "message too big")
        if self._fragments is not None and len(self._fragments) >= _FRAGMENTS_MAX:
            raise ProtocolViolation(CloseCode.TOO_BIG, "too many fragments")

    def _append_fragment(self, first: int, payload: bytes, messages: list[Message]) -> None:
        opcode = first & 0x0F
        if opcode in _CONTROL:
            messages.append((opcode, payload))
            return
        if self._fragments is None:
            self._opcode, self._fragments = opcode, []
        self._fragments.append(payload)
        self._fragments_bytes += len(payload)
        if first & _FIN:
            messages.append((self._opcode, b"".join(self._fragments)))
            self._fragments, self._fragments_bytes = None, 0


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    # XOR of two large integers is the fastest XOR of byte strings in pure Python.
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")
