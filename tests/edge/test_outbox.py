"""The outbox against a transport made by hand: what is joined, what is too much, and for whom."""

from collections.abc import Callable

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from router.edge.outbox import EndOfTick, Outbox
from router.wire.rfc6455 import BINARY, TEXT, frame


class FakeTransport:
    """Takes as many bytes as it is told to; the rest stays in its buffer."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.buffered = 0
        self.blocked = False
        self.closing = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self.blocked:
            self.buffered += len(data)

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.closing


class Tick:
    """A loop that runs when the test says so."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def soon(self, call: Callable[[], None]) -> None:
        self.due.append(call)

    def run(self) -> None:
        due, self.due = self.due, []
        for call in due:
            call()


class Bench:
    def __init__(self, *, count_max: int = 4, bytes_max: int = 1_000) -> None:
        self.transport = FakeTransport()
        self.tick = Tick()
        self.overflows = 0
        self.outbox = Outbox(
            self.transport,
            call_soon=self.tick.soon,
            count_max=count_max,
            bytes_max=bytes_max,
            on_overflow=self._overflowed,
        )

    def _overflowed(self) -> None:
        self.overflows += 1

    def put(self, *frames: bytes) -> None:
        for whole in frames:
            self.outbox.put(whole)
        self.tick.run()


def test_frames_of_one_tick_leave_in_one_write_and_in_order() -> None:
    bench = Bench()
    bench.put(b"a", b"b", b"c")
    bench.put(b"d")
    assert bench.transport.writes == [b"abc", b"d"]


def test_nothing_is_written_before_the_tick_ends() -> None:
    bench = Bench()
    bench.outbox.put(b"a")
    assert bench.transport.writes == []
    assert len(bench.tick.due) == 1


def test_a_client_that_keeps_up_may_get_any_number_at_once() -> None:
    bench = Bench(count_max=4, bytes_max=100)
    bench.put(*[b"x" * 50] * 40)
    assert bench.overflows == 0
    assert len(bench.transport.writes[0]) == 2_000


def test_one_frame_too_many_for_a_client_that_is_behind_is_an_overflow() -> None:
    bench = Bench(count_max=4)
    bench.transport.blocked = True
    bench.put(b"a")
    bench.put(b"b", b"c", b"d")
    assert bench.overflows == 0
    assert bench.outbox.waiting_count == 4
    bench.put(b"e")
    assert bench.overflows == 1
    assert bench.transport.writes == [b"a", b"bcd"]


def test_too_many_bytes_for_a_client_that_is_behind_are_an_overflow() -> None:
    bench = Bench(bytes_max=100)
    bench.transport.blocked = True
    bench.put(b"x" * 60)
    bench.put(b"x" * 40)
    assert bench.overflows == 0
    bench.put(b"x")
    assert bench.overflows == 1


def test_what_has_been_taken_meanwhile_counts_no_more() -> None:
    bench = Bench(count_max=3)
    bench.transport.blocked = True
    bench.put(b"aa")
    bench.put(b"bb", b"cc")
    bench.transport.buffered = 3  # The first write and a byte of the second are gone.
    bench.put(b"dd")
    assert bench.overflows == 0
    bench.transport.buffered = 0
    bench.transport.blocked = False
    bench.put(b"e", b"f", b"g", b"h", b"i")
    assert bench.overflows == 0


def test_after_an_overflow_nothing_is_taken_and_nothing_written() -> None:
    bench = Bench(count_max=1)
    bench.transport.blocked = True
    bench.put(b"a")
    bench.put(b"b")
    bench.put(b"c")
    assert bench.overflows == 1
    assert bench.transport.writes == [b"a"]


def test_a_flush_before_the_tick_s_end_writes_once() -> None:
    bench = Bench()
    bench.outbox.put(b"a")
    bench.outbox.flush()
    bench.tick.run()
    assert bench.transport.writes == [b"a"]


def test_a_closing_transport_gets_nothing() -> None:
    bench = Bench()
    bench.transport.closing = True
    bench.put(b"a")
    assert bench.transport.writes == []


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("text", [True, False])
def test_a_frame_is_one_that_another_implementation_reads(size: int, text: bool) -> None:
    peer = Protocol(Side.CLIENT, max_size=None)
    peer.receive_data(frame(TEXT if text else BINARY, b"x" * size))
    (read,) = peer.events_received()
    assert isinstance(read, Frame)
    assert read.opcode is (Opcode.TEXT if text else Opcode.BINARY)
    assert bytes(read.data) == b"x" * size


def test_all_outboxes_of_a_tick_have_one_callback_of_the_loop() -> None:
    tick, called = Tick(), list[str]()
    end = EndOfTick(tick.soon)
    end.call(lambda: called.append("a"))
    end.call(lambda: called.append("b"))
    assert (len(tick.due), called) == (1, [])
    tick.run()
    assert called == ["a", "b"]
    end.call(lambda: called.append("c"))
    tick.run()
    assert called == ["a", "b", "c"]


def test_one_that_fails_does_not_take_the_others_turn() -> None:
    tick, called = Tick(), list[str]()
    end = EndOfTick(tick.soon)

    def fail() -> None:
        raise RuntimeError("its own fault")

    end.call(fail)
    end.call(lambda: called.append("b"))
    tick.run()
    assert called == ["b"]
