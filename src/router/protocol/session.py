"""Session state machine of one WebSocket, sans-I/O: received frames and times in, effects out.

A session passes the phases of ``SessionPhase``: it awaits ``hello``, authenticates the credential, starts the stream, is live
and closes. Its rules are: ``hello`` is the first frame and is sent once; the identity never changes, although its token may be
refreshed; frames are rate-limited; a number of consecutive malformed frames closes; the session ends when the credential expires.

Rate limit: a frame above the rate is not executed and is told when to go on (``retry_after_ms``). A client that sends nothing
before that time is never closed, however often it reaches the limit. Frames that arrive earlier may have been sent before the
client had read this, so up to a burst of them is refused in the same way; one more closes the session.

The machine reads no clock, verifies no token and uses no socket. Each method returns effects, which the server must carry out
in order; after ``Authenticate``, ``Reauthenticate`` and ``StartStream`` it reports the outcome by the method named there.
``now_ms`` is a monotonic clock, and a credential's ``expires_at_ms`` is on the same clock.
"""

import math
from enum import StrEnum
from typing import Any, Final, TypeAlias

from msgspec import Struct

from router.model.filters import SupervisorScope
from router.protocol.close_codes import CloseCode
from router.protocol.frames import (
    CustomerFrame,
    DesktopFrame,
    ErrorFrame,
    GatewayFrame,
    HelloFrame,
    OkFrame,
    PingFrame,
    RefreshFrame,
    ServerFrame,
    SupervisorFrame,
)
from router.protocol.problem_types import PROBLEMS

HELLO_TIMEOUT_MS: Final = 5_000
# Consecutive malformed frames that are answered with an error; one more closes the connection.
BAD_FRAMES_MAX: Final = 5


class Endpoint(StrEnum):
    """WebSocket endpoint. It determines the permitted roles and the accepted frames."""

    DESKTOP = "desktop"
    GATEWAY = "gateway"
    SUPERVISOR = "supervisor"
    CUSTOMER = "customer"

    @property
    def roles(self) -> frozenset[str]:
        """Return the roles that may use this endpoint."""
        return _ROLES[self]

    @property
    def client_frames(self) -> Any:
        """Return the union of the frames that a client may send."""
        return _CLIENT_FRAMES[self]


_ROLES: Final = {
    Endpoint.DESKTOP: frozenset({"agent"}),
    Endpoint.GATEWAY: frozenset({"gateway"}),
    Endpoint.SUPERVISOR: frozenset({"supervisor", "admin"}),
    Endpoint.CUSTOMER: frozenset({"customer"}),
}
_CLIENT_FRAMES: Final[dict[Endpoint, Any]] = {
    Endpoint.DESKTOP: DesktopFrame,
    Endpoint.GATEWAY: GatewayFrame,
    Endpoint.SUPERVISOR: SupervisorFrame,
    Endpoint.CUSTOMER: CustomerFrame,
}


class SessionIdentity(Struct, frozen=True, kw_only=True):
    """A verified identity and the expiry of its credential."""

    subject: str
    role: str
    workspace: str
    expires_at_ms: int
    scope: SupervisorScope | None = None
    """Queues and teams to which a supervisor is limited; none: unlimited."""

    def is_same_as(self, other: "SessionIdentity") -> bool:
        """Return whether both have the same subject, role, workspace and scope."""
        return (self.subject, self.role, self.workspace, self.scope) == (other.subject, other.role, other.workspace, other.scope)


