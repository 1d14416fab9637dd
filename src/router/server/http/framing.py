"""Strict framing of HTTP requests on a connection, in front of the parser.

The parser (llhttp) accepts some request lines that other implementations read differently or refuse: two spaces between the parts,
a bare line feed before the line or at its end. Where a proxy and the router disagree about a request, one of them can be made to
see a request that the other does not (request smuggling). So the line is checked here against the grammar of RFC 9112, section 3.

The parser does not say at which byte a message ends. ``RequestFraming`` therefore cuts the received bytes so that no piece contains
the end of one message and the beginning of the next: at the end of the head, and after as many bytes as the body has. In a chunked
body every empty line could be the end; after ``_CUTS_MAX`` of them nothing is cut any more. A message that begins within a piece is
refused by the caller, as its line could not be checked.
"""

import re
from typing import Final

_HEAD_END: Final = b"\r\n\r\n"
_CUTS_MAX: Final = 64
# Method, target and version, each separated by one space. What methods and targets there are is decided later.
_is_request_line: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/[0-9]\.[0-9]\r\n").fullmatch
_LINE_BYTES_MAX: Final = 256 * 1024


class RequestFraming:
    """Position within the messages of one connection."""

    __slots__ = ("_body_left", "_cuts_left", "_had_empty_line", "_is_at_start", "_line", "_tail")

    def __init__(self) -> None:
        self.end_message()

    def end_message(self) -> None:
        """Report that a message is complete: the next piece begins another one."""
        self._line: bytes | None = b""
        """Beginning of the request line; None: it is complete and valid."""
        self._had_empty_line = self._is_at_start = False
        self._body_left: int | None = None
        """Bytes of the body that are still to come; None: the end is an empty line, of the head or of a chunked body."""
        self._tail = b""
        """Last bytes of the piece before, in which an empty line may have begun."""
        self._cuts_left = _CUTS_MAX

    def begin_message(self) -> bool:
        """Report that the parser has found the beginning of a message; return whether its request line is checked."""
        is_checked, self._is_at_start = self._is_at_start, False
        return is_checked

    def begin_body(self, length: int | None) -> None:
        """Report that the head is complete; ``length`` of the body, None for a chunked one."""
        self._body_left, self._tail = length, b""

    def cut(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return the next piece for the parser and the bytes after it; None: the request line is not valid."""
        if self._body_left:
            piece = data[: self._body_left]
            self._body_left -= len(piece)
            return piece, data[len(piece) :]
        if self._line is not None:
            end = data.find(b"\n") + 1
            line = self._line + (data[:end] if end else data)
            if line == b"\r\n" and not self._had_empty_line:
                # RFC 9112, section 2.2: one empty line before the request line is ignored.
                self._had_empty_line = True
                self._line = b""
                return data[:end], data[end:]
            # The parser reports the beginning of a message with its first byte.
            self._is_at_start = self._is_at_start or not self._line
            if not end and len(line) <= _LINE_BYTES_MAX:
                self._line = line
                return data, b""
            if _is_request_line(line) is None:
                return None
            self._line = None
        if self._body_left == 0:
            return data, b""  # The parser ends the message with this piece, or finds it invalid.
        return self._cut_at_empty_line(data)

    def _cut_at_empty_line(self, data: bytes) -> tuple[bytes, bytes]:
        if not self._cuts_left:
            return data, b""
        joined = self._tail + data
        found = joined.find(_HEAD_END)
        if found < 0:
            self._tail = joined[-3:]
            return data, b""
        self._cuts_left -= 1
        end = found + len(_HEAD_END) - len(self._tail)
        self._tail = b""
        return data[:end], data[end:]
