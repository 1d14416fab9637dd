"""Session state machine, without an event loop or sockets; time is a number."""

from typing import Any

import pytest

from router.model.states import AgentState
from router.protocol import frames as f
from router.protocol.close_codes import CloseCode, may_reconnect
from router.protocol.session import (
    Authenticate,
    CloseConnection,
    Effect,
    Endpoint,
    ExecuteCommand,
    Reauthenticate,
    SendFrame,
    SendPong,
    Session,
    SessionIdentity,
    SessionPhase,
    StartStream,
    TokenBucket,
    resume_position,
)

ADA = SessionIdentity(subject="ada", role="agent", workspace="default", expires_at_ms=3_600_000)
READY = f.SetStateFrame(id="1", state=AgentState.READY)


def a_session(
    *, endpoint: Endpoint = Endpoint.DESKTOP, identity: SessionIdentity | None = None, per_s: float = 20, burst: int = 40
) -> Session:
    return Session(endpoint, now_ms=0, rate_limiter=TokenBucket(per_s, burst, now_ms=0), identity=identity)


def a_live_session(**options: Any) -> Session:
    session = a_session(identity=ADA, **options)
    assert session.receive(f.HelloFrame(), 10) == [StartStream(None)]
    session.started()
    return session


def the_close(effects: list[Effect]) -> CloseCode:
    closes = [effect.code for effect in effects if isinstance(effect, CloseConnection)]
    assert len(closes) == 1
    assert isinstance(effects[-1], CloseConnection)
    return closes[0]


def the_error(effects: list[Effect]) -> f.ErrorFrame:
    (first, *_) = effects
    assert isinstance(first, SendFrame)
    assert isinstance(first.frame, f.ErrorFrame)
    return first.frame


# --- hello ----------------------------------------------------------------------------------------


def test_the_state_is_sent_after_a_hello_with_a_valid_token() -> None:
    session = a_session()
    assert session.receive(f.HelloFrame(token="t", resume="g:7"), 100) == [Authenticate(token="t", ticket=None)]
    assert session.authenticated(ADA, 100) == [StartStream("g:7")]
    session.started()
    assert session.phase is SessionPhase.LIVE
    assert session.receive(READY, 200) == [ExecuteCommand(READY)]


def test_with_a_credential_in_the_header_hello_has_no_token() -> None:
    session = a_session(identity=ADA)
    assert session.receive(f.HelloFrame(resume="g:7"), 100) == [StartStream("g:7")]


@pytest.mark.parametrize("hello", [f.HelloFrame(token="t"), f.HelloFrame(ticket="t")])
def test_a_second_credential_closes(hello: f.HelloFrame) -> None:
    assert the_close(a_session(identity=ADA).receive(hello, 1)) is CloseCode.UNAUTHENTICATED


@pytest.mark.parametrize("hello", [f.HelloFrame(), f.HelloFrame(token="a", ticket="b")])
def test_hello_needs_exactly_one_credential(hello: f.HelloFrame) -> None:
    assert the_close(a_session().receive(hello, 1)) is CloseCode.UNAUTHENTICATED


def test_an_invalid_credential_closes_permanently() -> None:
    session = a_session()
    session.receive(f.HelloFrame(token="t"), 1)
    assert the_close(session.authentication_failed()) is CloseCode.UNAUTHENTICATED
    assert not may_reconnect(CloseCode.UNAUTHENTICATED)


def test_a_command_before_hello_closes_and_does_nothing() -> None:
    session = a_session(identity=ADA)
    assert the_close(session.receive(READY, 1)) is CloseCode.UNAUTHENTICATED
    assert session.receive(f.HelloFrame(), 2) == []


def test_a_command_before_the_welcome_closes() -> None:
    session = a_session(identity=ADA)
    session.receive(f.HelloFrame(), 1)
    assert the_close(session.receive(READY, 2)) is CloseCode.UNAUTHENTICATED


def test_a_missing_hello_closes_at_the_timeout() -> None:
    session = a_session()
    assert session.deadline_ms() == 5_000
    assert session.tick(4_999) == []
    assert the_close(session.tick(5_000)) is CloseCode.UNAUTHENTICATED
    assert session.deadline_ms() is None


def test_a_late_hello_is_not_processed() -> None:
    assert the_close(a_session().receive(f.HelloFrame(token="t"), 5_001)) is CloseCode.UNAUTHENTICATED


