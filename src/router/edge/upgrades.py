"""How many WebSockets come in a second, and when those may come again who are refused.

Ten thousand desktops that lost their connections come back within a second. They are let in at a pace that leaves the loop to
those who are served; each of the others is told a second of his own, as if they stood in line: not so soon that most would be
refused again, not so late that nobody came. Who comes first is let in; nobody holds a place.
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

# They do not come to the second, and others come as well: a tenth of the pace is theirs.
_ROOM: Final = 1.1
_RETRY_AFTER_S_MAX: Final = 60

_LINE: Final = re.compile(rb"GET /v1/(desktop|gateway|supervisor) HTTP/1\.1\r\n")
_UPGRADE: Final = re.compile(rb"\r\nupgrade: *websocket *\r\n", re.IGNORECASE)
# What asks for another answer.
_UNUSUAL: Final = re.compile(
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
    """The pace, and the line of those who were refused."""

    def __init__(
        self,
        settings: SocketSettings,
        *,
        now_ms: Callable[[], int] = monotonic_ms,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """``now_ms``, ``uniform``: for tests."""
        self._now_ms = now_ms
        self._uniform = uniform
        self._budget = FrameBudget(
            settings.upgrades_per_s, settings.upgrades_burst, now_ms=now_ms()
        )
        self._each_ms = 1000 / settings.upgrades_per_s * _ROOM
        self._line_ends_ms = 0.0

    def take(self) -> bool:
        """Let one in; false: not now."""
        return self._budget.take(self._now_ms())

    @property
    def are_too_many(self) -> bool:
        """The next one would not be let in."""
        return self._budget.is_spent(self._now_ms())

    def retry_after_s(self) -> int:
        """When one who is refused now may come again: the end of the line, which is one longer from here on."""
        now_ms = self._now_ms()
        self._line_ends_ms = max(self._line_ends_ms, now_ms) + self._each_ms
        # Whole seconds are all that the header can say: what is cut off must not make a crowd of a second's people.
        wait_s = int((self._line_ends_ms - now_ms) / 1000 + self._uniform(0, 2))
        return min(max(1, wait_s), _RETRY_AFTER_S_MAX)


class UpgradeTurnedAway:
    """Refuses an upgrade from its first bytes where it is plain, before the HTTP library makes a request of it.

    In its handler a refusal costs half of what it costs to let somebody in: the crowd would have the loop to itself.
    """

    def __init__(self, backend: Backend, upgrades: Upgrades) -> None:
        self._upgrades = upgrades
        self._condition = backend.condition
        self._problems = backend.process.problems.labels("busy")
        self._requests = {
            str(door): backend.process.requests.labels(f"{door}_socket", "503") for door in Door
        }

    def answer(self, data: bytes) -> bytes | None:
        """The refusal of what these first bytes of a connection ask for; None: they take the usual way."""
        condition = self._condition
        line = _LINE.match(data)
        if line is None or condition.stopping or not condition.ready:
            return None
        is_plain = data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
        if not is_plain or not _UPGRADE.search(data) or _UNUSUAL.search(data):
            return None
        if not self._upgrades.are_too_many:
            return None
        # Counted like any other answer, but not logged: a line for each would cost more than all the rest.
        self._requests[line[1].decode()].inc()
        self._problems.inc()
        request_id = secrets.token_hex(8)
        problem = ProblemRaised("busy", retry_after_s=self._upgrades.retry_after_s())
        body = problem_bytes(problem.document, request_id)
        headers = _HEADERS | problem.headers | {"X-Request-ID": request_id}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 503 Service Unavailable\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body
