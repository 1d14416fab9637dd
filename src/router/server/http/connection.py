"""HTTP connection: the library's protocol class with additional limits and the fast path for submits.

Theory of operation. Bytes that start at a request boundary and form a simple submit are handled by the fast path; all others
are passed to the library. Both paths serve one connection, so the rules that keep them apart matter:

* The fast path is used only between requests: the library has nothing in flight and ``Boundary`` is certain.
* One request at a time. Pipelined bytes are held until the response is written; reading is paused meanwhile, so a client
  that does not read its responses is not read either (back-pressure).
* After a refused submit, the next one is not read before ``pause_s`` has passed, so that a client that ignores
  ``Retry-After`` does not take CPU time from others.
* A request that fails in the fast path for a reason other than load is passed to the library unchanged.

The class uses private members of ``aiohttp.web.RequestHandler`` (``_waiter``, ``_messages``, ``_upgraded``, keep-alive
timing). Malformed HTTP never reaches the application: it gets a minimal problem document and the connection is closed.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

from aiohttp import hdrs, web

from router.server.api.problems import PROBLEM_CONTENT_TYPE, ProblemError, encode_problem
from router.server.http.responses import SERVER_NAME
from router.server.http.submit_handler import PendingSubmit, SubmitHandler
from router.server.http.submit_parser import HEAD_END, SUBMIT_REQUEST_LINE, RequestBoundary
from router.settings import ServerSettings

_OVERLOAD_RESPONSE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
)
# The library would log client addresses and unparsed input; requests are counted by operation instead.
_NULL_LOGGER: Final = logging.getLogger("router.server.http")
_NULL_LOGGER.addHandler(logging.NullHandler())
_NULL_LOGGER.propagate = False


class ConnectionLimit:
    """Counter of open connections with a limit."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self.open_count = 0

    @property
    def is_exceeded(self) -> bool:
        """Whether more connections are open than allowed."""
        return self.open_count > self._connections_max


