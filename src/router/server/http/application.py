"""HTTP application: routing, the checks common to all requests, error responses, counting and the access log.

``HttpApplication`` is what a connection calls: ``check`` when the head of a request has arrived, ``handle`` when its body is
complete. Every exception becomes a problem document here. Neither the response nor the log repeats client input: the log has
the operation name instead of the URL, and only ids that the router created.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from urllib.parse import unquote

import msgspec
import structlog

from router.cluster.status import LeaderUrl
from router.policy.personal_data import is_personal_value
from router.server.api.admission import AdmissionControl, CredentialUsage
from router.server.api.problems import ProblemError
from router.server.api.request import new_request_id
from router.server.auth.credentials import Credential
from router.server.http.responses import HttpResponse, ResponseWriter, problem_response
from router.settings import TelemetrySettings
from router.telemetry.process_metrics import ProcessMetrics
from router.telemetry.spans import RequestSpans

_OVERRIDES: Final = ("x-http-method-override", "x-method-override", "x-http-method")
_CHECKED: Final = frozenset({*_OVERRIDES, "expect", "access-control-request-method"})
_REFUSED_FOR_LOAD: Final = (429, 503)
_NOT_HTTP: Final = "the request line, a header or the framing of the body is not valid HTTP/1.1"
CONNECTIONS_FULL_DETAIL: Final = (
    "too many connections: `server.connections_max`, or `server.address_connections_max` without a valid credential"
)
LEADER_HEADER: Final = "Router-Leader"
_HEAD_END: Final = b"\r\n\r\n"
_HEADS_MAX: Final = 4096
_UNCACHED: Final = frozenset({*_CHECKED, "transfer-encoding", "idempotency-key", "origin", "x-request-id", "traceparent"})
METHODS: Final = {name.encode(): name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")}
# Spellings that most clients use, so that the name need not be decoded.
COMMON_NAMES: Final = {
    spelling.encode(): name
    for name in (
        "host",
        "authorization",
        "content-type",
        "content-length",
        "idempotency-key",
        "connection",
        "user-agent",
        "accept",
        "accept-encoding",
    )
    for spelling in (name, name.title())
}
_CORS_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
_CORS_HEADERS: Final = ", ".join(
    ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", LEADER_HEADER, "Traceparent", "X-Request-ID")
)
_CORS_EXPOSED: Final = "ETag, Idempotency-Replayed, Location, Retry-After, Router-Leader, X-Request-ID"
_CORS_MAX_AGE_S: Final = "600"
# A repeated header of these is ambiguous: an intermediary may have used the other value.
_SINGLE: Final = frozenset(
    {
        *("host", "content-type", "content-length", "content-encoding", "transfer-encoding", "expect"),
        *("authorization", "idempotency-key", "if-match", "if-none-match", "origin", "upgrade"),
        *("sec-websocket-key", "sec-websocket-version"),
    }
)
_is_host: Final = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*").fullmatch
# An id of the client is taken over if it is as harmless as one of the router's own.
_is_request_id: Final = re.compile(r"[A-Za-z0-9_-]{8,64}").fullmatch
# W3C Trace Context, version 00: the trace's id, the caller's span id and the flags.
_traceparent: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})").fullmatch

_log: Final = structlog.get_logger("router.server.access")


class HttpTransport(Protocol):
    """The connection of a request, as the application uses it."""

    peer: str
    """IP address of the other end; empty: not known."""

    def send_response(self, request: "HttpRequest", data: bytes, *, closes: bool) -> None:
        """Send the response to the request in progress. Must not raise."""


class HttpRequest:
    """A request: head, body as far as received, and what the handler attaches to it."""

    # Defaults are class attributes: most requests change few of them, and creating a request is on the hot path.
    method = ""
    version = "1.1"
    query = ""
    body = b""
    repeated: frozenset[str] | None = None
    """Names of repeated headers."""
    path_params: Mapping[str, str] = MappingProxyType({})
    keep_alive = True
    is_upgrade = False
    is_complete = False
    """Whether the body has been received."""
    is_answered = False
    expects_continue = False
    delays_next_submit = False
    """Whether it was refused under overload, so that the next submit of the connection is delayed."""
    pause_s = 0.0
    """Time for which no request of the connection is handled after the response, in seconds."""
    handler: "RequestHandler | None" = None
    credential: Credential | None = None
    actor = ""
    """Pseudonym of the client in the log, where ``credential`` is not set yet."""
    usage: CredentialUsage | None = None
    """What its credential uses; set when the credential is verified."""
    admission: AdmissionControl | None = None
    """Set while the request counts as one in execution."""
    _trace: "TraceContext | None" = None
    pending: Any = None
    """What the handler waits for; it is notified when the connection is lost."""

    def __init__(self, connection: HttpTransport) -> None:
        self.connection = connection
        self.target = b""
        self.headers: dict[str, str] = {}
        """By lower-case name; the values of a repeated header are joined with a comma."""
        self.started_ns = time.perf_counter_ns()

    def header(self, name: str) -> str | None:
        """Return the value of a header; the name is case-insensitive."""
        return self.headers.get(name.lower())

    def id(self) -> str:
        """Return the id for the answer and the log: that of the header ``X-Request-ID`` if it is acceptable, or a new one."""
        given = self.headers.get("x-request-id")
        if given is not None and _is_request_id(given) and not is_personal_value(given):
            return given
        return new_request_id()

    def trace(self) -> "TraceContext | None":
        """Return the trace that the client has named in ``traceparent``, with a span for this request; None: no valid one."""
        if self._trace is None and (match := _traceparent(self.headers.get("traceparent", ""))) is not None:
            self._trace = TraceContext(match[1], match[2], secrets.token_hex(8), match[3])
        return self._trace

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call this when the connection is lost before the answer."""
        self.pending = _LossCallback(callback)

    def release_slot(self) -> None:
        """Count the request as executed, if it was counted. Idempotent."""
        admission, self.admission = self.admission, None
        if admission is not None and self.usage is not None:
            admission.end(self.usage)


