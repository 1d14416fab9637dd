"""WebSocket on a fake transport and clock: heartbeats, paused delivery, closing."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from websockets.frames import Close, Frame, Opcode

from router.protocol.close_codes import CloseCode
from router.protocol.websocket_frames import PING, encode_close_frame, encode_frame
from router.server.ws.websocket import CLOSE_TIMEOUT_S, WebSocket

HEARTBEAT_S = 20.0


class ManualLoop:
    """Part of an event loop that a WebSocket uses; time changes only in ``advance``."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.call_count = 0
        self._due: list[tuple[float, Callable[[], None], list[bool]]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, call: Callable[[], None]) -> "ManualLoop.Timer":
        alive = [True]
        self._due.append((at_s, call, alive))
        return ManualLoop.Timer(alive)

    def call_later(self, after_s: float, call: Callable[[], None]) -> "ManualLoop.Timer":
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
            self.call_count += 1
            assert self.call_count < 1_000, "timers without a pause between them"
            call()
        self.now_s = until_s

    class Timer:
        def __init__(self, alive: list[bool]) -> None:
            self._alive = alive

        def cancel(self) -> None:
            self._alive[0] = False


class FakeTransport:
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
    """Owner that records messages and can pause delivery or fail at a given message."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.received: list[bytes] = []
        self.pause_at = b""
        self.fail_at = b"-"
        self.lost_count = 0

    def on_message(self, opcode: int, payload: bytes) -> None:
        if payload == self.fail_at:
            raise RuntimeError("failing owner")
        self.received.append(payload)
        if payload == self.pause_at:
            self.socket.pause_delivery()

    def close(self, code: CloseCode, text: str) -> None:
        self.socket.close(code, text)

    def on_connection_lost(self) -> None:
        self.lost_count += 1


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = ManualLoop()
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self.loop)
        self.transport = FakeTransport()
        transport: Any = self.transport
        self.socket = WebSocket(transport, heartbeat_s=HEARTBEAT_S, message_bytes_max=1_000)
        self.owner = Owner(self.socket)
        self.socket.attach_owner(self.owner)

    def receive(self, *texts: bytes) -> None:
        self.raw(b"".join(sent(Opcode.TEXT, text) for text in texts))

    def raw(self, data: bytes) -> None:
        self.socket.data_received(data)


def sent(opcode: Opcode, payload: bytes = b"") -> bytes:
    return Frame(opcode, payload).serialize(mask=True)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_an_active_client_is_not_pinged(bench: Bench) -> None:
    for _ in range(10):
        bench.loop.advance(HEARTBEAT_S - 1)
        bench.receive(b"a")
    assert bench.transport.written == []


def test_a_silent_client_is_pinged_and_aborted_without_pong(bench: Bench) -> None:
    bench.loop.advance(HEARTBEAT_S)
    assert bench.transport.written == [encode_frame(PING, b"")]
    bench.loop.advance(HEARTBEAT_S / 2 - 0.1)
    assert bench.transport.is_open()
    bench.loop.advance(0.1)
    assert bench.transport.ended == "aborted"


def test_a_pong_keeps_the_connection_open(bench: Bench) -> None:
    for count in range(1, 4):
        bench.loop.advance(HEARTBEAT_S)
        assert bench.transport.written == [encode_frame(PING, b"")] * count
        bench.raw(sent(Opcode.PONG))
    bench.loop.advance(HEARTBEAT_S / 2)
    assert bench.transport.is_open()


@pytest.mark.parametrize("kind", ["answering", "paused", "silent"])
def test_a_heartbeat_has_a_pause(bench: Bench, kind: str) -> None:
    """Two timers for each heartbeat: the ping, and the deadline of its answer."""
    if kind == "paused":
        bench.socket.pause_delivery()
        bench.receive(b"a")
    for _ in range(10 if kind != "silent" else 1):
        bench.loop.advance(HEARTBEAT_S)
        if kind == "answering":
            bench.raw(sent(Opcode.PONG))
    assert bench.loop.call_count <= 20
    assert len(bench.transport.written) <= 10


async def test_a_lost_connection_ends_the_wait_for_the_client() -> None:
    transport: Any = FakeTransport()
    socket = WebSocket(transport, heartbeat_s=HEARTBEAT_S, message_bytes_max=1_000)
    socket.attach_owner(Owner(socket))
    await socket.drain()
    socket.pause_writing()
    waiting = [asyncio.create_task(socket.drain()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    socket.connection_lost(None)
    for one in waiting:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(one, 30)
    with pytest.raises(ConnectionResetError):
        await socket.drain()


async def test_a_client_that_reads_again_ends_the_wait() -> None:
    transport: Any = FakeTransport()
    socket = WebSocket(transport, heartbeat_s=HEARTBEAT_S, message_bytes_max=1_000)
    socket.pause_writing()
    waiting = asyncio.create_task(socket.drain())
    await asyncio.sleep(0)
    socket.resume_writing()
    await asyncio.wait_for(waiting, 30)
    socket.connection_lost(None)


def test_a_client_is_not_aborted_while_reading_is_paused(bench: Bench) -> None:
    bench.socket.pause_delivery()
    bench.receive(b"a")
    bench.loop.advance(HEARTBEAT_S * 3)
    assert bench.transport.is_open()


def test_messages_received_while_paused_are_delivered_later_in_order(bench: Bench) -> None:
    bench.owner.pause_at = b"b"
    bench.receive(b"a", b"b", b"c", b"d")
    assert bench.owner.received == [b"a", b"b"]
    bench.receive(b"e")
    assert not bench.transport.reading
    bench.socket.resume_delivery()
    assert bench.owner.received == [b"a", b"b", b"c", b"d", b"e"]
    assert bench.transport.reading


def test_pausing_again_while_resuming_keeps_the_rest_undelivered(bench: Bench) -> None:
    bench.socket.pause_delivery()
    bench.owner.pause_at = b"b"
    bench.receive(b"a", b"b", b"c")
    bench.socket.resume_delivery()
    assert bench.owner.received == [b"a", b"b"]
    assert not bench.transport.reading
    bench.socket.resume_delivery()
    assert bench.owner.received == [b"a", b"b", b"c"]
    assert bench.transport.reading


def test_a_server_close_waits_for_the_close_of_the_client(bench: Bench) -> None:
    bench.socket.close(CloseCode.TAKEN_OVER, "another one")
    assert bench.transport.written == [encode_close_frame(CloseCode.TAKEN_OVER, "another one")]
    bench.receive(b"too late")
    assert bench.transport.is_open()
    bench.raw(sent(Opcode.CLOSE, Close(4509, "").serialize()))
    assert bench.transport.ended == "closed"
    assert bench.owner.received == []
    assert len(bench.transport.written) == 1


def test_a_client_that_does_not_close_is_aborted(bench: Bench) -> None:
    bench.socket.close(CloseCode.TAKEN_OVER, "another one")
    bench.loop.advance(CLOSE_TIMEOUT_S)
    assert bench.transport.ended == "aborted"


def test_a_close_of_the_client_is_answered_and_closes_the_connection(bench: Bench) -> None:
    bench.raw(sent(Opcode.TEXT, b"a") + sent(Opcode.CLOSE, Close(1001, "").serialize()))
    assert bench.owner.received == [b"a"]
    assert bench.transport.written == [encode_close_frame(1001)]
    assert bench.transport.ended == "closed"


def test_closing_works_while_delivery_is_paused(bench: Bench) -> None:
    bench.socket.pause_delivery()
    bench.receive(b"a")
    bench.socket.close(CloseCode.TAKEN_OVER, "")
    assert bench.transport.reading
    bench.raw(sent(Opcode.CLOSE, Close(4509, "").serialize()))
    assert bench.transport.ended == "closed"
    assert bench.owner.received == []


def test_after_a_protocol_error_the_close_code_is_sent_before_the_connection_ends(bench: Bench) -> None:
    bench.raw(sent(Opcode.TEXT, b"a") + b"\x83\x80")
    assert bench.owner.received == [b"a"]
    assert bench.transport.written[0][2:4] == (1002).to_bytes(2, "big")
    bench.raw(b"noise")
    assert bench.transport.is_open()
    bench.loop.advance(1)
    assert bench.transport.ended == "aborted"


def test_a_failing_owner_closes_its_own_connection(bench: Bench) -> None:
    bench.owner.fail_at = b"b"
    bench.receive(b"a", b"b", b"c")
    assert bench.owner.received == [b"a"]
    assert bench.transport.written[0][2:4] == (1011).to_bytes(2, "big")


def test_a_lost_connection_is_reported_once_and_stops_the_heartbeat(bench: Bench) -> None:
    bench.socket.connection_lost(None)
    bench.loop.advance(HEARTBEAT_S * 3)
    assert bench.owner.lost_count == 1
    assert bench.transport.written == []


def test_nothing_is_written_to_a_failed_transport(bench: Bench) -> None:
    bench.socket.pause_delivery()
    bench.receive(b"a")
    bench.transport.ended = "failed"
    bench.receive(b"b")
    bench.socket.resume_delivery()
    bench.socket.send_pong(b"")
    bench.loop.advance(HEARTBEAT_S)
    bench.socket.close(CloseCode.TAKEN_OVER, "")
    bench.loop.advance(CLOSE_TIMEOUT_S)
    bench.socket.connection_lost(OSError())
    assert bench.transport.written == []
    assert bench.owner.lost_count == 1
