"""Fast-path parser for ``POST /v1/contacts``: reads the head of a simple submit without the HTTP library.

Theory of operation. The submits of a gateway are nearly identical: the same request line, the same few headers, a body of
known length. Building the library's request object for each costs as much CPU as routing the contact. This parser
therefore recognizes exactly that form. Everything else goes to the library, which implements all of HTTP and gives the same
response: another version or method, ``Origin``, ``Expect``, ``Upgrade``, a chunked or encoded body, a repeated header, or
anything malformed.

The parser never refuses a request; it either recognizes it completely or declines it. This is what keeps it safe: two
parsers in front of one connection can be played off against each other (request smuggling) only if they disagree about
where a request ends. Here, the framing comes from a single ``Content-Length`` without ``Transfer-Encoding``, each header
line must match the RFC 9110 grammar in ASCII, and ``Boundary`` stops the fast path for the rest of a connection as soon as
the position of the next request is not certain.

Repeated input is cached: whole heads by their SHA-256, so that no token stays in memory longer than its request, and single
header lines only if they carry nothing about a customer. A head with an idempotency key differs every time and is not
cached. The credential's expiry is checked on every use. The module does no I/O.
"""

import re
from collections.abc import Callable
from enum import Enum
from hashlib import sha256
from typing import Any, Final, TypeVar

from msgspec import Struct

from router.server.api.submission import KEY_LENGTH_MAX
from router.server.auth.credentials import AuthFailed, Credential

T = TypeVar("T")

SUBMIT_REQUEST_LINE: Final = b"POST /v1/contacts HTTP/1.1\r\n"
HEAD_END: Final = b"\r\n\r\n"
# More header lines than ordinary clients send.
_LINES_MAX: Final = 40
_CACHE_COUNT_MAX: Final = 4096
_CACHED_LINE_BYTES_MAX: Final = 256

# RFC 9110 sections 5.1 and 5.5, ASCII only. Folded lines and stray CR or LF do not match.
_FIELD: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([!-~](?:[ -~\t]*[!-~])?)?[ \t]*"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,9}) *(?=\r\n)", re.IGNORECASE)
_FRAMING: Final = re.compile(rb"transfer-encoding|content-length", re.IGNORECASE)


class SubmitHead(Struct, frozen=True):
    """Parsed head of a simple submit."""

    credential: Credential
    body_length: int
    """Length of the body in bytes, at least 1."""
    idempotency_key: str | None


class _HeaderKind(Enum):
    IGNORED = 0
    HOST = 1
    TYPE = 2
    LENGTH = 3
    KEY = 4
    CREDENTIAL = 5


_ParsedLine = tuple[_HeaderKind, Any]
_IGNORED: Final[_ParsedLine] = (_HeaderKind.IGNORED, None)


class SubmitHeadParser:
    """Parser of request heads with bounded caches of whole heads and of single header lines."""

    def __init__(
        self, verify: Callable[[str], Credential], is_expired: Callable[[Credential], bool]
    ) -> None:
        """Take the functions of ``Authenticator``; one of the two is called for every head, so expiry is always checked."""
        self._verify = verify
        self._is_expired = is_expired
        self._heads: dict[bytes, SubmitHead] = {}
        self._lines: dict[bytes, _ParsedLine] = {}

    def parse(self, lines: bytes) -> SubmitHead | None:
        """Parse the header lines between the request line and the empty line; None if the fast path does not apply.

        An invalid or expired credential also returns None: the library path then sends the error response.
        """
        digest = sha256(lines).digest()
        known = self._heads.get(digest)
        if known is not None:
            return None if self._is_expired(known.credential) else known
        head = self._read(lines)
        if head is not None and head.idempotency_key is None:
            _cache(self._heads, digest, head)
        return head

    def _read(self, lines: bytes) -> SubmitHead | None:
        values: dict[_HeaderKind, Any] = {}
        new: list[tuple[bytes, _ParsedLine]] = []
        for line in lines.split(b"\r\n", _LINES_MAX):
            parsed = self._lines.get(line)
            if parsed is None:
                parsed = self._parse_line(line)
                if parsed is None:
                    return None
                new.append((line, parsed))
            kind = parsed[0]
            if kind is _HeaderKind.IGNORED:
                continue
            if kind in values:
                return None
            values[kind] = parsed[1]
        length, credential = values.get(_HeaderKind.LENGTH), values.get(_HeaderKind.CREDENTIAL)
        if (
            not length
            or credential is None
            or _HeaderKind.TYPE not in values
            or _HeaderKind.HOST not in values
        ):
            return None
        for line, parsed in new:
            is_cacheable = line[: line.index(b":")].lower() in _CACHEABLE
            if is_cacheable and len(line) <= _CACHED_LINE_BYTES_MAX:
                _cache(self._lines, line, parsed)
        return SubmitHead(credential, length, values.get(_HeaderKind.KEY))

    def _parse_line(self, line: bytes) -> _ParsedLine | None:
        field = _FIELD.fullmatch(line)
        if field is None:
            return None
        read = _READERS.get(field[1].lower(), _ignore)
        value = (field[2] or b"").decode("ascii")
        if read is not _bearer:
            return read(value)
        try:
            return _HeaderKind.CREDENTIAL, self._verify(_token(value))
        except AuthFailed:
            return None