class _LossCallback:
    """What a handler waits for, as a callback for the loss of the connection."""

    __slots__ = ("abandon",)

    def __init__(self, abandon: Callable[[], None]) -> None:
        self.abandon = abandon


class TraceContext(NamedTuple):
    """Position of a request in a distributed trace (W3C Trace Context)."""

    trace_id: str
    parent_span_id: str
    span_id: str
    flags: str

    @property
    def header(self) -> str:
        """Value of ``traceparent`` that names this request."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


class _KnownHead(NamedTuple):
    """Parse result of a head."""

    method: str
    target: bytes
    headers: dict[str, str]
    handler: "RequestHandler"
    path_params: Mapping[str, str]
    credential: Credential
    body_length: int


class HeadCache:
    """Parse results of request heads, by the SHA-256 of their bytes.

    The heads of a client's requests are often equal to the byte: a gateway repeats the same headers with every submit. Parsing
    them again costs about as much as routing the contact. The cache holds only what the parser itself has produced from
    exactly these bytes, for requests whose framing is a ``Content-Length``, so a cached head cannot be read differently from
    a parsed one. Keyed by hash, so that no token stays in memory longer than its request. Heads that failed a check and heads
    with an idempotency key, which differ every time, are not cached.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, _KnownHead] = {}

    def request(self, connection: HttpTransport, data: bytes) -> tuple[HttpRequest, int] | None:
        """Return the complete request at the start of ``data`` with its size, if its head is cached."""
        end = data.find(_HEAD_END) + 4
        known = self._heads.get(sha256(data[:end]).digest()) if end > 3 else None
        if known is None or len(data) < end + known.body_length:
            return None
        request = HttpRequest(connection)
        request.method, request.target, request.headers = known.method, known.target, known.headers
        request.handler, request.path_params = known.handler, known.path_params
        request.credential = known.credential
        size = end + known.body_length
        request.body = data[end:size]
        request.is_complete = True
        return request, size

    def add(self, request: HttpRequest, data: bytes) -> None:
        """Add the head of a request that passed its checks; ``data`` starts with it."""
        headers, credential, handler = request.headers, request.credential, request.handler
        head = data[: data.find(_HEAD_END) + 4]
        if (
            credential is None
            or handler is None
            or not head
            or head.count(b"\n") != head.count(b"\r\n")
            or "content-length" not in headers
            or not _UNCACHED.isdisjoint(headers)
            or request.repeated is not None
            or request.is_upgrade
            or not request.keep_alive
            or request.query
        ):
            return
        if len(self._heads) >= _HEADS_MAX:
            self._heads.clear()
        self._heads[sha256(head).digest()] = _KnownHead(
            request.method, request.target, headers, handler, request.path_params, credential, int(headers["content-length"])
        )