def test_the_timeout_of_hello_includes_the_verification() -> None:
    session = a_session()
    session.receive(f.HelloFrame(token="t"), 100)
    assert the_close(session.tick(5_000)) is CloseCode.UNAUTHENTICATED
    assert session.authenticated(ADA, 5_001) == []


def test_a_second_hello_closes() -> None:
    session = a_live_session()
    assert the_close(session.receive(f.HelloFrame(token="t"), 20)) is CloseCode.UNAUTHENTICATED


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("role", ["agent", "gateway", "supervisor", "admin", "auditor"])
def test_each_endpoint_accepts_its_roles_only(endpoint: Endpoint, role: str) -> None:
    session = a_session(endpoint=endpoint)
    session.receive(f.HelloFrame(token="t"), 1)
    identity = SessionIdentity(subject="x", role=role, workspace="default", expires_at_ms=9_999)
    effects = session.authenticated(identity, 2)
    allowed = {Endpoint.DESKTOP: {"agent"}, Endpoint.GATEWAY: {"gateway"}, Endpoint.SUPERVISOR: {"supervisor", "admin"}}
    allowed[Endpoint.CUSTOMER] = {"customer"}
    if role in allowed[endpoint]:
        assert effects == [StartStream(None)]
    else:
        assert the_close(effects) is CloseCode.FORBIDDEN


# --- malformed frames ---------------------------------------------------------------------------


def test_malformed_frames_are_answered_and_the_sixth_in_a_row_closes() -> None:
    session = a_live_session()
    for _ in range(5):
        error = the_error(session.receive_malformed("not well-formed", "7", 100))
        assert (error.code, error.id, error.applied) == ("malformed", "7", "no")
    assert the_close(session.receive_malformed("not well-formed", None, 100)) is CloseCode.BAD_MESSAGE


def test_a_valid_frame_resets_the_count_of_malformed_frames() -> None:
    session = a_live_session(per_s=1000, burst=1000)
    for _ in range(4):
        for _ in range(5):
            assert the_error(session.receive_malformed("not well-formed", None, 100)).code == "malformed"
        assert session.receive(READY, 100) == [ExecuteCommand(READY)]
    assert session.phase is SessionPhase.LIVE


def test_a_malformed_hello_is_answered_and_closes() -> None:
    effects = a_session().receive_malformed("not well-formed", None, 1)
    assert the_error(effects).code == "malformed"
    assert the_close(effects) is CloseCode.BAD_MESSAGE


# --- identity ---------------------------------------------------------------------------------------


def test_a_refresh_extends_the_session() -> None:
    session = a_live_session()
    assert session.receive(f.RefreshFrame(id="9", token="t"), 20) == [Reauthenticate("9", "t")]
    later = SessionIdentity(subject="ada", role="agent", workspace="default", expires_at_ms=9_000_000)
    assert session.refreshed("9", later, 30) == [SendFrame(f.OkFrame(id="9"))]
    assert session.deadline_ms() == 9_000_000
    assert session.tick(3_600_001) == []


def test_an_invalid_refresh_keeps_the_old_credential() -> None:
    session = a_live_session()
    assert the_error(session.refreshed("9", None, 30)).code == "unauthenticated"
    assert session.phase is SessionPhase.LIVE
    assert session.deadline_ms() == 3_600_000


@pytest.mark.parametrize(
    "other",
    [
        SessionIdentity(subject="bob", role="agent", workspace="default", expires_at_ms=9_000_000),
        SessionIdentity(subject="ada", role="admin", workspace="default", expires_at_ms=9_000_000),
        SessionIdentity(subject="ada", role="agent", workspace="other", expires_at_ms=9_000_000),
    ],
)
def test_a_refresh_cannot_change_the_identity(other: SessionIdentity) -> None:
    session = a_live_session()
    effects = session.refreshed("9", other, 30)
    assert the_error(effects).code == "forbidden"
    assert the_close(effects) is CloseCode.UNAUTHENTICATED
    assert session.identity == ADA


def test_a_session_closes_when_its_credential_expires() -> None:
    session = a_live_session()
    assert session.tick(3_599_999) == []
    assert the_close(session.tick(3_600_000)) is CloseCode.TOKEN_EXPIRED
    assert may_reconnect(CloseCode.TOKEN_EXPIRED)


