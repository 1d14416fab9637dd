"""OpenTelemetry spans from outside: what a collector receives from a running router."""

import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(ThreadingHTTPServer):
    """A collector that accepts OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.received: list[bytes] = []

    def spans(self) -> list[Span]:
        batches = [ExportTraceServiceRequest.FromString(body) for body in self.received]
        return [span for batch in batches for part in batch.resource_spans for scope in part.scope_spans for span in scope.spans]


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector) and self.path == "/v1/traces"
        self.server.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_collector_gets_the_spans_also_the_last_ones_before_a_stop(make_router: MakeRouter, collector: Collector) -> None:
    router = make_router(telemetry__spans="true")
    # A delay beyond the test: what arrives is sent by the stop.
    router.start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}", OTEL_BSP_SCHEDULE_DELAY="600000")
    async with Api(router, "admin", "canary-subject") as admin:
        customer = {"identities": [{"type": "app_user", "value": "canary-user", "assurance": "verified"}]}
        fields = {"reference": "canary-reference", "customer": customer, "context": {"summary": "canary-summary"}}
        contact = (await admin.submit("canary-key", queue_id="support", **fields))["contact_id"]
        traced = await admin.call("GET", f"/v1/contacts/{contact}", headers={"Traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        await admin.call("GET", "/v1/contacts/canary-contact")
    router.stop()
    spans = {(span.name, value_of(span, "http.response.status_code")): span for span in collector.spans()}
    assert {("POST submit_contact", 201), ("GET get_contact", 200), ("GET get_contact", 404)} <= spans.keys()
    span = spans["GET get_contact", 200]
    assert span.trace_id.hex() == TRACE and span.parent_span_id.hex() == "00f067aa0ba902b7"
    assert traced.headers["Traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert abs(span.start_time_unix_nano / 1e9 - time.time()) < 60 and span.end_time_unix_nano > span.start_time_unix_nano
    everything = b"".join(collector.received)
    assert b"canary" not in everything and contact.encode() not in everything and not re.search(rb"127\.0\.0\.1", everything)


async def test_a_collector_that_is_down_delays_neither_requests_nor_the_stop(make_router: MakeRouter) -> None:
    router = make_router(telemetry__spans="true")
    router.start(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY="50")
    async with Api(router) as admin:
        for _ in range(5):
            began = time.monotonic()
            await admin.submit(queue_id="support")
            assert time.monotonic() - began < 9, "an export times out after ten seconds"
    began = time.monotonic()
    router.stop()
    assert time.monotonic() - began < 30, "an exporter tries for more than a minute"


def value_of(span: Span, name: str) -> int:
    [found] = [one.value.int_value for one in span.attributes if one.key == name]
    return int(found)
