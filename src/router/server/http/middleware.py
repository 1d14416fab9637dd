"""Outermost middleware of the HTTP application: request ids, response headers, CORS, access log, error responses.

Every exception of the layers below becomes a problem document here. Neither the response nor the log repeats client
input: the log has the operation name instead of the URL, and only ids that the router created.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import HttpVersion10, hdrs, web

from router.server.api.problems import PROBLEM_CONTENT_TYPE, ProblemError, encode_problem
from router.server.api.request import new_request_id
from router.server.http.responses import (
    DEFAULT_CONTENT_SECURITY_POLICY,
    SECURITY_HEADERS,
)
from router.settings import Settings
from router.telemetry.process_metrics import ProcessMetrics

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID: Final = web.RequestKey("request_id", str)

OPERATION: Final = web.RequestKey("operation", str)

ACTOR: Final = web.RequestKey("actor", str)

_OVERRIDES: Final = ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method")

_CORS_METHODS: Final = "GET, POST, PUT, PATCH, DELETE"

_CORS_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, If-Match"

_CORS_EXPOSED: Final = "ETag, Idempotency-Replayed, Location, Retry-After, X-Request-ID"

_CORS_MAX_AGE_S: Final = "600"

_log: Final = structlog.get_logger("router.server.api.workspace")


class Middleware:
    """Middleware around all routes, including requests that match no route."""

    def __init__(self, settings: Settings, process: ProcessMetrics) -> None:
        self._origins = frozenset(settings.server.allowed_origins)
        self._access_log = settings.telemetry.access_log
        self._process = process

    def wrap(self, handler: Handler) -> Handler:
        """Return the handler of the whole application wrapped in this middleware."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, handler)

        return handle

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = new_request_id()
        began_ns = time.perf_counter_ns()
        try:
            response = await self._respond(request, handler)
        except ProblemError as raised:
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
            response = self._problem(ProblemError("internal"), request_id)
        if not response.prepared:
            self._set_headers(request, response, request_id)
        self.record_request(
            request.get(OPERATION, ""),
            request.method,
            response.status,
            actor=request.get(ACTOR, ""),
            request_id=request_id,
            duration_ns=time.perf_counter_ns() - began_ns,
            is_response=not response.prepared,
        )
        return response

    def _problem(self, raised: ProblemError, request_id: str) -> web.Response:
        self._process.problems.labels(raised.document.code).inc()
        return _as_response(raised, request_id)

    def record_request(
        self,
        operation: str,
        method: str,
        status: int,
        *,
        actor: str,
        request_id: str,
        duration_ns: int,
        is_response: bool = True,
    ) -> None:
        """Count a response and write it to the access log.

        ``is_answer``: False for WebSocket upgrades, whose duration is not a response time.
        """
        self._process.count_request(operation, status)
        if is_response:
            self._process.observe_request(operation, duration_ns / 1e9)
        if self._access_log:
            _log.info(
                "request",
                action="request",
                operation=operation,
                method=method if method in hdrs.METH_ALL else "",
                status=status,
                actor=actor,
                request_id=request_id,
                duration_us=duration_ns // 1000,
            )

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if any(name in request.headers for name in _OVERRIDES):
            raise ProblemError(
                "method_not_allowed",
                "method override headers are not supported",
                headers={hdrs.ALLOW: ""},
            )
        if request.version < HttpVersion10:
            raise ProblemError("malformed", "HTTP/1.0 or newer is required")
        if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
            raise ProblemError("expectation_failed", "only `100-continue` is supported")
        origin = request.headers.get(hdrs.ORIGIN)
        is_preflight = hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if request.method == hdrs.METH_OPTIONS and origin is not None and is_preflight:
            return self._preflight(origin)
        return await handler(request)

    def _preflight(self, origin: str) -> web.StreamResponse:
        if origin not in self._origins:
            raise ProblemError("origin_forbidden")
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
        headers.setdefault("Content-Security-Policy", DEFAULT_CONTENT_SECURITY_POLICY)
        headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        headers["X-Request-ID"] = request_id
        if self._origins:
            headers.add(hdrs.VARY, hdrs.ORIGIN)
            origin = request.headers.get(hdrs.ORIGIN)
            if origin in self._origins:
                # The exact origin, never `*`. Credentials are not allowed: no cookies are used.
                headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
                headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _CORS_EXPOSED


def _as_response(raised: ProblemError, request_id: str) -> web.Response:
    response = web.Response(
        status=raised.document.status,
        body=encode_problem(raised.document, request_id),
        content_type=PROBLEM_CONTENT_TYPE,
        headers=raised.headers,
    )
    if raised.closes_connection:
        # The rest of the request is not read, so the connection cannot be reused.
        response.force_close()
    return response


_FRAMEWORK_CODES: Final = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    417: "expectation_failed",
}


def _problem_from_framework(raised: web.HTTPException) -> ProblemError:
    code = _FRAMEWORK_CODES.get(raised.status, "malformed" if raised.status < 500 else "internal")
    allow = raised.headers.get(hdrs.ALLOW)
    return ProblemError(code, headers={hdrs.ALLOW: allow} if allow else None)