def _cache(entries: dict[bytes, T], key: bytes, value: T) -> None:
    if len(entries) >= _CACHE_COUNT_MAX:
        entries.clear()
    entries[key] = value


def _token(value: str) -> str:
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _bearer(_: str) -> _ParsedLine | None:
    raise AssertionError("the credential is verified by the parser, not by a reader")


def _ignore(_: str) -> _ParsedLine | None:
    return _IGNORED


def _decline(_: str) -> _ParsedLine | None:
    return None


def _host(value: str) -> _ParsedLine | None:
    return _HeaderKind.HOST, value


def _type(value: str) -> _ParsedLine | None:
    is_json = value.lower().replace(" ", "") in {
        "application/json",
        "application/json;charset=utf-8",
    }
    return (_HeaderKind.TYPE, None) if is_json else None


def _length(value: str) -> _ParsedLine | None:
    return (_HeaderKind.LENGTH, int(value)) if len(value) < 10 and value.isdecimal() else None


def _key(value: str) -> _ParsedLine | None:
    return (_HeaderKind.KEY, value) if 0 < len(value) <= KEY_LENGTH_MAX else None


def _connection(value: str) -> _ParsedLine | None:
    return _IGNORED if value.lower() == "keep-alive" else None


# Headers with a meaning for the router or for the framing; all others are ignored, as by the library path.
_READERS: Final[dict[bytes, Callable[[str], _ParsedLine | None]]] = {
    b"host": _host,
    b"content-type": _type,
    b"content-length": _length,
    b"idempotency-key": _key,
    b"authorization": _bearer,
    b"connection": _connection,
    b"transfer-encoding": _decline,
    b"trailer": _decline,
    b"expect": _decline,
    b"upgrade": _decline,
    b"content-encoding": _decline,
    b"origin": _decline,
    b"x-http-method-override": _decline,
    b"x-method-override": _decline,
    b"x-http-method": _decline,
}
# Header lines that are equal in all requests of a client and contain no customer data.
_CACHEABLE: Final = frozenset(
    {
        b"host",
        b"content-type",
        b"content-length",
        b"connection",
        b"user-agent",
        b"accept",
        b"accept-encoding",
        b"accept-language",
    }
)


class RequestBoundary:
    """Tracker of request boundaries on a connection whose bytes partly go to the HTTP library.

    A boundary counts only if it is certain: one request per chunk, or a body in chunks of its own. Any other arrangement
    (several requests at once, a head in pieces, a body without a length) makes the boundary unknown for the rest of the
    connection, because bytes from the middle of a request must never be parsed as a new one.
    """

    __slots__ = ("_missing_bytes",)

    def __init__(self) -> None:
        self._missing_bytes = 0
        """Body bytes still to come; -1: unknown."""

    @property
    def is_at_request_start(self) -> bool:
        """Whether the next byte is certain to be the first of a request."""
        return self._missing_bytes == 0

    def advance(self, data: bytes) -> None:
        """Account for bytes that are passed to the library."""
        if self._missing_bytes > 0:
            self._missing_bytes = max(self._missing_bytes - len(data), -1)
        elif self._missing_bytes == 0:
            head, found, body = data.partition(HEAD_END)
            lengths = _LENGTH.findall(head + b"\r\n")
            missing = (int(lengths[0]) if lengths else 0) - len(body)
            known = found and len(lengths) == len(_FRAMING.findall(head)) < 2
            self._missing_bytes = missing if known and missing >= 0 else -1