class TokenBucket:
    """Token bucket: ``burst`` at once, ``per_s`` on average. The only one: frames, requests, logins and upgrades use it."""

    __slots__ = ("_burst", "_per_ms", "_setting", "_tokens", "_updated_at_ms")

    def __init__(self, per_s: float, burst: float, *, now_ms: float, setting: str = "") -> None:
        """Start with a full bucket. ``setting`` is the name of the setting with the rate, for the errors of who exceeds it."""
        self._setting = setting
        self._per_ms = per_s / 1000
        self._burst = float(burst)
        self._tokens = float(burst)
        self._updated_at_ms = now_ms

    def try_acquire(self, now_ms: float) -> bool:
        """Take one token; return false if there is none."""
        passed = max(0.0, now_ms - self._updated_at_ms)
        self._tokens = min(self._burst, self._tokens + passed * self._per_ms)
        self._updated_at_ms = now_ms
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def is_exhausted(self, now_ms: float) -> bool:
        """Return whether there is no token now."""
        passed = max(0.0, now_ms - self._updated_at_ms)
        return self._tokens + passed * self._per_ms < 1

    @property
    def wait_s(self) -> float:
        """Time until the next token, as of the last attempt; in seconds, at least 0."""
        return max(0.0, (1 - self._tokens) / (self._per_ms * 1000))

    def limit_text(self, what: str) -> str:
        """Return the sentence that names the limit to a client above it; ``what`` is what the bucket counts."""
        unit, per_unit = ("second", 1_000) if self._per_ms >= 0.001 else ("minute", 60_000)
        return f"at most {self._per_ms * per_unit:,.5g} {what} a {unit}, in a burst {self._burst:,.7g} (`{self._setting}`)"

    @property
    def burst(self) -> float:
        """Number of tokens of a full bucket."""
        return self._burst

    @property
    def taken(self) -> float:
        """Number of tokens missing from a full bucket, as of the last attempt."""
        return self._burst - self._tokens

    @property
    def refill_ms(self) -> int:
        """Return the time until half of the burst, and at least one token, is available again; rounded up."""
        return max(1, math.ceil((max(1.0, self._burst / 2) - self._tokens) / self._per_ms))


# --- effects: what the server does next, in order ------------------------------------------------


class SendFrame(Struct, frozen=True):
    """Send this frame."""

    frame: ServerFrame


class Authenticate(Struct, frozen=True, kw_only=True):
    """Verify the token or the ticket, then call ``authenticated`` or ``authentication_failed``."""

    token: str | None
    ticket: str | None


class StartStream(Struct, frozen=True):
    """Send the full state or, with ``resume``, the events after that position; then call ``started``."""

    resume: str | None


class Reauthenticate(Struct, frozen=True):
    """Verify the token, then call ``refreshed``."""

    id: str
    token: str


class SendPong(Struct, frozen=True):
    """Send a ``pong``."""

    id: str


class ExecuteCommand(Struct, frozen=True):
    """Execute the command of a frame and answer with exactly one ``ok`` or ``error``."""

    frame: Any


class CloseConnection(Struct, frozen=True):
    """Close the connection with this code; read nothing more."""

    code: CloseCode
    reason: str


Effect: TypeAlias = SendFrame | Authenticate | StartStream | Reauthenticate | SendPong | ExecuteCommand | CloseConnection


class SessionPhase(StrEnum):
    """Phase of a session."""

    AWAIT_HELLO = "await_hello"
    AUTHENTICATING = "authenticating"
    STARTING = "starting"
    LIVE = "live"
    CLOSING = "closing"


_LIVE, _CLOSING = SessionPhase.LIVE, SessionPhase.CLOSING
# Frames of the session itself; all others are commands.
_SESSION_FRAMES: Final = frozenset({HelloFrame, PingFrame, RefreshFrame})


