"""Answers as bytes, for requests that the HTTP library has not read: the same headers as everywhere, written once a second."""

import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from router.edge.entrance import DEFAULT_POLICY, SECURITY_HEADERS
from router.edge.problems import CONTENT_TYPE, ProblemRaised, problem_bytes

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_NO_ID: Final = "0" * 16


class Answers:
    """Makes answers."""

    def __init__(self, *, varies: bool, now_s: Callable[[], float] = time.time) -> None:
        """``varies``: by origin, as answers do where some origins are allowed."""
        self._now_s = now_s
        headers = {
            **SECURITY_HEADERS,
            "Content-Security-Policy": DEFAULT_POLICY,
            "Cache-Control": "no-store",
            **({"Vary": "Origin"} if varies else {}),
        }
        self._same = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._common = ""
        self._second = -1

    def answer(
        self,
        status: int,
        body: bytes,
        request_id: str,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str],
    ) -> bytes:
        """One answer."""
        own = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n{self._dated()}Content-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nX-Request-ID: {request_id}\r\n{own}\r\n"
        )
        return head.encode("ascii") + body

    def problem(self, raised: ProblemRaised, request_id: str) -> bytes:
        """A problem document."""
        headers = raised.headers | ({"Connection": "close"} if raised.closes else {})
        body = problem_bytes(raised.document, request_id)
        return self.answer(
            raised.document.status, body, request_id, content_type=CONTENT_TYPE, headers=headers
        )

    def _dated(self) -> str:
        second = int(self._now_s())
        if second != self._second:
            self._second = second
            self._common = f"{self._same}Date: {formatdate(second, usegmt=True)}\r\n"
        return self._common


class SameProblem:
    """One problem that is answered thousands of times a second: all but the request's id is made once a second."""

    def __init__(
        self, answers: Answers, raised: ProblemRaised, now_s: Callable[[], float] = time.time
    ) -> None:
        self._answers = answers
        self._raised = raised
        self._now_s = now_s
        self._second = -1
        self._before = self._between = self._after = b""

    def answer(self, request_id: str) -> bytes:
        """The answer to one request. ``request_id``: 16 characters."""
        second = int(self._now_s())
        if second != self._second:
            self._second = second
            whole = self._answers.problem(self._raised, _NO_ID)
            self._before, self._between, self._after = whole.split(_NO_ID.encode())
        name = request_id.encode()
        return b"%b%b%b%b%b" % (self._before, name, self._between, name, self._after)
