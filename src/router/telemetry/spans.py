"""OpenTelemetry spans of HTTP requests, if ``telemetry.spans`` is set and the extra ``otel`` is installed.

A span is made when its request is recorded, from the start and the duration that are known then: so nothing is added to a request
while it runs, and nothing at all without the setting. It has the parent that ``traceparent`` names and the span id that the
response and the access log have. It never has a path, a query, a subject or an address.

Sampling, batches, limits and the address of the collector are configured by the standard variables ``OTEL_*``. A thread of the SDK
sends the spans; if the collector does not answer, the oldest ones are dropped and requests are not delayed. The SDK is imported
only if spans are on, as it is an optional package and takes time to load.
"""

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Final, cast

from router import __version__
from router.model.errors import SettingsInvalid
from router.settings import TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator

_OTHER_METHOD: Final = "_OTHER"
_SERVER_ERROR: Final = 500
# How long an exit waits for the last spans to be sent.
_CLOSE_S: Final = 2.0
_MISSING_TEXT: Final = (
    "telemetry.spans: the OpenTelemetry packages are not installed: run `pip install 'contact-router[otel]'`, or set it to false"
)


class SpanIds:
    """Ids for the SDK: of the next span the one that the response has, where there is one."""

    def __init__(self, random_ids: "IdGenerator") -> None:
        self._random_ids = random_ids
        self.next_span_id: int | None = None

    def generate_span_id(self) -> int:
        """Return the id that was set for this span, or a random one."""
        return self._random_ids.generate_span_id() if self.next_span_id is None else self.next_span_id

    def generate_trace_id(self) -> int:
        """Return a random id of a trace that begins here."""
        return self._random_ids.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Return whether the ids of traces are random, as samplers by ratio need."""
        return self._random_ids.is_trace_id_random()


class RequestSpans:
    """Makes a span of each recorded request. Used on the event loop only."""

    def __init__(self, processor: "SpanProcessor") -> None:
        """``processor``: gets the spans. Raises ImportError without the packages, ValueError for an invalid ``OTEL_*`` variable."""
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        self._api = trace
        self._root = Context()
        self._ids = SpanIds(RandomIdGenerator())
        own = Resource({"service.name": "contact-router", "service.version": __version__})
        self._provider = TracerProvider(
            resource=Resource.create().merge(own).merge(OTELResourceDetector().detect()),
            id_generator=cast("IdGenerator", self._ids),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("router.server", __version__)

    def record(
        self,
        method: str,
        operation: str,
        status: int,
        duration_ns: int,
        *,
        problem_code: str = "",
        trace: tuple[str, str, str, str] | None = None,
    ) -> None:
        """Make the span of a request that ends now.

        ``method``: empty if it is not one of HTTP's. ``trace``: trace id, parent span id, span id and flags, in hexadecimal;
        None: the request begins a trace.
        """
        api, end_ns = self._api, time.time_ns()
        attributes: dict[str, str | int] = {"http.request.method": method or _OTHER_METHOD, "http.response.status_code": status}
        if status >= _SERVER_ERROR:
            attributes["error.type"] = problem_code or str(status)
        context = self._root
        if trace is not None:
            context, self._ids.next_span_id = self._parent(trace), int(trace[2], 16)
        span = self._tracer.start_span(
            f"{method or 'HTTP'} {operation}".rstrip(), context, api.SpanKind.SERVER, attributes, start_time=end_ns - duration_ns
        )
        self._ids.next_span_id = None
        if status >= _SERVER_ERROR:
            span.set_status(api.StatusCode.ERROR)
        span.end(end_ns)

    def _parent(self, trace: tuple[str, str, str, str]) -> "Context":
        trace_id, parent_span_id, _, flags = trace
        api, span_flags = self._api, self._api.TraceFlags(int(flags, 16))
        parent = api.SpanContext(int(trace_id, 16), int(parent_span_id, 16), is_remote=True, trace_flags=span_flags)
        return cast("Context", api.set_span_in_context(api.NonRecordingSpan(parent), self._root))

    async def close(self) -> None:
        """Send the last spans; those that a collector has not taken after two seconds are lost."""
        # A daemon, so that a collector that does not answer cannot keep the process from ending.
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _CLOSE_S)


def open_request_spans(settings: TelemetrySettings) -> RequestSpans | None:
    """Return the spans with an OTLP exporter, or None if they are off. Raises SettingsInvalid."""
    if not settings.spans:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return RequestSpans(BatchSpanProcessor(OTLPSpanExporter()))
    except ImportError:
        raise SettingsInvalid(_MISSING_TEXT) from None
    except ValueError as error:
        raise SettingsInvalid(f"telemetry.spans: a variable OTEL_* is invalid: {error}") from None