class Session:
    """Session of one connection, from the upgrade to the close."""

    __slots__ = (
        "_bad_frames",
        "_bad_frames_max",
        "_endpoint",
        "_excess_frames",
        "_hello_until_ms",
        "_resume",
        "_silent_until_ms",
        "identity",
        "phase",
        "rate_limiter",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        now_ms: int,
        rate_limiter: TokenBucket,
        identity: SessionIdentity | None = None,
        hello_timeout_ms: int = HELLO_TIMEOUT_MS,
        bad_frames_max: int = BAD_FRAMES_MAX,
    ) -> None:
        self.phase = SessionPhase.AWAIT_HELLO
        self.identity = identity
        self._endpoint = endpoint
        self.rate_limiter = rate_limiter
        """Bucket of the frames; the server replaces it by that of the credential, which all its sockets and requests share."""
        self._hello_until_ms = now_ms + hello_timeout_ms
        self._bad_frames_max = bad_frames_max
        self._bad_frames = 0
        self._silent_until_ms = 0
        """Time before which the client was told to send nothing."""
        self._excess_frames = 0
        """Frames received before that time."""
        self._resume: str | None = None

    # --- frames -----------------------------------------------------------------------------
    def receive(self, frame: Any, now_ms: int) -> list[Effect]:
        """Process a valid frame."""
        if late := self._check_limits(frame, now_ms):
            return late
        if self.phase is not _LIVE:
            return self._receive_before_live(frame, now_ms)
        self._bad_frames = 0
        if type(frame) not in _SESSION_FRAMES:
            return [ExecuteCommand(frame)]
        match frame:
            case PingFrame(id=id):
                return [SendPong(id)]
            case RefreshFrame(id=id, token=token):
                return [Reauthenticate(id, token)]
            case _:
                return self._close(CloseCode.UNAUTHENTICATED, "hello may be sent only once")

    def _receive_before_live(self, frame: Any, now_ms: int) -> list[Effect]:
        if self.phase is SessionPhase.CLOSING:
            return []
        if self.phase is SessionPhase.AWAIT_HELLO:
            return self._receive_hello(frame, now_ms)
        return self._close(CloseCode.UNAUTHENTICATED, "no frame is allowed before the welcome")

    def receive_malformed(self, reason: str, id: str | None, now_ms: int, field: str | None = None) -> list[Effect]:
        """Process a malformed frame: ``reason`` says what would be valid, ``field`` is the path of the invalid field."""
        if late := self._check_limits(None, now_ms, id=id):
            return late
        if self.phase is SessionPhase.CLOSING:
            return []
        self._bad_frames += 1
        error = SendFrame(error_frame("malformed", id=id, detail=reason, field=field))
        if self.phase is not SessionPhase.LIVE:
            return [error, *self._close(CloseCode.BAD_MESSAGE, "a valid hello is required first")]
        if self._bad_frames > self._bad_frames_max:
            return self._close(CloseCode.BAD_MESSAGE, "too many malformed frames")
        return [error]

    def receive_control(self, now_ms: int) -> list[Effect]:
        """Process a WebSocket ping, which counts as a frame for the rate limit."""
        return self._check_limits(None, now_ms)

    def _check_limits(self, frame: Any, now_ms: int, *, id: str | None = None) -> list[Effect]:
        """Check deadlines and the rate limit before a frame is processed."""
        if self.phase is _CLOSING:
            return []
        identity = self.identity
        in_time = self.phase is _LIVE and identity is not None and now_ms < identity.expires_at_ms
        if not in_time and (effects := self.tick(now_ms)):
            return effects
        limiter = self.rate_limiter
        if limiter.try_acquire(now_ms):
            return []
        if now_ms >= self._silent_until_ms:
            # The limit is reached, or reached again after the client had waited.
            self._silent_until_ms = now_ms + limiter.refill_ms
            self._excess_frames = 0
        else:
            self._excess_frames += 1
            if self._excess_frames > limiter.burst:
                return self._close(CloseCode.RATE_LIMITED, "too many frames")
        return [
            SendFrame(
                error_frame(
                    "rate_limited",
                    id=id if frame is None else getattr(frame, "id", None),
                    detail=limiter.limit_text("frames"),
                    retry_after_ms=self._silent_until_ms - now_ms,
                )
            )
        ]

    # --- authentication -------------------------------------------------------------------------
    def _receive_hello(self, frame: Any, now_ms: int) -> list[Effect]:
        if not isinstance(frame, HelloFrame):
            return self._close(CloseCode.UNAUTHENTICATED, "hello must be the first frame")
        self._resume = frame.resume
        credentials = (frame.token is not None) + (frame.ticket is not None)
        if self.identity is not None:
            if credentials:
                return self._close(CloseCode.UNAUTHENTICATED, "already authenticated")
            return self.authenticated(self.identity, now_ms)
        if credentials != 1:
            return self._close(CloseCode.UNAUTHENTICATED, "hello needs exactly one of token and ticket")
        self.phase = SessionPhase.AUTHENTICATING
        return [Authenticate(token=frame.token, ticket=frame.ticket)]

    def authenticated(self, identity: SessionIdentity, now_ms: int) -> list[Effect]:
        """Report that the credential is valid."""
        if self.phase is SessionPhase.CLOSING:
            return []
        assert self.phase in (SessionPhase.AUTHENTICATING, SessionPhase.AWAIT_HELLO)
        if identity.role not in self._endpoint.roles:
            return self._close(CloseCode.FORBIDDEN, "the role may not use this endpoint")
        if identity.expires_at_ms <= now_ms:
            return self._close(CloseCode.TOKEN_EXPIRED, "token expired")
        self.identity = identity
        self.phase = SessionPhase.STARTING
        return [StartStream(self._resume)]

    def authentication_failed(self) -> list[Effect]:
        """Report that the credential is invalid."""
        return self._close(CloseCode.UNAUTHENTICATED, "not authenticated")

    def started(self) -> list[Effect]:
        """Report that the state has been sent; commands are accepted from now on."""
        if self.phase is SessionPhase.STARTING:
            self.phase = SessionPhase.LIVE
        return []

    def refreshed(self, id: str, identity: SessionIdentity | None, now_ms: int) -> list[Effect]:
        """Report the outcome of ``Reauthenticate``; none: the token is invalid, and the old one stays valid."""
        if self.phase is SessionPhase.CLOSING:
            return []
        if identity is None or identity.expires_at_ms <= now_ms:
            return [SendFrame(error_frame("unauthenticated", id=id))]
        assert self.identity is not None
        if not identity.is_same_as(self.identity):
            error = SendFrame(error_frame("forbidden", id=id))
            return [error, *self._close(CloseCode.UNAUTHENTICATED, "the token has another identity")]
        self.identity = identity
        return [SendFrame(OkFrame(id=id))]

    # --- time -------------------------------------------------------------------------------------
    def deadline_ms(self) -> int | None:
        """Return when ``tick`` must be called; none: never."""
        if self.phase is SessionPhase.CLOSING:
            return None
        if self.phase in (SessionPhase.AWAIT_HELLO, SessionPhase.AUTHENTICATING):
            return self._hello_until_ms
        assert self.identity is not None
        return self.identity.expires_at_ms

    def tick(self, now_ms: int) -> list[Effect]:
        """Close the session if its deadline has passed."""
        deadline_ms = self.deadline_ms()
        if deadline_ms is None or now_ms < deadline_ms:
            return []
        if self.phase in (SessionPhase.AWAIT_HELLO, SessionPhase.AUTHENTICATING):
            return self._close(CloseCode.UNAUTHENTICATED, "no hello in time")
        return self._close(CloseCode.TOKEN_EXPIRED, "token expired")

    def mark_closed(self) -> None:
        """Report that the server closes the connection for another reason."""
        self.phase = SessionPhase.CLOSING

    def _close(self, code: CloseCode, text: str) -> list[Effect]:
        if self.phase is SessionPhase.CLOSING:
            return []
        self.phase = SessionPhase.CLOSING
        return [CloseConnection(code, text)]


def resume_position(resume: str | None, *, history_id: str, seq: int) -> int | None:
    """Return the sequence number after which a client resumes, or none if it needs the full state.

    ``history_id`` and ``seq`` are the present position. A position that is malformed, of another history or later than the
    present one is not accepted.
    """
    position = parse_position(resume)
    if position is None or position[0] != history_id:
        return None
    return position[1] if position[1] <= seq else None


def parse_position(resume: str | None) -> tuple[str, int] | None:
    """Return history id and sequence number of a position, or none if there is none or it is malformed."""
    if resume is None:
        return None
    history_id, _, number = resume.partition(":")
    if not (number.isascii() and number.isdigit() and len(number) <= 16):
        return None
    return history_id, int(number)


def error_frame(code: str, *, id: str | None = None, detail: str = "", **more: Any) -> ErrorFrame:
    """Return an ``error`` frame; without a ``detail`` it has the meaning of the code."""
    kind = PROBLEMS[code]
    return ErrorFrame(
        code=code,
        title=kind.title,
        action=kind.action,
        id=id,
        detail=detail or kind.meaning,
        temporary=kind.temporary,
        applied=kind.applied,
        **more,
    )
