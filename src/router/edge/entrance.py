"""Outermost middleware of the HTTP application: request ids, response headers, CORS, access log, error responses.

Every exception of the layers below becomes a problem document here. Neither the response nor the log repeats client
input: the log has the operation name instead of the URL, and only ids that the router created.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import HttpVersion10, hdrs, web

from router.edge.problems import CONTENT_TYPE, ProblemRaised, problem_bytes
from router.edge.random_ids import RandomIds
from router.settings import Settings
from router.telemetry.process import ProcessMeters

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SERVER_NAME: Final = "contact-router"  # without a version
REQUEST_ID: Final = web.RequestKey("request_id", str)
OPERATION: Final = web.RequestKey("operation", str)
ACTOR: Final = web.RequestKey("actor", str)

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    hdrs.SERVER: SERVER_NAME,
}
DEFAULT_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_OVERRIDES: Final = ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method")
_CORS_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
_CORS_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, If-Match"
_CORS_EXPOSED: Final = "ETag, Idempotency-Replayed, Location, Retry-After, X-Request-ID"
_CORS_MAX_AGE_S: Final = "600"

_log: Final = structlog.get_logger("router.edge.access")
new_request_id: Final = RandomIds(8).next
"""Return a fresh request id of 16 hexadecimal digits."""


class Entrance:
    """Middleware around all routes, including requests that match no route."""

    def __init__(self, settings: Settings, process: ProcessMeters) -> None:
        self._origins = frozenset(settings.edge.allowed_origins)
        self._access_log = settings.telemetry.access_log
        self._process = process

    def around(self, handler: Handler) -> Handler:
        """Return the handler of the whole application wrapped in this middleware."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, handler)

        return handle

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = new_request_id()
        began_ns = time.perf_counter_ns()
        try:
            response = await self._respond(request, handler)
        except ProblemRaised as raised:
            response = self._problem(raised, request_id)
        except web.HTTPException as raised:
            response = self._problem(_problem_from_framework(raised), request_id)
        except Exception:
            # The client gets a request id only; the details go to the log.
            _log.exception(
                "a request failed",
                action="request_failed",
                operation=request.get(OPERATION, ""),
                request_id=request_id,
            )
            response = self._problem(ProblemRaised("internal"), request_id)
        if not response.prepared:
            self._set_headers(request, response, request_id)
        self.note(
            request.get(OPERATION, ""),
            request.method,
            response.status,
            actor=request.get(ACTOR, ""),
            request_id=request_id,
            took_ns=time.perf_counter_ns() - began_ns,
            is_answer=not response.prepared,
        )
        return response

    def _problem(self, raised: ProblemRaised, request_id: str) -> web.Response:
        self._process.problems.labels(raised.document.code).inc()
        return _as_response(raised, request_id)

    def note(
        self,
        operation: str,
        method: str,
        status: int,
        *,
        actor: str,
        request_id: str,
        took_ns: int,
        is_answer: bool = True,
    ) -> None:
        """Count a response and write it to the access log.

        ``is_answer``: False for WebSocket upgrades, whose duration is not a response time.
        """
        self._process.count_request(operation, status)
        if is_answer:
            self._process.time_request(operation, took_ns / 1e9)
        if self._access_log:
            _log.info(
                "request",
                action="request",
                operation=operation,
                method=method if method in hdrs.METH_ALL else "",
                status=status,
                actor=actor,
                request_id=request_id,
                duration_us=took_ns // 1000,
            )

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if any(name in request.headers for name in _OVERRIDES):
            raise ProblemRaised(
                "method_not_allowed",
                "method override headers are not supported",
                headers={hdrs.ALLOW: ""},
            )
        if request.version < HttpVersion10:
            raise ProblemRaised("malformed", "HTTP/1.0 or newer is required")
        if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
            raise ProblemRaised("expectation_failed", "only `100-continue` is supported")
        origin = request.headers.get(hdrs.ORIGIN)
        is_preflight = hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if request.method == hdrs.METH_OPTIONS and origin is not None and is_preflight:
            return self._preflight(origin)
        return await handler(request)

    def _preflight(self, origin: str) -> web.StreamResponse:
        if origin not in self._origins:
            raise ProblemRaised("origin_forbidden")
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: _CORS_METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _CORS_HEADERS,
                hdrs.ACCESS_CONTROL_MAX_AGE: _CORS_MAX_AGE_S,
            },
        )

    def _set_headers(
        self, request: web.Request, response: web.StreamResponse, request_id: str
    ) -> None:
        headers = response.headers
        headers.update(SECURITY_HEADERS)
        headers.setdefault("Content-Security-Policy", DEFAULT_POLICY)
        headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        headers["X-Request-ID"] = request_id
        if self._origins:
            headers.add(hdrs.VARY, hdrs.ORIGIN)
            origin = request.headers.get(hdrs.ORIGIN)
            if origin in self._origins:
                # The exact origin, never `*`. Credentials are not allowed: no cookies are used.
                headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
                headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _CORS_EXPOSED


def _as_response(raised: ProblemRaised, request_id: str) -> web.Response:
    response = web.Response(
        status=raised.document.status,
        body=problem_bytes(raised.document, request_id),
        content_type=CONTENT_TYPE,
        headers=raised.headers,
    )
    if raised.closes:
        # The rest of the request is not read, so the connection cannot be reused.
        response.force_close()
    return response


_FRAMEWORK_CODES: Final = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    417: "expectation_failed",
}


def _problem_from_framework(raised: web.HTTPException) -> ProblemRaised:
    code = _FRAMEWORK_CODES.get(raised.status, "malformed" if raised.status < 500 else "internal")
    allow = raised.headers.get(hdrs.ALLOW)
    return ProblemRaised(code, headers={hdrs.ALLOW: allow} if allow else None)