class HttpConnection(web.RequestHandler):
    """One HTTP connection."""

    __slots__ = (
        "_body_timeout_s",
        "_body_timer",
        "_boundary",
        "_counted",
        "_delayed_until_s",
        "_discard_bytes",
        "_gate",
        "_header_bytes_max",
        "_held",
        "_incomplete",
        "_incomplete_size",
        "_pause_s",
        "_submit",
        "_submit_done",
        "_submits",
        "_turn_away",
    )

    def __init__(
        self,
        manager: web.Server,
        connection_limit: ConnectionLimit,
        *,
        loop: asyncio.AbstractEventLoop,
        settings: ServerSettings,
        submit_handler: SubmitHandler,
        refuse_early: Callable[[bytes], bytes | None],
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=float(settings.keepalive_s),
            max_line_size=settings.header_bytes_max,
            max_field_size=settings.header_bytes_max,
            lingering_time=2.0,
            access_log=None,  # type: ignore[arg-type]
            logger=_NULL_LOGGER,
            auto_decompress=False,
        )
        self._header_bytes_max = settings.header_bytes_max
        self._body_timeout_s = float(settings.body_timeout_s)
        self._pause_s = submit_handler.refusal_pause_s
        self._gate = connection_limit
        self._counted = False
        self._submits = submit_handler
        self._turn_away: Callable[[bytes], bytes | None] | None = refuse_early
        """Used for the first bytes of the connection only; None afterwards."""
        self._boundary = RequestBoundary()
        self._submit: PendingSubmit | None = None
        """Submit in flight."""
        self._incomplete: bytearray | None = None
        """Received part of an incomplete submit."""
        self._incomplete_size = 0
        """Total size of the incomplete submit; 0: its head is incomplete."""
        self._body_timer: asyncio.TimerHandle | None = None
        """Body timeout of the incomplete submit; while it is set, the submit holds a slot."""
        self._discard_bytes = 0
        """Remaining bytes of a refused body, to be discarded."""
        self._delayed_until_s = 0.0
        """Loop time until which the next submit is delayed; 0: no submit was refused."""
        self._held: bytes | None = None
        """Pipelined bytes; while set, reading is paused."""
        self._submit_done: asyncio.Future[None] | None = None
        """Set by ``shutdown`` to wait for the submit in flight."""

    # --- reading ----------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        """Handle received bytes: refuse the connection early, or serve a submit, or pass the bytes to the library."""
        if not data:
            # The library calls itself this way to continue with buffered data.
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
        """Serve submits on the fast path while they apply, then pass the rest to the library."""
        if self._incomplete is not None:
            self._incomplete += data
            if len(self._incomplete) < self._incomplete_size:
                return
            data, self._incomplete = bytes(self._incomplete), None
        while data:
            if self._held is not None or self._submit is not None or self._paused:
                self._hold(data)
                return
            if self._discard_bytes:
                discarded = min(self._discard_bytes, len(data))
                self._discard_bytes -= discarded
                data = data[discarded:]
                continue
            served = self._serve_one(data) if self._is_between_requests() else 0
            if served == 0:
                self._pass_to_library(data)
                return
            if served < 0:
                return
            data = data[served:]

    def _serve_one(self, data: bytes) -> int:
        """Serve one submit and return its size; 0: pass the data to the library; -1: the data waits for more or for time."""
        end = data.find(HEAD_END) if data.startswith(SUBMIT_REQUEST_LINE) else -1
        if (len(data) if end < 0 else end) > self._header_bytes_max:
            return 0
        if end < 0:
            is_part = data.startswith(SUBMIT_REQUEST_LINE) or SUBMIT_REQUEST_LINE.startswith(data)
            return self._wait_for_more(data, 0) if is_part else 0
        head = self._submits.parse_head(data[len(SUBMIT_REQUEST_LINE) : end])
        if head is None:
            return 0
        size = end + len(HEAD_END) + head.body_length
        if self._body_timer is None:
            if self._is_delayed():
                return self._hold_until_delay_ends(data)
            if (refusal := self._submits.overload_response(head)) is not None:
                self._discard_bytes = max(0, size - len(data))
                self._write(refusal)
                self._delayed_until_s = self._loop.time() + self._pause_s
                return min(size, len(data))
        if len(data) < size:
            return self._wait_for_more(data, size)
        self._cancel_body_timer()
        submit = self._submits.start(self, head, data[end + len(HEAD_END) : size])
        if submit is None:
            return 0
        if submit.done():
            # Refused at once.
            self._delayed_until_s = self._loop.time() + self._pause_s
        else:
            self._submit = submit
        return size

    def _is_delayed(self) -> bool:
        """Return whether a submit arrives before the delay after a refusal is over."""
        return self._delayed_until_s > 0 and self._loop.time() < self._delayed_until_s

    def _hold_until_delay_ends(self, data: bytes) -> int:
        """Hold the data and resume when the delay after a refusal is over."""
        self._hold(data)
        self._loop.call_at(self._delayed_until_s, self._resume)
        return -1

    def _wait_for_more(self, data: bytes, size: int) -> int:
        self._incomplete, self._incomplete_size = bytearray(data), size
        if size and self._body_timer is None:
            timeout_s = self._body_timeout_s
            self._body_timer = self._loop.call_later(timeout_s, self._body_timed_out)
        return -1

    def _body_timed_out(self) -> None:
        self._incomplete = None
        self._body_timer = None
        self._write(self._submits.body_timeout_response())
        self.force_close()

    def _cancel_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _pass_to_library(self, data: bytes) -> None:
        """Pass data to the library."""
        if self._body_timer is not None:
            self._cancel_body_timer()
            self._submits.release_slot()
        if not self._upgraded:
            self._boundary.advance(data)
        super().data_received(data)

    def _is_between_requests(self) -> bool:
        """Return whether the library is idle and the next byte starts a request."""
        waiter, transport = self._waiter, self.transport
        return (
            self._boundary.is_at_request_start
            and not self._upgraded
            and waiter is not None
            and not waiter.done()
            and not self._messages
            and transport is not None
            and not transport.is_closing()
        )

    # --- writing -----------------------------------------------------------------------------
    def send_response(self, data: bytes) -> None:
        """Send the response to the submit in flight and continue with pipelined data."""
        self._submit = None
        self._write(data)
        if self._submit_done is not None and not self._submit_done.done():
            self._submit_done.set_result(None)
        if self._held is not None:
            self._loop.call_soon(self._resume)

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _hold(self, data: bytes) -> None:
        self._held = data if self._held is None else self._held + data
        self._pause_transport_reading()

    def _resume(self) -> None:
        held = self._held
        if held is None or self._submit is not None or self._paused or self.transport is None:
            return
        self._held = None
        if self._loop.time() >= self._delayed_until_s:
            self._delayed_until_s = 0.0
        self._resume_transport_reading()
        self._serve(held)

    def resume_writing(self) -> None:
        """Resume once the client reads its responses again."""
        super().resume_writing()
        if self._held is not None:
            self._loop.call_soon(self._resume)

    # --- connection lifecycle -----------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._gate.open_count += 1
        self._counted = True
        if self._gate.is_exceeded:
            body = encode_problem(ProblemError("busy").document, "")
            # The transport class of uvloop is not a subclass of asyncio.Transport.
            stream = cast(asyncio.Transport, transport)
            stream.write(_OVERLOAD_RESPONSE % len(body) + body)
            stream.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._counted:
            self._gate.open_count -= 1
            self._counted = False
        if self._body_timer is not None:
            self._cancel_body_timer()
            self._submits.release_slot()
        if self._submit is not None:
            self._submit.abandon()
            self._submit = None
        if self._submit_done is not None and not self._submit_done.done():
            self._submit_done.set_result(None)
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  (the library's)
        """Wait for the submit in flight, at most ``timeout`` seconds, then shut down the library's part."""
        if self._submit is not None:
            self._submit_done = self._loop.create_future()
            await asyncio.wait([self._submit_done], timeout=timeout)
        await super().shutdown(timeout)

    def _process_keepalive(self) -> None:
        if self._submit is not None or self._body_timer is not None:
            # The library does not know about the submit and would close the connection as idle.
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def detach(self, heir: asyncio.Protocol) -> Callable[[], None]:
        """Pass an upgraded connection to another protocol and free the library's state.

        Call the returned function when the connection is lost; until then it counts as open.
        """
        transport, self.transport = (
            self.transport,
            None,
        )  # So that connection_lost does not close it.
        assert transport is not None
        self._counted = False
        super().connection_lost(None)
        transport.set_protocol(heir)

        def release() -> None:
            self._gate.open_count -= 1

        return release

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return a minimal problem document for malformed HTTP or a failure outside the application, and close."""
        if request.writer.output_size > 0:
            raise ConnectionError("the response has started")
        raised = ProblemError("malformed" if status < 500 else "internal")
        response = web.Response(
            status=raised.document.status,
            body=encode_problem(raised.document, ""),
            content_type=PROBLEM_CONTENT_TYPE,
            headers={hdrs.SERVER: SERVER_NAME, "X-Content-Type-Options": "nosniff"},
        )
        response.force_close()
        return response
