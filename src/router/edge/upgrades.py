"""Rate limit of WebSocket upgrades, with staggered retry times and a cheap refusal.

Ten thousand desktops that lost their connections reconnect within a second. Upgrades are limited to a rate that leaves the
event loop free for connected clients. Each refused client gets its own ``Retry-After``: the times advance along a virtual
queue at the upgrade rate, so that clients neither return so early that most are refused again nor so late that capacity is
unused. The queue only computes times; it reserves nothing, and a client is admitted whenever a token is available.
"""

import random
import re
import secrets
from collections.abc import Callable
from typing import Final

from router.edge.backend import Backend
from router.edge.entrance import DEFAULT_POLICY, SECURITY_HEADERS
from router.edge.house import monotonic_ms
from router.edge.problems import CONTENT_TYPE, ProblemRaised, problem_bytes
from router.settings import SocketSettings
from router.wire.session import Door, FrameBudget

# Clients do not return to the second, and new ones arrive: the virtual queue uses this much more time per client.
_QUEUE_TIME_FACTOR: Final = 1.1
_RETRY_AFTER_S_MAX: Final = 60

_REQUEST_LINE: Final = re.compile(rb"GET /v1/(desktop|gateway|supervisor) HTTP/1\.1\r\n")
_UPGRADE: Final = re.compile(rb"\r\nupgrade: *websocket *\r\n", re.IGNORECASE)
# Headers that require another response.
_UNSUPPORTED: Final = re.compile(
    rb"\r\n(?:transfer-encoding|content-length|expect|origin|x-(?:http-)?method)", re.IGNORECASE
)
_HEADERS: Final = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": DEFAULT_POLICY,
    "Cache-Control": "no-store",
    "Content-Type": CONTENT_TYPE,
    "Connection": "close",
}


class Upgrades:
    """Token bucket for upgrades and virtual queue of refused clients."""

    def __init__(
        self,
        settings: SocketSettings,
        *,
        now_ms: Callable[[], int] = monotonic_ms,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """``now_ms`` and ``uniform`` are replaceable for tests."""
        self._now_ms = now_ms
        self._uniform = uniform
        self._bucket = FrameBudget(
            settings.upgrades_per_s, settings.upgrades_burst, now_ms=now_ms()
        )
        self._each_ms = 1000 / settings.upgrades_per_s * _QUEUE_TIME_FACTOR
        self._queue_end_ms = 0.0

    def take(self) -> bool:
        """Take a token; return whether one was available."""
        return self._bucket.take(self._now_ms())

    @property
    def are_too_many(self) -> bool:
        """Whether the next upgrade would be refused."""
        return self._bucket.is_spent(self._now_ms())

    def retry_after_s(self) -> int:
        """Return the seconds after which a client refused now should retry, and advance the virtual queue."""
        now_ms = self._now_ms()
        self._queue_end_ms = max(self._queue_end_ms, now_ms) + self._each_ms
        # The header has whole seconds: the random part keeps the clients of one second from returning together.
        wait_s = int((self._queue_end_ms - now_ms) / 1000 + self._uniform(0, 2))
        return min(max(1, wait_s), _RETRY_AFTER_S_MAX)


class UpgradeTurnedAway:
    """Refusal of a simple upgrade request from its first bytes, before the HTTP library builds a request object.

    A refusal in the handler would cost half as much as an accepted upgrade: enough to saturate the loop when many clients
    reconnect at once.
    """

    def __init__(self, backend: Backend, upgrades: Upgrades) -> None:
        self._upgrades = upgrades
        self._readiness = backend.condition
        self._problems = backend.process.problems.labels("busy")
        self._requests = {
            str(door): backend.process.requests.labels(f"{door}_socket", "503") for door in Door
        }

    def answer(self, data: bytes) -> bytes | None:
        """Return the refusal for the first bytes of a connection; None: handle them in the ordinary way."""
        condition = self._readiness
        request_line = _REQUEST_LINE.match(data)
        if request_line is None or condition.stopping or not condition.ready:
            return None
        is_simple = data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
        if not is_simple or not _UPGRADE.search(data) or _UNSUPPORTED.search(data):
            return None
        if not self._upgrades.are_too_many:
            return None
        # Counted like any other response but not logged: writing a log line would cost more than the refusal itself.
        self._requests[request_line[1].decode()].inc()
        self._problems.inc()
        request_id = secrets.token_hex(8)
        problem = ProblemRaised("busy", retry_after_s=self._upgrades.retry_after_s())
        body = problem_bytes(problem.document, request_id)
        headers = _HEADERS | problem.headers | {"X-Request-ID": request_id}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 503 Service Unavailable\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body
