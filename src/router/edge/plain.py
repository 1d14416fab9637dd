"""Submits that are plain: read from their bytes, without the HTTP library.

Most submits of a gateway look alike: one request line, a handful of headers that are the same every time, a body of known length.
To make the library's request of each costs as much as to route it. So what is plain is read here, and what is not (another
version, an ``Origin``, a chunked or encoded body, ``Expect``, a header twice, anything that is not well-formed) is left to the
library, which has the whole of HTTP, to the same answer. When in doubt, it is not plain: nothing is refused here.

No I/O; where a connection's bytes begin a request is for the caller to know (``Boundary``).
"""

import re
from collections.abc import Callable
from enum import Enum
from hashlib import sha256
from typing import Any, Final, TypeVar

from msgspec import Struct

from router.edge.auth import AuthFailed, Credential
from router.edge.idempotency import KEY_LENGTH_MAX

T = TypeVar("T")

LINE: Final = b"POST /v1/contacts HTTP/1.1\r\n"
END: Final = b"\r\n\r\n"
# More than any client sends that has nothing special to say.
_LINES_MAX: Final = 40
_REMEMBERED_MAX: Final = 4096
_REMEMBERED_BYTES_MAX: Final = 256

# RFC 9110, 5.1 and 5.5; ASCII alone. A line that is continued or has a stray CR or LF does not match.
_FIELD: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([!-~](?:[ -~\t]*[!-~])?)?[ \t]*"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,9}) *(?=\r\n)", re.IGNORECASE)
_FRAMING: Final = re.compile(rb"transfer-encoding|content-length", re.IGNORECASE)


class PlainHead(Struct, frozen=True):
    """What the head of a plain submit says."""

    credential: Credential
    length: int
    """Of the body, in bytes; more than 0."""
    idempotency_key: str | None


class _Kind(Enum):
    IGNORED = 0
    HOST = 1
    TYPE = 2
    LENGTH = 3
    KEY = 4
    CREDENTIAL = 5


_Meaning = tuple[_Kind, Any]
_IGNORED: Final[_Meaning] = (_Kind.IGNORED, None)


class PlainReader:
    """Reads heads, and remembers what is the same again and again.

    Whole heads by their hash, so that no token stands in memory longer than its request; single lines only where they say
    nothing of anybody.
    """

    def __init__(
        self, verify: Callable[[str], Credential], is_expired: Callable[[Credential], bool]
    ) -> None:
        """As of ``Authenticator``. One of them is asked for every head, so that a credential ends when it ends."""
        self._verify = verify
        self._is_expired = is_expired
        self._heads: dict[bytes, PlainHead] = {}
        self._lines: dict[bytes, _Meaning] = {}

    def read(self, lines: bytes) -> PlainHead | None:
        """``lines``: those between the request line and the empty one. None: not plain, or the credential is not valid."""
        name = sha256(lines).digest()
        known = self._heads.get(name)
        if known is not None:
            return None if self._is_expired(known.credential) else known
        head = self._read(lines)
        if head is not None and head.idempotency_key is None:
            _remember(self._heads, name, head)
        return head

    def _read(self, lines: bytes) -> PlainHead | None:
        said: dict[_Kind, Any] = {}
        new: list[tuple[bytes, _Meaning]] = []
        for line in lines.split(b"\r\n", _LINES_MAX):
            meaning = self._lines.get(line)
            if meaning is None:
                meaning = self._meaning(line)
                if meaning is None:
                    return None
                new.append((line, meaning))
            kind = meaning[0]
            if kind is _Kind.IGNORED:
                continue
            if kind in said:
                return None
            said[kind] = meaning[1]
        length, credential = said.get(_Kind.LENGTH), said.get(_Kind.CREDENTIAL)
        if not length or credential is None or _Kind.TYPE not in said or _Kind.HOST not in said:
            return None
        for line, meaning in new:
            is_alike = line[: line.index(b":")].lower() in _ALIKE
            if is_alike and len(line) <= _REMEMBERED_BYTES_MAX:
                _remember(self._lines, line, meaning)
        return PlainHead(credential, length, said.get(_Kind.KEY))

    def _meaning(self, line: bytes) -> _Meaning | None:
        field = _FIELD.fullmatch(line)
        if field is None:
            return None
        read = _READERS.get(field[1].lower(), _ignore)
        value = (field[2] or b"").decode("ascii")
        if read is not _bearer:
            return read(value)
        try:
            return _Kind.CREDENTIAL, self._verify(_token(value))
        except AuthFailed:
            return None


def _remember(known: dict[bytes, T], name: bytes, what: T) -> None:
    if len(known) >= _REMEMBERED_MAX:
        known.clear()
    known[name] = what


def _token(value: str) -> str:
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _bearer(_: str) -> _Meaning | None:
    raise AssertionError("needs to be verified")


def _ignore(_: str) -> _Meaning | None:
    return _IGNORED


def _not_plain(_: str) -> _Meaning | None:
    return None


def _host(value: str) -> _Meaning | None:
    return _Kind.HOST, value


def _type(value: str) -> _Meaning | None:
    is_json = value.lower().replace(" ", "") in {
        "application/json",
        "application/json;charset=utf-8",
    }
    return (_Kind.TYPE, None) if is_json else None


def _length(value: str) -> _Meaning | None:
    return (_Kind.LENGTH, int(value)) if len(value) < 10 and value.isdecimal() else None


def _key(value: str) -> _Meaning | None:
    return (_Kind.KEY, value) if 0 < len(value) <= KEY_LENGTH_MAX else None


def _connection(value: str) -> _Meaning | None:
    return _IGNORED if value.lower() == "keep-alive" else None


# Names that mean something to the router or to the framing; all others are ignored, here as there.
_READERS: Final[dict[bytes, Callable[[str], _Meaning | None]]] = {
    b"host": _host,
    b"content-type": _type,
    b"content-length": _length,
    b"idempotency-key": _key,
    b"authorization": _bearer,
    b"connection": _connection,
    b"transfer-encoding": _not_plain,
    b"trailer": _not_plain,
    b"expect": _not_plain,
    b"upgrade": _not_plain,
    b"content-encoding": _not_plain,
    b"origin": _not_plain,
    b"x-http-method-override": _not_plain,
    b"x-method-override": _not_plain,
    b"x-http-method": _not_plain,
}
# Their lines are the same in all requests of a client, and say nothing of a customer.
_ALIKE: Final = frozenset(
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


class Boundary:
    """Knows whether a connection's next bytes begin a new request, after some that the library was given.

    Only what is certain counts: one request a chunk, or its body in chunks of their own. Whatever is put together otherwise
    (several requests at once, a head in pieces, a body without a length) leaves the boundary unknown for good: bytes out of
    the middle of something must never be taken for a request.
    """

    __slots__ = ("_owed",)

    def __init__(self) -> None:
        self._owed = 0
        """Bytes of a body to come; -1: unknown."""

    @property
    def is_here(self) -> bool:
        """The next byte is a request's first."""
        return self._owed == 0

    def pass_by(self, data: bytes) -> None:
        """These bytes go to the library."""
        if self._owed > 0:
            self._owed = max(self._owed - len(data), -1)
        elif self._owed == 0:
            head, found, body = data.partition(END)
            lengths = _LENGTH.findall(head + b"\r\n")
            owed = (int(lengths[0]) if lengths else 0) - len(body)
            known = found and len(lengths) == len(_FRAMING.findall(head)) < 2
            self._owed = owed if known and owed >= 0 else -1
