"""HTTP/1.1 connection: an asyncio protocol on the httptools parser (llhttp) that serves every request of the port.

Theory of operation. llhttp decides where a request ends; nothing else parses framing, so no second parser can disagree with
it. Its callbacks fill an ``HttpRequest``. When the head of a request is complete, the application checks it and may refuse it
at once; the body of a refused request is read and discarded, so that the connection stays usable. When the body is complete,
the application handles the request and, then or later, the response is written by ``send_response``.

One request at a time is in progress. Requests that the client pipelines are parsed in pieces of at most ``_PIECE_BYTES``; as
soon as one waits behind another, the remaining bytes are held and reading is paused. What a client can make the router
buffer is thereby bounded, and a client that does not read its responses is not read either (back-pressure). After a submit
was refused under overload, the next submit on the connection is delayed by ``refusal_pause_s``, so that a client that ignores
``Retry-After`` does not take CPU time from others.

Limits: size of a header and of all headers, number of headers, size of the body, time for the head (``keepalive_s``, which
also ends idle connections; ``first_request_timeout_s`` for the first one) and for the body (``body_timeout_s``). Malformed HTTP
gets a problem document with status 400 and the connection is closed. A connection that is closed while the client may still be
sending stays open for a moment, because closing with unread data would reset it before the client has read the response.
``open_connections.py`` limits the number of connections.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

import httptools

from router.server.api.admission import CredentialUsage
from router.server.api.problems import ProblemError
from router.server.http.application import COMMON_NAMES, CONNECTIONS_FULL_DETAIL, METHODS, HttpApplication, HttpRequest
from router.server.http.framing import RequestFraming
from router.server.http.open_connections import SILENT_S, OpenConnections, UpgradedProtocol
from router.settings import ServerSettings

_PIECE_BYTES: Final = 16 * 1024
_HEADERS_MAX: Final = 128
# All headers together, in multiples of the limit of one.
_HEAD_FACTOR: Final = 4
_LINGER_S: Final = 0.5


class HttpConnection(asyncio.Protocol):
    """One connection of the public port."""

    __slots__ = (
        "_active",
        "_application",
        "_body_timer",
        "_body_usage",
        "_connections",
        "_delayed_until_s",
        "_delays_all",
        "_discarding",
        "_feeding",
        "_first",
        "_framing",
        "_head_bytes",
        "_header_count",
        "_held",
        "_idle_since_s",
        "_idle_timeout_s",
        "_is_body_next",
        "_is_framing_repeated",
        "_is_head_open",
        "_is_known",
        "_limits",
        "_loop",
        "_parser",
        "_pause_s",
        "_paused",
        "_queue",
        "_receiving",
        "_shutting_down",
        "_timer",
        "_upgraded",
        "_write_paused",
        "peer",
        "transport",
    )

    def __init__(
        self,
        application: HttpApplication,
        connections: OpenConnections,
        limits: ServerSettings,
        *,
        refusal_pause_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._application = application
        self._connections = connections
        self._limits = limits
        self._pause_s = refusal_pause_s
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self._parser = httptools.HttpRequestParser(self)
        self._framing = RequestFraming()
        self._receiving: HttpRequest | None = None
        """Request that the parser is reading."""
        self._active: HttpRequest | None = None
        """Request in progress: being checked, received, handled or discarded."""
        self._queue: deque[HttpRequest | None] = deque()
        """Pipelined requests behind the active one; None stands for malformed input."""
        self._held = b""
        """Received bytes that are not parsed yet; reading is paused while there are any."""
        self._discarding = False
        """Whether input is discarded until the connection closes."""
        self._upgraded: UpgradedProtocol | None = None
        self._feeding = self._paused = self._write_paused = self._shutting_down = False
        self._is_head_open = self._is_body_next = self._is_framing_repeated = False
        self._head_bytes = self._header_count = 0
        self._first = b""
        """Input that starts with the head being parsed."""
        self._delayed_until_s = 0.0
        """Loop time before which the next submit is not handled; 0: none was refused."""
        self._delays_all = False
        """Whether no request is handled before that time."""
        self._is_known = False
        """Whether a valid credential has arrived."""
        self._idle_since_s = self._idle_timeout_s = 0.0
        self._body_timer: asyncio.TimerHandle | None = None
        self._body_usage: CredentialUsage | None = None
        """Credential that the incomplete body is counted for."""
        self._timer: asyncio.TimerHandle | None = None

    # --- connection ------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The transport class of uvloop is not a subclass of asyncio.Transport.
        self.transport = cast(asyncio.Transport, transport)
        self._idle_since_s = self._loop.time()
        peername = transport.get_extra_info("peername")
        if isinstance(peername, tuple):
            self.peer = str(peername[0])
        if self._connections.add(self):
            self._idle_timeout_s = min(self._limits.first_request_timeout_s, self._limits.keepalive_s)
        else:
            self._idle_timeout_s = SILENT_S
        self._timer = self._loop.call_later(self._idle_timeout_s, self._check_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._upgraded is None:
            self._connections.remove(self)
        if not self._discarding and (self._active is not None or self._is_head_open):
            self._application.count_disconnect(self._active)
        self._release()
        self.transport = None

    def _release(self) -> None:
        """Cancel timers and release what the unfinished requests hold."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._end_body()
        active, self._active = self._active, None
        self._queue.clear()
        self._held = b""
        if active is not None and not active.is_answered:
            active.is_answered = True
            if active.pending is not None:
                active.pending.abandon()
            if not active.is_complete or active.pending is not None:
                active.release_slot()

    def shut_down(self) -> None:
        """Close the connection now, or after the response to the request in progress."""
        self._shutting_down = True
        if self._active is None or self._active.is_answered:
            self._close()

    def abort(self) -> None:
        """Close the connection immediately."""
        if self.transport is not None:
            self.transport.abort()
        elif self._upgraded is not None:
            self._upgraded.abort()

    def is_idle(self, since_s: float) -> bool:
        """Return whether the connection has waited for input since this loop time."""
        return self._idle_since_s <= since_s and (self._active is None or self._active.is_answered)

    @property
    def is_reserved(self) -> bool:
        """Whether the connection exceeds the limits and gets one response only."""
        return self._connections.is_reserved(self)

    def authenticate(self) -> bool:
        """Note that a valid credential has arrived; return whether the limits permit the connection to stay open."""
        self._is_known = self._connections.authenticate(self)
        return self._is_known

    def detach(self, protocol: UpgradedProtocol) -> Callable[[], None]:
        """Pass the connection to another protocol; call the returned function when it is lost.

        Until then the connection counts as open. The protocol gets the bytes that follow the upgrade request.
        """
        transport = self.transport
        assert transport is not None
        self._upgraded = protocol
        release = self._connections.detach(self)
        held, self._held = self._held, b""
        self._release()
        self._resume_reading()
        transport.set_protocol(cast(asyncio.Protocol, protocol))
        self.transport = None
        if held:
            self._loop.call_soon(protocol.data_received, held)
        return release

    def _close(self) -> None:
        if self.transport is not None:
            self._discarding = True
            self.transport.close()

    def _close_after_linger(self) -> None:
        """Discard input for a moment, then close: closing with unread data would reset the connection."""
        self._discarding = True
        self._held = b""
        self._resume_reading()
        self._loop.call_later(_LINGER_S, self._close)

    def _check_idle(self) -> None:
        """Close a connection that has sent no complete head in time."""
        now_s = self._loop.time()
        if self._active is not None or self._queue or self._held:
            self._idle_since_s = now_s
        end_s = self._idle_since_s + self._idle_timeout_s
        if now_s < end_s:
            self._timer = self._loop.call_at(end_s, self._check_idle)
        elif self.is_reserved and self.transport is not None and not self.transport.is_closing():
            self.transport.write(self._application.overload_response())
            self._close_after_linger()
        else:
            self._close()

    # --- reading ---------------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        """Handle bytes of the client."""
        if self._discarding:
            return
        if self._held or self._feeding or self._queue or self._write_paused:
            self._hold(self._held + data)
        else:
            self._feed(data)

    def _is_blocked(self) -> bool:
        return bool(self._queue) or self._write_paused

    def _hold(self, data: bytes) -> None:
        self._held = data
        self._pause_reading()

    def _pause_reading(self) -> None:
        if not self._paused and self.transport is not None and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused and self.transport is not None and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def _feed(self, data: bytes) -> None:
        """Parse bytes until they are used up, a request has to wait, or the connection is passed on or closed."""
        self._feeding = True
        while data:
            if self._receiving is None and self._active is None:
                cached = self._application.heads.request(self, data)
                if cached is not None:
                    request, size = cached
                    self._begin(request)
                    data = data[size:]
                    if data and (self._queue or self._write_paused):
                        self._hold(data)
                        break
                    continue
                self._first = data
            piece, data = (data, b"") if len(data) <= _PIECE_BYTES else _cut(data)
            cut = self._framing.cut(piece)
            try:
                if cut is None:
                    self._input_is_malformed()
                    break
                piece, rest = cut
                data = rest + data if rest else data
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                data = piece[upgrade.args[0] :] + data
                if self._upgraded is not None:
                    if data:
                        self._upgraded.data_received(data)
                    break
                self._continue_without_upgrade()
            except httptools.HttpParserError:
                self._input_is_malformed()
            if self._is_head_open:
                self._head_bytes += len(piece)
                if self._head_bytes > self._head_bytes_max:
                    self._input_is_malformed()
            if self._discarding or self._upgraded is not None:
                break
            if data and self._is_blocked():
                self._hold(data)
                break
        self._feeding = False
        self._first = b""
        active = self._active
        if active is not None and not active.is_complete and self._body_timer is None:
            self._begin_body(active)
        if self._queue or self._paused or self._shutting_down:
            self._advance()

    def _begin_body(self, request: HttpRequest) -> None:
        """Count and time a body that has not arrived with its head."""
        self._body_timer = self._loop.call_later(self._limits.body_timeout_s, self._body_timed_out, request)
        usage = request.usage
        if usage is not None and not request.is_answered:
            try:
                usage.begin_body()
                self._body_usage = usage
            except ProblemError as raised:
                self._application.fail(request, raised)

    def _end_body(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        usage, self._body_usage = self._body_usage, None
        if usage is not None:
            usage.end_body()

    def _continue_without_upgrade(self) -> None:
        """Continue after a request whose upgrade is not accepted or not known.

        The parser stops at the end of its head. A body is read by a new parser that gets only the framing of the request.
        """
        self._parser = httptools.HttpRequestParser(self)
        request, self._is_body_next = self._receiving, False
        if request is not None and not self._discarding:
            length = request.headers.get("content-length")
            framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
            self._is_framing_repeated = True
            self._parser.feed_data(f"POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode())

    @property
    def _head_bytes_max(self) -> int:
        return _HEAD_FACTOR * self._limits.header_bytes_max + _PIECE_BYTES

    def _input_is_malformed(self) -> None:
        """Answer with 400 once the requests before are answered, and read nothing more."""
        if self._discarding:
            return
        self._discarding = True
        active = self._active
        if active is not None and not active.is_complete:
            # The request in progress itself is malformed.
            if active.is_answered:
                self._close_after_linger()
            else:
                active.keep_alive = False
                self._application.fail(active, ProblemError("malformed", "the framing of the body is not valid HTTP/1.1"))
        else:
            self._queue.append(None)

    # --- parser callbacks ------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """Start a request."""
        if self._is_framing_repeated:
            return
        if not self._framing.begin_message():
            self._input_is_malformed()
        self._receiving = HttpRequest(self)
        self._is_head_open = True
        self._head_bytes = self._header_count = 0

    def on_url(self, url: bytes) -> None:
        """Add a part of the request target."""
        if self._is_framing_repeated:
            return
        request = self._receiving
        assert request is not None
        request.target += url
        if len(request.target) > self._limits.header_bytes_max:
            self._input_is_malformed()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        if self._is_framing_repeated:
            return
        self._header_count += 1
        if self._header_count > _HEADERS_MAX or len(name) + len(value) > self._limits.header_bytes_max:
            self._input_is_malformed()
        if not self._is_head_open or self._discarding:
            return  # Trailers are ignored.
        request = self._receiving
        assert request is not None
        headers = request.headers
        key = COMMON_NAMES.get(name) or name.decode("latin-1").lower()
        text = value.decode("latin-1")
        if text[-1:] in " \t":
            text = text.rstrip(" \t")
        if key in headers:
            request.repeated = (request.repeated or frozenset()) | {key}
            text = f"{headers[key]}, {text}"
        headers[key] = text

    def on_headers_complete(self) -> None:
        """Start the request, or queue it behind the one in progress."""
        if self._is_framing_repeated:
            self._is_framing_repeated = False
            return
        request = self._receiving
        self._is_head_open = False
        if request is None or self._discarding:
            return
        parser = self._parser
        coding = request.headers.get("transfer-encoding")
        if coding is not None and (coding.lower() != "chunked" or parser.get_http_version() != "1.1"):
            self._input_is_malformed()
            return
        length = request.headers.get("content-length", "0")
        self._framing.begin_body(None if coding is not None else int(length) if length.isdecimal() else 0)
        method = parser.get_method()
        request.method = METHODS.get(method) or method.decode("latin-1")
        request.version = parser.get_http_version()
        request.keep_alive = request.version == "1.1" and parser.should_keep_alive()
        request.is_upgrade = parser.should_upgrade()
        self._is_body_next = request.is_upgrade and not request.headers.keys().isdisjoint(("content-length", "transfer-encoding"))
        if self._active is None and not self._queue and not self._write_paused:
            self._begin(request)
        else:
            self._queue.append(request)
            self._pause_reading()

    def on_body(self, body: bytes) -> None:
        """Add a part of the body."""
        request = self._receiving
        if request is None or self._discarding:
            return
        size = len(request.body) + len(body)
        if size > self._limits.body_bytes_max and request is self._active:
            if request.is_answered:
                self._close_after_linger()
            else:
                self._body_is_too_large(request)
            return
        request.body = request.body + body if request.body else body

    def on_message_complete(self) -> None:
        """Handle the request if it is the one in progress."""
        if self._is_body_next:
            return
        self._framing.end_message()
        request, self._receiving = self._receiving, None
        if request is None or self._discarding:
            return
        request.is_complete = True
        if request is self._active:
            self._body_received(request)

    # --- requests --------------------------------------------------------------------------------
    def _begin(self, request: HttpRequest) -> None:
        """Start a request whose head is complete."""
        if self._delayed_until_s and self._is_delayed(request):
            self._queue.appendleft(request)
            self._pause_reading()
            self._loop.call_at(self._delayed_until_s, self._delay_is_over)
            return
        self._active = request
        if self._is_known:
            self._application.check(request)
        else:
            self._check_unknown(request)
        if self._first and not request.is_answered and request is self._receiving:
            self._application.heads.add(request, self._first)
        self._first = b""
        if not request.is_answered and len(request.body) > self._limits.body_bytes_max:
            self._body_is_too_large(request)
        if self._upgraded is not None or self._discarding:
            return
        if request.is_complete:
            self._body_received(request)
        elif request.expects_continue and not request.is_answered and self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _check_unknown(self, request: HttpRequest) -> None:
        """Check a request of a connection on which no valid credential has arrived yet."""
        keep_alive = request.keep_alive
        if self.is_reserved:
            request.keep_alive = False
        self._application.check(request)
        if request.credential is None:
            return
        if self.authenticate():
            request.keep_alive = keep_alive
        elif not request.is_answered:
            self._application.fail(request, ProblemError("busy", CONNECTIONS_FULL_DETAIL))

    def _is_delayed(self, request: HttpRequest) -> bool:
        """Return whether a request arrives before the delay after a refused one is over."""
        if not self._delays_all and not (request.method == "POST" and request.target == b"/v1/contacts"):
            return False
        return self._loop.time() < self._delayed_until_s

    def _delay_is_over(self) -> None:
        self._delayed_until_s = 0.0
        self._delays_all = False
        self._advance()

    def _body_received(self, request: HttpRequest) -> None:
        if self._body_timer is not None:
            self._end_body()
        if not request.is_answered:
            self._application.handle(request)
        elif self._active is request:
            self._end_active()

    def _body_is_too_large(self, request: HttpRequest) -> None:
        limit = self._limits.body_bytes_max
        self._application.fail(request, ProblemError("too_large", f"the limit is {limit} bytes"))

    def _body_timed_out(self, request: HttpRequest) -> None:
        self._end_body()
        if request.is_answered:
            self._close()
            return
        timeout_s = self._limits.body_timeout_s
        raised = ProblemError("body_timeout", f"the body must arrive within {timeout_s:g} s")
        self._application.fail(request, raised)

    def send_response(self, request: HttpRequest, data: bytes, *, closes: bool) -> None:
        """Write the response to the request in progress and continue with the next one."""
        transport = self.transport
        if transport is None or transport.is_closing() or request is not self._active:
            return
        transport.write(data)
        if request.pause_s:
            self._delayed_until_s = self._loop.time() + request.pause_s
            self._delays_all = True
        elif request.delays_next_submit and not self._delays_all:
            self._delayed_until_s = self._loop.time() + self._pause_s
        if closes or self._shutting_down:
            if request.is_complete and not self._queue and not self._held:
                self._close()
            else:
                self._close_after_linger()
        elif request.is_complete:
            self._end_active()

    def _end_active(self) -> None:
        self._active = None
        self._idle_since_s = self._loop.time()
        self._idle_timeout_s = self._limits.keepalive_s
        if not self._feeding and (self._queue or self._paused or self._shutting_down):
            self._loop.call_soon(self._advance)

    def _advance(self) -> None:
        """Start queued requests, then parse held bytes, as far as nothing has to wait."""
        while self._queue and self._active is None and not self._write_paused:
            if self.transport is None or self.transport.is_closing():
                return
            request = self._queue.popleft()
            if request is None:
                self.transport.write(self._application.malformed_response())
                self._close_after_linger()
                return
            self._begin(request)
            if self._queue and self._queue[0] is request:
                return  # Delayed.
        if self._shutting_down and self._active is None:
            self._close()
        elif self._held and not self._feeding and not self._discarding and not self._is_blocked():
            held, self._held = self._held, b""
            self._resume_reading()
            self._feed(held)
        elif not self._held and not self._is_blocked():
            self._resume_reading()

    # --- writing ---------------------------------------------------------------------------------
    def pause_writing(self) -> None:
        """Stop handling requests while the client does not read its responses."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Continue once the client reads its responses again."""
        self._write_paused = False
        self._loop.call_soon(self._advance)


def _cut(data: bytes) -> tuple[bytes, bytes]:
    return data[:_PIECE_BYTES], data[_PIECE_BYTES:]
