"""Fast-path parser: which requests it recognizes, and where one request ends and the next begins."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from router.server.auth.credentials import AuthFailed, Credential
from router.server.auth.permissions import Role
from router.server.http.submit_parser import (
    HEAD_END,
    SUBMIT_REQUEST_LINE,
    RequestBoundary,
    SubmitHead,
    SubmitHeadParser,
)

GET = b"GET /v1/queues HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST /v1/contacts HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


@pytest.mark.parametrize(
    ("chunks", "is_here"),
    [
        ([], True),
        ([GET], True),
        ([HEAD + b"body"], True),
        ([HEAD, b"body", GET], True),
        ([HEAD, b"bo", b"dy"], True),
        ([HEAD], False),
        ([HEAD, b"bo"], False),
        # From here on the boundary stays unknown, whatever follows.
        ([GET[:9], GET[9:], GET], False),
        ([GET + GET[:9], GET[9:], GET], False),
        ([GET + GET, GET], False),
        ([HEAD + b"body" + GET[:9], GET], False),
        ([HEAD, b"body" + GET[:9], GET], False),
        ([HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n") + b"body", GET], False),
        ([HEAD.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"], False),
        ([HEAD.replace(b"Content-Length: 4", b"Content-Length: 4, 4") + b"body"], False),
    ],
)
def test_a_boundary_is_reported_only_if_certain(chunks: list[bytes], is_here: bool) -> None:
    boundary = RequestBoundary()
    for chunk in chunks:
        boundary.advance(chunk)
    assert boundary.is_at_request_start is is_here


CREDENTIAL = Credential(
    subject="web", role=Role.GATEWAY, workspace="default", issuer="router", expires_at_s=1_000
)
LINES = (
    b"Host: a",
    b"Authorization: Bearer good",
    b"Content-Type: application/json",
    b"Content-Length: 44",
)


def verify(token: str) -> Credential:
    if token != "good":
        raise AuthFailed("signature")
    return CREDENTIAL


def a_parser(is_expired: Callable[[Credential], bool] = lambda _: False) -> SubmitHeadParser:
    return SubmitHeadParser(verify, is_expired)


def read(*lines: bytes) -> SubmitHead | None:
    return a_parser().parse(b"\r\n".join(lines))


@pytest.mark.parametrize(
    "more",
    [
        (),
        (b"Connection: Keep-Alive",),
        (b"accept-encoding:gzip, deflate",),
        (b"X-Nothing:",),
        (b"traceparent: \t 00-a-b-01 \t",),
    ],
)
def test_ordinary_submits_are_recognized(more: tuple[bytes, ...]) -> None:
    assert read(*LINES, *more) == SubmitHead(CREDENTIAL, 44, None)


def test_the_idempotency_key_is_not_cached() -> None:
    parser = a_parser()
    for key in (b"a", b"b c"):
        head = parser.parse(b"\r\n".join((*LINES, b"idempotency-key: " + key)))
        assert head == SubmitHead(CREDENTIAL, 44, key.decode())


@pytest.mark.parametrize(
    "line",
    [
        b"Host: b",
        b"Content-Length: 44",
        b"content-length: 45",
        b"Content-Type: application/json",
        b"Authorization: Bearer good",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Connection: close",
        b"Connection: keep-alive, Upgrade",
        b"Upgrade: websocket",
        b"Origin: https://desk.example",
        b"Content-Encoding: gzip",
        b"X-HTTP-Method-Override: PUT",
        b"X-Method-Override: PUT",
        b"X-HTTP-Method: PUT",
        b"Idempotency-Key:",
        b"Idempotency-Key: " + b"k" * 256,
        b"no colon",
        b": no name",
        b"Space : before",
        b" folded: line",
        b"X-A: a\rb",
        b"X-A: a\nContent-Length: 1",
        b"X-A: \x00",
        b"X-A: \xc3\xa4",
        b"",
        b"\r\n".join(b"X-%d: a" % number for number in range(40)),
    ],
)
def test_an_additional_special_header_is_declined(line: bytes) -> None:
    assert read(*LINES, line) is None
    assert read(line, *LINES) is None


@pytest.mark.parametrize("missing", range(len(LINES)))
def test_a_missing_header_is_declined(missing: int) -> None:
    assert read(*LINES[:missing], *LINES[missing + 1 :]) is None


@pytest.mark.parametrize(
    ("line", "other"),
    [
        (1, b"Authorization: Basic good"),
        (1, b"Authorization: Bearer bad"),
        (1, b"Authorization: good"),
        (2, b"Content-Type: text/plain"),
        (2, b"Content-Type: application/json; charset=latin-1"),
        (3, b"Content-Length: +44"),
        (3, b"Content-Length: 0"),
        (3, b"Content-Length: 4 4"),
        (3, b"Content-Length: 1234567890"),
    ],
)
def test_an_unusual_header_value_is_declined(line: int, other: bytes) -> None:
    assert read(*LINES[:line], other, *LINES[line + 1 :]) is None


def test_a_cached_head_expires_with_its_credential() -> None:
    is_past = False
    parser = a_parser(lambda credential: is_past)
    lines = b"\r\n".join(LINES)
    assert parser.parse(lines) == parser.parse(lines) == SubmitHead(CREDENTIAL, 44, None)
    is_past = True
    assert parser.parse(lines) is None


_NAMES = st.sampled_from(
    (
        *(b"Host", b"Content-Length", b"content-length", b"Transfer-Encoding", b"Content-Type"),
        *(b"Authorization", b"Connection", b"Idempotency-Key", b"X-A", b"X-B", b"X A", b""),
        *(b"\xc3\xa4", b"A\r\nB"),
    )
)
_VALUES = st.sampled_from(
    (
        *(
            b"a",
            b"44",
            b"7",
            b"+7",
            b"7,7",
            b"chunked",
            b"close",
            b"keep-alive",
            b"",
            b" ",
            b"\tb\t",
        ),
        *(b"Bearer good", b"application/json", b"a\x00", b"\x7f"),
        *(b"a\r\nContent-Length: 3", b"a\nContent-Length: 3"),
    )
)
_HEADERS = st.lists(
    st.tuples(_NAMES, st.sampled_from([b":", b": ", b" : ", b""]), _VALUES), max_size=3
)


@given(headers=_HEADERS, index=st.integers(0, len(LINES)))
async def test_the_library_reads_a_recognized_request_the_same_way(
    headers: list[tuple[bytes, bytes, bytes]], index: int
) -> None:
    more = [name + colon + value for name, colon, value in headers]
    lines = b"\r\n".join((*LINES[:index], *more, *LINES[index:]))
    head = a_parser().parse(lines)
    if head is None:
        return
    parser = HttpRequestParser(BaseProtocol(asyncio.get_running_loop()), None, 2**16)
    messages, upgraded, rest = parser.feed_data(
        SUBMIT_REQUEST_LINE + lines + HEAD_END + b"x" * head.body_length + b"GET"
    )
    [(message, body)] = messages
    assert body.is_eof() and not upgraded and not rest and not message.should_close
    assert len(await body.read()) == head.body_length == int(message.headers["Content-Length"])
    assert message.headers.get("Idempotency-Key") == head.idempotency_key
    assert message.headers["Authorization"] == "Bearer good"
