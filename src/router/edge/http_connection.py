"""One connection before any upgrade: the HTTP library's, with limits that it does not set, and a shorter way for plain submits.

What comes between two requests and begins a plain submit (``plain.py``) is served here; everything else is the library's. One
request at a time: what a client sends ahead of its answers is held until they are out, and the connection is not read meanwhile;
nor is that of a client whose submit was refused and who sends another one at once.
What is not well-formed HTTP never reaches the application; it gets a bare problem document here and its connection is closed.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

from aiohttp import hdrs, web

from router.edge.entrance import SERVER_NAME
from router.edge.plain import END, LINE, Boundary
from router.edge.problems import CONTENT_TYPE, ProblemRaised, problem_bytes
from router.edge.submits import Submit, Submits
from router.settings import EdgeSettings

_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
)
# The library logs addresses and what it could not parse; we count requests by operation instead.
_SILENT: Final = logging.getLogger("router.edge.http")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Gate:
    """Counts connections."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self.open = 0

    @property
    def is_full(self) -> bool:
        """There are more than may be."""
        return self.open > self._connections_max


class HttpConnection(web.RequestHandler):
    """One connection, with a bound on how many there are and answers that give nothing away."""

    __slots__ = (
        "_body_timeout_s",
        "_boundary",
        "_counted",
        "_gate",
        "_header_bytes_max",
        "_held",
        "_late",
        "_part",
        "_pause_s",
        "_refused_until_s",
        "_settled",
        "_submit",
        "_submits",
        "_swallow",
        "_turn_away",
        "_wanted",
    )

    def __init__(
        self,
        manager: web.Server,
        gate: Gate,
        *,
        loop: asyncio.AbstractEventLoop,
        settings: EdgeSettings,
        submits: Submits,
        turn_away: Callable[[bytes], bytes | None],
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=float(settings.keepalive_s),
            max_line_size=settings.header_bytes_max,
            max_field_size=settings.header_bytes_max,
            lingering_time=2.0,
            access_log=None,  # type: ignore[arg-type]
            logger=_SILENT,
            auto_decompress=False,
        )
        self._header_bytes_max = settings.header_bytes_max
        self._body_timeout_s = float(settings.body_timeout_s)
        self._pause_s = submits.pause_s
        self._gate = gate
        self._counted = False
        self._submits = submits
        self._turn_away: Callable[[bytes], bytes | None] | None = turn_away
        """Asked once: what has been served before is served on."""
        self._boundary = Boundary()
        self._submit: Submit | None = None
        """The one that is under way."""
        self._part: bytearray | None = None
        """The beginning of a submit that is not all there."""
        self._wanted = 0
        """So long it will be; 0: its head is not all there."""
        self._late: asyncio.TimerHandle | None = None
        """Rings when its body has not come in time; while it is set, the submit has its place among the requests in work."""
        self._swallow = 0
        """Bytes still to come of a body that nobody will read."""
        self._refused_until_s = 0.0
        """By the loop's clock: a further submit before then waits until then. 0: none was refused."""
        self._held: bytes | None = None
        """What the client has sent ahead; the connection is not read."""
        self._settled: asyncio.Future[None] | None = None
        """Somebody waits for the submit under way to be over."""

    # --- what comes in ------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        """Bytes from the client: a plain submit, or the library's; or an answer at once where they ask for what is turned away."""
        if not data:
            # The library tells itself to go on with what it has.
            super().data_received(data)
            return
        turn_away, self._turn_away = self._turn_away, None
        if turn_away is not None and (refusal := turn_away(data)) is not None:
            if self.transport is not None:
                self.transport.write(refusal)
                self.transport.close()
            return
        self._serve(data)

    def _serve(self, data: bytes) -> None:
        """Submits one after the other, as long as they are plain."""
        if self._part is not None:
            self._part += data
            if len(self._part) < self._wanted:
                return
            data, self._part = bytes(self._part), None
        while data:
            if self._held is not None or self._submit is not None or self._paused:
                self._hold(data)
                return
            if self._swallow:
                swallowed = min(self._swallow, len(data))
                self._swallow -= swallowed
                data = data[swallowed:]
                continue
            served = self._serve_one(data) if self._is_between_requests() else 0
            if served == 0:
                self._pass_by(data)
                return
            if served < 0:
                return
            data = data[served:]

    def _serve_one(self, data: bytes) -> int:
        """So many bytes were a submit, which is under way or answered; -1: all of them wait for more; 0: they are the library's."""
        end = data.find(END) if data.startswith(LINE) else -1
        if (len(data) if end < 0 else end) > self._header_bytes_max:
            return 0
        if end < 0:
            is_part = data.startswith(LINE) or LINE.startswith(data)
            return self._wait_for(data, 0) if is_part else 0
        head = self._submits.read(data[len(LINE) : end])
        if head is None:
            return 0
        size = end + len(END) + head.length
        if self._late is None:
            if self._comes_too_soon():
                return self._wait_until_then(data)
            if (refusal := self._submits.refusal(head)) is not None:
                self._swallow = max(0, size - len(data))
                self._say(refusal)
                self._refused_until_s = self._loop.time() + self._pause_s
                return min(size, len(data))
        if len(data) < size:
            return self._wait_for(data, size)
        self._come_in_time()
        submit = self._submits.begin(self, head, data[end + len(END) : size])
        if submit is None:
            return 0
        if submit.done():
            # Not taken at all.
            self._refused_until_s = self._loop.time() + self._pause_s
        else:
            self._submit = submit
        return size

    def _comes_too_soon(self) -> bool:
        """It was told to come again later, and has not waited for as long as those who are let in may wait."""
        return self._refused_until_s > 0 and self._loop.time() < self._refused_until_s

    def _wait_until_then(self, data: bytes) -> int:
        """To read and refuse what comes at once again and again would take the time of all others."""
        self._hold(data)
        self._loop.call_at(self._refused_until_s, self._go_on)
        return -1

    def _wait_for(self, data: bytes, size: int) -> int:
        self._part, self._wanted = bytearray(data), size
        if size and self._late is None:
            timeout_s = self._body_timeout_s
            self._late = self._loop.call_later(timeout_s, self._body_is_late)
        return -1

    def _body_is_late(self) -> None:
        self._part = None
        self._late = None
        self._say(self._submits.body_is_late())
        self.force_close()

    def _come_in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _pass_by(self, data: bytes) -> None:
        """To the library."""
        if self._late is not None:
            self._come_in_time()
            self._submits.leave()
        if not self._upgraded:
            self._boundary.pass_by(data)
        super().data_received(data)

    def _is_between_requests(self) -> bool:
        """The library has nothing under way, and nothing has begun to arrive."""
        waiter, transport = self._waiter, self.transport
        return (
            self._boundary.is_here
            and not self._upgraded
            and waiter is not None
            and not waiter.done()
            and not self._messages
            and transport is not None
            and not transport.is_closing()
        )

    # --- what goes out ------------------------------------------------------------------------
    def answer(self, data: bytes) -> None:
        """The answer to the submit that is under way."""
        self._submit = None
        self._say(data)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
        if self._held is not None:
            self._loop.call_soon(self._go_on)

    def _say(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _hold(self, data: bytes) -> None:
        self._held = data if self._held is None else self._held + data
        self._pause_transport_reading()

    def _go_on(self) -> None:
        held = self._held
        if held is None or self._submit is not None or self._paused or self.transport is None:
            return
        self._held = None
        if self._loop.time() >= self._refused_until_s:
            self._refused_until_s = 0.0
        self._resume_transport_reading()
        self._serve(held)

    def resume_writing(self) -> None:
        """The client reads its answers again."""
        super().resume_writing()
        if self._held is not None:
            self._loop.call_soon(self._go_on)

    # --- its beginning and its end ------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._gate.open += 1
        self._counted = True
        if self._gate.is_full:
            body = problem_bytes(ProblemRaised("busy").document, "")
            # The loop's own transport class need not be a subclass of asyncio's.
            stream = cast(asyncio.Transport, transport)
            stream.write(_REFUSAL % len(body) + body)
            stream.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._counted:
            self._gate.open -= 1
            self._counted = False
        if self._late is not None:
            self._come_in_time()
            self._submits.leave()
        if self._submit is not None:
            self._submit.abandon()
            self._submit = None
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  (the library's)
        """The library's, once the submit under way has its answer or the time is over."""
        if self._submit is not None:
            self._settled = self._loop.create_future()
            await asyncio.wait([self._settled], timeout=timeout)
        await super().shutdown(timeout)

    def _process_keepalive(self) -> None:
        if self._submit is not None or self._late is not None:
            # The library does not know of it, and would take the connection for idle.
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def hand_over(self, heir: asyncio.Protocol) -> Callable[[], None]:
        """Give an upgraded connection to another protocol; for the library it ends here, and all it kept of it is free.

        What comes back has to be called when the connection is lost: until then it counts.
        """
        transport, self.transport = self.transport, None  # What it does not have it does not close.
        assert transport is not None
        self._counted = False
        super().connection_lost(None)
        transport.set_protocol(heir)

        def release() -> None:
            self._gate.open -= 1

        return release

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or failed outside the application: a bare document, then the end of the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        raised = ProblemRaised("malformed" if status < 500 else "internal")
        response = web.Response(
            status=raised.document.status,
            body=problem_bytes(raised.document, ""),
            content_type=CONTENT_TYPE,
            headers={hdrs.SERVER: SERVER_NAME, "X-Content-Type-Options": "nosniff"},
        )
        response.force_close()
        return response