HandlerResult: TypeAlias = HttpResponse | Coroutine[Any, Any, HttpResponse | None] | None


class RequestHandler(Protocol):
    """Handler of one route."""

    @property
    def operation(self) -> str:
        """Name of the operation in metrics and log."""

    def check(self, request: HttpRequest) -> bytes | None:
        """Check the head; raises ProblemError. Encoded bytes are sent as the response, already counted."""

    def handle(self, request: HttpRequest) -> HandlerResult:
        """Handle a complete request; raises ProblemError. None, at once or later: the handler sends the response itself."""


class _Node:
    """Node of the routing tree: children by path segment, and handlers by method."""

    __slots__ = ("children", "handlers", "parameter")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: tuple[str, _Node] | None = None
        self.handlers: dict[str, RequestHandler] = {}


class HttpRouter:
    """Routes by method and path template. A literal segment takes precedence over a parameter."""

    def __init__(self) -> None:
        self._root = _Node()
        self.static: dict[tuple[str, bytes], RequestHandler] = {}
        """Handlers of paths without parameters, by method and request target."""

    def add(self, method: str, path: str, handler: RequestHandler) -> None:
        """Add a route; ``{name}`` in the path matches one segment."""
        node = self._root
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                if node.parameter is None:
                    node.parameter = (segment[1:-1], _Node())
                node = node.parameter[1]
            else:
                node = node.children.setdefault(segment, _Node())
        node.handlers[method] = handler
        if "{" not in path:
            self.static[method, path.encode()] = handler

    def find(self, request: HttpRequest) -> RequestHandler:
        """Return the handler of a request and set its query and path parameters. Raises ProblemError."""
        target = request.target.decode("latin-1")
        if not target.startswith("/"):
            scheme, separator, rest = target.partition("://")
            target = "/" + rest.partition("/")[2] if separator and scheme else target
        path, _, request.query = target.partition("#")[0].partition("?")
        node: _Node | None = self._root
        is_encoded = "%" in path
        params: dict[str, str] = {}
        for segment in path.split("/")[1:]:
            assert node is not None
            text = unquote(segment) if is_encoded else segment
            child = node.children.get(text)
            if child is None and node.parameter is not None and text:
                name, child = node.parameter
                params[name] = text
            if child is None:
                raise ProblemError("not_found")
            node = child
        if node is None or not node.handlers or not path.startswith("/"):
            raise ProblemError("not_found")
        handlers = node.handlers
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ",".join(sorted({*handlers, "HEAD"} if "GET" in handlers else handlers))
            raise ProblemError("method_not_allowed", headers={"Allow": allowed})
        request.path_params = params
        return handler


