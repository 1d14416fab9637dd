"""A socket over a transport made by hand, on a loop whose clock the test sets: heartbeats, holding back, the end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from websockets.frames import Close, Frame, Opcode

from router.edge.socket import CLOSE_TIMEOUT_S, Socket
from router.wire.close_codes import CloseCode
from router.wire.rfc6455 import PING, close_frame, frame

HEARTBEAT_S = 20.0


class HandLoop:
    """The part of a loop that a socket uses; time stands still until ``advance``."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._due: list[tuple[float, Callable[[], None], list[bool]]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, call: Callable[[], None]) -> "HandLoop.Timer":
        alive = [True]
        self._due.append((at_s, call, alive))
        return HandLoop.Timer(alive)

    def call_later(self, after_s: float, call: Callable[[], None]) -> "HandLoop.Timer":
        return self.call_at(self.now_s + after_s, call)

    def advance(self, by_s: float) -> None:
        until_s = self.now_s + by_s
        while due := sorted((at, n) for n, (at, _, alive) in enumerate(self._due) if alive[0]):
            at_s, number = due[0]
            if at_s > until_s:
                break
            self.now_s = at_s
            _, call, alive = self._due[number]
            alive[0] = False
            call()
        self.now_s = until_s

    class Timer:
        def __init__(self, alive: list[bool]) -> None:
            self._alive = alive

        def cancel(self) -> None:
            self._alive[0] = False


