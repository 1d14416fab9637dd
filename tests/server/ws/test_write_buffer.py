"""Write buffer on a fake transport: joined writes and overflow of slow clients."""

from collections.abc import Callable

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from router.protocol.websocket_frames import BINARY, TEXT, encode_frame
from router.server.ws.write_buffer import FlushScheduler, WriteBuffer


class FakeTransport:
    """Transport that buffers writes while ``blocked``."""

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


class LoopIteration:
    """Event loop iteration that ends when the test calls ``run``."""

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
        self.tick = LoopIteration()
        self.overflows = 0
        self.buffer = WriteBuffer(
            self.transport, schedule_flush=self.tick.soon, count_max=count_max, bytes_max=bytes_max, on_overflow=self._overflowed
        )

    def _overflowed(self) -> None:
        self.overflows += 1

    def put(self, *frames: bytes) -> None:
        for frame_bytes in frames:
            self.buffer.put(frame_bytes)
        self.tick.run()


def test_frames_of_one_iteration_are_sent_in_one_write_in_order() -> None:
    bench = Bench()
    bench.put(b"a", b"b", b"c")
    bench.put(b"d")
    assert bench.transport.writes == [b"abc", b"d"]


def test_nothing_is_written_before_the_iteration_ends() -> None:
    bench = Bench()
    bench.buffer.put(b"a")
    assert bench.transport.writes == []
    assert len(bench.tick.due) == 1


def test_frames_wait_behind_a_reserved_place_and_leave_in_order() -> None:
    bench = Bench()
    bench.buffer.put(b"a")
    place, second = bench.buffer.reserve(), bench.buffer.reserve()
    bench.put(b"d")
    assert bench.transport.writes == [b"a"] and bench.buffer.pending_frame_count == 1 + 3
    bench.put(b"e")
    second.fill(b"c")
    bench.tick.run()
    assert bench.transport.writes == [b"a"]
    place.fill(b"b")
    bench.tick.run()
    assert bench.transport.writes == [b"a", b"bcde"]
    bench.put(b"f")
    assert bench.transport.writes == [b"a", b"bcde", b"f"]


def test_a_place_of_a_closed_buffer_may_still_be_filled() -> None:
    bench = Bench()
    place = bench.buffer.reserve()
    bench.put(b"a")
    bench.buffer.close()
    place.fill(b"b")
    bench.buffer.reserve().fill(b"c")
    bench.tick.run()
    assert bench.transport.writes == [] and bench.overflows == 0


def test_a_client_that_keeps_up_may_get_any_number_of_frames() -> None:
    bench = Bench(count_max=4, bytes_max=100)
    bench.put(*[b"x" * 50] * 40)
    assert bench.overflows == 0
    assert len(bench.transport.writes[0]) == 2_000


def test_too_many_frames_for_a_slow_client_overflow() -> None:
    bench = Bench(count_max=4)
    bench.transport.blocked = True
    bench.put(b"a")
    bench.put(b"b", b"c", b"d")
    assert bench.overflows == 0
    assert bench.buffer.pending_frame_count == 4
    bench.put(b"e")
    assert bench.overflows == 1
    assert bench.transport.writes == [b"a", b"bcd"]


def test_too_many_bytes_for_a_slow_client_overflow() -> None:
    bench = Bench(bytes_max=100)
    bench.transport.blocked = True
    bench.put(b"x" * 60)
    bench.put(b"x" * 40)
    assert bench.overflows == 0
    bench.put(b"x")
    assert bench.overflows == 1


def test_data_accepted_meanwhile_no_longer_counts() -> None:
    bench = Bench(count_max=3)
    bench.transport.blocked = True
    bench.put(b"aa")
    bench.put(b"bb", b"cc")
    bench.transport.buffered = 3  # The first write and one byte of the second have been sent.
    bench.put(b"dd")
    assert bench.overflows == 0
    bench.transport.buffered = 0
    bench.transport.blocked = False
    bench.put(b"e", b"f", b"g", b"h", b"i")
    assert bench.overflows == 0


def test_after_an_overflow_frames_are_dropped() -> None:
    bench = Bench(count_max=1)
    bench.transport.blocked = True
    bench.put(b"a")
    bench.put(b"b")
    bench.put(b"c")
    assert bench.overflows == 1
    assert bench.transport.writes == [b"a"]


def test_an_early_flush_writes_once() -> None:
    bench = Bench()
    bench.buffer.put(b"a")
    bench.buffer.flush()
    bench.tick.run()
    assert bench.transport.writes == [b"a"]


def test_nothing_is_written_to_a_closing_transport() -> None:
    bench = Bench()
    bench.transport.closing = True
    bench.put(b"a")
    assert bench.transport.writes == []


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("text", [True, False])
def test_frames_are_readable_by_another_implementation(size: int, text: bool) -> None:
    peer = Protocol(Side.CLIENT, max_size=None)
    peer.receive_data(encode_frame(TEXT if text else BINARY, b"x" * size))
    (read,) = peer.events_received()
    assert isinstance(read, Frame)
    assert read.opcode is (Opcode.TEXT if text else Opcode.BINARY)
    assert bytes(read.data) == b"x" * size


def test_all_flushes_of_an_iteration_share_one_callback() -> None:
    tick, called = LoopIteration(), list[str]()
    scheduler = FlushScheduler(tick.soon)
    scheduler.schedule(lambda: called.append("a"))
    scheduler.schedule(lambda: called.append("b"))
    assert (len(tick.due), called) == (1, [])
    tick.run()
    assert called == ["a", "b"]
    scheduler.schedule(lambda: called.append("c"))
    tick.run()
    assert called == ["a", "b", "c"]


def test_a_failing_flush_does_not_prevent_the_others() -> None:
    tick, called = LoopIteration(), list[str]()
    scheduler = FlushScheduler(tick.soon)

    def fail() -> None:
        raise RuntimeError("failing flush")

    scheduler.schedule(fail)
    scheduler.schedule(lambda: called.append("b"))
    tick.run()
    assert called == ["b"]