def test_a_command_after_the_expiry_is_not_executed() -> None:
    assert the_close(a_live_session().receive(READY, 3_600_000)) is CloseCode.TOKEN_EXPIRED


def test_an_expired_credential_is_refused() -> None:
    session = a_session()
    session.receive(f.HelloFrame(token="t"), 1)
    old = SessionIdentity(subject="ada", role="agent", workspace="default", expires_at_ms=1)
    assert the_close(session.authenticated(old, 2)) is CloseCode.TOKEN_EXPIRED


# --- rate limit -----------------------------------------------------------------------------------------


def test_beyond_the_burst_frames_are_refused_and_a_second_burst_closes() -> None:
    session = a_live_session(burst=10)  # Hello used one token.
    for _ in range(9):
        assert session.receive(READY, 10) == [ExecuteCommand(READY)]
    for _ in range(11):
        error = the_error(session.receive(READY, 10))
        assert (error.code, error.id, error.temporary) == ("rate_limited", "1", True)
        assert error.retry_after_ms == 250, "half of the burst, at 20 a second"
    assert the_close(session.receive(READY, 10)) is CloseCode.RATE_LIMITED
    assert may_reconnect(CloseCode.RATE_LIMITED)


@pytest.mark.parametrize("burst", [1, 2, 3, 10, 60])
@pytest.mark.parametrize("per_s", [0.7, 1, 20, 300])
def test_a_client_that_waits_as_long_as_it_is_told_is_never_closed(burst: int, per_s: float) -> None:
    """It sends as much as it can between two refusals, and obeys to the millisecond."""
    session = a_live_session(burst=burst + 1, per_s=per_s)
    now_ms, waits = 10, 0
    for _ in range(2_000):
        match session.receive(READY, now_ms):
            case [ExecuteCommand()]:
                pass
            case [SendFrame(f.ErrorFrame(code="rate_limited", retry_after_ms=int(wait_ms)))]:
                waits += 1
                now_ms += wait_ms
                assert session.receive(READY, now_ms) == [ExecuteCommand(READY)], "what was told is enough"
            case other:
                raise AssertionError(other)
    assert waits > 10


def test_frames_on_the_way_when_the_limit_was_told_do_not_close() -> None:
    session = a_live_session(burst=4)
    now_ms = 10
    for _ in range(20):
        errors = [effect for _ in range(6) for effect in session.receive(READY, now_ms) if isinstance(effect, SendFrame)]
        assert 3 <= len(errors) <= 4
        wait_ms = the_error([errors[-1]]).retry_after_ms
        assert wait_ms is not None
        now_ms += wait_ms


def test_a_steady_rate_at_the_limit_is_accepted() -> None:
    session = a_live_session()
    for step in range(2_000):
        assert session.receive(READY, 1_000 + step * 50) == [ExecuteCommand(READY)]


def test_websocket_pings_count_as_frames() -> None:
    session = a_live_session(burst=3)
    assert session.receive_control(10) == []
    assert session.receive_control(10) == []
    for _ in range(4):
        assert the_error(session.receive_control(10)).code == "rate_limited"
    assert the_close(session.receive_control(10)) is CloseCode.RATE_LIMITED


def test_a_heartbeat_is_answered_by_the_session() -> None:
    assert a_live_session().receive(f.PingFrame(id="5"), 20) == [SendPong("5")]


def test_nothing_has_an_effect_after_the_close() -> None:
    session = a_live_session()
    session.mark_closed()
    assert session.receive(READY, 20) == []
    assert session.receive_malformed("x", None, 20) == []
    assert session.refreshed("1", ADA, 20) == []
    assert session.receive_control(20) == []
    assert session.tick(9_999_999) == []


# --- resume -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resume", "after"),
    [
        (None, None),
        ("abc:0", 0),
        ("abc:41", 41),
        ("abc:42", 42),
        ("abc:43", None),
        ("abd:41", None),
        ("abc:-1", None),
        ("abc:", None),
        ("abc", None),
        ("", None),
        (":41", None),
        ("abc:18446744073709551616", None),
        ("abc:4.1", None),
        ("abc:٤١", None),
        ("abc:41 ", None),
        ("abc:41:41", None),
    ],
)
def test_only_a_position_of_the_present_history_is_accepted(resume: str | None, after: int | None) -> None:
    assert resume_position(resume, history_id="abc", seq=42) == after
