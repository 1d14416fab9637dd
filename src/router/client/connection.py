"""Reconnecting WebSocket connection: successive connections presented as one gap-free stream of frames.

Theory of operation
-------------------

One runner task (``_run``) opens a connection, reads it until it ends, waits for the backoff and opens the next one. It ends
only when this side closes, when the router closes with a code that forbids to reconnect, or when the token cannot be renewed.

*Resuming.* The position is (``history_id``, ``seq``): every event up to ``seq`` has been delivered or was not addressed to this
client. Each ``hello`` carries it. The router then either sends ``resumed`` and the missed events, or, if it no longer holds
them, a new ``welcome`` with the full state; the reader receives that frame in the stream, because the events before it are
lost to it. An event whose number is not greater than ``seq`` is a duplicate and ignored. A large state arrives as a ``welcome``
and several pages; the connection counts as established after the last page.

*Reading.* The connection's reader applies each frame to the local state (``on_frame``) and appends it to a bounded buffer from
which ``events`` delivers. If the buffer is full, the event is neither applied nor counted as received and the connection is
aborted; the runner reconnects when half of the buffer has been read, and resumes with that event. Memory is therefore bounded
on both sides, and a slow reader loses no event.

*Commands.* ``request`` sends a frame with an id of its own and waits for the ``ok``, ``pong`` or ``error`` frame with that id. If
the connection is lost in between, the outcome is unknown and the caller gets ``OutcomeUnknown``; this class never sends a command
twice. At most ``COMMANDS_IN_FLIGHT_MAX`` commands are in flight, later ones wait.

*Heartbeat.* Beside the reader, one task per connection sends a ``ping`` each ``heartbeat_s`` seconds and aborts the connection
if no answer arrives within half of that, and fetches a fresh token before the present one expires. The ``pong`` also advances
``seq``, so that a client with few events of its own resumes from a recent position.
"""

import asyncio
import contextlib
import itertools
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from ssl import SSLCertVerificationError, SSLContext, SSLError
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from router.client.errors import ClientError, NotConnected, OutcomeUnknown, PermanentlyClosed, RouterRefused
from router.client.reconnect import Backoff, TokenProvider, TokenSource, refresh_after_s
from router.protocol import frames as f
from router.protocol.close_codes import CloseCode, may_reconnect
from router.protocol.codec import MSGPACK, SUBPROTOCOLS, FrameDecoder, MalformedFrame, frame_encoder

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
EVENT_BUFFER_MAX: Final = 10_000
COMMANDS_IN_FLIGHT_MAX: Final = 1_000
# HTTP status codes of the handshake after which another attempt would fail in the same way.
_PERMANENT_HTTP_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 426})

# The peer speaks no TLS.
_NOT_TLS_REASONS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})

# Frames that a program reads.
DeliveredFrame = f.WelcomeFrame | f.EventFrame | f.StatsFrame
# Frames that change the local state.
ReceivedUpdate = (
    DeliveredFrame | f.StatePageFrame | f.ResumedFrame | f.CardFrame | f.CardChangedFrame | f.StatisticsFrame | f.ScopeFrame
)


class _UnknownFrame(msgspec.Struct):
    """Frame of a type that this version does not know: only its position in the stream matters."""

    type: str
    seq: int | None = None


class ConnectionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Timeouts and limits of a client."""

    connect_timeout_s: float = 30.0
    """Maximum wait for a connection, when the client is entered and for a command sent without a connection."""
    command_timeout_s: float = 30.0
    """Maximum wait for the answer to a command; after it the outcome is unknown."""
    event_buffer_max: int = EVENT_BUFFER_MAX
    """Limit of buffered events that the application has not read; beyond it the connection is closed until half are read."""
    deliver_events: bool = True
    """Whether the application reads events; False: events only update the local state and are not buffered."""
    ssl: SSLContext | None = None
    """TLS settings for ``wss`` URLs, for example a private authority: ``ssl.create_default_context(cafile="ca.pem")``; None: the
    authorities of the system."""
    proxy: str | None = None
    """URL of an HTTP or SOCKS proxy; proxy settings of the environment are ignored."""
    prefer_leader: bool = False
    """Whether a connection after the first one names the router that leads the workspace in the header ``Router-Leader``, so that
    a load balancer that knows it can choose that router; see docs/how-to/cluster.md."""
    backoff_base_s: float = 1.0
    """Upper bound of the first reconnect delay; it doubles with each attempt."""
    backoff_max_s: float = 30.0
    """Upper bound of every reconnect delay."""


def describe_failure(error: BaseException) -> str:
    """Return the reason why a connection could not be made, in one line for people."""
    if isinstance(error, SSLCertVerificationError):
        return f"the router's certificate is not valid: {error.verify_message.rstrip('.')}"
    if isinstance(error, SSLError):
        return f"no TLS connection: {error.reason or error}; is wss:// right for this port?"
    if isinstance(error, socket.gaierror):
        return f"unknown host: {error.strerror}"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, OSError):
        return str(error) or type(error).__name__
    detail = f" ({error.__cause__})" if error.__cause__ is not None else ""
    return f"{error or type(error).__name__}{detail}"


def _cannot_get_better(failure: Exception) -> bool:
    """Return whether a first attempt would fail again: the certificate, the protocol or the host is wrong."""
    if isinstance(failure, socket.gaierror):
        return failure.errno == socket.EAI_NONAME
    return isinstance(failure, SSLCertVerificationError) or (isinstance(failure, SSLError) and failure.reason in _NOT_TLS_REASONS)


def _check_url(url: str, options: ConnectionOptions) -> None:
    """Check what no attempt could change. Raises ValueError."""
    try:
        uri = parse_uri(url)
    except (InvalidURI, ValueError):
        raise ValueError("url must be ws://host:port or wss://host:port, with a port from 1 to 65535") from None
    if options.ssl is not None and not uri.secure:
        raise ValueError("ssl is for wss:// URLs only")


class ReconnectingConnection:
    """Stream of frames of one client over any number of successive connections."""

    def __init__(
        self,
        url: str,
        token: str | TokenProvider,
        *,
        codec: str,
        options: ConnectionOptions,
        on_frame: Callable[[ReceivedUpdate], None],
    ) -> None:
        if codec not in ("json", "msgpack"):
            raise ValueError("codec is `json` or `msgpack`")
        _check_url(url, options)
        self.welcome: f.WelcomeFrame | None = None
        self.history_id = ""
        self.seq = 0
        self.connection_count = 0
        """Number of connections so far."""
        self._url = url
        self._tokens = TokenSource(token)
        self._options = options
        # The library refuses `ssl=None` for wss, and any other value for ws.
        self._tls_options: dict[str, Any] = {} if options.ssl is None else {"ssl": options.ssl}
        self._on_frame = on_frame
        self._subprotocol = MSGPACK if codec == "msgpack" else SUBPROTOCOLS[0]
        self._decoder = FrameDecoder(f.ServerFrame, self._subprotocol)
        self._unknown_decoder = FrameDecoder(_UnknownFrame, self._subprotocol)
        self._encoder = frame_encoder(self._subprotocol)
        self._backoff = Backoff(base_s=options.backoff_base_s, max_s=options.backoff_max_s)
        self._frame_ids = itertools.count(1)
        self._ws: ClientConnection | None = None
        self._live = asyncio.Event()
        self._pending_answers: dict[str, asyncio.Future[f.OkFrame | f.PongFrame]] = {}
        self._commands_in_flight = asyncio.Semaphore(COMMANDS_IN_FLIGHT_MAX)
        self._events: deque[DeliveredFrame] = deque()
        self._frames_available = asyncio.Event()
        self._buffer_has_space = asyncio.Event()
        self._buffer_has_space.set()
        self._pages_left = 0
        """State pages of the present welcome that have not arrived yet."""
        self.leader_url: str | None = None
        """What the router that leads the workspace advertises, as the newest connection has told; None: nothing."""
        self._retry_after_s: float | None = None
        self._final_error: ClientError | None = None
        self._last_failure: Exception | None = None
        self._runner: asyncio.Task[None] | None = None

    # --- open and close ---------------------------------------------------------------------------
    async def open(self) -> None:
        """Connect and wait for the initial state. Raises PermanentlyClosed or NotConnected."""
        self._runner = asyncio.create_task(self._run())
        self._runner.add_done_callback(self._on_runner_done)
        entered = False
        try:
            await self._wait_connected()
            entered = True
        finally:
            if not entered:
                await self.close()

    async def close(self) -> None:
        """Close the connection and end the stream. Idempotent."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
            self._runner = None
        self._end_with(PermanentlyClosed(CloseCode.NORMAL, "closed by this side"))

    async def abort(self) -> None:
        """Abort the present connection without a closing handshake; the next one resumes."""
        if self._ws is not None:
            self._ws.transport.abort()

    @property
    def is_connected(self) -> bool:
        """Whether commands can be sent at once."""
        return self._live.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether there will be no further connection."""
        return self._final_error is not None

    # --- commands -----------------------------------------------------------------------------------
    def next_id(self) -> str:
        """Return the id for the next frame, unique within this client."""
        return str(next(self._frame_ids))

    async def request(self, frame: Any) -> f.OkFrame | f.PongFrame:
        """Send a frame and wait for its answer.

        Raises RouterRefused, OutcomeUnknown, NotConnected or PermanentlyClosed.
        """
        async with self._commands_in_flight:
            ws = await self._wait_open_socket()
            answer: asyncio.Future[f.OkFrame | f.PongFrame] = asyncio.get_running_loop().create_future()
            self._pending_answers[frame.id] = answer
            try:
                async with asyncio.timeout(self._options.command_timeout_s):
                    await ws.send(self._encode(frame))
                    return await answer
            except ConnectionClosed:
                raise OutcomeUnknown("the connection was lost") from None
            except TimeoutError:
                raise OutcomeUnknown(f"no answer within {self._options.command_timeout_s:g} s") from None
            finally:
                self._pending_answers.pop(frame.id, None)

    async def _wait_open_socket(self) -> ClientConnection:
        """Wait for a connection that is not closing: a frame passed to a closing one would never be sent."""
        while True:
            await self._wait_connected()
            if self._ws is not None and self._ws.state is State.OPEN:
                return self._ws
            self._live.clear()  # Wait here until the reader has noticed, instead of spinning.

    async def _wait_connected(self) -> None:
        if self._final_error is not None:
            raise self._final_error
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._live.wait()
        except TimeoutError:
            failure = self._last_failure
            reason = "no answer to the handshake" if failure is None else f"last attempt: {describe_failure(failure)}"
            raise NotConnected(f"no connection within {self._options.connect_timeout_s:g} s; {reason}") from failure
        if self._final_error is not None:
            raise self._final_error

    def _encode(self, frame: Any) -> bytes | str:
        data = self._encoder.encode(frame)
        return data if self._subprotocol == MSGPACK else data.decode()

    # --- events -------------------------------------------------------------------------------------
    async def events(self) -> AsyncIterator[DeliveredFrame]:
        """Iterate over the frames in order; a ``Welcome`` in between means that the state was loaded again.

        Ends when this side closes; otherwise raises the exception that ended the stream.
        """
        while True:
            while self._events:
                frame = self._events.popleft()
                if len(self._events) <= self._options.event_buffer_max // 2:
                    self._buffer_has_space.set()
                yield frame
            if self._final_error is not None:
                if isinstance(self._final_error, PermanentlyClosed) and self._final_error.code == CloseCode.NORMAL:
                    return
                raise self._final_error
            self._frames_available.clear()
            await self._frames_available.wait()

    def _buffer_frame(self, frame: DeliveredFrame) -> bool:
        """Append a frame to the reader's buffer; return False if it is full."""
        if self._options.deliver_events:
            if len(self._events) >= self._options.event_buffer_max:
                return False
            self._events.append(frame)
            self._frames_available.set()
        return True

    # --- connections ----------------------------------------------------------------------------------
    async def _run(self) -> None:
        while True:
            code, text = None, ""
            began = time.monotonic()
            try:
                await self._buffer_has_space.wait()
                code, text = await self._run_connection()
            except PermanentlyClosed as final:
                self._end_with(final)
                return
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as failure:
                # All ways to lose a connection have the same consequence: reconnect. Only a first attempt can fail for good.
                self._last_failure = failure
                if not self.connection_count and _cannot_get_better(failure):
                    final_error = NotConnected(describe_failure(failure))
                    final_error.__cause__ = failure
                    self._end_with(final_error)
                    return
            finally:
                self._on_disconnect()
            if code == CloseCode.TOKEN_EXPIRED and not self._tokens.is_renewable:
                self._end_with(PermanentlyClosed(code, "the token has expired"))
                return
            if not may_reconnect(code):
                self._end_with(PermanentlyClosed(code or 0, text))
                return
            if code is not None:
                self._last_failure = ConnectionError(f"the router closed with {code} {text}".rstrip())
            self._backoff.connection_lasted(time.monotonic() - began)
            requested_s, self._retry_after_s = self._retry_after_s, None
            await asyncio.sleep(self._backoff.next_delay_s(requested_s))

    def _on_runner_done(self, runner: asyncio.Task[None]) -> None:
        """End the stream if the runner failed (token provider, frame handler), so that no caller waits permanently."""
        if not runner.cancelled() and (error := runner.exception()) is not None:
            broken = PermanentlyClosed(CloseCode.INTERNAL_ERROR, type(error).__name__)
            broken.__cause__ = error
            self._end_with(broken)

    async def _run_connection(self) -> tuple[int | None, str]:
        """Open one connection, read it to its end, and return its close code and reason."""
        token = await self._tokens.fetch()
        async with self._connect(token) as ws:
            hello = f.HelloFrame(resume=f"{self.history_id}:{self.seq}" if self.history_id else None)
            await ws.send(self._encode(hello))
            self._ws = ws
            self.connection_count += 1
            side_work = asyncio.create_task(self._heartbeat_and_refresh(ws, token))
            try:
                await self._read_frames(ws)
            finally:
                side_work.cancel()
                await asyncio.gather(side_work, return_exceptions=True)
        return ws.close_code, ws.close_reason or ""

    @contextlib.asynccontextmanager
    async def _connect(self, token: str) -> AsyncIterator[ClientConnection]:
        headers = {"Authorization": f"Bearer {token}"}
        if self._options.prefer_leader and self.leader_url is not None:
            # Told once: where the attempt fails, the next one leaves the choice to the load balancer.
            headers["Router-Leader"], self.leader_url = self.leader_url, None
        try:
            ws = await connect(
                self._url,
                subprotocols=[Subprotocol(self._subprotocol)],
                additional_headers=headers,
                compression=None,
                max_size=FRAME_BYTES_MAX,
                ping_interval=None,
                open_timeout=self._options.connect_timeout_s,
                **self._tls_options,
                close_timeout=2.0,
                proxy=self._options.proxy,
            )
        except InvalidStatus as refused:
            status = refused.response.status_code
            if status in _PERMANENT_HTTP_STATUSES and not (status == 401 and self._may_retry_with_new_token()):
                raise PermanentlyClosed(status, "refused before the upgrade") from None
            with contextlib.suppress(ValueError):
                self._retry_after_s = float(refused.response.headers.get("Retry-After") or 0)
            raise
        self._token_rejections = 0
        try:
            yield ws
        finally:
            await ws.close()

    _token_rejections = 0

    def _may_retry_with_new_token(self) -> bool:
        """Allow one more attempt after a 401 status: a token from a provider may have expired in transit."""
        self._token_rejections += 1
        return self._tokens.is_renewable and self._token_rejections < 2

    async def _read_frames(self, ws: ClientConnection) -> None:
        self._pages_left = 0
        with contextlib.suppress(ConnectionClosed):
            async for data in ws:
                if not self.receive(data):
                    return

    def receive(self, data: bytes | str) -> bool:
        """Process one message of the router; return False if the buffer is full and the message was not taken."""
        frame = self._decode(data)
        match frame:
            case f.EventFrame():
                return self._on_event(frame)
            case f.OkFrame() | f.PongFrame() | f.ErrorFrame():
                self._on_answer(frame)
            case f.WelcomeFrame():
                self.leader_url = frame.leader_url
                self._pages_left = frame.state_page_count
                self._on_frame(frame)
                self.welcome = frame
                if not self._pages_left:
                    self._on_state_complete(frame)
            case f.StatePageFrame():
                self._pages_left -= 1
                self._on_frame(frame)
                if not self._pages_left and self.welcome is not None:
                    self._on_state_complete(self.welcome)
            case f.ResumedFrame():
                self.leader_url = frame.leader_url
                self._on_frame(frame)
                self._mark_connected()
            case f.CardFrame() | f.CardChangedFrame() | f.StatisticsFrame() | f.ScopeFrame():
                self._on_frame(frame)
            case f.StatsFrame():
                self._on_frame(frame)
                self._buffer_frame(frame)
            case f.ReconnectFrame():
                self._retry_after_s = 0.0
            case _UnknownFrame(type="event", seq=int(seq)):
                self.seq = max(self.seq, seq)
        return True

    def _decode(self, data: bytes | str) -> Any:
        try:
            return self._decoder.decode(data)
        except MalformedFrame:
            # A frame of an unknown type is ignored, except for its sequence number.
            return self._unknown_decoder.decode(data)

    def _on_event(self, frame: f.EventFrame) -> bool:
        if frame.seq <= self.seq:
            return True  # Duplicate.
        if not self._buffer_frame(frame):
            # The event is not counted as received, so the next connection resumes with it.
            self._buffer_has_space.clear()
            if self._ws is not None:
                self._ws.transport.abort()  # A closing handshake would first have to read the remaining frames.
            return False
        self._on_frame(frame)
        self.seq = frame.seq
        return True

    def _on_state_complete(self, welcome: f.WelcomeFrame) -> None:
        if self.history_id:
            # Appended even to a full buffer, which then exceeds its limit by one: it replaces any number of events.
            self._events.append(welcome)
            self._frames_available.set()
        self.history_id, self.seq = welcome.history_id, welcome.seq
        self._mark_connected()

    def _mark_connected(self) -> None:
        self._live.set()

    def _on_answer(self, frame: f.OkFrame | f.PongFrame | f.ErrorFrame) -> None:
        if isinstance(frame, f.ErrorFrame) and frame.code == "rate_limited":
            self._retry_after_s = (frame.retry_after_ms or 0) / 1000
        future = self._pending_answers.get(frame.id) if frame.id is not None else None
        if future is None or future.done():
            return
        if isinstance(frame, f.ErrorFrame):
            future.set_exception(RouterRefused(frame))
        else:
            future.set_result(frame)

    def _on_disconnect(self) -> None:
        self._live.clear()
        self._ws = None
        for future in self._pending_answers.values():
            if not future.done():
                future.set_exception(OutcomeUnknown("the connection was lost"))

    def _end_with(self, error: ClientError) -> None:
        if self._final_error is None:
            self._final_error = error
        self._live.set()  # Wake the callers that wait for a connection; they raise the error.
        self._frames_available.set()

    # --- heartbeat and token refresh ------------------------------------------------------------------
    async def _heartbeat_and_refresh(self, ws: ClientConnection, token: str) -> None:
        """Send heartbeats and refresh the token on a connection until it ends."""
        await self._live.wait()
        refresh_s = refresh_after_s(token) if self._tokens.is_renewable else None
        refresh_at = None if refresh_s is None else time.monotonic() + refresh_s
        beat_s = float(self.welcome.heartbeat_s) if self.welcome else 20.0
        while True:
            pause_s = beat_s
            if refresh_at is not None:
                pause_s = min(pause_s, max(0.0, refresh_at - time.monotonic()))
            await asyncio.sleep(pause_s)
            if refresh_at is not None and time.monotonic() >= refresh_at:
                token = await self._tokens.fetch()
                with contextlib.suppress(ClientError):
                    await self.request(f.RefreshFrame(id=self.next_id(), token=token))
                refresh_s = refresh_after_s(token)
                refresh_at = None if refresh_s is None else time.monotonic() + refresh_s
                continue
            if not await self._send_heartbeat(ws, beat_s / 2):
                ws.transport.abort()  # Half-open connection: the peer would not answer a closing handshake.
                return

    async def _send_heartbeat(self, ws: ClientConnection, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                pong = await self.request(f.PingFrame(id=self.next_id()))
        except TimeoutError:
            return False
        except ClientError:
            return True  # Either an answer (a refusal), or a loss that the reader has noticed already.
        if isinstance(pong, f.PongFrame) and self._ws is ws:
            self.seq = max(self.seq, pong.seq)
        return True
