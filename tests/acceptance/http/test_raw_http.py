"""Bytes that no client library sends: smuggling, slow and endless requests, broken framing. S3, S4, S5, F65, F71.

The router must keep serving, and the body of a refused request must not be taken for a second request.
"""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.router_process import RouterProcess

HEAD = b"POST /v1/contacts HTTP/1.1\r\nHost: router\r\nContent-Type: application/json\r\n"
MALFORMED = {
    "both lengths": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "signed length": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "length of letters": HEAD + b"Content-Length: two\r\n\r\n{}",
    "enormous length digits": HEAD + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    "unknown coding": HEAD + b"Transfer-Encoding: zip\r\n\r\n",
    "chunked not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "space before colon": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "folded header": HEAD + b"X-A: b\r\n  c\r\n\r\n",
    "control character": HEAD + b"X-A: \x00\r\n\r\n",
    "header without name": HEAD + b": x\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "wrong version": b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "long request line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "long header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(2_000)) + b"\r\n",
}


@contextlib.contextmanager
def a_socket(router: RouterProcess, timeout_s: float = 3.0) -> Iterator[socket.socket]:
    place = urlsplit(router.url)
    assert place.hostname and place.port
    with socket.create_connection((place.hostname, place.port), timeout=timeout_s) as sock:
        yield sock


def read_all(sock: socket.socket) -> bytes:
    """Return everything until the server closes."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65_536):
            found += data
    return found


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


def exchange(router: RouterProcess, request: bytes) -> bytes:
    with a_socket(router) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(request)
        return read_all(sock)


def bearer(router: RouterProcess) -> bytes:
    return b"Authorization: Bearer " + router.token("admin").encode() + b"\r\n"


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_http_is_refused_and_the_connection_closed(router: RouterProcess, name: str) -> None:
    answer = exchange(router, MALFORMED[name])
    # One response at most: nothing was taken for a second request.
    assert statuses(answer) in ([400], []), answer[:200]
    assert b"aiohttp" not in answer and b"Python" not in answer
    assert b"Traceback" not in answer
    assert statuses(exchange(router, b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]


def test_a_refused_request_with_a_body_does_not_become_two_requests(router: RouterProcess) -> None:
    """The body of a request that is refused unread looks like a request itself."""
    inner = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
    refused = HEAD + b"Content-Length: %d\r\n\r\n" % len(inner) + inner
    answer = exchange(router, refused + b"GET /healthz HTTP/1.0\r\nHost: a\r\n\r\n")
    assert statuses(answer) in ([401], [401, 200])
    assert b'"ready"' not in answer


def test_a_refused_upgrade_with_a_body_does_not_become_two_requests(router: RouterProcess) -> None:
    inner = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
    upgrade = (
        b"GET /v1/desktop HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Content-Length: %d\r\n\r\n" % len(inner)
    )
    answer = exchange(router, upgrade + inner + b"GET /healthz HTTP/1.0\r\n\r\n")
    assert statuses(answer)[0] >= 400 and len(statuses(answer)) <= 2
    assert b'"ready"' not in answer


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}extra\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n{}",
        b"2;" + b"x" * 20_000 + b"\r\n{}\r\n0\r\n\r\n",
        b"0\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(5_000)) + b"\r\n",
    ],
    ids=range(6),
)
def test_broken_chunks_are_refused(router: RouterProcess, chunks: bytes) -> None:
    head = HEAD + bearer(router) + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = exchange(router, head + chunks)
    assert all(400 <= status < 500 for status in statuses(answer)), answer[:300]
    assert len(statuses(answer)) <= 1
    assert statuses(exchange(router, b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]


def test_a_declared_length_beyond_the_limit_is_refused_before_it_is_read(router: RouterProcess) -> None:
    with a_socket(router) as sock:
        sock.sendall(HEAD + bearer(router) + b"Content-Length: 4611686018427387904\r\n\r\n")
        answer = read_all(sock)
    assert statuses(answer) == [413]


def test_an_endless_chunked_body_is_refused(router: RouterProcess) -> None:
    with a_socket(router) as sock:
        sock.sendall(HEAD + bearer(router) + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"2000\r\n" + b" " * 0x2000 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                sock.sendall(chunk)
        answer = read_all(sock)
    assert statuses(answer) in ([413], [])


def test_many_pipelined_requests_are_all_answered_in_order(router: RouterProcess) -> None:
    """F65: pipelining stays bounded and framed."""
    with a_socket(router, timeout_s=60) as sock:
        sock.settimeout(60)
        found = b""
        for _ in range(20):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
            while found.count(b"\r\n\r\n") < 100:
                found += sock.recv(65_536)
            assert set(statuses(found)) == {200}
            found = b""


def test_a_connection_is_usable_after_a_refusal(router: RouterProcess) -> None:
    """F65: keep-alive after a 4xx."""
    with a_socket(router) as sock:
        for _ in range(3):
            sock.sendall(b"GET /v1/queues HTTP/1.1\r\nHost: a\r\n\r\n")
            assert statuses(sock.recv(65_536)) == [401]


def test_100_continue_is_sent_only_if_the_body_is_read(router: RouterProcess) -> None:
    """F65."""
    body = b'{"channel":"voice","queue_id":"support"}'
    expecting = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(body)
    with a_socket(router) as sock:
        sock.sendall(expecting + b"\r\n")
        assert statuses(sock.recv(65_536)) == [401]
    with a_socket(router) as sock:
        sock.sendall(expecting + bearer(router) + b"\r\n")
        assert statuses(sock.recv(65_536)) == [100]
        sock.sendall(body)
        assert statuses(sock.recv(65_536)) == [201]
    closing = b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    unknown = exchange(router, HEAD + b"Expect: zzcanaryzz\r\n" + closing)
    assert statuses(unknown) == [417] and b"zzcanaryzz" not in unknown


@pytest.mark.slow
def test_slow_senders_time_out(make_router: MakeRouter) -> None:
    """S4: no bytes, half a header, a dripping body."""
    router = make_router(server__keepalive_s=1, server__body_timeout_s=1).start()
    began_s = time.monotonic()
    with a_socket(router) as idle, a_socket(router) as half, a_socket(router) as dripping:
        half.sendall(HEAD)
        dripping.sendall(HEAD + bearer(router) + b"Content-Length: 1000\r\n\r\n{")
        answer = read_all(dripping)
        assert statuses(answer) == [408]
        for sock in (idle, half):
            assert statuses(read_all(sock)) in ([], [400])
    assert time.monotonic() - began_s < 10


@pytest.mark.slow
def test_connections_beyond_the_limit_get_503(make_router: MakeRouter) -> None:
    """S7, F17."""
    router = make_router(server__connections_max=8).start()
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(a_socket(router)) for _ in range(8)]
        for sock in held:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert statuses(sock.recv(65_536)) == [200]
        with a_socket(router) as late:
            answer = read_all(late)
        assert statuses(answer) == [503] and b"Retry-After" in answer
    assert statuses(exchange(router, b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]
