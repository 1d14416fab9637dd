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
    "two spaces before the target": b"GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "two spaces after the target": b"GET /healthz  HTTP/1.1\r\nHost: a\r\n\r\n",
    "space at the end of the line": b"GET /healthz HTTP/1.1 \r\nHost: a\r\n\r\n",
    "space before the line": b" GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "tab in the line": b"GET\t/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare line feed before the line": b"\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare line feed after the line": b"GET /healthz HTTP/1.1\nHost: a\r\n\r\n",
    "two empty lines before the line": b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "carriage return alone": b"\rGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
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
    # One response: the client learns why, and nothing was taken for a second request.
    assert statuses(answer) == [400], answer[:200]
    assert answer.count(b'"code":"malformed"') == 1 and b"Connection: close" in answer
    assert b"aiohttp" not in answer and b"Python" not in answer
    assert b"Traceback" not in answer
    assert statuses(exchange(router, b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]


# What may stand before a request on the same connection, each answered with 200.
BEFORE = {
    "a request without body": b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "an empty line": b"\r\n",
    "a body with a length": b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    "a chunked body": b"GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
    "a chunked body with a trailer": b"GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n",
}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_request_line_is_checked_wherever_it_begins(router: RouterProcess, before: str, step: int) -> None:
    """In the first request and in pipelined ones, and however the bytes are divided."""
    first = BEFORE[before]
    expected = [] if before == "an empty line" else [200]
    for line, status in ((b"GET /readyz HTTP/1.1", 200), (b"GET  /readyz HTTP/1.1", 400), (b"GET /readyz  HTTP/1.1", 400)):
        data = first + line + b"\r\nHost: a\r\nConnection: close\r\n\r\n"
        with a_socket(router) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(ConnectionError):
                for start in range(0, len(data), step):
                    sock.sendall(data[start : start + step])
            answer = read_all(sock)
        assert statuses(answer) == [*expected, status], (line, answer)


def test_a_refused_request_with_a_body_does_not_become_two_requests(router: RouterProcess) -> None:
    """The body of a request that is refused unread looks like a request itself."""
    inner = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
    refused = HEAD + b"Content-Length: %d\r\n\r\n" % len(inner) + inner
    answer = exchange(router, refused + b"GET /healthz HTTP/1.0\r\nHost: a\r\n\r\n")
    assert statuses(answer) == [401, 200]
    assert b'"ready"' not in answer


def test_a_refused_upgrade_with_a_body_does_not_become_two_requests(router: RouterProcess) -> None:
    inner = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
    upgrade = (
        b"GET /v1/desktop HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Content-Length: %d\r\n\r\n" % len(inner)
    )
    answer = exchange(router, upgrade + inner + b"GET /healthz HTTP/1.0\r\n\r\n")
    assert statuses(answer) == [400], "a refused upgrade ends the connection"
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
    # An extension of a chunk is legal, and its body `{}` is not a contact.
    assert statuses(answer) == ([422] if chunks.startswith(b"2;") else [400]), answer[:300]
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
    assert statuses(answer) == [413]


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


# Lines of a head; ``%s`` is the version and the other header lines of each path below.
PATHS = {
    "probe": b"GET /healthz",
    "documents": b"GET /openapi.json",
    "operation": b"GET /v1/queues",
    "submit": b"POST /v1/contacts",
    "policy": b"PUT /v1/policy",
    "upgrade": b"GET /v1/gateway",
    "unknown": b"GET /v1/nothing",
}
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: router.v1+json\r\n"
)
# Version, end of line, and header lines before those of the path.
AMBIGUOUS = {
    "HTTP/2.0": (b"HTTP/2.0", b"\r\n", b"Host: a"),
    "HTTP/0.9": (b"HTTP/0.9", b"\r\n", b"Host: a"),
    "HTTP/1.2": (b"HTTP/1.2", b"\r\n", b"Host: a"),
    "bare LF": (b"HTTP/1.1", b"\n", b"Host: a"),
    "one bare LF": (b"HTTP/1.1", b"\r\n", b"Host: a\nX-A: b"),
    "no Host": (b"HTTP/1.1", b"\r\n", b"X-A: b"),
    "two Hosts": (b"HTTP/1.1", b"\r\n", b"Host: a\r\nHost: a"),
    "Host with a space": (b"HTTP/1.1", b"\r\n", b"Host: a b"),
    "Host with a path": (b"HTTP/1.1", b"\r\n", b"Host: a/b"),
    "Host with a name": (b"HTTP/1.1", b"\r\n", b"Host: me@a"),
    "two Authorizations": (b"HTTP/1.1", b"\r\n", b"Host: a\r\nAuthorization: Bearer x"),
    "two lengths": (b"HTTP/1.1", b"\r\n", b"Host: a\r\nContent-Length: 0\r\nContent-Length: 0"),
    "length and coding": (b"HTTP/1.1", b"\r\n", b"Host: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked"),
    "coding of HTTP/1.0": (b"HTTP/1.0", b"\r\n", b"Host: a\r\nTransfer-Encoding: chunked"),
    "two codings": (b"HTTP/1.1", b"\r\n", b"Host: a\r\nTransfer-Encoding: gzip, chunked"),
    "folded": (b"HTTP/1.1", b"\r\n", b"Host: a\r\nX-A: b\r\n c"),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_head_gets_one_answer_on_every_path(router: RouterProcess, path: str, name: str) -> None:
    version, end, lines = AMBIGUOUS[name]
    own = bearer(router) if path not in ("probe", "documents", "unknown") or "Authorization" in name else b""
    if path == "upgrade":
        own += UPGRADE
    head = PATHS[path] + b" " + version + b"\r\n" + lines + b"\r\n" + own
    head = head.replace(b"\r\n", end) if end == b"\n" else head
    answer = exchange(router, head + end)
    assert statuses(answer) == [400], answer[:300]
    assert b'"code":"malformed"' in answer and b"Connection: close" in answer
    # The same bytes are refused again: nothing of the first request was kept.
    assert statuses(exchange(router, head + end)) == [400]


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/ json",
        b"application /json",
        b"application/json, text/html",
        b"application/jsonx",
        b"text/json",
        b"application/json; charset=latin-1",
        b"application/json; charset=utf-8; charset=latin-1",
        b"application/json; charset",
        b"application/json charset=utf-8",
        b"",
    ],
)
@pytest.mark.parametrize("path", ["submit", "policy", "other"])
def test_another_content_type_is_refused_on_every_path(router: RouterProcess, path: str, content_type: bytes) -> None:
    line = {"submit": b"POST /v1/contacts", "policy": b"PUT /v1/policy", "other": b"POST /v1/policy/try"}[path]
    body = b'{"channel": "voice", "queue_id": "support"}'
    head = line + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + bearer(router)
    answer = exchange(router, head + b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (content_type, len(body), body))
    assert statuses(answer) == [415], answer[:300]


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"application/json; charset=UTF-8", b'Application/JSON;charset="utf-8"']
)
def test_a_content_type_is_read_as_rfc_9110_says(router: RouterProcess, content_type: bytes) -> None:
    body = b'{"channel": "voice", "queue_id": "support"}'
    head = b"POST /v1/contacts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + bearer(router)
    answer = exchange(router, head + b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (content_type, len(body), body))
    assert statuses(answer) == [201], answer[:300]


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Version: 13", b"Version: 8", 426),
        (b"Version: 13", b"Version: 013", 426),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13", 400),
        (b"Sec-WebSocket-Key: dG", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dG", 400),
        (b"Sec-WebSocket-Key: dG", b"Sec-WebSocket-Key: d", 400),
        (b"HTTP/1.1", b"HTTP/1.0", 426),
        (b"GET /", b"HEAD /", 426),
        (b"Upgrade: websocket", b"Upgrade: h2c", 426),
        (b"Connection: Upgrade", b"Connection: keep-alive", 426),
    ],
)
def test_a_handshake_that_is_not_of_rfc_6455_is_refused(router: RouterProcess, old: bytes, new: bytes, status: int) -> None:
    request = b"GET /v1/supervisor HTTP/1.1\r\nHost: a\r\n" + bearer(router) + UPGRADE + b"\r\n"
    with a_socket(router) as sock:
        sock.sendall(request)
        assert statuses(sock.recv(65_536)) == [101]
    assert old in request
    answer = exchange(router, request.replace(old, new, 1))
    assert statuses(answer) == [status], answer[:300]
    if status == 426:
        assert b"Upgrade: websocket\r\n" in answer
    if b"Version: 8" in new:
        assert b"Sec-WebSocket-Version: 13\r\n" in answer


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs", "/v1/contacts", "/v1/policy"])
def test_head_is_answered_like_get_without_a_body(router: RouterProcess, path: str) -> None:
    found = []
    for method in (b"GET", b"HEAD"):
        head = b"%b %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b\r\n" % (method, path.encode(), bearer(router))
        answer, _, body = exchange(router, head).partition(b"\r\n\r\n")
        kept = [line for line in answer.split(b"\r\n") if not line.startswith((b"X-Request-ID", b"Date"))]
        if method == b"GET":
            assert b"Content-Length: %d" % len(body) in kept
        if path == "/readyz":
            # Its clock_drift_ms may have one digit more in the next answer.
            kept = [re.sub(rb"^(Content-Length): \d+$", rb"\1", line) for line in kept]
        found.append((kept, bool(body)))
    assert found[0][0] == found[1][0] and b" 200 " in found[0][0][0]
    assert (found[0][1], found[1][1]) == (True, False)


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_request_ids_and_traces_are_taken_into_answers_and_the_log(router: RouterProcess) -> None:
    def ask(*lines: str, path: str = "/v1/queues") -> tuple[bytes, str]:
        seen = len(router.log)
        more = "".join(f"{line}\r\n" for line in lines).encode()
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".encode()
        answer = exchange(router, head + bearer(router) + more + b"\r\n")
        deadline_s = time.monotonic() + 5
        while not (new := [line for line in router.log[seen:] if '"action":"request"' in line]):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        return answer, new[-1]

    answer, line = ask("X-Request-ID: order-7f3a_9b", f"Traceparent: 00-{TRACE}-00f067aa0ba902b7-01")
    assert b"X-Request-ID: order-7f3a_9b\r\n" in answer and '"request_id":"order-7f3a_9b"' in line
    [header] = re.findall(rb"Traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-01\r\n", answer)
    assert header[0].decode() == TRACE and header[1] != b"00f067aa0ba902b7"
    assert f'"trace_id":"{TRACE}","span_id":"{header[1].decode()}"' in line
    # Also where the request is refused, with the id in the problem document.
    answer, _ = ask("X-Request-ID: order-7f3a_9b", path="/v1/contacts/none")
    assert statuses(answer) == [404] and b'"request_id":"order-7f3a_9b"' in answer
    # What could be personal data or harm a log is replaced.
    for given in ("4915112345678", "ada@example.com", "x" * 65, "abc1234", 'a"b\\c1234', "tel:030-1234567"):
        answer, line = ask(f"X-Request-ID: {given}")
        assert statuses(answer) == [200] and given.encode() not in answer and given not in line
    for given in (f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-00f067aa0ba902b7", f"ff-{TRACE}-00f067aa0ba902b7-01"):
        answer, line = ask(f"Traceparent: {given}")
        assert statuses(answer) == [200] and b"Traceparent" not in answer and "trace_id" not in line


def test_the_access_log_does_not_name_the_subject(router: RouterProcess) -> None:
    seen = len(router.log)
    for subject in ("canary-ada", "canary-ada", "canary-ben"):
        token = f"Authorization: Bearer {router.token('gateway', subject)}\r\n".encode()
        head = b"GET /v1/queues HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + token
        assert statuses(exchange(router, head + b"\r\n")) == [200]
        upgrade = b"GET /v1/gateway HTTP/1.1\r\nHost: a\r\n" + token + UPGRADE + b"\r\n"
        with a_socket(router) as sock:
            sock.sendall(upgrade)
            assert statuses(sock.recv(65_536)) == [101]
    deadline_s = time.monotonic() + 5
    while len(actors := re.findall(r'"actor":"(gateway:[^"]*)"', "".join(router.log[seen:]))) < 6:
        assert time.monotonic() < deadline_s, router.log[seen:]
        time.sleep(0.01)
    assert "canary" not in "".join(router.log[seen:])
    assert len(set(actors)) == 2 and len(set(actors[:4])) == 1, "one pseudonym for each subject"


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
    assert time.monotonic() - began_s < 25, "keepalive_s is 30 by default"


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
