"""OpenTelemetry spans of requests: names, attributes, parents and ids, with the SDK's exporter in memory."""

import json
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from router.app.composition import App
from router.model.errors import SettingsInvalid
from router.server.http.application import HttpApplication, HttpRequest
from router.server.http.responses import HttpResponse
from router.settings import Settings, TelemetrySettings
from router.telemetry.process_metrics import ProcessMetrics
from router.telemetry.spans import RequestSpans, open_request_spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Connection:
    """Connection that records responses."""

    peer = "192.0.2.1"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_response(self, request: HttpRequest, data: bytes, *, closes: bool) -> None:
        self.sent.append(data)


class Handler:
    """Handler with a name; ``fails`` raises an unexpected error."""

    def __init__(self, *, fails: bool = False) -> None:
        self.operation = "get_contact"
        self._fails = fails

    def check(self, request: HttpRequest) -> bytes | None:
        return None

    def handle(self, request: HttpRequest) -> HttpResponse:
        if self._fails:
            raise RuntimeError("a defect")
        return HttpResponse(status=200)


def answered(*, method: str = "GET", fails: bool = False, **headers: str) -> tuple[ReadableSpan | None, str]:
    """Return the span of one request, if there is one, and the response."""
    exporter = InMemorySpanExporter()
    spans = RequestSpans(SimpleSpanProcessor(exporter))
    application = HttpApplication(process=ProcessMetrics(), spans=spans)
    application.router.add("GET", "/v1/contacts/{contact_id}", Handler(fails=fails))
    connection = Connection()
    request = HttpRequest(connection)
    request.method, request.target = method, b"/v1/contacts/canary-id?name=canary-query"
    request.headers = {"host": "canary-host", "authorization": "Bearer canary-token", **headers}
    application.check(request)
    if not request.is_answered:
        application.handle(request)
    found = exporter.get_finished_spans()
    assert len(found) <= 1
    return (found[0] if found else None), connection.sent[0].decode()


def document(span: ReadableSpan | None) -> dict[str, Any]:
    assert span is not None
    found: dict[str, Any] = json.loads(span.to_json())
    return found


def test_a_span_has_the_operation_and_nothing_of_the_client() -> None:
    span, _ = answered()
    assert span is not None and span.name == "GET get_contact" and span.kind is SpanKind.SERVER
    assert dict(span.attributes or {}) == {"http.request.method": "GET", "http.response.status_code": 200}
    assert span.parent is None and span.status.status_code is StatusCode.UNSET
    assert span.start_time is not None and span.end_time is not None and 0 < span.end_time - span.start_time < 10**9
    assert "canary" not in span.to_json()
    assert document(span)["resource"]["attributes"]["service.name"] == "contact-router"


def test_a_span_has_the_parent_of_traceparent_and_the_id_of_the_response() -> None:
    span, answer = answered(traceparent=f"00-{TRACE}-{PARENT}-01")
    context, parent_id = document(span)["context"], document(span)["parent_id"]
    assert context["trace_id"] == f"0x{TRACE}" and parent_id == f"0x{PARENT}"
    assert f"Traceparent: 00-{TRACE}-{context['span_id'][2:]}-01\r\n" in answer
    # The id is used once.
    other, _ = answered()
    assert document(other)["context"]["span_id"] != context["span_id"] and document(other)["context"]["trace_id"] != f"0x{TRACE}"


def test_a_trace_that_the_client_does_not_sample_has_no_span() -> None:
    span, answer = answered(traceparent=f"00-{TRACE}-{PARENT}-00")
    assert span is None and f"Traceparent: 00-{TRACE}-" in answer


def test_invalid_traces_are_ignored_and_unknown_methods_are_not_repeated() -> None:
    span, _ = answered(traceparent="00-canary")
    assert span is not None and span.parent is None
    span, _ = answered(method="CANARY")
    assert span is not None and span.name == "HTTP" and "CANARY" not in span.to_json()
    assert (span.attributes or {})["http.request.method"] == "_OTHER"


def test_a_defect_is_an_error_and_a_refusal_is_none() -> None:
    span, _ = answered(fails=True)
    assert span is not None and span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "internal" and "a defect" not in span.to_json()
    span, _ = answered(method="DELETE")
    assert span is not None and span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["http.response.status_code"] == 405


def test_standard_variables_name_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "router-eu")
    span, _ = answered()
    assert document(span)["resource"]["attributes"]["service.name"] == "router-eu"


def test_spans_are_off_by_default_and_refused_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_request_spans(TelemetrySettings()) is None
    for missing in ("opentelemetry.sdk.trace.export", "opentelemetry.exporter.otlp.proto.http.trace_exporter"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, missing, None)
            with pytest.raises(SettingsInvalid, match=r"telemetry\.spans: .*pip install 'contact-router\[otel\]'"):
                App(Settings(telemetry=TelemetrySettings(spans=True)))


def test_variables_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "20")
    with pytest.raises(SettingsInvalid, match=r"telemetry\.spans: a variable OTEL_\* is invalid: "):
        open_request_spans(TelemetrySettings(spans=True))
