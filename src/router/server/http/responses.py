"""HTTP responses: what handlers return, and the one writer that turns it into bytes.

Every response of the public port goes through ``ResponseWriter``: API, problem documents, pages, preflights and refusals. The
common headers are rendered once per second, when the date changes; a response that is sent thousands of times per second
under overload is rendered as a whole once per second (``CachedProblemResponse``).
"""

import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from msgspec import Struct

from router.server.api.problems import PROBLEM_CONTENT_TYPE, ProblemError, encode_problem

SERVER_NAME: Final = "contact-router"  # without a version
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": SERVER_NAME,
}
DEFAULT_CONTENT_SECURITY_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
# Headers that a response may replace.
_DEFAULTS: Final = {"Content-Security-Policy": DEFAULT_CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_NO_ID: Final = "0" * 16
_NO_BODY: Final = frozenset({101, 204, 304})


class HttpResponse(Struct, frozen=True, kw_only=True):
    """A complete response."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}
    closes_connection: bool = False
    """Whether the connection cannot be used for another request."""
    problem_code: str = ""
    """Code of the problem document in the body, for metrics."""


def problem_response(raised: ProblemError, request_id: str) -> HttpResponse:
    """Return the response with a problem document."""
    return HttpResponse(
        status=raised.document.status,
        body=encode_problem(raised.document, request_id),
        content_type=PROBLEM_CONTENT_TYPE,
        headers=raised.headers,
        closes_connection=raised.closes_connection,
        problem_code=raised.document.code,
    )


class ResponseWriter:
    """Writer of HTTP/1.1 responses."""

    def __init__(self, *, vary_by_origin: bool, now_s: Callable[[], float] = time.time) -> None:
        """``vary_by_origin``: send ``Vary: Origin``, required where CORS origins are configured."""
        self._now_s = now_s
        vary = {"Vary": "Origin"} if vary_by_origin else {}
        self._static = _lines(SECURITY_HEADERS | vary)
        self._static_and_defaults = self._static + _lines(_DEFAULTS)
        self._date = self._common = ""
        self._second = -1

    def encode(self, response: HttpResponse, request_id: str, *, closes: bool = False, is_head: bool = False) -> bytes:
        """Return the bytes of a response.

        ``closes``: send ``Connection: close``. ``is_head``: the request method was HEAD, so the body is omitted.
        """
        headers = response.headers
        common = self._common_headers()
        if headers and not _DEFAULTS.keys().isdisjoint(headers):
            remaining = {name: _DEFAULTS[name] for name in _DEFAULTS.keys() - headers.keys()}
            common = f"{self._static}{_lines(remaining)}{self._date}"
        own = ""
        for name, value in headers.items():
            own += f"{name}: {value}\r\n"
        if closes or response.closes_connection:
            own += "Connection: close\r\n"
        content = ""
        if response.status not in _NO_BODY:
            content = f"Content-Type: {response.content_type}\r\nContent-Length: {len(response.body)}\r\n"
        status = response.status
        head = (f"HTTP/1.1 {status} {_REASONS[status]}\r\n{common}{content}X-Request-ID: {request_id}\r\n{own}\r\n").encode(
            "latin-1"
        )
        return head if is_head else head + response.body

    def _common_headers(self) -> str:
        second = int(self._now_s())
        if second != self._second:
            self._second = second
            self._date = f"Date: {formatdate(second, usegmt=True)}\r\n"
            self._common = self._static_and_defaults + self._date
        return self._common


class CachedProblemResponse:
    """A problem response of which all but the request id is rendered once per second."""

    def __init__(self, writer: ResponseWriter, raised: ProblemError, now_s: Callable[[], float] = time.time) -> None:
        self._writer = writer
        self._raised = raised
        self._now_s = now_s
        self._second = -1
        self._before = self._between = self._after = b""

    def encode(self, request_id: str) -> bytes:
        """Return the response to one request. ``request_id`` must have 16 characters."""
        second = int(self._now_s())
        if second != self._second:
            self._second = second
            data = self._writer.encode(problem_response(self._raised, _NO_ID), _NO_ID)
            self._before, self._between, self._after = data.split(_NO_ID.encode())
        encoded_id = request_id.encode()
        return b"%b%b%b%b%b" % (self._before, encoded_id, self._between, encoded_id, self._after)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
