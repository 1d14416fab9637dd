"""Submits that come while too many wait: answered from their first bytes, before the HTTP library makes a request of them.

To refuse a submit in its handler costs half of what it costs to accept it: at three times the load nothing would be left for those
who have been let in. So where a workspace takes no submits just now, a connection that is between two requests and gets one
that is plain (one chunk of bytes, a credential that is known, nothing out of the ordinary) has its 503 at once, with the body
unread. Whatever is not that plain takes the usual way, to the same answer.
"""

import re
import secrets
import time
from collections import deque
from typing import Final

from router.edge.auth import AuthFailed
from router.edge.backend import Backend
from router.edge.entrance import DEFAULT_POLICY, SECURITY_HEADERS
from router.edge.permissions import may
from router.edge.problems import CONTENT_TYPE, ProblemRaised, problem_bytes
from router.model.errors import InboxFull
from router.runtime.inbox import SUBMITS_SPARED

_OPERATION: Final = "submit_contact"
_LINE: Final = b"POST /v1/contacts HTTP/1.1\r\n"
_TOKEN: Final = re.compile(rb"\r\nauthorization: *bearer +([!-~]+) *(?=\r\n)", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,9}) *(?=\r\n)", re.IGNORECASE)
_FRAMING: Final = re.compile(rb"transfer-encoding|content-length", re.IGNORECASE)
# What asks for more than an answer, or for another one.
_UNUSUAL: Final = re.compile(
    rb"\r\n(?:transfer-encoding|expect|upgrade|connection: *close|origin|x-(?:http-)?method)",
    re.IGNORECASE,
)


class Boundary:
    """Knows whether a connection's next bytes begin a new request.

    Only what is certain counts: one request a chunk, or its body in chunks of their own. Whatever is put together otherwise
    (several requests at once, a head in pieces, a body without a length) leaves the boundary unknown for good: bytes out of
    the middle of something must never be taken for a request.
    """

    __slots__ = ("_owed",)

    def __init__(self) -> None:
        self._owed = 0
        """Bytes of a body to come; -1: unknown."""

    @property
    def is_here(self) -> bool:
        """The next byte is a request's first."""
        return self._owed == 0

    def pass_by(self, data: bytes) -> None:
        """These bytes go the usual way."""
        if self._owed > 0:
            self._owed = max(self._owed - len(data), -1)
        elif self._owed == 0:
            head, found, body = data.partition(b"\r\n\r\n")
            lengths = _LENGTH.findall(head + b"\r\n")
            owed = (int(lengths[0]) if lengths else 0) - len(body)
            known = found and len(lengths) == len(_FRAMING.findall(head)) < 2
            self._owed = owed if known and owed >= 0 else -1


class TurnedAway:
    """Answers such submits."""

    def __init__(self, backend: Backend) -> None:
        self._writer = backend.writer
        self._verify = backend.authenticator.verify
        self._condition = backend.condition
        self._under_way: deque[float] = deque()
        """When each submit that the library works on came, about: they end nearly in the order in which they begin."""
        self._under_way_max = max(1, backend.settings.edge.in_flight_max // 4)
        self._wait_s_max = backend.settings.runtime.submit_wait_ms_max / 1000
        self._body_bytes_max = backend.settings.edge.body_bytes_max
        self._requests = backend.process.requests.labels(_OPERATION, "503")
        self._problem = ProblemRaised("busy")
        self._problems = backend.process.problems.labels(self._problem.document.code)
        headers = {
            **SECURITY_HEADERS,
            **self._problem.headers,
            "Content-Security-Policy": DEFAULT_POLICY,
            "Cache-Control": "no-store",
            "Content-Type": CONTENT_TYPE,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = f"HTTP/1.1 503 Service Unavailable\r\n{lines}".encode()

    def begin(self, data: bytes) -> bool:
        """These bytes take the usual way. True: they begin a submit, and ``end`` has to be called once it is over."""
        if not data.startswith(_LINE):
            return False
        self._under_way.append(time.perf_counter())
        return True

    def end(self) -> None:
        """One of those that have begun is over."""
        self._under_way.popleft()

    @property
    def may_be(self) -> bool:
        """Whether there is reason to look at all."""
        return (
            self._writer.has_many_submits or len(self._under_way) >= SUBMITS_SPARED
        ) and self._condition.ready

    def _are_too_many(self) -> bool:
        """A loop that is late has many requests in work before one of them comes to the inbox: they wait here just as there."""
        count = len(self._under_way)
        if count < SUBMITS_SPARED:
            return False
        oldest_s = time.perf_counter() - self._under_way[0]
        return count >= self._under_way_max or oldest_s > self._wait_s_max

    def answer(self, data: bytes) -> tuple[bytes, int] | None:
        """The answer to these bytes and how many of the body are still to come; None: they take the usual way."""
        if not data.startswith(_LINE):
            return None
        head, found, body = data.partition(b"\r\n\r\n")
        head += b"\r\n"
        tokens, lengths = _TOKEN.findall(head), _LENGTH.findall(head)
        is_plain = found and len(tokens) == len(lengths) == len(_FRAMING.findall(head)) == 1
        if not is_plain or _UNUSUAL.search(head):
            return None
        to_come = int(lengths[0]) - len(body)
        if to_come < 0 or int(lengths[0]) > self._body_bytes_max:
            return None
        try:
            credential = self._verify(tokens[0].decode())
            if may(credential.role, _OPERATION):
                if self._are_too_many():
                    return self._refusal(), to_come
                self._writer.admit_submit(credential.workspace)
        except AuthFailed:
            return None
        except InboxFull:
            return self._refusal(), to_come
        return None

    def _refusal(self) -> bytes:
        # Counted like any other answer, but not logged: a line for each would cost more than all the rest.
        self._requests.inc()
        self._problems.inc()
        request_id = secrets.token_hex(8)
        body = problem_bytes(self._problem.document, request_id)
        rest = f"X-Request-ID: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        return self._head + rest.encode() + body