class HandTransport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.reading = True
        self.ended = ""

    def write(self, data: bytes) -> None:
        assert not self.ended, "a closed transport takes nothing"
        self.written.append(data)

    def pause_reading(self) -> None:
        assert not self.ended
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.ended
        self.reading = True

    def is_closing(self) -> bool:
        return bool(self.ended)

    def is_open(self) -> bool:
        return not self.ended

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Owner:
    """Writes down what it hears, and closes when it is told to."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.heard: list[bytes] = []
        self.hold_back_at = b""
        self.fail_at = b"-"
        self.lost_count = 0

    def hear(self, opcode: int, payload: bytes) -> None:
        if payload == self.fail_at:
            raise RuntimeError("the owner's own fault")
        self.heard.append(payload)
        if payload == self.hold_back_at:
            self.socket.hold_back()

    def close(self, code: CloseCode, text: str) -> None:
        self.socket.close(code, text)

    def lost(self) -> None:
        self.lost_count += 1


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = HandLoop()
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self.loop)
        self.transport = HandTransport()
        transport: Any = self.transport
        self.socket = Socket(transport, heartbeat_s=HEARTBEAT_S, message_bytes_max=1_000)
        self.owner = Owner(self.socket)
        self.socket.begin(self.owner)

    def receive(self, *texts: bytes) -> None:
        self.raw(b"".join(sent(Opcode.TEXT, text) for text in texts))

    def raw(self, data: bytes) -> None:
        self.socket.data_received(data)


def sent(opcode: Opcode, payload: bytes = b"") -> bytes:
    return Frame(opcode, payload).serialize(mask=True)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_whoever_speaks_is_not_pinged(bench: Bench) -> None:
    for _ in range(10):
        bench.loop.advance(HEARTBEAT_S - 1)
        bench.receive(b"a")
    assert bench.transport.written == []


def test_whoever_is_silent_is_pinged_and_cut_off_without_an_answer(bench: Bench) -> None:
    bench.loop.advance(HEARTBEAT_S)
    assert bench.transport.written == [frame(PING, b"")]
    bench.loop.advance(HEARTBEAT_S / 2 - 0.1)
    assert bench.transport.is_open()
    bench.loop.advance(0.1)
    assert bench.transport.ended == "aborted"


def test_a_pong_is_an_answer(bench: Bench) -> None:
    for count in range(1, 4):
        bench.loop.advance(HEARTBEAT_S)
        assert bench.transport.written == [frame(PING, b"")] * count
        bench.raw(sent(Opcode.PONG))
    bench.loop.advance(HEARTBEAT_S / 2)
    assert bench.transport.is_open()


def test_who_is_held_back_cannot_be_heard_and_is_not_cut_off(bench: Bench) -> None:
    bench.socket.hold_back()
    bench.receive(b"a")
    bench.loop.advance(HEARTBEAT_S * 3)
    assert bench.transport.is_open()


def test_what_comes_while_held_back_is_passed_on_later_and_in_order(bench: Bench) -> None:
    bench.owner.hold_back_at = b"b"
    bench.receive(b"a", b"b", b"c", b"d")
    assert bench.owner.heard == [b"a", b"b"]
    bench.receive(b"e")
    assert not bench.transport.reading
    bench.socket.go_on()
    assert bench.owner.heard == [b"a", b"b", b"c", b"d", b"e"]
    assert bench.transport.reading


def test_held_back_again_meanwhile_it_stays_unread(bench: Bench) -> None:
    bench.socket.hold_back()
    bench.owner.hold_back_at = b"b"
    bench.receive(b"a", b"b", b"c")
    bench.socket.go_on()
    assert bench.owner.heard == [b"a", b"b"]
    assert not bench.transport.reading
    bench.socket.go_on()
    assert bench.owner.heard == [b"a", b"b", b"c"]
    assert bench.transport.reading


def test_a_close_of_ours_waits_for_the_client_s(bench: Bench) -> None:
    bench.socket.close(CloseCode.TAKEN_OVER, "another one")
    assert bench.transport.written == [close_frame(CloseCode.TAKEN_OVER, "another one")]
    bench.receive(b"too late")
    assert bench.transport.is_open()
    bench.raw(sent(Opcode.CLOSE, Close(4509, "").serialize()))
    assert bench.transport.ended == "closed"
    assert bench.owner.heard == []
    assert len(bench.transport.written) == 1


def test_a_client_that_does_not_close_is_cut_off(bench: Bench) -> None:
    bench.socket.close(CloseCode.TAKEN_OVER, "another one")
    bench.loop.advance(CLOSE_TIMEOUT_S)
    assert bench.transport.ended == "aborted"


def test_a_client_s_close_is_answered_and_ends_it(bench: Bench) -> None:
    bench.raw(sent(Opcode.TEXT, b"a") + sent(Opcode.CLOSE, Close(1001, "").serialize()))
    assert bench.owner.heard == [b"a"]
    assert bench.transport.written == [close_frame(1001)]
    assert bench.transport.ended == "closed"


def test_a_close_reaches_one_who_was_held_back(bench: Bench) -> None:
    bench.socket.hold_back()
    bench.receive(b"a")
    bench.socket.close(CloseCode.TAKEN_OVER, "")
    assert bench.transport.reading
    bench.raw(sent(Opcode.CLOSE, Close(4509, "").serialize()))
    assert bench.transport.ended == "closed"
    assert bench.owner.heard == []


def test_after_a_broken_frame_the_client_hears_why_and_has_a_moment_to_read_it(
    bench: Bench,
) -> None:
    bench.raw(sent(Opcode.TEXT, b"a") + b"\x83\x80")
    assert bench.owner.heard == [b"a"]
    assert bench.transport.written[0][2:4] == (1002).to_bytes(2, "big")
    bench.raw(b"noise")
    assert bench.transport.is_open()
    bench.loop.advance(1)
    assert bench.transport.ended == "aborted"


def test_a_fault_of_the_owner_ends_this_connection_alone(bench: Bench) -> None:
    bench.owner.fail_at = b"b"
    bench.receive(b"a", b"b", b"c")
    assert bench.owner.heard == [b"a"]
    assert bench.transport.written[0][2:4] == (1011).to_bytes(2, "big")


def test_a_lost_connection_is_told_once_and_beats_no_more(bench: Bench) -> None:
    bench.socket.connection_lost(None)
    bench.loop.advance(HEARTBEAT_S * 3)
    assert bench.owner.lost_count == 1
    assert bench.transport.written == []


def test_on_a_transport_that_has_failed_nothing_is_tried(bench: Bench) -> None:
    bench.socket.hold_back()
    bench.receive(b"a")
    bench.transport.ended = "failed"
    bench.receive(b"b")
    bench.socket.go_on()
    bench.socket.pong(b"")
    bench.loop.advance(HEARTBEAT_S)
    bench.socket.close(CloseCode.TAKEN_OVER, "")
    bench.loop.advance(CLOSE_TIMEOUT_S)
    bench.socket.connection_lost(OSError())
    assert bench.transport.written == []
    assert bench.owner.lost_count == 1
