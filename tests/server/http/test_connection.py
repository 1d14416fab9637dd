"""HTTP connection on a fake transport: any cut of the bytes gives the same requests, and a cached head the same as a parsed one."""

import asyncio
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.server.api.admission import AdmissionControl
from router.server.api.problems import ProblemError
from router.server.auth.credentials import Credential, Role
from router.server.http.application import HandlerResult, HttpApplication, HttpRequest
from router.server.http.connection import HttpConnection
from router.server.http.open_connections import OpenConnections
from router.server.http.responses import HttpResponse
from router.settings import ServerSettings, settings_from
from router.telemetry.process_metrics import ProcessMetrics
from tests.support.virtual_time import in_virtual_time

CREDENTIAL = Credential(subject="web", role=Role.GATEWAY, workspace="default", issuer="router", expires_at_s=2**40)
PAUSE_S = 0.05
LIMITS = ServerSettings(body_bytes_max=1024, header_bytes_max=1024)


class Seen(NamedTuple):
    """A request as its handler got it."""

    method: str
    target: bytes
    path_params: dict[str, str]
    headers: dict[str, str]
    body: bytes


class FakeTransport(asyncio.Transport):
    """Transport that records what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.ended = False
        self.protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Recorder:
    """Handler that records the requests it gets and responds at once, or later by ``release``."""

    operation = "record"

    def __init__(self, application: HttpApplication, *, is_slow: bool = False) -> None:
        self.application = application
        self.is_slow = is_slow
        self.refuses_submits = False
        self.check_answer: bytes | None = None
        self.upgraded: Any = None
        self.seen: list[Seen] = []
        self.waiting: list[HttpRequest] = []

    def check(self, request: HttpRequest) -> bytes | None:
        request.credential = CREDENTIAL
        if self.refuses_submits:
            raise ProblemError("busy")
        return self.check_answer

    def handle(self, request: HttpRequest) -> HandlerResult:
        headers, params = dict(request.headers), dict(request.path_params)
        assert request.credential is CREDENTIAL
        self.seen.append(Seen(request.method, request.target, params, headers, request.body))
        if self.upgraded is not None:
            cast(HttpConnection, request.connection).detach(self.upgraded)
            return None
        if self.is_slow:
            self.waiting.append(request)
            return None
        return HttpResponse(body=b"{}")

    def release(self) -> None:
        self.application.respond(self.waiting.pop(0), HttpResponse(body=b"{}"))


class Pending:
    """A submit in execution, which the connection abandons."""

    def abandon(self) -> None:
        pass


class Bench:
    """An application with one handler, and one connection to it at a time."""

    def __init__(self, *, is_slow: bool = False, process: ProcessMetrics | None = None) -> None:
        self.application = HttpApplication(process=process)
        self.recorder = Recorder(self.application, is_slow=is_slow)
        for method in ("GET", "POST"):
            self.application.router.add(method, "/v1/contacts", self.recorder)
            self.application.router.add(method, "/v1/contacts/{contact_id}/end", self.recorder)
        self.connections = OpenConnections(1_000)
        self.connect()

    def connect(self) -> None:
        self.transport = FakeTransport()
        self.connection = HttpConnection(
            self.application, self.connections, LIMITS, refusal_pause_s=PAUSE_S, loop=asyncio.get_running_loop()
        )
        self.connection.connection_made(self.transport)

    async def receive(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)
        for _ in range(40):
            await asyncio.sleep(0)

    def taken(self) -> list[Seen]:
        seen, self.recorder.seen = self.recorder.seen, []
        return seen

    @property
    def statuses(self) -> list[int]:
        parts = self.transport.written.split(b"HTTP/1.1 ")[1:]
        return [int(part[:3]) for part in parts]


def a_submit(body: bytes = b"{}", *more: bytes) -> bytes:
    lines = (b"POST /v1/contacts HTTP/1.1", b"Host: a", b"content-TYPE: application/json", b"Content-Length: %d" % len(body), *more)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _chunked(body: bytes) -> bytes:
    head = b"POST /v1/contacts HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return head + chunk + b"0\r\n\r\n"


_BODIES = st.binary(max_size=40)
_HEADERS = st.lists(
    st.sampled_from([b"X-A: b", b"X-C:  b \t", b"X-B:", b"Idempotency-Key: k", b"Accept: */*"]), max_size=2, unique=True
)
_REQUESTS = st.one_of(
    st.builds(lambda body, headers: a_submit(body, *headers), _BODIES, _HEADERS),
    st.builds(_chunked, _BODIES),
    st.just(b"GET /v1/contacts HTTP/1.1\r\nHost: a\r\n\r\n"),
    st.just(a_submit(b"{}", b"Connection: Upgrade", b"Upgrade: h2c")),
    st.sampled_from([b"/v1/contacts/c1/end", b"/v1/contacts/c%32/end", b"/v1/contacts?x=1"]).map(
        lambda target: a_submit().replace(b"/v1/contacts", target)
    ),
)


@given(requests=st.lists(_REQUESTS, min_size=1, max_size=6), cuts=st.lists(st.integers(1, 60), min_size=1, max_size=8))
async def test_any_cut_and_the_cache_give_the_same_requests(requests: list[bytes], cuts: list[int]) -> None:
    expected = []
    for request in requests:
        fresh = Bench()
        await fresh.receive(request)
        expected += fresh.taken()
    assert len(expected) == len(requests)
    stream, start = b"".join(requests), 0
    pieces: list[bytes] = []
    while start < len(stream):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(stream[start : start + size])
        start += size
    bench = Bench()
    # The second time, heads come from the cache where they can.
    for data in ([stream], requests, pieces, requests, [stream]):
        bench.connect()
        await bench.receive(*data)
        assert bench.taken() == expected
        assert bench.statuses == [200] * len(requests)


async def test_a_repeated_head_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.receive(a_submit(b"[1]"))
    monkeypatch.setattr(HttpConnection, "on_message_begin", None)
    await bench.receive(a_submit(b"[2]"))
    assert [seen.body for seen in bench.taken()] == [b"[1]", b"[2]"]


async def test_pipelined_requests_wait_and_reading_is_paused() -> None:
    bench = Bench(is_slow=True)
    await bench.receive(a_submit() + a_submit() + a_submit())
    assert len(bench.recorder.seen) == 1
    assert not bench.transport.reading
    for count in (2, 3):
        bench.recorder.release()
        await bench.receive()
        assert len(bench.recorder.seen) == count
    bench.recorder.release()
    await bench.receive()
    assert bench.statuses == [200, 200, 200]
    assert bench.transport.reading


async def test_malformed_input_behind_a_request_is_answered_after_it() -> None:
    bench = Bench(is_slow=True)
    await bench.receive(a_submit() + b"nonsense\r\n\r\n")
    assert bench.statuses == []
    bench.recorder.release()
    await bench.receive()
    assert bench.statuses == [200, 400]


@pytest.mark.parametrize(
    "request_bytes",
    [
        a_submit(b"{}", b"Content-Length: 2"),
        a_submit(b"{}", b"Transfer-Encoding: chunked"),
        a_submit(b"{}", b"X-A: a\nContent-Length: 1"),
        a_submit(b"{}", b"X A: b"),
        a_submit(b"{}", b" folded: line"),
        a_submit(b"{}", b"Host: b"),
        a_submit(b"{}", b"X-A: " + b"a" * 2_000),
        a_submit(b"{}", *(b"X-%d: a" % number for number in range(200))),
        a_submit(b"x" * 2_000),
        b"GET /" + b"a" * 2_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_ambiguous_or_oversized_requests_are_refused(request_bytes: bytes) -> None:
    bench = Bench()
    await bench.receive(request_bytes)
    assert bench.taken() == []
    assert bench.statuses in ([400], [413])


async def test_a_lost_connection_releases_its_slot() -> None:
    bench = Bench(is_slow=True)
    admission = AdmissionControl(settings_from({"server": {"in_flight_max": 1}}))
    await bench.receive(a_submit())
    request = bench.connection._active
    assert request is not None
    usage = request.usage = admission.usage(CREDENTIAL)
    admission.begin(usage)
    request.admission, request.pending = admission, Pending()
    bench.connection.connection_lost(None)
    assert (admission.in_flight, usage.in_flight) == (0, 0)
    assert bench.connections.count == 0


@pytest.mark.parametrize("size", [1_024, 1_025])
async def test_the_limit_of_a_body_holds_behind_another_request_too(size: int) -> None:
    bench = Bench(is_slow=True)
    await bench.receive(a_submit() + a_submit(b"x" * size))
    bench.recorder.release()
    await bench.receive()
    if size == 1_024:
        bench.recorder.release()
        await bench.receive()
    assert bench.statuses == [200, 200 if size == 1_024 else 413]
    assert len(bench.taken()) == (2 if size == 1_024 else 1)


@pytest.mark.parametrize("count", [128, 129])
async def test_a_request_has_at_most_128_headers(count: int) -> None:
    bench = Bench()
    # Three are always there.
    await bench.receive(a_submit(b"{}", *(b"X-%d: a" % number for number in range(count - 3))))
    assert bench.statuses == [200 if count <= 128 else 400]


@pytest.mark.parametrize("size", [1_024, 1_025])
async def test_name_and_value_of_a_header_share_a_limit(size: int) -> None:
    bench = Bench()
    await bench.receive(a_submit(b"{}", b"X-Name: " + b"a" * (size - len(b"X-Name"))))
    assert bench.statuses == [200 if size == 1_024 else 400]


async def test_a_malformed_body_is_answered_and_ends_the_connection() -> None:
    bench = Bench()
    await bench.receive(b"POST /v1/contacts HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    await bench.receive(b"zz\r\n", a_submit())
    assert bench.statuses == [400]
    assert b"connection: close" in bench.transport.written.lower()
    assert bench.taken() == []


@pytest.mark.parametrize(
    ("data", "stage"),
    [
        (b"", None),
        (a_submit(), None),
        (b"POST /v1/contacts HTTP/1.1\r\nHost:", "head"),
        (a_submit(b"{}")[:-1], "body"),
        (b"nonsense\r\n\r\n", None),
    ],
)
async def test_a_client_that_leaves_too_early_is_counted_by_stage(data: bytes, stage: str | None) -> None:
    process = ProcessMetrics()
    bench = Bench(process=process)
    if data:
        await bench.receive(data)
    bench.connection.connection_lost(None)
    found = {name: process.disconnects.labels(name)._value.get() for name in ("head", "body", "response")}
    assert found == {name: float(name == stage) for name in found}


async def test_a_client_that_leaves_before_its_response_is_counted() -> None:
    process = ProcessMetrics()
    bench = Bench(is_slow=True, process=process)
    await bench.receive(a_submit())
    bench.connection.connection_lost(None)
    assert process.disconnects.labels("response")._value.get() == 1


@in_virtual_time
async def test_after_a_refused_submit_only_submits_wait() -> None:
    bench = Bench()
    bench.recorder.refuses_submits = True
    await bench.receive(a_submit())
    assert bench.statuses == [503]
    bench.recorder.refuses_submits = False
    await bench.receive(b"GET /v1/contacts HTTP/1.1\r\nHost: a\r\n\r\n")
    assert bench.statuses == [503, 200]
    await bench.receive(a_submit())
    assert bench.statuses == [503, 200], "it waits"
    await asyncio.sleep(PAUSE_S + 0.02)
    assert bench.statuses == [503, 200, 200]


async def test_a_refusal_in_the_response_itself_is_sent_as_it_is() -> None:
    bench = Bench()
    bench.recorder.check_answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    await bench.receive(a_submit(), a_submit())
    assert bench.statuses[0] == 503
    assert bench.taken() == []


class Upgraded:
    """A protocol that takes the connection over."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.received.append(data)

    def abort(self) -> None:
        pass


async def test_bytes_behind_an_upgrade_go_to_the_new_protocol() -> None:
    bench = Bench()
    bench.recorder.upgraded = Upgraded()
    upgrade = b"GET /v1/contacts HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    await bench.receive(upgrade + b"frame")
    assert bench.recorder.upgraded.received == [b"frame"]
    assert bench.transport.protocol is bench.recorder.upgraded


async def test_bytes_that_waited_with_an_upgrade_go_to_the_new_protocol() -> None:
    bench = Bench(is_slow=True)
    upgrade = b"GET /v1/contacts HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    await bench.receive(a_submit() + upgrade, b"frame")
    bench.recorder.upgraded = Upgraded()
    bench.recorder.release()
    await bench.receive()
    assert bench.statuses == [200]
    assert b"".join(bench.recorder.upgraded.received) == b"frame"
