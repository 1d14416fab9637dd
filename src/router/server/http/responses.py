"""HTTP responses as bytes, for requests handled without the HTTP library; the headers are those of all other responses."""

import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs

from router.server.api.problems import PROBLEM_CONTENT_TYPE, ProblemError, encode_problem

SERVER_NAME: Final = "contact-router"  # without a version

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    hdrs.SERVER: SERVER_NAME,
}

DEFAULT_CONTENT_SECURITY_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}

_NO_ID: Final = "0" * 16


class ResponseWriter:
    """Writer of HTTP/1.1 responses. The common headers are rendered once per second, when the date changes."""

    def __init__(self, *, vary_by_origin: bool, now_s: Callable[[], float] = time.time) -> None:
        """``varies``: send ``Vary: Origin``, required where CORS origins are configured."""
        self._now_s = now_s
        headers = {
            **SECURITY_HEADERS,
            "Content-Security-Policy": DEFAULT_CONTENT_SECURITY_POLICY,
            "Cache-Control": "no-store",
            **({"Vary": "Origin"} if vary_by_origin else {}),
        }
        self._static_headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._dated_headers = ""
        self._second = -1

    def response(
        self,
        status: int,
        body: bytes,
        request_id: str,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str],
    ) -> bytes:
        """Return a complete response."""
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n{self._common_headers()}Content-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nX-Request-ID: {request_id}\r\n{extra}\r\n"
        )
        return head.encode("ascii") + body

    def problem_response(self, raised: ProblemError, request_id: str) -> bytes:
        """Return a complete response with a problem document."""
        headers = raised.headers | ({"Connection": "close"} if raised.closes_connection else {})
        body = encode_problem(raised.document, request_id)
        return self.response(
            raised.document.status,
            body,
            request_id,
            content_type=PROBLEM_CONTENT_TYPE,
            headers=headers,
        )

    def _common_headers(self) -> str:
        second = int(self._now_s())
        if second != self._second:
            self._second = second
            self._dated_headers = (
                f"{self._static_headers}Date: {formatdate(second, usegmt=True)}\r\n"
            )
        return self._dated_headers


class CachedProblemResponse:
    """A problem response sent thousands of times per second: all but the request id is rendered once per second."""

    def __init__(
        self, answers: ResponseWriter, raised: ProblemError, now_s: Callable[[], float] = time.time
    ) -> None:
        self._answers = answers
        self._raised = raised
        self._now_s = now_s
        self._second = -1
        self._before = self._between = self._after = b""

    def response(self, request_id: str) -> bytes:
        """Return the response to one request. ``request_id`` must have 16 characters."""
        second = int(self._now_s())
        if second != self._second:
            self._second = second
            response = self._answers.problem_response(self._raised, _NO_ID)
            self._before, self._between, self._after = response.split(_NO_ID.encode())
        encoded_id = request_id.encode()
        return b"%b%b%b%b%b" % (self._before, encoded_id, self._between, encoded_id, self._after)