class HttpApplication:
    """Dispatch of requests to handlers, with common checks, error responses and records."""

    def __init__(
        self,
        *,
        allowed_origins: Iterable[str] = (),
        access_log: bool = False,
        log_subjects: bool = False,
        process: ProcessMetrics | None = None,
        spans: RequestSpans | None = None,
        leader_url: LeaderUrl | None = None,
    ) -> None:
        """``process``: metrics of the process; None: requests are neither counted nor logged. ``spans``: see its module.

        ``leader_url``: returns what the router that leads a workspace advertises; None: the router is alone.
        """
        self.router = HttpRouter()
        self.heads = HeadCache()
        self._origins = frozenset(allowed_origins)
        self._access_log = access_log
        self._log_subjects = log_subjects
        self._process = process
        self._spans = spans
        self._leader_url = leader_url
        self.writer = ResponseWriter(vary_by_origin=bool(self._origins))
        self._tasks: set[asyncio.Task[None]] = set()

    def apply(self, settings: TelemetrySettings) -> None:
        """Log requests as these settings say from now on."""
        self._access_log, self._log_subjects = settings.access_log, settings.log_subjects

    # --- a request -------------------------------------------------------------------------------
    def check(self, request: HttpRequest) -> None:
        """Check the head of a request: send an error response, or leave it to be handled when complete."""
        try:
            headers = request.headers
            if (
                request.repeated is not None
                or request.version != "1.1"
                or not _CHECKED.isdisjoint(headers)
                or not _is_host(headers.get("host", "\0"))
            ):
                preflight = self._check_headers(request)
                if preflight is not None:
                    self.respond(request, preflight)
                    return
            handler = request.handler
            if handler is None:
                router, key = self.router, (request.method, request.target)
                handler = request.handler = router.static.get(key) or router.find(request)
            encoded = handler.check(request)
        except ProblemError as raised:
            request.delays_next_submit = raised.document.status in _REFUSED_FOR_LOAD
            self.fail(request, raised)
        except Exception:
            self.fail_unexpectedly(request)
        else:
            if encoded is not None:
                self._send(request, encoded, closes=not request.keep_alive)

    def handle(self, request: HttpRequest) -> None:
        """Handle a complete request."""
        handler = request.handler
        assert handler is not None
        try:
            result = handler.handle(request)
        except ProblemError as raised:
            self.fail(request, raised)
        except Exception:
            self.fail_unexpectedly(request)
        else:
            if isinstance(result, HttpResponse):
                self.respond(request, result)
            elif result is not None:
                task = asyncio.get_running_loop().create_task(self._await(request, result))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _await(self, request: HttpRequest, result: Coroutine[Any, Any, HttpResponse | None]) -> None:
        try:
            response = await result
        except ProblemError as raised:
            self.fail(request, raised)
        except Exception:
            self.fail_unexpectedly(request)
        else:
            if response is not None:
                self.respond(request, response)

    # --- responses -------------------------------------------------------------------------------
    def respond(self, request: HttpRequest, response: HttpResponse) -> None:
        """Record a response and send it."""
        self.respond_as(request, response, request.id())

    def respond_as(self, request: HttpRequest, response: HttpResponse, request_id: str) -> None:
        """Record a response under a request id and send it."""
        if request.is_answered:
            request.release_slot()
            return
        origin = request.headers.get("origin")
        if origin is not None and origin in self._origins:
            # The exact origin, never `*`. Credentials are not allowed: no cookies are used.
            allowed = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _CORS_EXPOSED}
            response = msgspec.structs.replace(response, headers={**response.headers, **allowed})
        if self._leader_url is not None and (told := self.leader_headers(request)):
            response = msgspec.structs.replace(response, headers={**response.headers, **told})
        if "traceparent" in request.headers and (trace := request.trace()) is not None:
            response = msgspec.structs.replace(response, headers={**response.headers, "Traceparent": trace.header})
        closes = response.closes_connection or not request.keep_alive
        data = self.writer.encode(response, request_id, closes=closes, is_head=request.method == "HEAD")
        if self._process is not None:
            self.record(request, response.status, request_id, response.problem_code)
        self._send(request, data, closes=closes)

    def leader_headers(self, request: HttpRequest) -> dict[str, str]:
        """Return the header that says which router leads the workspace of the credential, where it is known."""
        if self._leader_url is None or request.credential is None:
            return {}
        leader = self._leader_url(request.credential.workspace)
        return {} if leader is None else {LEADER_HEADER: leader}

    def fail(self, request: HttpRequest, raised: ProblemError) -> None:
        """Send a problem document."""
        request_id = request.id()
        self.respond_as(request, problem_response(raised, request_id), request_id)

    def fail_unexpectedly(self, request: HttpRequest, error: BaseException | None = None) -> None:
        """Log an unexpected error and send a problem document without details."""
        request_id = request.id()
        _log.error(
            "a request failed",
            action="request_failed",
            operation="" if request.handler is None else request.handler.operation,
            request_id=request_id,
            exc_info=error or True,
        )
        self.respond_as(request, problem_response(ProblemError("internal"), request_id), request_id)

    def _send(self, request: HttpRequest, data: bytes, *, closes: bool) -> None:
        request.is_answered = True
        if request.admission is not None:
            request.release_slot()
        request.connection.send_response(request, data, closes=closes)

    def malformed_response(self) -> bytes:
        """Return the response to bytes that are not HTTP; the connection is closed afterwards."""
        request_id = new_request_id()
        response = problem_response(ProblemError("malformed", _NOT_HTTP), request_id)
        if self._process is not None:
            self._process.problems.labels("malformed").inc()
        return self.writer.encode(response, request_id, closes=True)

    def count_disconnect(self, request: HttpRequest | None) -> None:
        """Count a client that left before it had the response: no fault of the router, and no response to count.

        ``request``: the request in progress; None: its head was incomplete.
        """
        if self._process is not None and (request is None or not request.is_answered):
            stage = "head" if request is None else "response" if request.is_complete else "body"
            self._process.disconnects.labels(stage).inc()

    def overload_response(self) -> bytes:
        """Return the response to a connection beyond the limit; the connection is closed afterwards."""
        request_id = new_request_id()
        response = problem_response(ProblemError("busy", CONNECTIONS_FULL_DETAIL), request_id)
        return self.writer.encode(response, request_id, closes=True)

    def record(
        self, request: HttpRequest, status: int, request_id: str, problem_code: str = "", *, has_duration: bool = True
    ) -> None:
        """Count a response, write it to the access log, and make its span.

        ``has_duration``: False for WebSocket upgrades, whose duration is not a response time.
        """
        process = self._process
        if process is None:
            return
        handler = request.handler
        operation = "" if handler is None else handler.operation
        duration_ns = time.perf_counter_ns() - request.started_ns
        if problem_code:
            process.problems.labels(problem_code).inc()
        process.count_request(operation, status)
        if has_duration:
            process.observe_request(operation, duration_ns / 1e9)
        if self._access_log:
            trace = request.trace() if "traceparent" in request.headers else None
            _log.info(
                "request",
                action="request",
                operation=operation,
                method=request.method if request.method.encode() in METHODS else "",
                status=status,
                actor=self._actor(request),
                request_id=request_id,
                **({} if trace is None else {"trace_id": trace.trace_id, "span_id": trace.span_id}),
                duration_us=duration_ns // 1000,
            )
        if self._spans is not None:
            method = request.method if request.method.encode() in METHODS else ""
            trace = request.trace() if "traceparent" in request.headers else None
            self._spans.record(method, operation, status, duration_ns, problem_code=problem_code, trace=trace)

    def _actor(self, request: HttpRequest) -> str:
        """Return the name of the client in the log: a pseudonym, because a subject may be the name of a person."""
        credential = request.credential
        if credential is None:
            return request.actor
        return credential.actor if self._log_subjects else credential.pseudonym

    # --- common checks ---------------------------------------------------------------------------
    def _check_headers(self, request: HttpRequest) -> HttpResponse | None:
        headers = request.headers
        if request.repeated is not None and not _SINGLE.isdisjoint(request.repeated):
            raise _ambiguous("a header occurs twice")
        if request.version not in ("1.1", "1.0"):
            raise _ambiguous("HTTP/1.0 or HTTP/1.1 is required")
        if not _is_host(headers.get("host", "\0" if request.version == "1.1" else "")):
            raise _ambiguous("one valid Host header is required")
        if any(name in headers for name in _OVERRIDES):
            raise ProblemError("method_not_allowed", "method override headers are not supported", headers={"Allow": ""})
        expectation = headers.get("expect")
        if expectation is not None:
            if expectation.lower() != "100-continue":
                raise ProblemError("expectation_failed", "only `100-continue` is supported")
            request.expects_continue = request.version == "1.1"
        if request.method == "OPTIONS" and "access-control-request-method" in headers:
            origin = headers.get("origin")
            if origin is not None:
                return self._preflight(origin)
        return None

    def _preflight(self, origin: str) -> HttpResponse:
        if origin not in self._origins:
            raise ProblemError("origin_forbidden")
        return HttpResponse(
            status=204,
            headers={
                "Access-Control-Allow-Methods": _CORS_METHODS,
                "Access-Control-Allow-Headers": _CORS_HEADERS,
                "Access-Control-Max-Age": _CORS_MAX_AGE_S,
            },
        )


def _ambiguous(detail: str) -> ProblemError:
    """Return the problem of a head that an intermediary may read differently: the connection is closed after it."""
    raised = ProblemError("malformed", detail)
    raised.closes_connection = True
    return raised
