"""The framing of WebSockets (RFC 6455), a server's side of it, sans-I/O: bytes in, messages out; and frames to bytes.

No extension is spoken. Whatever a client must not send breaks the connection with the code that the standard names for it;
what came whole before that still counts.
"""

from typing import Final, TypeAlias

from router.wire.close_codes import CloseCode

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

Message: TypeAlias = tuple[int, bytes]
"""An opcode and a whole payload: never ``CONTINUATION``."""

_FIN: Final = 0x80
_WHOLE: Final = frozenset({_FIN | TEXT, _FIN | BINARY})
_CONTROL: Final = frozenset({CLOSE, PING, PONG})
_MASKED: Final = 0x80
_CONTROL_BYTES_MAX: Final = 125
_REASON_BYTES_MAX: Final = _CONTROL_BYTES_MAX - 2
# A message in more pieces than this is no message but work.
_FRAGMENTS_MAX: Final = 1024
# Those that RFC 6455 (7.4) and its registry let an endpoint send; the rest below 3000 means nothing.
_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})

_SHORT: Final[dict[int, tuple[bytes, ...]]] = {
    opcode: tuple(bytes((_FIN | opcode, size)) for size in range(126))
    for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
}
_MIDDLE: Final[dict[int, bytes]] = {
    opcode: bytes((_FIN | opcode, 126)) for opcode in (TEXT, BINARY)
}
_LONG: Final[dict[int, bytes]] = {opcode: bytes((_FIN | opcode, 127)) for opcode in (TEXT, BINARY)}


class Broken(Exception):
    """The client has broken the protocol: close with this code."""

    def __init__(self, code: CloseCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a server: unmasked, in one piece. A control frame has at most 125 bytes."""
    size = len(payload)
    if size < 126:
        return _SHORT[opcode][size] + payload
    if size < 65_536:
        return _MIDDLE[opcode] + size.to_bytes(2, "big") + payload
    return _LONG[opcode] + size.to_bytes(8, "big") + payload


def close_frame(code: int, text: str = "") -> bytes:
    """The frame that begins, or answers, the end."""
    # What is cut off may leave half a character.
    reason = text.encode()[:_REASON_BYTES_MAX].decode(errors="ignore")
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


def answer_to_close(payload: bytes) -> bytes:
    """The close frame that answers a client's: with the code that it gave, or 1002 for one that means nothing."""
    if not payload:
        return frame(CLOSE, b"")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or code not in _CLOSE_CODES:
        return close_frame(CloseCode.PROTOCOL_ERROR)
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return close_frame(CloseCode.INVALID_TEXT)
    return close_frame(code)


class FrameReader:
    """The frames of one client. Holds at most one unfinished frame and one unfinished message."""

    __slots__ = ("_held", "_max_bytes", "_opcode", "_pieces", "_pieces_bytes", "_wanted", "broken")

    def __init__(self, max_bytes: int) -> None:
        """``max_bytes``: of one message, in one piece or many."""
        self._max_bytes = max_bytes
        self._held: bytearray | None = None
        """The beginning of a frame whose rest has not come."""
        self._wanted = 0
        """So many bytes must be there before it is worth looking again."""
        self._opcode = 0
        self._pieces: list[bytes] | None = None
        self._pieces_bytes = 0
        self.broken: Broken | None = None
        """What the client did that it must not, after the messages that were given out; from then on nothing is read."""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete, in order."""
        if self.broken is not None:
            return []
        if self._held is not None:
            self._held += data
            if len(self._held) < self._wanted:
                return []
            data = bytes(self._held)
            self._held = None
        messages: list[Message] = []
        try:
            read = self._read(data, messages)
        except Broken as broken:
            self.broken = broken
            self._pieces = None
            return messages
        if read < len(data):
            self._held = bytearray(data[read:])
        return messages

    def _read(self, data: bytes, messages: list[Message]) -> int:
        """Take all whole frames; the number of bytes that they took."""
        at, end = 0, len(data)
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            size, body = second & 0x7F, at + 6
            if not second & _MASKED:
                raise Broken(CloseCode.PROTOCOL_ERROR, "a client masks its frames")
            if size >= 126:
                wide = 2 if size == 126 else 8
                body += wide
                if end < at + 2 + wide:
                    self._wanted = 2 + wide
                    return at
                size = int.from_bytes(data[at + 2 : at + 2 + wide], "big")
            plain = first in _WHOLE and self._pieces is None and size <= self._max_bytes
            if not plain:
                # Before its payload is waited for: a client must not fill the memory with what will be refused.
                self._check(first, size)
            after = body + size
            if after > end:
                self._wanted = after - at
                return at
            payload = _unmasked(data[body - 4 : body], data[body:after])
            if plain:
                messages.append((first & 0x0F, payload))
            else:
                self._put_together(first, payload, messages)
            at = after
        self._wanted = 2
        return at

    def _check(self, first: int, size: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise Broken(CloseCode.PROTOCOL_ERROR, "no extension was agreed")
        if opcode in _CONTROL:
            if size > _CONTROL_BYTES_MAX or not first & _FIN:
                raise Broken(CloseCode.PROTOCOL_ERROR, "a control frame is short and whole")
            return
        if opcode > BINARY:
            raise Broken(CloseCode.PROTOCOL_ERROR, "unknown opcode")
        if (opcode == CONTINUATION) != (self._pieces is not None):
            raise Broken(CloseCode.PROTOCOL_ERROR, "a message begins once and then goes on")
        if self._pieces_bytes + size > self._max_bytes:
            raise Broken(CloseCode.TOO_BIG, "too big")
        if self._pieces is not None and len(self._pieces) >= _FRAGMENTS_MAX:
            raise Broken(CloseCode.TOO_BIG, "too many pieces")

    def _put_together(self, first: int, payload: bytes, messages: list[Message]) -> None:
        opcode = first & 0x0F
        if opcode in _CONTROL:
            messages.append((opcode, payload))
            return
        if self._pieces is None:
            self._opcode, self._pieces = opcode, []
        self._pieces.append(payload)
        self._pieces_bytes += len(payload)
        if first & _FIN:
            messages.append((self._opcode, b"".join(self._pieces)))
            self._pieces, self._pieces_bytes = None, 0


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    # As two whole numbers: the fastest exclusive or of bytes that the language has.
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")
